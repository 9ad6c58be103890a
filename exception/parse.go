package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// maxFrames bounds the frames taken from one exception, maxCauses the length of
// a cause chain, so that a hostile text of a megabyte costs a bounded object.
// Runtimes stop earlier: the JVM prints at most 1,024 frames by default.
const (
	maxFrames  = 4096
	maxCauses  = 64
	maxRelated = 64 // suppressed exceptions, members of groups
	maxThreads = 256
	maxNested  = 16 // suppressed exceptions within each other
)

// Parse finds the first stack trace in text and reads it. Strings of the result
// are parts of text, which the caller must keep unchanged; Type may also be a
// constant where the runtime prints none ("panic").
//
// Frames are innermost first whatever the order in the text. For Python, which
// prints the exception raised last at the end, that one is returned and those
// before it are its Cause chain. A line of a qualified type with a message but
// no frames counts as an exception without frames; Type is empty if frames stand
// below no type. ok is false if text has none of these. The cost is linear.
func Parse(text string) (e *millrace.Exception, ok bool) {
	r, ok := Read(text)
	return r.Exception, ok
}

// Read is Parse with all that the text tells: the language, how the exception
// was caught, the other threads of a dump.
func Read(text string) (r millrace.Report, ok bool) {
	s := lines{text: text}
	var tried [marks]bool // a parser sees the whole text, so once is enough
	for s.next() {
		m := s.mark()
		if m == markNone || tried[m] {
			continue
		}
		tried[m] = true
		if parseMark(&r, m, text); r.Exception != nil {
			return r, true
		}
	}
	if r.Exception = parseZap(text); r.Exception != nil {
		r.Language = langGo
		return r, true
	}
	if r.Exception = parseTypeOnly(text); r.Exception != nil {
		return r, true
	}
	return millrace.Report{}, false
}

// The languages of a report.
const (
	langJava   = "java"
	langPython = "python"
	langGo     = "go"
	langScript = "javascript"
	langDotnet = "dotnet"
	langPHP    = "php"
	langRuby   = "ruby"
	langDart   = "dart"
	langRust   = "rust"
	langNative = "native"
	langCocoa  = "cocoa"
)

// parseMark tries the languages that print lines of mark m.
func parseMark(r *millrace.Report, m mark, text string) {
	try := func(language string, parse func(string) *millrace.Exception) bool {
		r.Exception = parse(text)
		if r.Exception != nil {
			r.Language = language
		}
		return r.Exception != nil
	}
	switch m {
	case markPython:
		_ = try(langPython, parsePython) || try(langRuby, parseRuby)
	case markGo:
		parseGo(r, text)
	case markAt:
		r.Exception, r.Language = parseAt(text)
	case markNumber:
		_ = try(langPHP, parsePHP) || try(langNative, parseNative) || try(langDart, parseDart)
	case markRuby:
		try(langRuby, parseRuby)
	case markGecko, markOpera:
		try(langScript, parseGecko)
	case markRust:
		try(langRust, parseRust)
	case markNative:
		try(langNative, parseNative)
	case markCrash:
		readCrash(r, text)
	}
}

// HasTrace reports whether text may hold a stack trace; false is certain, true
// is for Parse to decide. It does not allocate and looks at line starts only,
// which makes it fast enough for every event of several lines.
func HasTrace(text string) bool {
	s := lines{text: text}
	for s.next() {
		if s.mark() != markNone {
			return true
		}
		if s.indent > 0 && zapLocation(s.line) {
			return true
		}
		if s.indent == 0 && qualifiedType(s.line) {
			return true
		}
	}
	return false
}

// lines iterates over the lines of a text.
type lines struct {
	text       string
	start, end int    // of the current line within text
	line       string // without line break and indentation
	indent     int
	pos        int // where the next line starts
}

func (s *lines) next() bool {
	if s.pos >= len(s.text) {
		return false
	}
	s.start = s.pos
	if i := strings.IndexByte(s.text[s.pos:], '\n'); i >= 0 {
		s.end = s.pos + i
		s.pos = s.end + 1
	} else {
		s.end, s.pos = len(s.text), len(s.text)
	}
	line := s.text[s.start:s.end]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	s.indent = 0
	for s.indent < len(line) && (line[s.indent] == ' ' || line[s.indent] == '\t') {
		s.indent++
	}
	s.line = line[s.indent:]
	return true
}

// raw returns the current line with its indentation.
func (s *lines) raw() string { return s.text[s.start : s.start+s.indent+len(s.line)] }

// mark is what a line tells about the language of the trace it belongs to.
type mark uint8

const (
	markNone   mark = iota
	markPython      // "Traceback (most recent call last):"
	markGo          // "goroutine 1 [running]:"
	markAt          // "at …": Java, JavaScript, .NET
	markNumber      // "#0 …": PHP, Dart
	markRuby        // "file.rb:1:in `…'"
	markGecko       // "function@file:1:2"
	markOpera       // "called from line 4, column 5 in bar(n) in http://…:"
	markRust        // "thread 'main' panicked at …"
	markNative      // "terminate called …", backtraces of glibc, gdb, sanitizers
	markCrash       // reports of Apple and Android
	marks           // how many there are
)

const traceback = "Traceback (most recent call last):"

func (s *lines) mark() mark {
	l := s.line
	if len(l) < 4 {
		return markNone
	}
	switch l[0] {
	case 'a':
		if l[1] == 't' && l[2] == ' ' {
			return markAt
		}
	case '#':
		if isDigit(l[1]) {
			return markNumber
		}
	case 'g':
		if strings.HasPrefix(l, "goroutine ") && strings.HasSuffix(l, ":") {
			return markGo
		}
	}
	if heads[l[0]] {
		if m := s.headMark(); m != markNone {
			return m
		}
	}
	switch last := l[len(l)-1]; {
	case last == ':':
		if strings.HasSuffix(l, traceback) {
			return markPython
		}
		if operaHead(l) {
			return markOpera
		}
	case isDigit(last) || last == ']':
		if at := strings.IndexByte(l, '@'); at >= 0 && geckoFrame(l, at) {
			return markGecko
		}
		if last == ']' && strings.Contains(l, ")[0x") || strings.Contains(l, ") [0x") {
			return markNative
		}
	case last == '\'' || last == ')':
		if rubyIn(l) > 0 {
			return markRuby
		}
	}
	return markNone
}

// heads are the first bytes of the lines that headMark knows: other lines, nearly
// all, pay one look into a table.
var heads = [256]bool{
	't': true, 'l': true, 'P': true, '=': true, '*': true, 'L': true, 'I': true, 'E': true, 'p': true, '-': true, '"': true, 'A': true,
}

// headMark finds the lines with which crashes of native programs, crash reports
// and old Opera's stacks begin.
func (s *lines) headMark() mark {
	l := s.line
	switch {
	case l[0] == 't' && strings.HasPrefix(l, "thread '"):
		if _, ok := rustHead(l); ok {
			return markRust
		}
	case nativeMark(l):
		return markNative
	case l[0] == 'L' && strings.HasPrefix(l, "Line ") && strings.Contains(l, " script "):
		if _, ok := operaFrame(l); ok {
			return markOpera
		}
	case s.indent == 0 && crashMark(l):
		return markCrash
	}
	return markNone
}

// chain collects exceptions and their causes.
type chain struct {
	first, last *millrace.Exception
	n           int
}

// add appends a cause. Beyond maxCauses it is parsed but not kept.
func (c *chain) add(typ, message string) *millrace.Exception {
	e := &millrace.Exception{Type: typ, Message: message}
	c.n++
	switch {
	case c.first == nil:
		c.first, c.last = e, e
	case c.n <= maxCauses:
		c.last.Cause = e
		c.last = e
	}
	return e
}

func addFrame(e *millrace.Exception, f millrace.Frame) {
	if len(e.Frames) < maxFrames {
		e.Frames = append(e.Frames, f)
	}
}

// cutLast splits "file:12" into the file and 12. ok is false without a number.
func cutLast(s string) (before string, n int, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, 0, false
	}
	n, ok = number(s[i+1:])
	if !ok {
		return s, 0, false
	}
	return s[:i], n, true
}

// number parses a decimal of at most nine digits.
func number(s string) (int, bool) {
	if len(s) == 0 || len(s) > 9 {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// digits is the number of digits at the start of s.
func digits(s string) int {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}
