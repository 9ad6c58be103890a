package duckdb

import (
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// sameInt32 fills an INTEGER column with k equal values.
func (t *table) sameInt32(col, k int, v int32) {
	dst := unsafe.Slice((*int32)(t.data(col)), k)
	for i := range dst {
		dst[i] = v
	}
}

// nulls makes the first k rows of the chunk being filled NULL.
func (t *table) nulls(col, k int) {
	v := t.vector(col)
	mapping.VectorEnsureValidityWritable(v)
	words := unsafe.Slice((*uint64)(mapping.VectorGetValidity(v)), chunkRows/64)
	clear(words[:(k+63)/64])
}
