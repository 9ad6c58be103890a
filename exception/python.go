package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// parsePython reads the tracebacks of text. Chained exceptions are printed
// oldest first, so the last one is returned with the earlier ones as causes.
// The exceptions in a group are its Members.
func parsePython(text string) *millrace.Exception {
	p := pythonParser{s: lines{text: text}}
	if p.more = p.s.next(); !p.more {
		return nil
	}
	e := p.block(0, 0)
	if e == nil || p.frames == 0 {
		return nil
	}
	return e
}

type pythonParser struct {
	s       lines
	more    bool // s is on a line
	frames  int
	members int
}

// block reads the exceptions that are drawn from column col on, chained to each
// other, until a line belongs to what is around it.
func (p *pythonParser) block(col, depth int) *millrace.Exception {
	var printed []*millrace.Exception
	chained := true
	for p.more {
		line := p.s.line
		bar, number := pythonBar(p.s.raw())
		switch {
		case strings.HasSuffix(line, traceback):
			if pythonMargin(p.s.raw()) < col || !chained {
				return pythonChain(printed) // what is around this, or a second trace
			}
			e, more := pythonTraceback(&p.s)
			p.more, chained = more, false
			p.frames += len(e.Frames)
			printed = append(printed, e)
			continue
		case bar >= 0 && bar+2 <= col:
			return pythonChain(printed)
		case bar >= 0 && number && len(printed) > 0 && depth < maxNested:
			p.group(printed[len(printed)-1], bar, depth)
			continue
		case strings.Contains(line, "During handling of the above"), strings.Contains(line, "The above exception was"):
			chained = true
		case col > 0 && len(printed) == 0:
			if e, ok := p.unraised(col); ok { // a member that nobody raised has no traceback
				printed, chained = append(printed, e), false
				continue
			}
		}
		p.more = p.s.next()
	}
	return pythonChain(printed)
}

// pythonChain links exceptions printed oldest first.
func pythonChain(printed []*millrace.Exception) *millrace.Exception {
	if len(printed) == 0 {
		return nil
	}
	e := printed[len(printed)-1]
	last := e
	for i := len(printed) - 2; i >= 0 && i > len(printed)-2-maxCauses; i-- {
		last.Cause = printed[i]
		last = printed[i]
	}
	return e
}

// group reads the members of a group, whose bars stand in column bar.
func (p *pythonParser) group(e *millrace.Exception, bar, depth int) {
	for p.more {
		at, number := pythonBar(p.s.raw())
		if at != bar {
			return
		}
		p.more = p.s.next()
		if !number {
			return // the line below the last member
		}
		member := p.block(bar+2, depth+1)
		if p.members++; member != nil && p.members <= maxRelated {
			e.Members = append(e.Members, member)
		}
	}
}

// pythonBar returns the column of the bar that "+-+------ 1 ------" or
// "+------ 2 ------" draws and whether it has a number; -1 for other lines.
func pythonBar(raw string) (bar int, number bool) {
	bar = strings.IndexByte(raw, '+')
	if bar < 0 || strings.Trim(raw[:bar], " |") != "" || !strings.HasPrefix(raw[bar:], "+-") {
		return -1, false
	}
	if strings.HasPrefix(raw[bar:], "+-+-") {
		bar += 2
	}
	rest := strings.Trim(raw[bar+1:], "-")
	if rest != "" && strings.Trim(rest, " 0123456789.") != "" {
		return -1, false
	}
	return bar, rest != ""
}

// unraised reads "| TypeError: 2".
func (p *pythonParser) unraised(col int) (*millrace.Exception, bool) {
	line := pythonContent(p.s.raw(), col)
	n := wordEnd(line)
	if n == 0 || n < len(line) && line[n] != ':' {
		return nil, false
	}
	from := p.s.start + strings.Index(p.s.raw(), line) + n
	p.more = pythonMessageEnd(&p.s)
	to := len(p.s.text)
	if p.more {
		to = p.s.start
	}
	return &millrace.Exception{Type: strings.TrimRight(line[:n], "."), Message: message(p.s.text, from, to)}, true
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
