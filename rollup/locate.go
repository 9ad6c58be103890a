package rollup

import (
	"hash/maphash"
	"math/bits"
)

// How a row is found. The key of a row is a mixed-radix number of its codes,
// the last dimension's being the lowest digit and the index of its minute the
// highest. A minute with many events has a slab in dense, an array of rows by
// key; the rows of other minutes, of which late events may bring thousands, are
// found in a hash index. Both take one addition per dimension: what a minute
// contributes, base, is where its slab begins, or a number beyond any slab.
// Tables with so many possible keys that a minute's do not fit into maxSpan are
// wide: their factors are random, so that the sum is a hash of the codes
// (multilinear hashing, Carter and Wegman 1979), and the codes of the row that is
// found by it are compared.

// source is what a table is fed with: events, or rows of another table.
type source struct {
	n       int
	minutes []uint32   // per row: index in ids
	ids     []uint32   // index in cube.starts
	counts  []uint32   // per id: rows
	codes   [][]uint32 // per dimension of the rollup: per row
}

const (
	// maxSpan leaves room in 63 bits for all minutes that nanoseconds can tell.
	maxSpan = 1 << 34
	// hashed tells keys of the hash index from positions in dense.
	hashed = 1 << 63
	// maxDense bounds dense, 2 MiB; maxSlab what a minute may take of it.
	maxDense = 1 << 19
	maxSlab  = 1 << 18
	// A minute has a slab if it has an event for so many of its keys: to clear
	// them must not cost more than to look events up in the hash index.
	keysPerEvent = 16
	// A minute that has rows gets its slab late if it has an event for so many
	// rows of the table, which have to be searched.
	rowsPerEvent = 64
)

// begin prepares t for rows from src: sizes are the dictionaries'.
func (t *table) begin(src *source, dicts []*dict) {
	for j, d := range t.dims {
		if uint64(len(dicts[d].values)) > t.radix[j] {
			t.rekey(dicts)
			break
		}
	}
	if len(t.dims) == 0 {
		t.span = 1
	}
	t.bases = sized(t.bases, len(src.ids))
	for i, id := range src.ids {
		isNew := int(id) >= len(t.slabs)
		if isNew {
			t.slabs = grown(t.slabs, int(id)+1-len(t.slabs))
		}
		if t.slabs[id] == 0 {
			t.addSlab(id, src.counts[i], isNew)
		}
		if s := t.slabs[id]; s != 0 {
			t.bases[i] = uint64(s-1) * t.span
		} else {
			t.bases[i] = t.base(id)
		}
	}
}

// addSlab gives a minute a slab if that pays, and enters the rows it has; a new
// one has none.
func (t *table) addSlab(id, events uint32, isNew bool) {
	if t.span == 0 || t.span > maxSlab || uint64(events)*keysPerEvent < t.span || uint64(len(t.dense))+t.span > maxDense {
		return
	}
	if !isNew && uint64(events)*rowsPerEvent < uint64(t.len()) {
		return
	}
	from := len(t.dense)
	t.dense = grown(t.dense, int(t.span))
	t.slabs[id] = uint32(uint64(from)/t.span) + 1
	if isNew {
		return
	}
	for r, m := range t.minutes {
		if m == id {
			t.dense[uint64(from)+t.digits(r)] = uint32(r) + 1
		}
	}
}

// grown appends n zeros.
func grown(s []uint32, n int) []uint32 {
	from := len(s)
	if from+n <= cap(s) {
		s = s[:from+n]
		clear(s[from:])
		return s
	}
	return append(s, make([]uint32, n)...)
}

// digits returns the key of a row without its minute.
func (t *table) digits(r int) uint64 {
	key := uint64(0)
	for j, f := range t.factors {
		key += uint64(t.codes[j][r]) * f
	}
	return key
}

// rekey chooses radices for the dictionaries as they are now, with headroom so
// that it is not needed soon again, and enters all rows anew.
func (t *table) rekey(dicts []*dict) {
	span := uint64(1)
	for j := len(t.dims) - 1; j >= 0; j-- {
		n := uint64(len(dicts[t.dims[j]].values))
		t.radix[j], t.factors[j] = n+n/4+4, span
		over, product := bits.Mul64(span, t.radix[j])
		if span = product; over != 0 || span > maxSpan {
			span = maxSpan + 1
		}
	}
	if span > maxSpan {
		if t.span == 0 && t.len() > 0 {
			return // it is wide already
		}
		span = 0
		for j := range t.factors {
			t.factors[j] = wideFactors[t.dims[j]]
		}
	}
	t.span = span
	t.dense = t.dense[:0]
	clear(t.slabs)
	t.rows.reset()
	for r, m := range t.minutes {
		t.rows.put(t.base(m)+t.digits(r)|hashed, uint32(r))
	}
}

// base returns what a minute adds to keys in the hash index.
func (t *table) base(minute uint32) uint64 {
	if t.span == 0 {
		return uint64(minute) * wideFactors[MaxDimensions]
	}
	return hashed | uint64(minute)*t.span
}

// wideFactors are random odd numbers for each dimension and the minute.
var wideFactors = func() (f [MaxDimensions + 1]uint64) {
	seed := maphash.MakeSeed()
	for i := range f {
		f[i] = maphash.Comparable(seed, i) | 1
	}
	return f
}()

// locate writes the rows of src[from:from+len(rows)] to rows. Rows that are new
// are made. The loops for few dimensions are most of what an engine without
// sketches does: an event costs one load per code, one of dense and one store.
func (t *table) locate(src *source, from int, rows []uint32) {
	n := len(rows)
	minutes, bases, dense := src.minutes[from:from+n], t.bases, t.dense
	switch k := len(t.dims); {
	case t.span == 0 || k > 3:
		t.locateMany(src, from, rows)
	case k == 0:
		for i := range rows {
			rows[i] = t.find(src, from+i, bases[minutes[i]], dense)
		}
	case k == 1:
		a := src.codes[t.dims[0]][from : from+n]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(src, from+i, key)
		}
	case k == 2:
		a, b := src.codes[t.dims[0]][from:from+n], src.codes[t.dims[1]][from:from+n]
		fa := t.factors[0]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])*fa + uint64(b[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(src, from+i, key)
		}
	default:
		a, b, c := src.codes[t.dims[0]][from:from+n], src.codes[t.dims[1]][from:from+n], src.codes[t.dims[2]][from:from+n]
		fa, fb := t.factors[0], t.factors[1]
		for i := range rows {
			key := bases[minutes[i]] + uint64(a[i])*fa + uint64(b[i])*fb + uint64(c[i])
			if key < uint64(len(dense)) {
				if r := dense[key]; r != 0 {
					rows[i] = r - 1
					continue
				}
			}
			rows[i] = t.miss(src, from+i, key)
		}
	}
}

// locateMany is locate for any number of dimensions.
func (t *table) locateMany(src *source, from int, rows []uint32) {
	var keys [block]uint64
	minutes, bases := src.minutes[from:from+len(rows)], t.bases
	for i := range rows {
		keys[i] = bases[minutes[i]]
	}
	for j, d := range t.dims {
		f := t.factors[j]
		for i, c := range src.codes[d][from : from+len(rows)] {
			keys[i] += uint64(c) * f
		}
	}
	if t.span == 0 {
		t.locateWide(src, from, keys[:len(rows)], rows)
		return
	}
	for i := range rows {
		rows[i] = t.find(src, from+i, keys[i], t.dense)
	}
}

// locateWide is locate for keys that are hashes.
func (t *table) locateWide(src *source, from int, keys []uint64, rows []uint32) {
	for i := range rows {
		rows[i] = t.findWide(src, from+i, keys[i]|hashed)
	}
}

// findWide returns the row of a hash and the codes of row i of src, and makes it
// if there is none.
func (t *table) findWide(src *source, i int, key uint64) uint32 {
	x := &t.rows
	if len(x.slots) > 0 {
		mask := uint64(len(x.slots) - 1)
		for at := key * x.mul >> x.shift; ; at++ {
			s := &x.slots[at&mask]
			if s.key == key && s.next != 0 && t.equal(s.next-1, src, i) {
				return s.next - 1
			}
			if s.next == 0 {
				break
			}
		}
	}
	r := t.grow(src, i)
	x.put(key, r)
	return r
}

// equal reports whether a row has the minute and the codes of row i of src.
func (t *table) equal(r uint32, src *source, i int) bool {
	if t.minutes[r] != src.ids[src.minutes[i]] {
		return false
	}
	for j, d := range t.dims {
		if t.codes[j][r] != src.codes[d][i] {
			return false
		}
	}
	return true
}

// find returns the row of a key, which is that of row i of src.
func (t *table) find(src *source, i int, key uint64, dense []uint32) uint32 {
	if key < uint64(len(dense)) {
		if r := dense[key]; r != 0 {
			return r - 1
		}
	}
	return t.miss(src, i, key)
}

// miss is find where the key is not in dense: it makes the row if there is none.
func (t *table) miss(src *source, i int, key uint64) uint32 {
	if key < hashed {
		r := t.grow(src, i)
		t.dense[key] = r + 1
		return r
	}
	r, ok := t.rows.find(key)
	if !ok {
		r = t.grow(src, i)
		t.rows.put(key, r)
	}
	return r
}
