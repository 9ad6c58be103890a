package decode

import (
	"slices"

	"github.com/millrace/millrace"
)

// A payload of MetricKit (MXDiagnosticPayload, iOS 14 on; its JSON is that of
// jsonRepresentation) holds what happened on a device in a day: lists of
// diagnostics by kind. Each diagnostic becomes an event: its piece is the payload
// with this one diagnostic, and with what the payload says of all.

// metricLists are the payload's lists of diagnostics.
var metricLists = []string{
	"crashDiagnostics", "hangDiagnostics", "cpuExceptionDiagnostics", "diskWriteExceptionDiagnostics", "appLaunchDiagnostics",
}

const (
	// What a payload says of all its diagnostics is copied to each: the times, and
	// on some systems the app and the device. Longer members are left out.
	maxMetricMember = 1 << 10
	maxMetricShared = 4 << 10
	// maxMetrics bounds the diagnostics of a payload; systems send some dozens.
	maxMetrics = 1000
)

// splitMetricKit makes a piece of each diagnostic of a payload.
func splitMetricKit(p *Pieces, item []byte, lim Limits) error {
	limit := maxMetrics
	if lim.MaxEvents > 0 {
		limit = min(limit, lim.MaxEvents)
	}
	if n := metricCount(item); n > limit {
		return millrace.Errorf(millrace.ErrTooLarge, "a payload of %d diagnostics; at most %d are allowed", n, limit)
	}
	shared, n := metricShared(item), 0
	eachMetric(item, func(list, one []byte) {
		n++
		size := len(shared) + len(list) + len(one) + len(`{"":[]}`)
		if size > int(lim.MaxEvent) {
			p.refuse(n, ReasonTooLarge, tooLargeDetail(size, lim), one)
			return
		}
		text := append(p.Text(size), '{')
		text = append(append(text, shared...), '"')
		text = append(append(append(text, list...), `":[`...), one...)
		text = append(text, `]}`...)
		p.Events = append(p.Events, Piece{Item: text[:len(text):len(text)], Index: n})
	})
	return nil
}

func metricCount(item []byte) (n int) {
	eachMetric(item, func(_, _ []byte) { n++ })
	return n
}

// eachMetric calls f for every diagnostic that is an object, with the list it is of.
func eachMetric(item []byte, f func(list, one []byte)) {
	eachMember(item, 0, func(key []byte, at int) int {
		if item[at] != '[' || !slices.Contains(metricLists, string(key)) {
			return skipValue(item, at, 1)
		}
		return eachElement(item, at, func(at int) int {
			end := skipValue(item, at, 2)
			if end > 0 && item[at] == '{' {
				f(key, item[at:end])
			}
			return end
		})
	})
}

// metricShared returns the members of a payload that are no lists, each with a
// comma behind it.
func metricShared(item []byte) []byte {
	var out []byte
	eachMember(item, 0, func(key []byte, at int) int {
		end := skipValue(item, at, 1)
		if end < 0 || item[at] == '[' || end-at > maxMetricMember || len(out)+len(key)+end-at > maxMetricShared {
			return end
		}
		out = append(append(append(out, '"'), key...), `":`...)
		out = append(append(out, item[at:end]...), ',')
		return end
	})
	return out
}
