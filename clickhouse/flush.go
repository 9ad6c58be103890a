package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// flushes is what this process knows of its own attempts.
type flushes struct {
	mu     sync.Mutex
	active map[int64]bool // begun and not ended
	// doubtful were given up, but Commits or ClickHouse did not answer: they must
	// be abandoned and hidden before anything else is stored.
	doubtful map[int64]bool
	// orphans says that a Begin failed whose flush may exist nevertheless.
	orphans bool
}

// flush stores rows: write inserts them with f.ID in their column flush, commit
// ends the flush (Commits.Commit or Commits.Settle). After nil everything counts;
// after an error nothing does, or Commits could not be asked: then its positions
// tell, and the next flush of this process settles the matter first.
func (db *DB) flush(ctx context.Context, sink millrace.Sink, partitions []int32,
	write func(f *millrace.Flush) error, commit func(flush int64) error,
) error {
	if err := db.resolve(ctx); err != nil {
		return err
	}
	f, err := db.begin(ctx, sink, partitions)
	if err != nil {
		return err
	}
	defer db.end(f.ID)
	if err = write(f); err == nil {
		err = commit(f.ID)
	}
	if err == nil {
		return nil
	}
	return db.giveUp(ctx, f.ID, err)
}

func (db *DB) begin(ctx context.Context, sink millrace.Sink, partitions []int32) (*millrace.Flush, error) {
	s := &db.flushes
	s.mu.Lock()
	defer s.mu.Unlock() // so that no flush is taken for an orphan between Begin and here
	f, err := db.commits.Begin(ctx, sink, partitions, db.node)
	if err != nil {
		s.orphans = true
		return nil, fmt.Errorf("begin a flush: %w", err)
	}
	if s.active == nil {
		s.active = map[int64]bool{}
	}
	s.active[f.ID] = true
	return f, nil
}

func (db *DB) end(flush int64) {
	db.flushes.mu.Lock()
	defer db.flushes.mu.Unlock()
	delete(db.flushes.active, flush)
}

// giveUp abandons a flush that failed with cause and hides its rows, so that the
// same events may be stored again. It returns nil if the flush has committed after
// all and only the answer was lost. It goes on when ctx has ended.
func (db *DB) giveUp(ctx context.Context, flush int64, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), db.opt.Timeout.Std())
	defer cancel()
	committed, err := db.abandon(ctx, flush)
	if committed {
		return nil
	}
	if err != nil {
		db.log.Warn("a flush that failed could not be withdrawn; the next one does that first",
			"flush", flush, "cause", cause, "error", err)
		db.flushes.mu.Lock()
		defer db.flushes.mu.Unlock()
		if db.flushes.doubtful == nil {
			db.flushes.doubtful = map[int64]bool{}
		}
		db.flushes.doubtful[flush] = true
	}
	return cause
}

// abandon withdraws one flush, unless it has committed.
func (db *DB) abandon(ctx context.Context, flush int64) (committed bool, err error) {
	if err := db.commits.Abandon(ctx, flush); err != nil {
		if millrace.ErrorCode(err) == millrace.ErrConflict {
			return true, nil
		}
		return false, fmt.Errorf("abandon flush %d: %w", flush, err)
	}
	return false, db.hide(ctx, flush)
}

// resolve settles what became of earlier flushes of this process whose end is not
// known.
func (db *DB) resolve(ctx context.Context) error {
	s := &db.flushes
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.orphans {
		cut, err := db.commits.Cut(ctx)
		if err != nil {
			return fmt.Errorf("look for flushes whose beginning was not answered: %w", err)
		}
		if s.doubtful == nil {
			s.doubtful = map[int64]bool{}
		}
		for _, f := range cut.Open {
			if f.Node == db.node && !s.active[f.ID] {
				s.doubtful[f.ID] = true
			}
		}
		s.orphans = false
	}
	for _, id := range slices.Sorted(maps.Keys(s.doubtful)) {
		if _, err := db.abandon(ctx, id); err != nil {
			return err
		}
		delete(s.doubtful, id)
	}
	return nil
}

// hide makes readers leave out the rows of abandoned flushes, those too that are
// still on their way, and then says so to Commits.
func (db *DB) hide(ctx context.Context, flushes ...int64) error {
	if len(flushes) == 0 {
		return nil
	}
	ids, at := make([]uint64, len(flushes)), make([]time.Time, len(flushes))
	for i, id := range flushes {
		ids[i], at[i] = uint64(id), db.now().UTC()
	}
	// Twice does no harm, so that this is the one insertion that is tried again.
	err := db.retry(ctx, "hide abandoned rows", func() error {
		ctx, cancel := db.limited(ctx)
		defer cancel()
		return db.insertBlock(ctx, "hidden_flushes", []column{{"flush", ids}, {"hidden", at}})
	})
	if err != nil {
		return err
	}
	if db.addr.cluster != "" { // every server has to know, not only a majority
		if err := db.exec(ctx, "hide abandoned rows", "SYSTEM SYNC REPLICA"+db.onCluster()+" "+db.hiddenTable()); err != nil {
			return err
		}
	}
	if err := db.commits.Hidden(ctx, flushes...); err != nil {
		return fmt.Errorf("note hidden flushes: %w", err)
	}
	return nil
}

// hideAbandoned hides what any node has abandoned and did not come to hide.
func (db *DB) hideAbandoned(ctx context.Context) error {
	ids, err := db.commits.Abandoned(ctx)
	if err != nil {
		return fmt.Errorf("list abandoned flushes: %w", err)
	}
	for part := range slices.Chunk(ids, hideAtOnce) {
		if err := db.hide(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// hideAtOnce bounds one insertion of ids.
const hideAtOnce = 10_000

// Load implements millrace.Store.
func (db *DB) Load(ctx context.Context, sink millrace.Sink) (*millrace.SinkState, error) {
	return db.commits.Load(ctx, sink)
}

// Positions implements millrace.Store.
func (db *DB) Positions(ctx context.Context) (map[millrace.Sink][]millrace.Position, error) {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return nil, err
	}
	return cut.Positions, nil
}

// Claim implements millrace.Store: open flushes of the partitions are abandoned,
// and everything that was ever abandoned is hidden, before the new owner learns
// where to begin.
func (db *DB) Claim(ctx context.Context, sink millrace.Sink, partitions []int32) (*millrace.SinkState, error) {
	if err := db.commits.Claim(ctx, sink, partitions); err != nil {
		return nil, fmt.Errorf("claim partitions: %w", err)
	}
	if err := db.hideAbandoned(ctx); err != nil {
		return nil, err
	}
	return db.commits.Load(ctx, sink)
}

// Gaps implements millrace.Store.
func (db *DB) Gaps(ctx context.Context) ([]millrace.Gap, error) { return db.commits.Gaps(ctx) }

// SetAside implements millrace.Store.
func (db *DB) SetAside(ctx context.Context, limit int) ([]millrace.SetAside, error) {
	return db.commits.SetAside(ctx, limit)
}

// partitionsOf returns, ascending, the partitions that a commit moves or compares.
func partitionsOf(c *millrace.Commit) []int32 {
	seen := map[int32]bool{}
	for _, list := range [][]millrace.Position{c.Positions, c.From} {
		for _, p := range list {
			seen[p.Partition] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
