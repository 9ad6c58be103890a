package storetest

import (
	"testing"

	"github.com/millrace/millrace"
)

// testStale has two workers that believe they own the same partition: whoever
// commits second is refused, and leaves nothing.
func testStale(t *testing.T, s millrace.Store) {
	ctx := t.Context()
	at := func(offset int64) []millrace.Position {
		return []millrace.Position{{Partition: 2, Generation: 1, TopicID: "t", Offset: offset}}
	}
	commit := func(from, to []millrace.Position) *millrace.Commit {
		return &millrace.Commit{
			Sink: millrace.SinkEvents, From: from, Positions: to,
			Ledger: []millrace.LedgerEntry{{
				Sink: millrace.SinkEvents, Project: "p", Source: "s", Minute: Base.Unix(),
				Outcome: millrace.OutcomeReceived, Events: 1, Weight: 1,
			}},
		}
	}
	check(t, s.WriteEvents(ctx, nil, commit([]millrace.Position{{Partition: 2}}, at(10))))
	claimed, err := s.Claim(ctx, millrace.SinkEvents, []int32{2})
	check(t, err)
	if len(claimed.Positions) != 1 || claimed.Positions[0] != at(10)[0] {
		t.Fatalf("claimed %+v", claimed.Positions)
	}
	all, err := s.Positions(ctx)
	check(t, err)
	if len(all) != 1 || len(all[millrace.SinkEvents]) != 1 || all[millrace.SinkEvents][0] != at(10)[0] {
		t.Fatalf("positions %+v", all)
	}
	for name, from := range map[string][]millrace.Position{
		"a first commit":        {{Partition: 2}},
		"an older position":     at(9),
		"another generation":    {{Partition: 2, Generation: 2, TopicID: "t", Offset: 10}},
		"in the middle":         {{Partition: 2, Generation: 1, TopicID: "t", Offset: 10, Ordinal: 1}},
		"of no such topic":      {{Partition: 2, Generation: 1, TopicID: "u", Offset: 10}},
		"with one that is well": {{Partition: 3}, at(11)[0]},
	} {
		err := s.WriteEvents(ctx, nil, commit(from, at(20)))
		if millrace.ErrorCode(err) != millrace.ErrConflict {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, s.WriteEvents(ctx, nil, commit(at(10), at(20))))
	entries, err := s.Ledger(ctx, millrace.LedgerQuery{})
	check(t, err)
	if len(entries) != 1 || entries[0].Events != 2 {
		t.Errorf("accounts of refused commits: %+v", entries)
	}
}
