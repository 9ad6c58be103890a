package exception

import (
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// parseRuby reads Ruby's uncaught exceptions ("file:1:in `m': message (Type)"
// and lines "from …"; another such block is the cause) and Rails' log ("Type
// (message):" and frames, those of gems with name and version).
func parseRuby(text string) *millrace.Exception {
	p := rubyParser{reversed: strings.Contains(text, traceback)}
	s := lines{text: text}
	for s.next() && !p.done {
		if i := rubyIn(s.line); i > 0 {
			p.frame(s.line, i)
		} else {
			p.other(s.line)
		}
	}
	if p.chain.first == nil {
		return nil
	}
	if p.reversed {
		slices.Reverse(p.chain.first.Frames)
	}
	return p.chain.first
}

type rubyParser struct {
	chain        chain
	cur          *millrace.Exception
	typ, message string // the head of a Rails log
	fallback     string // the last line before the frames
	reversed     bool   // "Traceback (most recent call last):", Ruby 2.5 to 2.7 on a terminal
	done         bool
}

// frame reads a line whose ":in `" is at i.
func (p *rubyParser) frame(line string, i int) {
	f, end := rubyFrame(line, i)
	msg, headed := strings.CutPrefix(line[end:], ": ")
	switch {
	case headed && p.reversed && p.cur != nil:
		p.cur.Type, p.cur.Message = rubyMessage(msg)
	case headed:
		p.cur = p.chain.add(rubyMessage(msg))
	case p.cur == nil && p.reversed:
		p.cur = p.chain.add("", "")
	case p.cur == nil:
		if p.typ == "" {
			p.typ, p.message, _ = embedded(p.fallback)
		}
		p.cur = p.chain.add(p.typ, rubyTrim(p.message))
	}
	addFrame(p.cur, f)
}

func (p *rubyParser) other(line string) {
	switch {
	case line == "":
	case p.cur != nil:
		p.done = len(p.cur.Frames) > 1 && !strings.HasPrefix(line, "...")
	case p.typ == "":
		p.fallback = line
		if typ, msg, ok := headLine(line); ok {
			p.typ, p.message = typ, msg
		} else if n := wordEnd(line); n > 0 && strings.HasPrefix(line[n:], " (") && strings.HasSuffix(line, "):") {
			p.typ, p.message = line[:n], line[n:] // Rails, whatever the type's name
		}
	}
}

// rubyMessage splits "message (Type)".
func rubyMessage(s string) (typ, message string) {
	open := strings.LastIndex(s, " (")
	if open < 0 || !strings.HasSuffix(s, ")") {
		return "", s
	}
	return s[open+2 : len(s)-1], s[:open]
}

// rubyTrim removes the brackets of "(message):".
func rubyTrim(s string) string {
	s = strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(s, "("); ok {
		return strings.TrimSuffix(strings.TrimSuffix(inner, ":"), ")")
	}
	return strings.TrimSuffix(s, ":")
}

// rubyIn returns the index of ":in `" or ":in '" behind a line number, or -1.
func rubyIn(line string) int {
	i := strings.Index(line, ":in ")
	if i < 1 || i+5 >= len(line) || !isDigit(line[i-1]) {
		return -1
	}
	if q := line[i+4]; q != '`' && q != '\'' {
		return -1
	}
	return i
}

// rubyFrame reads "actionpack (5.1.4) lib/x.rb:63:in `call'" and returns where
// the frame ends.
func rubyFrame(line string, in int) (f millrace.Frame, end int) {
	start := 0
	if i := strings.Index(line[:in], "from "); i >= 0 && strings.Trim(line[:i], "0123456789: ") == "" {
		start = i + len("from ") // "3: from …" where the order is reversed
	}
	where := line[start:in]
	if open := strings.Index(where, " ("); open > 0 {
		if i := strings.Index(where[open:], ") "); i > 0 {
			f.Module = where[:open]
			where = where[open+i+2:]
		}
	}
	f.File, f.Line, _ = cutLast(where)
	rest := line[in+5:]
	quote := strings.IndexByte(rest, '\'')
	if quote < 0 {
		quote = len(rest)
	}
	f.Function = rest[:quote]
	f.InApp = f.Module == "" && rubyInApp(f.File)
	return f, min(in+5+quote+1, len(line))
}
