package duckdb

/*
typedef void (*millrace_scalar)(void *, void *, void *);
void millraceMessage(void *info, void *input, void *output);
void millraceAttrs(void *info, void *input, void *output);
void millraceAttr(void *info, void *input, void *output);
*/
import "C"

import (
	"bytes"
	"encoding/json"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
	"github.com/duckdb/duckdb-go/v2/mapping"

	"github.com/millrace/millrace"
)

// longFunctions are what SQL needs to know of packed texts: millrace_message(stored)
// and millrace_attrs(stored) unpack one; millrace_attr(stored, key) is the member of
// attributes as text, NULL if there is none, for much less memory than DuckDB's own
// functions take, which hold the parsed attributes of 2,048 rows.
var longFunctions = []function{
	{"millrace_message", []mapping.Type{mapping.TypeVarchar}, false, mapping.TypeVarchar, C.millrace_scalar(C.millraceMessage)},
	{"millrace_attrs", []mapping.Type{mapping.TypeVarchar}, false, mapping.TypeVarchar, C.millrace_scalar(C.millraceAttrs)},
	{"millrace_attr", []mapping.Type{mapping.TypeVarchar, mapping.TypeVarchar}, false, mapping.TypeVarchar, C.millrace_scalar(C.millraceAttr)},
}

//export millraceMessage
func millraceMessage(info, input, output unsafe.Pointer) {
	unpackRows(info, input, output, &longMessage)
}

//export millraceAttrs
func millraceAttrs(info, input, output unsafe.Pointer) {
	unpackRows(info, input, output, &longAttrs)
}

func unpackRows(info, input, output unsafe.Pointer, l *longColumn) {
	eachRow(info, input, output, func(in []vector, out result, i int) error {
		text, err := l.unpack(in[0].bytes(i))
		if err == nil {
			out.setText(i, text)
		}
		return err
	})
}

//export millraceAttr
func millraceAttr(info, input, output unsafe.Pointer) {
	eachRow(info, input, output, func(in []vector, out result, i int) error {
		attrs, err := longAttrs.unpack(in[0].bytes(i))
		if err != nil {
			return err
		}
		if text, ok := attrOf(attrs, in[1].bytes(i)); ok {
			out.setText(i, text)
		} else {
			out.setNull(i)
		}
		return nil
	})
}

func (r result) setText(i int, text []byte) {
	bindings.UnsafeVectorAssignStringElementLen(r.vec, mapping.IdxT(i), text)
}

// attrOf returns the member key of an object as text.
func attrOf(attrs, key []byte) (text []byte, ok bool) {
	var raw []byte
	whole := millrace.EachAttr(attrs, func(k, v []byte) bool {
		if bytes.Equal(k, key) {
			raw = v
		}
		return raw == nil
	})
	if raw == nil && !whole { // a stranger's JSON
		var m map[string]json.RawMessage
		if json.Unmarshal(attrs, &m) != nil {
			return nil, false
		}
		raw = m[string(key)]
	}
	switch {
	case len(raw) == 0 || raw[0] == 'n':
		return nil, false
	case raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0:
		return raw[1 : len(raw)-1], true
	}
	return millrace.ParseAttr(raw).AppendText(nil), true
}
