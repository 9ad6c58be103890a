package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parseGo reads a panic, a fatal error or a goroutine dump: the first goroutine
// and what was printed before it is the exception, all goroutines are threads.
// "created by" is the outermost frame.
func parseGo(r *millrace.Report, text string) {
	e := &millrace.Exception{}
	s := lines{text: text}
	from := -1
	for s.next() {
		if s.mark() == markGo {
			break
		}
		if typ, at, ok := goHead(s.line); ok && from < 0 {
			e.Type, from = typ, s.start+s.indent+at
		}
		if strings.HasPrefix(s.line, "[signal ") && from >= 0 && e.Message == "" {
			e.Message = message(text, from, s.start)
		}
	}
	switch {
	case from < 0:
		e.Message = strings.TrimSpace(text[:s.start])
	case e.Message == "":
		e.Message = message(text, from, s.start)
	}
	e.Message = strings.TrimSuffix(e.Message, " [recovered]")
	state := s.line
	panicked := goFrames(&s, &e.Frames)
	if e.Type == "" && panicked {
		e.Type = "panic"
	}
	if len(e.Frames) == 0 && from < 0 {
		return
	}
	r.Language, r.Exception = langGo, e
	if e.Type != "" {
		r.Mechanism = "panic"
	}
	e.Thread = goroutine(r, state, true, e.Frames)
	goThreads(r, &s)
}

// goFrames reads the frames of one goroutine until an empty line or the next
// goroutine, on which it leaves s, and reports whether one is panic's.
func goFrames(s *lines, frames *[]millrace.Frame) (panicked bool) {
	add := func(f millrace.Frame) {
		if len(*frames) < maxFrames {
			*frames = append(*frames, f)
		}
	}
	for name := ""; s.next() && s.line != ""; {
		if s.indent == 0 {
			if s.mark() == markGo {
				break
			}
			if name != "" {
				add(goFrame(name, ""))
			}
			name = s.line
			panicked = panicked || strings.HasPrefix(name, "panic(")
			continue
		}
		if name != "" {
			add(goFrame(name, s.line))
			name = ""
		}
	}
	return panicked
}

// goThreads reads the goroutines behind the first one.
func goThreads(r *millrace.Report, s *lines) {
	for more := true; more && len(r.Threads) < maxThreads; {
		if s.mark() != markGo {
			more = s.next()
			continue
		}
		head := s.line
		var frames []millrace.Frame
		goFrames(s, &frames)
		goroutine(r, head, false, frames)
		if s.line == head || s.mark() != markGo {
			more = s.next()
		}
	}
}

// goroutine adds a thread for "goroutine 7 [chan receive, 2 minutes]:" and
// returns its number.
func goroutine(r *millrace.Report, head string, crashed bool, frames []millrace.Frame) string {
	rest := strings.TrimPrefix(head, "goroutine ")
	id, state, _ := strings.Cut(rest, " [")
	if open := strings.LastIndexByte(id, ' '); open > 0 {
		id = id[:open]
	}
	if crashed {
		frames = nil // the exception has them
	}
	r.Threads = append(r.Threads, millrace.Thread{
		ID: id, State: strings.TrimSuffix(strings.TrimSuffix(state, ":"), "]"), Crashed: crashed, Frames: frames,
	})
	return id
}

// goHead finds the words before the message of a panic and returns the type and
// where the message starts.
func goHead(line string) (typ string, at int, ok bool) {
	switch {
	case strings.HasPrefix(line, "fatal error: "):
		return "fatal error", len("fatal error: "), true
	case strings.HasPrefix(line, "panic: "):
		at = len("panic: ")
	default:
		i := strings.Index(line, ": panic serving ")
		if i >= 0 {
			at = i + len(": panic serving ")
			if j := strings.Index(line[at:], ": "); j >= 0 {
				at += j + 2
			}
		} else if i = strings.Index(line, " panic: "); i >= 0 {
			at = i + len(" panic: ")
		} else {
			return "", 0, false
		}
	}
	if strings.HasPrefix(line[at:], "runtime error: ") {
		return "runtime error", at + len("runtime error: "), true
	}
	return "panic", at, true
}

// goFrame reads "net/http.(*conn).serve(0x14001, …)" and
// "/usr/local/go/src/net/http/server.go:2009 +0x518".
func goFrame(name, where string) (f millrace.Frame) {
	name = strings.TrimPrefix(name, "created by ")
	if i := strings.Index(name, " in goroutine "); i > 0 {
		name = name[:i]
	}
	// The arguments' bracket is the first that is not a receiver's.
	for i := 1; i < len(name); i++ {
		if name[i] == '(' && name[i-1] != '.' {
			name = name[:i]
			break
		}
	}
	slash := strings.LastIndexByte(name, '/')
	if dot := strings.IndexByte(name[slash+1:], '.'); dot > 0 {
		f.Module, f.Function = name[:slash+1+dot], name[slash+1+dot+1:]
	} else {
		f.Function = name
	}
	for _, offset := range [...]string{" +0x", " fp=", " sp="} {
		where, _, _ = strings.Cut(where, offset)
	}
	f.File, f.Line, _ = cutLast(where)
	f.InApp = goInApp(f.Module, f.File)
	return f
}

// zapLocation: "go.uber.org/app/file.go:128", the indented line of a stack as
// zap prints it.
func zapLocation(line string) bool {
	if n := len(line); n < 6 || !isDigit(line[n-1]) {
		return false
	}
	i := strings.LastIndex(line, ".go:")
	if i < 1 {
		return false
	}
	_, ok := number(line[i+4:])
	return ok && strings.IndexByte(line, ' ') < 0
}

// parseZap reads the stack that zap appends to a log line of level error: it
// has no exception, so the level is the type.
func parseZap(text string) *millrace.Exception {
	e := &millrace.Exception{}
	s := lines{text: text}
	if !s.next() {
		return nil
	}
	head, name := s.line, ""
	for s.next() {
		switch {
		case s.indent == 0:
			name = s.line
			if strings.IndexByte(name, ' ') >= 0 || strings.IndexByte(name, '.') < 0 {
				name = ""
			}
		case name != "" && zapLocation(s.line):
			addFrame(e, goFrame(name, s.line))
			name = ""
		}
	}
	if len(e.Frames) == 0 {
		return nil
	}
	e.Type, e.Message = "error", head
	if fields := strings.Split(head, "\t"); len(fields) > 2 {
		e.Type = fields[1]
		e.Message = fields[2]
		for _, f := range fields[2:] {
			if !zapLocation(f) && strings.IndexByte(f, ' ') > 0 {
				e.Message = f
				break
			}
		}
	}
	return e
}
