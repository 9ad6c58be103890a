package decode

import "bytes"

// Joiner decides which lines of a body belong together, so that a stack trace
// or a message of several lines stays one event. Call Continues for every line
// in order, Reset before the next body. The zero value is ready. It looks at
// one line at a time and remembers a few bytes about the event so far: memory
// is constant, and equal lines give equal answers. Not safe for concurrent use.
//
// The rules, first match wins:
//
//   - A line that begins a record never continues: JSON, logfmt and access
//     lines (nothing continues those either), and headers of application logs:
//     a timestamp, "[timestamp]", a syslog priority, klog, a level.
//   - Blank lines continue text.
//   - Lines that only occur inside a stack trace ("at …", "#1 …", "Caused by:",
//     "... 12 more", "goroutine 7 [running]:") continue text.
//   - Indented lines continue text that has a header or a trace; below other
//     text they continue it if they are indented further than it is.
//   - An exception's type line ("java.io.IOException: …") or Python's
//     "Traceback" continues a log header, and starts an event elsewhere.
//   - Other lines start an event, except where the trace's language says that
//     the message may have several lines, or the line before announces them.
//
// The shapes of traces follow the printers of the runtimes themselves and the
// samples of fluent-plugin-detect-exceptions and coroot/logparser. Unlike the
// latter, an exception printed twice is two events.
type Joiner struct {
	state  joinState
	header bool  // the event begins with a log header or the unmistakable start of a trace
	blank  bool  // the line before is blank
	open   bool  // the line before announces another one: it ends in ':', '(', …
	jul    bool  // the line before is the first of java.util.logging's two header lines
	plain  uint8 // lines joined without a shape of their own
	indent int   // of the event's first line
}

// joinState is where in an event the line before was.
type joinState uint8

const (
	joinNone    joinState = iota // before the first line
	joinOpaque                   // a format of one line: JSON, logfmt, access
	joinText                     // text, no trace yet
	joinHead                     // the type and message of an exception, no frame yet
	joinFrames                   // frames of Java, JavaScript, .NET, PHP, Ruby, Dart
	joinPython                   // below "Traceback"
	joinPyDone                   // Python's type and message
	joinPyChain                  // between two chained tracebacks
	joinPyGroup                  // an exception group, drawn with '|' and '+'
	joinGo                       // a goroutine's stack
	joinSource                   // Node's excerpt of the source line that threw
	joinDart                     // the message below "Unhandled exception:"
)

// maxPlainLines bounds how many shapeless lines a message may take, so that a
// program which prints something else after an exception is not swallowed.
const maxPlainLines = 64

// Reset forgets the event so far; the next line starts one.
func (j *Joiner) Reset() { *j = Joiner{} }

// Continues reports whether line (without its line break) belongs to the event
// that an earlier line of the body began. It is false for the first line. It
// keeps no reference to line and does not allocate.
func (j *Joiner) Continues(line []byte) bool {
	// Most bodies are JSON or access lines: these leave before anything else.
	if len(line) > 1 && line[0] == '{' {
		j.state = joinOpaque
		return false
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	kind := classify(line)
	if kind == lineOpaque {
		j.state = joinOpaque
		return false
	}
	if kind == lineBlank {
		j.blank = true
		if j.state == joinOpaque {
			j.state = joinNone
		}
		return j.state != joinNone
	}
	if j.state > joinOpaque && j.belongs(kind, line) {
		j.advance(kind, line)
		return true
	}
	j.begin(kind, line)
	return false
}

// belongs decides for a line that is not blank, below an event of text.
func (j *Joiner) belongs(kind lineKind, line []byte) bool {
	switch kind {
	case lineInside, lineCause, linePyChain, lineCloser:
		return true
	case lineHeader:
		return j.jul && !j.blank && levelColon(line)
	case lineIndented:
		return j.indented(line)
	case lineType:
		return j.typeLine()
	case lineTraceback, lineGroup:
		return j.state == joinPyChain || j.state == joinPyGroup || (j.header && j.state == joinText)
	case lineGoroutine:
		return j.state == joinText || j.state == joinHead || j.state == joinGo
	case lineStart:
		return j.state == joinSource
	}
	return j.shapeless(line)
}

func (j *Joiner) indented(line []byte) bool {
	if j.state != joinText || j.header {
		return true
	}
	return !j.blank && indentation(line) > j.indent
}

// typeLine decides for the type line of an exception.
func (j *Joiner) typeLine() bool {
	switch j.state {
	case joinText:
		return j.header
	case joinPython, joinSource, joinDart:
		return true
	case joinHead:
		return j.open // "nested exception is:"
	}
	return false
}

// shapeless decides for a line that could be anything.
func (j *Joiner) shapeless(line []byte) bool {
	if j.plain >= maxPlainLines {
		return false
	}
	switch j.state {
	case joinText:
		return j.header && !j.blank && (j.open || zapFunction(line) || markup(line))
	case joinHead:
		return !j.blank && (j.header || j.open)
	case joinPython, joinDart:
		return true
	case joinPyDone:
		return j.header && !j.blank
	case joinSource:
		return j.plain < 4 // the source line, its caret, and what was thrown
	case joinGo:
		return !j.blank && (goFunction(line) || register(line))
	}
	return false
}

// advance moves the state over a line that continues the event.
func (j *Joiner) advance(kind lineKind, line []byte) {
	j.blank, j.jul = false, false
	j.open = opens(line)
	switch kind {
	case linePlain:
		j.plain++
		switch j.state {
		case joinPython:
			j.state = joinPyDone
		case joinText:
			if zapFunction(line) {
				j.state = joinGo
			}
		}
		return
	case lineIndented:
		if (j.state == joinHead || j.state == joinText) && indentedFrame(line) {
			j.state = joinFrames
		}
	case lineCloser, lineHeader:
	case lineType:
		if j.state == joinPython {
			j.state = joinPyDone
		} else if j.state != joinDart {
			j.state = joinHead
		}
	case lineInside:
		if j.state != joinPython && j.state != joinGo {
			j.state = joinFrames
		}
	default:
		j.state = kind.state()
	}
	j.plain = 0
}

// begin starts an event.
func (j *Joiner) begin(kind lineKind, line []byte) {
	*j = Joiner{state: kind.state(), indent: indentation(line), open: opens(line)}
	switch kind {
	case lineHeader:
		j.header, j.jul = true, julHeader(line)
	case lineStart, lineGoroutine:
		j.header = true
	case lineIndented:
		if indentedFrame(line) { // its event began before the body, or is of another kind
			j.state = joinFrames
		} else if classify(line[j.indent:]) == lineType { // Rails indents the type by a blank
			j.state = joinHead
		}
	}
	switch {
	case !j.open:
		if kind == linePlain && sourceLocation(line) {
			j.state = joinSource
		}
	case kind != lineGroup && bytes.HasSuffix(line, traceback): // at the end of a logged message
		j.state = joinPython
	case bytes.HasSuffix(line, unhandled):
		j.state = joinDart
	}
}

var (
	traceback = []byte("Traceback (most recent call last):")
	unhandled = []byte("Unhandled exception:")
)

// state is the state after a line of kind k that begins an event or changes
// what the event is.
func (k lineKind) state() joinState {
	switch k {
	case lineType, lineStart, lineCause:
		return joinHead
	case lineInside:
		return joinFrames
	case lineTraceback:
		return joinPython
	case lineGroup:
		return joinPyGroup
	case linePyChain:
		return joinPyChain
	case lineGoroutine:
		return joinGo
	}
	return joinText
}
