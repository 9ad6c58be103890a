package duckdb

/*
typedef void (*millrace_scalar)(void *, void *, void *);
void millraceMergeHist(void *info, void *input, void *output);
void millraceMergeHLL(void *info, void *input, void *output);
void millraceQuantile(void *info, void *input, void *output);
void millraceUniq(void *info, void *input, void *output);
void millraceCompare(void *info, void *input, void *output);
*/
import "C"

import (
	"fmt"
	"math"
	"strconv"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace/sketch"
)

// The functions below are what SQL needs to know of sketches. They work on the
// vectors themselves: the driver's own interface fetches every value of every
// row as an interface, which costs more than merging (see the benchmarks).
//
// C calls them with (function info, input chunk, output vector), from several
// threads at once. DuckDB flattens the input first, lists and their children
// included. A sketch that cannot be decoded fails the statement.

// function is one scalar function of SQL.
type function struct {
	name   string
	params []mapping.Type
	list   bool // the first parameter is a list of it
	result mapping.Type
	call   C.millrace_scalar
}

var sketchFunctions = []function{
	{"millrace_merge_hist", []mapping.Type{mapping.TypeBlob}, true, mapping.TypeBlob, C.millrace_scalar(C.millraceMergeHist)},
	{"millrace_merge_hll", []mapping.Type{mapping.TypeBlob}, true, mapping.TypeBlob, C.millrace_scalar(C.millraceMergeHLL)},
	{"millrace_quantile", []mapping.Type{mapping.TypeBlob, mapping.TypeDouble}, false, mapping.TypeDouble, C.millrace_scalar(C.millraceQuantile)},
	{"millrace_uniq", []mapping.Type{mapping.TypeBlob}, false, mapping.TypeBigInt, C.millrace_scalar(C.millraceUniq)},
	{"millrace_compare", []mapping.Type{mapping.TypeVarchar, mapping.TypeDouble}, false, mapping.TypeBigInt, C.millrace_scalar(C.millraceCompare)},
}

// register adds the function to the instance behind c; every connection to it
// sees the function.
func (f *function) register(c *conn) error {
	fn := mapping.CreateScalarFunction()
	defer mapping.DestroyScalarFunction(&fn)
	mapping.ScalarFunctionSetName(fn, f.name)
	for i, p := range f.params {
		t := mapping.CreateLogicalType(p)
		if i == 0 && f.list {
			elem := t
			t = mapping.CreateListType(elem)
			mapping.DestroyLogicalType(&elem)
		}
		mapping.ScalarFunctionAddParameter(fn, t)
		mapping.DestroyLogicalType(&t)
	}
	result := mapping.CreateLogicalType(f.result)
	mapping.ScalarFunctionSetReturnType(fn, result)
	mapping.DestroyLogicalType(&result)
	mapping.ScalarFunctionSetFunction(fn, unsafe.Pointer(f.call))
	if mapping.RegisterScalarFunction(c.raw, fn) == mapping.StateError {
		return fmt.Errorf("register function %s: refused", f.name)
	}
	return nil
}

// vector is an input vector.
type vector struct{ data, validity unsafe.Pointer }

func open(v mapping.Vector) vector {
	return vector{mapping.VectorGetData(v), mapping.VectorGetValidity(v)}
}

func (v vector) bytes(i int) []byte    { return stringAt(unsafe.Add(v.data, i*16)) }
func (v vector) float64(i int) float64 { return *(*float64)(unsafe.Add(v.data, i*8)) }
func (v vector) null(i int) bool       { return !valid(v.validity, i) }
func (v vector) span(i int) (from, n int) { // of a list entry
	e := (*[2]uint64)(unsafe.Add(v.data, i*16))
	return int(e[0]), int(e[1])
}

// result is the output vector.
type result struct {
	vec  mapping.Vector
	data unsafe.Pointer
}

func (r result) setNull(i int) {
	mapping.VectorEnsureValidityWritable(r.vec)
	word := (*uint64)(unsafe.Add(mapping.VectorGetValidity(r.vec), i/64*8))
	*word &^= 1 << (i % 64)
}

func (r result) setInt64(i int, v int64)     { *(*int64)(unsafe.Add(r.data, i*8)) = v }
func (r result) setFloat64(i int, v float64) { *(*float64)(unsafe.Add(r.data, i*8)) = v }

// eachRow calls f for every row of a chunk and hands the first error, or a
// panic, to DuckDB: neither may cross into C.
func eachRow(infoPtr, inputPtr, outputPtr unsafe.Pointer, f func(in []vector, out result, i int) error) {
	info := mapping.FunctionInfo{Ptr: infoPtr}
	defer func() {
		if p := recover(); p != nil {
			mapping.ScalarFunctionSetError(info, fmt.Sprintf("BUG: sketch function: %v", p))
		}
	}()
	chunk := mapping.DataChunk{Ptr: inputPtr}
	out := result{vec: mapping.Vector{Ptr: outputPtr}}
	out.data = mapping.VectorGetData(out.vec)
	in := make([]vector, int(mapping.DataChunkGetColumnCount(chunk)))
	for c := range in {
		in[c] = open(mapping.DataChunkGetVector(chunk, mapping.IdxT(c)))
	}
rows:
	for i := range int(mapping.DataChunkGetSize(chunk)) {
		for c := range in {
			if in[c].null(i) {
				out.setNull(i)
				continue rows
			}
		}
		if err := f(in, out, i); err != nil {
			mapping.ScalarFunctionSetError(info, err.Error())
			return
		}
	}
}

// merger is a sketch being put together.
type merger interface {
	MergeEncoded(blob []byte) error
	AppendTo(dst []byte) []byte
	Empty() bool
	Reset()
}

// emptySketch is the length of an encoded sketch that holds nothing; no other
// is as short.
const emptySketch = 2

// mergeLists merges the blobs of each row's list. A list of one is passed
// through, since encodings are canonical; nothing to merge gives NULL.
func mergeLists(infoPtr, inputPtr, outputPtr unsafe.Pointer, m merger) {
	list := mapping.DataChunkGetVector(mapping.DataChunk{Ptr: inputPtr}, 0)
	child := open(mapping.ListVectorGetChild(list))
	var buf []byte
	eachRow(infoPtr, inputPtr, outputPtr, func(in []vector, out result, i int) error {
		from, n := in[0].span(i)
		var only []byte
		blobs := 0
		for j := from; j < from+n; j++ {
			if child.null(j) {
				continue
			}
			b := child.bytes(j)
			if len(b) == 0 {
				continue
			}
			if blobs++; blobs == 1 {
				only = b
				continue
			}
			if blobs == 2 {
				m.Reset()
				if err := m.MergeEncoded(only); err != nil {
					return err
				}
			}
			if err := m.MergeEncoded(b); err != nil {
				return err
			}
		}
		if blobs == 1 && len(only) <= emptySketch {
			m.Reset()
			if err := m.MergeEncoded(only); err != nil {
				return err
			}
			blobs++
		}
		if blobs > 1 {
			buf = m.AppendTo(buf[:0])
			only = buf
		}
		if blobs == 0 || blobs > 1 && m.Empty() {
			out.setNull(i)
			return nil
		}
		bindings.UnsafeVectorAssignStringElementLen(out.vec, mapping.IdxT(i), only)
		return nil
	})
}

//export millraceMergeHist
func millraceMergeHist(info, input, output unsafe.Pointer) {
	mergeLists(info, input, output, &sketch.Hist{})
}

//export millraceMergeHLL
func millraceMergeHLL(info, input, output unsafe.Pointer) {
	mergeLists(info, input, output, &sketch.HLL{})
}

//export millraceQuantile
func millraceQuantile(info, input, output unsafe.Pointer) {
	eachRow(info, input, output, func(in []vector, out result, i int) error {
		v, err := sketch.QuantileOf(in[0].bytes(i), in[1].float64(i))
		if math.IsNaN(v) {
			out.setNull(i)
			return err
		}
		out.setFloat64(i, v)
		return err
	})
}

//export millraceUniq
func millraceUniq(info, input, output unsafe.Pointer) {
	eachRow(info, input, output, func(in []vector, out result, i int) error {
		n, err := sketch.EstimateOf(in[0].bytes(i))
		out.setInt64(i, int64(min(n, math.MaxInt64)))
		return err
	})
}

// millraceCompare compares a text with a number the way millrace.Filter does:
// -1, 0 or 1, NULL if the text is no number to Go.
//
//export millraceCompare
func millraceCompare(info, input, output unsafe.Pointer) {
	eachRow(info, input, output, func(in []vector, out result, i int) error {
		text := in[0].bytes(i)
		have, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), 64)
		if err != nil {
			out.setNull(i)
			return nil
		}
		var c int64
		switch want := in[1].float64(i); {
		case have < want:
			c = -1
		case have > want:
			c = 1
		}
		out.setInt64(i, c)
		return nil
	})
}
