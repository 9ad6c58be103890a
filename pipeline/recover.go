package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

// state is what a session begins with: both sinks at their committed positions.
type state struct {
	events *eventsSink
	rollup *rollupSink
	known  map[verdict]millrace.SetAside
}

// Recover compares the committed positions with the log and commits the gaps it
// finds. Call it before anything is appended: a log that lost its tail hands out
// old offsets again, and only before the first append does that show.
func (p *Pipeline) Recover(ctx context.Context) error {
	lost := map[int32]queue.Regression{}
	for _, r := range p.deps.Queue.Regressions() {
		lost[r.Partition] = r
	}
	_, err := p.recover(ctx, nil, lost)
	return err
}

// recover also begins each session; lost is what the log was found to have lost
// when it was opened or last read, and counts once.
func (p *Pipeline) recover(ctx context.Context, owned partitions, lost map[int32]queue.Regression) (*state, error) {
	bounds, err := p.deps.Queue.Bounds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read log bounds: %w", err)
	}
	st := &state{known: map[verdict]millrace.SetAside{}}
	es, _, err := p.claimSink(ctx, millrace.SinkEvents, owned)
	if err != nil {
		return nil, err
	}
	rs, admitted, err := p.claimSink(ctx, millrace.SinkRollup, owned)
	if err != nil {
		return nil, err
	}
	for _, part := range sortedPartitions(bounds) {
		if !owned.has(part) {
			continue
		}
		reconcile(part, bounds[part], lost[part], []*sink{es, rs})
	}
	st.events = p.newEventsSink(es)
	st.rollup = p.newRollupSink(rs, admitted)
	for _, s := range []sinkLoop{st.events, st.rollup} {
		if err := errors.Join(s.flush(ctx), s.wait()); err != nil {
			return nil, fmt.Errorf("record gaps: %w", err)
		}
	}
	aside, err := p.deps.Store.SetAside(ctx, maxKnownAside)
	if err != nil {
		return nil, fmt.Errorf("load set-aside records: %w", err)
	}
	for _, a := range aside {
		if a.Stage == stageDecode {
			st.known[verdict{a.Partition, a.Generation, a.Offset, a.Ordinal}] = a
		}
	}
	p.stats.begin(es, rs)
	p.water.commit(positionsOf(rs))
	return st, nil
}

// maxKnownAside bounds the verdicts obeyed on replay. Only those of records not
// yet folded by both sinks matter, which are the newest few.
const maxKnownAside = 1000

// claimSink takes over what a sink has committed of the partitions owned.
func (p *Pipeline) claimSink(ctx context.Context, name millrace.Sink, owned partitions) (*sink, []millrace.Admission, error) {
	loaded, err := p.deps.Store.Claim(ctx, name, owned)
	if err != nil {
		return nil, nil, fmt.Errorf("claim sink %s: %w", name, err)
	}
	s := &sink{
		name: name, positions: map[int32]*millrace.Position{}, moved: map[int32]bool{}, stored: map[int32]millrace.Position{},
		windows: newClientWindows(), accounts: newAccounts(name),
		now: func() int64 { return p.deps.Now().UnixNano() },
	}
	for _, pos := range loaded.Positions {
		if owned.has(pos.Partition) {
			s.positions[pos.Partition], s.stored[pos.Partition] = &pos, pos
		}
	}
	if err := s.windows.load(loaded.Clients); err != nil {
		return nil, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.condemned = map[verdict]string{}
	for v, reason := range p.condemned[name] {
		s.condemned[v] = reason
	}
	return s, loaded.Admitted, nil
}

func positionsOf(s *sink) []millrace.Position {
	out := make([]millrace.Position, 0, len(s.positions))
	for _, p := range s.positions {
		out = append(out, *p)
	}
	return out
}
