package pipeline

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// FollowRules is how often a node looks for rules that other nodes changed: for
// so long after a change its records may still carry the version before.
const FollowRules = time.Second

// Follow keeps the book up to date with what other nodes add, until ctx ends. It
// asks for the newest version, one row of an index, once per every. report gets
// each failure, and nil once the next try went well; the book stays as it was
// meanwhile.
func (b *RuleBook) Follow(ctx context.Context, every time.Duration, report func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := b.refresh(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil || failed {
			report(err)
		}
		failed = err != nil
	}
}

// refresh reads the current versions if there is one that the book does not know.
func (b *RuleBook) refresh(ctx context.Context) error {
	newest, err := b.meta.NewestRules(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.current.Load()
	for _, v := range t.newest {
		if v.Version >= newest {
			return nil // the newest of all is the newest of its source
		}
	}
	if newest == 0 {
		return nil
	}
	return b.load(ctx, t.owned)
}

// seedTries bounds how often Seed begins again because other nodes, which start
// with the same file, add versions at the same time.
const seedTries = 10

// Seed makes the rules of the configuration file current: each that differs
// from the newest version becomes a new one, and what the file had and has no
// longer is removed. The rules must be valid. All nodes must have the same file:
// the one that started last decides.
func (b *RuleBook) Seed(ctx context.Context, seeds []Seed) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for try := 1; ; try++ {
		err := b.seed(ctx, seeds)
		if millrace.ErrorCode(err) != millrace.ErrConflict || try == seedTries {
			return err
		}
		if err := b.load(ctx, b.current.Load().owned); err != nil {
			return err
		}
	}
}
