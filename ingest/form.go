package ingest

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/millrace/millrace"
)

// Old mobile libraries post what they collected as a field of a form:
//
//	POST /ingest?source=app&field=data   data=%5B%7B%22level%22…&v=3
//
// field names it. Without it the body is taken as it is, whatever its
// Content-Type: curl and sendBeacon call lines a form, too.

// unform replaces a body that is a form by the values of the field, one behind
// the other, a line end between them. Nothing else of the form is kept. ErrInvalid:
// it is no form, or has no such field.
func (q *request) unform(r *http.Request) error {
	if kind := r.Header.Get("Content-Type"); strings.HasPrefix(strings.ToLower(kind), "multipart/") {
		return millrace.Errorf(millrace.ErrInvalid, "field=%s: the body is %.100q; a form must be application/x-www-form-urlencoded", q.formField, kind)
	}
	b, out := q.body.buf, q.body.buf[:0]
	found := false
	for len(b) > 0 {
		pair := b
		if i := bytes.IndexByte(b, '&'); i >= 0 {
			pair, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if len(pair) == 0 {
			continue
		}
		key, value, _ := bytes.Cut(pair, []byte{'='})
		name, ok := unquery(make([]byte, 0, len(key)), key)
		if !ok || string(name) != q.formField {
			continue
		}
		if found {
			out = append(out, '\n') // there was at least "&" and "=", or the name
		}
		found = true
		if out, ok = unquery(out, value); !ok {
			return millrace.Errorf(millrace.ErrInvalid, "field %s of the form: a %% is not followed by two hexadecimal digits", q.formField)
		}
	}
	if !found {
		return millrace.Errorf(millrace.ErrInvalid, "the form has no field %s", q.formField)
	}
	q.body.buf = out
	return nil
}

// unquery appends b without its escapes (application/x-www-form-urlencoded) to
// dst, which may lie before b in the same memory.
func unquery(dst, b []byte) ([]byte, bool) {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '+':
			dst = append(dst, ' ')
		case '%':
			if i+2 >= len(b) {
				return dst, false
			}
			hi, lo := unhex(b[i+1]), unhex(b[i+2])
			if hi > 15 || lo > 15 {
				return dst, false
			}
			dst = append(dst, hi<<4|lo)
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 255
}
