package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// Traces whose frames are lines "at …": Java and its relatives, JavaScript in
// V8, and .NET. They differ in the frame and in how causes are printed.

// frameFunc reads what follows "at ". ok is false if it is no frame.
type frameFunc func(s string) (f millrace.Frame, ok bool)

func parseAt(text string) (e *millrace.Exception, lang string) {
	switch language(text) {
	case java:
		return parseJava(text, javaFrame), langJava
	case dotnet:
		return parseDotnet(text), langDotnet
	}
	if e = parseJava(text, v8Frame); located(e) {
		return e, langScript
	}
	return nil, ""
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
	case paren > 0 && s[paren-1] != ' ' && v8Location(s[paren+1:]):
		return v8, true // React Native's "fn(file:1:2)"
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

// v8Location: "file:1:2)".
func v8Location(s string) bool {
	s, ok := strings.CutSuffix(s, ")")
	if !ok {
		return false
	}
	if s, _, ok = cutLast(s); !ok {
		return false
	}
	_, _, ok = cutLast(s)
	return ok
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
// "Suppressed:" and Node's "[cause]:".
func parseJava(text string, frame frameFunc) *millrace.Exception {
	p := atParser{text: text}
	return p.parse(frame)
}

func (p *atParser) parse(frame frameFunc) *millrace.Exception {
	s := lines{text: p.text}
	for s.next() && !p.done {
		if rest, ok := strings.CutPrefix(s.line, "at "); ok {
			if f, ok := frame(rest); ok {
				p.frame(&s, f)
				continue
			}
		}
		p.other(&s)
	}
	p.endMessage(len(p.text))
	if p.wrapped {
		return reversed(p.chain.first)
	}
	return p.chain.first
}

// atParser is the state of parseJava.
type atParser struct {
	text     string
	chain    chain
	cur      *millrace.Exception // receives frames; nil before the first type
	from     int                 // where cur's message starts, or -1
	nested   []nested            // the suppressed exceptions we are in, outermost first
	related  int                 // how many suppressed exceptions were kept
	previous lines               // the line before the current one, for a type without the usual name
	wrapped  bool                // "Wrapped by:": the root cause is printed first
	done     bool

	record  bool     // keep the following, for templates
	regions []region // that became messages
	opens   []open   // how the lines begin that they begin in
}

// nested is a suppressed exception: the one that it went along with, and the
// indentation of its "Suppressed:".
type nested struct {
	outer  *millrace.Exception
	indent int
}

// leave ends suppressed exceptions until only those remain that are indented
// less than indent, or as much if same. Without indentation nothing can be told.
func (p *atParser) leave(indent int, same bool) {
	for n := len(p.nested); n > 0; n-- {
		top := p.nested[n-1]
		if indent > top.indent || same && indent == top.indent {
			return
		}
		p.cur, p.nested = top.outer, p.nested[:n-1]
	}
}

func (p *atParser) frame(s *lines, f millrace.Frame) {
	if p.cur == nil {
		p.head()
	}
	p.endMessage(s.start)
	if s.indent > 0 {
		p.leave(s.indent, false)
	}
	if p.cur.Frames == nil {
		p.cur.Frames = make([]millrace.Frame, 0, expectFrames(p.text[s.start:]))
	}
	addFrame(p.cur, f)
}

// expectFrames guesses how many frames text holds, so that they need one
// allocation: a frame is seldom shorter than 40 bytes.
func expectFrames(text string) int {
	return min(max(len(text)/64, 4), 64)
}

// head makes the exception of a trace without a recognised type line: the type
// may be inside the line above the first frame, or have an unusual name.
func (p *atParser) head() {
	p.start(inlineHead(p.previous.line))
}

// inlineHead finds the type and the message in the line above the first frame.
func inlineHead(line string) (typ, msg string) {
	typ, msg, ok := embedded(line)
	if !ok {
		typ, msg, _ = anyTypeLine(line)
	}
	return typ, strings.TrimSpace(msg)
}

func (p *atParser) start(typ, msg string) {
	p.cur = p.chain.add(typ, msg)
	p.from = -1
}

// open starts an exception whose message goes on until the first frame; msg is
// the end of the line, behind the type.
func (p *atParser) open(s *lines, e *millrace.Exception, rest, msg string) {
	p.cur = e
	p.from = s.start + s.indent + len(s.line) - len(msg)
	if p.record {
		p.opens = append(p.opens, open{e.Type, len(rest) - len(msg)})
	}
}

// endMessage fixes the message of the current exception at to.
func (p *atParser) endMessage(to int) {
	if p.cur != nil && p.from >= 0 {
		p.cur.Message = message(p.text, p.from, to)
		if p.record {
			p.regions = append(p.regions, region{p.cur, p.from, to})
		}
		p.from = -1
	}
}

// other handles a line that is no frame.
func (p *atParser) other(s *lines) {
	if rest, ok := cutCause(s.line); ok {
		p.wrapped = p.wrapped || s.line[0] == 'W'
		p.cause(s, rest)
		return
	}
	if rest, ok := strings.CutPrefix(s.line, "Suppressed: "); ok && p.cur != nil {
		p.suppressed(s, rest)
		return
	}
	if n, ok := commonFrames(s.line); ok {
		p.endMessage(s.start)
		if p.cur != nil {
			p.leave(s.indent, false)
			p.cur.Common = n
		}
		return
	}
	if strings.HasPrefix(s.line, "(error: ") && p.cur != nil && len(p.cur.Frames) == 0 {
		if f, ok := v8Frame(s.line); ok { // the chunk that a bundle could not load
			addFrame(p.cur, f)
		}
	}
	switch {
	case p.cur == nil:
		if typ, msg, ok := headLine(s.line); ok {
			p.open(s, p.chain.add(typ, ""), s.line, msg)
			p.cur.Thread = threadName(s.line)
		}
	case len(p.cur.Frames) > 0 && s.indent == 0 && len(p.nested) == 0:
		if _, _, ok := headLine(s.line); ok {
			p.done = true // a second trace
		}
	}
	if s.line != "" {
		p.previous = *s
	}
}

// commonFrames reads "... 12 more" and Logback's "... 12 common frames omitted".
func commonFrames(line string) (n int, ok bool) {
	rest, ok := strings.CutPrefix(line, "... ")
	if !ok {
		return 0, false
	}
	d := digits(rest)
	if rest[d:] != " more" && rest[d:] != " common frames omitted" {
		return 0, strings.HasSuffix(line, "more")
	}
	n, _ = number(rest[:d])
	return min(n, maxFrames), true
}

// threadName is X in `Exception in thread "X" type: message`.
func threadName(line string) string {
	rest, ok := strings.CutPrefix(line, prefixes[0]+"\"")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "\" ")
	return name
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
	p.endMessage(s.start)
	p.leave(s.indent, s.indent > 0)
	typ, msg := causeType(rest)
	if len(p.nested) == 0 {
		p.open(s, p.chain.add(typ, ""), rest, msg)
		return
	}
	e := &millrace.Exception{Type: typ} // the cause of a suppressed exception
	if p.related++; p.related <= maxRelated {
		p.cur.Cause = e
	}
	p.open(s, e, rest, msg)
}

// suppressed starts an exception that went along with the current one.
func (p *atParser) suppressed(s *lines, rest string) {
	p.endMessage(s.start)
	p.leave(s.indent, false)
	typ, msg := causeType(rest)
	e := &millrace.Exception{Type: typ}
	outer := p.cur
	if p.related++; p.related <= maxRelated {
		outer.Related = append(outer.Related, e)
	}
	if len(p.nested) < maxNested {
		p.nested = append(p.nested, nested{outer, s.indent})
	}
	p.open(s, e, rest, msg)
}

// causeType splits what follows "Caused by: ".
func causeType(rest string) (typ, msg string) {
	typ, msg, ok := typeLine(rest)
	if !ok {
		if typ, msg, ok = anyTypeLine(rest); !ok {
			typ, msg = "", rest
		}
	}
	return typ, msg
}

// reversed turns a chain around: what was printed last becomes the first.
func reversed(e *millrace.Exception) *millrace.Exception {
	var last *millrace.Exception
	for e != nil {
		e.Cause, last, e = last, e, e.Cause
	}
	return last
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
