package duckdb

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// chunkRows is how many rows one data chunk holds (DuckDB's vector size).
const chunkRows = 2048

// table appends rows to one table inside the open write transaction. Columns
// are filled a chunk at a time, straight into DuckDB's vectors (for many rows
// feed is faster, which saves a copy):
//
//	for from := 0; from < n; from += chunkRows {
//		k := min(chunkRows, n-from)
//		t.int64s(0, times[from:from+k])
//		t.strings(1, column, from, k)
//		if err := t.emit(k); err != nil { ... }
//	}
//
// Every column must be filled, with k values, before each emit. This is 1.6
// times as fast as the row appender and allocates nothing per row. One
// goroutine at a time.
type table struct {
	columns
	name  string
	app   mapping.Appender
	types []mapping.LogicalType
	rows  int64
}

// columns are the vectors of a data chunk that is being filled.
type columns struct {
	chunk  mapping.DataChunk
	pins   runtime.Pinner
	pinned map[unsafe.Pointer]bool
	arenas [][]byte // per column, for strings that are copied
}

func newColumns(n int) columns {
	return columns{pinned: map[unsafe.Pointer]bool{}, arenas: make([][]byte, n)}
}

func newTable(c *conn, name string) (*table, error) { return newTableIn(c, "", name) }

// newTableIn is newTable in another catalog than that of the file: temp.
func newTableIn(c *conn, catalog, name string) (*table, error) {
	t := &table{name: name}
	if mapping.AppenderCreateExt(c.raw, catalog, "main", name, &t.app) == mapping.StateError {
		err := newDBError(mapping.AppenderError(t.app))
		mapping.AppenderDestroy(&t.app)
		return nil, fmt.Errorf("append to %s: %w", name, err)
	}
	n := int(mapping.AppenderColumnCount(t.app))
	for i := range n {
		t.types = append(t.types, mapping.AppenderColumnType(t.app, mapping.IdxT(i)))
	}
	t.columns = newColumns(n)
	t.chunk = mapping.CreateDataChunk(t.types)
	return t, nil
}

// emit hands k filled rows to the appender, which copies them.
func (t *table) emit(k int) error {
	mapping.DataChunkSetSize(t.chunk, mapping.IdxT(k))
	if mapping.AppendDataChunk(t.app, t.chunk) == mapping.StateError {
		return t.fail("append to")
	}
	mapping.DataChunkReset(t.chunk)
	t.rows += int64(k)
	return nil
}

// flush moves what was emitted into the transaction. After an error the
// transaction is lost: a later COMMIT may return success and store nothing.
func (t *table) flush() error {
	if mapping.AppenderFlush(t.app) == mapping.StateError {
		return t.fail("flush")
	}
	return nil
}

func (t *table) fail(op string) error {
	return fmt.Errorf("%s %s: %w", op, t.name, newDBError(mapping.AppenderError(t.app)))
}

// release frees everything. Rows not flushed are discarded by Clear first:
// destroying an appender would write them, even after a ROLLBACK.
func (t *table) release() {
	mapping.AppenderClear(t.app)
	mapping.AppenderDestroy(&t.app)
	mapping.DestroyDataChunk(&t.chunk)
	for i := range t.types {
		mapping.DestroyLogicalType(&t.types[i])
	}
	t.pins.Unpin()
}

func (c *columns) vector(col int) mapping.Vector {
	return mapping.DataChunkGetVector(c.chunk, mapping.IdxT(col))
}

func (c *columns) data(col int) unsafe.Pointer { return mapping.VectorGetData(c.vector(col)) }

// int64s fills a BIGINT or timestamp column.
func (c *columns) int64s(col int, src []int64) {
	copy(unsafe.Slice((*int64)(c.data(col)), chunkRows), src)
}

// timesNS fills a TIMESTAMP_NS column from Unix nanoseconds.
func (c *columns) timesNS(col int, src []int64) {
	dst := unsafe.Slice((*int64)(c.data(col)), chunkRows)
	for i, v := range src {
		dst[i] = clampNS(v)
	}
}

// clampNS moves the three values that DuckDB gives a meaning of their own
// (-infinity, infinity and one below) by a nanosecond or two.
func clampNS(v int64) int64 {
	return min(max(v, math.MinInt64+2), math.MaxInt64-1)
}

// int32s fills an INTEGER column.
func (c *columns) int32s(col int, src []int32) {
	copy(unsafe.Slice((*int32)(c.data(col)), chunkRows), src)
}

// uint8s fills a UTINYINT column.
func (c *columns) uint8s(col int, src []uint8) {
	copy(unsafe.Slice((*uint8)(c.data(col)), chunkRows), src)
}

// uint32s returns a UINTEGER column's memory for the caller to fill.
func (c *columns) uint32s(col, k int) []uint32 { return unsafe.Slice((*uint32)(c.data(col)), k) }

// float64s fills a DOUBLE column.
func (c *columns) float64s(col int, src []float64) {
	copy(unsafe.Slice((*float64)(c.data(col)), chunkRows), src)
}

// sameInt64 fills a BIGINT column with k equal values.
func (c *columns) sameInt64(col, k int, v int64) {
	dst := unsafe.Slice((*int64)(c.data(col)), k)
	for i := range dst {
		dst[i] = v
	}
}

// validity is the bit mask of a column's NULLs in the chunk being filled.
type validity struct{ words unsafe.Pointer }

// mask returns the mask of a column, all valid at first.
func (c *columns) mask(col int) validity {
	v := c.vector(col)
	mapping.VectorEnsureValidityWritable(v)
	return validity{mapping.VectorGetValidity(v)}
}

func (m validity) null(row int) {
	*(*uint64)(unsafe.Add(m.words, row/64*8)) &^= 1 << (row % 64)
}

// arena fills a VARCHAR or BLOB column with k strings from index from on, where
// string i is data[end[i-1]:end[i]] (millrace.Strings). Long ones are not
// copied: the vector points into data, which is pinned until release and must
// not change before emit. VARCHAR must be valid UTF-8: nothing checks it later.
func (c *columns) arena(col int, data []byte, end []uint32, from, k int) {
	c.pin(data)
	base := c.data(col)
	var start uint32
	if from > 0 {
		start = end[from-1]
	}
	for i, e := range end[from : from+k] {
		putString(unsafe.Add(base, i*16), data[start:e])
		start = e
	}
}

// strings fills a VARCHAR column, copying the strings.
func (c *columns) strings(col int, src []string) {
	total := 0
	for _, s := range src {
		total += len(s)
	}
	buf := c.grow(col, total)
	base := c.data(col)
	for i, s := range src {
		n := len(buf)
		buf = append(buf, s...)
		putString(unsafe.Add(base, i*16), buf[n:])
	}
}

// blobs fills a BLOB column, copying the values; a nil slice becomes NULL.
func (c *columns) blobs(col int, src [][]byte) {
	total := 0
	for _, s := range src {
		total += len(s)
	}
	buf := c.grow(col, total)
	base, mask := c.data(col), c.mask(col)
	for i, s := range src {
		n := len(buf)
		buf = append(buf, s...)
		putString(unsafe.Add(base, i*16), buf[n:])
		if s == nil {
			mask.null(i)
		}
	}
}

// sameString fills a VARCHAR column with k equal strings.
func (c *columns) sameString(col, k int, s string) {
	buf := append(c.grow(col, len(s)), s...)
	base := c.data(col)
	for i := range k {
		putString(unsafe.Add(base, i*16), buf)
	}
}

// grow returns the empty, pinned arena of a column with room for n bytes. It
// serves one chunk: what is filled is copied before the next.
func (c *columns) grow(col, n int) []byte {
	if cap(c.arenas[col]) < n {
		c.arenas[col] = make([]byte, 0, n+n/4)
	}
	c.pin(c.arenas[col][:cap(c.arenas[col])])
	return c.arenas[col][:0]
}

// pin keeps Go memory in place while vectors point into it.
func (c *columns) pin(data []byte) {
	if len(data) == 0 {
		return
	}
	p := unsafe.Pointer(unsafe.SliceData(data))
	if !c.pinned[p] {
		c.pins.Pin(p)
		c.pinned[p] = true
	}
}

// putString writes a duckdb_string_t: the length, then up to 12 bytes of text
// or a 4-byte prefix and the address. The address is written as a number, so
// that no write barrier looks at the memory of C beneath it; pin has made it
// stable. Nobody may be writing to what s has room for behind it.
func putString(p unsafe.Pointer, s []byte) {
	dst := (*[16]byte)(p)
	if n := len(s); n <= inlineLen {
		if cap(s) < inlineLen {
			*dst = [16]byte{byte(n)}
			copy(dst[4:], s)
			return
		}
		// Two loads cost less than a copy of any length. What they read behind s
		// is masked out: DuckDB compares all 16 bytes.
		w, mask := s[:inlineLen], &inlineMasks[n]
		binary.LittleEndian.PutUint32(dst[:], uint32(n))
		binary.LittleEndian.PutUint64(dst[4:], binary.LittleEndian.Uint64(w)&mask.lo)
		binary.LittleEndian.PutUint32(dst[12:], binary.LittleEndian.Uint32(w[8:])&mask.hi)
		return
	}
	binary.LittleEndian.PutUint32(dst[:], uint32(len(s)))
	copy(dst[4:8], s)
	*(*uint64)(unsafe.Add(p, 8)) = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s))))
}

// inlineMasks has, for each length of an inline string, the mask of its bytes
// among the first eight and the last four.
var inlineMasks = func() (t [inlineLen + 1]struct {
	lo uint64
	hi uint32
},
) {
	for n := range t {
		t[n].lo = 1<<(8*min(n, 8)) - 1
		t[n].hi = 1<<(8*max(n-8, 0)) - 1
	}
	return t
}()
