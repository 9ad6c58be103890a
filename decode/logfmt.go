package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// logfmt: key=value pairs separated by spaces.
//
// Values are bare or quoted with JSON's escapes; a bare key is true. Bare
// numbers (as JSON writes them), true and false keep their type. Names mean what
// they mean in JSON (json_fields.go), so msg is the message and a line with a
// status and a path is an access log. Without msg the message is the line.
//
// In auto a line is logfmt if it starts with a pair, has at least two, and at
// most one bare word in four. A comma after a bare value ("a=1, b=2") is some
// other format there. The explicit format takes any line with a pair.

func (d *Decoder) parseLogfmt(e *millrace.Event, line []byte) bool {
	if !logfmtLike(line) {
		return false
	}
	d.logfmtFields(e, line)
	return true
}

func (d *Decoder) parseLogfmtStrict(e *millrace.Event, line []byte) bool {
	pairs := 0
	for i := 0; i < len(line); {
		var p pair
		p, i = nextPair(line, i)
		if p.pair && keyLike(p.key) {
			pairs++
		}
	}
	if pairs == 0 {
		return false
	}
	d.logfmtFields(e, line)
	return true
}

// logfmtLike decides for auto; it gives up at the first sign against.
func logfmtLike(line []byte) bool {
	first := bytes.IndexByte(line, '=')
	if first <= 0 || !keyLike(line[:first]) {
		return false
	}
	pairs, words := 0, 0
	for i := 0; i < len(line); {
		var p pair
		p, i = nextPair(line, i)
		switch {
		case len(p.key) == 0 && !p.pair:
			continue
		case !keyLike(p.key):
			return false
		case !p.pair:
			words++
		case !p.quoted && len(p.val) > 0 && p.val[len(p.val)-1] == ',':
			return false
		default:
			pairs++
		}
	}
	return pairs >= 2 && words*3 <= pairs
}

// pair is one key with its value as written between the quotes.
type pair struct {
	key, val      []byte
	pair          bool // it has a '='
	quoted        bool
	valid, escape bool // a quoted value is a valid JSON string, and has escapes
}

// nextPair reads the pair at i and returns where the next one may start.
func nextPair(b []byte, i int) (p pair, next int) {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	start := i
	for i < len(b) && b[i] != '=' && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	p.key = b[start:i]
	if i >= len(b) || b[i] != '=' {
		return p, i
	}
	p.pair = true
	i++
	if i < len(b) && b[i] == '"' {
		p.quoted = true
		end, escape := scanString(b, i+1)
		if p.valid = end > 0; p.valid {
			p.val, p.escape = b[i+1:end-1], escape
			return p, end
		}
		if q := closingQuote(b, i+1); q > 0 {
			p.val = b[i+1 : q]
			return p, q + 1
		}
		p.quoted = false
	}
	start = i
	for i < len(b) && b[i] != ' ' && b[i] != '\t' {
		i++
	}
	p.val = b[start:i]
	return p, i
}

// closingQuote returns the first quote from i that is not escaped, or -1.
func closingQuote(b []byte, i int) int {
	for from := i; ; {
		q := bytes.IndexByte(b[i:], '"')
		if q < 0 {
			return -1
		}
		if !escapedAt(b, from, i+q) {
			return i + q
		}
		i += q + 1
	}
}

// logfmtFields files the pairs as JSON's members would be.
func (d *Decoder) logfmtFields(e *millrace.Event, line []byte) {
	d.js.begin(line, true)
	for i := 0; i < len(line); {
		at := i
		var p pair
		p, i = nextPair(line, i)
		if len(p.key) == 0 {
			continue
		}
		key := borrow(p.key)
		v, tag, raw := d.pairValue(&p)
		d.member(e, fieldOf(key), key, at, v, tag, raw)
	}
	d.finishAccess(e)
	if e.Message == "" {
		e.Message = borrow(line)
	}
}

// pairValue returns the value of a pair, the byte JSON would start it with, and
// its text if that is bare.
func (d *Decoder) pairValue(p *pair) (v millrace.Value, tag byte, raw []byte) {
	switch {
	case !p.pair:
		return millrace.BoolValue(true), 't', nil
	case p.quoted:
		return millrace.StringValue(d.jsonString(p.val, p.valid && p.escape)), '"', nil
	}
	v, tag = bareValue(p.val)
	return v, tag, p.val
}

// bareValue types an unquoted value; the tag is what JSON would start with.
func bareValue(b []byte) (millrace.Value, byte) {
	if len(b) > 0 && (isDigit(b[0]) || b[0] == '-') {
		if end, integer := scanNumber(b, 0); end == len(b) {
			return numberValue(b, integer), b[0]
		}
	}
	switch string(b) {
	case "true":
		return millrace.BoolValue(true), 't'
	case "false":
		return millrace.BoolValue(false), 'f'
	}
	return millrace.StringValue(borrow(b)), '"'
}
