package duckdb

/*
typedef void (*millrace_feed_begin)(void *);
typedef void (*millrace_feed_next)(void *, void *);
void millraceFeedBind(void *info);
void millraceFeedInit(void *info);
void millraceFeedFill(void *info, void *output);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// feedFunction is a table function whose rows are those of a feed. Statements of
// users cannot call it: it is not among the functions that checkStatement knows.
const feedFunction = "millrace_feed"

// feed is a source of rows for INSERT ... SELECT. DuckDB asks for a chunk at a
// time and copies it straight into the row group that it builds, whereas an
// appender gathers chunks of its own first: a fifth of the whole write for rows
// with many texts.
type feed struct {
	columns
	names []string
	types []mapping.LogicalType
	fill  func(t *columns, from, k int)
	n     int // rows in all
	next  int // rows handed out
}

// feed appends n rows to a table, as part of the transaction. fill is called for
// at most chunkRows rows at a time, in order, and fills every column with rows
// from to from+k-1; it must not use the connection.
func (w *writer) feed(table string, n int, fill func(t *columns, from, k int)) error {
	f, err := newFeed(w.c, table)
	if err != nil {
		return err
	}
	defer f.release()
	f.n, f.fill = n, fill
	h := cgo.NewHandle(f)
	defer h.Delete()
	got, err := w.exec(fmt.Sprintf("INSERT INTO %s SELECT * FROM %s(%d)", ident(table), feedFunction, int64(h)))
	if err == nil && got != int64(n) {
		err = fmt.Errorf("BUG: %d of %d rows went in", got, n)
	}
	if err != nil {
		return fmt.Errorf("feed %s: %w", table, err)
	}
	return nil
}

// newFeed returns a feed of no rows with the columns of a table.
func newFeed(c *conn, table string) (*feed, error) {
	var d mapping.TableDescription
	defer mapping.TableDescriptionDestroy(&d)
	if mapping.TableDescriptionCreateExt(c.raw, "", "main", table, &d) == mapping.StateError {
		return nil, fmt.Errorf("feed %s: %w", table, newDBError(mapping.TableDescriptionError(d)))
	}
	n := mapping.TableDescriptionGetColumnCount(d)
	f := &feed{columns: newColumns(int(n))}
	for i := range n {
		f.names = append(f.names, mapping.TableDescriptionGetColumnName(d, i))
		f.types = append(f.types, mapping.TableDescriptionGetColumnType(d, i))
	}
	return f, nil
}

func (f *feed) release() {
	f.pins.Unpin()
	for i := range f.types {
		mapping.DestroyLogicalType(&f.types[i])
	}
}

// registerFeed makes feedFunction known to the instance behind c.
func registerFeed(c *conn) error {
	fn := mapping.CreateTableFunction()
	defer mapping.DestroyTableFunction(&fn)
	mapping.TableFunctionSetName(fn, feedFunction)
	handle := mapping.CreateLogicalType(mapping.TypeBigInt)
	mapping.TableFunctionAddParameter(fn, handle)
	mapping.DestroyLogicalType(&handle)
	mapping.TableFunctionSetBind(fn, unsafe.Pointer(C.millrace_feed_begin(C.millraceFeedBind)))
	mapping.TableFunctionSetInit(fn, unsafe.Pointer(C.millrace_feed_begin(C.millraceFeedInit)))
	mapping.TableFunctionSetFunction(fn, unsafe.Pointer(C.millrace_feed_next(C.millraceFeedFill)))
	if mapping.RegisterTableFunction(c.raw, fn) == mapping.StateError {
		return fmt.Errorf("register function %s: refused", feedFunction)
	}
	return nil
}

// The callbacks of feedFunction: bind tells the columns, init has nothing to do
// but must be there, fill fills a chunk; an empty one is the end. Neither errors
// nor panics may cross into C.

//export millraceFeedBind
func millraceFeedBind(infoPtr unsafe.Pointer) {
	info := mapping.BindInfo{Ptr: infoPtr}
	defer func() {
		if p := recover(); p != nil { // no such handle
			mapping.BindSetError(info, fmt.Sprintf("BUG: feed: %v", p))
		}
	}()
	v := mapping.BindGetParameter(info, 0)
	defer mapping.DestroyValue(&v)
	h := new(cgo.Handle)
	*h = cgo.Handle(mapping.GetInt64(v))
	f := h.Value().(*feed)
	for i := range f.types {
		mapping.BindAddResultColumn(info, f.names[i], f.types[i])
	}
	mapping.BindSetCardinality(info, mapping.IdxT(f.n), true)
	f.pins.Pin(h) // DuckDB keeps the address until the statement ends
	mapping.BindSetBindData(info, unsafe.Pointer(h), nil)
}

//export millraceFeedInit
func millraceFeedInit(unsafe.Pointer) {}

//export millraceFeedFill
func millraceFeedFill(infoPtr, outputPtr unsafe.Pointer) {
	info := mapping.FunctionInfo{Ptr: infoPtr}
	defer func() {
		if p := recover(); p != nil {
			mapping.FunctionSetError(info, fmt.Sprintf("BUG: feed: %v", p))
		}
	}()
	f := (*cgo.Handle)(mapping.FunctionGetBindData(info)).Value().(*feed)
	f.chunk = mapping.DataChunk{Ptr: outputPtr}
	k := min(chunkRows, f.n-f.next)
	if k > 0 {
		f.fill(&f.columns, f.next, k)
		f.next += k
	}
	mapping.DataChunkSetSize(f.chunk, mapping.IdxT(k))
}
