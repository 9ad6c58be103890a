package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// testFingerprints: the events of a few fingerprints are found among those of all,
// page by page, in a project and a range of time, and are counted by step.
func testFingerprints(t *testing.T, s millrace.Store) {
	faultID := func(i int) string { return fmt.Sprintf("v2:%016x", i) }
	var all []ev
	for flush := range 5 {
		var rows []ev
		for i := range 100 {
			n := flush*100 + i
			e := ev{
				time: Base.UnixNano() + int64(n*7919%3000)*1e9, kind: millrace.KindException, message: "at a.B.c", weight: int64(1 + n%3),
				project: []string{"default", "shop"}[n%2], offset: int64(flush), ordinal: int32(n),
				attrs: attrs("type", "io.Timeout", "fingerprint", faultID(n*n%97), "exception_report", `{"fingerprint":"v2:0000000000000001"}`),
			}
			switch {
			case n%5 == 0: // most events are none
				e.kind, e.attrs = millrace.KindAccess, nil
			case n%31 == 1: // what is no exception may have one, too
				e.kind = millrace.KindLog
			case n%31 == 2:
				e.attrs = []millrace.Attr{
					{Key: "nested", Value: millrace.JSONValue(`{"fingerprint":"v2:0000000000000001"}`)},
					{Key: "fingerprint", Value: millrace.IntValue(1)},
				}
			case n%31 == 3:
				e.attrs = attrs("fingerprint", `a "quoted" \ one`)
			}
			rows = append(rows, e)
		}
		writeEvents(t, s, rows)
		all = append(all, rows...)
	}
	eq := func(field, value string) *millrace.Filter {
		return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: value}
	}
	anyOf := func(prints ...string) *millrace.Filter {
		f := &millrace.Filter{Op: millrace.FilterOr}
		for _, p := range prints {
			f.Sub = append(f.Sub, eq("fingerprint", p))
		}
		return f
	}
	var many []string
	for i := range 40 { // more take the oracle seconds
		many = append(many, faultID(i*2))
	}
	exception := eq("kind", "exception")
	stored := readEvents(t, s, allEvents())
	if len(stored) != len(all) {
		t.Fatalf("%d events of %d", len(stored), len(all))
	}
	fields := make([]func(string) string, len(stored))
	for i := range stored {
		fields[i] = fieldOf(&stored[i])
	}
	for _, f := range []*millrace.Filter{
		eq("fingerprint", faultID(1)), eq("fingerprint", faultID(0)), eq("fingerprint", "nope"), eq("fingerprint", ""), eq("fingerprint", "1"),
		eq("fingerprint", `a "quoted" \ one`), anyOf(faultID(1), faultID(4), "nope"), anyOf(many...),
	} {
		for _, f := range []*millrace.Filter{
			f,
			{Op: millrace.FilterAnd, Sub: []*millrace.Filter{exception, f}},
			{Op: millrace.FilterAnd, Sub: []*millrace.Filter{f, eq("project", "shop"), {Op: millrace.FilterNot, Sub: []*millrace.Filter{eq("fingerprint", faultID(4))}}}},
			{Op: millrace.FilterOr, Sub: []*millrace.Filter{f, eq("fingerprint", faultID(9))}},
			{Op: millrace.FilterNot, Sub: []*millrace.Filter{f}},
		} {
			sameAsMatch(t, s, stored, fields, millrace.EventQuery{From: allEvents().From, To: allEvents().To, Filter: f})
			sameAsMatch(t, s, stored, fields, millrace.EventQuery{
				From: Base.Add(10 * time.Minute).UnixNano(), To: Base.Add(31 * time.Minute).UnixNano(), Project: "default", Filter: f,
			})
		}
	}
}

// sameAsMatch compares pages and counts of a query with Filter.Match over all events,
// which are newest first.
func sameAsMatch(t *testing.T, s millrace.Store, stored []millrace.StoredEvent, fields []func(string) string, q millrace.EventQuery) {
	t.Helper()
	var want, got []int32
	counts := map[int64]millrace.TimeCount{}
	const step = int64(5 * time.Minute)
	for i := range stored {
		e := &stored[i]
		at := e.Time.UnixNano()
		if at < q.From || at >= q.To || q.Project != "" && e.Project != q.Project || !q.Filter.Match(fields[i]) {
			continue
		}
		want = append(want, e.Ordinal)
		c := counts[at/step*step]
		counts[at/step*step] = millrace.TimeCount{Time: at / step * step, Events: c.Events + 1, Weight: c.Weight + e.Weight}
	}
	q.Limit = 30
	for pages := 0; ; pages++ {
		page, err := s.Events(t.Context(), q)
		check(t, err)
		for i := range page.Events {
			got = append(got, page.Events[i].Ordinal)
		}
		if q.Cursor = page.Next; q.Cursor == "" || pages == 3 {
			break
		}
	}
	want = want[:min(len(want), 4*q.Limit)]
	if !slices.Equal(got, want) {
		t.Errorf("filter %s: %d events, want %d, or others", filterText(q.Filter), len(got), len(want))
	}
	q.Cursor = ""
	have, err := s.CountEvents(t.Context(), q, step)
	check(t, err)
	if len(have) != len(counts) {
		t.Errorf("filter %s: %d counts, want %d", filterText(q.Filter), len(have), len(counts))
	}
	for _, c := range have {
		if counts[c.Time] != c {
			t.Errorf("filter %s: counted %+v, want %+v", filterText(q.Filter), c, counts[c.Time])
		}
	}
}
