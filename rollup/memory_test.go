package rollup

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/millrace/millrace"
)

// TestSizeIsWhatTheHeapHas, with many rows, many values or large sketches, and
// again after drains, when memory is kept for reuse.
func TestSizeIsWhatTheHeapHas(t *testing.T) {
	abc := []string{"a", "b", "c"}
	for _, c := range []struct {
		name    string
		metrics []NamedMetric
		values  int // per dimension
	}{
		{"rows", []NamedMetric{{"n", "count()"}, {"s", "sum(v)"}, {"lo", "min(v)"}}, 60},
		{"values", []NamedMetric{{"n", "count()"}}, 30_000},
		{"sketches", []NamedMetric{{"q", "quantiles(v)"}, {"u", "uniq(u)"}}, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			rollups := compile(t, Definition{Name: "t", Dimensions: abc, Sets: Cube(abc, 3), Metrics: c.metrics})
			rng := rand.New(rand.NewPCG(4, 4))
			before := heap()
			e := NewEngine(rollups, Limits{Values: 100_000, Workers: 2})
			check := func(when string) {
				t.Helper()
				held, size := heap()-before, e.Size()
				if held < size*4/5 || held > size*6/5 {
					t.Errorf("%s: size %d, heap %d", when, size, held)
				}
			}
			for range 2 {
				for range 10 {
					e.Fold(0, valueEvents(rng, 5000, c.values))
				}
				e.Work()
				check("full")
				e.Drain()
				check("drained")
			}
			runtime.KeepAlive(rollups)
		})
	}
}

// heap returns the bytes of live objects.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func valueEvents(rng *rand.Rand, n, values int) []millrace.Event {
	out := make([]millrace.Event, n)
	for i := range out {
		attrs := []millrace.Attr{
			{Key: "v", Value: millrace.FloatValue(rng.ExpFloat64())}, {Key: "u", Value: millrace.IntValue(rng.Int64N(100_000))},
		}
		for _, d := range []string{"a", "b", "c"} {
			attrs = append(attrs, millrace.Attr{Key: d, Value: millrace.StringValue(fmt.Sprint("value-", rng.IntN(values)))})
		}
		out[i] = millrace.Event{Weight: 1, Attrs: attrs}
	}
	return out
}

// TestKeptMemoryIsBounded: what a peak took is given back after a drain.
func TestKeptMemoryIsBounded(t *testing.T) {
	abc := []string{"a", "b", "c"}
	const limit = 24 << 20
	e := NewEngine(compile(t, Definition{
		Name: "t", Dimensions: abc, Sets: Cube(abc, 3),
		Metrics: []NamedMetric{{"n", "count()"}, {"q", "quantiles(v)"}, {"u", "uniq(u)"}},
	}), Limits{Values: 1000, Workers: 2, Memory: limit})
	rng := rand.New(rand.NewPCG(4, 4))
	for e.Size() <= limit {
		e.Fold(0, valueEvents(rng, 5000, 300))
	}
	e.Drain()
	if e.cells > limit/keptShare || e.Size() > limit*3/4 {
		t.Fatalf("%d bytes in tables, %d in all, of %d", e.cells, e.Size(), limit)
	}
}
