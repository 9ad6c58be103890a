package rollup

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/sketch"
)

// load is what a benchmark of the engine does. The zero value of a field means
// its default.
type load struct {
	sets     int  // see gen.Sets; default 100
	sketches bool // uniq(client_ip) and quantiles(rt) besides count and sum(bytes)
	shop     gen.Options
	events   int // default 20M
	drain    int // events between two drains; default 2M, 10 s of event time
	cores    int // GOMAXPROCS; default what it is
	memory   int64
	noHours  bool // leaves out the hours and days
}

// outcome is what it measured.
type outcome struct {
	load
	took    time.Duration // of folding, draining, encoding, hours and days
	cpu     time.Duration // that it took on all cores
	drains  int
	cells   int   // of minutes, handed out by drains
	coarse  int   // of hours and days
	bytes   int64 // of sketches, encoded
	size    int64 // Engine.Size at its largest
	peak    int64 // resident memory of the process at its largest, with the benchmark's own; 0 if unknown
	fedInto int   // tables that are fed
}

// rate returns events per second.
func (o *outcome) rate() float64 { return float64(o.events) / o.took.Seconds() }

// perEvent returns ns of CPU per event, all cores together.
func (o *outcome) perEvent() float64 { return float64(o.cpu.Nanoseconds()) / float64(o.events) }

func (l load) withDefaults() load {
	if l.sets == 0 {
		l.sets = 100
	}
	if l.events == 0 {
		l.events = 20_000_000
	}
	if l.drain == 0 {
		l.drain = 10 * gen.StreamRate
	}
	if l.cores == 0 {
		l.cores = runtime.GOMAXPROCS(0)
	}
	return l
}

// rollup compiles the rollup of a load.
func (l load) rollup(tb testing.TB) *Rollup {
	tb.Helper()
	def := Definition{
		Name: "bench", Dimensions: gen.Dimensions(), Sets: gen.Sets(l.sets),
		Metrics: []NamedMetric{{"pv", "count()"}, {"bytes", "sum(bytes)"}},
	}
	if l.sketches {
		def.Metrics = append(def.Metrics, NamedMetric{"uv", "uniq(client_ip)"}, NamedMetric{"rt", "quantiles(rt)"})
	}
	var v millrace.Violations
	r := Compile(def, "bench", &v)
	if r == nil {
		tb.Fatal(v)
	}
	return r
}

// benchStart is when the stream begins: shortly before an hour, which closes.
var benchStart = time.Date(2026, 3, 5, 11, 59, 0, 0, time.UTC)

// benchChunk is how many events are made at a time, while the clock stands.
const benchChunk = 250_000

// folder is an engine under load: the one at hand, or the one before it.
type folder interface {
	Fold(arrived int64, events []millrace.Event)
	Drain() Drained
}

// run folds a load as feed hands it out and measures.
type run struct {
	outcome
	folder folder
	engine *Engine  // nil if it is the one before
	hours  *periods // nil if left out
	folded int
}

func newRun(tb testing.TB, l load) *run {
	l = l.withDefaults()
	r := &run{outcome: outcome{load: l}}
	rollups := []*Rollup{l.rollup(tb)}
	r.engine = NewEngine(rollups, Limits{Values: 1 << 20, Memory: l.memory, Workers: l.cores})
	r.folder = r.engine
	if !l.noHours {
		r.hours = newPeriods(r.engine)
	}
	return r
}

func newPreviousRun(tb testing.TB, l load) *run {
	l = l.withDefaults()
	return &run{outcome: outcome{load: l}, folder: newPrevious([]*Rollup{l.rollup(tb)}, Limits{Values: 1 << 20})}
}

// timed adds what f takes.
func (r *run) timed(f func()) {
	cpu, start := cpuTime(), time.Now()
	f()
	r.took += time.Since(start)
	r.cpu += cpuTime() - cpu
}

// cpuTime is the CPU time of the process, 0 if it is unknown. Unlike the time
// it takes, it says something on a machine that does other things too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// did counts n events as folded and drains if it is time.
func (r *run) did(n int) {
	r.folded += n
	if r.folded%r.drain != 0 && r.folded < r.events {
		return
	}
	r.timed(r.barrier)
	if r.folded >= r.events && r.hours != nil {
		r.timed(func() { r.note(r.hours.close(), &r.coarse) })
	}
}

func (r *run) barrier() {
	if r.engine != nil {
		r.size = max(r.size, r.engine.Size())
		r.fedInto = len(r.engine.cubes[0].fed)
	}
	if r.hours != nil {
		r.note(r.hours.absorb(), &r.coarse)
	}
	r.drains++
	out := r.folder.Drain()
	r.note(out.Cells, &r.cells)
	if r.engine != nil {
		r.size = max(r.size, r.engine.Size())
	}
}

func (r *run) note(batches []*millrace.CellBatch, cells *int) {
	for _, b := range batches {
		*cells += len(b.Bucket)
		for _, s := range b.States {
			for _, blob := range s.Blobs {
				r.bytes += int64(len(blob))
			}
		}
	}
}

// columnCoder turns a stream's columns into those of the engine: what its encoder
// makes of the events, in whose dictionaries it enters the values.
type columnCoder struct {
	codes  [][]uint32 // per dimension: the stream's code to the engine's
	hashes []uint64   // per client
	buf    gen.Columns
}

func newColumnCoder(s *gen.Stream, e *Engine) *columnCoder {
	c := &columnCoder{}
	for d, dict := range e.cubes[0].dicts {
		var codes []uint32
		if dict != nil {
			for _, v := range s.Values(d) {
				codes = append(codes, dict.code(v, 1))
			}
		}
		c.codes = append(c.codes, codes)
	}
	for _, ip := range s.Clients() {
		c.hashes = append(c.hashes, hashText(ip))
	}
	return c
}

// fill makes n events.
func (c *columnCoder) fill(s *gen.Stream, l *layout, cols *columns, n int) {
	s.Columns(&c.buf, n)
	cols.reset()
	cols.reserve(l, n)
	cols.n = n
	cols.mass[0] = uint64(n)
	for i, at := range c.buf.Time {
		m := cols.minute(at)
		cols.counts[m]++
		cols.minutes[i], cols.weights[i] = m, 1
	}
	for d, codes := range c.codes {
		for i, v := range c.buf.Dims[d] {
			if codes != nil {
				cols.codes[d][i] = codes[v]
			}
		}
	}
	for i, v := range c.buf.Bytes {
		cols.sums[0][i] = v
		cols.mass[1] += uint64(v)
	}
	if len(cols.buckets) == 0 {
		return
	}
	for i, v := range c.buf.RT {
		cols.buckets[0][i] = sketch.BucketOf(v)
		cols.hashes[0][i] = c.hashes[c.buf.Clients[i]]
	}
}

// foldColumnsLoad runs a load of events that are encoded already: the engine
// without its encoder.
func foldColumnsLoad(tb testing.TB, l load) outcome {
	r := newRun(tb, l)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.cores))
	s := gen.NewStreamAt(1, benchStart, r.shop)
	c := newColumnCoder(s, r.engine)
	layout := r.engine.cubes[0].layout
	cols := newColumns(layout)
	settle()
	for r.folded < r.events {
		n := min(benchChunk, r.drain-r.folded%r.drain)
		c.fill(s, layout, cols, n)
		r.timed(func() { r.engine.foldColumns(0, cols) })
		r.did(n)
	}
	r.peak = peakMemory()
	return r.outcome
}

// foldEventsLoad runs a load of parsed events, as the decoder leaves them: each
// record's worth is made just before, and is as warm as it is behind a decoder.
func foldEventsLoad(tb testing.TB, r *run) outcome {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.cores))
	s := gen.NewStreamAt(1, benchStart, r.shop)
	events := make([]millrace.Event, 2500)
	settle()
	for r.folded < r.events {
		part := events[:min(len(events), r.drain-r.folded%r.drain)]
		arrived := s.Arrival()
		s.Events(part)
		r.timed(func() { r.folder.Fold(arrived, part) })
		r.did(len(part))
	}
	r.peak = peakMemory()
	return r.outcome
}

// settle lets nothing of what came before count: not its garbage, not its memory.
func settle() {
	runtime.GC()
	// Linux counts the peak anew after this; where it does not, peakMemory is
	// that of the process so far.
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peakMemory returns the largest resident size since settle, 0 if it is unknown.
func peakMemory() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			if err != nil {
				return 0
			}
			return n << 10
		}
	}
	return 0
}

func (l load) what() string {
	if l.sketches {
		return "count, sum, uniq, quantiles"
	}
	return "count, sum"
}

func (o *outcome) String() string {
	return fmt.Sprintf("%d events, %d sets of %s: %.2fM events/s, %.0f ns CPU an event, %d fed tables, %d drains, %d cells, %d of hours and days",
		o.events, o.sets, o.what(), o.rate()/1e6, o.perEvent(), o.fedInto, o.drains, o.cells, o.coarse)
}
