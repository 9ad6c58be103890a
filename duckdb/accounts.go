package duckdb

import (
	"bytes"
	"context"
	"strings"

	"github.com/millrace/millrace"
)

// Ledger implements millrace.Store.
func (db *DB) Ledger(ctx context.Context, q millrace.LedgerQuery) ([]millrace.LedgerEntry, error) {
	minute := "0::BIGINT"
	if q.ByMinute {
		minute = "minute"
	}
	var cond condition
	cond.add("true")
	if q.From != 0 {
		cond.add(" AND minute >= ?", q.From)
	}
	if q.To != 0 {
		cond.add(" AND minute < ?", q.To)
	}
	for _, f := range []struct{ col, value string }{
		{"project", q.Project}, {"source", q.Source}, {"sink", string(q.Sink)},
	} {
		if f.value != "" {
			cond.add(" AND "+f.col+" = ?", f.value)
		}
	}
	query := strings.Replace(`SELECT MINUTE AS m, source, sink, outcome, reason, project, sum(events)::BIGINT, sum(weight)::BIGINT,
		arg_min(example, seq) FILTER (example <> '')
		FROM ledger_rows WHERE `, "MINUTE", minute, 1) + cond.sql.String() + `
		GROUP BY m, source, sink, outcome, reason, project ORDER BY m, source, sink, outcome, reason, project`
	var out []millrace.LedgerEntry
	err := db.snapshot(ctx, "read ledger", func(c *conn) error {
		r, err := c.query(ctx, query, cond.args...)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			out = append(out, millrace.LedgerEntry{
				Minute: r.int64(0), Source: r.str(1), Sink: millrace.Sink(r.str(2)), Outcome: millrace.Outcome(r.str(3)),
				Reason: r.str(4), Project: r.str(5), Events: r.int64(6), Weight: r.int64(7), Example: r.str(8),
			})
		}
		return r.err
	})
	return out, err
}

// Gaps implements millrace.Store.
func (db *DB) Gaps(ctx context.Context) ([]millrace.Gap, error) {
	var out []millrace.Gap
	err := db.read(ctx, "read gaps", func(c *conn) error {
		r, err := c.query(ctx, `SELECT sink, "partition", generation, "from", "to", found, reason FROM gaps
			ORDER BY found, sink, "partition", "from"`)
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			out = append(out, millrace.Gap{
				Sink: millrace.Sink(r.str(0)), Partition: int32(r.int64(1)), Generation: r.int64(2),
				From: r.int64(3), To: r.int64(4), Found: r.int64(5), Reason: r.str(6),
			})
		}
		return r.err
	})
	return out, err
}

// SetAside implements millrace.Store.
func (db *DB) SetAside(ctx context.Context, limit int) ([]millrace.SetAside, error) {
	var out []millrace.SetAside
	err := db.read(ctx, "read set-aside records", func(c *conn) error {
		r, err := c.query(ctx, `SELECT sink, "partition", generation, "offset", ordinal, time, project, source, stage, reason, payload
			FROM set_aside ORDER BY time DESC, "partition" DESC, "offset" DESC, ordinal DESC LIMIT ?`, max(limit, 0))
		if err != nil {
			return err
		}
		defer r.close()
		for r.next() {
			out = append(out, millrace.SetAside{
				Sink: millrace.Sink(r.str(0)), Partition: int32(r.int64(1)), Generation: r.int64(2), Offset: r.int64(3),
				Ordinal: int32(r.int64(4)), Time: r.int64(5), Project: r.str(6), Source: r.str(7), Stage: r.str(8),
				Reason: r.str(9), Payload: bytes.Clone(r.bytes(10)),
			})
		}
		return r.err
	})
	return out, err
}
