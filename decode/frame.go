package decode

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Default limits of framing. A line above 256 KiB is a dump, not a log line: it
// would fill a quarter of a queue record and slow every search. An event must
// fit into one queue record, which is 1 MiB.
const (
	DefaultMaxLine  millrace.Bytes = 256 << 10
	DefaultMaxEvent millrace.Bytes = 1 << 20
)

// Reasons why Frame refuses a line.
const (
	ReasonLineTooLong = "line_too_long"
	ReasonBadUTF8     = "bad_utf8"
	ReasonBadJSON     = "bad_json"
)

// Limits bounds what Frame accepts; zero fields mean the defaults.
type Limits struct {
	MaxLine  millrace.Bytes // bytes of one line without its end
	MaxEvent millrace.Bytes // bytes of the joined lines of one event
	// MaxEvents is the most events and refused parts of a body, each of which takes
	// memory besides its bytes; 0 is no limit.
	MaxEvents int
}

// Span is an event or a line within a body: body[Start:End]. It includes the
// line end, so that concatenated spans stay readable lines; the last line of a
// body may have none.
type Span struct {
	Start, End int
	Line       int // number of its first line, from 1
}

// RefusedLine is a line that became part of no event.
type RefusedLine struct {
	Span
	Reason string // one of the Reason constants
	Detail string // for people: what is wrong and where; only for the first 100
}

// Framing is the result of Frame. Reuse it: Frame keeps its memory.
// Not safe for concurrent use.
type Framing struct {
	Events  []Span        // ascending, not overlapping
	Refused []RefusedLine // ascending

	joiner Joiner
	keys   *keyCache // made for the first body that may have JSON
}

// bom is the UTF-8 byte order mark, which Windows programs put before a text.
var bom = []byte("\xEF\xBB\xBF")

// Frame splits body into the events of a format and checks each line cheaply:
// its size, valid UTF-8, and well-formed JSON where it must be JSON. Blank
// lines separate and are no events. In auto and text, lines that continue the
// event before them (stack traces) are joined until MaxEvent; a line beyond
// starts another event. A refused line ends the event before it.
//
// A JSON object may go on over several lines, as Elasticsearch writes stack
// traces; see joinObject.
//
// In auto a line that starts with '{' and then '"' or '}' must be JSON, unless
// it continues an event; any other '{' is text.
//
// Of auto and json a body may also be an array of objects (frame_array.go).
//
// The error is ErrInvalid for an unknown format and for a structured one, which
// Split is for, ErrTooLarge for more than lim.MaxEvents; then res is empty.
// It costs one pass to find lines, one for UTF-8 and, for JSON, one to check
// it; it allocates only to grow res and for refused lines.
func Frame(name string, body []byte, lim Limits, res *Framing) error {
	res.Events, res.Refused = res.Events[:0], res.Refused[:0]
	f, err := lookupFormat(name)
	if err != nil {
		return err
	}
	if f.split != nil {
		return millrace.Errorf(millrace.ErrInvalid, "format %q is not of lines", name)
	}
	if lim.MaxLine <= 0 {
		lim.MaxLine = DefaultMaxLine
	}
	if lim.MaxEvent <= 0 {
		lim.MaxEvent = DefaultMaxEvent
	}
	if f.join {
		res.joiner.Reset()
	}
	if res.keys == nil && f.json != jsonNever {
		res.keys = new(keyCache)
	}
	body = body[:len(body):len(body)] // lines may be read beyond their end, see words.go
	s := framer{res: res, f: f, lim: lim, body: body, checkUTF8: !utf8.Valid(body)}
	if f.json != jsonNever {
		if done, err := s.asArrays(); done {
			return err
		}
	}
	s.run()
	if s.full() {
		res.Events, res.Refused = res.Events[:0], res.Refused[:0]
		return tooManyEvents(lim.MaxEvents)
	}
	return nil
}

// framer is the state of one call of Frame.
type framer struct {
	res  *Framing
	f    *format
	lim  Limits
	body []byte
	// checkUTF8 is false if the whole body is valid, which spares a check per line.
	checkUTF8 bool
	// open tells that the last event may still grow.
	open bool
	// wrong tells that a body which began as an array goes on as something else.
	wrong bool
	// failed counts objects that were cut off and did not go on below.
	failed int
}

// full reports whether there is more than lim.MaxEvents allows.
func (s *framer) full() bool {
	return s.lim.MaxEvents > 0 && len(s.res.Events)+len(s.res.Refused) > s.lim.MaxEvents
}

func (s *framer) run() {
	start := 0
	if bytes.HasPrefix(s.body, bom) {
		start = len(bom)
	}
	for n := 1; start < len(s.body) && !s.full(); n++ {
		end, text := len(s.body), len(s.body)
		if i := bytes.IndexByte(s.body[start:], '\n'); i >= 0 {
			text = start + i
			end = text + 1
		}
		start, n = s.line(Span{start, end, n}, trimCR(s.body[start:text]))
	}
}

// line handles one line; text is it without its end. It returns the end and the
// number of the last line it took, which is this one unless an object goes on.
func (s *framer) line(span Span, text []byte) (end, n int) {
	end, n = span.End, span.Line
	switch {
	case blank(text):
		// The joiner sees it, since some traces contain blank lines; whether it
		// belongs to an event is decided by the line after it.
		if s.f.join {
			s.res.joiner.Continues(text)
		}
		return end, n
	case len(text) > int(s.lim.MaxLine):
		s.refuse(span, ReasonLineTooLong, s.detail(func() string {
			return fmt.Sprintf("%d bytes, the limit is %d", len(text), s.lim.MaxLine)
		}))
		return end, n
	case s.checkUTF8 && !utf8.Valid(text):
		s.refuse(span, ReasonBadUTF8, s.detail(func() string {
			return fmt.Sprintf("column %d: invalid UTF-8", 1+invalidUTF8(text))
		}))
		return end, n
	}
	if s.f.join && s.res.joiner.Continues(text) && s.open {
		last := &s.res.Events[len(s.res.Events)-1]
		if span.End-last.Start <= int(s.lim.MaxEvent) {
			last.End = span.End
			return end, n
		}
	} else if s.f.json == jsonAlways || (s.f.json == jsonLikely && text[0] == '{' && likelyJSON(text)) {
		if pos, ok := s.res.keys.check(text); !ok {
			if pos < len(text) || !s.joinObject(&span, &n) {
				s.refuse(span, ReasonBadJSON, s.detail(func() string { return describeJSON(text, pos) }))
				return end, n
			}
			end = span.End
		}
	}
	s.res.Events = append(s.res.Events, span)
	s.open = true
	return end, n
}

// maxDetails is how many refused lines of a body are described: nobody reads
// more, and a body of nothing but bad lines should not cost a string for each.
const maxDetails = 100

// detail returns what f says, or "" after maxDetails refused lines.
func (s *framer) detail(f func() string) string {
	if len(s.res.Refused) >= maxDetails {
		return ""
	}
	return f()
}

func (s *framer) refuse(span Span, reason, detail string) {
	s.res.Refused = append(s.res.Refused, RefusedLine{span, reason, detail})
	s.open = false
}

// trimCR removes the carriage return of a Windows line end.
func trimCR(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\r' {
		return b[:n-1]
	}
	return b
}

// trimEnd removes the line ends of a frame.
func trimEnd(b []byte) []byte {
	n := len(b)
	for n > 0 && (b[n-1] == '\n' || b[n-1] == '\r') {
		n--
	}
	return b[:n]
}

func blank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' && c != '\f' && c != '\v' {
			return false
		}
	}
	return true
}

// invalidUTF8 returns the offset of the first invalid byte.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// likelyJSON reports whether text, which starts with '{', is meant as a JSON
// object: the next byte but spaces is a quote or the closing brace.
func likelyJSON(text []byte) bool {
	for _, c := range text[1:] {
		if c == ' ' || c == '\t' {
			continue
		}
		return c == '"' || c == '}'
	}
	return false
}
