package decode

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// A body of format auto or json may be an array of objects instead of lines, as
// clients send that collect statements and post them at once:
//
//	[{"level":"info","msg":"one"},{"level":"info","msg":"two"}]
//
// Each element is an event, as a line with it would be; so are those of further
// arrays behind the first one. What breaks off keeps the elements before.

// ArrayBody reports whether a body that begins with b is an array of objects;
// known is false while b is too short to tell. In auto a text may begin with a
// bracket: only an object with a key, or an empty one, makes it an array.
func ArrayBody(b []byte) (array, known bool) {
	i := skipSpace(b, len(b)-len(bytes.TrimPrefix(b, bom)))
	for _, c := range []byte("[{") {
		if i >= len(b) {
			return false, len(b) > maxArrayStart
		}
		if b[i] != c {
			return false, true
		}
		i = skipSpace(b, i+1)
	}
	if i >= len(b) {
		return false, len(b) > maxArrayStart
	}
	return b[i] == '"' || b[i] == '}', true
}

// maxArrayStart is how far the beginning of an array is looked for.
const maxArrayStart = 128

// MayBeArray reports whether bodies of a format may be arrays.
func MayBeArray(name string) bool {
	f, err := lookupFormat(name)
	return err == nil && f.json != jsonNever
}

// asArrays frames the body if it is arrays of objects, and reports whether it is.
// A body of auto that goes wrong before its end is a text after all. ErrTooLarge:
// there are more elements than lim.MaxEvents.
func (s *framer) asArrays() (done bool, err error) {
	if array, _ := ArrayBody(s.body); !array {
		return false, nil
	}
	fits := s.arrays()
	if fits && !s.wrong {
		return true, nil
	}
	s.res.Events, s.res.Refused = s.res.Events[:0], s.res.Refused[:0]
	if !fits {
		return true, tooManyEvents(s.lim.MaxEvents)
	}
	return false, nil
}

// arrays frames the elements of one array after the other. It reports false if
// there are more than lim.MaxEvents.
func (s *framer) arrays() bool {
	b := s.body
	i := skipSpace(b, len(b)-len(bytes.TrimPrefix(b, bom)))
	for n := 0; i < len(b); i = skipSpace(b, i) {
		if b[i] != '[' {
			s.rest(i, i, n+1)
			return true
		}
		if i, n = s.elements(skipSpace(b, i+1), n); i < 0 {
			return n >= 0
		}
	}
	return true
}

// elements frames the elements from i on up to the array's end, which it returns,
// negative if there is none; n counts them, and is negative if there are too many.
func (s *framer) elements(i, n int) (end, count int) {
	b := s.body
	if i < len(b) && b[i] == ']' {
		return i + 1, n
	}
	for {
		n++
		if s.lim.MaxEvents > 0 && n > s.lim.MaxEvents {
			return -1, -1
		}
		if i >= len(b) {
			s.rest(i, i, n)
			return -1, n
		}
		end = skipValue(b, i, 1)
		if end < 0 {
			s.rest(i, ^end, n)
			return -1, n
		}
		s.element(Span{i, end, n}, b[i:end])
		switch i = skipSpace(b, end); {
		case i < len(b) && b[i] == ',':
			i = skipSpace(b, i+1)
		case i < len(b) && b[i] == ']':
			return i + 1, n
		default:
			s.rest(i, i, n+1)
			return -1, n
		}
	}
}

// element takes or refuses one element.
func (s *framer) element(span Span, text []byte) {
	switch {
	case text[0] != '{':
		s.refuse(span, ReasonBadJSON, "an element of the array is no object")
	case len(text) > int(s.lim.MaxLine):
		s.refuse(span, ReasonLineTooLong, s.detail(func() string {
			return fmt.Sprintf("%d bytes, the limit is %d", len(text), s.lim.MaxLine)
		}))
	case s.checkUTF8 && !utf8.Valid(text):
		s.refuse(span, ReasonBadUTF8, s.detail(func() string {
			return fmt.Sprintf("column %d: invalid UTF-8", 1+invalidUTF8(text))
		}))
	default:
		s.res.Events = append(s.res.Events, span)
	}
}

// rest refuses what is left of the body from i on as one; pos is where it goes
// wrong.
func (s *framer) rest(i, pos, n int) {
	s.wrong = pos < len(s.body) && s.f.json == jsonLikely
	s.refuse(Span{min(i, len(s.body)), len(s.body), n}, ReasonBadJSON, fmt.Sprintf(
		"byte %d of %d: the array breaks off or is no JSON there; what follows is refused as one", pos+1, len(s.body)))
}
