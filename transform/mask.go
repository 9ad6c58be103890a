package transform

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Bounds of masks.
const (
	defaultHashLength = 16 // hexadecimal digits: 64 bits
	minHashLength     = 8
	maxHashLength     = 64
	maxTruncate       = 10_000
	// minElsewhere is how long a value must be to be looked for elsewhere in the
	// event: shorter ones stand everywhere.
	minElsewhere = 3
)

// maskedText stands where a value was, or where one could not be masked.
const maskedText = "[masked]"

// masker hides fields. It fails closed: what cannot be masked within the bounds
// is replaced whole.
type masker struct {
	fields    []field
	every     bool // all texts of the event
	elsewhere bool
	action    string
	key       [sha256.BlockSize]byte // of the HMAC, padded
	length    int
	re        *matcher
	with      string
}

func (c *compiler) mask(path string, m *Mask, i int, seen map[string]string) compiledStep {
	name := m.Name
	if name == "" {
		name = fmt.Sprintf("mask %d", i+1)
	}
	c.name(path+".name", name, seen)
	t := &masker{action: m.Action, elsewhere: !m.OnlyHere, length: m.Length, with: m.With}
	for k, f := range m.Fields {
		at := fmt.Sprintf("%s.fields[%d]", path, k)
		if f == "*" {
			t.every = true
			continue
		}
		t.fields = append(t.fields, c.removable(at, f))
	}
	if t.every && (m.Action != "replace" || len(m.Fields) > 1) {
		c.bad(path+".fields", nil, "* is every text of the event, alone and for replace only")
	}
	switch m.Action {
	case "hash":
		c.maskKey(path, m, t)
	case "truncate":
		if m.Length < 0 || m.Length > maxTruncate {
			c.bad(path+".truncate", m.Length, "must be from 0 to %d characters", maxTruncate)
		}
	case "replace":
		re, err := compileRegexp(m.Pattern)
		if err != nil {
			c.bad(path+".replace.pattern", nil, "%v", err)
		}
		t.re = re
		if len(m.With) > MaxName {
			c.bad(path+".replace.with", nil, "must have at most %d bytes", MaxName)
		}
	}
	return compiledStep{name: name, kind: "mask", path: path, when: c.when(path+".when", m.When), do: t}
}

func (c *compiler) maskKey(path string, m *Mask, t *masker) {
	if m.Length < minHashLength || m.Length > maxHashLength {
		c.bad(path+".hash.length", m.Length, "must be from %d to %d hexadecimal digits", minHashLength, maxHashLength)
	}
	key := c.opts.HashKey
	switch {
	case m.Salt == "" && len(key) == 0:
		c.bad(path+".hash", nil, "needs a salt: without a secret anyone can try all values")
	case m.Salt != "" && len(m.Salt) < 8:
		c.bad(path+".hash.salt", nil, "must have at least 8 characters")
	case m.Salt != "" && len(key) > 0:
		h := hmac.New(sha256.New, key)
		h.Write([]byte(m.Salt))
		key = h.Sum(nil)
	case m.Salt != "":
		key = []byte(m.Salt)
	}
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	copy(t.key[:], key)
}

func (m *masker) run(s *Scratch) outcome {
	if m.every {
		return m.runEvery(s)
	}
	out := unmatched
	for _, f := range m.fields {
		v := f.get(s.e)
		if v.k == null {
			continue
		}
		t, ok := s.render(v)
		if !ok {
			t = ""
		}
		hidden := maskedText
		if ok {
			hidden, ok = m.hide(s, t)
		}
		if ok && hidden == t {
			continue
		}
		out = matched
		m.put(s, f, hidden)
		if m.elsewhere && len(t) >= minElsewhere {
			s.replaceElsewhere(t, hidden)
			// Rules may have made it lower or upper case.
			if low := strings.ToLower(t); low != t {
				s.replaceElsewhere(low, hidden)
			}
			if up := strings.ToUpper(t); up != t {
				s.replaceElsewhere(up, hidden)
			}
		}
	}
	return out
}

// put sets the field to what is shown instead.
func (m *masker) put(s *Scratch, f field, hidden string) {
	if m.action == "drop" {
		f.remove(s.e)
		return
	}
	if c := f.column(s.e); c != nil {
		*c = hidden
		return
	}
	s.e.Set(f.name, millrace.StringValue(hidden))
}

// hide returns what is shown instead of t; ok is false if it could not be
// computed, then it says so.
func (m *masker) hide(s *Scratch, t string) (hidden string, ok bool) {
	switch m.action {
	case "drop":
		return maskedText, true
	case "hash":
		return m.hash(s, t)
	case "truncate":
		n := 0
		for i := range t {
			if n == m.length {
				return t[:i], true
			}
			n++
		}
		return t, true
	}
	return m.replace(s, t)
}

// hash is HMAC-SHA256 (RFC 2104), cut to length. It is written out because
// crypto/hmac allocates its state for every value.
func (m *masker) hash(s *Scratch, t string) (string, bool) {
	buf := s.buf[:0]
	for _, b := range m.key {
		buf = append(buf, b^0x36)
	}
	buf = append(buf, t...)
	inner := sha256.Sum256(buf)
	buf = buf[:0]
	for _, b := range m.key {
		buf = append(buf, b^0x5c)
	}
	buf = append(buf, inner[:]...)
	sum := sha256.Sum256(buf)
	if s.buf = buf; cap(buf) > MaxText {
		s.buf = nil
	}
	var digits [2 * sha256.Size]byte
	hex.Encode(digits[:], sum[:])
	out, ok := s.keep(digits[:m.length])
	if !ok {
		return maskedText, false
	}
	return out, true
}

// replace replaces what the pattern matches.
func (m *masker) replace(s *Scratch, t string) (string, bool) {
	if len(t) > m.re.limit {
		return maskedText, false
	}
	if !m.re.possible(t) || !m.re.MatchString(t) { // spares most lines the copy
		return t, true
	}
	out := m.re.ReplaceAllString(t, m.with)
	if len(out) > len(t)+MaxText || len(out) > s.left {
		return maskedText, false
	}
	s.left -= len(out)
	return out, true
}

// runEvery masks every text of the event but its place: message, columns and
// attributes, numbers and JSON as they are spelled, and what escapes in JSON
// stand for.
func (m *masker) runEvery(s *Scratch) outcome {
	out := unmatched
	e := s.e
	for _, c := range [...]*string{&e.Message, &e.Service, &e.Host, &e.Env, &e.Release, &e.TraceID, &e.Level} {
		if hidden, _ := m.replace(s, *c); hidden != *c {
			*c = hidden
			out = matched
		}
	}
	for i := range e.Attrs {
		v := &e.Attrs[i].Value
		t, ok := s.render(fromValue(v))
		hidden := maskedText
		if ok {
			hidden, ok = m.replace(s, t)
		}
		if ok && v.Kind() == millrace.ValueJSON {
			hidden, ok = m.replaceEscaped(s, hidden)
		}
		if ok && hidden == t {
			continue
		}
		out = matched
		setMasked(v, hidden)
	}
	return out
}

// setMasked keeps JSON JSON if it still is.
func setMasked(v *millrace.Value, hidden string) {
	if v.Kind() == millrace.ValueJSON && hidden != "" && scanJSON(hidden) == len(hidden) {
		*v = millrace.JSONValue(hidden)
		return
	}
	*v = millrace.StringValue(hidden)
}

// replaceElsewhere puts the shown text wherever the hidden one stands in the
// event: in the message, in other fields, and in JSON as it is escaped there. What
// rules computed from a part of the value is not found.
func (s *Scratch) replaceElsewhere(t, hidden string) {
	e := s.e
	escaped, shown := escape(t), escape(hidden)
	for _, c := range [...]*string{&e.Message, &e.Service, &e.Host, &e.Env, &e.Release, &e.TraceID} {
		*c = s.substitute(*c, t, hidden)
		if escaped != t {
			*c = s.substitute(*c, escaped, shown)
		}
	}
	for i := range e.Attrs {
		v := &e.Attrs[i].Value
		switch v.Kind() {
		case millrace.ValueString:
			if old := v.String(); strings.Contains(old, t) {
				*v = millrace.StringValue(s.substitute(old, t, hidden))
			}
		case millrace.ValueJSON:
			if old := v.String(); strings.Contains(old, escaped) {
				setMasked(v, s.substitute(old, escaped, shown))
			}
		case millrace.ValueInt, millrace.ValueFloat:
			var buf [32]byte
			if old := v.AppendText(buf[:0]); string(old) == t {
				*v = millrace.StringValue(hidden)
			}
		}
	}
}

// substitute is replaceAll that fails closed.
func (s *Scratch) substitute(old, t, hidden string) string {
	if !strings.Contains(old, t) || strings.Contains(hidden, t) && old == hidden {
		return old
	}
	v := s.replaceAll(old, t, hidden)
	if v.k == failure {
		return maskedText
	}
	return v.s
}

// escape returns t as it stands within a JSON string.
func escape(t string) string {
	plain := true
	for i := range len(t) {
		if c := t[i]; c < ' ' || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if plain || !utf8.ValidString(t) {
		return t
	}
	q := millrace.AppendJSONString(nil, t)
	return string(q[1 : len(q)-1])
}
