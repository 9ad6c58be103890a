package sketch

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// rowsCase is a column whose rows have hashes that a test knows.
type rowsCase struct {
	column HLLs
	hashes [][]uint64
}

func newRowsCase(rows int) *rowsCase {
	c := &rowsCase{hashes: make([][]uint64, rows)}
	c.column.Grow(rows)
	return c
}

// add adds hashes to a row, in runs and one by one.
func (c *rowsCase) add(r *rand.Rand, row int, hashes []uint64) {
	c.hashes[row] = append(c.hashes[row], hashes...)
	for len(hashes) > 0 {
		n := 1 + r.IntN(len(hashes))
		if n == 1 {
			c.column.AddHash(row, hashes[0])
		} else {
			c.column.AddRun(row, hashes[:n])
		}
		hashes = hashes[n:]
	}
}

// merge merges rows of o and checks the row's encoding against the format and
// against rows merged one by one.
func (c *rowsCase) merge(t *testing.T, row int, o *rowsCase, rows []uint32) {
	t.Helper()
	var alone HLLs
	alone.Grow(1)
	alone.Merge(0, &c.column, row)
	all := slices.Clone(c.hashes[row])
	for _, from := range rows {
		alone.Merge(0, &o.column, int(from))
		all = append(all, o.hashes[from]...)
	}
	c.column.MergeRows(row, &o.column, rows)
	c.hashes[row] = all
	want := hllOracle(all)
	for round := range 2 {
		if got := c.column.AppendTo([]byte{9}, row)[1:]; !bytes.Equal(got, want) {
			t.Fatalf("%d hashes of %d rows in round %d are encoded in %d bytes, want %d", len(all), len(rows), round, len(got), len(want))
		}
		c.column.Settle()
	}
	if got := alone.AppendTo(nil, 0); !bytes.Equal(got, want) {
		t.Fatalf("%d hashes of %d rows merged one by one are encoded in %d bytes, want %d", len(all), len(rows), len(got), len(want))
	}
	if got, want := c.column.Estimate(row), alone.Estimate(0); got != want {
		t.Fatalf("Estimate = %d, want %d", got, want)
	}
}

// hashShapes are sets of hashes that take lists apart in different ways.
var hashShapes = map[string]func(r *rand.Rand) uint64{
	"different": func(r *rand.Rand) uint64 { return r.Uint64() | 1 },
	"repeated":  func(r *rand.Rand) uint64 { return hashOf(1, r.Uint64N(700)) },
	"crowded":   func(r *rand.Rand) uint64 { return r.Uint64N(3000)<<39 | 1 },
	// Indexes that are multiples of 8192 have runs of zeros of their own.
	"zeros": func(r *rand.Rand) uint64 { return r.Uint64N(8)<<52 | 1<<r.Uint64N(39) },
}

// TestMergeRows merges rows of lengths around all limits.
func TestMergeRows(t *testing.T) {
	lengths := []int{0, 1, 2, 3, 4, 7, 11, 12, 15, 16, 17, 100, 340, 1023, 1024, 1025, 1300, 4100}
	for name, draw := range hashShapes {
		t.Run(name, func(t *testing.T) {
			r := newRand(uint64(len(name)))
			for _, count := range []int{1, 2, 3, 4, 5, 16, 17, 40, 200} {
				for _, most := range lengths {
					if count*most > 20_000 {
						continue
					}
					from, to := newRowsCase(count), newRowsCase(3)
					rows := make([]uint32, count)
					for i := range rows {
						n := most
						if i%3 == 1 {
							n = r.IntN(most + 1)
						}
						hashes := make([]uint64, n)
						for j := range hashes {
							hashes[j] = draw(r)
						}
						from.add(r, i, hashes)
						rows[i] = uint32(i)
					}
					to.merge(t, 0, from, rows)
					to.merge(t, 0, from, rows[:1]) // into a row that is not empty
					to.merge(t, 1, to, []uint32{0, 1, 2, 0})
					from.column.Settle()
					to.merge(t, 2, from, rows)
					from.merge(t, 0, from, rows) // and it is one of them
				}
			}
		})
	}
}

// FuzzMergeRows reads rows and merges from bytes.
func FuzzMergeRows(f *testing.F) {
	r := newRand(11)
	for n := range 6 {
		b := make([]byte, 30<<n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	shapes := []string{"different", "repeated", "crowded", "zeros"}
	f.Fuzz(func(t *testing.T, b []byte) {
		const rows = 6
		c := newRowsCase(rows)
		for ; len(b) >= 5; b = b[5:] {
			row := int(b[0] % rows)
			if len(c.hashes[row]) > 20_000 {
				return
			}
			if b[1]%3 == 0 {
				var from []uint32
				for i := range rows {
					if b[2]>>i&1 != 0 {
						from = append(from, uint32(i))
					}
				}
				c.merge(t, row, c, from)
				continue
			}
			r := newRand(uint64(binary.LittleEndian.Uint16(b[2:])))
			hashes := make([]uint64, 1+int(b[4])*int(b[1]>>6+1))
			for i := range hashes {
				hashes[i] = hashShapes[shapes[b[1]>>2%4]](r)
			}
			c.add(r, row, hashes)
		}
	})
}

// TestSettledRowsTakeMore adds to rows after Settle.
func TestSettledRowsTakeMore(t *testing.T) {
	r := newRand(12)
	for range 300 {
		c := newRowsCase(1)
		for range 5 {
			hashes := make([]uint64, 1+r.IntN(1<<r.IntN(11)))
			for i := range hashes {
				hashes[i] = hashOf(2, r.Uint64N(1500))
			}
			c.add(r, 0, hashes)
			if r.IntN(2) == 0 {
				c.column.Settle()
			}
			if got, want := c.column.AppendTo(nil, 0), hllOracle(c.hashes[0]); !bytes.Equal(got, want) {
				t.Fatalf("%d hashes are encoded in %d bytes, want %d", len(c.hashes[0]), len(got), len(want))
			}
		}
	}
}
