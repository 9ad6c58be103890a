package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// parsePython reads the tracebacks of text. Chained exceptions are printed
// oldest first, so the last one is returned with the earlier ones as causes.
// Of an exception group the first member follows at the end of the causes.
func parsePython(text string) *millrace.Exception {
	var printed []*millrace.Exception
	var member *millrace.Exception
	frames := 0
	s := lines{text: text}
	chained := true
	for more := s.next(); more; {
		if !strings.HasSuffix(s.line, traceback) {
			if strings.HasPrefix(s.line, "During handling of the above") || strings.HasPrefix(s.line, "The above exception was") {
				chained = true
			}
			more = s.next()
			continue
		}
		sub := strings.HasPrefix(s.line, "|") || strings.HasPrefix(s.line, "+-+")
		if !sub && !chained {
			break // a second trace
		}
		var e *millrace.Exception
		e, more = pythonTraceback(&s)
		frames += len(e.Frames)
		switch {
		case !sub:
			printed, member, chained = append(printed, e), nil, false
		case member == nil:
			member = e
		}
	}
	if len(printed) == 0 {
		printed, member = append(printed, member), nil
	}
	if frames == 0 || printed[0] == nil {
		return nil
	}
	e := printed[len(printed)-1]
	last := e
	for i := len(printed) - 2; i >= 0 && i > len(printed)-2-maxCauses; i-- {
		last.Cause = printed[i]
		last = printed[i]
	}
	last.Cause = member
	return e
}

// pythonTraceback reads one traceback from the line after its header. It
// returns with s on the first line behind it, and whether there is one.
func pythonTraceback(s *lines) (e *millrace.Exception, more bool) {
	e = &millrace.Exception{}
	margin := pythonMargin(s.raw())
	for more = s.next(); more; more = s.next() {
		line := pythonContent(s.raw(), margin)
		if f, ok := pythonFrame(strings.TrimLeft(line, " \t")); ok {
			addFrame(e, f)
			continue
		}
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			continue // source line, carets, "[Previous line repeated …]"
		}
		if strings.HasSuffix(line, traceback) {
			break // cut off before its last line
		}
		n := wordEnd(line)
		from := s.start + s.indent + strings.Index(s.line, line)
		e.Type = strings.TrimRight(line[:n], ".")
		if n == 0 || n < len(line) && line[n] != ':' {
			e.Type, n = "", 0
		}
		more = pythonMessageEnd(s)
		to := len(s.text)
		if more {
			to = s.start
		}
		e.Message = message(s.text, from+n, to)
		break
	}
	slices.Reverse(e.Frames)
	return e, more
}

// pythonMargin is the column of a traceback that is drawn inside a group.
func pythonMargin(raw string) int {
	for i := range len(raw) {
		if c := raw[i]; c != ' ' && c != '|' && c != '+' && c != '-' {
			if raw[i] == 'T' || raw[i] == 'E' {
				return i
			}
			return 0
		}
	}
	return 0
}

// pythonContent removes the drawing before the margin.
func pythonContent(raw string, margin int) string {
	i := 0
	for i < margin && i < len(raw) && (raw[i] == ' ' || raw[i] == '|') {
		i++
	}
	return raw[i:]
}

// pythonMessageEnd moves s to the first line that is not part of the message.
func pythonMessageEnd(s *lines) (more bool) {
	for s.next() {
		switch {
		case strings.HasSuffix(s.line, traceback),
			strings.HasPrefix(s.line, "During handling of the above exception"),
			strings.HasPrefix(s.line, "The above exception was the direct cause"),
			strings.HasPrefix(s.line, "| During handling of the above exception"),
			strings.HasPrefix(s.line, "| The above exception was the direct cause"),
			strings.HasPrefix(s.line, "+-"):
			return true
		}
	}
	return false
}

// pythonFrame reads `File "/app/main.py", line 10, in <module>`.
func pythonFrame(s string) (f millrace.Frame, ok bool) {
	rest, ok := strings.CutPrefix(s, `File "`)
	if !ok {
		return f, false
	}
	end := strings.Index(rest, `", line `)
	if end < 0 {
		return f, false
	}
	f.File = rest[:end]
	rest = rest[end+len(`", line `):]
	n := digits(rest)
	f.Line, _ = number(rest[:n])
	f.Function, _ = strings.CutPrefix(rest[n:], ", in ")
	if !strings.HasPrefix(rest[n:], ", in ") {
		f.Function = ""
	}
	f.InApp = pythonInApp(f.File)
	return f, true
}
