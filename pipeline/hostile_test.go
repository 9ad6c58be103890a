package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/rollup"
)

// hostileEvents is how many events the hostile stream has: 5 million with
// MILLRACE_SOAK=1 or when the tests run one by one, fewer where they must be fast.
func hostileEvents() int {
	switch {
	case os.Getenv("MILLRACE_SOAK") != "":
		return 5_000_000
	case raceDetector:
		return 300_000
	case testing.Short():
		return 500_000
	}
	return 5_000_000
}

// hostileMargin is what the test allows beyond twice the memory setting, which
// is for open cells and cells being stored: units, accounts, the test itself.
const hostileMargin = 64 << 20

// TestHostileStream: a stream with a new value in three dimensions in every
// event keeps the memory under its cap and all totals exact, and the rollups
// without those dimensions as they are without the hostile one.
func TestHostileStream(t *testing.T) {
	n := hostileEvents()
	shop := rollup.Definition{
		Name: "shop", Dimensions: []string{"service", "url", "status"},
		Sets: [][]string{{}, {"service"}, {"url"}, {"service", "url"}, {"url", "status"}},
		Metrics: []rollup.NamedMetric{
			{Name: "n", Expr: "count()"}, {Name: "bytes", Expr: "sum(bytes)"}, {Name: "rt", Expr: "quantiles(rt)"}, {Name: "uv", Expr: "uniq(user)"},
		},
	}
	hostile := rollup.Definition{
		Name: "hostile", Dimensions: []string{"service", "a", "b", "c"},
		Sets: [][]string{{}, {"a"}, {"b"}, {"c"}, {"a", "b"}, {"service", "a"}, {"a", "b", "c"}},
		Metrics: []rollup.NamedMetric{
			{Name: "n", Expr: "count()"}, {Name: "bytes", Expr: "sum(bytes)"}, {Name: "rt", Expr: "quantiles(rt)"}, {Name: "uv", Expr: "uniq(a)"},
		},
	}
	with := floodStream(t, n, shop, hostile)
	without := floodStream(t, n, shop)
	if got, want := dump(t, with.store, with.rollups[:1]), dump(t, without.store, without.rollups); got != want || got == "" {
		t.Errorf("the cells of the other rollup differ: %d bytes, want %d", len(got), len(want))
	}
	for set, total := range with.totals {
		if total != with.want {
			t.Errorf("set %s: %d events of %d bytes, want %d of %d", set, total[0], total[1], with.want[0], with.want[1])
		}
	}
	if len(with.totals) != len(hostile.Sets) {
		t.Errorf("totals of %d sets, want %d", len(with.totals), len(hostile.Sets))
	}
	folded := map[string]int64{}
	for _, f := range with.p.Status().Folded {
		folded[FoldedAt(f)] = f.Weight
	}
	for _, d := range []string{"a", "b", "c"} {
		if want := max(0, int64(n-with.opts.DimensionValues)); folded["hostile."+d] > want || folded["hostile."+d] < want/2 {
			t.Errorf("folded at %s: %d, want about %d", d, folded["hostile."+d], want)
		}
	}
	limit := 2*int64(with.opts.RollupMemory) + hostileMargin
	t.Logf("%d events: live memory at most %d MiB, engine %d MiB, %d early flushes, %d cells", n, with.peak>>20,
		with.p.Status().Rollups.PeakBytes>>20, with.p.Status().Rollups.EarlyFlushes, with.cells)
	if with.peak > limit {
		t.Errorf("%d MiB of live memory, want at most %d", with.peak>>20, limit>>20)
	}
	if most := int64(with.opts.RollupMemory) * 5 / 4; with.p.Status().Rollups.PeakBytes > most {
		t.Errorf("the engine held %d MiB, want at most %d", with.p.Status().Rollups.PeakBytes>>20, most>>20)
	}
}

// flood is a run of the stream through the sink. The store keeps the cells of
// shop and of hostile only the sums, which would fill the memory measured here.
type flood struct {
	opts    Options
	rollups []*rollup.Rollup
	store   *floodStore
	p       *Pipeline
	want    [2]int64
	totals  map[string][2]int64
	base    int64 // live bytes before
	peak    int64 // and above those, at most
	cells   int
}

type floodStore struct {
	*memory.Store
	mu sync.Mutex
	f  *flood
}

func (s *floodStore) WriteCells(ctx context.Context, cells []*millrace.CellBatch, c *millrace.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.f.look() // the engine goes on while these cells are held
	var kept []*millrace.CellBatch
	for _, b := range cells {
		s.f.cells += b.Len()
		if b.Rollup != "hostile" {
			kept = append(kept, b)
			continue
		}
		total := s.f.totals[fmt.Sprint(b.Set.Dims)]
		for i := range b.Len() {
			total[0] += b.States[0].Ints[i]
			total[1] += b.States[1].Ints[i]
		}
		s.f.totals[fmt.Sprint(b.Set.Dims)] = total
	}
	slim := *c
	slim.Admitted, slim.Retired = nil, nil
	return s.Store.WriteCells(ctx, kept, &slim)
}

// floodStream sends n events, 200,000 for each second of the clock. Every
// million another day begins, so that values age out.
func floodStream(t *testing.T, n int, defs ...rollup.Definition) *flood {
	t.Helper()
	f := &flood{opts: DefaultOptions(), totals: map[string][2]int64{}}
	f.store = &floodStore{Store: memory.New(), f: f}
	var v millrace.Violations
	var schemas []millrace.RollupSchema
	for _, d := range defs {
		f.rollups = append(f.rollups, rollup.Compile(d, d.Name, &v))
		schemas = append(schemas, f.rollups[len(f.rollups)-1].RollupSchema)
	}
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.store.DefineRollups(t.Context(), schemas); err != nil {
		t.Fatal(err)
	}
	f.base = liveBytes()
	var clock atomic.Int64 // several goroutines read it
	clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	now := func() time.Time { return time.Unix(0, clock.Load()) }
	f.p = New(f.opts, Deps{Store: f.store, Rollups: f.rollups, Now: now, Log: slog.New(slog.DiscardHandler)})
	k, _, err := f.p.claimSink(t.Context(), millrace.SinkRollup, nil)
	if err != nil {
		t.Fatal(err)
	}
	k.positions[0] = &millrace.Position{TopicID: "topic"}
	s := f.p.newRollupSink(k, nil)
	rng := rand.New(rand.NewPCG(1, 1))
	u := &unit{}
	for sent, offset := 0, int64(0); sent < n; offset++ {
		sent += f.fill(u, rng, offset, now(), sent, min(2000, n-sent))
		if err := s.fold(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		clock.Add(int64(10 * time.Millisecond))
		if err := s.tick(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		if sent%100_000 == 0 {
			f.store.mu.Lock()
			f.look()
			f.store.mu.Unlock()
		}
		if sent%1_000_000 == 0 {
			clock.Add(int64(25 * time.Hour))
		}
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	return f
}

// look notes how much memory is live. The caller holds the store's lock.
func (f *flood) look() { f.peak = max(f.peak, liveBytes()-f.base) }

// fill makes the next record, of m events.
func (f *flood) fill(u *unit, rng *rand.Rand, offset int64, now time.Time, from, m int) int {
	u.rec = &millrace.Record{Offset: offset, Arrived: now.UnixNano(), Project: "default", Source: "s", Frames: make([]uint32, m)}
	u.batch.Record, u.batch.Events = u.rec, u.batch.Events[:0]
	attrs := make([]millrace.Attr, 0, 8*m)
	for i := range m {
		size := rng.Int64N(10_000)
		at, id := len(attrs), strconv.Itoa(from+i)
		attrs = append(attrs,
			millrace.Attr{Key: "url", Value: millrace.StringValue(floodURLs[rng.IntN(len(floodURLs))])},
			millrace.Attr{Key: "status", Value: millrace.IntValue(200 + rng.Int64N(4)*100)},
			millrace.Attr{Key: "bytes", Value: millrace.IntValue(size)},
			millrace.Attr{Key: "rt", Value: millrace.FloatValue(rng.ExpFloat64())},
			millrace.Attr{Key: "user", Value: millrace.StringValue(floodURLs[rng.IntN(len(floodURLs))])},
			millrace.Attr{Key: "a", Value: millrace.StringValue("session-" + id)},
			millrace.Attr{Key: "b", Value: millrace.StringValue("trace-" + id)},
			millrace.Attr{Key: "c", Value: millrace.StringValue("request-" + id)})
		u.batch.Events = append(u.batch.Events, millrace.Event{
			Time: now.UnixNano(), Weight: 1, Ordinal: int32(i), Kind: millrace.KindAccess, Service: "shop", Attrs: attrs[at:],
		})
		f.want[0]++
		f.want[1] += size
	}
	return m
}

var floodURLs = []string{"/", "/cart", "/login", "/search", "/p/1", "/p/2", "/p/3"}

// liveBytes collects garbage and returns what is left.
func liveBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
