package rollup

import "github.com/millrace/millrace/sketch"

// worker is the scratch memory of one goroutine.
type worker struct {
	rows    []uint32 // per event of a chunk, or row of a source: its row
	at      []uint32 // per row: where its run begins
	buckets []sketch.Bucket
	hashes  []uint64
	weights []int64
	arena   []byte   // encoded sketches
	ends    []int    // where each one ends in arena
	ascend  []uint32 // 0, 1, 2 …
	order   []uint32 // rows of a source, or those of a table that are emitted
}

// fewEvents is below which share of a table's rows a chunk is not partitioned:
// going through all rows would cost more.
const fewEvents = 8

// sketch adds a chunk, from its event from on, to the sketches of w.rows. A
// sketch is some hundred bytes that lie anywhere, so that going event by event
// every event waits for memory. Ordered by row (a radix partition: the rows are
// counted, then everything is written to its place), each row's run finds its
// sketch once.
func (t *table) sketch(w *worker, cols *columns, from int) {
	if len(w.rows)*fewEvents < t.len() {
		t.sketchFew(w, cols, from)
		return
	}
	n := len(w.rows)
	w.partition(t.len())
	if !cols.unit {
		w.weights = sized(w.weights, n)
	}
	for i := range t.hists {
		w.buckets = sized(w.buckets, n)
		in, out := cols.buckets[i][from:from+n], w.buckets
		for j, at := range w.rows {
			out[at] = in[j]
		}
		if !cols.unit {
			scatter(w.weights, cols.weights[from:from+n], w.rows)
		}
		w.eachRun(t.len(), func(row, a, b int) {
			var weights []int64
			if !cols.unit {
				weights = w.weights[a:b]
			}
			t.hists[i].AddRun(row, out[a:b], weights)
		})
	}
	for i := range t.hlls {
		w.hashes = sized(w.hashes, n)
		scatter(w.hashes, cols.hashes[i][from:from+n], w.rows)
		w.eachRun(t.len(), func(row, a, b int) { t.hlls[i].AddRun(row, w.hashes[a:b]) })
	}
}

// partition turns w.rows into positions of a partition by row.
func (w *worker) partition(rows int) {
	w.at = sized(w.at, rows+1)
	clear(w.at)
	for _, r := range w.rows {
		w.at[r]++
	}
	sum := uint32(0)
	for r, n := range w.at {
		w.at[r] = sum
		sum += n
	}
	for i, r := range w.rows {
		w.rows[i] = w.at[r]
		w.at[r]++
	}
}

// eachRun calls f with the rows that have a run after partition, and where it is.
func (w *worker) eachRun(rows int, f func(row, from, to int)) {
	from := 0
	for r, to := range w.at[:rows] {
		if int(to) > from {
			f(r, from, int(to))
			from = int(to)
		}
	}
}

func scatter[T any](dst, src []T, at []uint32) {
	for i, p := range at {
		dst[p] = src[i]
	}
}

// sketchFew is sketch for few events.
func (t *table) sketchFew(w *worker, cols *columns, from int) {
	for i := range t.hists {
		for j, r := range w.rows {
			if weight := cols.weights[from+j]; weight > 0 {
				t.hists[i].Add(int(r), cols.buckets[i][from+j], uint64(weight))
			}
		}
	}
	for i := range t.hlls {
		for j, r := range w.rows {
			if h := cols.hashes[i][from+j]; h != 0 {
				t.hlls[i].AddHash(int(r), h)
			}
		}
	}
}

// bytes returns how much memory the worker holds.
func (w *worker) bytes() int {
	return 4*cap(w.rows) + 4*cap(w.at) + 2*cap(w.buckets) + 8*cap(w.hashes) + 8*cap(w.weights) +
		4*(cap(w.order)+cap(w.ascend)) + cap(w.arena) + 8*cap(w.ends)
}

// upTo returns the numbers below n.
func (w *worker) upTo(n int) []uint32 {
	for len(w.ascend) < n {
		w.ascend = append(w.ascend, uint32(len(w.ascend)))
	}
	return w.ascend[:n]
}
