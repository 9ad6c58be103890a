//go:build linux && amd64

package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// engine is ClickHouse in this process: libchdb.so, called without cgo, so that
// the program builds where the library is absent. One data directory per
// process.
type engine struct {
	args []string
	keep *conn // an open connection keeps the engine running
	lib  library
}

// library holds the functions of chdb.h that are used. Strings go as pointer
// and length: they may contain zero bytes.
type library struct {
	setSignalHandlers func(enabled int32)
	connect           func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	closeConn         func(conn unsafe.Pointer)

	query       func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	streamQuery func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	fetch       func(conn, stream unsafe.Pointer) unsafe.Pointer
	cancelQuery func(conn, stream unsafe.Pointer)

	streamInsert  func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr, names, nameLens, values, valueLens unsafe.Pointer, n uintptr) unsafe.Pointer
	appendData    func(stream, data unsafe.Pointer, n uintptr) int32
	finishInsert  func(stream unsafe.Pointer) unsafe.Pointer
	cancelInsert  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) unsafe.Pointer
	destroyInsert func(stream unsafe.Pointer)

	classify func(conn, sql unsafe.Pointer, sqlLen uintptr, database unsafe.Pointer, databaseLen uintptr, out unsafe.Pointer) int32

	buffer      func(result unsafe.Pointer) unsafe.Pointer
	length      func(result unsafe.Pointer) uintptr
	rowsWritten func(result unsafe.Pointer) uint64
	resultError func(result unsafe.Pointer) unsafe.Pointer
	destroy     func(result unsafe.Pointer)
}

// openEngine loads the library and starts the engine on a data directory.
func openEngine(libPath, dir string, settings ...string) (*engine, error) {
	signals := saveSignals()
	handle, err := purego.Dlopen(libPath, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", libPath, err)
	}
	signals.restore()
	e := &engine{args: append([]string{"clickhouse", "--path=" + dir}, settings...)}
	for name, fn := range map[string]any{
		"chdb_set_signal_handlers_enabled": &e.lib.setSignalHandlers,
		"chdb_connect":                     &e.lib.connect,
		"chdb_close_conn":                  &e.lib.closeConn,
		"chdb_query_with_params_n":         &e.lib.query,
		"chdb_stream_query_with_params_n":  &e.lib.streamQuery,
		"chdb_stream_fetch_result":         &e.lib.fetch,
		"chdb_stream_cancel_query":         &e.lib.cancelQuery,
		"chdb_stream_insert_with_params_n": &e.lib.streamInsert,
		"chdb_stream_append":               &e.lib.appendData,
		"chdb_stream_done":                 &e.lib.finishInsert,
		"chdb_stream_cancel_insert":        &e.lib.cancelInsert,
		"chdb_stream_insert_error":         &e.lib.insertError,
		"chdb_destroy_insert_stream":       &e.lib.destroyInsert,
		"chdb_classify_query_n":            &e.lib.classify,
		"chdb_result_buffer":               &e.lib.buffer,
		"chdb_result_length":               &e.lib.length,
		"chdb_result_rows_written":         &e.lib.rowsWritten,
		"chdb_result_error":                &e.lib.resultError,
		"chdb_destroy_query_result":        &e.lib.destroy,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", libPath, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	e.lib.setSignalHandlers(0)
	e.keep, err = e.connect()
	signals.restore()
	return e, err
}

// close stops the engine, with the last connection: all others must be closed.
func (e *engine) close() { e.keep.close() }

// conn is one session of the engine: its own database and settings. It runs one
// statement at a time and is not safe for concurrent use.
type conn struct {
	lib    *library
	handle unsafe.Pointer // chdb_connection*
}

func (e *engine) connect() (*conn, error) {
	argv := make([]*byte, 0, len(e.args)+1)
	for _, a := range e.args {
		argv = append(argv, cString(a))
	}
	argv = append(argv, nil)
	handle := e.lib.connect(int32(len(e.args)), unsafe.Pointer(unsafe.SliceData(argv)))
	runtime.KeepAlive(argv)
	if handle == nil {
		return nil, fmt.Errorf("the engine does not open a connection with %s", strings.Join(e.args, " "))
	}
	return &conn{lib: &e.lib, handle: handle}, nil
}

func (c *conn) close() {
	c.lib.closeConn(c.handle)
	c.handle = nil
}

// inner is the connection that the functions take; connect returns a pointer to it.
func (c *conn) inner() unsafe.Pointer { return *(*unsafe.Pointer)(c.handle) }

// query runs a statement and returns its whole result.
func (c *conn) query(sql, format string, params map[string]string) ([]byte, error) {
	p := newParams(params)
	result := c.lib.query(c.inner(), dataOf(sql), uintptr(len(sql)), dataOf(format), uintptr(len(format)),
		p.names.pointer(), p.names.lengths(), p.values.pointer(), p.values.lengths(), uintptr(len(params)))
	runtime.KeepAlive(p)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	return c.take(result)
}

// take copies what a result holds and frees it.
func (c *conn) take(result unsafe.Pointer) ([]byte, error) {
	if result == nil {
		return nil, errors.New("the engine returned nothing")
	}
	defer c.lib.destroy(result)
	if message := goString(c.lib.resultError(result)); message != "" {
		return nil, newException(message)
	}
	n := c.lib.length(result)
	if n == 0 {
		return nil, nil
	}
	return append([]byte(nil), unsafe.Slice((*byte)(c.lib.buffer(result)), n)...), nil
}

// stream runs a statement and passes its result on in pieces. An error of the
// receiver cancels the statement and is returned.
func (c *conn) stream(sql, format string, params map[string]string, receive func([]byte) error) error {
	p := newParams(params)
	stream := c.lib.streamQuery(c.inner(), dataOf(sql), uintptr(len(sql)), dataOf(format), uintptr(len(format)),
		p.names.pointer(), p.names.lengths(), p.values.pointer(), p.values.lengths(), uintptr(len(params)))
	runtime.KeepAlive(p)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	if stream == nil {
		return errors.New("the engine returned nothing")
	}
	defer c.lib.destroy(stream)
	if message := goString(c.lib.resultError(stream)); message != "" {
		return newException(message)
	}
	for {
		piece, err := c.take(c.lib.fetch(c.inner(), stream))
		if err != nil || len(piece) == 0 {
			return err
		}
		if err := receive(piece); err != nil {
			c.lib.cancelQuery(c.inner(), stream)
			return err
		}
	}
}

// insert runs an INSERT statement without its FORMAT clause on the data that it
// reads to the end, and returns the number of rows written. If reading fails,
// the insert is cancelled; what the engine has written by then stays, as it does
// in a server.
func (c *conn) insert(sql, format string, params map[string]string, data io.Reader) (rows uint64, err error) {
	p := newParams(params)
	stream := c.lib.streamInsert(c.inner(), dataOf(sql), uintptr(len(sql)), dataOf(format), uintptr(len(format)),
		p.names.pointer(), p.names.lengths(), p.values.pointer(), p.values.lengths(), uintptr(len(params)))
	runtime.KeepAlive(p)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	if stream == nil {
		return 0, errors.New("the engine returned nothing")
	}
	defer c.lib.destroyInsert(stream)
	if message := goString(c.lib.insertError(stream)); message != "" {
		return 0, newException(message)
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := data.Read(buf)
		if n > 0 && c.lib.appendData(stream, unsafe.Pointer(unsafe.SliceData(buf)), uintptr(n)) != 0 {
			break // finishing tells why
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			c.lib.cancelInsert(stream)
			return 0, fmt.Errorf("read the data of an insert: %w", err)
		}
	}
	result := c.lib.finishInsert(stream)
	if result != nil {
		rows = c.lib.rowsWritten(result)
	}
	_, err = c.take(result)
	return rows, err
}

// analysis is chdb_query_analysis_v1.
type analysis struct{ size, statements, flags, class uint32 }

// statements is the number of statements in a text, 0 if it cannot be parsed.
func (l *library) statements(c *conn, text string) int {
	a := analysis{size: uint32(unsafe.Sizeof(analysis{}))}
	if l.classify(c.inner(), dataOf(text), uintptr(len(text)), nil, 0, unsafe.Pointer(&a)) != 0 {
		return 0
	}
	runtime.KeepAlive(text)
	return int(a.statements)
}

// params are the values of {name:Type} in a statement, as the library takes them.
type params struct{ names, values stringArray }

func newParams(m map[string]string) *params {
	p := &params{}
	for name, value := range m {
		p.names.add(name)
		p.values.add(value)
	}
	return p
}

type stringArray struct {
	data []*byte
	lens []uintptr
}

func (a *stringArray) add(s string) {
	a.data = append(a.data, cString(s))
	a.lens = append(a.lens, uintptr(len(s)))
}

func (a *stringArray) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(a.data)) }
func (a *stringArray) lengths() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(a.lens)) }

func cString(s string) *byte {
	return unsafe.SliceData(append([]byte(s), 0))
}

// dataOf returns the bytes of a string, never nil.
func dataOf(s string) unsafe.Pointer {
	if s == "" {
		return unsafe.Pointer(cString(""))
	}
	return unsafe.Pointer(unsafe.StringData(s))
}

func goString(p unsafe.Pointer) string {
	if p == nil {
		return ""
	}
	n := 0
	for *(*byte)(unsafe.Add(p, n)) != 0 {
		n++
	}
	return string(unsafe.Slice((*byte)(p), n))
}
