package decode

import (
	"bytes"
	"strconv"

	"github.com/millrace/millrace"
)

// level takes word as the event's level if it is one, and commits what stood
// before it. delimited tells that punctuation marks it as a level; without, a
// word that also begins sentences ("all", "fine", "log") is none unless it is
// in capital letters.
func (h *textHeader) level(word []byte, delimited bool) bool {
	switch {
	case !isLevel(word):
		return false
	case upperLevel(word) || delimited:
	case !h.timed || !commonLevel(word):
		return false
	}
	h.e.Level = borrow(word)
	if h.count > 0 {
		h.setPID(h.numbers[0])
		if h.count > 1 {
			h.setThread(h.numbers[1])
		}
		h.count = 0
	}
	if h.pending != nil && !h.thread && threadName(h.pending) {
		h.setThread(h.pending)
	}
	return true
}

// word reads an unbracketed field.
func (h *textHeader) word(b []byte) bool {
	n := 0
	for n < len(b) && b[n] != ' ' && b[n] != '\t' && b[n] != '[' && b[n] != '|' && b[n] != 0x1b {
		n++
	}
	if n == 0 {
		return false
	}
	tok := b[:n]
	if string(tok) == "PHP" && h.phpLevel(b[n:]) {
		return true
	}
	if i := bytes.IndexByte(tok, ':'); i > 0 && h.e.Level == "" && h.level(tok[:i], true) {
		h.p += i + 1
		if i+1 < n { // Python: "WARNING:root:message"
			if j := bytes.IndexByte(tok[i+1:], ':'); j > 0 && identifier(tok[i+1:i+1+j]) && !h.timed {
				h.setLogger(tok[i+1 : i+1+j])
				h.done = true
			}
		}
		return true
	}
	switch {
	case h.e.Level == "" && h.level(tok, false):
	case h.e.Level != "" && len(tok) > 2 && sameLevel(h.e.Level, tok): // Ruby has both "I" and "INFO"
	case h.redisLevel(tok):
	case h.androidLevel(tok):
	case isDigit(tok[0]):
		return h.number(tok)
	case h.monolog(tok):
	default:
		return h.name(b, tok)
	}
	h.p += n
	return true
}

// phpLevel reads the words behind "PHP".
func (h *textHeader) phpLevel(b []byte) bool {
	for _, l := range [...][2]string{
		{" Fatal error:", "fatal"},
		{" Parse error:", "fatal"},
		{" Recoverable fatal error:", "error"},
		{" Warning:", "warning"},
		{" Notice:", "notice"},
		{" Deprecated:", "warning"},
	} {
		if hasPrefix(b, l[0]) && h.e.Level == "" {
			h.e.Level = l[1]
			h.done = true
			return true
		}
	}
	return false
}

// number reads a process or thread id.
func (h *textHeader) number(tok []byte) bool {
	n := digits(tok)
	switch {
	case !h.timed:
		return false
	case n < len(tok) && tok[n] == '#' && h.e.Level != "": // nginx: "205860#205860:"
		h.setPID(tok[:n])
		h.done = true
	case n < len(tok):
		return false
	case h.e.Level == "" && h.count < len(h.numbers):
		h.numbers[h.count] = tok
		h.count++
	case h.e.Level != "" && hasPrefix(h.line[h.p+n:], " --- "): // Spring Boot
		h.setPID(tok)
	default:
		return false
	}
	h.p += len(tok)
	return true
}

// monolog reads "channel.LEVEL:".
func (h *textHeader) monolog(tok []byte) bool {
	dot := bytes.LastIndexByte(tok, '.')
	if dot < 1 || h.e.Level != "" || tok[len(tok)-1] != ':' || !upperLevel(tok[dot+1:len(tok)-1]) || !identifier(tok[:dot]) {
		return false
	}
	h.level(tok[dot+1:len(tok)-1], true)
	h.setLogger(tok[:dot])
	h.done = true
	return true
}

// redisLevel: one of the four characters behind Redis' timestamp.
func (h *textHeader) redisLevel(tok []byte) bool {
	if len(tok) != 1 || !h.redis || !h.timed || h.e.Level != "" {
		return false
	}
	switch tok[0] {
	case '.':
		h.e.Level = "debug"
	case '-':
		h.e.Level = "verbose"
	case '*':
		h.e.Level = "notice"
	case '#':
		h.e.Level = "warning"
	default:
		return false
	}
	h.done = true
	return true
}

// androidLevel: "03-17 16:13:38.811  1702  2395 D WindowManager: …".
func (h *textHeader) androidLevel(tok []byte) bool {
	if len(tok) != 1 || h.count != 2 || h.e.Level != "" || !letterLevel(tok[0]) {
		return false
	}
	h.e.Level = borrow(tok)
	h.setPID(h.numbers[0])
	h.setThread(h.numbers[1])
	h.count = 0
	return true
}

// name reads a logger, a caller, or what stands before a level. b begins with
// tok.
func (h *textHeader) name(b, tok []byte) bool {
	if !h.timed && h.e.Level == "" {
		return false
	}
	rest := b[len(tok):]
	bare := bytes.TrimRight(tok, ":")
	colon := len(bare) < len(tok)
	switch {
	case callerName(bare) && h.timed: // zap, Go's log.Lshortfile
		h.set(attrCaller, bare)
		h.done = colon
	case h.logger || !identifier(bare):
		return h.owner(b)
	case h.e.Level == "" && h.levelNext(rest):
		h.setLogger(bare) // Python: "time - name - LEVEL - message"
	case h.e.Level == "":
		return false
	case colon || hasPrefix(bytes.TrimLeft(rest, " "), ": ") || hasPrefix(bytes.TrimLeft(rest, " "), "- "):
		h.setLogger(bare)
		h.done = true
	case len(rest) > 2 && rest[0] == '[' && h.bracketPID(bare, rest):
		return true
	default:
		return false
	}
	h.p += len(tok)
	return true
}

// bracketPID: "vpxd[45715]" behind the level.
func (h *textHeader) bracketPID(name, rest []byte) bool {
	end := bytes.IndexByte(rest, ']')
	if end < 2 || !allDigits(rest[1:end]) {
		return false
	}
	h.setLogger(name)
	h.setPID(rest[1:end])
	h.done = true
	return true
}

// owner: PostgreSQL's "user@database LOG:", both "[unknown]" before a login.
func (h *textHeader) owner(b []byte) bool {
	tok, rest, _ := bytes.Cut(b, []byte(" "))
	user, database, ok := bytes.Cut(tok, []byte("@"))
	if !ok || len(user) == 0 || h.e.Level != "" || !h.levelNext(rest) && !continuationLevel(rest) {
		return false
	}
	h.set("user", bytes.Trim(user, "[]"))
	h.set("database", bytes.Trim(database, "[]"))
	h.p += len(tok)
	return true
}

// continuationLevel: PostgreSQL's labels for the details of the entry before.
func continuationLevel(b []byte) bool {
	return hasPrefix(b, "DETAIL:") || hasPrefix(b, "HINT:") || hasPrefix(b, "CONTEXT:") || hasPrefix(b, "QUERY:") || hasPrefix(b, "STATEMENT:")
}

// levelNext reports whether the next word of b is a level.
func (h *textHeader) levelNext(b []byte) bool {
	b = bytes.TrimLeft(b, " -|:\t[")
	n := 0
	for n < len(b) && (b[n]|0x20 >= 'a' && b[n]|0x20 <= 'z' || isDigit(b[n])) {
		n++
	}
	return upperLevel(b[:n])
}

func (h *textHeader) set(key string, value []byte) {
	h.e.Extend().SetString(key, borrow(value))
}

func (h *textHeader) setLogger(name []byte) {
	if len(name) > 0 && !h.logger {
		h.logger = true
		h.set(attrLogger, name)
	}
}

func (h *textHeader) setThread(name []byte) {
	h.thread = true
	h.set(attrThread, name)
}

func (h *textHeader) setPID(b []byte) {
	if pid, err := strconv.ParseInt(borrow(b), 10, 64); err == nil {
		h.e.Set(attrPID, millrace.IntValue(pid))
	}
}

// isLevel reports whether word spells a level in full. A single letter is one
// only in certain places; see letterLevel. "all" names a threshold, no event.
func isLevel(word []byte) bool {
	if len(word) < 3 || len(word) > len("informational") || string(word) == "ALL" || string(word) == "all" {
		return false
	}
	_, _, ok := normalLevel(borrow(word))
	return ok
}

// commonLevel: levels that need no punctuation behind a timestamp.
func commonLevel(word []byte) bool {
	switch word[0] | 0x20 {
	case 'e', 'i', 'w', 't', 'c', 'n':
		return len(word) > 3
	case 'd':
		return hasPrefix(word, "debug") || hasPrefix(word, "Debug")
	case 'f':
		return len(word) == 5 // fatal
	}
	return false
}

// sameLevel reports whether word spells the level that is known already.
func sameLevel(level string, word []byte) bool {
	a, _, ok := normalLevel(level)
	b, _, known := normalLevel(borrow(word))
	return ok && known && a == b && upperLevel(word)
}

// letterLevel: the letters of klog, glog, Android and Ruby.
func letterLevel(c byte) bool { return bytes.IndexByte([]byte("VTDIWEF"), c) >= 0 }

func digits(b []byte) int {
	n := 0
	for n < len(b) && isDigit(b[n]) {
		n++
	}
	return n
}

// identifier reports whether b could be the name of a logger.
func identifier(b []byte) bool {
	if len(b) == 0 || isDigit(b[0]) || b[0] == '-' {
		return false
	}
	for i, c := range b {
		if !wordByte[c] && (c != ':' || i == 0 || i == len(b)-1) {
			return false
		}
	}
	return true
}

// dottedName: an identifier with a dot inside, such as a class.
func dottedName(b []byte) bool {
	dot := bytes.IndexByte(b, '.')
	return dot > 0 && dot < len(b)-1 && identifier(b) && b[len(b)-1] != '.'
}

// callerName: "internal/queue_sender.go:128".
func callerName(b []byte) bool {
	if len(b) < 5 || !isDigit(b[len(b)-1]) {
		return false
	}
	colon := bytes.LastIndexByte(b, ':')
	if colon < 3 || !allDigits(b[colon+1:]) || !identifier(b[:colon]) {
		return false
	}
	dot := bytes.LastIndexByte(b[:colon], '.')
	return dot > 0 && colon-dot <= 6
}
