package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/internal/rollupdef"
)

const (
	// refoldRest is how many rows are left to the last round, during which upkeep of
	// the rollup waits.
	refoldRest = 20_000
	// refoldRounds bounds the attempts to get there; each has what came in during the
	// one before.
	refoldRounds = 8
	// refoldWait is between two looks whether the events sink has caught up.
	refoldWait = 200 * time.Millisecond
)

// refold is one Refold under way.
type refold struct {
	db   *DB
	q    millrace.RefoldQuery
	f    millrace.Refolder
	done mark // f has all rows of the range below it
	out  millrace.Refolded

	k       *cube // as of the last look
	arrived int64 // of the last row, ns: what retention counts from
}

// errBehind says that the events sink is behind the rollups.
var errBehind = errors.New("raw rows are behind")

// Refold implements millrace.Store. Rows are read in rounds, each of which
// continues where the one before ended, until few are left. The last round fixes a
// cut: what the rollup sink has committed by then is replaced, what it commits later
// is added to. In between nothing else may change the rollup's tables, which
// levels.Refold says; the sinks go on.
func (db *DB) Refold(ctx context.Context, q millrace.RefoldQuery, f millrace.Refolder) (*millrace.Refolded, error) {
	if err := rollupdef.CheckRefold(&q); err != nil {
		return nil, err
	}
	r := &refold{db: db, q: q, f: f}
	for n := int64(refoldRest); n >= refoldRest && r.out.Rounds < refoldRounds; r.out.Rounds++ {
		var err error
		if n, err = r.round(ctx); err != nil {
			return nil, err
		}
	}
	for {
		err := r.replace(ctx)
		if err == nil {
			return &r.out, nil
		}
		if !errors.Is(err, errBehind) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, &millrace.Error{
				Code: millrace.ErrUnavailable, Op: "refold " + q.Rollup.Name, Err: ctx.Err(),
				Message: "the raw rows are behind the rollups, or upkeep of the rollup does not end", Hint: "wait until the queue is drained and try again",
			}
		case <-time.After(refoldWait):
		}
		if _, err := r.round(ctx); err != nil {
			return nil, r.explain(ctx, err)
		}
	}
}

// explain turns the end of ctx, while waiting, into what was waited for.
func (r *refold) explain(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return &millrace.Error{
		Code: millrace.ErrUnavailable, Op: "refold " + r.q.Rollup.Name, Err: err,
		Message: "the raw rows are behind the rollups", Hint: "wait until the queue is drained and try again",
	}
}

// round folds the rows that both sinks have committed since the last round and
// returns how many there were.
func (r *refold) round(ctx context.Context) (int64, error) {
	if err := r.check(ctx); err != nil {
		return 0, err
	}
	_, m, _, err := r.db.loadMark(ctx)
	if err != nil {
		return 0, err
	}
	return r.fold(ctx, m)
}

// replace folds what is left and replaces the cells. errBehind: the events sink is
// behind, or upkeep is at work; nothing was done that a later attempt would repeat.
func (r *refold) replace(ctx context.Context) error {
	if _, _, ready, err := r.db.loadMark(ctx); err != nil || !ready {
		return errors.Join(err, behind(err == nil && !ready))
	}
	var cut *millrace.Cut
	held := false
	err := r.db.flush(ctx, sinkRefold, nil, func(f *millrace.Flush) (err error) {
		if err = r.hold(ctx, f); err != nil {
			return err
		}
		held = true
		if cut, err = r.write(ctx, f); err != nil {
			return err
		}
		return failpoint.Hit("refold")
	}, func(flush int64) error {
		if err := r.commit(ctx, flush, cut); err != nil {
			return err
		}
		held = false
		return failpoint.Hit("refold.after")
	})
	if held {
		// Upkeep frees the rollup if this fails.
		freeCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.db.opt.Timeout.Std())
		defer cancel()
		if freeErr := r.db.changeLevels(freeCtx, r.k.name, func(_ *cube, lv *levels) bool {
			lv.Refold = 0
			return true
		}); freeErr != nil && err != nil {
			r.db.log.Warn("a refold that failed still holds its rollup; upkeep frees it", "rollup", r.k.name, "error", freeErr)
		}
	}
	return err
}

func behind(is bool) error {
	if is {
		return errBehind
	}
	return nil
}

// hold keeps upkeep from changing the rollup until the flush has ended. Everything
// that counts has lower flushes.
func (r *refold) hold(ctx context.Context, f *millrace.Flush) error {
	free := false
	err := r.db.changeLevels(ctx, r.q.Rollup.Name, func(_ *cube, lv *levels) bool {
		if free = lv.Refold == 0 && lv.Last < f.ID; free {
			lv.Refold = f.ID
		}
		return free
	})
	return errors.Join(err, behind(err == nil && !free))
}

// write folds the last rows, fixes the cut and stores the new cells under the
// flush.
func (r *refold) write(ctx context.Context, f *millrace.Flush) (*millrace.Cut, error) {
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	if err := r.db.abandonOlder(ctx, f); err != nil {
		return nil, err
	}
	cut, m, ready, err := r.db.loadMark(ctx)
	if err != nil {
		return nil, err
	}
	if !ready {
		return nil, errBehind
	}
	if _, err := r.fold(ctx, m); err != nil {
		return nil, err
	}
	cells, err := r.f.Drain()
	if err != nil {
		return nil, fmt.Errorf("drain: %w", err)
	}
	for _, b := range cells {
		if err := rollupdef.CheckBatch(&r.k.schema, b); err != nil {
			return nil, err
		}
		r.out.Cells += int64(b.Len())
	}
	if err := r.insert(ctx, f, cells); err != nil {
		return nil, err
	}
	return cut, r.insertRest(ctx, f)
}

// commit makes the flush count in place of what it replaces.
func (r *refold) commit(ctx context.Context, flush int64, cut *millrace.Cut) error {
	p := replaced{From: r.q.From, To: r.q.To, Upto: cut.Newest, Sets: r.k.setIDs}
	for i := range cut.Open {
		p.Except = append(p.Except, cut.Open[i].ID)
	}
	earlier, err := r.earlierEvents(ctx)
	if err != nil {
		return err
	}
	for {
		s, err := r.db.rollups(ctx)
		if err != nil {
			return err
		}
		k, err := s.cube(r.q.Rollup.Name)
		if err != nil {
			return err
		}
		if k.levels.Refold != flush || !rollupdef.Same(&r.q.Rollup, &k.schema) {
			return r.changed()
		}
		lv := k.levels.clone()
		lv.Refold, lv.Last, lv.Replaced = 0, max(lv.Last, flush), append(lv.Replaced, p)
		lv.Newest = [3]int64{flush, flush, flush}
		rollupdef.Refolded(&lv.Schema, r.q.From, r.q.To, !earlier)
		st, err := s.withLevels(k.name, lv)
		if err != nil {
			return err
		}
		err = r.db.commits.Settle(ctx, flush, st)
		if millrace.ErrorCode(err) != millrace.ErrConflict || ctx.Err() != nil {
			return err
		}
		// Either the flush was abandoned, or another rollup has changed.
		now, stateErr := r.db.commits.State(ctx, levelsState)
		if stateErr != nil || now.Version == s.lev.Version {
			return err
		}
	}
}

func (r *refold) changed() error {
	return millrace.Errorf(millrace.ErrConflict, "refold %s: the definition has changed; begin again", r.q.Rollup.Name)
}
