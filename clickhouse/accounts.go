package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// Accounts are deltas in ledger_rows, one row per account and flush. Maintain adds
// those of many flushes up in ledger_merged: the sums of flushes up to Through go in
// under a flush of their own, Last, and the state that says so is stored in the
// transaction that ends it. Readers take what is in ledger_merged up to Last and the
// deltas above Through, so that the switch is that one state. Deltas are deleted
// when nobody can still read by an older one.

// ledgerState is the name of the state.
const ledgerState = "clickhouse.ledger"

// merged is what the state holds.
type merged struct {
	Through int64 `json:"through"` // deltas of flushes up to this one are in ledger_merged
	Last    int64 `json:"last"`    // the newest flush of ledger_merged that counts
	At      int64 `json:"at"`      // when, Unix seconds
	Deleted int64 `json:"deleted"` // deltas up to this flush are gone
}

func (db *DB) loadMerged(ctx context.Context) (merged, millrace.State, error) {
	var m merged
	s, err := db.commits.State(ctx, ledgerState)
	if err != nil {
		return m, s, fmt.Errorf("read the ledger's state: %w", err)
	}
	if s.Value == nil {
		return m, s, nil
	}
	if err := json.Unmarshal(s.Value, &m); err != nil {
		return m, s, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read the ledger", Message: "its state cannot be read", Err: err}
	}
	return m, s, nil
}

// insertLedger stores the accounts of a commit.
func (db *DB) insertLedger(ctx context.Context, f *millrace.Flush, c *millrace.Commit) error {
	n := len(c.Ledger)
	if n == 0 {
		return nil
	}
	flush, at := make([]uint64, n), make([]uint32, n)
	var text [6][]string
	minute, events, weight := make([]int64, n), make([]int64, n), make([]int64, n)
	for i := range c.Ledger {
		e := &c.Ledger[i]
		flush[i], at[i] = uint64(f.ID), uint32(i)
		minute[i], events[i], weight[i] = e.Minute, e.Events, e.Weight
		for j, s := range []string{string(e.Sink), e.Project, e.Source, string(e.Outcome), e.Reason, e.Example} {
			text[j] = append(text[j], validText(s))
		}
	}
	return db.insert(ctx, "write accounts", ledgerTable.name,
		column{"flush", flush}, column{"n", at}, column{"sink", text[0]}, column{"project", text[1]}, column{"source", text[2]},
		column{"minute", minute}, column{"outcome", text[3]}, column{"reason", text[4]}, column{"events", events},
		column{"weight", weight}, column{"example", text[5]})
}

// ledgerRows is a subquery with all accounts that count, as rows to be added up.
// The first example of an account is the one with the least first.
func (db *DB) ledgerRows(m merged, where string) string {
	const columns = "sink, project, source, minute, outcome, reason, events, weight, example, "
	return fmt.Sprintf(`(SELECT %s(flush, n) AS first FROM %s WHERE flush > %d AND %s AND %s
		UNION ALL SELECT %sfirst FROM %s WHERE flush <= %d AND %s AND %s)`,
		columns, db.table(ledgerTable.name), m.Through, where, db.visible(),
		columns, db.table(ledgerMerged.name), m.Last, where, db.visible())
}

// Ledger implements millrace.Store.
func (db *DB) Ledger(ctx context.Context, q millrace.LedgerQuery) ([]millrace.LedgerEntry, error) {
	m, _, err := db.loadMerged(ctx)
	if err != nil {
		return nil, err
	}
	minute := "toInt64(0)"
	if q.ByMinute {
		minute = "minute"
	}
	query := strings.Replace(`SELECT MINUTE AS m, source, sink, outcome, reason, project, sum(events), sum(weight),
		argMinIf(example, (minute, first), example != '')
		FROM `, "MINUTE", minute, 1) + db.ledgerRows(m, ledgerCondition(q)) + `
		GROUP BY m, source, sink, outcome, reason, project ORDER BY m, source, sink, outcome, reason, project`
	var out []millrace.LedgerEntry
	err = db.query(ctx, "read ledger", query, func(rows driver.Rows) error {
		var e millrace.LedgerEntry
		var sink, outcome string
		if err := rows.Scan(&e.Minute, &e.Source, &sink, &outcome, &e.Reason, &e.Project, &e.Events, &e.Weight, &e.Example); err != nil {
			return err
		}
		e.Sink, e.Outcome = millrace.Sink(sink), millrace.Outcome(outcome)
		out = append(out, e)
		return nil
	})
	return out, err
}

func ledgerCondition(q millrace.LedgerQuery) string {
	cond := []string{"1"}
	if q.From != 0 {
		cond = append(cond, fmt.Sprintf("minute >= %d", q.From))
	}
	if q.To != 0 {
		cond = append(cond, fmt.Sprintf("minute < %d", q.To))
	}
	for _, f := range []struct{ column, value string }{
		{"project", q.Project}, {"source", q.Source}, {"sink", string(q.Sink)},
	} {
		if f.value != "" {
			cond = append(cond, f.column+" = "+quote(f.value))
		}
	}
	return strings.Join(cond, " AND ")
}

// Upkeep of the ledger.
const (
	mergeEvery = 5 * time.Minute
	// readersGone is how long a reader may go by the state it has read.
	readersGone = 10 * time.Minute
	// fewDeltas are not worth merging.
	fewDeltas = 1000
)

// maintainLedger merges deltas, deletes those that were merged long enough ago, and
// drops accounts past retention.
func (db *DB) maintainLedger(ctx context.Context, now time.Time) error {
	m, state, err := db.loadMerged(ctx)
	if err != nil {
		return err
	}
	if m.Deleted < m.Through && now.Unix() >= m.At+int64(readersGone/time.Second) {
		if err := db.deleteRows(ctx, ledgerTable.name, fmt.Sprintf("flush <= %d", m.Through)); err != nil {
			return err
		}
		m.Deleted = m.Through
		if state, err = db.storeMerged(ctx, m, state); err != nil {
			return err
		}
	}
	cutoff := fmt.Sprintf("minute < %d", now.Add(-db.opt.Retention.Ledger.Std()).Unix())
	for _, t := range []string{ledgerTable.name, ledgerMerged.name} {
		old, err := db.scalar(ctx, "look for old accounts", "SELECT toInt64(count()) FROM "+db.table(t)+" WHERE "+cutoff)
		if err != nil {
			return err
		}
		if old > 0 {
			if err := db.deleteRows(ctx, t, cutoff); err != nil {
				return err
			}
		}
	}
	if m.Deleted < m.Through { // one generation of deltas at a time waits for its readers
		return nil
	}
	return db.mergeLedger(ctx, now, m, state)
}

func (db *DB) storeMerged(ctx context.Context, m merged, state millrace.State) (millrace.State, error) {
	var err error
	if state.Value, err = json.Marshal(m); err != nil {
		return state, err
	}
	if err := db.commits.SetState(ctx, state); err != nil {
		return state, fmt.Errorf("store the ledger's state: %w", err)
	}
	state.Version++
	return state, nil
}

// mergeLedger adds up the deltas of all flushes that have ended.
func (db *DB) mergeLedger(ctx context.Context, now time.Time, m merged, state millrace.State) error {
	deltas, err := db.scalar(ctx, "count accounts", fmt.Sprintf(
		"SELECT toInt64(count()) FROM %s WHERE flush > %d", db.table(ledgerTable.name), m.Through))
	if err != nil || deltas < fewDeltas {
		return err
	}
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return err
	}
	// After the cut: what was abandoned before it is hidden when rows are read.
	if err := db.hideAbandoned(ctx); err != nil {
		return err
	}
	through := cut.Newest
	for i := range cut.Open {
		if f := &cut.Open[i]; f.Sink == millrace.SinkEvents || f.Sink == millrace.SinkRollup { // others have no accounts
			through = min(through, f.ID-1)
		}
	}
	if through <= m.Through {
		return nil
	}
	if err := db.syncReplicas(ctx, ledgerTable.name); err != nil {
		return err
	}
	return db.flush(ctx, upkeepSink, nil, func(f *millrace.Flush) error {
		if err := db.abandonOlder(ctx, f); err != nil {
			return err
		}
		return db.insertSelect(ctx, "merge accounts", fmt.Sprintf(`INSERT INTO %s (flush, first, sink, project, source, minute, outcome, reason, events, weight, example)
			SELECT %d, min((flush, n)), sink, project, source, minute, outcome, reason, sum(events), sum(weight),
				argMinIf(example, (flush, n), example != '')
			FROM %s WHERE flush > %d AND flush <= %d AND %s GROUP BY sink, project, source, minute, outcome, reason`,
			db.table(ledgerMerged.name), f.ID, db.table(ledgerTable.name), m.Through, through, db.visible()))
	}, func(flush int64) error {
		next := state
		var err error
		next.Value, err = json.Marshal(merged{Through: through, Last: flush, At: now.Unix(), Deleted: m.Deleted})
		if err != nil {
			return err
		}
		return db.commits.Settle(ctx, flush, next)
	})
}

// upkeepSink is the sink of flushes that move no positions.
const upkeepSink = millrace.Sink("upkeep")
