package exception

import (
	"hash/maphash"
	"strings"

	"github.com/millrace/millrace"
)

// A Template is what the texts of one exception have in common that comes again and
// again with other messages: all but the messages. A text that matches it is not
// parsed: its report is the template's with the text's messages, its fingerprint the
// template's.
//
// Why this is what Read, FingerprintOf and AppendReport give: the parsers of Java,
// JavaScript (V8) and .NET look at a text line by line. Lines from the first frame on
// are equal to the template's, byte by byte, but those of messages. Of each line that
// may differ, before the first frame and in messages, the functions by which the
// parsers decide are asked again, and must decide the same: it is no frame, opens no
// cause, ends no message, or it opens an exception of the template's type where the
// template has one. So a parser goes through the same states and builds the same tree,
// with other messages. Frames alone make the fingerprint, or there is no template.
//
// A Template may be used by several goroutines at a time.
type Template struct {
	// Type is the exception's, Cause that of what caused it, if anything did (Caused).
	Type, Cause string
	Caused      bool
	Fingerprint string

	own      int // which of the messages is the exception's
	head     headKind
	typ      string // in the line of the head, with thread
	thread   string
	heads    []string // types in the head of .NET's, which names all
	literals []string // all that is no message, from the first frame on
	opens    []open   // how the line begins that a literal ends in: one less
	pieces   []piece  // of the report
}

// open is the line in which a message begins, behind the head's.
type open struct {
	typ  string
	back int // bytes from behind "Caused by: " to the message
}

// piece is a part of a report: a message, unless it is -1, and JSON behind it.
type piece struct {
	message int
	json    string
}

// headKind is how the type and the first message were found.
type headKind uint8

const (
	headLines  headKind = iota // on a line of its own, the message up to the first frame
	headInline                 // within the line above the first frame
)

// Outline is what texts are told apart by at a glance: the type before the first
// frame, and where the frames are.
type Outline struct {
	text, typ, thread string
	kind              headKind
	inline            string // the message, if kind is headInline
	begin, from, to   int    // of the type, of the message, of the first frame
}

// OutlineOf looks for the head of a trace that may have a template: one of Java's,
// V8's or .NET's, of which all lines before the first frame belong to the log line, the
// type or the message. It costs about as much as copying what stands before the
// frames. Strings of the result are parts of text.
func OutlineOf(text string) (o Outline, ok bool) {
	o.text = text
	s := lines{text: text}
	headed := false
	previous := ""
	for s.next() {
		if strings.HasPrefix(s.line, "at ") {
			o.to = s.start
			if !headed {
				o.kind = headInline
				o.typ, o.inline = inlineHead(previous)
			}
			return o, o.typ != "" && s.mark() == markAt
		}
		if !quiet(s.line) || s.mark() != markNone {
			return o, false
		}
		if !headed {
			var msg string
			if o.typ, msg, headed = headLine(s.line); headed {
				at := s.start + s.indent
				o.begin, o.from = at+strings.Index(s.line, o.typ), at+len(s.line)-len(msg)
				o.thread = threadName(s.line)
			}
		}
		if s.line != "" {
			previous = s.line
		}
	}
	return o, false
}

// quiet reports whether a line that is no frame is none of the lines by which
// parseJava and parseDotnet leave a message, nor a type's.
func quiet(line string) bool {
	if line == "" {
		return true
	}
	switch line[0] {
	case 'a':
		return !strings.HasPrefix(line, "at ")
	case 'C', 'c', '[', 'W':
		_, cause := cutCause(line)
		return !cause
	case 'S':
		return !strings.HasPrefix(line, "Suppressed: ")
	case '.':
		return !strings.HasPrefix(line, "... ")
	case '(':
		return !strings.HasPrefix(line, "(error: ")
	case '-':
		return line != innerEnd && !strings.HasPrefix(line, innerNumber)
	}
	return true
}

// Key hashes what no text of a template differs in, nearly all of it: the type and
// the lines that are indented, as frames are, from the first frame on.
func (o *Outline) Key(seed maphash.Seed) uint64 {
	h := maphash.String(seed, o.typ) ^ mix(maphash.String(seed, o.thread))
	text := o.text
	for at := o.to; at < len(text); {
		from := at
		for at < len(text) && (text[at] == '\t' || text[at] == ' ') {
			at = lineEnd(text, at)
		}
		if at > from {
			h = mix(h ^ maphash.String(seed, text[from:at]))
			continue
		}
		at = lineEnd(text, at)
	}
	return h
}

// lineEnd returns where the line after the one at at begins.
func lineEnd(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// maxTemplateMessages bounds the messages of a template.
const maxTemplateMessages = 16

// Match returns the messages of the text that o is of, appended to messages, if all
// else in it is as in t. They are parts of the text.
func (t *Template) Match(o *Outline, messages []string) (_ []string, ok bool) {
	if o.typ != t.typ || o.kind != t.head || o.thread != t.thread {
		return messages, false
	}
	text, at := o.text, o.to
	switch {
	case t.heads != nil:
		if messages, ok = t.matchHeads(text[o.begin:o.to], messages); !ok {
			return messages, false
		}
	case t.head == headInline:
		messages = append(messages, o.inline)
	default:
		messages = append(messages, message(text, o.from, o.to))
	}
	for i, literal := range t.literals {
		if !strings.HasPrefix(text[at:], literal) {
			return messages, false
		}
		if at += len(literal); i == len(t.opens) {
			break
		}
		end, ok := t.opens[i].match(text, at)
		if !ok {
			return messages, false
		}
		messages = append(messages, message(text, at, end))
		at = end
	}
	return messages, at == len(text)
}

// match looks at the lines of a message that starts at from, and returns where it
// ends.
func (p *open) match(text string, from int) (end int, ok bool) {
	start := from - p.back
	s := lines{text: text, pos: start}
	if !s.next() { // the type ends the text
		return from, from == len(text)
	}
	rest := text[start : s.start+s.indent+len(s.line)]
	if typ, msg := causeType(rest); typ != p.typ || len(rest)-len(msg) != p.back {
		return 0, false
	}
	for s.next() {
		if !quiet(s.line) {
			return s.start, true
		}
	}
	return len(text), true
}

// matchHeads looks at what .NET prints before the first frame.
func (t *Template) matchHeads(head string, messages []string) ([]string, bool) {
	for i := 0; ; i++ {
		var typ, msg string
		var more bool
		if typ, msg, head, more = dotnetHead(head); i == len(t.heads) || typ != t.heads[i] {
			return messages, false
		}
		messages = append(messages, msg)
		if !more {
			return messages, i == len(t.heads)-1
		}
	}
}

// AppendReport appends what AppendReportCut writes of the report of a text with these
// messages.
func (t *Template) AppendReport(dst []byte, messages []string, cut bool) (out []byte, longer bool) {
	for i := range t.pieces {
		p := &t.pieces[i]
		if p.message >= 0 && messages[p.message] != "" {
			m := messages[p.message]
			if len(m) > maxStoredMsg {
				longer = true
				if cut {
					m = CutMessage(m)
				}
			}
			dst = append(dst, messageKey...)
			dst = millrace.AppendJSONString(dst, m)
		}
		dst = append(dst, p.json...)
	}
	return dst, longer
}

// Message returns the exception's own of the messages that Match gives.
func (t *Template) Message(messages []string) string { return messages[t.own] }

// Size returns the bytes that t takes, roughly.
func (t *Template) Size() int {
	n := 256 + len(t.Type) + len(t.Cause) + len(t.typ) + len(t.thread)
	for _, s := range t.literals {
		n += len(s) + 32
	}
	for i := range t.pieces {
		n += len(t.pieces[i].json) + 32
	}
	return n
}
