package decode

import "bytes"

// wordByte holds the bytes of names of types, hosts, files and keys.
var wordByte = func() (t [256]bool) {
	for c := range t {
		b := byte(c)
		t[c] = 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' ||
			b == '_' || b == '.' || b == '$' || b == '-' || b == '/'
	}
	return t
}()

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

func hasSuffix(b []byte, suffix string) bool {
	return len(b) >= len(suffix) && string(b[len(b)-len(suffix):]) == suffix
}

// markup reports whether line begins with an XML or HTML tag.
func markup(line []byte) bool {
	if len(line) < 3 || line[0] != '<' {
		return false
	}
	c := line[1]
	return c == '/' || c == '?' || c == '!' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// indentation is the number of leading white-space bytes.
func indentation(line []byte) int {
	i := 0
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	return i
}

// opens reports whether the line's last byte announces another line.
func opens(line []byte) bool {
	i := len(line)
	for i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
		i--
	}
	if i == 0 {
		return false
	}
	switch line[i-1] {
	case ':', ',', '(', '[', '{', '\\', '=':
		return true
	}
	return false
}

// skipANSI drops the escape sequences that colour a terminal.
func skipANSI(line []byte) []byte {
	for len(line) > 2 && line[0] == 0x1b && line[1] == '[' {
		i := 2
		for i < len(line) && (isDigit(line[i]) || line[i] == ';') {
			i++
		}
		if i == len(line) {
			return line
		}
		line = line[i+1:]
	}
	return line
}

// typeSuffixes end the names of exception types in all languages.
var typeSuffixes = [...]string{"Exception", "Error", "Throwable", "Failure", "Interrupt", "ExceptionGroup", "Fault", "Panic"}

// typeName reports whether word is the name of an exception type: its last
// part begins with a capital letter and ends in a customary suffix.
func typeName(word []byte) bool {
	i := len(word)
	for i > 0 && word[i-1] != '.' && word[i-1] != '$' && word[i-1] != '/' {
		i--
	}
	last := word[i:]
	if len(last) < 5 || last[0] < 'A' || last[0] > 'Z' {
		return false
	}
	for _, s := range typeSuffixes {
		if len(last) >= len(s) && string(last[len(last)-len(s):]) == s {
			return true
		}
	}
	return false
}

// rubyType: "ActiveRecord::RecordNotFound (…):" and "Foo::BarError: …".
func rubyType(line []byte) lineKind {
	i := 0
	for i < len(line) && (wordByte[line[i]] || line[i] == ':') {
		i++
	}
	word := bytes.TrimRight(line[:i], ":")
	colon := bytes.LastIndexByte(word, ':')
	switch {
	case hasPrefix(line[i:], " (") && hasSuffix(line, "):"): // Rails, whatever the type's name
		return lineType
	case !typeName(word[colon+1:]):
		return linePlain
	case i == len(line), i > len(word), hasPrefix(line[i:], " ("):
		return lineType
	}
	return linePlain
}

// rubyFrame: "app/models/user.rb:12:in `save'", without a message behind it.
func rubyFrame(line []byte) bool {
	i := bytes.Index(line, []byte(":in "))
	if i < 0 || i+4 >= len(line) || line[i+4] != '`' && line[i+4] != '\'' || !isDigit(line[i-1]) {
		return false
	}
	return line[len(line)-1] == '\''
}

// location reports whether line is a frame of Firefox or Safari:
// "function@https://host/file.js:12:34".
func location(line []byte) bool {
	at := bytes.IndexByte(line, '@')
	if at < 0 || bytes.IndexByte(line[:at], ' ') >= 0 {
		return false
	}
	where := line[at+1:]
	if hasPrefix(where, "[native code]") {
		return true
	}
	colon := bytes.LastIndexByte(where, ':')
	return colon > 0 && allDigits(where[colon+1:]) && bytes.ContainsAny(where[:colon], "/:<")
}

// sourceLocation: Node prints "/app/index.js:10" above the line that threw.
func sourceLocation(line []byte) bool {
	if n := len(line); n < 5 || !isDigit(line[n-1]) {
		return false
	}
	colon := bytes.LastIndexByte(line, ':')
	if colon < 3 || !allDigits(line[colon+1:]) {
		return false
	}
	return line[0] == '/' || hasPrefix(line, "file:///") || hasPrefix(line, "node:") || line[1] == ':' && line[2] == '\\'
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

// goFunction reports whether line is the line of a call in a Go stack:
// "main.(*T).run(0xc000012345)", or in zap's form without the arguments.
func goFunction(line []byte) bool {
	if len(line) < 5 || !wordByte[line[0]] {
		return false
	}
	if bytes.IndexByte(line, ' ') < 0 {
		return bytes.IndexByte(line, '.') > 0
	}
	paren := bytes.IndexByte(line, '(')
	return paren > 0 && bytes.IndexByte(line[:paren], ' ') < 0 && line[len(line)-1] == ')'
}

// zapFunction reports whether line, below a log header, begins a stack as zap
// prints it: a qualified name alone, with a path or a receiver in it.
func zapFunction(line []byte) bool {
	return len(line) > 5 && wordByte[line[0]] && bytes.IndexByte(line, '.') > 0 &&
		bytes.IndexByte(line, ' ') < 0 && bytes.IndexByte(line, '=') < 0 &&
		(bytes.IndexByte(line, '/') > 0 || bytes.Contains(line, []byte(".(*")) ||
			hasPrefix(line, "main.") || hasPrefix(line, "runtime."))
}

// indentedFrame tells a frame from a further line of the message.
func indentedFrame(line []byte) bool {
	line = line[indentation(line):]
	return hasPrefix(line, "at ") || hasPrefix(line, "from ") || hasPrefix(line, "... ") ||
		len(line) > 1 && line[0] == '#' && isDigit(line[1]) || rubyFrame(line)
}

// register: "rax    0x0", printed by Go after a fatal signal.
func register(line []byte) bool {
	blank := bytes.IndexByte(line, ' ')
	return blank > 1 && blank < 7 && hasPrefix(bytes.TrimLeft(line[blank:], " "), "0x")
}

// accessLine looks for the "[02/Jan/2006:" of NCSA access logs.
func accessLine(line []byte) bool {
	for from, end := 0, min(len(line), 200); from < end; {
		i := bytes.IndexByte(line[from:end], '[')
		if i < 0 {
			return false
		}
		from += i + 1
		if t := line[from:]; len(t) > 12 && isDigit(t[0]) && isDigit(t[1]) && t[2] == '/' && t[6] == '/' && t[11] == ':' {
			return true
		}
	}
	return false
}

func monthName(b []byte) bool { return nameOf(b, "JanFebMarAprMayJunJulAugSepOctNovDec") }

func weekdayName(b []byte) bool { return nameOf(b, "MonTueWedThuFriSatSun") }

// nameOf reports whether b begins with one of the three-letter names.
func nameOf(b []byte, names string) bool {
	if len(b) < 3 {
		return false
	}
	for i := 0; i < len(names); i += 3 {
		if names[i] == b[0] && names[i+1] == b[1] && names[i+2] == b[2] {
			return true
		}
	}
	return false
}

// upperLevel is isLevel for a word in capital letters: in front of a line,
// "Error" is more often a sentence or a type than a level.
func upperLevel(word []byte) bool {
	return len(word) > 2 && word[0] <= 'Z' && word[1] <= 'Z' && isLevel(word)
}

// levelFirst: "INFO [main] …", "WARN: …".
func levelFirst(b []byte) bool {
	if len(b) < 5 || b[0] > 'Z' || b[4] != ' ' && b[4] != ':' {
		return false
	}
	return upperLevel(b[:4])
}

// levelBetweenColons: "::INFO::…".
func levelBetweenColons(b []byte) bool {
	b = bytes.TrimLeft(b, ":")
	end := bytes.IndexByte(b, ':')
	return end > 0 && upperLevel(b[:end])
}

// levelColon: "SEVERE: message", java.util.logging's second line.
func levelColon(line []byte) bool {
	colon := bytes.IndexByte(line, ':')
	return colon > 0 && upperLevel(line[:colon])
}

// julHeader: "Jul 09, 2015 3:23:29 PM class method".
func julHeader(line []byte) bool {
	if !monthName(line) || len(line) < 24 {
		return false
	}
	head := line[:min(len(line), 30)]
	return bytes.Contains(head, []byte(" AM ")) || bytes.Contains(head, []byte(" PM "))
}
