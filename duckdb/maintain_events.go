package duckdb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// dropEvents drops the oldest day table if retention no longer keeps any of its
// rows. The table, its catalog entry and the view change in one transaction.
// The space is used again at once, except what readers still look at.
func (db *DB) dropEvents(ctx context.Context, now time.Time) (more bool, err error) {
	cutoff := dayOf(now.Add(-db.opt.Retention.Events.Std()).UnixNano()) // a day before this one is past
	var old []segment
	err = db.read(ctx, "look for old events", func(c *conn) error {
		segs, err := loadSegments(ctx, c)
		for _, s := range segs {
			if s.day < cutoff {
				old = append(old, s)
			}
		}
		return err
	})
	if err != nil || len(old) == 0 {
		return false, err
	}
	err = db.write(ctx, "drop", func(w *writer) error {
		if err := old[0].noteDropped(w); err != nil {
			return err
		}
		if _, err := w.exec("DELETE FROM segments WHERE name = ?", old[0].name); err != nil {
			return err
		}
		if err := refreshView(w); err != nil {
			return err
		}
		_, err := w.exec("DROP TABLE " + ident(old[0].name))
		return err
	})
	if err == nil {
		err = db.index.drop(old[0].name)
	}
	return len(old) > 1, err
}

// Upkeep of the logs that flushes append to.
const (
	logsEvery = time.Minute
	// ledgerSlice bounds the minutes one slice of compaction merges, each of
	// which has a row per source, outcome and flush.
	ledgerSlice = 100
	// settledAfter is how long after a minute its accounts hardly change any more.
	settledAfter = 2 * time.Minute
	// forgetClients is how long an unused client window is kept (ClientWindow).
	forgetClients = 30 * 24 * time.Hour
)

// compactLedger merges the rows of past minutes into one per account and drops
// those past retention.
func (db *DB) compactLedger(ctx context.Context, now time.Time) (more bool, err error) {
	if !due(&db.upkeep.ledger, now, logsEvery) {
		return false, nil
	}
	cutoff := now.Add(-settledAfter).Unix()
	err = db.write(ctx, "ledger", func(w *writer) error {
		if _, err := w.exec("DELETE FROM ledger_rows WHERE minute < ?", now.Add(-db.opt.Retention.Ledger.Std()).Unix()); err != nil {
			return err
		}
		// Rows up to this number belong to settled minutes; the next call starts there.
		next, err := oneInt(ctx, w.c, "SELECT coalesce(min(seq) - 1, ?) FROM ledger_rows WHERE seq > ? AND minute >= ?",
			db.seq, db.upkeep.compacted, cutoff)
		if err != nil {
			return err
		}
		minutes, err := unmergedMinutes(w, db.upkeep.compacted, cutoff)
		if err != nil {
			return err
		}
		if more = len(minutes) == ledgerSlice; !more {
			db.upkeep.compacted = next
		}
		if len(minutes) == 0 {
			return nil
		}
		return mergeMinutes(w, strings.Join(minutes, ", "))
	})
	if more {
		db.upkeep.ledger = time.Time{}
	}
	return more, err
}

// unmergedMinutes returns settled minutes with rows after a sequence number
// that have more than one row for an account.
func unmergedMinutes(w *writer, after, cutoff int64) ([]string, error) {
	r, err := w.query(fmt.Sprintf(`SELECT DISTINCT minute FROM (
			SELECT minute FROM ledger_rows
			WHERE minute IN (SELECT minute FROM ledger_rows WHERE seq > ? AND minute < ?)
			GROUP BY minute, sink, project, source, outcome, reason HAVING count(*) > 1)
		ORDER BY minute LIMIT %d`, ledgerSlice), after, cutoff)
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []string
	for r.next() {
		out = append(out, fmt.Sprint(r.int64(0)))
	}
	return out, r.err
}

// mergeMinutes replaces the rows of the given minutes by one per account. The
// merged row keeps the first sequence number, and so the first example.
func mergeMinutes(w *writer, minutes string) error {
	for _, q := range []string{
		`CREATE TEMP TABLE merged AS SELECT sink, project, source, minute, outcome, reason,
			sum(events)::BIGINT AS events, sum(weight)::BIGINT AS weight,
			coalesce(arg_min(example, seq) FILTER (example <> ''), '') AS example, min(seq) AS seq
			FROM ledger_rows WHERE minute IN (` + minutes + `) GROUP BY sink, project, source, minute, outcome, reason`,
		"DELETE FROM ledger_rows WHERE minute IN (" + minutes + ")",
		"INSERT INTO ledger_rows SELECT * FROM merged ORDER BY minute",
		"DROP TABLE merged",
	} {
		if _, err := w.exec(q); err != nil {
			return err
		}
	}
	return nil
}

// compactClients keeps the newest window of each client and forgets clients
// that were silent for 30 days.
func (db *DB) compactClients(ctx context.Context, now time.Time) (more bool, err error) {
	if !due(&db.upkeep.clients, now, logsEvery) {
		return false, nil
	}
	cutoff := now.Add(-forgetClients).UnixNano()
	const stale = `FROM clients WHERE (sink, client, seq) NOT IN (
		SELECT (sink, client, max(seq)) FROM clients GROUP BY sink, client HAVING arg_max(updated, seq) >= ?)`
	var n int64
	err = db.read(ctx, "look for old clients", func(c *conn) error {
		n, err = oneInt(ctx, c, "SELECT count(*) "+stale, cutoff)
		return err
	})
	if err != nil || n == 0 {
		return false, err
	}
	return false, db.write(ctx, "clients", func(w *writer) error {
		_, err := w.exec("DELETE "+stale, cutoff)
		return err
	})
}

// idleFor is how long the log must not have grown for a checkpoint that nobody
// waits for.
const idleFor = 30 * time.Second

// checkpoint moves the write-ahead log into the database file. Writers wait for
// it, so it is done early, when the log has half the size that forces one, or
// when nothing was written for a while, so that a restart has little to replay.
func (db *DB) checkpoint(ctx context.Context, now time.Time) (more bool, err error) {
	fi, err := os.Stat(db.path + ".wal")
	if err != nil || fi.Size() == 0 {
		return false, nil //nolint:nilerr // no log, nothing to do
	}
	if fi.Size() != db.upkeep.walSize || db.upkeep.walSince.IsZero() {
		db.upkeep.walSize, db.upkeep.walSince = fi.Size(), now
	}
	if fi.Size() < int64(db.opt.Checkpoint)/2 && now.Sub(db.upkeep.walSince).Abs() < idleFor {
		return false, nil
	}
	db.writeMu.Lock()
	defer db.writeMu.Unlock()
	if err := db.restore(ctx); err != nil {
		return false, wrap(ctx, "checkpoint", err)
	}
	err = db.runCheckpoint(ctx)
	if err != nil && strings.Contains(err.Error(), "transactions active") {
		return false, nil // a reader is busy; the next call tries again
	}
	if err != nil {
		db.replaceWriter(err)
	}
	return false, wrap(ctx, "checkpoint", err)
}

func (db *DB) runCheckpoint(ctx context.Context) error {
	db.gate.RLock()
	defer db.gate.RUnlock()
	if err := failpoint.Hit("checkpoint"); err != nil {
		return err
	}
	start := time.Now()
	if _, err := db.inst.writer.exec(context.WithoutCancel(ctx), "CHECKPOINT"); err != nil {
		return err
	}
	db.log.Debug("checkpoint", "log", millrace.Bytes(db.upkeep.walSize), "took", time.Since(start))
	return failpoint.Hit("checkpoint.after")
}
