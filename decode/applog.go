package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Attributes of application logs.
const (
	attrLogger = "logger"
	attrThread = "thread"
	attrPID    = "pid"
	attrCaller = "caller" // source file and line that wrote the message
)

// Bounds of the search for a header: the longest of the formats below have
// seven fields in fewer than 300 bytes, the rest of the line is message.
const (
	maxTextHeader = 512
	maxTextFields = 10
)

// textInto decodes an application's log event, which may have several lines.
// The message is the whole event. Time, level, logger, thread, process and
// caller come from the first line's header as far as they stand at its start in
// the customary shapes of log4j, logback, Spring Boot, java.util.logging,
// Python, Ruby, Monolog and Laravel, Elasticsearch, Kafka, ZooKeeper, Hadoop,
// PostgreSQL, MySQL, nginx and Apache error logs, klog and glog, zap, Go's log,
// Rust's tracing and env_logger, Android, Redis. What is ambiguous is left to
// the message: a wrong field is worse than none.
func (d *Decoder) textInto(e *millrace.Event, frame []byte) {
	frame = trimText(frame)
	e.Message = borrow(frame)
	first := frame
	if i := bytes.IndexByte(frame, '\n'); i >= 0 {
		e.MultiLine = true
		first = trimCR(frame[:i])
	}
	h := textHeader{e: e, line: first[:min(len(first), maxTextHeader)], arrived: d.b.Record.Arrived}
	h.parse()
	if e.MultiLine && e.Level == "" && e.HasTime {
		h.secondLine(frame[len(first):])
	}
	if e.HasTime && e.Level != "" && !h.logger {
		if !h.trailingLogger(first) && e.MultiLine {
			h.trailingLogger(frame[bytes.LastIndexByte(frame, '\n')+1:])
		}
	}
}

// trimText removes line ends and blank lines from the end of a frame.
func trimText(b []byte) []byte {
	for {
		b = trimEnd(b)
		if n := len(b); n == 0 || b[n-1] != ' ' && b[n-1] != '\t' {
			return b
		}
		i := bytes.LastIndexByte(b, '\n')
		if i < 0 || !blank(b[i:]) {
			return b
		}
		b = b[:i]
	}
}

// textHeader reads the fields of a log header one after the other.
type textHeader struct {
	e       *millrace.Event
	line    []byte
	p       int // where the next field begins
	arrived int64

	timed, logger, thread, done bool
	redis                       bool   // the line began as Redis' do
	code                        bool   // a bracket held a message code (MySQL): the logger is next
	bracket                     bool   // the field before was a bracket that ended at p
	pending                     []byte // a bracket before the level: the thread, if a level comes
	numbers                     [2][]byte
	count                       int // numbers before the level: process and thread, if one comes
}

func (h *textHeader) parse() {
	h.line = skipANSI(h.line)
	h.prefix()
	for range maxTextFields {
		start := h.p
		h.separators()
		if h.done || h.p >= len(h.line) || !h.field(h.p == start) {
			break
		}
	}
}

// prefix reads what only stands at the very start: Redis' "12:M ", Ruby's "I, ",
// Android's "E/Tag( 12): ".
func (h *textHeader) prefix() {
	b := h.line
	switch {
	case len(b) < 5:
	case isDigit(b[0]):
		n := digits(b)
		if n <= 7 && len(b) > n+2 && b[n] == ':' && b[n+1] >= 'A' && b[n+1] <= 'Z' && b[n+2] == ' ' {
			h.setPID(b[:n])
			h.redis = true
			h.p = n + 3
		}
	case b[1] == ',' && b[2] == ' ' && b[3] == '[' && letterLevel(b[0]):
		h.e.Level = borrow(b[:1])
		h.p = 3
	case b[1] == '/' && letterLevel(b[0]):
		open := bytes.IndexByte(b, '(')
		if end := bytes.Index(b, []byte("): ")); open > 2 && end > open {
			h.e.Level = borrow(b[:1])
			h.setLogger(bytes.TrimSpace(b[2:open]))
			h.setPID(bytes.TrimSpace(b[open+1 : end]))
			h.done = true
		}
	}
}

// separators skips blanks and the punctuation between fields.
func (h *textHeader) separators() {
	for h.p < len(h.line) {
		switch c := h.line[h.p]; c {
		case ' ', '\t', '|', ':', ',':
			h.p++
		case '-':
			n := h.p
			for n < len(h.line) && h.line[n] == '-' {
				n++
			}
			if n < len(h.line) && h.line[n] != ' ' {
				return
			}
			h.p = n
		case 0x1b:
			rest := skipANSI(h.line[h.p:])
			if h.p == len(h.line)-len(rest) {
				return
			}
			h.p = len(h.line) - len(rest)
		default:
			return
		}
		h.bracket = false
	}
}

// field reads one field and reports whether it was one. adjacent tells that no
// separator stood before it.
func (h *textHeader) field(adjacent bool) bool {
	b := h.line[h.p:]
	switch {
	case b[0] == '[':
		return h.inBrackets(b, adjacent && h.bracket)
	case b[0] == '<':
		end := bytes.IndexByte(b, '>')
		if end > 1 && h.e.Level == "" && h.level(b[1:end], true) {
			h.p += end + 1
			return true
		}
		return false
	case !h.timed && (h.time(b) || h.timeOfDay(b)):
		return true
	}
	return h.word(b)
}

// time reads a timestamp at the start of b, which begins at h.p.
func (h *textHeader) time(b []byte) bool {
	ns, n, ok := parseTime(b, h.arrived)
	if n == 0 {
		return false
	}
	h.timed = true
	if ok {
		h.e.Time, h.e.HasTime = ns, true
	}
	h.p += n
	if h.e.Level == "" && len(b) > 5 && isDigit(b[1]) && isDigit(b[4]) && letterLevel(b[0]) {
		h.e.Level = borrow(b[:1]) // klog and glog: I0102, then the thread, then "file.go:12]"
		h.klogTail()
	}
	return true
}

// timeOfDay skips "14:00:00.123": it says nothing without a date, but the header
// goes on behind it.
func (h *textHeader) timeOfDay(b []byte) bool {
	if len(b) < 9 || digits(b) != 2 || b[2] != ':' || digits(b[3:]) != 2 || b[5] != ':' || digits(b[6:]) != 2 {
		return false
	}
	n := 8
	if b[n] == '.' || b[n] == ',' {
		n += 1 + digits(b[n+1:])
	}
	h.timed = true
	h.p += n
	return true
}

func (h *textHeader) klogTail() {
	b := bytes.TrimLeft(h.line[h.p:], " ")
	n := digits(b)
	end := bytes.IndexByte(b, ']')
	if n > 0 && n < len(b) && b[n] == ' ' && end > n {
		h.setPID(b[:n])
		h.set(attrCaller, bytes.TrimLeft(b[n:end], " "))
		h.done = true
	}
}

// secondLine reads java.util.logging's "SEVERE: message" below "Jul 9, 2015
// 3:23:29 PM class method".
func (h *textHeader) secondLine(rest []byte) {
	rest = bytes.TrimLeft(rest, "\r\n")
	if !levelColon(rest) || !h.timed {
		return
	}
	h.e.Level = borrow(rest[:bytes.IndexByte(rest, ':')])
	name, _, _ := bytes.Cut(bytes.TrimLeft(h.line[h.p:], " "), []byte(" "))
	if !h.logger && dottedName(name) {
		h.setLogger(name)
	}
}

// trailingLogger reads log4j's "%m (%c)" as Kafka configures it.
func (h *textHeader) trailingLogger(line []byte) bool {
	if len(line) < 4 || line[len(line)-1] != ')' {
		return false
	}
	open := bytes.LastIndexByte(line, '(')
	if name := line[open+1 : len(line)-1]; open >= 0 && dottedName(name) {
		h.setLogger(name)
		return true
	}
	return false
}
