package rollup

import (
	"github.com/millrace/millrace"
)

// limiter bounds how many combinations of values a set of dimensions has in an
// hour of arrival. It remembers those that were emitted in Bloom filters, each
// four times as large as the one before, so that few combinations take little
// (Almeida et al., Scalable Bloom Filters, 2007; VictoriaMetrics bounds its
// series per hour with one such filter). A combination that a filter takes for
// known by mistake is emitted too, so the cap is kept within a percent. One
// that was emitted is emitted for the rest of the hour: its cells are exact.
type limiter struct {
	limit   int
	hour    int64
	n       int // combinations remembered
	filters []bloom
	folded  int64 // weight counted under Other since the last drain
}

// bloom is a Bloom filter for room combinations.
type bloom struct {
	bits []uint64
	room int
}

const (
	firstFilter  = 1 << 10 // combinations
	bitsPerCell  = 16
	bloomHashes  = 4 // false positives of a full filter: 0.24%
	filterGrowth = 4
)

// newLimiters returns a limiter per set, nil where the values of the dimensions
// cannot have that many combinations.
func newLimiters(r *Rollup, lim Limits) []*limiter {
	out := make([]*limiter, len(r.Sets))
	if lim.Cells <= 0 {
		return out
	}
	for i, s := range r.Sets {
		most := 1.0
		for range s.Dims {
			most *= float64(lim.Values) + 1
		}
		if most > float64(lim.Cells) {
			out[i] = &limiter{limit: lim.Cells}
		}
	}
	return out
}

// begin starts a new hour.
func (l *limiter) begin(hour int64) {
	if hour != l.hour {
		l.hour, l.n, l.filters = hour, 0, nil
	}
}

// choose appends the rows of t that are emitted to dst and counts the weight of
// the others. Rows that are Other in all dimensions are among the others, but
// not counted.
func (l *limiter) choose(t *table, dst []uint32) []uint32 {
	for r := range t.minutes {
		hash, zero := uint64(0), true
		for _, codes := range t.codes {
			hash = mix(hash ^ uint64(codes[r]))
			zero = zero && codes[r] == 0
		}
		switch {
		case zero:
		case l.admit(hash):
			dst = append(dst, uint32(r))
		default:
			l.folded = addSat(l.folded, t.ints[r*t.stride])
		}
	}
	return dst
}

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014). Codes are
// numbers that nobody outside can choose.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// admit reports whether a combination is emitted: it was before, or there is
// room for one more.
func (l *limiter) admit(hash uint64) bool {
	for i := range l.filters {
		if l.filters[i].has(hash) {
			return true
		}
	}
	if l.n >= l.limit {
		return false
	}
	l.n++
	if n := len(l.filters); n == 0 {
		l.filters = append(l.filters, newBloom(firstFilter))
	} else if f := &l.filters[n-1]; f.room == 0 {
		l.filters = append(l.filters, newBloom(len(f.bits)*64/bitsPerCell*filterGrowth))
	}
	f := &l.filters[len(l.filters)-1]
	f.room--
	f.add(hash)
	return true
}

func newBloom(room int) bloom {
	return bloom{bits: make([]uint64, room*bitsPerCell/64), room: room}
}

// The positions of a hash: h1 + i*h2 of its halves (Kirsch, Mitzenmacher 2006).
func (b *bloom) has(hash uint64) bool {
	at, step, mask := hash, hash>>32|1, uint64(len(b.bits)*64-1)
	for range bloomHashes {
		if i := at & mask; b.bits[i/64]>>(i%64)&1 == 0 {
			return false
		}
		at += step
	}
	return true
}

func (b *bloom) add(hash uint64) {
	at, step, mask := hash, hash>>32|1, uint64(len(b.bits)*64-1)
	for range bloomHashes {
		i := at & mask
		b.bits[i/64] |= 1 << (i % 64)
		at += step
	}
}

// bytes returns how much memory the limiter holds.
func (l *limiter) bytes() int {
	n := 0
	if l != nil {
		for i := range l.filters {
			n += 8 * cap(l.filters[i].bits)
		}
	}
	return n
}

// hourOf returns the start of the hour of a time in ns, in Unix seconds.
func hourOf(ns int64) int64 { return millrace.Hour.Floor(floorDiv(ns, 1e9)) }
