package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parseDart reads Dart's and Flutter's traces: "#0      main (file:///x.dart:1:2)".
func parseDart(text string) *millrace.Exception {
	var e *millrace.Exception
	var previous lines
	from := -1
	s := lines{text: text}
	for s.next() {
		f, ok := dartFrame(s.line)
		switch {
		case ok && e == nil:
			if from < 0 {
				from = previous.start + previous.indent
			}
			e = dartHead(message(text, from, s.start))
			fallthrough
		case ok:
			if len(e.Frames) > 0 && strings.HasPrefix(s.line, "#0 ") {
				return e
			}
			addFrame(e, f)
		case e == nil:
			if i := strings.Index(s.line, "Unhandled "); i >= 0 && from < 0 {
				if j := strings.IndexByte(s.line[i:], ':'); j > 0 {
					from = s.start + s.indent + i + j + 1
				}
			}
			if s.line != "" {
				previous = s
			}
		}
	}
	return e
}

// dartNames are the types behind the texts of the core library, whose toString
// does not name them.
var dartNames = [...][2]string{
	{"Invalid argument", "ArgumentError"},
	{"Bad state", "StateError"},
	{"Unsupported operation", "UnsupportedError"},
	{"Concurrent modification", "ConcurrentModificationError"},
	{"Stack Overflow", "StackOverflowError"},
	{"Out of Memory", "OutOfMemoryError"},
	{"Cannot instantiate abstract class", "AbstractClassInstantiationError"},
}

// dartHead splits the text of an exception.
func dartHead(s string) *millrace.Exception {
	for _, n := range dartNames {
		if strings.HasPrefix(s, n[0]) {
			return &millrace.Exception{Type: n[1], Message: s}
		}
	}
	n := wordEnd(s)
	if n > 0 && typeName(s[:n]) {
		rest := s[n:]
		if i := strings.Index(rest, "): "); strings.HasPrefix(rest, " (") && i > 0 {
			rest = rest[i+1:] // "RangeError (index): …"
		}
		return &millrace.Exception{Type: s[:n], Message: message(rest, 0, len(rest))}
	}
	return &millrace.Exception{Type: "Unhandled exception", Message: s}
}

// dartFrame reads "#1      printError (file:///path/dartFile.dart:36:13)".
func dartFrame(line string) (f millrace.Frame, ok bool) {
	if len(line) < 5 || line[0] != '#' || line[len(line)-1] != ')' {
		return f, false
	}
	n := 1 + digits(line[1:])
	open := strings.LastIndex(line, " (")
	if n == 1 || open <= n || line[n] != ' ' {
		return f, false
	}
	where := line[open+2 : len(line)-1]
	if !strings.ContainsRune(where, ':') {
		return f, false
	}
	f.Function = strings.TrimSpace(line[n:open])
	setLocation(&f, where)
	f.InApp = dartInApp(f.File)
	return f, true
}
