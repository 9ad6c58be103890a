package pipeline

import (
	"context"
	"errors"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// A pipeline changes its options and rollups between two sessions: the sinks of
// the one commit what they hold, the Store learns the new definitions, and the
// next session goes on from the committed positions. Nothing is lost or folded
// twice, since that is how a session ends and begins anyhow.
//
// What a definition applies to is therefore told by the rollup sink's position:
// cells and position are committed together, so every event is folded exactly
// once, by the definitions that were in force when its position was committed.
// A crash does not change that: what was committed stays as it was folded, and
// what follows the position is folded by the definitions that the process
// starts with, which are those of the last change or newer, as they stand in
// the configuration file. An event is never folded by definitions older than
// the events before it were, unless somebody puts the file back.

// reconfiguration is a change that somebody waits for.
type reconfiguration struct {
	opts    Options
	rollups []*rollup.Rollup
	done    chan error
}

// errReconfigured ends a session because something is to be changed.
var errReconfigured = errors.New("the configuration changes")

// Reconfigure makes Run go on with other options and rollups, and returns when
// it does, or with the reason why the old ones stay: ErrConflict if the Store
// cannot hold the new definitions (see millrace.Store.DefineRollups), or the
// error of ctx. Options and rollups must be valid. One call at a time.
func (p *Pipeline) Reconfigure(ctx context.Context, opts Options, rollups []*rollup.Rollup) error {
	c := &reconfiguration{opts: opts, rollups: rollups, done: make(chan error, 1)}
	p.mu.Lock()
	p.change = c
	restart := p.restart
	p.mu.Unlock()
	if restart != nil {
		restart(errReconfigured)
	}
	if p.own != nil {
		p.own.wake()
	}
	p.orders.wake()
	select {
	case err := <-c.done:
		return err
	case <-ctx.Done():
	}
	p.mu.Lock()
	withdrawn := p.change == c
	if withdrawn {
		p.change = nil
	}
	p.mu.Unlock()
	if withdrawn {
		return millrace.Errorf(millrace.ErrTimeout, "the sinks did not commit what they hold in time: %v", ctx.Err())
	}
	return <-c.done // it began meanwhile
}

// sessionEndsBy notes how the session that begins can be ended; nil when it has.
// A change that was asked for between two sessions ends the new one at once.
func (p *Pipeline) sessionEndsBy(stop func(error)) {
	p.mu.Lock()
	p.restart = stop
	waiting := p.change != nil
	p.mu.Unlock()
	if waiting && stop != nil {
		stop(errReconfigured)
	}
}

// changing reports whether a change is asked for and not yet begun.
func (p *Pipeline) changing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.change != nil
}

// reconfigure does what was asked for. It runs between two sessions; it reports
// whether there was anything.
func (p *Pipeline) reconfigure(ctx context.Context) bool {
	p.mu.Lock()
	c := p.change
	p.change = nil
	p.mu.Unlock()
	if c == nil {
		return false
	}
	err := p.deps.Store.DefineRollups(ctx, schemasOf(c.rollups))
	if err == nil {
		p.opts, p.deps.Rollups = c.opts, c.rollups
		p.water.setLateness(c.opts.AllowedLateness.Std())
	}
	c.done <- err
	return true
}

func schemasOf(rollups []*rollup.Rollup) []millrace.RollupSchema {
	out := make([]millrace.RollupSchema, len(rollups))
	for i, r := range rollups {
		out[i] = r.RollupSchema
	}
	return out
}
