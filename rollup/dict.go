package rollup

import (
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Other is the value that stands for all values beyond a dimension's cap.
const Other = "(other)"

// MaxValue bounds a dimension's value in bytes; longer ones are cut. URLs
// beyond it are attacks or data in the wrong place, and a cell's key is copied
// into every Store.
const MaxValue = 2048

// dict maps a dimension's values to codes. Code 0 is Other. Codes are valid for
// the life of the engine: which values are admitted must not depend on when a
// drain happened, or a replay would fold other values than the first run did.
type dict struct {
	name   string
	limit  int
	codes  map[string]uint32
	values []string
	fresh  []string // admitted since the last drain
	folded int64    // weight counted under Other since the last drain
	last   string   // the value looked up last and its code: lines come in runs
	lastAt uint32
}

func newDict(name string, limit int) *dict {
	return &dict{name: name, limit: limit, codes: map[string]uint32{Other: 0}, values: []string{Other}, last: Other}
}

// code returns the code of s, admitting it if there is room. s is copied when kept.
func (d *dict) code(s []byte, weight int64) uint32 {
	if string(s) == d.last {
		if d.lastAt == 0 {
			d.folded += weight
		}
		return d.lastAt
	}
	if len(s) > MaxValue {
		s = s[:MaxValue]
		for !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		s = s[:len(s)-1]
	}
	c, ok := d.codes[string(s)]
	switch {
	case ok && c > 0:
	case len(d.values) > d.limit:
		d.folded += weight
		return 0
	case !ok:
		c = d.admit(string(s))
		d.fresh = append(d.fresh, d.values[c])
	}
	d.last, d.lastAt = d.values[c], c
	return c
}

func (d *dict) admit(s string) uint32 {
	if c, ok := d.codes[s]; ok {
		return c
	}
	c := uint32(len(d.values))
	s = strings.Clone(s)
	d.codes[s] = c
	d.values = append(d.values, s)
	return c
}

// reader reads one field of an event as text into scratch memory.
type reader struct {
	name    string
	scratch []byte
}

func (r *reader) read(e *millrace.Event) []byte {
	r.scratch = r.scratch[:0]
	if v, ok := e.Field(r.name); ok {
		r.scratch = v.AppendText(r.scratch)
	}
	return r.scratch
}
