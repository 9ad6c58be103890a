package rollup

import (
	"slices"
	"sync"
	"sync/atomic"
)

// walk derives every table of the plan from its source, larger tables first, and
// calls visit for each one with all its rows. A table is given up once it was
// visited and all that is derived from it is there, so that few are held at a
// time; visit must not keep it, nor change it if others are derived from it.
// Tables are shared out among the workers.
func (e *Engine) walk(visit func(w *worker, t *task)) {
	q := &queue{spare: e.spare}
	q.more.L = &q.Mutex
	rows := 0
	for _, c := range e.cubes {
		rows += c.rows()
		// The last pushed goes first: the costliest.
		for i := len(c.fed) - 1; i >= 0; i-- {
			if t := c.tables[c.fed[i]]; t.len() > 0 {
				q.push(&task{cube: c, node: c.fed[i], table: t})
			}
		}
	}
	e.workers.run(len(e.workers.all), rows < fewRows, func(w *worker) {
		defer q.abort()
		for t := q.pop(); t != nil; t = q.pop() {
			t.run(w, q, visit)
			q.finish()
		}
	})
	e.spare = q.spare
}

// fewRows is how many rows one goroutine derives sooner than two.
const fewRows = 1 << 10

// task is one table to be derived, unless it is fed, and visited.
type task struct {
	cube  *cube
	node  int
	table *table
	from  *task // what it is derived from; nil if it is fed
	src   source
	users atomic.Int32 // who still reads the table: its visit, and each child until it is derived
}

func (t *task) run(w *worker, q *queue, visit func(*worker, *task)) {
	if t.from != nil {
		t.table = q.take(t.size())
		t.table.open(t.cube.layout, t.cube.nodes[t.node].dims)
		t.table.derive(w, t.from.table, &t.from.src, t.cube.dicts)
		t.from.release(q)
	} else {
		t.table.settle()
	}
	children := t.cube.children[t.node]
	t.users.Store(int32(1 + len(children)))
	if len(children) > 0 {
		t.src = t.table.source(t.cube)
		// The last pushed goes first: the smallest. When the largest is derived,
		// and others from it, its source is given up already.
		for _, c := range children {
			q.push(&task{cube: t.cube, node: c, from: t})
		}
	}
	visit(w, t)
	t.release(q)
}

// release notes that one of the table's users is done with it.
func (t *task) release(q *queue) {
	if t.users.Add(-1) == 0 && t.from != nil {
		t.table.reset()
		q.give(t.table)
		t.table = nil
	}
}

// size returns how many bytes the table will take, as far as the plan knows.
func (t *task) size() int {
	share := 1.0
	if nodes := t.cube.nodes; nodes[t.from.node].rows > 0 {
		share = min(1, nodes[t.node].rows/nodes[t.from.node].rows)
	}
	return int(share * float64(t.from.table.bytes()))
}

// queue is the stack of tasks that are ready. Last in, first out keeps few
// tables open.
type queue struct {
	sync.Mutex
	more   sync.Cond
	ready  []*task
	active int // tasks pushed and not finished
	failed bool
	spare  []*table
}

func (q *queue) push(t *task) {
	q.Lock()
	q.ready = append(q.ready, t)
	q.active++
	q.Unlock()
	q.more.Signal()
}

// pop returns a task, nil if all are finished.
func (q *queue) pop() *task {
	q.Lock()
	defer q.Unlock()
	for len(q.ready) == 0 && q.active > 0 && !q.failed {
		q.more.Wait()
	}
	if len(q.ready) == 0 || q.failed {
		return nil
	}
	t := q.ready[len(q.ready)-1]
	q.ready = q.ready[:len(q.ready)-1]
	return t
}

func (q *queue) finish() {
	q.Lock()
	q.active--
	done := q.active == 0
	q.Unlock()
	if done {
		q.more.Broadcast()
	}
}

// abort ends the other workers' waiting if this one ends by a panic.
func (q *queue) abort() {
	q.Lock()
	q.failed = q.active > 0
	q.Unlock()
	q.more.Broadcast()
}

// take returns an empty table: of those that have memory for so many bytes the
// smallest, else the largest. Taken as they come, all would grow to the size of
// the largest in time.
func (q *queue) take(size int) *table {
	q.Lock()
	defer q.Unlock()
	best, held := -1, 0
	for i, t := range q.spare {
		n := t.bytes()
		if best < 0 || (n >= size && (held < size || n < held)) || (n < size && n > held) {
			best, held = i, n
		}
	}
	if best < 0 {
		return &table{}
	}
	t := q.spare[best]
	q.spare = slices.Delete(q.spare, best, best+1)
	return t
}

func (q *queue) give(t *table) {
	q.Lock()
	q.spare = append(q.spare, t)
	q.Unlock()
}

// source returns t's rows as a source. It is valid until t changes.
func (t *table) source(c *cube) source { return t.rowSource(len(c.starts), len(c.dicts)) }

// rowSource is source for so many minutes and dimensions.
func (t *table) rowSource(minutes, dimensions int) source {
	src := source{n: t.len(), minutes: t.minutes, codes: make([][]uint32, dimensions)}
	for j, d := range t.dims {
		src.codes[d] = t.codes[j]
	}
	src.ids, src.counts = make([]uint32, minutes), make([]uint32, minutes)
	for i := range src.ids {
		src.ids[i] = uint32(i)
	}
	for _, m := range t.minutes {
		src.counts[m]++
	}
	return src
}

// derive merges all rows of from, described by src, into t, which is empty and
// has some of its dimensions.
func (t *table) derive(w *worker, from *table, src *source, dicts []*dict) {
	t.begin(src, dicts)
	t.expect(from.mass)
	for at := 0; at < src.n; at += maxChunk {
		t.deriveRows(w, from, src, at, min(at+maxChunk, src.n))
	}
}

func (t *table) deriveRows(w *worker, from *table, src *source, a, b int) {
	rows := sized(w.rows, b-a)
	w.rows = rows
	for at := 0; at < len(rows); at += block {
		part := rows[at:min(at+block, len(rows))]
		t.locate(src, a+at, part)
		t.mergeInts(part, from.ints[(a+at)*t.stride:])
		for i := range t.floats {
			t.floats[i].fold(t.layout.floats[i].max, part, from.floats[i][a+at:])
		}
	}
	if len(t.hists)+len(t.hlls) == 0 {
		return
	}
	t.cover()
	// Row by row of t, so that what is merged into stays in the cache.
	w.partition(t.len())
	w.order = sized(w.order, len(rows))
	for i, at := range rows {
		w.order[at] = uint32(a + i)
	}
	w.eachRun(t.len(), func(row, x, y int) {
		for i := range t.hists {
			t.hists[i].MergeRows(row, &from.hists[i], w.order[x:y])
		}
		for i := range t.hlls {
			t.hlls[i].MergeRows(row, &from.hlls[i], w.order[x:y])
		}
	})
}

// settle prepares the sketches of a fed table for being read several times.
func (t *table) settle() {
	for i := range t.hlls {
		t.hlls[i].Settle()
	}
}

// mergeInts adds rows of integers to rows of t.
func (t *table) mergeInts(rows []uint32, in []int64) {
	n := t.stride
	safe := true
	for _, m := range t.mass {
		safe = safe && m <= 1<<63-1
	}
	switch {
	case safe && n == 2:
		for i, r := range rows {
			dst, src := t.ints[2*int(r):2*int(r)+2:2*int(r)+2], in[2*i:2*i+2:2*i+2]
			dst[0] += src[0]
			dst[1] += src[1]
		}
	case safe:
		for i, r := range rows {
			dst := t.ints[int(r)*n:][:n]
			for j, v := range in[i*n:][:n] {
				dst[j] += v
			}
		}
	default:
		for i, r := range rows {
			dst := t.ints[int(r)*n:][:n]
			for j, v := range in[i*n:][:n] {
				dst[j] = addSat(dst[j], v)
			}
		}
	}
}
