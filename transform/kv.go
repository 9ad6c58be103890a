package transform

import (
	"slices"
	"strings"
)

// kvReader takes fields from pairs such as user=bob msg="not found". A value may
// stand in quotes, ' or ", within which a backslash takes the next character as
// it is. Words without separator are passed over.
type kvReader struct {
	separator string
	between   string // "" is any white space
	prefix    string
	only      []string
}

func (c *compiler) kv(path string, kv *KV) textReader {
	if kv.Separator == "" || len(kv.Separator) > 10 {
		c.bad(path+".separator", nil, "must have 1 to 10 characters")
	}
	if len(kv.Between) > 10 {
		c.bad(path+".between", nil, "must have at most 10 characters")
	}
	if kv.Between != "" && strings.TrimSpace(kv.Between) == "" {
		kv.Between = "" // runs of spaces are one
	}
	if len(kv.Prefix) > MaxName {
		c.bad(path+".prefix", nil, "must have at most %d bytes", MaxName)
	}
	return &kvReader{kv.Separator, kv.Between, kv.Prefix, kv.Only}
}

func (r *kvReader) read(s *Scratch, x *extractor, t string) outcome {
	if len(t) > MaxInput {
		return s.failed(tooLong(MaxInput))
	}
	out := unmatched
	for t != "" {
		key, val, rest, ok := r.pair(s, t)
		t = rest
		if !ok || len(r.only) > 0 && !slices.Contains(r.only, key) {
			continue
		}
		name := textValue(key)
		if r.prefix != "" {
			name = s.join(r.prefix, key)
		}
		if name.k != text || badName(name.s) != "" {
			continue
		}
		if got := x.stage(s, dynamicField(name.s), 0, val); got != matched {
			return got
		}
		if out = matched; len(s.pending) > MaxCaptures {
			return s.failed("more than 100 fields")
		}
	}
	return out
}

// pair reads the pair, or the word, at the start of t.
func (r *kvReader) pair(s *Scratch, t string) (key string, val value, rest string, ok bool) {
	t = strings.TrimLeft(t, " \t\r\n")
	// What is between is looked for first, so that words without separator cost
	// no search through the rest of the text.
	end, n := r.end(t)
	sep := strings.Index(t[:min(end+len(r.separator), len(t))], r.separator)
	if sep < 0 || sep > end {
		return "", val, t[end+n:], false
	}
	key, t = strings.TrimSpace(t[:sep]), t[sep+len(r.separator):]
	if r.between != "" {
		t = strings.TrimLeft(t, " ")
	}
	if t != "" && (t[0] == '"' || t[0] == '\'') {
		if q := closingQuote(t); q > 0 {
			val = s.unescape(t[1:q])
			t = t[q+1:]
			end, n = r.end(t)
			return key, val, t[end+n:], key != ""
		}
	}
	end, n = r.end(t)
	return key, textValue(strings.TrimSpace(t[:end])), t[end+n:], key != ""
}

// end returns where the next pair may start: the length of this one and of
// what is between.
func (r *kvReader) end(t string) (end, n int) {
	if r.between == "" {
		if i := strings.IndexAny(t, " \t\r\n"); i >= 0 {
			return i, 1
		}
	} else if i := strings.Index(t, r.between); i >= 0 {
		return i, len(r.between)
	}
	return len(t), 0
}

// closingQuote returns where the quote that t starts with ends, or -1.
func closingQuote(t string) int {
	for i := 1; i < len(t); i++ {
		switch t[i] {
		case '\\':
			i++
		case t[0]:
			return i
		}
	}
	return -1
}

// unescape removes the backslashes of a quoted text.
func (s *Scratch) unescape(t string) value {
	i := strings.IndexByte(t, '\\')
	if i < 0 {
		return textValue(t)
	}
	dst, ok := s.alloc(len(t))
	if !ok {
		return fail(s.full())
	}
	dst = append(dst, t[:i]...)
	for ; i < len(t); i++ {
		c := t[i]
		if c == '\\' && i+1 < len(t) {
			i++
			switch c = t[i]; c {
			case 'n':
				c = '\n'
			case 't':
				c = '\t'
			case 'r':
				c = '\r'
			}
		}
		dst = append(dst, c)
	}
	return textValue(asString(dst))
}
