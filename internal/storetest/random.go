package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// Equal applies one random stream of operations to two stores and compares
// what they answer. First two days pass in small steps, in which the stores do
// their maintenance at their own pace; then years pass in large ones. Both
// stores must be new, with the default retention.
func Equal(t *testing.T, seed uint64, a, b millrace.Store) { EqualFor(t, seed, 40, 20, a, b) }

// EqualFor is Equal with fewer steps, small and large ones, for a store that takes
// long for each.
func EqualFor(t *testing.T, seed uint64, small, large int, a, b millrace.Store) {
	r := &random{rng: rand.New(rand.NewPCG(seed, 1)), t: t, a: a, b: b, def: schema(), now: Base, seed: seed}
	r.each(func(s millrace.Store) error { return s.DefineRollups(t.Context(), []millrace.RollupSchema{r.def}) })
	for range small {
		r.now = r.now.Add(time.Duration(r.rng.Int64N(int64(140 * time.Minute))))
		r.operate()
		for range r.rng.IntN(4) {
			r.each(func(s millrace.Store) error { _, err := s.Maintain(t.Context(), r.now); return err })
		}
		r.compare()
	}
	for range large {
		jump := []time.Duration{time.Hour, 30 * time.Hour, 9 * 24 * time.Hour, 60 * 24 * time.Hour, 300 * 24 * time.Hour}
		r.now = r.now.Add(jump[r.rng.IntN(len(jump))])
		r.operate()
		settle(t, a, r.now)
		settle(t, b, r.now)
		r.compare()
	}
}

type random struct {
	rng    *rand.Rand
	t      *testing.T
	a, b   millrace.Store
	def    millrace.RollupSchema
	now    time.Time
	seed   uint64
	offset int64
}

func (r *random) each(f func(s millrace.Store) error) {
	r.t.Helper()
	for _, s := range []millrace.Store{r.a, r.b} {
		if err := f(s); err != nil {
			r.t.Fatalf("seed %d at %v: %v", r.seed, r.now, err)
		}
	}
}

func (r *random) pick(from ...string) string { return from[r.rng.IntN(len(from))] }

func (r *random) operate() {
	for range 1 + r.rng.IntN(3) {
		r.offset++
		if r.rng.IntN(3) == 0 {
			rows, c := r.rows(), r.commit(millrace.SinkEvents)
			r.each(func(s millrace.Store) error { return s.WriteEvents(r.t.Context(), rows, c) })
			continue
		}
		cells, c := deltas(r.def, r.observations()), r.commit(millrace.SinkRollup)
		r.each(func(s millrace.Store) error { return s.WriteCells(r.t.Context(), cells, c) })
	}
}

// moment is an event time: recent, late by hours, long ago or at the epoch.
func (r *random) moment() time.Time {
	switch r.rng.IntN(10) {
	case 0:
		return r.now.Add(-time.Duration(r.rng.Int64N(int64(20 * 24 * time.Hour))))
	case 1:
		return Base.Add(-time.Duration(r.rng.Int64N(int64(3 * time.Hour))))
	case 2:
		return time.Unix(r.rng.Int64N(7200)-3600, 0)
	case 3, 4, 5:
		return r.now.Add(-time.Duration(r.rng.Int64N(int64(5 * time.Hour))))
	}
	return r.now.Add(-time.Duration(r.rng.Int64N(int64(2 * time.Minute))))
}

func (r *random) observations() []obs {
	out := make([]obs, r.rng.IntN(40))
	for i := range out {
		out[i] = obs{
			at: r.moment().Unix(), service: r.pick("", "web", "api"), host: r.pick("a", "b", "c"),
			status: r.pick("200", "200", "404", "500", ""), weight: 1 + r.rng.Int64N(3), bytes: r.rng.Int64N(5000) - 500,
			rt: float64(r.rng.IntN(4000)-500) / 512, user: r.rng.Uint64N(30),
		}
	}
	return out
}

func (r *random) rows() *millrace.EventRows {
	all := make([]ev, r.rng.IntN(30))
	for i := range all {
		all[i] = ev{
			time: r.moment().UnixNano(), arrived: r.now.UnixNano(), kind: millrace.Kind(r.rng.IntN(5)),
			project: r.pick("default", "shop"), service: r.pick("web", "api", ""), status: r.pick("200", "404", ""),
			message: r.pick("GET /", "timed out", "Boom"), weight: r.rng.Int64N(4),
			partition: int32(r.rng.IntN(3)), offset: r.offset, ordinal: int32(i),
			attrs: attrs("fingerprint", r.pick("", "f1", "f2", "f3")),
		}
	}
	return eventRows(all)
}

func (r *random) commit(sink millrace.Sink) *millrace.Commit {
	c := commitAt(r.now.Unix(), r.offset)
	c.Sink = sink
	c.Positions[0].Partition = int32(r.rng.IntN(3))
	for i := range c.Ledger {
		c.Ledger[i].Sink, c.Ledger[i].Source = sink, r.pick("web", "app")
		c.Ledger[i].Events, c.Ledger[i].Weight = r.rng.Int64N(50), r.rng.Int64N(90)
	}
	if r.rng.IntN(5) == 0 {
		c.Gaps = []millrace.Gap{{Sink: sink, From: r.offset, To: -1, Found: r.now.UnixNano() + r.offset, Reason: "test"}}
		c.SetAside = []millrace.SetAside{{Sink: sink, Offset: r.offset, Time: r.now.UnixNano() + r.offset, Payload: []byte("p")}}
		c.Ledger = append(c.Ledger, millrace.LedgerEntry{
			Sink: sink, Project: "default", Source: "web", Minute: c.Ledger[0].Minute,
			Outcome: millrace.OutcomeRejected, Reason: r.pick("bad_json", "too_long"), Events: 1, Weight: 1, Example: r.pick("x", "y", ""),
		})
	}
	if sink == millrace.SinkRollup && r.rng.IntN(5) == 0 {
		c.Admitted = []millrace.Admission{{Rollup: "traffic", Dimension: "host", Value: r.pick("a", "b", "c")}}
	}
	return c
}

// same asks both stores and compares the answers as text.
func (r *random) same(what string, ask func(s millrace.Store) (string, error)) {
	r.t.Helper()
	var answers [2]string
	for i, s := range []millrace.Store{r.a, r.b} {
		var err error
		if answers[i], err = ask(s); err != nil {
			r.t.Fatalf("seed %d at %v: %s: %v", r.seed, r.now, what, err)
		}
	}
	if diff := firstDifference(answers[0], answers[1]); diff != "" {
		r.t.Fatalf("seed %d at %v: %s: %s", r.seed, r.now, what, diff)
	}
}

func (r *random) compare() {
	r.t.Helper()
	ctx := r.t.Context()
	for _, set := range r.def.Sets {
		for _, g := range set.Granularities {
			if r.rng.IntN(3) == 0 {
				r.sameCells(everything(r.def, set, g))
			}
		}
	}
	for range 6 {
		r.sameCells(r.query())
	}
	r.same("events", func(s millrace.Store) (string, error) { return r.pages(s, allEvents()) })
	q := allEvents()
	q.Project = r.pick("", "shop")
	q.From = r.now.Add(-time.Duration(r.rng.Int64N(int64(100 * time.Hour)))).UnixNano()
	q.Filter, q.Limit = r.filter("service", "status", "kind", "message", "fingerprint", "fingerprint"), 1+r.rng.IntN(20)
	step := []int64{0, 60e9, 3600e9}[r.rng.IntN(3)]
	r.same("events where "+filterText(q.Filter), func(s millrace.Store) (string, error) { return r.pages(s, q) })
	r.same("counts where "+filterText(q.Filter), func(s millrace.Store) (string, error) {
		counts, err := s.CountEvents(ctx, q, step)
		return lines(counts), err
	})
	led := millrace.LedgerQuery{ByMinute: r.rng.IntN(2) == 0, Source: r.pick("", "web"), From: r.now.Add(-24 * time.Hour).Unix()}
	r.same(fmt.Sprintf("ledger %+v", led), func(s millrace.Store) (string, error) {
		out, err := s.Ledger(ctx, led)
		return lines(out), err
	})
	r.same("gaps", func(s millrace.Store) (string, error) { out, err := s.Gaps(ctx); return lines(out), err })
	r.same("set aside", func(s millrace.Store) (string, error) { out, err := s.SetAside(ctx, 5); return lines(out), err })
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		r.same("state", func(s millrace.Store) (string, error) {
			st, err := s.Load(ctx, sink)
			if err != nil {
				return "", err
			}
			sortState(st)
			return fmt.Sprintf("%+v", *st), nil
		})
	}
}

func lines[T any](rows []T) string {
	var out strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&out, "%+v\n", row)
	}
	return out.String()
}

func (r *random) sameCells(q millrace.CellQuery) {
	r.t.Helper()
	r.same(describe(q), func(s millrace.Store) (string, error) {
		got, err := s.Cells(r.t.Context(), q)
		if err != nil {
			return "", err
		}
		return render(got), nil
	})
}

// query is a random question to the cells.
func (r *random) query() millrace.CellQuery {
	set := r.def.Sets[r.rng.IntN(len(r.def.Sets))]
	q := everything(r.def, set, set.Granularities[r.rng.IntN(len(set.Granularities))])
	q.From = r.now.Add(-time.Duration(r.rng.Int64N(int64(60 * time.Hour)))).Unix()
	q.To = q.From + r.rng.Int64N(40*3600)
	q.Step = []int64{0, 60, 300, 3600, 10800, 86400}[r.rng.IntN(6)]
	q.By, q.States = nil, []int{r.rng.IntN(8)}
	var names []string
	for _, d := range set.Dims {
		names = append(names, r.def.Dimensions[d])
		if r.rng.IntN(2) == 0 {
			q.By = append(q.By, d)
		}
	}
	if len(names) > 0 {
		q.Where = r.filter(names...)
	}
	r.rng.Shuffle(len(q.By), func(i, j int) { q.By[i], q.By[j] = q.By[j], q.By[i] })
	return q
}

func (r *random) filter(fields ...string) *millrace.Filter {
	if r.rng.IntN(4) == 0 {
		return nil
	}
	if r.rng.IntN(3) == 0 {
		op := []millrace.FilterOp{millrace.FilterAnd, millrace.FilterOr, millrace.FilterNot}[r.rng.IntN(3)]
		sub := []*millrace.Filter{r.leaf(fields...)}
		if op != millrace.FilterNot {
			sub = append(sub, r.leaf(fields...))
		}
		return &millrace.Filter{Op: op, Sub: sub}
	}
	return r.leaf(fields...)
}

func (r *random) leaf(fields ...string) *millrace.Filter {
	ops := []millrace.FilterOp{
		millrace.FilterEq, millrace.FilterNe, millrace.FilterLt, millrace.FilterLe,
		millrace.FilterGt, millrace.FilterGe, millrace.FilterGlob,
	}
	return &millrace.Filter{
		Op: ops[r.rng.IntN(len(ops))], Field: r.pick(fields...),
		Value: r.pick("web", "200", "", "4*", "b", "404", "GET*", "f1", "f2"),
	}
}

// pages reads all pages of a query.
func (r *random) pages(s millrace.Store, q millrace.EventQuery) (string, error) {
	var all []millrace.StoredEvent
	for {
		page, err := s.Events(r.t.Context(), q)
		if err != nil {
			return "", err
		}
		all = slices.Concat(all, page.Events)
		if q.Cursor = page.Next; q.Cursor == "" {
			return lines(all), nil
		}
	}
}
