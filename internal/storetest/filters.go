package storetest

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/millrace/millrace"
)

func testEventFilters(t *testing.T, s millrace.Store) {
	all := []ev{
		{kind: millrace.KindAccess, service: "web", message: "GET /index.html 50%", status: "200", weight: 3},
		{kind: millrace.KindLog, service: "Web", message: "Timed OUT_x*y", attrs: attrs("took", "9")},
		{kind: millrace.KindLog, service: "", message: "héllo wörld", attrs: attrs("took", "10.5", "a.b", "dot", "it's", "q")},
		{
			kind: millrace.KindMetric, service: "db", message: "x", attrs: []millrace.Attr{
				{Key: "took", Value: millrace.IntValue(100)},
				{Key: "ok", Value: millrace.BoolValue(true)},
				{Key: "nested", Value: millrace.JSONValue(`[1,2]`)},
			},
		},
		{kind: millrace.KindLog, service: "web", message: "", attrs: attrs("took", "abc", "service", "shadowed")},
	}
	for i := range all {
		all[i].time = Base.UnixNano() + int64(i)
		all[i].ordinal = int32(i)
	}
	writeEvents(t, s, all)
	stored := readEvents(t, s, allEvents())
	leaf := func(op millrace.FilterOp, field, value string) *millrace.Filter {
		return &millrace.Filter{Op: op, Field: field, Value: value}
	}
	node := func(op millrace.FilterOp, sub ...*millrace.Filter) *millrace.Filter {
		return &millrace.Filter{Op: op, Sub: sub}
	}
	web := leaf(millrace.FilterEq, "service", "web")
	filters := []*millrace.Filter{
		nil, node(millrace.FilterAnd), node(millrace.FilterOr), web,
		node(millrace.FilterNot, web),
		node(millrace.FilterAnd, web, leaf(millrace.FilterEq, "status", "200")),
		node(millrace.FilterOr, web, leaf(millrace.FilterEq, "service", "")),
		node(millrace.FilterNot, leaf(millrace.FilterGt, "took", "1")),
		leaf(millrace.FilterNe, "service", "web"), leaf(millrace.FilterNe, "absent", ""), leaf(millrace.FilterNe, "absent", "x"),
		leaf(millrace.FilterEq, "absent", ""), leaf(millrace.FilterEq, "took", ""), leaf(millrace.FilterEq, "took", "100"),
		leaf(millrace.FilterEq, "ok", "true"), leaf(millrace.FilterEq, "nested", "[1,2]"),
		leaf(millrace.FilterEq, "a.b", "dot"), leaf(millrace.FilterEq, "it's", "q"),
		leaf(millrace.FilterEq, "kind", "log"), leaf(millrace.FilterEq, "weight", "3"), leaf(millrace.FilterGt, "weight", "2"),
		leaf(millrace.FilterText, "", "timed out"), leaf(millrace.FilterText, "", "50%"), leaf(millrace.FilterText, "", "_x*"),
		leaf(millrace.FilterText, "", "HÉLLO"), leaf(millrace.FilterText, "", ""),
		leaf(millrace.FilterLt, "took", "10"), leaf(millrace.FilterLe, "took", "10.5"),
		leaf(millrace.FilterGt, "took", "9"), leaf(millrace.FilterGe, "took", "1e1"),
		leaf(millrace.FilterLt, "service", "b"), leaf(millrace.FilterGe, "service", "db"), leaf(millrace.FilterGt, "took", "a"),
		leaf(millrace.FilterGlob, "service", "*"), leaf(millrace.FilterGlob, "service", "w*"), leaf(millrace.FilterGlob, "service", "?eb"),
		leaf(millrace.FilterGlob, "message", "GET*50%"), leaf(millrace.FilterGlob, "message", "*_x*y"), leaf(millrace.FilterGlob, "message", "*/*.*"),
		leaf(millrace.FilterGlob, "absent", "*"), leaf(millrace.FilterGlob, "absent", "a*"), leaf(millrace.FilterGlob, "message", "x"),
		leaf(millrace.FilterRegexp, "message", "[Tt]imed.*_x"), leaf(millrace.FilterRegexp, "message", "^GET .index"), leaf(millrace.FilterRegexp, "took", `^\d+$`),
		leaf(millrace.FilterRegexp, "message", "wörld$"), leaf(millrace.FilterRegexp, "absent", "^$"), leaf(millrace.FilterRegexp, "service", "(?i)^WEB$"),
		leaf(millrace.FilterGlob, "took", "1*0"), leaf(millrace.FilterGlob, "service", "web*web"),
	}
	for _, f := range filters {
		checkFilter(t, s, stored, f)
	}
}

// testAttrFilters asks questions about every well-known attribute. A Store may
// spell the numbers of attributes in its own way, save those of durations.
func testAttrFilters(t *testing.T, s millrace.Store) {
	var all []ev
	for i, attrs := range wellKnown() {
		all = append(all, ev{time: Base.UnixNano() + int64(i), ordinal: int32(i), attrs: attrs})
	}
	writeEvents(t, s, all)
	stored := readEvents(t, s, allEvents())
	own := map[string]string{
		millrace.AttrURL: "/a \"b\" \\ grün \x00 \u2028", millrace.AttrMethod: "brew", millrace.AttrStatus: "9223372036854775807",
		millrace.AttrBytes: "9223372036854775807", millrace.AttrRT: "0.150000", millrace.AttrRTBackend: "0.15",
		millrace.AttrClientIP: "10.0.0.1", millrace.AttrUserAgent: "\ufdd0",
	}
	for field, value := range own {
		f := func(op millrace.FilterOp, value string) {
			t.Helper()
			checkFilter(t, s, stored, &millrace.Filter{Op: op, Field: field, Value: value})
		}
		for _, v := range []string{"", "GET", "200", "-1", value} {
			f(millrace.FilterEq, v)
		}
		for _, v := range []string{"200", "-1", "199.5", "b"} {
			f(millrace.FilterLt, v)
			f(millrace.FilterGe, v)
		}
		f(millrace.FilterNe, value)
		for _, v := range []string{"2*", "*.0.0.1", "*E*", "b*w"} {
			f(millrace.FilterGlob, v)
		}
		not := &millrace.Filter{Op: millrace.FilterGt, Field: field, Value: "0"}
		checkFilter(t, s, stored, &millrace.Filter{Op: millrace.FilterNot, Sub: []*millrace.Filter{not}})
	}
}

// checkFilter compares what a store finds with Filter.Match over all events.
func checkFilter(t *testing.T, s millrace.Store, stored []millrace.StoredEvent, f *millrace.Filter) {
	t.Helper()
	var want []int32
	for i := range stored {
		if f.Match(fieldOf(&stored[i])) {
			want = append(want, stored[i].Ordinal)
		}
	}
	q := allEvents()
	q.Filter = f
	var got []int32
	for _, e := range readEvents(t, s, q) {
		got = append(got, e.Ordinal)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("filter %s: events %v, want %v", filterText(f), got, want)
	}
	counts, err := s.CountEvents(t.Context(), q, 0)
	check(t, err)
	if n := len(want); n == 0 && len(counts) != 0 || n > 0 && (len(counts) != 1 || counts[0].Events != int64(n)) {
		t.Errorf("filter %s: counts %v, want %d events", filterText(f), counts, n)
	}
}

func attrs(pairs ...string) []millrace.Attr {
	var out []millrace.Attr
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, millrace.Attr{Key: pairs[i], Value: millrace.StringValue(pairs[i+1])})
	}
	return out
}

// fieldOf reads the fields of a stored event as text, the way Filter.Match
// wants them.
func fieldOf(e *millrace.StoredEvent) func(string) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(e.Attrs, &members); err != nil {
		return func(string) string { return "(bad attrs)" }
	}
	columns := map[string]string{
		"project": e.Project, "source": e.Source, "kind": e.Kind, "service": e.Service, "host": e.Host,
		"env": e.Env, "release": e.Release, "level": e.Level, "trace_id": e.TraceID, "message": e.Message,
		"weight": fmt.Sprint(e.Weight),
	}
	return func(name string) string {
		if v, ok := columns[name]; ok {
			return v
		}
		var text string
		if raw := members[name]; json.Unmarshal(raw, &text) != nil {
			return string(raw)
		}
		return text
	}
}
