package meta

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// pruner is what both databases have in common here.
type pruner interface {
	millrace.Commits
	forgetPruned()
}

func (s *SQLite) forgetPruned() { s.pruned.Store(0) }

func begin(t *testing.T, m millrace.Commits) *millrace.Flush {
	t.Helper()
	f, err := m.Begin(t.Context(), millrace.SinkEvents, []int32{0}, "node")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// prune has flushes of every state, some of which ended long ago, and clients.
func prune(t *testing.T, m pruner, exec func(sql string)) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	committed, abandoned, hidden, running := begin(t, m), begin(t, m), begin(t, m), begin(t, m)
	now := time.Now()
	must(m.Commit(ctx, committed.ID, &millrace.Commit{Sink: millrace.SinkEvents, Clients: []millrace.ClientWindow{
		{Client: "old", Updated: now.Add(-keepClients - time.Hour).UnixNano()}, {Client: "new", Updated: now.Add(-keepClients + time.Hour).UnixNano()},
	}}))
	must(m.Abandon(ctx, abandoned.ID, hidden.ID))
	must(m.Hidden(ctx, hidden.ID))
	known := func(f *millrace.Flush) bool {
		return millrace.ErrorCode(m.Abandon(ctx, f.ID)) != millrace.ErrNotFound
	}
	m.forgetPruned()
	begin(t, m)
	if !known(committed) || !known(hidden) {
		t.Error("flushes that ended just now were forgotten")
	}
	exec("UPDATE flushes SET ended = ended - 3600000000000 WHERE state > 0")
	begin(t, m)
	if !known(committed) {
		t.Error("flushes were removed before it was due")
	}
	m.forgetPruned()
	begin(t, m)
	if known(committed) || !known(hidden) {
		t.Error("after an hour a committed flush is to be forgotten, a hidden one is not")
	}
	exec("UPDATE flushes SET ended = ended - 7 * 86400000000000 WHERE state > 0")
	m.forgetPruned()
	begin(t, m)
	list, err := m.Abandoned(ctx)
	if known(hidden) || !known(running) || err != nil || len(list) != 1 || list[0] != abandoned.ID {
		t.Errorf("after a week: hidden known %v, open known %v, abandoned %v, %v", known(hidden), known(running), list, err)
	}
	st, err := m.Load(ctx, millrace.SinkEvents)
	if err != nil || len(st.Clients) != 1 || st.Clients[0].Client != "new" {
		t.Errorf("clients %+v, %v", st.Clients, err)
	}
	// What a zombie hears of a flush that was forgotten.
	err = m.Commit(ctx, committed.ID, &millrace.Commit{Sink: millrace.SinkEvents})
	if millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("commit of a forgotten flush: %v", err)
	}
}

// clockSetBack has a flush that began in an hour from now, by a clock that was
// set back since.
func clockSetBack(t *testing.T, m millrace.Commits, exec func(sql string)) {
	begin(t, m)
	exec("UPDATE flushes SET begun = begun + 3600000000000")
	first := begin(t, m)
	if d := time.Until(first.Begun); d < 59*time.Minute {
		t.Errorf("begun %v from now, before the flush that began first", d)
	}
}

func TestPrune(t *testing.T) {
	m := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer func() { _ = m.Close() }()
	prune(t, m, func(sql string) {
		if _, err := m.write.Exec(sql); err != nil {
			t.Fatal(err)
		}
	})
}

func TestClockSetBack(t *testing.T) {
	m := open(t, filepath.Join(t.TempDir(), "meta.db"))
	defer func() { _ = m.Close() }()
	clockSetBack(t, m, func(sql string) {
		if _, err := m.write.Exec(sql + "; UPDATE flush_counter SET begun = begun + 3600000000000"); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLocksContract(t *testing.T) {
	metatest.RunLocks(t, func(t *testing.T) millrace.Locks {
		m := open(t, filepath.Join(t.TempDir(), "meta.db"))
		t.Cleanup(func() { _ = m.Close() })
		return m
	})
}
