package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

const innerEnd = "--- End of inner exception stack trace ---"

// parseDotnet reads Exception.ToString of .NET and Mono. All types stand first,
// joined by "--->", then the frames from the innermost exception outwards,
// separated by innerEnd.
func parseDotnet(text string) *millrace.Exception {
	var groups [1 + maxCauses][]millrace.Frame
	group, from, first := 0, -1, -1
	var previous lines
	s := lines{text: text}
	for s.next() {
		rest, isFrame := strings.CutPrefix(s.line, "at ")
		switch {
		case isFrame:
			if first < 0 {
				first = s.start
			}
			if f, ok := dotnetFrame(rest); ok && len(groups[group]) < maxFrames {
				groups[group] = append(groups[group], f)
			}
		case s.line == innerEnd:
			if first < 0 {
				first = s.start
			}
			group = min(group+1, len(groups)-1)
		case from < 0 && first < 0:
			if typ, _, ok := headLine(s.line); ok {
				from = s.start + s.indent + strings.Index(s.line, typ)
			} else if s.line != "" {
				previous = s
			}
		case first >= 0 && strings.HasPrefix(s.line, innerNumber):
			from = dotnetFrom(from, &previous)
			e := dotnetChain(text, from, max(first, from), groups[:group+1])
			dotnetRelated(e, text[s.start:])
			return e
		case first >= 0 && from >= 0 && isHead(&s):
			return dotnetChain(text, from, first, groups[:group+1])
		}
	}
	from = dotnetFrom(from, &previous)
	return dotnetChain(text, from, max(first, from), groups[:group+1])
}

// dotnetFrom returns where the type starts: at from, unless no line began with one.
// Then it is within the line before the frames.
func dotnetFrom(from int, previous *lines) int {
	if from >= 0 {
		return from
	}
	from = previous.start + previous.indent
	if typ, _, ok := embedded(previous.line); ok {
		from += strings.Index(previous.line, typ)
	}
	return from
}

// innerNumber stands before each exception of an AggregateException, behind its
// own frames. Number 0 is the cause, printed twice.
const innerNumber = "---> (Inner Exception #"

// dotnetRelated adds the exceptions from number 1 on.
func dotnetRelated(e *millrace.Exception, text string) {
	if e == nil {
		return
	}
	parts := strings.SplitN(text, innerNumber, maxRelated+2)
	for _, part := range parts[1:] {
		number, body, _ := strings.Cut(part, ") ")
		if number == "0" || digits(number) != len(number) {
			continue
		}
		body, _, _ = strings.Cut(body, "<---")
		if r := parseDotnet(body); r != nil && len(e.Related) < maxRelated {
			e.Related = append(e.Related, r)
		}
	}
}

// isHead reports whether the line begins another exception.
func isHead(s *lines) bool {
	_, _, ok := headLine(s.line)
	return ok && s.indent == 0
}

// dotnetChain reads the types in text[from:to] and gives each its frames.
func dotnetChain(text string, from, to int, groups [][]millrace.Frame) *millrace.Exception {
	var c chain
	rest := text[from:to]
	for i := 0; ; i++ {
		typ, msg, inner, more := dotnetHead(rest)
		e := c.add(typ, msg)
		if g := len(groups) - 1 - i; g >= 0 {
			e.Frames = groups[g]
		}
		if !more || i >= maxCauses {
			return c.first
		}
		rest = inner
	}
}

// dotnetArrow stands between an exception and the one that caused it.
const dotnetArrow = "---> "

// dotnetHead reads the first exception of what stands before the frames; rest is
// what follows, if there is more.
func dotnetHead(s string) (typ, msg, rest string, more bool) {
	head, rest, more := strings.Cut(s, dotnetArrow)
	typ, msg = causeType(strings.TrimSpace(head))
	return typ, strings.TrimSpace(msg), rest, more
}

// dotnetFrame reads "Space.Class.Method(String s) in c:/File.cs:line 36" and
// Mono's "Space.Class.Method (String s) [0x00007] in /File.cs:9".
func dotnetFrame(s string) (f millrace.Frame, ok bool) {
	name, rest := s, ""
	if paren := strings.IndexByte(s, '('); paren >= 0 {
		name, rest = strings.TrimRight(s[:paren], " "), s[paren:]
	}
	dot := strings.LastIndexByte(name, '.')
	if dot > 0 && name[dot-1] == '.' {
		dot-- // "Class..ctor"
	}
	if dot <= 0 || strings.HasPrefix(name, "--") {
		return f, false
	}
	f.Module, f.Function = name[:dot], name[dot+1:]
	if in := strings.LastIndex(rest, " in "); in >= 0 {
		where := rest[in+4:]
		if file, line, found := strings.Cut(where, ":line "); found {
			n, _ := number(strings.TrimSpace(line))
			f.File, f.Line = file, n
		} else {
			setLocation(&f, where)
		}
		if strings.HasPrefix(f.File, "<") {
			f.File, f.Line = "", 0 // "<filename unknown>:0"
		}
	}
	f.InApp = dotnetInApp(f.Module)
	return f, true
}
