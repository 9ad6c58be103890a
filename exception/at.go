package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// Traces whose frames are lines "at …": Java and its relatives, JavaScript in
// V8, and .NET. They differ in the frame and in how causes are printed.

// frameFunc reads what follows "at ". ok is false if it is no frame.
type frameFunc func(s string) (f millrace.Frame, ok bool)

func parseAt(text string) *millrace.Exception {
	switch language(text) {
	case java:
		return parseJava(text, javaFrame)
	case dotnet:
		return parseDotnet(text)
	}
	if e := parseJava(text, v8Frame); located(e) {
		return e
	}
	return nil
}

// located reports whether a frame tells a place. V8 prints functions alone too,
// but "at noon" alone is prose.
func located(e *millrace.Exception) bool {
	for ; e != nil; e = e.Cause {
		for i := range e.Frames {
			if e.Frames[i].Line > 0 || e.Frames[i].File != "" {
				return true
			}
		}
	}
	return false
}

type atLanguage uint8

const (
	unknown atLanguage = iota
	java
	dotnet
	v8
)

// language decides by the first frame that leaves no doubt. One trace has one
// language, so that a frame without a location is read like the others.
func language(text string) atLanguage {
	guess := v8
	s := lines{text: text}
	for s.next() {
		rest, ok := strings.CutPrefix(s.line, "at ")
		if !ok {
			continue
		}
		switch l, certain := frameLanguage(rest); {
		case certain:
			return l
		case l != unknown:
			guess = l
		}
	}
	return guess
}

func frameLanguage(s string) (l atLanguage, certain bool) {
	if strings.Contains(s, ") in ") || strings.Contains(s, ") [0x") {
		return dotnet, true
	}
	paren := strings.IndexByte(s, '(')
	switch {
	case paren > 0 && s[paren-1] != ' ':
		end := strings.IndexByte(s[paren:], ')')
		if end < 0 {
			return java, false // cut off
		}
		if javaLocation(s[paren+1 : paren+end]) {
			return java, true
		}
		return dotnet, false // "System.Foo.Bar(String s)"
	case paren > 0, strings.HasPrefix(s, "async "), strings.HasPrefix(s, "new "):
		return v8, true
	}
	if rest, _, ok := cutLast(s); ok {
		if _, _, ok = cutLast(rest); ok {
			return v8, true // file:line:column
		}
	}
	return unknown, false
}

// javaLocation: "File.java:12", "File.kt", "Native Method", "Unknown Source".
func javaLocation(s string) bool {
	switch s {
	case "Native Method", "Unknown Source", "<generated>", "NO_SOURCE_FILE", "SourceFile", "":
		return s != ""
	}
	file, _, ok := cutLast(s)
	if !ok {
		file = s
	}
	switch file {
	case "Unknown Source", "SourceFile", "NO_SOURCE_FILE", "":
		return ok
	}
	dot := strings.LastIndexByte(file, '.')
	return dot > 0 && !strings.ContainsAny(file, " ,/\\") && len(file)-dot <= 8 || strings.HasPrefix(file, "r8-map-id-")
}

// parseJava reads Java's printStackTrace and V8's error.stack, including Java's
// "Suppressed:" (left out: it is no cause) and Node's "[cause]:".
func parseJava(text string, frame frameFunc) *millrace.Exception {
	p := atParser{text: text, suppressed: -1}
	s := lines{text: text}
	for s.next() && !p.done {
		if rest, ok := strings.CutPrefix(s.line, "at "); ok {
			if f, ok := frame(rest); ok {
				p.frame(&s, f)
				continue
			}
		}
		p.other(&s)
	}
	p.endMessage(len(text))
	return p.chain.first
}

// atParser is the state of parseJava.
type atParser struct {
	text       string
	chain      chain
	cur        *millrace.Exception // receives frames; nil inside a suppressed exception
	from       int                 // where cur's message starts, or -1
	suppressed int                 // indentation of the "Suppressed:" we are in, or -1
	previous   lines               // the line before the current one, for a type without the usual name
	done       bool
}

func (p *atParser) frame(s *lines, f millrace.Frame) {
	if p.suppressed >= 0 && s.indent <= p.suppressed && s.indent > 0 {
		p.suppressed = -1
	}
	if p.suppressed >= 0 {
		return
	}
	if p.cur == nil {
		p.head()
	}
	p.endMessage(s.start)
	addFrame(p.cur, f)
}

// head makes the exception of a trace without a recognised type line: the type
// may be inside the line above the first frame, or have an unusual name.
func (p *atParser) head() {
	line := p.previous.line
	if typ, msg, ok := embedded(line); ok {
		p.start(typ, strings.TrimSpace(msg))
		return
	}
	typ, msg, _ := anyTypeLine(line)
	p.start(typ, strings.TrimSpace(msg))
}

func (p *atParser) start(typ, msg string) {
	p.cur = p.chain.add(typ, msg)
	p.from = -1
}

// open starts an exception whose message goes on until the first frame.
func (p *atParser) open(s *lines, typ, msg string) {
	p.cur = p.chain.add(typ, "")
	// msg is the end of the line; its start is where the message starts.
	p.from = s.start + s.indent + len(s.line) - len(msg)
}

// endMessage fixes the message of the current exception at to.
func (p *atParser) endMessage(to int) {
	if p.cur != nil && p.from >= 0 {
		p.cur.Message = message(p.text, p.from, to)
		p.from = -1
	}
}

// other handles a line that is no frame.
func (p *atParser) other(s *lines) {
	if rest, ok := cutCause(s.line); ok {
		p.cause(s, rest)
		return
	}
	switch {
	case strings.HasPrefix(s.line, "Suppressed: ") && p.cur != nil:
		p.endMessage(s.start)
		p.suppressed = s.indent
	case strings.HasPrefix(s.line, "... ") && strings.HasSuffix(s.line, "more"):
		p.endMessage(s.start)
	case p.cur == nil:
		if typ, msg, ok := headLine(s.line); ok {
			p.open(s, typ, msg)
		}
	case len(p.cur.Frames) > 0 && s.indent == 0 && p.suppressed < 0:
		if _, _, ok := headLine(s.line); ok {
			p.done = true // a second trace
		}
	}
	if s.line != "" {
		p.previous = *s
	}
}

// cutCause removes the words before a cause.
func cutCause(line string) (string, bool) {
	for _, p := range [...]string{"Caused by: ", "caused by: ", "[cause]: ", "Wrapped by: "} {
		if rest, ok := strings.CutPrefix(line, p); ok {
			return rest, true
		}
	}
	return "", false
}

func (p *atParser) cause(s *lines, rest string) {
	if p.suppressed >= 0 {
		if s.indent >= p.suppressed && s.indent > 0 {
			return // the cause of a suppressed exception
		}
		p.suppressed = -1
	}
	p.endMessage(s.start)
	typ, msg, ok := typeLine(rest)
	if !ok {
		if typ, msg, ok = anyTypeLine(rest); !ok {
			typ, msg = "", rest
		}
	}
	p.open(s, typ, msg)
}

// javaFrame reads "java.base/java.lang.Thread.run(Thread.java:748) ~[?:?]".
func javaFrame(s string) (f millrace.Frame, ok bool) {
	paren := strings.IndexByte(s, '(')
	name, where := s, ""
	if paren >= 0 {
		name = s[:paren]
		where, _, _ = strings.Cut(s[paren+1:], ")")
	}
	// The class loader and the module stand before a slash; a slash behind a '$'
	// belongs to the name of a hidden class.
	for {
		slash := strings.IndexByte(name, '/')
		if slash < 0 || strings.IndexByte(name[:slash], '$') >= 0 {
			break
		}
		name = name[slash+1:]
	}
	dot := strings.LastIndexByte(name, '.')
	if dot <= 0 || strings.IndexByte(name, ' ') >= 0 {
		return f, false
	}
	f.Module, f.Function = name[:dot], name[dot+1:]
	f.File = where
	if file, line, ok := cutLast(where); ok {
		f.File, f.Line = file, line
	}
	if f.File == "Native Method" || f.File == "Unknown Source" {
		f.File = ""
	}
	f.InApp = javaInApp(f.Module)
	return f, true
}

// v8Frame reads "fn (file:1:2)", "file:1:2", "async fn (…)", "fn".
func v8Frame(s string) (f millrace.Frame, ok bool) {
	s = strings.TrimSuffix(s, " {")
	s = strings.TrimPrefix(s, "async ")
	where := s
	if i := strings.Index(s, " ("); i > 0 {
		f.Function = s[:i]
		where = strings.TrimSuffix(s[i+2:], ")")
		if as := strings.Index(f.Function, " [as "); as > 0 {
			f.Function = f.Function[:as]
		}
		if strings.HasPrefix(where, "eval at ") {
			where = where[strings.LastIndex(where, ", ")+1:]
			where = strings.TrimPrefix(where, " ")
		}
	} else if strings.IndexByte(s, ' ') < 0 && !strings.ContainsAny(s, "/:") {
		f.Function, where = s, ""
	}
	if !strings.HasPrefix(where, "index ") { // "Promise.all (index 0)"
		setLocation(&f, where)
	}
	if f.Function == "" && f.Line == 0 {
		return f, false
	}
	f.InApp = scriptInApp(f.File)
	return f, true
}

// setLocation reads "file:line:column" or "file:line".
func setLocation(f *millrace.Frame, s string) {
	f.File = s
	file, n, ok := cutLast(s)
	if !ok {
		return
	}
	f.File, f.Line = file, n
	if file, line, ok := cutLast(file); ok {
		f.File, f.Line, f.Column = file, line, n
	}
}
