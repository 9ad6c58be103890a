package sketch

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// columnPair is a column of each kind next to sketches that are told the same.
type columnPair struct {
	hists  Hists
	hlls   HLLs
	hist   []Hist
	hll    []HLL
	values []Bucket // drawn by runs
	hashes []uint64
}

func (p *columnPair) grow(n int) {
	p.hists.Grow(n)
	p.hlls.Grow(n)
	for len(p.hist) < n {
		p.hist, p.hll = append(p.hist, Hist{}), append(p.hll, HLL{})
	}
}

func (p *columnPair) reset() {
	p.hists.Reset()
	p.hlls.Reset()
	p.hist, p.hll = nil, nil
}

// run adds a run of n events, some without a value, to a row.
func (p *columnPair) run(r *rand.Rand, row, n int, draw func(*rand.Rand) float64, clients uint64, weigh bool) {
	p.values, p.hashes = p.values[:0], p.hashes[:0]
	var weights []int64
	for range n {
		b, x := BucketOf(draw(r)), hashOf(77, r.Uint64N(clients))
		switch r.IntN(12) {
		case 0:
			b = NoBucket
		case 1:
			b = zeroBucket
		}
		if r.IntN(12) == 0 {
			x = 0
		}
		w := int64(1)
		if weigh {
			w = int64(r.IntN(6)) - 1
			if r.IntN(50) == 0 {
				w = int64(r.Uint64() >> (1 + r.IntN(62)))
			}
			weights = append(weights, w)
		}
		p.values, p.hashes = append(p.values, b), append(p.hashes, x)
		if w > 0 {
			p.hist[row].AddBucket(b, uint64(w))
		}
		if x != 0 {
			p.hll[row].AddHash(x)
		}
	}
	p.hists.AddRun(row, p.values, weights)
	p.hlls.AddRun(row, p.hashes)
}

// mergeRows merges some rows of o, which may be p itself.
func (p *columnPair) mergeRows(r *rand.Rand, row int, o *columnPair, n int) {
	var rows []uint32
	for range n {
		rows = append(rows, uint32(r.IntN(len(o.hll))))
	}
	if r.IntN(3) == 0 {
		o.hlls.Settle()
	}
	for _, from := range rows {
		p.hll[row].Merge(&o.hll[from])
		p.hist[row].Merge(&o.hist[from])
		if p == o {
			p.hists.Merge(row, &o.hists, int(from))
		}
	}
	if p != o {
		p.hists.MergeRows(row, &o.hists, rows)
	}
	p.hlls.MergeRows(row, &o.hlls, rows)
}

// merge merges a row of o, which may be p itself.
func (p *columnPair) merge(t *testing.T, r *rand.Rand, row int, o *columnPair, from int) {
	if r.IntN(4) == 0 {
		mustMerge(t, p.hists.MergeEncoded(row, o.hists.AppendTo(nil, from)))
		mustMerge(t, p.hlls.MergeEncoded(row, o.hlls.AppendTo(nil, from)))
	} else {
		p.hists.Merge(row, &o.hists, from)
		p.hlls.Merge(row, &o.hlls, from)
	}
	p.hist[row].Merge(&o.hist[from])
	p.hll[row].Merge(&o.hll[from])
}

// check compares a row in every way in which it can be read.
func (p *columnPair) check(t *testing.T, row int) {
	t.Helper()
	if got, want := p.hists.AppendTo([]byte{7}, row)[1:], p.hist[row].AppendTo(nil); !bytes.Equal(got, want) {
		t.Fatalf("row %d of kind %d: Hists encodes\n%x, Hist\n%x", row, p.hists.rows[row].kind, got, want)
	}
	if got, want := p.hlls.AppendTo([]byte{7}, row)[1:], p.hll[row].AppendTo(nil); !bytes.Equal(got, want) {
		t.Fatalf("row %d, flags %d: HLLs encodes\n%x, HLL\n%x", row, p.hlls.rows[row].flags, got, want)
	}
	if p.hists.Empty(row) != p.hist[row].Empty() || p.hlls.Empty(row) != p.hll[row].Empty() {
		t.Fatalf("row %d: Empty differs", row)
	}
	for _, q := range []float64{-1, 0, 0.5, 0.99, 1} {
		got, want := p.hists.Quantile(row, q), p.hist[row].Quantile(q)
		if got != want && want == want {
			t.Fatalf("row %d: Quantile(%v) = %v, want %v", row, q, got, want)
		}
	}
	if got, want := p.hlls.Estimate(row), p.hll[row].Estimate(); got != want {
		t.Fatalf("row %d: Estimate = %d, want %d", row, got, want)
	}
}

func runLength(r *rand.Rand) int {
	switch r.IntN(10) {
	case 0:
		return r.IntN(5000)
	case 1, 2:
		return r.IntN(300)
	}
	return r.IntN(10)
}

// TestColumnsMatchSketches drives columns by random operations and compares
// all rows with sketches of the package that were told the same.
func TestColumnsMatchSketches(t *testing.T) {
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			r := newRand(uint64(len(name)))
			var p, o columnPair
			for round := range 3 {
				rows := 1 + r.IntN(20)
				p.grow(rows)
				o.grow(rows)
				clients := []uint64{3, 900, 3000}[round]
				for range 150 {
					a, b := r.IntN(rows), r.IntN(rows)
					switch r.IntN(10) {
					case 8:
						p.mergeRows(r, a, &o, r.IntN(30))
					case 9:
						p.mergeRows(r, a, []*columnPair{&p, &o}[r.IntN(2)], 1+r.IntN(4))
					case 0:
						p.merge(t, r, a, &o, b)
					case 1:
						o.merge(t, r, a, &p, b)
					case 2:
						p.merge(t, r, a, &p, b)
					case 3:
						p.run(r, a, runLength(r)/4, draw, clients, true)
					case 4:
						o.run(r, a, runLength(r), draw, clients, false)
					case 5:
						v, w := BucketOf(draw(r)), r.Uint64()>>r.IntN(64)
						p.hists.Add(a, v, w)
						p.hist[a].AddBucket(v, w)
						p.hlls.AddHash(b, uint64(v))
						p.hll[b].AddHash(uint64(v))
					default:
						p.run(r, a, runLength(r), draw, clients, false)
					}
				}
				for row := range rows {
					p.check(t, row)
					o.check(t, row)
				}
				p.reset()
				o.reset()
				p.hists.Trim(r.IntN(p.hists.Bytes()))
				p.hlls.Trim(r.IntN(p.hlls.Bytes()))
			}
		})
	}
}

// TestColumnsOfCrowdedHashes checks rows whose hashes crowd one end of any
// table, as chosen ones may.
func TestColumnsOfCrowdedHashes(t *testing.T) {
	for _, first := range []uint64{0, 1 << 24, 1<<25 - 1100} {
		var p columnPair
		p.grow(2)
		var hashes []uint64
		for i := range uint64(1100) {
			hashes = append(hashes, (first+i)<<39|1)
		}
		for round := range 2 {
			for i, x := range hashes {
				p.hlls.AddRun(round, hashes[i:i+1])
				p.hll[round].AddHash(x)
				if i%97 == 0 || i > 1020 && i < 1030 {
					p.check(t, round)
					if got, want := p.hlls.AppendTo(nil, round), hllOracle(hashes[:i+1]); !bytes.Equal(got, want) {
						t.Fatalf("%d crowded hashes are encoded in %d bytes, want %d", i+1, len(got), len(want))
					}
				}
			}
			slices.Reverse(hashes)
		}
		p.merge(t, newRand(1), 0, &p, 1)
		p.check(t, 0)
	}
}

// FuzzColumns reads operations from bytes.
func FuzzColumns(f *testing.F) {
	r := newRand(9)
	for n := range 6 {
		b := make([]byte, 40<<n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const rows = 4
		var p columnPair
		p.grow(rows)
		for len(b) >= 6 {
			row, from := int(b[0]%rows), int(b[1]%rows)
			seed, op := binary.LittleEndian.Uint16(b[2:]), b[4]
			r := newRand(uint64(seed))
			draw := func(r *rand.Rand) float64 {
				return distributions[[]string{"lognormal", "signed wide", "constant", "signed"}[b[5]%4]](r)
			}
			switch op % 8 {
			case 0:
				p.merge(t, r, row, &p, from)
			case 1:
				p.mergeRows(r, row, &p, int(op/8))
			case 2:
				p.run(r, row, int(op)/8, draw, 1<<(op/16), true)
			case 3:
				p.run(r, row, int(op)*8, draw, 1<<(op/16), false)
			default:
				p.run(r, row, int(op)/8, draw, 1<<(op/16), false)
			}
			p.check(t, row)
			b = b[6:]
		}
		for row := range rows {
			p.check(t, row)
		}
	})
}

// TestColumnsCountBeyondTheirWidth runs counters of every width over.
func TestColumnsCountBeyondTheirWidth(t *testing.T) {
	for _, start := range []uint64{255, 65535, 1<<32 - 1, maxCount} {
		for _, v := range []float64{0, 1} {
			var p columnPair
			p.grow(2)
			b := BucketOf(v)
			run := []Bucket{BucketOf(2), b, b, BucketOf(2), b, NoBucket, b, BucketOf(4), b, b, BucketOf(3)}
			for row := range 2 {
				if row == 1 {
					// Something to the right and left, so that b has a counter.
					wide := []Bucket{BucketOf(-2), BucketOf(2)}
					for len(wide) < 300 {
						wide = append(wide, BucketOf(0.5))
					}
					p.hists.AddRun(row, wide, nil)
					for _, x := range wide {
						p.hist[row].AddBucket(x, 1)
					}
				}
				p.hists.Add(row, b, start-3)
				p.hist[row].AddBucket(b, start-3)
				p.hists.AddRun(row, run, nil)
				for _, x := range run {
					p.hist[row].AddBucket(x, 1)
				}
				p.check(t, row)
				p.merge(t, newRand(start), row, &p, row)
				p.check(t, row)
			}
			p.merge(t, newRand(7), 0, &p, 1)
			p.check(t, 0)
		}
	}
}

func TestColumnsRejectBadEncodings(t *testing.T) {
	var p columnPair
	p.grow(1)
	p.run(newRand(1), 0, 5, distributions["lognormal"], 9, false)
	for _, b := range [][]byte{nil, {histV1}, {sparseV1}, {histV1, 0, 0}, {sparseV1, 0, 0}} {
		if err := p.hists.MergeEncoded(0, b); err == nil {
			t.Errorf("Hists accepts %x", b)
		}
		if err := p.hlls.MergeEncoded(0, b); err == nil {
			t.Errorf("HLLs accepts %x", b)
		}
		p.check(t, 0)
	}
	p.grow(3)
	p.hists.Grow(2)
	p.hlls.Grow(2)
	if p.hists.Len() != 3 || p.hlls.Len() != 3 {
		t.Errorf("columns of 3 rows have %d and %d", p.hists.Len(), p.hlls.Len())
	}
	p.check(t, 2)
}

// TestColumnsAreReadTogether derives from one column in several goroutines, for
// the race detector to watch.
func TestColumnsAreReadTogether(t *testing.T) {
	var p columnPair
	p.grow(40)
	r := newRand(3)
	for row := range 40 {
		p.run(r, row, 1<<(row%13), distributions["lognormal"], 3000, row%7 == 6)
	}
	done := make(chan columnPair)
	for range 3 {
		go func() {
			var o columnPair
			o.grow(3)
			for row := range 40 {
				o.hists.Merge(row%3, &p.hists, row)
				o.hlls.Merge(row%3, &p.hlls, row)
				p.hists.AppendTo(nil, row)
				p.hlls.AppendTo(nil, row)
				p.hists.Quantile(row, 0.5)
				p.hlls.Estimate(row)
			}
			done <- o
		}()
	}
	for range 3 {
		o := <-done
		for row := range 40 {
			o.hist[row%3].Merge(&p.hist[row])
			o.hll[row%3].Merge(&p.hll[row])
		}
		for row := range 3 {
			o.check(t, row)
		}
	}
}
