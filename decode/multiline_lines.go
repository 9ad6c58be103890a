package decode

import "bytes"

// lineKind is the shape of one line, seen alone.
type lineKind uint8

const (
	linePlain     lineKind = iota
	lineBlank              // nothing but white space
	lineOpaque             // a record of one line: JSON, logfmt, access
	lineHeader             // the header of an application log: timestamp, level, priority
	lineIndented           // white space first
	lineType               // "java.io.IOException: …", "TypeError: …"
	lineStart              // "Exception in thread …", "panic: …", "PHP Fatal error: …"
	lineTraceback          // Python's "Traceback (most recent call last):"
	lineGroup              // Python's "+ Exception Group Traceback …"
	linePyChain            // Python's "During handling of the above exception, …"
	lineCause              // "Caused by: …", "Suppressed: …": another exception of the same event
	lineInside             // a frame or a separator that is not indented
	lineCloser             // punctuation that no record starts with
	lineGoroutine          // "goroutine 7 [running]:"
)

// classify looks at the first bytes, and further only where they leave a
// choice; a JSON or access line costs about 10 ns.
func classify(line []byte) lineKind {
	if len(line) == 0 {
		return lineBlank
	}
	switch c := line[0]; {
	case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_':
		return classifyWord(line)
	case isDigit(c):
		return classifyDigits(line)
	case c == ' ' || c == '\t' || c == '\r':
		return classifyIndented(line)
	case c == '[':
		return classifyBracket(line)
	case c == '{':
		return linePlain // alone: Continues has taken the others
	case c == 0x1b:
		if rest := skipANSI(line); len(rest) < len(line) {
			return classify(rest)
		}
	default:
		return classifyPunct(line)
	}
	return linePlain
}

func classifyIndented(line []byte) lineKind {
	i := indentation(line)
	if i == len(line) {
		return lineBlank
	}
	if i == 1 && levelFirst(line[1:]) { // "%5p" of log4j: " INFO [main] …", "ERROR [main] …"
		return lineHeader
	}
	if line[i] == '+' && bytes.HasSuffix(line, traceback) {
		return lineGroup
	}
	return lineIndented
}

// classifyBracket: "[2018-…", "[INFO]", "[main]" begin records.
func classifyBracket(line []byte) lineKind {
	switch {
	case len(line) < 2:
		return linePlain
	case hasPrefix(line, "[stacktrace]"), hasPrefix(line, "[native code]"):
		return lineInside
	case hasPrefix(line, "[signal "): // Go, between the panic and the first goroutine
		return lineCloser
	case hasPrefix(line, "[previous exception]"), hasPrefix(line, "[CIRCULAR REFERENCE"):
		return lineCause
	case line[1] == '{' || line[1] == '"' || line[1] == ']':
		return lineOpaque
	}
	return lineHeader
}

func classifyPunct(line []byte) lineKind {
	switch line[0] {
	case '}', ')', ']', ',', ';':
		return lineCloser
	case '"':
		if hasPrefix(line, `"}`) {
			return lineCloser
		}
	case '#':
		if len(line) > 1 && isDigit(line[1]) {
			return lineInside
		}
	case '-':
		if hasPrefix(line, "--- End of ") {
			return lineInside
		}
		if hasPrefix(line, "--> ") {
			return lineCloser // VMware marks the lines of a message with it
		}
	case '.':
		if len(line) > 4 && hasPrefix(line, "...") && (isDigit(line[3]) || line[3] == ' ' && isDigit(line[4])) {
			return lineInside
		}
	case '<':
		if len(line) > 1 && isDigit(line[1]) {
			return lineHeader
		}
		if hasPrefix(line, "<asynchronous suspension>") {
			return lineInside
		}
		if end := bytes.IndexByte(line[:min(len(line), 12)], '>'); end > 1 && isLevel(line[1:end]) {
			return lineHeader
		}
	case '@':
		if location(line) { // Firefox and Safari, an anonymous function
			return lineInside
		}
	case '*', ':':
		if accessLine(line) {
			return lineOpaque
		}
	}
	return linePlain
}

// classifyDigits tells timestamps from client addresses and plain numbers.
func classifyDigits(line []byte) lineKind {
	n := 1
	for n < len(line) && isDigit(line[n]) {
		n++
	}
	if n+1 >= len(line) {
		return linePlain
	}
	next, after := line[n], line[n+1]
	switch {
	case n <= 3 && next == '.' && isDigit(after):
		return dotted(line)
	case n == 4 && (next == '-' || next == '/' || next == '.') && isDigit(after),
		n <= 2 && (next == '-' || next == '/' || next == ':') && n+2 < len(line),
		(n == 6 || n == 8) && isDigit(after) && (next == ' ' || next == '-'),
		n == 8 && next == 'T',
		n >= 10 && n <= 19 && (next == ' ' || next == '.' || next == '\t' || next == ':' || next == ','),
		n <= 2 && next == ' ' && monthName(line[n+1:]):
		return lineHeader
	case n <= 7 && next == ':' && after >= 'A' && after <= 'Z': // Redis
		return lineHeader
	case accessLine(line):
		return lineOpaque
	}
	return linePlain
}

// dotted tells "10.0.0.1 - - […" from "31.12.2020 23:59:59".
func dotted(line []byte) lineKind {
	if i := bytes.IndexByte(line[:min(len(line), 20)], ' '); i >= 7 && hasPrefix(line[i+1:], "- - [") {
		return lineOpaque
	}
	dots := 0
	for i := 1; i < len(line) && i < 16; i++ {
		switch c := line[i]; {
		case c == '.':
			dots++
		case c == ' ' || c == '\t' || c == ',':
			if dots == 3 {
				return lineOpaque
			}
			if dots == 2 && i >= 8 {
				return lineHeader
			}
			return linePlain
		case !isDigit(c):
			return linePlain
		}
	}
	return linePlain
}

// classifyWord reads the first word and decides by it and what follows.
func classifyWord(line []byte) lineKind {
	n := 1
	for n < len(line) && wordByte[line[n]] {
		n++
	}
	word := line[:n]
	if n == len(line) {
		if typeName(word) {
			return lineType
		}
		return linePlain
	}
	switch line[n] {
	case ' ':
		return classifySpaced(line, word)
	case '=':
		return lineOpaque
	case ':':
		return classifyColon(line, word)
	case '@', '*', '<': // Firefox: "async*run@…", "run/<@…"
		if location(line) {
			return lineInside
		}
	case ',':
		if n == 1 && hasPrefix(line[n:], ", [") { // Ruby's Logger
			return lineHeader
		}
		if weekdayName(word) && n == 3 {
			return lineHeader
		}
	case '\t', '|':
		if isLevel(word) {
			return lineHeader
		}
	case '(':
		if n > 2 && line[1] == '/' { // Android: "E/Tag( 123): …"
			return lineHeader
		}
	}
	return linePlain
}

// classifySpaced: the first word is followed by a blank.
func classifySpaced(line, word []byte) lineKind {
	rest := line[len(word)+1:]
	if hasPrefix(rest, "- ") && accessLine(line) { // host and no identity: NCSA
		return lineOpaque
	}
	if kind := sentence(line, word, rest); kind != linePlain {
		return kind
	}
	switch {
	case len(word) == 3 && len(rest) > 3 && (monthName(word) && (isDigit(rest[0]) || rest[0] == ' ') ||
		weekdayName(word) && monthName(rest)):
		return lineHeader
	case upperLevel(word):
		return lineHeader
	case len(word) == 5 && isDigit(word[1]) && isDigit(word[4]) && bytes.IndexByte(klogLevels, word[0]) >= 0:
		return lineHeader
	case len(rest) > 0 && (rest[0] == '(' || rest[0] == '[') && typeName(word):
		// Rails: "NoMethodError (undefined …):", Node: "TypeError [ERR_X]: …"
		return lineType
	case accessLine(line):
		return lineOpaque
	}
	return linePlain
}

var klogLevels = []byte("IWEF")

// sentence recognises the fixed phrases of the runtimes.
func sentence(line, word, rest []byte) lineKind {
	switch word[0] {
	case 'a':
		if len(word) == 2 && hasPrefix(line, "at ") {
			return lineInside
		}
	case 'c':
		if hasPrefix(line, "created by ") {
			return lineInside
		}
	case 'e':
		if hasPrefix(line, "exit status ") {
			return lineCloser
		}
	case 'f':
		if hasPrefix(line, "for call at") {
			return lineInside
		}
		if hasPrefix(line, "fatal error: ") {
			return lineStart
		}
	case 'g':
		if hasPrefix(line, "goroutine ") && len(rest) > 0 && isDigit(rest[0]) {
			return lineGoroutine
		}
	case 'r':
		if hasPrefix(line, "runtime stack:") {
			return lineGoroutine
		}
	case 's':
		if hasPrefix(line, "stack backtrace:") {
			return lineInside
		}
	case 't':
		if hasPrefix(line, "thread '") {
			return lineStart
		}
		if hasPrefix(line, "thrown in ") {
			return lineInside
		}
	case 'C', 'W':
		if hasPrefix(line, "Caused by: ") || hasPrefix(line, "Wrapped by: ") {
			return lineCause
		}
	case 'D', 'T':
		if hasPrefix(line, "During handling of the above exception") || hasPrefix(line, "The above exception was the direct cause") {
			return linePyChain
		}
		if hasPrefix(line, "Traceback (most recent call last)") {
			return lineTraceback
		}
	case 'E':
		if hasPrefix(line, "Exception in thread ") {
			return lineStart
		}
	case 'F':
		if hasPrefix(line, `File "`) {
			return lineInside
		}
		if hasPrefix(line, "From previous event:") {
			return lineInside
		}
	case 'N':
		if hasPrefix(line, "Node.js v") {
			return lineCloser
		}
		if hasPrefix(line, "Next ") && phpThrown(rest) {
			return lineCause
		}
	case 'P':
		return phpLine(line)
	case 'S':
		if hasPrefix(line, "Stack trace:") {
			return lineInside
		}
	case 'U':
		if hasPrefix(line, "Unhandled exception") || hasPrefix(line, "Unhandled Exception") || hasPrefix(line, "Uncaught ") {
			return lineStart
		}
	}
	return linePlain
}

func phpLine(line []byte) lineKind {
	switch {
	case !hasPrefix(line, "PHP "):
		return linePlain
	case hasPrefix(line, "PHP Stack trace:"), hasPrefix(line, "PHP   "):
		return lineInside
	}
	return lineStart
}

// phpThrown reports whether text is "Type: message in file:line".
func phpThrown(text []byte) bool {
	colon := bytes.IndexByte(text, ':')
	return colon > 0 && (typeName(text[:colon]) || bytes.Contains(text, []byte(" in /")))
}

// classifyColon: the first word is followed by a colon.
func classifyColon(line, word []byte) lineKind {
	rest := line[len(word)+1:]
	switch {
	case len(rest) == 0 || rest[0] == ' ':
		switch {
		case hasPrefix(line, "note: run with `RUST_BACKTRACE"):
			return lineInside
		case len(word) > 4 && typeName(word):
			return lineType
		case isLevel(word):
			return lineHeader
		case string(word) == "panic", string(word) == "SIGQUIT":
			return lineStart
		case string(word) == "Suppressed":
			return lineCause
		}
		return linePlain
	case isDigit(rest[0]):
		if rubyFrame(line) {
			return lineInside
		}
		if accessLine(line) { // virtual host and port
			return lineOpaque
		}
	case rest[0] == ':': // "std::bad_alloc", "MainThread::INFO::…"
		if levelBetweenColons(rest) {
			return lineHeader
		}
		return rubyType(line)
	case upperLevel(word): // Python's default: "WARNING:root:…"
		return lineHeader
	}
	return linePlain
}
