package transform

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonReader takes fields from a text that is a JSON object.
type jsonReader struct {
	all    bool
	prefix string
	fields []jsonField
}

type jsonField struct {
	field field
	path  []pathElem
}

// pathElem is a key, or an index where key is empty and index not negative.
type pathElem struct {
	key   string
	index int
}

func (c *compiler) json(path string, j *JSON) textReader {
	r := &jsonReader{all: j.All, prefix: j.Prefix}
	if len(j.Fields) > MaxCaptures {
		c.bad(path, nil, "names %d fields; must be at most %d", len(j.Fields), MaxCaptures)
	}
	for _, p := range j.Fields {
		at := path + "." + p.Name
		elems, err := parsePath(p.Value)
		if err != nil {
			c.bad(at, fmt.Sprintf("%q", p.Value), "%v", err)
		}
		r.fields = append(r.fields, jsonField{c.settable(at+"#", p.Name), elems})
	}
	return r
}

// maxPath bounds the elements of a JSON path.
const maxPath = 20

// parsePath reads user.id, $.user.id, items[0].name and $["a.b"].
func parsePath(s string) ([]pathElem, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(s, "$"), ".")
	var out []pathElem
	for rest != "" {
		if len(out) == maxPath {
			return nil, fmt.Errorf("must have at most %d elements", maxPath)
		}
		if rest[0] != '[' {
			n := strings.IndexAny(rest, ".[")
			if n < 0 {
				n = len(rest)
			}
			if n == 0 {
				return nil, fmt.Errorf("must be a path such as user.id or items[0].name; an element is empty")
			}
			out = append(out, pathElem{key: rest[:n], index: -1})
			rest = rest[n:]
		} else {
			elem, after, err := bracket(rest)
			if err != nil {
				return nil, err
			}
			out = append(out, elem)
			rest = after
		}
		if dot, ok := strings.CutPrefix(rest, "."); ok {
			if rest = dot; rest == "" {
				return nil, fmt.Errorf("must not end with a dot")
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("must be a path such as user.id or items[0].name")
	}
	return out, nil
}

func bracket(s string) (pathElem, string, error) {
	end := strings.IndexByte(s, ']')
	if len(s) > 1 && (s[1] == '"' || s[1] == '\'') {
		if q := strings.Index(s[2:], s[1:2]+"]"); q >= 0 {
			return pathElem{key: s[2 : 2+q], index: -1}, s[q+4:], nil
		}
	} else if end > 1 {
		if i, err := strconv.Atoi(s[1:end]); err == nil && i >= 0 {
			return pathElem{index: i}, s[end+1:], nil
		}
	}
	return pathElem{}, "", fmt.Errorf(`must have [0] or ["a key"] in brackets`)
}

func (r *jsonReader) read(s *Scratch, x *extractor, t string) outcome {
	if len(t) > MaxInput {
		return s.failed(tooLong(MaxInput))
	}
	i := skipSpace(t, 0)
	if i == len(t) || t[i] != '{' {
		return unmatched
	}
	end := scanValue(t, i, 0)
	if end < 0 || skipSpace(t, end) != len(t) {
		return unmatched
	}
	if r.all {
		return r.readAll(s, x, t[i:end], r.prefix)
	}
	out := unmatched
	for k := range r.fields {
		f := &r.fields[k]
		raw, ok := lookup(t[i:end], f.path)
		if !ok {
			continue
		}
		if got := s.stageJSON(x, f.field, raw); got != matched {
			return got
		}
		out = matched
	}
	return out
}

// readAll stages every member of an object, nested ones by dotted names.
func (r *jsonReader) readAll(s *Scratch, x *extractor, obj, prefix string) outcome {
	out := matched
	eachMember(obj, func(key, raw string) bool {
		name, ok := s.dotted(prefix, key)
		if !ok || badName(name) != "" {
			return true // a key that is no name stays in the message
		}
		if raw[0] == '{' && len(raw) > 2 && strings.Count(name, ".") < maxPath {
			out = r.readAll(s, x, raw, name)
		} else {
			out = s.stageJSON(x, dynamicField(name), raw)
		}
		if len(s.pending) > MaxCaptures {
			out = s.failed("more than 100 fields")
		}
		return out == matched
	})
	return out
}

func (s *Scratch) dotted(prefix, rawKey string) (string, bool) {
	v := s.unquote(rawKey)
	if v.k != text || prefix == "" || len(v.s) > MaxName {
		return v.s, v.k == text
	}
	v = s.join(prefix, ".")
	if v.k == text {
		v = s.join(v.s, s.unquote(rawKey).s)
	}
	return v.s, v.k == text
}

func (s *Scratch) stageJSON(x *extractor, f field, raw string) outcome {
	v := s.scalarJSON(raw)
	if v.k == failure {
		return s.failed(f.name + " is " + v.s)
	}
	return x.stage(s, f, 0, v)
}

// scalarJSON returns the value that well-formed JSON spells.
func (s *Scratch) scalarJSON(raw string) value {
	switch raw[0] {
	case '"':
		return s.unquote(raw)
	case 't', 'f':
		return boolValue(raw[0] == 't')
	case 'n':
		return value{}
	case '{', '[':
		return value{s: raw, k: fragment}
	}
	if i, ok := parseInt(raw); ok {
		return intValue(i)
	}
	f, err := strconv.ParseFloat(raw, 64)
	if err != nil {
		return textValue(raw) // beyond what a float holds
	}
	v := floatValue(f)
	v.s = raw
	return v
}

// unquote returns the text of a well-formed JSON string, in memory of the batch
// if something is escaped.
func (s *Scratch) unquote(raw string) value {
	body := raw[1 : len(raw)-1]
	if strings.IndexByte(body, '\\') < 0 {
		return textValue(body)
	}
	dst, ok := s.alloc(len(body))
	if !ok {
		return fail(s.full())
	}
	for i := 0; i < len(body); {
		if body[i] != '\\' {
			dst = append(dst, body[i])
			i++
			continue
		}
		n := 2
		switch c := body[i+1]; c {
		case 'n':
			dst = append(dst, '\n')
		case 't':
			dst = append(dst, '\t')
		case 'r':
			dst = append(dst, '\r')
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'u':
			var r rune
			r, n = escapedRune(body[i:])
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, c)
		}
		i += n
	}
	return textValue(asString(dst))
}

// escapedRune reads \uXXXX, or a pair of surrogates; one alone is U+FFFD.
func escapedRune(s string) (rune, int) {
	hi := hex4(s[2:6])
	if hi < 0xD800 || hi > 0xDFFF {
		return hi, 6
	}
	if hi < 0xDC00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if lo := hex4(s[8:12]); lo >= 0xDC00 && lo <= 0xDFFF {
			return 0x10000 + (hi-0xD800)<<10 + (lo - 0xDC00), 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(s string) rune {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}

// lookup returns the JSON of what a path leads to. A key that stands twice
// counts as it stood last.
func lookup(raw string, path []pathElem) (string, bool) {
	for _, p := range path {
		found := ""
		if p.index >= 0 {
			if raw[0] != '[' {
				return "", false
			}
			n := 0
			eachElement(raw, func(v string) bool {
				if n == p.index {
					found = v
				}
				n++
				return found == ""
			})
		} else {
			if raw[0] != '{' {
				return "", false
			}
			eachMember(raw, func(key, v string) bool {
				if keyIs(key, p.key) {
					found = v
				}
				return true
			})
		}
		if found == "" {
			return "", false
		}
		raw = found
	}
	return raw, true
}

// keyIs compares a quoted key.
func keyIs(quoted, want string) bool {
	body := quoted[1 : len(quoted)-1]
	if body == want {
		return strings.IndexByte(body, '\\') < 0
	}
	if strings.IndexByte(body, '\\') < 0 {
		return false
	}
	unquoted, err := strconv.Unquote(quoted)
	return err == nil && unquoted == want
}
