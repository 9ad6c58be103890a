package rollup

import "math/bits"

// How a row is found. The key of a row is a mixed-radix number of its codes,
// the last dimension's being the lowest digit and the index of its minute the
// highest. A minute with many events has a slab in dense, an array of rows by
// key; the rows of other minutes, of which late events may bring thousands, are
// found in a hash index. Both take one addition per dimension: what a minute
// contributes, base, is where its slab begins, or a number beyond any slab.
// Tables with so many possible keys that a minute's do not fit into maxSpan
// have interned keys instead: the codes of the first two dimensions yield a
// number, that and the third code another.

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
			t.bases[i] = hashed | uint64(id)*t.span
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
	wide := span > maxSpan
	if wide && t.span == 0 && t.len() > 0 {
		return // interned keys do not change
	}
	if t.span = span; wide {
		t.span = 0
		t.pairs = sizedColumns(t.pairs, len(t.dims)-1)
	}
	t.dense = t.dense[:0]
	clear(t.slabs)
	t.rows.reset()
	for r, m := range t.minutes {
		key := hashed | uint64(m)*t.span
		if wide {
			key |= t.interned(m, func(j int) uint32 { return t.codes[j][r] })
		} else {
			key += t.digits(r)
		}
		t.rows.put(key, uint32(r))
	}
}

// interned returns the key of a minute and codes.
func (t *table) interned(minute uint32, code func(j int) uint32) uint64 {
	key := code(0)
	for j := range t.pairs {
		key = t.pairs[j].intern(uint64(key)<<32 | uint64(code(j+1)))
	}
	return uint64(minute)<<32 | uint64(key)
}

// locate writes the rows of src[from:from+len(rows)] to rows. Rows that are new
// are made. The loops for few dimensions are most of what an engine without
// sketches does: an event costs one load per code, one of dense and one store.
func (t *table) locate(src *source, from int, rows []uint32) {
	n := len(rows)
	minutes, bases, dense := src.minutes[from:from+n], t.bases, t.dense
	if t.span == 0 {
		t.locateWide(src, from, rows)
		return
	}
	switch len(t.dims) {
	case 0:
		for i := range rows {
			rows[i] = t.find(src, from+i, bases[minutes[i]], dense)
		}
	case 1:
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
	case 2:
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
	case 3:
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
	default:
		t.locateMany(src, from, rows)
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
	for i := range rows {
		rows[i] = t.find(src, from+i, keys[i], t.dense)
	}
}

// locateWide is locate for interned keys.
func (t *table) locateWide(src *source, from int, rows []uint32) {
	for i := range rows {
		at := from + i
		key := t.interned(src.ids[src.minutes[at]], func(j int) uint32 { return src.codes[t.dims[j]][at] })
		rows[i] = t.miss(src, at, hashed|key)
	}
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
