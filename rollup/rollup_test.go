package rollup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

func compile(t testing.TB, defs ...Definition) []*Rollup {
	t.Helper()
	var v millrace.Violations
	var out []*Rollup
	for _, d := range defs {
		out = append(out, Compile(d, "rollups."+d.Name, &v))
	}
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCompileReportsEveryViolation(t *testing.T) {
	def := Definition{
		Name:       "Bad Name",
		Where:      "kind ==",
		Dimensions: []string{"a", "a", "bucket"},
		Sets:       [][]string{{"nope"}},
		Metrics: []NamedMetric{
			{"x", "median(a)"}, {"y", "sum()"}, {"a", "count()"}, {"q", "quantiles(rt, 2)"}, {"s", "sum(v, 12)"}, {"c", "count(z)"},
		},
		Granularities: []string{"5m"},
	}
	var v millrace.Violations
	if Compile(def, "rollups.r", &v) != nil {
		t.Fatal("compiled")
	}
	text := v.Err().Error()
	for _, want := range []string{
		"r.name", "r.where", `"a": must`, `"bucket": must`, "r.sets", "metrics.x", "metrics.y", "metrics.a",
		"metrics.q", "0 to 9 digits", "metrics.c", "5m: must be 1m, 1h or 1d",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("violation %q is missing in:\n%s", want, text)
		}
	}
}

func TestDefaultsCompile(t *testing.T) {
	rollups := compile(t, Defaults()...)
	var got []string
	for _, r := range rollups {
		got = append(got, fmt.Sprintf("%s %d sets %d states", r.Name, len(r.Sets), len(r.States())))
	}
	want := []string{"traffic 6 sets 5 states", "exceptions 34 sets 2 states", "timings 8 sets 2 states"}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestCube(t *testing.T) {
	got := len(Cube([]string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}, 2))
	if got != 1+10+45 {
		t.Fatalf("cube(2) of 10 dimensions has %d sets, want 56", got)
	}
}

func TestWhere(t *testing.T) {
	e := &millrace.Event{Kind: millrace.KindAccess, Service: "shop", Attrs: []millrace.Attr{
		{Key: "status", Value: millrace.IntValue(503)},
		{Key: "url", Value: millrace.StringValue("/api/cart")},
		{Key: "rt", Value: millrace.FloatValue(0.25)},
	}}
	f := func(src string, want bool) {
		t.Helper()
		p, err := compileWhere(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if p(e) != want {
			t.Errorf("%s: got %v", src, !want)
		}
	}
	f(``, true)
	f(`kind == "access"`, true)
	f(`kind != "access"`, false)
	f(`kind == "access" and status >= 500`, true)
	f(`status >= 500 && !(service == "shop")`, false)
	f(`status == 503 or service == "x"`, true)
	f(`status in [200, 503]`, true)
	f(`service in ["a", "b"]`, false)
	f(`url startsWith "/api/" and url matches "cart$"`, true)
	f(`url contains "nope" || url endsWith "cart"`, true)
	f(`rt < 0.2`, false)
	f(`missing == ""`, true)
	f(`missing > 1`, false)
	f(`missing != 1`, true)

	bad := func(src string) {
		t.Helper()
		if _, err := compileWhere(src); err == nil {
			t.Errorf("%s: compiled", src)
		}
	}
	bad(`kind == "banana"`)
	bad(`kind =`)
	bad(`len(url) > 3`)
	bad(`"a" == url`)
	bad(`url matches "("`)
	bad(`url < "x"`)
	bad(`status`)
}

// oracle is the naive engine: every value kept, aggregated at the end.
type oracle map[string]*naive

type naive struct {
	count, sum, n int64
	min, max      float64
	hist          sketch.Hist
	hll           sketch.HLL
	clients       map[string]bool
}

var testDef = Definition{
	Name:       "t",
	Where:      `kind == "access"`,
	Dimensions: []string{"service", "url", "status", "method"},
	Sets:       Cube([]string{"service", "url", "status", "method"}, 4),
	Metrics: []NamedMetric{
		{"pv", "count()"},
		{"bytes", "sum(bytes)"},
		{"lo", "min(rt)"},
		{"hi", "max(rt)"},
		{"mean", "avg(rt, 3)"},
		{"rt", "quantiles(rt)"},
		{"uv", "uniq(client_ip)"},
		{"rps", "rate()"},
	},
}

func testEvents(rng *rand.Rand, n int) []millrace.Event {
	out := make([]millrace.Event, n)
	for i := range out {
		e := millrace.Event{
			Time: (rng.Int64N(5*60) - 120) * 1e9, Weight: 1 + rng.Int64N(3), Kind: millrace.KindAccess,
			Service: fmt.Sprintf("s%d", rng.IntN(3)),
			Attrs: []millrace.Attr{
				{Key: "url", Value: millrace.StringValue(fmt.Sprintf("/p/%d", rng.IntN(20)))},
				{Key: "status", Value: millrace.IntValue(200 + 100*rng.Int64N(4))},
				{Key: "client_ip", Value: millrace.StringValue(fmt.Sprintf("10.0.0.%d", rng.IntN(50)))},
			},
		}
		if rng.IntN(10) > 0 {
			e.Set("rt", millrace.FloatValue(float64(rng.IntN(5000))/1000))
			e.Set("bytes", millrace.IntValue(rng.Int64N(1<<40)))
		}
		if rng.IntN(20) == 0 {
			e.Kind = millrace.KindLog
		}
		out[i] = e
	}
	return out
}

func (o oracle) fold(r *Rollup, e *millrace.Event) {
	if e.Kind != millrace.KindAccess {
		return
	}
	for _, set := range r.Sets {
		key := fmt.Sprint(r.SetName(set), "|", millrace.Minute.Floor(floorDiv(e.Time, 1e9)))
		for _, d := range set.Dims {
			v, _ := e.Field(r.Dimensions[d])
			key += "|" + v.String()
		}
		c := o[key]
		if c == nil {
			c = &naive{min: math.NaN(), max: math.NaN(), clients: map[string]bool{}}
			o[key] = c
		}
		c.count += e.Weight
		ip, _ := e.Attr("client_ip")
		c.clients[ip.String()] = true
		if b, ok := e.Attr("bytes"); ok {
			i, _ := b.Int()
			c.sum += i * e.Weight
			rt, _ := e.Attr("rt")
			f, _ := rt.Float()
			c.n += e.Weight
			c.hist.Add(f, uint64(e.Weight))
			c.min, c.max = math.Min(nanTo(c.min, f), f), math.Max(nanTo(c.max, f), f)
		}
	}
}

func nanTo(f, other float64) float64 {
	if math.IsNaN(f) {
		return other
	}
	return f
}

// merge adds deltas to cells as a Store does.
func merge(t *testing.T, r *Rollup, cells oracle, drained Drained) {
	for _, b := range drained.Cells {
		for i := range b.Len() {
			key := fmt.Sprint(r.SetName(b.Set), "|", b.Bucket[i])
			for _, col := range b.Dims {
				key += "|" + col[i]
			}
			c := cells[key]
			if c == nil {
				c = &naive{min: math.NaN(), max: math.NaN()}
				cells[key] = c
			}
			s := b.States
			c.count += s[0].Ints[i]
			c.sum += s[1].Ints[i]
			c.min = math.Min(nanTo(c.min, s[2].Floats[i]), nanTo(s[2].Floats[i], c.min))
			c.max = math.Max(nanTo(c.max, s[3].Floats[i]), nanTo(s[3].Floats[i], c.max))
			c.n += s[5].Ints[i]
			if len(s[6].Blobs[i]) > 0 {
				if err := c.hist.MergeEncoded(s[6].Blobs[i]); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.hll.MergeEncoded(s[7].Blobs[i]); err != nil {
				t.Fatal(err)
			}
			if s[0].Ints[i] != s[8].Ints[i] {
				t.Fatalf("count %d and rate %d differ", s[0].Ints[i], s[8].Ints[i])
			}
		}
	}
}

func TestEngineEqualsOracle(t *testing.T) {
	r := compile(t, testDef)[0]
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 1))
		events := testEvents(rng, 1000)
		want, got := oracle{}, oracle{}
		e := NewEngine([]*Rollup{r}, Limits{Values: 1000})
		for rest := events; len(rest) > 0; {
			n := min(len(rest), 1+rng.IntN(300))
			e.Fold(0, rest[:n])
			rest = rest[n:]
			if rng.IntN(2) == 0 {
				merge(t, r, got, e.Drain())
			}
		}
		merge(t, r, got, e.Drain())
		for i := range events {
			want.fold(r, &events[i])
		}
		compareCells(t, got, want)
	}
}

func compareCells(t *testing.T, got, want oracle) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d cells, want %d", len(got), len(want))
	}
	for key, w := range want {
		g := got[key]
		if g == nil {
			t.Fatalf("cell %s is missing", key)
		}
		same := g.count == w.count && g.sum == w.sum && g.n == w.n &&
			math.Float64bits(g.min) == math.Float64bits(w.min) && math.Float64bits(g.max) == math.Float64bits(w.max)
		if !same || string(g.hist.AppendTo(nil)) != string(w.hist.AppendTo(nil)) {
			t.Fatalf("cell %s: got %+v, want %+v", key, g, w)
		}
		if g.hll.Estimate() != uint64(len(w.clients)) {
			t.Fatalf("cell %s: %d distinct, want %d", key, g.hll.Estimate(), len(w.clients))
		}
	}
}

func TestCapFoldsIntoOther(t *testing.T) {
	r := compile(t, Definition{
		Name: "t", Dimensions: []string{"url"}, Sets: [][]string{{}, {"url"}}, Metrics: []NamedMetric{{"pv", "count()"}},
	})
	event := func(i int) millrace.Event {
		return millrace.Event{Weight: 2, Attrs: []millrace.Attr{{Key: "url", Value: millrace.StringValue(fmt.Sprint(i))}}}
	}
	e := NewEngine(r, Limits{Values: 3})
	for i := range 10 {
		e.Fold(0, []millrace.Event{event(i)})
	}
	d := e.Drain()
	if len(d.Admitted) != 3 || len(d.Folded) != 1 || d.Folded[0].Weight != 14 {
		t.Fatalf("admitted %v, folded %v", d.Admitted, d.Folded)
	}
	if got := d.Cells[1].Dims[0]; !slices.Equal(got, []string{"0", "1", "2", Other}) {
		t.Fatalf("values %q", got)
	}
	if total := d.Cells[0].States[0].Ints[0]; total != 20 {
		t.Fatalf("total %d, want 20", total)
	}

	// Another engine with the same admissions folds the same way, whatever the order.
	again := NewEngine(r, Limits{Values: 3})
	again.Restore(d.Admitted)
	for i := 9; i >= 0; i-- {
		again.Fold(0, []millrace.Event{event(i)})
	}
	d2 := again.Drain()
	if len(d2.Admitted) != 0 || d2.Folded[0].Weight != 14 {
		t.Fatalf("after restore: admitted %v, folded %v", d2.Admitted, d2.Folded)
	}
}

func TestLongValuesAreCutAtARune(t *testing.T) {
	d := newDict("url", 10)
	long := strings.Repeat("é", MaxValue)
	c := d.code(long, 1)
	if got := d.values[c]; len(got) > MaxValue || !strings.HasPrefix(long, got) {
		t.Fatalf("value of %d bytes", len(got))
	}
}

func TestSumsSaturate(t *testing.T) {
	f := func(got, want int64) {
		t.Helper()
		if got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	f(addSat(math.MaxInt64, 1), math.MaxInt64)
	f(addSat(math.MinInt64, -1), math.MinInt64)
	f(addSat(math.MaxInt64, -1), math.MaxInt64-1)
	f(addSat(-3, 3), 0)
	f(mulSat(math.MaxInt64, 2), math.MaxInt64)
	f(mulSat(math.MaxInt64, -2), math.MinInt64)
	f(mulSat(-4, 3), -12)
	f(fixedPoint(millrace.IntValue(1<<60+1), 0, 1), 1<<60+1)
	f(fixedPoint(millrace.FloatValue(0.1235), 0.1235, 1000), 124)
	f(fixedPoint(millrace.FloatValue(1e300), 1e300, 1), math.MaxInt64)
}

// TestFoldDoesNotAllocate: in the steady state, drains apart, nothing is left
// to the garbage collector; goroutines of a chunk are a few per 256K events.
func TestFoldDoesNotAllocate(t *testing.T) {
	rollups := compile(t, append(Defaults(), testDef)...)
	e := NewEngine(rollups, Limits{Values: 1000, Workers: 1})
	events := testEvents(rand.New(rand.NewPCG(1, 1)), 2000)
	round := func() {
		e.Fold(0, events)
		e.Work()
	}
	for range 3 {
		for range 20 {
			round()
		}
		e.Drain()
	}
	for range 20 {
		round()
	}
	if n := testing.AllocsPerRun(20, round); n > 8 {
		t.Fatalf("%v allocations for %d events", n, len(events))
	}
}

// BenchmarkFold folds parsed events, drains included, with this engine and the
// one before it.
func BenchmarkFold(b *testing.B) {
	for _, bench := range []struct {
		name string
		defs []Definition
	}{
		{"defaults", Defaults()},
		{"16sets", []Definition{testDef}},
	} {
		rollups := compile(b, bench.defs...)
		events := testEvents(rand.New(rand.NewPCG(1, 1)), 4096)
		type engine interface {
			Fold(arrived int64, events []millrace.Event)
			Drain() Drained
		}
		run := func(b *testing.B, e engine) {
			b.ReportAllocs()
			for n := 0; n < b.N; n += len(events) {
				e.Fold(0, events)
				if n/len(events)%64 == 63 {
					e.Drain()
				}
			}
		}
		lim := Limits{Values: 100_000, Workers: 1}
		b.Run(bench.name+"/now", func(b *testing.B) { run(b, NewEngine(rollups, lim)) })
		b.Run(bench.name+"/before", func(b *testing.B) { run(b, newPrevious(rollups, lim)) })
	}
}

// FuzzParseMetric: whatever is accepted has a function and sane arguments.
func FuzzParseMetric(f *testing.F) {
	for _, s := range []string{"count()", "sum(bytes)", "sum(price, 2)", "quantiles(rt, 0.5, 0.999)", "uniq(client_ip)", "min()"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMetric("m", s)
		if err != nil {
			return
		}
		counts := m.Func == millrace.FuncCount || m.Func == millrace.FuncRate
		if counts != (m.Field == "") || m.Scale < 0 || m.Scale > 9 {
			t.Fatalf("%q: %+v", s, m)
		}
	})
}
