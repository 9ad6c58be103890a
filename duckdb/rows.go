package duckdb

import (
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// rows iterates over an answer, one data chunk at a time.
//
//	defer r.close()
//	for r.next() { ... r.int64(0) ... }
//	return r.err
type rows struct {
	stmt  mapping.PreparedStatement
	res   mapping.Result
	stop  func()
	chunk mapping.DataChunk
	cols  []column
	n, i  int // rows in the chunk, rows of it handed out
	err   error
}

// column is one column of the current chunk.
type column struct {
	kind     mapping.Type
	logical  mapping.LogicalType
	vec      mapping.Vector
	data     unsafe.Pointer
	validity unsafe.Pointer // nil: no NULLs
}

func (r *rows) open() {
	r.cols = make([]column, int(mapping.ColumnCount(&r.res)))
	for i := range r.cols {
		l := mapping.ColumnLogicalType(&r.res, mapping.IdxT(i))
		r.cols[i] = column{kind: mapping.GetTypeId(l), logical: l}
	}
}

func (r *rows) close() {
	if r.chunk.Ptr != nil {
		mapping.DestroyDataChunk(&r.chunk)
	}
	for i := range r.cols {
		mapping.DestroyLogicalType(&r.cols[i].logical)
	}
	r.cols = nil
	mapping.DestroyResult(&r.res)
	mapping.DestroyPrepare(&r.stmt)
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// next moves to the next row; false at the end and after an error, see r.err.
func (r *rows) next() bool {
	r.i++
	if r.i <= r.n {
		return true
	}
	for r.err == nil {
		if r.chunk.Ptr != nil {
			mapping.DestroyDataChunk(&r.chunk)
		}
		r.chunk = mapping.FetchChunk(r.res)
		if r.chunk.Ptr == nil {
			if msg := mapping.ResultError(&r.res); msg != "" {
				r.err = newDBError(msg)
			}
			r.n = 0
			return false
		}
		r.n, r.i = int(mapping.DataChunkGetSize(r.chunk)), 1
		if r.n > 0 {
			r.load()
			return true
		}
	}
	return false
}

func (r *rows) load() {
	for i := range r.cols {
		c := &r.cols[i]
		c.vec = mapping.DataChunkGetVector(r.chunk, mapping.IdxT(i))
		c.data = mapping.VectorGetData(c.vec)
		c.validity = mapping.VectorGetValidity(c.vec)
	}
}

// isNull reports whether the row's value is NULL.
func (r *rows) isNull(col int) bool { return !valid(r.cols[col].validity, r.i-1) }

func valid(mask unsafe.Pointer, row int) bool {
	if mask == nil {
		return true
	}
	word := *(*uint64)(unsafe.Add(mask, row/64*8))
	return word>>(row%64)&1 == 1
}

// at returns the address of the current row's value of size bytes.
func (r *rows) at(col, size int) unsafe.Pointer {
	return unsafe.Add(r.cols[col].data, (r.i-1)*size)
}

// int64 returns an integer, boolean or timestamp column's raw value, 0 for NULL.
func (r *rows) int64(col int) int64 {
	if r.isNull(col) {
		return 0
	}
	switch r.cols[col].kind {
	case mapping.TypeBoolean, mapping.TypeUTinyInt:
		return int64(*(*uint8)(r.at(col, 1)))
	case mapping.TypeTinyInt:
		return int64(*(*int8)(r.at(col, 1)))
	case mapping.TypeSmallInt:
		return int64(*(*int16)(r.at(col, 2)))
	case mapping.TypeUSmallInt:
		return int64(*(*uint16)(r.at(col, 2)))
	case mapping.TypeInteger, mapping.TypeDate:
		return int64(*(*int32)(r.at(col, 4)))
	case mapping.TypeUInteger:
		return int64(*(*uint32)(r.at(col, 4)))
	case mapping.TypeHugeInt, mapping.TypeUHugeInt: // sum(BIGINT) is one; the low half is enough for us
		return int64(*(*uint64)(r.at(col, 16)))
	}
	return *(*int64)(r.at(col, 8))
}

// float64 returns a DOUBLE, 0 for NULL.
func (r *rows) float64(col int) float64 {
	if r.isNull(col) {
		return 0
	}
	return *(*float64)(r.at(col, 8))
}

// bytes returns a VARCHAR or BLOB, nil for NULL. It is valid until the next
// call of next or close.
func (r *rows) bytes(col int) []byte {
	if r.isNull(col) {
		return nil
	}
	return stringAt(r.at(col, 16))
}

// str returns a copy of a VARCHAR, "" for NULL.
func (r *rows) str(col int) string { return string(r.bytes(col)) }

// stringAt decodes a duckdb_string_t: a length, then 12 bytes of text or a
// 4-byte prefix and a pointer.
func stringAt(p unsafe.Pointer) []byte {
	n := *(*uint32)(p)
	if n <= inlineLen {
		return unsafe.Slice((*byte)(unsafe.Add(p, 4)), n)
	}
	return unsafe.Slice(*(**byte)(unsafe.Add(p, 8)), n)
}

// inlineLen is how long a string may be to live in the vector itself.
const inlineLen = 12
