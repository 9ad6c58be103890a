package transform

// A scanner of JSON that knows where values end. It checks all that makes a
// text well-formed (RFC 8259), so that fragments can be stored as they are.

// maxJSONDepth bounds nesting, hence the stack.
const maxJSONDepth = 100

// scanJSON returns the length of the JSON value at the start of s, or -1.
func scanJSON(s string) int { return scanValue(s, skipSpace(s, 0), 0) }

func skipSpace(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\r') {
		i++
	}
	return i
}

// scanValue returns where the value that starts at i ends, or -1.
func scanValue(s string, i, depth int) int {
	if i >= len(s) || depth > maxJSONDepth {
		return -1
	}
	switch s[i] {
	case '{', '[':
		return scanNested(s, i, depth)
	case '"':
		return scanString(s, i)
	case 't':
		return scanWord(s, i, "true")
	case 'f':
		return scanWord(s, i, "false")
	case 'n':
		return scanWord(s, i, "null")
	}
	return scanNumber(s, i)
}

func scanWord(s string, i int, word string) int {
	if len(s)-i < len(word) || s[i:i+len(word)] != word {
		return -1
	}
	return i + len(word)
}

func scanString(s string, i int) int {
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			i++
			if i >= len(s) {
				return -1
			}
			switch s[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					i++
					if i >= len(s) || !isHex(s[i]) {
						return -1
					}
				}
			default:
				return -1
			}
		}
	}
	return -1
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// scanNumber returns where the number that starts at i ends, or -1.
func scanNumber(s string, i int) int {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i >= len(s) || !isDigit(s[i]):
		return -1
	case s[i] == '0':
		i++
	default:
		i = scanDigits(s, i)
	}
	if i < len(s) && s[i] == '.' {
		if i++; i >= len(s) || !isDigit(s[i]) {
			return -1
		}
		i = scanDigits(s, i)
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		if i++; i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if i >= len(s) || !isDigit(s[i]) {
			return -1
		}
		i = scanDigits(s, i)
	}
	return i
}

func scanDigits(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

// scanNested returns where the object or array that starts at i ends, or -1.
func scanNested(s string, i, depth int) int {
	object := s[i] == '{'
	closing := byte(']')
	if object {
		closing = '}'
	}
	if i = skipSpace(s, i+1); i < len(s) && s[i] == closing {
		return i + 1
	}
	for {
		if object {
			if i = skipSpace(s, i); i >= len(s) || s[i] != '"' {
				return -1
			}
			if i = scanString(s, i); i < 0 {
				return -1
			}
			if i = skipSpace(s, i); i >= len(s) || s[i] != ':' {
				return -1
			}
			i++
		}
		if i = scanValue(s, skipSpace(s, i), depth+1); i < 0 {
			return -1
		}
		if i = skipSpace(s, i); i >= len(s) {
			return -1
		}
		if s[i] == closing {
			return i + 1
		}
		if s[i] != ',' {
			return -1
		}
		i++
	}
}

// eachMember calls f with the quoted key and the JSON of every member of a
// well-formed object until f returns false.
func eachMember(obj string, f func(key, raw string) bool) {
	i := skipSpace(obj, 1)
	for i < len(obj) && obj[i] == '"' {
		end := scanString(obj, i)
		key := obj[i:end]
		i = skipSpace(obj, skipSpace(obj, end)+1) // the colon
		end = scanValue(obj, i, 0)
		if !f(key, obj[i:end]) {
			return
		}
		i = skipSpace(obj, skipSpace(obj, end)+1) // the comma
	}
}

// eachElement is eachMember for arrays.
func eachElement(arr string, f func(raw string) bool) {
	i := skipSpace(arr, 1)
	for i < len(arr) && arr[i] != ']' {
		end := scanValue(arr, i, 0)
		if !f(arr[i:end]) {
			return
		}
		i = skipSpace(arr, skipSpace(arr, end)+1)
	}
}
