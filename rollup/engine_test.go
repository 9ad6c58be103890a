package rollup

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// cellMap is merged cells by rollup, set, minute and values.
type cellMap map[string]*mergedCell

type mergedCell struct {
	ints   []int64
	floats []float64
	blobs  [][]byte
}

// add merges deltas as a Store does.
func (m cellMap) add(t testing.TB, batches []*millrace.CellBatch) {
	t.Helper()
	var key []byte
	for _, b := range batches {
		prefix := fmt.Sprint(b.Rollup, b.Set.Dims)
		for i := range b.Len() {
			key = strconv.AppendInt(append(key[:0], prefix...), b.Bucket[i], 10)
			for _, col := range b.Dims {
				key = append(append(key, '|'), col[i]...)
			}
			c := m[string(key)]
			if c == nil {
				c = &mergedCell{make([]int64, len(b.States)), make([]float64, len(b.States)), make([][]byte, len(b.States))}
				for j := range c.floats {
					c.floats[j] = math.NaN()
				}
				m[string(key)] = c
			}
			for j := range b.States {
				if err := c.merge(j, &b.States[j], i); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

func (c *mergedCell) merge(j int, s *millrace.StateColumn, i int) (err error) {
	switch s.Kind {
	case millrace.StateSum:
		c.ints[j] = addSat(c.ints[j], s.Ints[i])
	case millrace.StateMin:
		c.floats[j] = math.Min(nanTo(c.floats[j], s.Floats[i]), nanTo(s.Floats[i], c.floats[j]))
	case millrace.StateMax:
		c.floats[j] = math.Max(nanTo(c.floats[j], s.Floats[i]), nanTo(s.Floats[i], c.floats[j]))
	case millrace.StateHist, millrace.StateHLL:
		merge := sketch.MergeHist
		if s.Kind == millrace.StateHLL {
			merge = sketch.MergeHLL
		}
		switch have, more := c.blobs[j], s.Blobs[i]; {
		case len(more) == 0:
		case len(have) == 0:
			c.blobs[j] = more
		default:
			c.blobs[j], err = merge([][]byte{have, more})
		}
	}
	return err
}

func (m cellMap) compare(t testing.TB, want cellMap) {
	t.Helper()
	for key, w := range want {
		g := m[key]
		if g == nil {
			t.Fatalf("cell %.200s is missing; %d cells, want %d", key, len(m), len(want))
		}
		same := slices.Equal(g.ints, w.ints)
		for j := range w.floats {
			same = same && math.Float64bits(g.floats[j]) == math.Float64bits(w.floats[j]) && bytes.Equal(g.blobs[j], w.blobs[j])
		}
		if !same {
			t.Fatalf("cell %.200s: got %v, want %v", key, g, w)
		}
	}
	if len(m) != len(want) {
		t.Fatalf("%d cells, want %d", len(m), len(want))
	}
}

// randomDefinition has up to six dimensions, metrics of all functions, and now
// and then so many sets that most are derived.
func randomDefinition(rng *rand.Rand, name string) Definition {
	fields := []string{"service", "url", "status", "method", "host", "client_ip", "none"}
	rng.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	def := Definition{Name: name, Dimensions: fields[:1+rng.IntN(6)]}
	if rng.IntN(3) == 0 {
		def.Where = `kind == "access" and status < 500`
	}
	all := Cube(def.Dimensions, len(def.Dimensions))
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	def.Sets = all[:1+rng.IntN(len(all))]
	metrics := []string{
		"count()", "rate()", "sum(bytes)", "sum(rt, 3)", "avg(rt, 3)", "avg(bytes)", "min(rt)", "max(rt)", "min(bytes)",
		"quantiles(rt)", "quantiles(bytes)", "uniq(client_ip)", "uniq(url)", "sum(huge)",
	}
	rng.Shuffle(len(metrics), func(i, j int) { metrics[i], metrics[j] = metrics[j], metrics[i] })
	for i, m := range metrics[:1+rng.IntN(len(metrics))] {
		def.Metrics = append(def.Metrics, NamedMetric{fmt.Sprintf("m%d", i), m})
	}
	return def
}

// streamEvents is testEvents with more: hosts, methods, huge values, texts that
// are numbers, and times centuries apart.
func streamEvents(rng *rand.Rand, n int) []millrace.Event {
	out := testEvents(rng, n)
	unit := rng.IntN(2) == 0
	for i := range out {
		e := &out[i]
		e.Host = fmt.Sprintf("host-%04d.example.com", rng.IntN(1+rng.IntN(300)))
		e.Set("method", millrace.StringValue([]string{"GET", "POST", ""}[rng.IntN(3)]))
		if rng.IntN(4) == 0 {
			e.Set("huge", millrace.IntValue(math.MaxInt64/2))
		}
		switch rng.IntN(50) {
		case 0:
			e.Set("rt", millrace.StringValue("0.25"))
		case 1:
			e.Set("rt", millrace.StringValue("fast"))
		case 2:
			e.Time = int64(rng.Uint64())
		case 3:
			e.Set("url", millrace.StringValue(strings.Repeat("long/", rng.IntN(1000))))
		case 4:
			e.Attrs = e.Attrs[1:]
		}
		if unit {
			e.Weight = 1
		}
	}
	return out
}

// randomPlan makes c derive its sets from random sources.
func randomPlan(rng *rand.Rand, c *cube) []planNode {
	costs := newPlanCosts(c.States())
	return makePlan(c.sets(), func(d dims, _ float64) float64 {
		rows := 1.0
		for i := range 32 {
			if d.has(1 << i) {
				rows *= 1 + float64(rng.IntN(30))
			}
		}
		return rows
	}, 1e6, costs, 0)
}

// TestEngineEqualsPrevious: whatever the plan, the chunks, the workers and the
// memory, the cells are those of the engine that updates each set by itself.
func TestEngineEqualsPrevious(t *testing.T) {
	cases := uint64(24)
	if testing.Short() {
		cases = 6
	}
	derived := 0
	for seed := range cases {
		rng := rand.New(rand.NewPCG(seed, 2))
		rollups := compile(t, randomDefinition(rng, "a"), randomDefinition(rng, "b"))
		lim := Limits{Values: 1 + rng.IntN(400), Workers: 1 + rng.IntN(3)}
		if rng.IntN(3) == 0 {
			lim.Memory = 1 << (14 + rng.IntN(8))
		}
		e, old := NewEngine(rollups, lim), newPrevious(rollups, lim)
		got, want := cellMap{}, cellMap{}
		folded := map[Folded]int64{}
		for range 1 + rng.IntN(3) {
			for _, c := range e.cubes {
				if rng.IntN(4) > 0 {
					e.spare = c.adopt(randomPlan(rng, c), e.spare)
				}
				c.limit = min(c.limit, 1+rng.IntN(3000))
				derived += len(c.nodes) - len(c.fed)
			}
			for rest := streamEvents(rng, 1+rng.IntN(2500)); len(rest) > 0; {
				n := min(len(rest), 1+rng.IntN(1000))
				e.Fold(1, rest[:n])
				old.Fold(1, rest[:n])
				rest = rest[n:]
				if rng.IntN(5) == 0 {
					e.Work()
				}
			}
			d := e.Drain()
			got.add(t, d.Cells)
			was := old.Drain()
			want.add(t, was.Cells)
			for _, f := range d.Folded {
				folded[Folded{Rollup: f.Rollup, Dimension: f.Dimension}] += f.Weight
			}
			for _, f := range was.Folded {
				if rollups[0].Name == f.Rollup && !e.cubes[0].uses(f.Dimension) || rollups[1].Name == f.Rollup && !e.cubes[1].uses(f.Dimension) {
					continue
				}
				folded[Folded{Rollup: f.Rollup, Dimension: f.Dimension}] -= f.Weight
			}
		}
		for f, weight := range folded {
			if weight != 0 {
				t.Fatalf("seed %d: folded %v differs by %d", seed, f, weight)
			}
		}
		got.compare(t, want)
		if n := e.Rows(); n != 0 {
			t.Fatalf("%d rows after a drain", n)
		}
	}
	if derived == 0 {
		t.Fatal("no set was derived")
	}
}

// uses reports whether some set has a dimension.
func (c *cube) uses(dimension string) bool {
	return c.layout.used[slices.Index(c.Dimensions, dimension)]
}

// TestReplan: an engine that is fed enough makes a plan of its own, and the
// cells stay the same.
func TestReplan(t *testing.T) {
	def := testDef
	rollups := compile(t, def)
	e, old := NewEngine(rollups, Limits{Values: 1000, Workers: 2}), newPrevious(rollups, Limits{Values: 1000})
	rng := rand.New(rand.NewPCG(9, 9))
	got, want := cellMap{}, cellMap{}
	for range 2 {
		for range 2 {
			events := testEvents(rng, minSample)
			e.Fold(0, events)
			old.Fold(0, events)
		}
		got.add(t, e.Drain().Cells)
		want.add(t, old.Drain().Cells)
	}
	c := e.cubes[0]
	if !c.planning.planned || len(c.fed) == len(c.nodes) {
		t.Fatalf("of %d tables %d are fed", len(c.nodes), len(c.fed))
	}
	got.compare(t, want)
}

// TestSetsAreCapped: what is beyond the cap is in the cell of no values, with
// its weight told; combinations known in the hour go on, others have to wait
// for the next.
func TestSetsAreCapped(t *testing.T) {
	const limit = 2000
	r := compile(t, Definition{
		Name: "t", Dimensions: []string{"a", "b"}, Sets: [][]string{{}, {"a"}, {"a", "b"}},
		Metrics: []NamedMetric{{"n", "count()"}, {"u", "uniq(b)"}, {"lo", "min(b)"}},
	})
	e := NewEngine(r, Limits{Values: 10_000, Cells: limit})
	var folded, total int64
	seen := map[string]bool{}
	drain := func() {
		for _, f := range drainTotals(t, e, seen, &total) {
			if f.Set != "a,b" || f.Dimension != "" {
				t.Fatalf("folded %v", f)
			}
			folded += f.Weight
		}
	}
	event := func(i int) millrace.Event {
		return millrace.Event{Weight: 3, Attrs: []millrace.Attr{
			{Key: "a", Value: millrace.IntValue(int64(i % 100))}, {Key: "b", Value: millrace.IntValue(int64(i))},
		}}
	}
	hour := int64(time.Hour)
	for i := range 3000 {
		e.Fold(5*hour, []millrace.Event{event(i)})
		if i%500 == 499 {
			drain()
		}
	}
	if want := int64(3 * (3000 - limit)); folded > want || folded < want*98/100 || total != 9000 {
		t.Fatalf("folded %d, want %d or a little less; total %d", folded, want, total)
	}
	known := len(seen)
	for i := range 3000 { // the same again
		e.Fold(5*hour+1, []millrace.Event{event(i)})
	}
	before := folded
	drain()
	if len(seen) != known || folded-before != before || total != 18000 {
		t.Fatalf("%d combinations, were %d; folded %d more, were %d; total %d", len(seen), known, folded-before, before, total)
	}
	before = folded
	e.Fold(6*hour, []millrace.Event{event(2999)})
	if drain(); folded != before || len(seen) != known+1 {
		t.Fatalf("in the next hour: folded %d more", folded-before)
	}
}

// drainTotals drains and checks that each set has the same total, which it adds to
// total; combinations of the last set that are not folded are added to seen.
func drainTotals(t *testing.T, e *Engine, seen map[string]bool, total *int64) []Folded {
	t.Helper()
	d := e.Drain()
	sums := map[int]int64{}
	for _, b := range d.Cells {
		for i, n := range b.States[0].Ints {
			sums[len(b.Set.Dims)] += n
			if len(b.Set.Dims) == 2 && b.Dims[1][i] != Other {
				seen[b.Dims[0][i]+","+b.Dims[1][i]] = true
			}
		}
	}
	if len(sums) != 3 || sums[0] != sums[1] || sums[0] != sums[2] {
		t.Fatalf("totals %v", sums)
	}
	*total += sums[0]
	return d.Folded
}

// TestValuesAge: a value that is not seen for the age makes room, by the time of
// arrival; one that is seen stays, and restored ones stay as long as new ones.
func TestValuesAge(t *testing.T) {
	r := compile(t, Definition{
		Name: "t", Dimensions: []string{"a", "unused"}, Sets: [][]string{{}, {"a"}}, Metrics: []NamedMetric{{"n", "count()"}},
	})
	minute := int64(time.Minute)
	e := NewEngine(r, Limits{Values: 3, Age: 10 * time.Minute})
	e.Restore([]millrace.Admission{{Rollup: "t", Dimension: "a", Value: "restored"}, {Rollup: "t", Dimension: "gone", Value: "x"}})
	step := func(at int64, values, admitted, retired string, folded int64) {
		t.Helper()
		var cells []string
		for v := range strings.FieldsSeq(values) {
			e.Fold(at*minute, []millrace.Event{{Weight: 2, Attrs: []millrace.Attr{{Key: "a", Value: millrace.StringValue(v)}}}})
			cells = append(cells, v)
		}
		d := e.Drain()
		names := func(list []millrace.Admission) (out []string) {
			for _, a := range list {
				out = append(out, a.Value)
			}
			slices.Sort(out)
			return out
		}
		if got := strings.Join(names(d.Admitted), " "); got != admitted {
			t.Fatalf("minute %d: admitted %q, want %q", at, got, admitted)
		}
		if got := strings.Join(names(d.Retired), " "); got != retired {
			t.Fatalf("minute %d: retired %q, want %q", at, got, retired)
		}
		got := int64(0)
		for _, f := range d.Folded {
			got += f.Weight
		}
		if got != folded {
			t.Fatalf("minute %d: folded %d, want %d", at, got, folded)
		}
		for _, b := range d.Cells {
			if len(b.Dims) == 1 && folded == 0 && !slices.Equal(slices.Sorted(slices.Values(b.Dims[0])), slices.Sorted(slices.Values(cells))) {
				t.Fatalf("minute %d: cells %q, want %q", at, b.Dims[0], cells)
			}
		}
	}
	step(100, "x y", "x y", "", 0)
	step(105, "y z", "", "", 2) // no room for z
	step(110, "y", "", "", 0)
	step(111, "y", "", "restored x", 0)
	step(112, "z w", "w z", "", 0)
	step(113, "x", "", "", 2)
	step(50, "y", "", "", 0) // arrival went back: an older partition
	step(124, "", "", "", 0) // nothing arrived, so that no time passed
	step(124, "x", "", "w y z", 2)
	step(125, "x y", "x y", "", 0)
}

// TestMemoryIsBounded: a stream of new values only stays below the limit plus
// what a probe takes, if the caller drains as told; Size is what the heap has.
func TestMemoryIsBounded(t *testing.T) {
	def := Definition{
		Name: "t", Dimensions: []string{"a", "b", "c"}, Sets: Cube([]string{"a", "b", "c"}, 3),
		Metrics: []NamedMetric{{"n", "count()"}, {"s", "sum(v)"}},
	}
	const limit = 12 << 20
	e := NewEngine(compile(t, def), Limits{Values: 10_000, Memory: limit, Workers: 2})
	events := make([]millrace.Event, 1000)
	var texts [3000]string
	var peak, total int64
	n, drains := 0, 0
	rng := rand.New(rand.NewPCG(7, 7))
	for range 200 {
		for i := range events {
			for j := range 3 {
				texts[3*i+j] = fmt.Sprint("value-", rng.IntN(15_000))
			}
			events[i] = millrace.Event{Weight: 1, Attrs: append(events[i].Attrs[:0],
				millrace.Attr{Key: "a", Value: millrace.StringValue(texts[3*i])},
				millrace.Attr{Key: "b", Value: millrace.StringValue(texts[3*i+1])},
				millrace.Attr{Key: "c", Value: millrace.StringValue(texts[3*i+2])},
				millrace.Attr{Key: "v", Value: millrace.IntValue(int64(i))})}
			n++
		}
		e.Fold(int64(n), events)
		held := e.cells + e.base
		if peak = max(peak, held); e.Size() <= limit {
			continue
		}
		drains++
		for _, b := range e.Drain().Cells {
			if len(b.Dims) == 3 {
				for _, n := range b.States[0].Ints {
					total += n
				}
			}
		}
	}
	for _, b := range e.Drain().Cells {
		if len(b.Dims) == 3 {
			for _, n := range b.States[0].Ints {
				total += n
			}
		}
	}
	margin := int64(probe * len(e.cubes[0].fed) * 2 * e.cubes[0].layout.rowBytes())
	if total != int64(n) || drains < 3 || peak > limit+margin {
		t.Fatalf("total %d of %d, %d drains, peak %d of %d (margin %d)", total, n, drains, peak, limit, margin)
	}
	t.Logf("%d drains, peak %d of %d", drains, peak, limit)
}

// TestPanicOfWorkerIsRaised: whoever calls may recover it.
func TestPanicOfWorkerIsRaised(t *testing.T) {
	ws := newWorkers(3)
	for _, few := range []bool{false, true} {
		func() {
			defer func() {
				if p := recover(); p != "bad row" {
					t.Fatalf("recovered %v", p)
				}
			}()
			ws.each(100, few, func(_ *worker, i int) {
				if i == 50 {
					panic("bad row")
				}
			})
		}()
	}
	e := NewEngine(compile(t, testDef), Limits{Values: 100, Workers: 3})
	e.Fold(0, testEvents(rand.New(rand.NewPCG(1, 1)), 5000))
	e.Work()
	defer func() {
		if p := recover(); p != "bad table" {
			t.Fatalf("recovered %v", p)
		}
	}()
	e.walk(func(_ *worker, t *task) {
		if t.node == 3 {
			panic("bad table")
		}
	})
}
