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
	table  string
	first  int64
	rows   int
	bounds blockBounds
	last   place

	minutes minuteCounter
	traces  []uint64 // hashes, one per row that has an id
	grams   *gramSet
	odd     bool // some message has letters whose small form gramsOf does not know
	shapes  shapeSet
	classes []uint8 // of the rows
	counts  classCounter
	prints  listing
	seen    [64]seenMessage
}

// blockBounds are the least and greatest times of rows, ns.
type blockBounds struct {
	minTime, maxTime       int64 // of the events
	minArrived, maxArrived int64
}

var noBounds = blockBounds{math.MaxInt64, math.MinInt64, math.MaxInt64, math.MinInt64}

func (b *blockBounds) add(t, arrived int64) {
	b.minTime, b.maxTime = min(b.minTime, t), max(b.maxTime, t)
	b.minArrived, b.maxArrived = min(b.minArrived, arrived), max(b.maxArrived, arrived)
}

// seenMessage is a short message whose grams and shape are known: services say the
// same few things over and over.
type seenMessage struct {
	n, class uint8
	text     [seenText]byte
}

const seenText = 40

func newBlockBuilder(table string, first int64) *blockBuilder {
	return &blockBuilder{
		table: table, first: first, bounds: noBounds,
		grams: new(gramSet), traces: make([]uint64, 0, blockRows), classes: make([]uint8, 0, blockRows),
	}
}

// add takes rows from to to.
func (b *blockBuilder) add(rows *millrace.EventRows, from, to int) {
	for i := from; i < to; i++ {
		if id := rows.TraceID.At(i); len(id) > 0 {
			b.addTrace(id)
		}
	}
	b.prints.addRows(&rows.Attrs, rows.Time, from, to, uint32(b.rows))
	for i := from; i < to; i++ {
		b.addRow(clampNS(rows.Time[i]), clampNS(rows.Arrived[i]), rows.Weight[i], rows.Message.At(i))
	}
	b.last = place{clampNS(rows.Time[to-1]), rows.Partition[to-1], rows.Offset[to-1], rows.Ordinal[to-1]}
}

// addRow takes the next row but for its trace id and its fingerprint.
func (b *blockBuilder) addRow(t, arrived, weight int64, message []byte) {
	b.bounds.add(t, arrived)
	minute := b.minutes.add(t, weight)
	b.rows++
	class := b.addMessage(message)
	if !b.shapes.off {
		b.classes = append(b.classes, class)
		b.counts.add(minute, class, weight)
	}
}

func (b *blockBuilder) addTrace(id []byte) {
	hi, lo, ok := parseTrace(id)
	if !ok {
		hi, lo = textHash(validText(string(id)))
	}
	b.traces = append(b.traces, traceHash(hi, lo))
}

// addMessage returns the class of the message of the row that was added last.
func (b *blockBuilder) addMessage(m []byte) uint8 {
	n := len(m)
	if n == 0 || n > seenText {
		return b.newMessage(m)
	}
	known := &b.seen[(uint(m[0])+uint(m[n/2])+uint(n)*7)%uint(len(b.seen))]
	if int(known.n) == n && string(known.text[:n]) == string(m) {
		return known.class
	}
	known.n = 0 // newMessage may clear what is known
	class := b.newMessage(m)
	if class > 0 || b.shapes.off && isASCII(string(m)) {
		known.n, known.class = uint8(copy(known.text[:], m)), class
	}
	return class
}

// newMessage adds a message that may not have been there before. What the shape
// says need not be in the map of grams.
func (b *blockBuilder) newMessage(m []byte) uint8 {
	class := b.shapes.of(m)
	if class == 0 && !b.shapes.off && !b.shapes.other(b.rows) {
		b.dropShapes()
	}
	if !b.grams.add(m, class == 0) {
		b.odd = b.odd || foldsToASCII(m)
	}
	return class
}

// dropShapes gives shapes up: the grams that they stand for go into the map.
func (b *blockBuilder) dropShapes() {
	for _, text := range b.shapes.list {
		b.grams.add([]byte(text), true)
	}
	for i := range b.seen {
		b.seen[i].class = 0
	}
	b.shapes = shapeSet{off: true}
	b.classes, b.counts = nil, classCounter{}
}

// seal returns the block and its payload.
func (b *blockBuilder) seal() (*indexBlock, []byte) {
	h := &indexBlock{first: b.first, rows: uint32(b.rows), blockBounds: b.bounds, last: b.last}
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
	if len(b.shapes.list) > 0 {
		at := len(payload)
		payload = append(b.shapes.append(payload), b.classes...)
		h.shapes = uint32(len(payload) - at)
		payload, h.counts = b.counts.append(payload, b.rows)
	}
	at := len(payload)
	payload = b.prints.append(payload)
	h.listed = uint32(len(payload) - at)
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

// add returns the place of the row's minute in the list, -1 once it is full.
func (m *minuteCounter) add(t, weight int64) int {
	if m.full || t < -farTime || t > farTime {
		m.full = true
		return -1
	}
	minute := floorDiv(t, minuteNS)
	if m.list == nil || m.list[m.last].minute != minute {
		i, ok := m.at[minute]
		if !ok {
			if len(m.list) == maxMinutes {
				m.full = true
				return -1
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
	return m.last
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

// classCounter counts rows per minute and class of shape.
type classCounter struct {
	cells [][]classCell // by place in the list of minutes, then by class
	off   bool
}

type classCell struct{ events, weight int64 }

func (c *classCounter) add(minute int, class uint8, weight int64) {
	if minute < 0 { // there are too many
		c.cells, c.off = nil, true
	}
	if c.off {
		return
	}
	if minute == len(c.cells) {
		c.cells = append(c.cells, nil)
	}
	cells := c.cells[minute]
	if int(class) >= len(cells) {
		cells = append(cells, make([]classCell, int(class)+1-len(cells))...)
		c.cells[minute] = cells
	}
	cells[class].events++
	cells[class].weight += weight
}

// classCount is an entry of the list of counts: rows of a class in a minute, by its
// place in the list of minutes.
type classCount struct {
	minute         uint16
	class          uint8
	events, weight int64
}

const classCountSize = 16

// append appends the counts of a block with rows rows, and returns how many there
// are: none if they would take two bytes a row.
func (c *classCounter) append(dst []byte, rows int) (_ []byte, n uint32) {
	at := len(dst)
	for minute := range c.cells {
		for class, cell := range c.cells[minute] {
			if cell.events == 0 {
				continue
			}
			if n++; int(n)*classCountSize > 2*rows+64*classCountSize {
				return dst[:at], 0
			}
			dst = binary.LittleEndian.AppendUint16(dst, uint16(minute))
			dst = append(dst, uint8(class), 0)
			dst = binary.LittleEndian.AppendUint32(dst, uint32(cell.events))
			dst = binary.LittleEndian.AppendUint64(dst, uint64(cell.weight))
		}
	}
	return dst, n
}

// The filter of trace ids is a Bloom filter whose bits for one id all lie in one
// line of the processor's cache (Putze, Sanders and Singler: Cache-, Hash- and
// Space-Efficient Bloom Filters, 2007): 16 bits an id, 6 of them set, wrong in
// two or three of a thousand.
const (
	traceBits  = 16
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
