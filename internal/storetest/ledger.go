package storetest

import (
	"bytes"
	"cmp"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

func sortState(s *millrace.SinkState) {
	slices.SortFunc(s.Positions, func(a, b millrace.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	slices.SortFunc(s.Clients, func(a, b millrace.ClientWindow) int { return cmp.Compare(a.Client, b.Client) })
	slices.SortFunc(s.Admitted, func(a, b millrace.Admission) int {
		return cmp.Or(cmp.Compare(a.Rollup, b.Rollup), cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Value, b.Value))
	})
}

func testLedger(t *testing.T, s millrace.Store) {
	minute := Base.Unix()
	entry := func(minute int64, project, source string, o millrace.Outcome, reason string, n int64, example string) millrace.LedgerEntry {
		return millrace.LedgerEntry{
			Sink: millrace.SinkEvents, Project: project, Source: source, Minute: minute,
			Outcome: o, Reason: reason, Events: n, Weight: 2 * n, Example: example,
		}
	}
	write := func(entries ...millrace.LedgerEntry) {
		t.Helper()
		check(t, s.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: entries}))
	}
	write(
		entry(minute, "default", "web", millrace.OutcomeReceived, "", 10, ""),
		entry(minute, "default", "web", millrace.OutcomeRejected, "bad_json", 1, ""),
		entry(minute, "default", "web", millrace.OutcomeRejected, "bad_json", 1, "{first"),
		entry(minute, "default", "web", millrace.OutcomeStored, "", 8, ""),
	)
	write(
		entry(minute+60, "default", "web", millrace.OutcomeReceived, "", 5, ""),
		entry(minute+60, "default", "web", millrace.OutcomeRejected, "bad_json", 3, "{later"),
		entry(minute, "default", "web", millrace.OutcomeRejected, "bad_json", 1, "{second"),
		entry(minute, "shop", "app", millrace.OutcomeReceived, "", 4, ""),
	)
	received := entry(minute, "default", "web", millrace.OutcomeReceived, "", 7, "")
	received.Sink = millrace.SinkRollup
	write(received)

	f := func(name string, q millrace.LedgerQuery, want ...millrace.LedgerEntry) {
		t.Helper()
		got, err := s.Ledger(t.Context(), q)
		check(t, err)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	web := []millrace.LedgerEntry{
		entry(minute, "default", "web", millrace.OutcomeReceived, "", 10, ""),
		entry(minute, "default", "web", millrace.OutcomeRejected, "bad_json", 3, "{first"),
		entry(minute, "default", "web", millrace.OutcomeStored, "", 8, ""),
	}
	app := entry(minute, "shop", "app", millrace.OutcomeReceived, "", 4, "")
	later := []millrace.LedgerEntry{
		entry(minute+60, "default", "web", millrace.OutcomeReceived, "", 5, ""),
		entry(minute+60, "default", "web", millrace.OutcomeRejected, "bad_json", 3, "{later"),
	}
	f("by minute", millrace.LedgerQuery{ByMinute: true}, slices.Concat([]millrace.LedgerEntry{app}, web, []millrace.LedgerEntry{received}, later)...)
	f("to", millrace.LedgerQuery{ByMinute: true, To: minute + 60, Sink: millrace.SinkEvents, Source: "web"}, web...)
	f("from", millrace.LedgerQuery{ByMinute: true, From: minute + 60, To: minute + 120}, later...)
	f("project", millrace.LedgerQuery{ByMinute: true, Project: "shop"}, app)
	f("sink", millrace.LedgerQuery{ByMinute: true, Sink: millrace.SinkRollup}, received)
	f("nothing", millrace.LedgerQuery{Source: "nope"})
	f("summed", millrace.LedgerQuery{Sink: millrace.SinkEvents, Project: "default"},
		entry(0, "default", "web", millrace.OutcomeReceived, "", 15, ""),
		entry(0, "default", "web", millrace.OutcomeRejected, "bad_json", 6, "{first"),
		entry(0, "default", "web", millrace.OutcomeStored, "", 8, ""))
}

func testGaps(t *testing.T, s millrace.Store) {
	first := millrace.Gap{Sink: millrace.SinkEvents, Partition: 2, Generation: 1, From: 10, To: -1, Found: 100, Reason: "topic re-created"}
	second := millrace.Gap{Sink: millrace.SinkRollup, From: 1, To: 5, Found: 200, Reason: "it's gone"}
	check(t, s.WriteCells(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkRollup, Gaps: []millrace.Gap{second}}))
	check(t, s.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Gaps: []millrace.Gap{first}}))
	got, err := s.Gaps(t.Context())
	check(t, err)
	if want := []millrace.Gap{first, second}; !reflect.DeepEqual(got, want) {
		t.Fatalf("\n got %+v\nwant %+v", got, want)
	}
}

func testSetAside(t *testing.T, s millrace.Store) {
	record := func(at int64, payload []byte) millrace.SetAside {
		return millrace.SetAside{
			Sink: millrace.SinkEvents, Partition: 3, Generation: 1, Offset: 9, Ordinal: -1, Time: at,
			Project: "default", Source: "web", Stage: "decode", Reason: "panic: boom", Payload: payload,
		}
	}
	big := bytes.Repeat([]byte{0, 0xff, '\'', '\n'}, 1<<18)
	a, b, c := record(10, []byte{0, 1, 255}), record(20, big), record(30, []byte("x"))
	check(t, s.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, SetAside: []millrace.SetAside{b, a}}))
	check(t, s.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, SetAside: []millrace.SetAside{c}}))
	f := func(limit int, want ...millrace.SetAside) {
		t.Helper()
		got, err := s.SetAside(t.Context(), limit)
		check(t, err)
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("limit %d: got %d records, want %d", limit, len(got), len(want))
		}
	}
	f(0)
	f(2, c, b)
	f(100, c, b, a)
}
