package decode

import (
	"bytes"
	"unicode/utf8"
)

// Limits of objects over several lines. They bound the work that lines which
// are merely cut off cause: without them a hostile body would be searched from
// each of its lines to its end.
const (
	maxObjectLines  = 2000 // a stack trace has hundreds
	maxObjectChecks = 16   // only lines that end with a brace are worth a check
	maxObjectFails  = 100  // per body; then objects are taken to be cut off
)

// joinObject extends span and n, the last line's number, over the lines that
// complete the JSON object that begins in span, and reports whether they do.
func (s *framer) joinObject(span *Span, n *int) bool {
	if s.failed >= maxObjectFails {
		return false
	}
	end, checks := span.End, 0
	for k := 1; k <= maxObjectLines && end < len(s.body); k++ {
		start := end
		if i := bytes.IndexByte(s.body[start:], '\n'); i >= 0 {
			end = start + i + 1
		} else {
			end = len(s.body)
		}
		if end-span.Start > int(s.lim.MaxEvent) || end-start > int(s.lim.MaxLine) {
			break
		}
		last := bytes.TrimRight(s.body[start:end], " \t\r\n")
		closes := len(last) > 0 && last[len(last)-1] == '}'
		if k > 1 && !closes { // the line after the first tells most failures
			continue
		}
		if checks++; checks > maxObjectChecks {
			break
		}
		text := s.body[span.Start:end]
		pos, ok := checkJSON(text)
		switch {
		case ok && !(s.checkUTF8 && !utf8.Valid(text)):
			span.End = end
			*n += k
			if s.f.join { // as if the object had been one line
				s.res.joiner.Reset()
				s.res.joiner.Continues(text)
			}
			return true
		case ok || pos < len(text):
			s.failed++
			return false
		}
	}
	s.failed++
	return false
}
