package duckdb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

func upkeepUntil(t testing.TB, db *DB, now time.Time) {
	t.Helper()
	for range 1000 {
		more, err := db.Maintain(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			return
		}
	}
	t.Fatal("upkeep never ends")
}

func TestLedgerCompaction(t *testing.T) {
	db := openTest(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	write := func(minute time.Time, example string) {
		t.Helper()
		c := &millrace.Commit{Sink: millrace.SinkEvents, Ledger: []millrace.LedgerEntry{
			{Sink: millrace.SinkEvents, Project: "p", Source: "s", Minute: minute.Unix(), Outcome: millrace.OutcomeStored, Events: 2, Weight: 3},
			{Sink: millrace.SinkEvents, Project: "p", Source: "s", Minute: minute.Unix(), Outcome: millrace.OutcomeRejected, Reason: "bad", Events: 1, Weight: 1, Example: example},
		}}
		if err := db.WriteEvents(t.Context(), &millrace.EventRows{}, c); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 250 {
		write(now.Add(-time.Duration(3+i/2)*time.Minute), []string{"", "first", "second"}[min(i, 2)])
	}
	write(now, "open")
	write(now, "open")
	read := func() string {
		t.Helper()
		l, err := db.Ledger(t.Context(), millrace.LedgerQuery{ByMinute: true})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(l)
	}
	rows := func() (n int64) {
		t.Helper()
		err := db.read(t.Context(), "count", func(c *conn) (err error) {
			n, err = oneInt(t.Context(), c, "SELECT count(*) FROM ledger_rows")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := read()
	if !strings.Contains(before, "first") || strings.Count(before, "second") == 0 {
		t.Fatalf("examples: %s", before)
	}
	upkeepUntil(t, db, now)
	if got := read(); got != before {
		t.Errorf("compaction changed the accounts:\n%s\n%s", before, got)
	}
	if n := rows(); n != 2*125+4 {
		t.Errorf("%d rows after compaction, want %d", n, 2*125+4)
	}
	write(now.Add(-3*time.Minute), "late") // a settled minute is written again
	before = read()
	upkeepUntil(t, db, now.Add(10*time.Minute))
	if got := read(); got != before {
		t.Errorf("the second compaction changed the accounts:\n%s\n%s", before, got)
	}
	if n := rows(); n != 2*126 {
		t.Errorf("%d rows after the second compaction, want %d", n, 2*126)
	}
	upkeepUntil(t, db, now.Add(731*24*time.Hour))
	if n := rows(); n != 0 {
		t.Errorf("%d rows past retention", n)
	}
}

func TestClientsAreCompactedAndForgotten(t *testing.T) {
	db := openTest(t)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 10 {
		for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			c := &millrace.Commit{Sink: sink, Clients: []millrace.ClientWindow{
				{Client: "busy", Updated: now.UnixNano(), State: fmt.Append(nil, "state of ", sink, i)},
				{Client: "old", Updated: now.Add(-29 * 24 * time.Hour).UnixNano(), State: []byte{byte(i)}},
			}}
			if err := db.WriteEvents(t.Context(), &millrace.EventRows{}, c); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(want int) {
		t.Helper()
		for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			s, err := db.Load(t.Context(), sink)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Clients) != want || want > 0 && string(s.Clients[0].State) != fmt.Sprint("state of ", sink, 9) {
				t.Errorf("%s: %+v", sink, s.Clients)
			}
		}
	}
	upkeepUntil(t, db, now)
	check(2)
	upkeepUntil(t, db, now.Add(2*24*time.Hour))
	check(1)
	upkeepUntil(t, db, now.Add(31*24*time.Hour))
	check(0)
}

func TestCheckpointPolicy(t *testing.T) {
	db := openTest(t)
	wal := func() int64 {
		fi, err := os.Stat(db.path + ".wal")
		if err != nil {
			return 0
		}
		return fi.Size()
	}
	writeEvents(t, db, accessRows(1000, 0, 1))
	now := time.Now()
	upkeepUntil(t, db, now)
	if wal() == 0 {
		t.Fatal("a small log was checkpointed at once")
	}
	// An open reader must not make upkeep fail.
	err := db.snapshot(t.Context(), "hold", func(c *conn) error {
		if _, err := oneInt(t.Context(), c, "SELECT count(*) FROM events"); err != nil {
			return err
		}
		_, err := db.checkpoint(t.Context(), now.Add(time.Minute))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	upkeepUntil(t, db, now.Add(2*time.Minute))
	if wal() != 0 {
		t.Errorf("%d bytes of log after an idle minute", wal())
	}
}

// TestFailedWrites makes every step fail and writes on.
func TestFailedWrites(t *testing.T) {
	t.Cleanup(func() { _ = failpoint.Set("") })
	db := openTest(t)
	rows, offset := accessRows(3000, 0, 1), int64(0)
	write := func(ctx context.Context) error {
		offset++
		return db.WriteEvents(ctx, rows, &millrace.Commit{Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: offset}}})
	}
	check := func(wantRows int64) {
		t.Helper()
		if n := query(t, db, "SELECT count(*), (SELECT max(\"offset\") FROM positions) FROM events").Rows[0]; n[0] != wantRows {
			t.Errorf("%v rows, want %d", n, wantRows)
		}
	}
	if err := write(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(3000)
	if err := failpoint.Set("events.commit=error:1"); err != nil {
		t.Fatal(err)
	}
	if err := write(t.Context()); err == nil {
		t.Error("a failing commit reported success")
	}
	check(3000)
	if err := failpoint.Set("events.commit=panic:1"); err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = write(t.Context())
	}()
	check(3000)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ctx); err == nil {
		t.Error("a cancelled write reported success")
	}
	check(3000)
	err := db.write(t.Context(), "events", func(w *writer) error {
		if err := writeDay(w, rows); err != nil {
			return err
		}
		c := &millrace.Commit{Ledger: []millrace.LedgerEntry{{Sink: millrace.SinkEvents, Events: 1}}}
		if err := writeLedger(w, c, 1); err != nil {
			return err
		}
		// The table goes away under the appender: its flush fails.
		_, err := w.exec("DROP TABLE ledger_rows CASCADE")
		return err
	})
	if err == nil {
		t.Error("a failing flush reported success")
	}
	check(3000)
	if err := write(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(6000)
}

func TestOpenErrors(t *testing.T) {
	f := func(path string, want millrace.Code) {
		t.Helper()
		db, err := Open(t.Context(), DefaultOptions(), path, time.Now, discard)
		if err == nil {
			t.Errorf("%s: opened", path)
			_ = db.Close()
			return
		}
		if millrace.ErrorCode(err) != want || millrace.ErrorMessage(err) == "" {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
		if want != millrace.ErrConflict && millrace.ErrorHint(err) == "" {
			t.Errorf("%s: no hint: %v", path, err)
		}
	}
	dir := t.TempDir()
	db := openAt(t, dir+"/open.duckdb")
	f(dir+"/open.duckdb", millrace.ErrConflict)
	_ = db

	if err := os.WriteFile(dir+"/garbage.duckdb", []byte(strings.Repeat("garbage ", 5000)), 0o600); err != nil {
		t.Fatal(err)
	}
	f(dir+"/garbage.duckdb", millrace.ErrCorrupt)

	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(dir+"/file/x.duckdb", millrace.ErrUnavailable)
	f("/proc/millrace/x.duckdb", millrace.ErrUnavailable)

	newer := openAt(t, dir+"/newer.duckdb")
	if err := newer.write(t.Context(), "test", func(w *writer) error {
		_, err := w.exec("INSERT INTO meta_version VALUES (?, ?)", schemaVersion+1, timeNS(0))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	f(dir+"/newer.duckdb", millrace.ErrInvalid)
	if _, err := Open(t.Context(), DefaultOptions(), dir+"/a?b.duckdb", time.Now, discard); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("a path with a question mark: %v", err)
	}
	strange := openAt(t, dir+"/it's a strange% \"path\".duckdb")
	writeEvents(t, strange, accessRows(10, 0, 1))
}
