package sketch

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// chunkEvents is how many events a rollup takes at a time.
const chunkEvents = 1 << 18

// eventChunk is what a chunk of events is to one table: some rows are much
// more frequent than others, 20,000 clients are all over them.
type eventChunk struct {
	row    []uint32 // as they came
	bucket []Bucket
	hash   []uint64
	// The same, partitioned by row: the run of rows[i] ends at ends[i].
	rows    []uint32
	ends    []int
	buckets []Bucket
	hashes  []uint64
}

func makeChunk(r *rand.Rand, rows, events int) *eventChunk {
	c := new(eventChunk)
	zipf := rand.NewZipf(r, 1.05, 3, uint64(max(rows, 2)-1))
	order := make([]int, events)
	for i := range order {
		row := hashOf(4, zipf.Uint64()) % uint64(rows)
		c.row = append(c.row, uint32(row))
		c.bucket = append(c.bucket, BucketOf(distributions["lognormal"](r)*float64(1+row%7)))
		c.hash = append(c.hash, hashOf(5, r.Uint64N(20_000)))
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.row[a], c.row[b]) })
	for _, i := range order {
		if n := len(c.rows); n == 0 || c.rows[n-1] != c.row[i] {
			c.rows, c.ends = append(c.rows, c.row[i]), append(c.ends, 0)
		}
		c.buckets, c.hashes = append(c.buckets, c.bucket[i]), append(c.hashes, c.hash[i])
		c.ends[len(c.ends)-1] = len(c.buckets)
	}
	return c
}

// addTo adds the chunk to columns, run by run.
func (c *eventChunk) addTo(hists *Hists, hlls *HLLs) {
	from := 0
	for i, row := range c.rows {
		hists.AddRun(int(row), c.buckets[from:c.ends[i]], nil)
		hlls.AddRun(int(row), c.hashes[from:c.ends[i]])
		from = c.ends[i]
	}
}

// TestColumnsInSteadyStateAllocateNothing fills, merges, encodes and empties
// columns as a rollup does between two drains.
func TestColumnsInSteadyStateAllocateNothing(t *testing.T) {
	if poolsForget {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	const rows = 300
	c := makeChunk(newRand(1), rows, 20_000)
	var hists, merged Hists
	var hlls, union HLLs
	buf := make([]byte, 0, 1<<16)
	var order []uint32
	for row := range uint32(rows) {
		order = append(order, row)
	}
	drain := func() {
		hists.Grow(rows)
		hlls.Grow(rows)
		merged.Grow(7)
		union.Grow(7)
		c.addTo(&hists, &hlls)
		c.addTo(&hists, &hlls)
		for row := range rows {
			merged.Merge(row%7, &hists, row)
			union.Merge(row%7, &hlls, row)
			buf = hists.AppendTo(buf[:0], row)
			buf = hlls.AppendTo(buf[:0], row)
		}
		hlls.Settle()
		for row := range 7 {
			merged.MergeRows(row, &hists, order[row*rows/7:(row+1)*rows/7])
			union.MergeRows(row, &hlls, order[row*rows/7:(row+1)*rows/7])
			union.MergeRows(row, &hlls, order[:1])
		}
		hists.Reset()
		hlls.Reset()
		merged.Reset()
		union.Reset()
	}
	if got := testing.AllocsPerRun(5, drain); got > 0 {
		t.Errorf("a drain allocates %v times", got)
	}
}

// TestColumnsKnowTheirSize compares Bytes with the heap.
func TestColumnsKnowTheirSize(t *testing.T) {
	c := makeChunk(newRand(2), 20_000, 200_000)
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	hists, hlls := new(Hists), new(HLLs)
	hists.Grow(20_000)
	hlls.Grow(20_000)
	c.addTo(hists, hlls)
	held, got := heap()-before, hists.Bytes()+hlls.Bytes()
	t.Logf("%d KiB held, %d KiB accounted for", held>>10, got>>10)
	if held < 1<<20 || got < held*97/100 || got > held*103/100 {
		t.Errorf("%d bytes held, %d accounted for", held, got)
	}
	hists.Reset()
	hlls.Reset()
	limit := got / 8
	hists.Trim(limit)
	hlls.Trim(limit)
	held, got = heap()-before, hists.Bytes()+hlls.Bytes()
	if hists.Bytes() > limit || hlls.Bytes() > limit || held > got+got/20+8<<10 {
		t.Errorf("after trimming to 2 * %d bytes %d are held, %d accounted for", limit, held, got)
	}
	runtime.KeepAlive(hists)
	runtime.KeepAlive(hlls)
	runtime.KeepAlive(c)
}

var tableRows = []int{1, 100, 5000, 100_000}

// perEvent runs fill on empty sketches for some chunks in turn and reports the
// time of an event.
func perEvent(b *testing.B, rows int, reset func(), fill func(c *eventChunk)) {
	r := newRand(uint64(rows))
	var chunks []*eventChunk
	for range 4 {
		chunks = append(chunks, makeChunk(r, rows, chunkEvents))
	}
	b.ReportAllocs()
	for b.Loop() {
		reset()
		for _, c := range chunks {
			fill(c)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(chunks)*chunkEvents), "ns/event")
}

// BenchmarkTable compares a table that keeps a sketch of each kind per row,
// event by event as they come, with one that keeps columns, by runs.
func BenchmarkTable(b *testing.B) {
	for _, rows := range tableRows {
		b.Run(fmt.Sprintf("rows=%d/hist=sketches", rows), func(b *testing.B) {
			var hists []Hist
			perEvent(b, rows, func() { hists = make([]Hist, rows) }, func(c *eventChunk) {
				for i, row := range c.row {
					hists[row].AddBucket(c.bucket[i], 1)
				}
			})
		})
		b.Run(fmt.Sprintf("rows=%d/hist=column", rows), func(b *testing.B) {
			var hists Hists
			perEvent(b, rows, func() { hists.Reset(); hists.Grow(rows) }, func(c *eventChunk) {
				from := 0
				for i, row := range c.rows {
					hists.AddRun(int(row), c.buckets[from:c.ends[i]], nil)
					from = c.ends[i]
				}
			})
		})
		b.Run(fmt.Sprintf("rows=%d/hll=sketches", rows), func(b *testing.B) {
			var hlls []HLL
			perEvent(b, rows, func() { hlls = make([]HLL, rows) }, func(c *eventChunk) {
				for i, row := range c.row {
					hlls[row].AddHash(c.hash[i])
				}
			})
		})
		b.Run(fmt.Sprintf("rows=%d/hll=column", rows), func(b *testing.B) {
			var hlls HLLs
			perEvent(b, rows, func() { hlls.Reset(); hlls.Grow(rows) }, func(c *eventChunk) {
				from := 0
				for i, row := range c.rows {
					hlls.AddRun(int(row), c.hashes[from:c.ends[i]])
					from = c.ends[i]
				}
			})
		})
	}
}

// BenchmarkDerive merges the rows of a table into those of a smaller one and
// encodes both, as a drain does. It reports the time of a row that is merged.
func BenchmarkDerive(b *testing.B) {
	for _, size := range [][2]int{{500, 20}, {20_000, 100}, {20_000, 5000}} {
		b.Run(fmt.Sprintf("rows=%d/into=%d", size[0], size[1]), func(b *testing.B) {
			var hists, sums Hists
			var hlls, unions HLLs
			hists.Grow(size[0])
			hlls.Grow(size[0])
			makeChunk(newRand(3), size[0], chunkEvents).addTo(&hists, &hlls)
			f := func(name string, fn func(row, into int)) {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						sums.Reset()
						unions.Reset()
						sums.Grow(size[1])
						unions.Grow(size[1])
						for row := range size[0] {
							fn(row, row*7919%size[1])
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size[0]), "ns/row")
				})
			}
			buf := make([]byte, 0, 1<<16)
			f("hist=merge", func(row, into int) { sums.Merge(into, &hists, row) })
			f("hll=merge", func(row, into int) { unions.Merge(into, &hlls, row) })
			var groups [][]uint32
			for into := range size[1] {
				groups = append(groups, nil)
				for row := range size[0] {
					if row*7919%size[1] == into {
						groups[into] = append(groups[into], uint32(row))
					}
				}
			}
			f("hist=rows", func(row, _ int) {
				if row < size[1] {
					sums.MergeRows(row, &hists, groups[row])
				}
			})
			f("hll=rows", func(row, _ int) {
				if row < size[1] {
					unions.MergeRows(row, &hlls, groups[row])
				}
			})
			hlls.Settle()
			f("hll=settled rows", func(row, _ int) {
				if row < size[1] {
					unions.MergeRows(row, &hlls, groups[row])
				}
			})
			f("hist=encode", func(row, _ int) { buf = hists.AppendTo(buf[:0], row) })
			f("hll=encode", func(row, _ int) { buf = hlls.AppendTo(buf[:0], row) })
		})
	}
}
