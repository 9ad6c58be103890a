package transform

import (
	"encoding/json"
	"strings"

	"github.com/millrace/millrace"
)

// replaceEscaped replaces within the strings of a JSON text that have escapes what
// the pattern matches in what they stand for: a line break is two bytes in the
// text, and a pattern that spans one would miss what it is to hide. A text that
// is no JSON is left as it is, which setMasked sees.
func (m *masker) replaceEscaped(s *Scratch, t string) (string, bool) {
	if strings.IndexByte(t, '\\') < 0 || scanJSON(t) != len(t) {
		return t, true
	}
	var out []byte // nil: nothing was replaced
	copied := 0
	for i := 0; i < len(t); i++ {
		if t[i] != '"' {
			continue
		}
		end := scanString(t, i)
		if end < 0 {
			return maskedText, false
		}
		token := t[i:end]
		from := i
		i = end - 1
		var plain string
		if strings.IndexByte(token, '\\') < 0 || json.Unmarshal([]byte(token), &plain) != nil {
			continue
		}
		hidden, ok := m.replace(s, plain)
		if !ok {
			return maskedText, false
		}
		if hidden == plain {
			continue
		}
		out = append(append(out, t[copied:from]...), millrace.AppendJSONString(nil, hidden)...)
		copied = end
	}
	if out == nil {
		return t, true
	}
	masked, ok := s.keep(append(out, t[copied:]...))
	if !ok {
		return maskedText, false
	}
	return masked, true
}
