package storetest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// refolder makes deltas of events, the plain way.
type refolder struct {
	def  millrace.RollupSchema
	all  []obs
	fail error
}

func (f *refolder) Fold(events []millrace.Event) error {
	for i := range events {
		e := &events[i]
		o := obs{at: e.Time / 1e9, service: clone(e.Service), host: clone(e.Host), weight: e.Weight, rt: -1}
		for _, a := range e.Attrs {
			switch a.Key {
			case "status":
				o.status = clone(a.Value.String())
			case "bytes":
				o.bytes, _ = a.Value.Int()
			case "rt":
				o.rt, _ = a.Value.Float()
			case "user":
				n, _ := a.Value.Int()
				o.user = uint64(n)
			}
		}
		f.all = append(f.all, o)
	}
	return f.fail
}

func clone(s string) string { return string([]byte(s)) }

func (f *refolder) Drain() ([]*millrace.CellBatch, error) {
	if len(f.all) == 0 {
		return nil, nil
	}
	return deltas(f.def, f.all), nil
}

// past is a store with events of which only a part is in the rollup's cells.
type past struct {
	t      *testing.T
	s      millrace.Store
	def    millrace.RollupSchema // what is in force
	all    []obs                 // all that the rollup sink has folded
	offset int64
}

// write stores observations as events, and folds them by the definition in force.
func (p *past) write(arrived time.Time, all []obs) {
	p.t.Helper()
	p.events(arrived, all)
	c := commitAt(arrived.Unix(), p.offset)
	check(p.t, p.s.WriteCells(p.t.Context(), deltas(p.def, all), c))
	p.all = append(p.all, all...)
}

// events stores observations as events only.
func (p *past) events(arrived time.Time, all []obs) {
	p.t.Helper()
	rows := &millrace.EventRows{}
	for i, o := range all {
		attrs := []millrace.Attr{{Key: "status", Value: millrace.StringValue(o.status)}, {Key: "bytes", Value: millrace.IntValue(o.bytes)}}
		if o.rt >= 0 {
			attrs = append(attrs, millrace.Attr{Key: "rt", Value: millrace.NumberValue(o.rt, strconv.FormatFloat(o.rt, 'f', -1, 64))})
		}
		if o.user != 0 {
			attrs = append(attrs, millrace.Attr{Key: "user", Value: millrace.IntValue(int64(o.user))})
		}
		rec := &millrace.Record{Offset: p.offset, Arrived: arrived.UnixNano()}
		rows.Append(rec, &millrace.Event{Time: o.at * 1e9, Weight: o.weight, Ordinal: int32(i), Service: o.service, Host: o.host, Attrs: attrs})
	}
	p.offset++
	check(p.t, p.s.WriteEvents(p.t.Context(), rows, &millrace.Commit{
		Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: p.offset, TopicID: "t"}},
	}))
}

// refold folds a range again by the definition in force.
func (p *past) refold(from, to time.Time) (*millrace.Refolded, error) {
	return p.s.Refold(p.t.Context(), millrace.RefoldQuery{
		Rollup: p.def, From: from.Unix(), To: to.Unix(), Fields: []string{"service", "host", "status", "bytes", "rt", "user"},
	}, &refolder{def: p.def})
}

// since returns since when everything is complete.
func (p *past) since() (last int64) {
	p.t.Helper()
	c, err := p.s.Coverage(p.t.Context(), p.def.Name, 0, 1)
	check(p.t, err)
	for _, set := range c.Sets {
		last = max(last, slices.Max(append([]int64{0}, set.CompleteFrom...)))
	}
	return last
}

// beginning is a store whose events of 20 hours are in two sets of five, hours
// computed; then the others join.
func beginning(t *testing.T, s millrace.Store) *past {
	full := schema()
	p := &past{t: t, s: s, def: full}
	p.def.Sets = full.Sets[:2]
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{p.def}))
	p.write(Base.Add(20*time.Hour), sample(Base, 3*time.Minute, 400))
	settle(t, s, Base.Add(30*time.Hour))
	p.def = full
	check(t, s.DefineRollups(t.Context(), []millrace.RollupSchema{full}))
	return p
}

// testRefold makes sets complete that joined later, from the newest hour to the
// oldest, with late events before, between and after.
func testRefold(t *testing.T, s millrace.Store) {
	p := beginning(t, s)
	since := p.since()
	if since <= Base.Unix() {
		t.Fatalf("sets that joined later are complete from %d", since)
	}
	p.write(Base.Add(31*time.Hour), sample(Base.Add(90*time.Minute), 7*time.Minute, 60))
	mid, end := Base.Add(9*time.Hour+17*time.Minute), time.Unix(since, 0)
	done, err := p.refold(mid, end)
	check(t, err)
	if done.Events == 0 || done.Cells == 0 {
		t.Fatalf("refolded %+v", done)
	}
	if got := p.since(); got != mid.Unix() {
		t.Errorf("complete from %d, want %d", got, mid.Unix())
	}
	p.write(Base.Add(32*time.Hour), sample(Base.Add(8*time.Hour), 5*time.Minute, 50))
	for range 2 { // again: the same
		_, err = p.refold(Base.Add(-time.Hour), mid)
		check(t, err)
		sameCells(t, s, p.def, p.all)
	}
	if got := p.since(); got != 0 {
		t.Errorf("complete from %d although no event is older", got)
	}
	p.write(Base.Add(33*time.Hour), sample(Base.Add(2*time.Hour), 9*time.Minute, 70))
	sameCells(t, s, p.def, p.all)
	settle(t, s, Base.Add(60*time.Hour))
	sameCells(t, s, p.def, p.all)
}

// testRefoldBetween: rows that the rollup sink has not committed are left to it.
func testRefoldBetween(t *testing.T, s millrace.Store) {
	p := beginning(t, s)
	later := sample(Base.Add(time.Hour), 4*time.Minute, 40)
	p.events(Base.Add(31*time.Hour), later)
	_, err := p.refold(Base, Base.Add(40*time.Hour))
	check(t, err)
	sameCells(t, s, p.def, p.all)
	check(t, s.WriteCells(t.Context(), deltas(p.def, later), commitAt(Base.Add(31*time.Hour).Unix(), p.offset)))
	p.all = append(p.all, later...)
	sameCells(t, s, p.def, p.all)
}

// testRefoldSealed: hours whose minutes are dropped can be folded again whole.
func testRefoldSealed(t *testing.T, s millrace.Store) {
	p := beginning(t, s)
	settle(t, s, Base.Add(12*24*time.Hour))
	_, err := p.refold(Base.Add(10*time.Minute), Base.Add(4*time.Hour))
	wantCode(t, err, millrace.ErrConflict)
	_, err = p.refold(Base, Base.Add(40*time.Hour))
	check(t, err)
	byHour := func() {
		t.Helper()
		for _, set := range p.def.Sets {
			for _, g := range set.Granularities {
				if g != millrace.Minute {
					sameQuery(t, s, p.def, p.all, everything(p.def, set, g))
				}
			}
		}
	}
	byHour()
	settle(t, s, Base.Add(13*24*time.Hour))
	byHour()
}

// testRefoldRefused: what cannot be exact is refused, and an error leaves
// everything as it was.
func testRefoldRefused(t *testing.T, s millrace.Store) {
	p := beginning(t, s)
	before := render(cellsOf(t, s, p.def, 0))
	ctx := t.Context()
	refold := func(def millrace.RollupSchema, from, to time.Time, f *refolder) error {
		f.def = def
		_, err := s.Refold(ctx, millrace.RefoldQuery{Rollup: def, From: from.Unix(), To: to.Unix()}, f)
		return err
	}
	hour := Base.Add(time.Hour)
	failed := errors.New("failed")
	if err := refold(p.def, Base, hour, &refolder{fail: failed}); !errors.Is(err, failed) {
		t.Fatalf("error %v, want that of the refolder", err)
	}
	wantCode(t, refold(p.def, hour, Base, &refolder{}), millrace.ErrInvalid)
	wantCode(t, refold(p.def, Base, Base.Add(90*time.Second), &refolder{}), millrace.ErrInvalid)
	other := p.def
	other.Sets = other.Sets[:3]
	wantCode(t, refold(other, Base, hour, &refolder{}), millrace.ErrConflict)
	other.Name = "nope"
	wantCode(t, refold(other, Base, hour, &refolder{}), millrace.ErrNotFound)
	if after := render(cellsOf(t, s, p.def, 0)); after != before {
		t.Fatalf("refused, and yet cells changed: %s", firstDifference(after, before))
	}

	sample := func(reason string) {
		check(t, s.WriteEvents(t.Context(), nil, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: []millrace.LedgerEntry{{
			Sink: millrace.SinkEvents, Minute: Base.Add(5 * time.Hour).Unix(), Outcome: millrace.OutcomeSampled, Reason: reason, Events: 1, Weight: 1,
		}}}))
	}
	noExceptions := func() error {
		_, err := s.Refold(ctx, millrace.RefoldQuery{Rollup: p.def, From: Base.Unix(), To: hour.Unix(), NoExceptions: true}, &refolder{def: p.def})
		return err
	}
	// Samples of exceptions are nothing to a rollup that takes none.
	sample(millrace.ReasonExceptionSamples)
	wantCode(t, refold(p.def, Base, hour, &refolder{}), millrace.ErrConflict)
	check(t, noExceptions())
	sample("")
	wantCode(t, refold(p.def, Base, hour, &refolder{}), millrace.ErrConflict)
	wantCode(t, noExceptions(), millrace.ErrConflict)
	check(t, refold(p.def, Base.Add(6*time.Hour), Base.Add(7*time.Hour), &refolder{}))

	// The rollup sink is ahead of the raw rows.
	check(t, s.WriteCells(t.Context(), nil, commitAt(Base.Add(31*time.Hour).Unix(), p.offset+5)))
	var cancel context.CancelFunc
	ctx, cancel = context.WithTimeout(ctx, time.Second)
	defer cancel()
	err := refold(p.def, Base.Add(6*time.Hour), Base.Add(7*time.Hour), &refolder{})
	// On a slow machine the time is over before it waits for the rows.
	if code := millrace.ErrorCode(err); code != millrace.ErrUnavailable && code != millrace.ErrTimeout {
		t.Fatalf("error %v has code %q, want that it waits in vain", err, code)
	}
}

// testRefoldDropped: nothing is folded from rows that are gone.
func testRefoldDropped(t *testing.T, s millrace.Store) {
	p := beginning(t, s)
	settle(t, s, Base.Add(93*24*time.Hour))
	_, err := p.refold(Base, Base.Add(time.Hour))
	wantCode(t, err, millrace.ErrConflict)
}

func cellsOf(t *testing.T, s millrace.Store, def millrace.RollupSchema, set int) *millrace.CellBatch {
	t.Helper()
	b, err := s.Cells(t.Context(), everything(def, def.Sets[set], millrace.Minute))
	check(t, err)
	return b
}
