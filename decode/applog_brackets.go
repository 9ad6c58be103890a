package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// maxBracket bounds the text in brackets that is looked at as a field.
const maxBracket = 200

// inBrackets reads "[…]" at the start of b. adjacent tells that another bracket
// ended right before it.
func (h *textHeader) inBrackets(b []byte, adjacent bool) bool {
	end := closing(b)
	if end < 2 {
		return false
	}
	x := bytes.TrimSpace(b[1:end])
	if len(x) == 0 {
		return false
	}
	if hasPrefix(b[end+1:], "@") {
		return h.owner(b)
	}
	p := h.p
	switch {
	case !h.timed && h.timeInBrackets(x):
	case h.e.Level == "" && h.level(x, true):
	case h.e.Level == "" && h.moduleLevel(x):
	case h.e.Level == "" && string(x) == "DEPRECATION": // Elasticsearch
		h.e.Level = "warning"
	case h.ids(x):
	case h.e.Level == "":
		if h.pending != nil {
			return false
		}
		h.pending = x
	case !h.describes(x, adjacent):
		return false
	}
	h.p = p + end + 1
	h.bracket = true
	return true
}

// closing returns the index of the bracket that closes b[0], or -1.
func closing(b []byte) int {
	depth := 0
	for i := range min(len(b), maxBracket) {
		switch b[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// timeInBrackets reads a timestamp and what may follow it in the bracket:
// Ruby's "#pid", env_logger's level and module. Tornado puts a letter before.
func (h *textHeader) timeInBrackets(x []byte) bool {
	letter := len(x) > 2 && x[1] == ' ' && letterLevel(x[0])
	t := x
	if letter {
		t = x[2:]
	}
	ns, n, ok := parseTime(t, h.arrived)
	if n == 0 {
		return false
	}
	h.timed = true
	if ok {
		h.e.Time, h.e.HasTime = ns, true
	}
	if letter && h.e.Level == "" {
		h.e.Level = borrow(x[:1])
	}
	for rest := t[n:]; ; {
		rest = bytes.TrimLeft(rest, " ")
		word, more, _ := bytes.Cut(rest, []byte(" "))
		switch {
		case len(word) == 0:
			return true
		case word[0] == '#' && allDigits(word[1:]):
			h.setPID(word[1:])
		case h.e.Level == "" && h.level(word, true):
		case h.e.Level != "" && identifier(word):
			h.setLogger(word)
		}
		rest = more
	}
}

// moduleLevel: Apache's "[core:error]".
func (h *textHeader) moduleLevel(x []byte) bool {
	colon := bytes.LastIndexByte(x, ':')
	if colon < 1 || !identifier(x[:colon]) || !isLevel(x[colon+1:]) {
		return false
	}
	h.level(x[colon+1:], true)
	h.setLogger(x[:colon])
	return true
}

// ids: process and thread ids: "[1234]", PostgreSQL's "[1234-1]", Apache's
// "[pid 12:tid 34]" and "[client 10.0.0.1:5000]".
func (h *textHeader) ids(x []byte) bool {
	n := digits(x)
	switch {
	case n > 0 && n == len(x), n > 0 && x[n] == '-' && allDigits(x[n+1:]):
		h.setPID(x[:n])
		return true
	case hasPrefix(x, "pid "):
		pid, tid, _ := bytes.Cut(x[4:], []byte(":tid "))
		if allDigits(pid) {
			h.setPID(pid)
			if len(tid) > 0 {
				h.setThread(tid)
			}
			return true
		}
	case hasPrefix(x, "client "):
		ip := x[len("client "):]
		if i := bytes.IndexByte(ip, ':'); i > 0 && bytes.LastIndexByte(ip, ':') == i {
			ip = ip[:i] // a port
		}
		h.set(millrace.AttrClientIP, ip)
		h.done = true
		return true
	}
	return false
}

// describes reads a bracket behind the level: a logger or a thread.
func (h *textHeader) describes(x []byte, adjacent bool) bool {
	name, line := x, bytes.LastIndexByte(x, ':')
	if line > 0 && allDigits(x[line+1:]) {
		name = x[:line] // "django.request:222"
	}
	switch {
	case h.code && identifier(x):
		h.setLogger(x)
	case messageCode(x):
		h.code = true
		h.threadNotPID()
	case !h.logger && (dottedName(name) || adjacent && identifier(name)):
		h.setLogger(name)
	case h.logger || h.thread:
		return false
	case h.classAtLine(x):
	case threadName(x):
		h.setThread(x)
	default:
		return false
	}
	return true
}

// threadNotPID: the number in MySQL's header is a thread.
func (h *textHeader) threadNotPID() {
	for i := range h.e.Attrs {
		if h.e.Attrs[i].Key == attrPID {
			h.e.Attrs[i].Key = attrThread
			h.thread = true
		}
	}
}

// messageCode: MySQL's "MY-010068".
func messageCode(x []byte) bool {
	return len(x) > 3 && x[2] == '-' && x[0] >= 'A' && x[0] <= 'Z' && x[1] >= 'A' && x[1] <= 'Z' && allDigits(x[3:])
}

// classAtLine: ZooKeeper's "[thread:Class@123]".
func (h *textHeader) classAtLine(x []byte) bool {
	at := bytes.LastIndexByte(x, '@')
	if at < 0 || !allDigits(x[at+1:]) {
		return false
	}
	colon := bytes.LastIndexByte(x[:at], ':')
	if colon < 1 || !identifier(x[colon+1:at]) {
		return false
	}
	h.setThread(x[:colon])
	h.setLogger(x[colon+1 : at])
	return true
}

// threadName: "main", "http-nio-8080-exec-1", "pool-1-thread-2", "worker #3".
func threadName(x []byte) bool {
	if len(x) > 64 || isDigit(x[0]) {
		return false
	}
	blanks := 0
	for _, c := range x {
		switch {
		case c == ' ':
			blanks++
		case !wordByte[c] && c != '#' && c != ':' && c != '@':
			return false
		}
	}
	return blanks < 2
}
