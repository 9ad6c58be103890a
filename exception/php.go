package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parsePHP reads uncaught exceptions of PHP, whose "Next …" is the exception
// that wrapped the one before, and Laravel's log, whose "[previous exception]"
// is a cause. The place where it was thrown is the innermost frame; it has no
// function, because PHP prints none.
func parsePHP(text string) *millrace.Exception {
	var result, last *millrace.Exception
	s := lines{text: text}
	from, n := 0, 0 // where the head of the next exception starts; how many there are
	for s.next() {
		f, ok := phpFrame(s.line)
		if !ok {
			if last != nil && from == 0 {
				switch {
				case strings.HasPrefix(s.line, "Next "), strings.HasPrefix(s.line, "[previous exception]"):
					from = s.start
				case strings.HasPrefix(s.line, "thrown"), strings.Contains(s.line, "[object] ("):
					return result
				}
			}
			continue
		}
		if last == nil || from > 0 {
			if n++; s.line[1] != '0' || n > maxCauses {
				return result
			}
			head := text[from:s.start]
			e := phpHead(head)
			switch {
			case last == nil:
				result = e
			case strings.HasPrefix(head, "Next "):
				e.Cause, result = result, e
			default:
				last.Cause = e
			}
			last, from = e, 0
		}
		addFrame(last, f)
	}
	return result
}

// phpHead reads what stands before the frames.
func phpHead(head string) *millrace.Exception {
	head = strings.TrimSpace(head)
	for _, end := range [...]string{"[stacktrace]", "Stack trace:"} {
		head = strings.TrimSpace(strings.TrimSuffix(head, end))
	}
	e := &millrace.Exception{}
	if i := strings.LastIndex(head, "[object] ("); i >= 0 {
		phpObject(e, head[i+len("[object] ("):])
		return e
	}
	if _, rest, ok := strings.Cut(head, "Uncaught exception '"); ok { // PHP 5
		typ, rest, _ := strings.Cut(rest, "'")
		e.Type = typ
		phpThrown(e, strings.TrimPrefix(rest, " with message "), " in ")
		e.Message = strings.Trim(e.Message, "'")
		return e
	}
	_, rest, ok := strings.Cut(head, "Uncaught ")
	if !ok {
		if rest, ok = strings.CutPrefix(head, "Next "); !ok {
			rest = head[strings.LastIndexByte(head, '\n')+1:]
		}
	}
	typ, msg, found := strings.Cut(rest, ": ")
	if !found || strings.ContainsAny(typ, " \t\n") {
		typ, msg, ok = embedded(rest)
		if !ok {
			typ, msg = "", rest
		}
	}
	e.Type = typ
	phpThrown(e, strings.TrimSpace(msg), " in ")
	return e
}

// phpObject reads Monolog's "Type(code: 0): message at /path/file.php:916)".
func phpObject(e *millrace.Exception, s string) {
	typ, rest, _ := strings.Cut(s, "(code: ")
	e.Type = strings.ReplaceAll(typ, `\\`, `\`) // it is inside JSON
	_, rest, _ = strings.Cut(rest, "): ")
	phpThrown(e, strings.TrimSuffix(rest, ")"), " at ")
}

// phpThrown splits "message in file:line" and adds the frame.
func phpThrown(e *millrace.Exception, s, word string) {
	e.Message = s
	i := strings.LastIndex(s, word)
	if i < 0 {
		return
	}
	file, line, ok := cutLast(s[i+len(word):])
	if !ok {
		return
	}
	e.Message = s[:i]
	addFrame(e, millrace.Frame{File: file, Line: line, InApp: phpInApp(file)})
}

// phpFrame reads "#1 /path/file.php(20): Class->method('x', Array)",
// "#2 [internal function]: {closure}()" and "#3 {main}".
func phpFrame(line string) (f millrace.Frame, ok bool) {
	if len(line) < 4 || line[0] != '#' {
		return f, false
	}
	n := 1 + digits(line[1:])
	if n == 1 || n >= len(line)-1 || line[n] != ' ' {
		return f, false
	}
	rest := line[n+1:]
	if strings.HasPrefix(rest, "{main}") {
		f.Function = rest[:len("{main}")]
		return f, true
	}
	call, ok := strings.CutPrefix(rest, "[internal function]: ")
	if !ok {
		i := strings.Index(rest, "): ")
		if i < 0 {
			return f, false
		}
		open := strings.LastIndexByte(rest[:i], '(')
		if open < 0 {
			return f, false
		}
		if f.Line, ok = number(rest[open+1 : i]); !ok {
			return f, false
		}
		f.File, call = rest[:open], rest[i+3:]
	}
	name := phpName(call)
	cut := strings.IndexByte(name, '{')
	if cut < 0 {
		cut = len(name)
	}
	class := max(strings.LastIndex(name[:cut], "->"), strings.LastIndex(name[:cut], "::"))
	if class > 0 {
		f.Module, f.Function = name[:class], name[class+2:]
	} else {
		f.Function = name
	}
	f.InApp = phpInApp(f.File)
	return f, true
}

// phpName cuts the arguments off a call. The name of a closure may contain
// brackets inside its braces.
func phpName(call string) string {
	depth := 0
	for i := range len(call) {
		switch call[i] {
		case '{':
			depth++
		case '}':
			depth--
		case '(':
			if depth <= 0 {
				return call[:i]
			}
		}
	}
	return call
}
