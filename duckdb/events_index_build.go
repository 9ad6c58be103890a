package duckdb

import (
	"bytes"
	"encoding/binary"
	"math"
	mathbits "math/bits"

	"github.com/millrace/millrace"
)

// blockBuilder gathers a block while its rows are written.
type blockBuilder struct {
	table            string
	first            int64
	rows             int
	minTime, maxTime int64
	last             place
	minutes          minuteCounter
	traces           []uint64 // hashes, one per row that has an id
	grams            *gramSet
	odd              bool // some message has letters whose small form gramsOf does not know
}

func newBlockBuilder(table string, first int64) *blockBuilder {
	return &blockBuilder{
		table: table, first: first, minTime: math.MaxInt64, maxTime: math.MinInt64,
		grams: new(gramSet), traces: make([]uint64, 0, blockRows),
	}
}

// add takes rows from to to.
func (b *blockBuilder) add(rows *millrace.EventRows, from, to int) {
	for i := from; i < to; i++ {
		b.addTime(clampNS(rows.Time[i]), rows.Weight[i])
	}
	for i := from; i < to; i++ {
		if id := rows.TraceID.At(i); len(id) > 0 {
			b.addTrace(id)
		}
	}
	for i := from; i < to; i++ {
		b.addMessage(rows.Message.At(i))
	}
	b.rows += to - from
	b.last = place{clampNS(rows.Time[to-1]), rows.Partition[to-1], rows.Offset[to-1], rows.Ordinal[to-1]}
}

func (b *blockBuilder) addTime(t, weight int64) {
	b.minTime, b.maxTime = min(b.minTime, t), max(b.maxTime, t)
	b.minutes.add(t, weight)
}

func (b *blockBuilder) addTrace(id []byte) {
	hi, lo, ok := parseTrace(id)
	if !ok {
		hi, lo = textHash(validText(string(id)))
	}
	b.traces = append(b.traces, traceHash(hi, lo))
}

func (b *blockBuilder) addMessage(m []byte) {
	if !b.grams.add(m) {
		b.odd = b.odd || foldsToASCII(m)
	}
}

// seal returns the block and its payload.
func (b *blockBuilder) seal() (*indexBlock, []byte) {
	h := &indexBlock{
		first: b.first, rows: uint32(b.rows), minTime: b.minTime, maxTime: b.maxTime, last: b.last,
	}
	var payload []byte
	payload, h.minutes = b.minutes.append(nil)
	if len(b.traces) > 0 {
		h.traces = uint32((len(b.traces)*traceBits/8 + filterLine - 1) / filterLine * filterLine)
		at := len(payload)
		payload = append(payload, make([]byte, h.traces)...)
		for _, hash := range b.traces {
			filterSet(payload[at:], hash)
		}
	}
	if !b.odd {
		at := len(payload)
		payload = b.grams.append(payload, b.rows)
		h.grams = uint32(len(payload) - at)
	}
	return h, payload
}

// minuteCounter counts rows per minute. Rows come in nearly in order, so that
// the minute is mostly that of the row before.
type minuteCounter struct {
	at   map[int64]int
	list []minuteCount
	last int // index in list
	full bool
}

const (
	minuteNS = int64(60e9)
	// maxMinutes bounds the list of a block: a day of late lines.
	maxMinutes = 1440
	// farTime is beyond what minutes are counted for, so that no sum overflows.
	farTime = int64(1) << 62
)

func (m *minuteCounter) add(t, weight int64) {
	if m.full || t < -farTime || t > farTime {
		m.full = true
		return
	}
	minute := floorDiv(t, minuteNS)
	if m.list == nil || m.list[m.last].minute != minute {
		i, ok := m.at[minute]
		if !ok {
			if len(m.list) == maxMinutes {
				m.full = true
				return
			}
			if m.at == nil {
				m.at = map[int64]int{}
			}
			i = len(m.list)
			m.at[minute] = i
			m.list = append(m.list, minuteCount{minute: minute})
		}
		m.last = i
	}
	m.list[m.last].events++
	m.list[m.last].weight += weight
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func (m *minuteCounter) append(dst []byte) ([]byte, uint32) {
	if m.full {
		return dst, uncounted
	}
	for _, c := range m.list {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.minute))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.events))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(c.weight))
	}
	return dst, uint32(len(m.list))
}

// The filter of trace ids is a Bloom filter whose bits for one id all lie in one
// line of the processor's cache (Putze, Sanders and Singler: Cache-, Hash- and
// Space-Efficient Bloom Filters, 2007): 12 bits an id, 6 of them set, wrong in
// less than one of a hundred.
const (
	traceBits  = 12
	filterLine = 64
	filterSets = 6
)

// traceHash mixes 128 bits (the finisher of MurmurHash3).
func traceHash(hi, lo uint64) uint64 {
	h := hi ^ mathbits.RotateLeft64(lo, 32)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// textHash is FNV-1a, once forward and once from another start, for the few ids
// that are not 32 hex digits.
func textHash(s string) (hi, lo uint64) {
	hi, lo = 14695981039346656037, 1099511628211
	for i := range len(s) {
		hi = (hi ^ uint64(s[i])) * 1099511628211
		lo = (lo ^ uint64(s[i])) * 14695981039346656037
	}
	return hi, lo
}

// filterLineOf returns where in a filter of size bytes the line of a hash begins.
func filterLineOf(hash uint64, size uint32) uint32 {
	line, _ := mathbits.Mul64(hash, uint64(size/filterLine))
	return uint32(line) * filterLine
}

// filterBit returns bit i of filterSets: from the low bits of the hash, of which
// the line takes the high ones.
func filterBit(hash uint64, i int) uint64 { return hash >> (9 * i) & (filterLine*8 - 1) }

func filterSet(filter []byte, hash uint64) {
	at := filterLineOf(hash, uint32(len(filter)))
	line := filter[at : at+filterLine]
	for i := range filterSets {
		bit := filterBit(hash, i)
		line[bit/8] |= 1 << (bit % 8)
	}
}

func filterHas(line *[filterLine]byte, hash uint64) bool {
	for i := range filterSets {
		bit := filterBit(hash, i)
		if line[bit/8]>>(bit%8)&1 == 0 {
			return false
		}
	}
	return true
}

// foldsToASCII reports whether a text has a letter beyond ASCII whose small form
// is in it: the Kelvin sign and the capital I with a dot.
func foldsToASCII(m []byte) bool {
	return bytes.Contains(m, []byte("\u212A")) || bytes.Contains(m, []byte("\u0130"))
}
