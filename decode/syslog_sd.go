package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Structured data of RFC 5424: [ID NAME="VALUE" …][ID …], where '"', '\' and ']'
// in values are escaped with a backslash.

// sdEnd returns the length of the structured data at the start of b, 0 if there
// is none or it is malformed.
func sdEnd(b []byte) int {
	i := 0
	for i < len(b) && b[i] == '[' {
		for i++; i < len(b) && b[i] != ']'; i++ {
			if b[i] == '"' {
				q := closingQuote(b, i+1)
				if q < 0 {
					return 0
				}
				i = q
			}
		}
		if i >= len(b) {
			return 0
		}
		i++
	}
	if i < len(b) && b[i] != ' ' {
		return 0
	}
	return i
}

// structuredData adds sd, which sdEnd has checked, as attributes ID.NAME.
func (d *Decoder) structuredData(e *millrace.Event, sd []byte) {
	for len(sd) > 1 {
		end := bytes.IndexAny(sd, " ]")
		if end < 0 {
			return
		}
		id := sd[1:end]
		sd = sd[end:]
		for len(sd) > 0 && sd[0] == ' ' {
			sd = bytes.TrimLeft(sd, " ")
			eq := bytes.IndexByte(sd, '=')
			if eq < 0 || eq+1 >= len(sd) || sd[eq+1] != '"' || bytes.IndexByte(sd[:eq], ']') >= 0 {
				break
			}
			q := closingQuote(sd, eq+2)
			if q < 0 {
				return
			}
			key := append(append(append(d.b.Text(len(id)+1+eq), id...), '.'), sd[:eq]...)
			e.Attrs = append(e.Attrs, millrace.Attr{
				Key: borrow(key), Value: millrace.StringValue(d.sdValue(sd[eq+2 : q])),
			})
			sd = sd[q+1:]
		}
		next := bytes.IndexByte(sd, ']')
		if next < 0 {
			return
		}
		sd = sd[next+1:]
	}
}

// sdValue removes the escapes of a value.
func (d *Decoder) sdValue(b []byte) string {
	if bytes.IndexByte(b, '\\') < 0 {
		return borrow(b)
	}
	out := d.b.Text(len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\' || b[i+1] == ']') {
			i++
		}
		out = append(out, b[i])
	}
	return borrow(out)
}
