package rollup

import (
	"cmp"
	"math/bits"
	"slices"
)

// How a row is found. The key of a row is a mixed-radix number of its codes,
// the last dimension's being the lowest digit and the index of its minute the
// highest. A minute with many events has a slab in dense, an array of rows by
// key; the rows of other minutes, of which late events may bring thousands, are
// found in a hash index. Both take one addition per dimension: what a minute
// contributes, its base, is where its slab begins, or a number beyond any slab.
//
// Tables with so many possible keys that they do not fit into a slab are found
// level by level: the minute and the first dimensions yield a number, that and
// further dimensions another, and the last one is the row. Dimensions depend on
// each other (a host has one service), so that there are few such numbers, and
// these lookups stay in the cache where one of the full key would not.

// source is what a table is fed with: events, or rows of another table.
type source struct {
	n       int
	minutes []uint32   // per row: index in ids
	ids     []uint32   // index in cube.starts
	counts  []uint32   // per id: rows
	codes   [][]uint32 // per dimension of the rollup: per row
}

// level turns the number of the level before, or the minute, and codes into a
// number from 0 up.
type level struct {
	dims    []int    // indexes in the rollup's dimensions
	radix   []uint64 // per dimension of dims: codes below it have keys
	factors []uint64 // per dimension of dims: what its code counts in a key
	span    uint64   // product of radix: keys of one minute or number before
	most    uint64   // keys that dense may have
	n       uint32   // numbers given
	dense   []uint32 // number + 1 by key
	hash    index    // key to number, of keys beyond dense
	slabs   []uint32 // of the first level, per minute: number of its slab in dense + 1
	owners  []uint32 // per slab: its minute
	bases   []uint64 // of the first level: key of codes 0, per minute of the source
}

const (
	// maxSlab bounds the keys of a minute that has a slab, and of tables of one
	// level; maxDense all keys in dense, 8 MiB, unless there is little memory.
	maxSlab  = 1 << 19
	maxDense = 1 << 21
	// A level takes dimensions, up to levelDims, while its keys are no more than
	// firstSpan for the first of several levels and nextSpan for others.
	levelDims = 3
	firstSpan = 1 << 16
	nextSpan  = 1 << 10
	// hashed tells keys of the hash index from positions in dense.
	hashed = 1 << 63
	// A minute has a slab if it has an event for so many of its keys: to clear
	// them must not cost more than to look events up in the hash index.
	keysPerEvent = 16
)

// arrange groups the dimensions of t, which has no rows or is rebuilt after it,
// into levels for dictionaries of the size they have now, with headroom so that
// it is not needed soon again.
func (t *table) arrange(dicts []*dict) {
	total, radix := uint64(1), make([]uint64, len(t.dims))
	for j, d := range t.dims {
		n := uint64(len(dicts[d].values))
		radix[j] = n + n/4 + 4
		if over, product := bits.Mul64(total, radix[j]); over == 0 {
			total = product
		} else {
			total = 1 << 63
		}
	}
	order, group := make([]int, len(t.dims)), uint64(maxSlab)
	for j := range order {
		order[j] = j
	}
	if total > maxSlab {
		// Small dictionaries first: numbers grow large late.
		group = firstSpan
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(radix[a], radix[b]) })
	}
	t.levels = t.levels[:0]
	for {
		t.levels = sizedColumns(t.levels, len(t.levels)+1)
		l := &t.levels[len(t.levels)-1]
		l.reset()
		l.most = t.layout.maxDense
		for l.span = 1; len(order) > 0 && len(l.dims) < levelDims; order = order[1:] {
			j := order[0]
			if len(l.dims) > 0 && l.span*radix[j] > group {
				break
			}
			l.dims, l.radix = append(l.dims, t.dims[j]), append(l.radix, radix[j])
			l.span *= radix[j]
		}
		l.factors = sized(l.factors, len(l.dims))
		for j, f := len(l.dims)-1, uint64(1); j >= 0; j-- {
			l.factors[j] = f
			f *= l.radix[j]
		}
		if len(order) == 0 {
			return
		}
		group = nextSpan
	}
}

// reset forgets dimensions and numbers and keeps the memory.
func (l *level) reset() {
	l.dims, l.radix = l.dims[:0], l.radix[:0]
	l.clear()
}

// clear forgets all numbers.
func (l *level) clear() {
	l.n = 0
	l.dense, l.slabs, l.owners = l.dense[:0], l.slabs[:0], l.owners[:0]
	l.hash.reset()
}

// begin prepares t for rows from src.
func (t *table) begin(src *source, dicts []*dict) {
	if t.outgrown(dicts) {
		t.rebuild(dicts)
	}
	t.levels[0].begin(src)
}

// outgrown reports whether a dictionary has codes that keys have no room for.
func (t *table) outgrown(dicts []*dict) bool {
	for i := range t.levels {
		l := &t.levels[i]
		for j, d := range l.dims {
			if uint64(len(dicts[d].values)) > l.radix[j] {
				return true
			}
		}
	}
	return len(t.levels) == 0
}

// rebuild arranges t anew and enters its rows: in their order, so that their
// numbers stay.
func (t *table) rebuild(dicts []*dict) {
	t.arrange(dicts)
	if t.len() == 0 {
		return
	}
	top := slices.Max(t.minutes)
	src := t.rowSource(int(top)+1, len(dicts))
	clear(src.counts) // slabs are given for events to come
	t.levels[0].begin(&src)
	var rows [block]uint32
	for from := 0; from < src.n; from += block {
		t.locate(&src, from, rows[:min(block, src.n-from)])
	}
}

// begin prepares the first level for the minutes of src.
func (l *level) begin(src *source) {
	l.bases = sized(l.bases, len(src.ids))
	for i, id := range src.ids {
		if more := int(id) + 1 - len(l.slabs); more > 0 {
			l.slabs = grown(l.slabs, more)
		}
		if l.slabs[id] == 0 && l.span <= maxSlab && uint64(src.counts[i])*keysPerEvent >= l.span && uint64(len(l.dense))+l.span <= l.most {
			l.dense = grown(l.dense, int(l.span))
			l.owners = append(l.owners, id)
			l.slabs[id] = uint32(len(l.owners))
		}
		if s := l.slabs[id]; s != 0 {
			l.bases[i] = uint64(s-1) * l.span
		} else {
			l.bases[i] = hashed | uint64(id)*l.span
		}
	}
}

// cover makes dense of a further level long enough for the numbers that the
// level before has given, as far as it may be.
func (l *level) cover(before uint32) {
	if want := min(uint64(before), l.most/l.span) * l.span; want > uint64(len(l.dense)) {
		l.dense = grown(l.dense, int(want)-len(l.dense))
	}
}

// grown appends n zeros.
func grown(s []uint32, n int) []uint32 {
	from := len(s)
	if from+n > cap(s) {
		s = append(make([]uint32, 0, max(from+n, 2*cap(s))), s...)
	}
	s = s[:from+n]
	clear(s[from:])
	return s
}

// locate writes the rows of src[from:from+len(rows)] to rows. Rows that are new
// are made. The loops of the levels are most of what an engine without sketches
// does: an event costs one load per code, one of dense and one store.
func (t *table) locate(src *source, from int, rows []uint32) {
	t.first(src, from, rows)
	for i := 1; i < len(t.levels); i++ {
		t.levels[i].cover(t.levels[i-1].n)
		t.next(i, src, from, rows)
	}
}

// first finds the numbers of the first level.
func (t *table) first(src *source, from int, rows []uint32) {
	l := &t.levels[0]
	n := len(rows)
	minutes, bases, dense := src.minutes[from:from+n], l.bases, l.dense
	switch len(l.dims) {
	case 0:
		for i := range rows {
			key := bases[minutes[i]]
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(0, src, from+i, key)
		}
	case 1:
		a := src.codes[l.dims[0]][from : from+n]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(0, src, from+i, key)
		}
	case 2:
		a, b := src.codes[l.dims[0]][from:from+n], src.codes[l.dims[1]][from:from+n]
		fa := l.factors[0]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])*fa + uint64(b[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(0, src, from+i, key)
		}
	case 3:
		a, b, c := src.codes[l.dims[0]][from:from+n], src.codes[l.dims[1]][from:from+n], src.codes[l.dims[2]][from:from+n]
		fa, fb := l.factors[0], l.factors[1]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])*fa + uint64(b[i])*fb + uint64(c[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(0, src, from+i, key)
		}
	}
}

// next turns the numbers of the level before into those of level at.
func (t *table) next(at int, src *source, from int, rows []uint32) {
	l := &t.levels[at]
	n, dense, span := len(rows), l.dense, l.span
	switch len(l.dims) {
	case 1:
		a := src.codes[l.dims[0]][from : from+n]
		for i, r := range rows {
			key := uint64(r)*span + uint64(a[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(at, src, from+i, key)
		}
	case 2:
		a, b := src.codes[l.dims[0]][from:from+n], src.codes[l.dims[1]][from:from+n]
		fa := l.factors[0]
		for i, r := range rows {
			key := uint64(r)*span + uint64(a[i])*fa + uint64(b[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(at, src, from+i, key)
		}
	case 3:
		a, b, c := src.codes[l.dims[0]][from:from+n], src.codes[l.dims[1]][from:from+n], src.codes[l.dims[2]][from:from+n]
		fa, fb := l.factors[0], l.factors[1]
		for i, r := range rows {
			key := uint64(r)*span + uint64(a[i])*fa + uint64(b[i])*fb + uint64(c[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(at, src, from+i, key)
		}
	}
}

// miss returns the number of a key at a level, which dense does not have, and
// gives it one if it has none; at the last level with a row, of row i of src.
func (t *table) miss(at int, src *source, i int, key uint64) uint32 {
	l := &t.levels[at]
	inDense := key < uint64(len(l.dense))
	full := key
	if inDense && at == 0 { // its minute may have had no slab before
		full = hashed | uint64(l.owners[key/l.span])*l.span + key%l.span
	}
	n, ok := uint32(0), false
	if !inDense || at == 0 && l.hash.n > 0 {
		n, ok = l.hash.find(full)
	}
	if !ok {
		n = l.n
		l.n++
		if at == len(t.levels)-1 && int(n) == t.len() { // else t is being rebuilt
			t.grow(src, i)
		}
	}
	switch {
	case inDense:
		l.dense[key] = n + 1
	case !ok:
		l.hash.put(key, n)
	}
	return n
}
