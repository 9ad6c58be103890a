package duckdb

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func writeEvents(t testing.TB, db *DB, rows *millrace.EventRows) {
	t.Helper()
	if err := db.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
}

// TestEventsRoundTrip writes the texts and times that break things.
func TestEventsRoundTrip(t *testing.T) {
	db := openTest(t)
	texts := []string{
		"", "a", "twelve bytes", "thirteen byte", "nul\x00in\x00side", "\x00", "grün 漢字 🎉", strings.Repeat("long ", 200_000),
		`{"json": "in message"}`, "line\nbreak\r\n", "'; DROP TABLE events; --",
	}
	times := []time.Time{
		time.Date(1678, 1, 1, 0, 0, 0, 1, time.UTC), time.Unix(0, 0), time.Unix(0, -1), time.Unix(0, math.MaxInt64-1),
		time.Date(2262, 4, 11, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 28, 23, 59, 59, 999999999, time.UTC),
	}
	rows := &millrace.EventRows{}
	var want []millrace.StoredEvent
	arrived := time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)
	for i, text := range texts {
		at := times[i%len(times)].UTC()
		e := millrace.Event{
			Time: at.UnixNano(), Weight: int64(i) + 1, Kind: millrace.Kind(i % 5), Ordinal: int32(i), Project: text, Source: text,
			Service: text, Host: text, Env: text, Release: text, Level: text, TraceID: text, Message: text,
			Attrs: []millrace.Attr{{Key: "k" + text[:min(len(text), 20)], Value: millrace.StringValue(text)}},
		}
		rows.Append(&millrace.Record{Partition: 3, Offset: math.MaxInt64 - 1, Arrived: arrived.UnixNano()}, &e)
		want = append(want, millrace.StoredEvent{
			Time: at, Project: text, Source: text, Kind: e.Kind.String(), Service: text, Host: text, Env: text, Release: text,
			Level: text, TraceID: text, Message: text, Weight: e.Weight, Attrs: millrace.AppendAttrs(nil, e.Attrs),
			Arrived: arrived, Partition: 3, Offset: math.MaxInt64 - 1, Ordinal: int32(i),
		})
	}
	writeEvents(t, db, rows)
	page, err := db.Events(t.Context(), millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Events) != len(want) || page.Next != "" {
		t.Fatalf("%d events, next %q", len(page.Events), page.Next)
	}
	for _, got := range page.Events {
		w := want[got.Ordinal]
		if !json.Valid(got.Attrs) {
			t.Errorf("event %d: attrs are not JSON", got.Ordinal)
		}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", w); g != w {
			t.Errorf("event %d:\ngot  %.600s\nwant %.600s", got.Ordinal, g, w)
		}
	}
}

func TestInvalidUTF8IsRepaired(t *testing.T) {
	db := openTest(t)
	rows := &millrace.EventRows{}
	e := millrace.Event{Time: 1, Weight: 1, Message: "a\xffb"}
	rows.Append(&millrace.Record{}, &e)
	half := millrace.Event{Time: 1, Weight: 1, Service: "\xc3", Host: "h"} // the arena may be valid by accident
	rows.Append(&millrace.Record{}, &half)
	half.Service = "\xbc"
	rows.Append(&millrace.Record{}, &half)
	writeEvents(t, db, rows)
	tab, err := db.SQL(t.Context(), "SELECT DISTINCT message, service FROM events ORDER BY ALL", millrace.SQLLimits{Timeout: time.Minute, Rows: 9})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tab.Rows); got != "[[ �] [a�b ]]" {
		t.Errorf("got %s", got)
	}
}

// TestPages walks pages of every size over events of several days, with equal
// times, and compares with a sort in memory.
func TestPages(t *testing.T) {
	db := openTest(t)
	rng := rand.New(rand.NewPCG(3, 3))
	var all []place
	for day := range int64(3) {
		rows := &millrace.EventRows{}
		for i := range 300 {
			e := millrace.Event{Time: rng.Int64N(40)*dayNS/10 + rng.Int64N(3), Weight: 1, Ordinal: int32(i)}
			rec := &millrace.Record{Partition: int32(rng.IntN(3)), Offset: rng.Int64N(50), Arrived: day * dayNS}
			rows.Append(rec, &e)
			all = append(all, place{e.Time, rec.Partition, rec.Offset, e.Ordinal})
		}
		writeEvents(t, db, rows)
	}
	slices.SortFunc(all, func(a, b place) int { return b.compare(a) })
	for _, limit := range []int{1000, 299, 100, 37} {
		q := millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: limit}
		var got []place
		for {
			page, err := db.Events(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page.Events {
				got = append(got, placeOf(&page.Events[i]))
			}
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("limit %d: got %d events, want %d in another order", limit, len(got), len(all))
		}
	}
	for _, bad := range []string{"x", "AAAA", "!!"} {
		if _, err := db.Events(t.Context(), millrace.EventQuery{Limit: 1, Cursor: bad}); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("cursor %q: %v", bad, err)
		}
	}
}

func TestCountEvents(t *testing.T) {
	db := openTest(t)
	rows := &millrace.EventRows{}
	for _, ns := range []int64{-61e9, -60e9, -1, 0, 59e9, 60e9} {
		e := millrace.Event{Time: ns, Weight: 3}
		rows.Append(&millrace.Record{}, &e)
	}
	writeEvents(t, db, rows)
	q := millrace.EventQuery{From: -1e18, To: 1e18}
	for step, want := range map[int64]string{
		60e9: "[{-120000000000 1 3} {-60000000000 2 6} {0 2 6} {60000000000 1 3}]",
		0:    "[{0 6 18}]",
	} {
		got, err := db.CountEvents(t.Context(), q, step)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("step %d: got %v, want %s", step, got, want)
		}
	}
}

// TestMidnight writes one flush that arrived on two days.
func TestMidnight(t *testing.T) {
	db := openTest(t)
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	rows := &millrace.EventRows{}
	for i := range int64(3000) {
		e := millrace.Event{Time: midnight + i, Weight: 1, Ordinal: int32(i), Message: fmt.Sprint("message ", i)}
		rows.Append(&millrace.Record{Arrived: midnight + i%2 - 1}, &e)
	}
	writeEvents(t, db, rows)
	tab, err := db.SQL(t.Context(), "SELECT arrived::DATE::VARCHAR, count(*), sum(ordinal)::BIGINT, count(DISTINCT message) FROM events GROUP BY 1 ORDER BY 1",
		millrace.SQLLimits{Timeout: time.Minute, Rows: 10})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tab.Rows); got != "[[2026-02-28 1500 2248500 1500] [2026-03-01 1500 2250000 1500]]" {
		t.Errorf("got %s", got)
	}
}

// TestWriteAllocations: memory per flush must not depend on the rows.
func TestWriteAllocations(t *testing.T) {
	db := openTest(t)
	rows := accessRows(10*chunkRows, 0, 1)
	c := &millrace.Commit{Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: 1}}}
	allocs := testing.AllocsPerRun(5, func() {
		if err := db.WriteEvents(t.Context(), rows, c); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 300 {
		t.Errorf("%v allocations for %d rows", allocs, rows.Len())
	}
}

func FuzzCursor(f *testing.F) {
	f.Add(place{-1, 2, 3, 4}.cursor())
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseCursor(s)
		if err == nil && p.compare(p) != 0 {
			t.Errorf("%q: %v", s, p)
		}
		if q, err := parseCursor(p.cursor()); err != nil || q != p {
			t.Errorf("%v became %v, %v", p, q, err)
		}
	})
}

func placeOf(e *millrace.StoredEvent) place {
	return place{e.Time.UnixNano(), e.Partition, e.Offset, e.Ordinal}
}
