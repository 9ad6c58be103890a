package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// typeSuffixes end the names of exception types in all languages.
var typeSuffixes = [...]string{"Exception", "Error", "Throwable", "Failure", "Interrupt", "ExceptionGroup", "Fault"}

// typeByte: letters, digits and the punctuation of qualified names. Ruby's "::"
// and the brackets of .NET generics are handled where they occur.
func typeByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c == '.' || c == '$' || c >= 0x80
}

// typeName reports whether word is the name of an exception type.
func typeName(word string) bool {
	last := word[strings.LastIndexAny(word, ".$:")+1:]
	if len(last) < 5 || last[0] < 'A' || last[0] > 'Z' {
		return false
	}
	for _, s := range typeSuffixes {
		if strings.HasSuffix(last, s) {
			return true
		}
	}
	return false
}

// wordEnd returns the length of the qualified name at the start of s, with
// single colons excluded: "Foo::Bar: x" gives 8.
func wordEnd(s string) int {
	i := 0
	for i < len(s) {
		switch {
		case typeByte(s[i]):
			i++
		case s[i] == ':' && i > 0 && i+2 < len(s) && s[i+1] == ':' && typeByte(s[i+2]):
			i += 2
		default:
			return i
		}
	}
	return i
}

// typeLine splits "type: message" or "type" at the start of s. The name must
// look like an exception's.
func typeLine(s string) (typ, message string, ok bool) {
	n := wordEnd(s)
	typ = strings.TrimRight(s[:n], ".")
	if n == 0 || !typeName(typ) {
		return "", "", false
	}
	rest := s[n:]
	switch {
	case rest == "" || rest == ":":
		return typ, "", true
	case rest[0] == ':' && (rest[1] == ' ' || rest[1] == '\n'):
		return typ, rest[1:], true
	case strings.HasPrefix(rest, " ("), strings.HasPrefix(rest, " ["), rest[0] == ';':
		return typ, rest[1:], true
	}
	return "", "", false
}

// anyTypeLine accepts any capitalised name before ": ", or alone, as
// JavaScript's and Python's classes may be called anything.
func anyTypeLine(s string) (typ, message string, ok bool) {
	n := wordEnd(s)
	typ = s[:n]
	if n == 0 || !qualifiedCapital(typ) {
		return "", "", false
	}
	rest := s[n:]
	if rest == "" || rest == ":" {
		return typ, "", true
	}
	if strings.HasPrefix(rest, ": ") {
		return typ, rest[2:], true
	}
	return "", "", false
}

func qualifiedCapital(s string) bool {
	last := s[strings.LastIndexAny(s, ".:")+1:]
	return last != "" && last[0] >= 'A' && last[0] <= 'Z'
}

// prefixes stand before the type of an exception that nobody caught.
var prefixes = [...]string{
	"Exception in thread ", "Unhandled exception. ", "Unhandled Exception: ", "Unhandled exception: ",
	"Uncaught (in promise) ", "Uncaught exception: ", "Uncaught ", "Unhandled rejection ",
	"Error: Uncaught (in promise): ", "Exception: ", "[cause]: ",
}

// headLine finds the type at the start of a line, behind a runtime's prefix.
func headLine(line string) (typ, message string, ok bool) {
	if line == "" || line[0] != 'E' && line[0] != 'U' && line[0] != '[' {
		return typeLine(line) // nearly all
	}
	for _, p := range prefixes {
		if !strings.HasPrefix(line, p) {
			continue
		}
		rest := line[len(p):]
		if p == prefixes[0] {
			rest = afterThread(rest)
		}
		if typ, message, ok = typeLine(rest); ok {
			return typ, message, true
		}
		break
	}
	return typeLine(line)
}

// afterThread skips the quoted name of a thread.
func afterThread(s string) string {
	if len(s) > 1 && s[0] == '"' {
		if i := strings.Index(s[1:], "\" "); i >= 0 {
			return s[i+3:]
		}
	}
	return s
}

// embedded finds the first "type: …", or a type at the end, inside a line, such
// as a log header with the exception on the same line.
func embedded(line string) (typ, message string, ok bool) {
	for i := 0; i < len(line); {
		if !typeByte(line[i]) {
			i++
			continue
		}
		n := wordEnd(line[i:])
		word := line[i : i+n]
		rest := line[i+n:]
		if n > 0 && typeName(word) && (rest == "" || strings.HasPrefix(rest, ": ") || rest == ":") {
			return word, strings.TrimPrefix(rest, ":"), true
		}
		i += max(n, 1)
	}
	return "", "", false
}

// qualifiedType reports whether a line is "package.Type: message" or the type
// alone, with at least one dot: unqualified names need frames to count.
func qualifiedType(line string) bool {
	if len(line) < 8 || !typeByte(line[0]) {
		return false
	}
	n := wordEnd(line)
	if n < len(line) && line[n] != ':' {
		return false
	}
	dot := strings.IndexByte(line[:n], '.')
	return dot > 0 && dot < n-1 && typeName(line[:n]) && !strings.ContainsRune(line[:n], '/')
}

// parseTypeOnly reads an exception that was logged without its frames: a line
// that is nothing but a qualified type and its message.
func parseTypeOnly(text string) *millrace.Exception {
	s := lines{text: text}
	for s.next() {
		if s.indent > 0 || !qualifiedType(s.line) {
			continue
		}
		n := wordEnd(s.line)
		e := &millrace.Exception{Type: s.line[:n], Message: message(text, s.start+n, len(text))}
		return e
	}
	return nil
}

// message returns text[from:to] without the colon and white space around it.
func message(text string, from, to int) string {
	if from > to {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(text[from:to], ":"))
}
