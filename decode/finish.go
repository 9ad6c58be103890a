package decode

import (
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// maxAhead is millrace.MaxAhead in ns. Clocks differ by minutes; more is a wrong
// clock or zone, and would open windows in the future that completeness waits for.
const maxAhead = int64(millrace.MaxAhead)

// finish applies to every decoded event what holds for all formats:
//   - service defaults to the source's name, host to the sender;
//   - the weight is at least 1;
//   - the level is one of trace, debug, info, warn, error, fatal, or as given in
//     lower case if normalLevel does not know the name; a name that says more
//     than its level (critical, notice) is kept in the attribute level_original;
//   - attribute keys are unique, the last value wins;
//   - a time more than maxAhead after the arrival becomes the arrival, the
//     attribute time_original keeps it. Old times are kept as they are.
func finish(d *Decoder, e *millrace.Event) {
	r := d.b.Record
	if e.Service == "" {
		e.Service = e.Source
	}
	if e.Host == "" {
		e.Host = r.Sender
	}
	if e.Weight < 1 {
		e.Weight = 1
	}
	switch e.Level {
	case "", levelInfo, levelWarn, levelError, levelDebug: // as most write them
	default:
		finishLevel(e)
	}
	if !d.distinct {
		d.uniqueAttrs(e)
	}
	if e.HasTime && e.Time > r.Arrived && e.Time-r.Arrived > maxAhead {
		text := time.Unix(0, e.Time).UTC().AppendFormat(d.b.Text(len(time.RFC3339Nano)), time.RFC3339Nano)
		e.Set(millrace.AttrTimeOriginal, millrace.StringValue(borrow(text)))
		e.Time, e.HasTime = r.Arrived, false
	}
	if !e.HasTime {
		e.Time = r.Arrived
	}
}

// uniqueAttrs removes all but the last attribute of a key, keeping the place
// of the first. A 64-bit filter over key lengths and ends makes the usual event
// without duplicates cost one pass.
func (d *Decoder) uniqueAttrs(e *millrace.Event) {
	if len(e.Attrs) > manyAttrs {
		d.uniqueMany(e)
		return
	}
	var filter uint64
	for i := 0; i < len(e.Attrs); i++ {
		k := e.Attrs[i].Key
		bit := uint64(1) << (keyHash(k) & 63)
		if filter&bit == 0 {
			filter |= bit
			continue
		}
		for j := range i {
			if e.Attrs[j].Key == k {
				e.Attrs[j].Value = e.Attrs[i].Value
				e.Attrs = slices.Delete(e.Attrs, i, i+1)
				i--
				break
			}
		}
	}
}

// manyAttrs is where comparing keys pairwise gets slower than a map. Beyond it
// a hostile line with tens of thousands of keys would cost seconds otherwise.
const manyAttrs = 64

func (d *Decoder) uniqueMany(e *millrace.Event) {
	if d.seen == nil {
		d.seen = make(map[string]int, len(e.Attrs))
	}
	clear(d.seen)
	out := e.Attrs[:0]
	for _, a := range e.Attrs {
		if j, ok := d.seen[a.Key]; ok {
			out[j].Value = a.Value
			continue
		}
		d.seen[a.Key] = len(out)
		out = append(out, a)
	}
	clear(e.Attrs[len(out):])
	e.Attrs = out
	clear(d.seen) // the keys point into the payload
}

func keyHash(k string) uint {
	n := len(k)
	if n == 0 {
		return 0
	}
	return uint(n)*7 ^ uint(k[0])*3 ^ uint(k[n-1])*5 ^ uint(k[n/2])
}
