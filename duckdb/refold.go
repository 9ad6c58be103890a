package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/internal/rollupdef"
)

const (
	// refoldRest is how many rows are left to the transaction that holds the
	// writer: fewer than that take it a few ten milliseconds.
	refoldRest = 20_000
	// refoldRounds bounds the attempts to get there; each has what came in during
	// the one before.
	refoldRounds = 8
	// refoldWait is between two looks whether the events sink has caught up.
	refoldWait = 200 * time.Millisecond
)

// refold is one Refold under way.
type refold struct {
	db   *DB
	q    millrace.RefoldQuery
	f    millrace.Refolder
	k    *cube
	done mark // f has all rows of the range below it
	out  millrace.Refolded

	def     millrace.RollupSchema // as stored now
	arrived int64                 // of the last row, ns: what retention counts from
}

// Refold implements millrace.Store. Rows are read from snapshots, each of which
// continues where the one before ended, until few are left. These are read in
// the transaction that replaces the cells: there the rollup sink cannot move on,
// so that f has exactly the rows below its position.
func (db *DB) Refold(ctx context.Context, q millrace.RefoldQuery, f millrace.Refolder) (*millrace.Refolded, error) {
	if err := rollupdef.CheckRefold(&q); err != nil {
		return nil, err
	}
	cubes, err := db.loadCubes(ctx)
	if err != nil {
		return nil, err
	}
	r := &refold{db: db, q: q, f: f, k: cubes[q.Rollup.Name]}
	if r.k == nil {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", q.Rollup.Name)
	}
	for n := int64(refoldRest); n >= refoldRest && r.out.Rounds < refoldRounds; r.out.Rounds++ {
		if n, err = r.round(ctx); err != nil {
			return nil, err
		}
	}
	for {
		replaced, err := r.replace(ctx)
		if err != nil {
			return nil, err
		}
		if replaced {
			return &r.out, nil
		}
		select {
		case <-ctx.Done():
			return nil, &millrace.Error{
				Code: millrace.ErrUnavailable, Op: "refold " + q.Rollup.Name, Err: ctx.Err(),
				Message: "the raw rows are behind the rollups", Hint: "wait until the queue is drained and try again",
			}
		case <-time.After(refoldWait):
		}
		if _, err := r.round(ctx); err != nil {
			return nil, err
		}
	}
}

// round folds the rows that both sinks have committed since the last round and
// returns how many there were.
func (r *refold) round(ctx context.Context) (n int64, err error) {
	err = r.db.snapshot(ctx, "refold "+r.k.schema.Name, func(c *conn) error {
		if err := r.check(ctx, c); err != nil {
			return err
		}
		m, _, err := loadMark(ctx, c)
		if err != nil {
			return err
		}
		n, err = r.fold(ctx, c, m)
		return err
	})
	return n, err
}

// replace folds what is left and replaces the cells, unless the events sink is
// behind.
func (r *refold) replace(ctx context.Context) (replaced bool, err error) {
	var pledges []pledge
	err = r.db.write(ctx, "refold", func(w *writer) error {
		if err := r.check(w.ctx, w.c); err != nil {
			return err
		}
		m, ready, err := loadMark(w.ctx, w.c)
		if err != nil || !ready {
			return err
		}
		if _, err := r.fold(w.ctx, w.c, m); err != nil {
			return err
		}
		cells, err := r.f.Drain()
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		if pledges, err = r.store(w, cells); err != nil {
			return err
		}
		replaced = true
		return failpoint.Hit("refold")
	})
	if err == nil {
		r.db.settle(pledges)
		r.db.forgetCubes() // since when they are complete has changed
	}
	return replaced && err == nil, err
}

// check refuses a definition that is not the one to fold by any more, and what
// raw rows no longer tell.
func (r *refold) check(ctx context.Context, c *conn) error {
	err := each(ctx, c, "SELECT definition FROM rollups WHERE name = "+quote(r.k.schema.Name), func(rs *rows) error {
		r.def = millrace.RollupSchema{}
		return json.Unmarshal(rs.bytes(0), &r.def)
	})
	if err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	if !rollupdef.Same(&r.q.Rollup, &r.def) {
		return millrace.Errorf(millrace.ErrConflict, "refold %s: the definition has changed; begin again", r.k.schema.Name)
	}
	return r.checkRange(ctx, c)
}

func (r *refold) checkRange(ctx context.Context, c *conn) error {
	refuse := func(format string, args ...any) error {
		return millrace.Errorf(millrace.ErrConflict, "rollup %s from %s to %s cannot be folded again exactly: "+format,
			append([]any{r.k.schema.Name, utc(r.q.From), utc(r.q.To)}, args...)...)
	}
	from, to := r.q.From*1e9, r.q.To*1e9
	gone, err := exists(ctx, c, fmt.Sprintf("SELECT 1 FROM dropped_days WHERE min_time < %d AND max_time >= %d", to, from))
	if err != nil {
		return err
	}
	if gone {
		return refuse("raw rows of that time have been dropped")
	}
	// What is of the range arrived after its beginning, but for clocks ahead.
	where := fmt.Sprintf("sink = %s AND outcome = %s AND minute >= %d AND events > 0",
		quote(string(millrace.SinkEvents)), quote(string(millrace.OutcomeSampled)), r.q.From-int64(millrace.MaxAhead/time.Second)-60)
	if r.q.NoExceptions {
		where += " AND reason <> " + quote(millrace.ReasonExceptionSamples)
	}
	sampled, err := exists(ctx, c, "SELECT 1 FROM ledger_rows WHERE "+where)
	if err != nil {
		return err
	}
	if sampled {
		return refuse("raw rows were sampled since then")
	}
	for _, p := range []struct {
		state int
		until string
		what  string
	}{
		{periodGone, fmt.Sprintf("bucket < %s AND bucket > %s", timestamp(r.q.To), timestamp(r.q.From-int64(millrace.Hour))), "it is kept by day only"},
		{periodSealed, fmt.Sprintf("bucket IN (%s)", timestamps(cutHours(r.q.From, r.q.To))), "it is kept by hour only, so that whole hours are needed"},
	} {
		hit, err := exists(ctx, c, fmt.Sprintf("SELECT 1 FROM cell_periods WHERE rollup = %s AND granularity = 3600 AND state = %d AND %s",
			quote(r.k.schema.Name), p.state, p.until))
		if err != nil {
			return err
		}
		if hit {
			return refuse("%s", p.what)
		}
	}
	return nil
}

// cutHours returns the hours of which [from, to) has only a part; if there are
// none, an hour that no cell is of.
func cutHours(from, to int64) []int64 {
	none := millrace.Hour.Floor(-rollupdef.MaxBucket)
	out := []int64{none}
	if h := millrace.Hour.Floor(from); h != from {
		out = append(out, h)
	}
	if h := millrace.Hour.Floor(to); h != to {
		out = append(out, h)
	}
	return out
}

func utc(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }
