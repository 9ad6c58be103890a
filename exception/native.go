package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parseNative reads what C and C++ programs leave: the words of std::terminate,
// a signal, a sanitizer or an assertion, and the backtraces of gdb, glibc, glog,
// Boost.Stacktrace and the sanitizers.
func parseNative(text string) *millrace.Exception {
	e := &millrace.Exception{}
	s := lines{text: text}
	for s.next() {
		if f, ok := nativeFrame(s.line); ok {
			if len(e.Frames) > 1 && (strings.HasPrefix(s.line, "#0 ") || strings.HasPrefix(s.line, "#00 ")) {
				break // another thread, or where the memory was allocated
			}
			addFrame(e, f)
			continue
		}
		if len(e.Frames) == 0 {
			nativeHead(e, s.line)
		}
	}
	if e.Type == "" && len(e.Frames) < 2 {
		return nil
	}
	return e
}

// nativeHeads are the words before the type; the type ends at stop.
var nativeHeads = [...]struct{ words, stop string }{
	{"terminate called after throwing an instance of '", "'"},
	{"terminating due to uncaught exception of type ", ": "},
	{"terminating with uncaught exception of type ", ": "},
	{"terminating due to uncaught exception '", "'"},
	{"terminating with uncaught exception '", "'"},
	{"Program received signal ", ","},
	{"Program terminated with signal ", ","},
	{"ERROR: AddressSanitizer: ", " "},
	{"ERROR: LeakSanitizer: ", " "},
	{"WARNING: ThreadSanitizer: ", " ("},
	{"WARNING: MemorySanitizer: ", " "},
}

// nativeHead takes the type and the message from a line before the frames.
func nativeHead(e *millrace.Exception, line string) {
	if what, ok := strings.CutPrefix(line, "what():"); ok && e.Type != "" {
		e.Message = strings.TrimSpace(what)
		return
	}
	if e.Type != "" {
		return
	}
	for _, h := range nativeHeads {
		if _, rest, ok := strings.Cut(line, h.words); ok {
			e.Type, e.Message, _ = strings.Cut(rest, h.stop)
			e.Type, e.Message = strings.TrimRight(e.Type, ".'"), strings.TrimSpace(e.Message)
			e.Message = strings.TrimSpace(strings.TrimPrefix(e.Message, ", reason:"))
			return
		}
	}
	switch {
	case strings.HasPrefix(line, "terminate called"):
		e.Type, e.Message = "terminate", line
	case strings.Contains(line, ": Assertion ") && strings.HasSuffix(line, "failed."):
		e.Type, e.Message = "Assertion", line[strings.Index(line, ": Assertion ")+2:]
	case strings.HasPrefix(line, "*** SIG"): // glog
		e.Type, e.Message, _ = strings.Cut(line[4:], " ")
	}
}

// nativeMark reports whether line begins a native crash; the rest is told by
// its frames.
func nativeMark(line string) bool {
	switch line[0] {
	case 't':
		return strings.HasPrefix(line, "terminate called ")
	case 'l':
		return strings.HasPrefix(line, "libc++abi") && strings.Contains(line, " terminating ")
	case 'P':
		return strings.HasPrefix(line, "Program received signal ") || strings.HasPrefix(line, "Program terminated with signal ")
	case '=':
		return strings.HasPrefix(line, "==") && strings.Contains(line, "Sanitizer: ")
	case '*':
		return strings.HasPrefix(line, "*** SIG")
	}
	return false
}

// nativeFrame reads one frame in any of the forms above.
func nativeFrame(line string) (f millrace.Frame, ok bool) {
	if len(line) < 5 {
		return f, false
	}
	switch {
	case line[0] == '#':
		n := 1 + digits(line[1:])
		if n == 1 || n >= len(line) || line[n] != ' ' {
			return f, false
		}
		ok = gdbFrame(&f, strings.TrimLeft(line[n:], " "))
	case isDigit(line[0]):
		n := digits(line)
		if !strings.HasPrefix(line[n:], "# ") {
			return f, false
		}
		ok = gdbFrame(&f, line[n+2:])
	case strings.HasPrefix(line, "@ "):
		ok = glogFrame(&f, strings.TrimLeft(line[1:], " "))
	case line[len(line)-1] == ']':
		ok = glibcFrame(&f, line)
	}
	if !ok {
		return f, false
	}
	f.InApp = nativeInApp(f.Module) && nativeFileInApp(f.File) && !nativeRuntime(f.Function)
	return f, true
}

// gdbFrame reads "0x55 in crash (x=0) at main.cpp:12", "crash (x=0) at
// main.cpp:5", "0x7f in ?? () from /lib/libc.so.6", "pc 0002 /system/lib/x.so
// (abort+4)" and, of the sanitizers, "0x4f in main /src/a.cpp:5:3" and "0x4f in
// f (/lib/libc.so.6+0x2082f) (BuildId: 00ff)".
func gdbFrame(f *millrace.Frame, s string) bool {
	if rest, ok := strings.CutPrefix(s, "pc "); ok {
		return androidFrame(f, rest)
	}
	var located bool
	if f.Address, s, located = hexPrefix(s); located {
		s = strings.TrimPrefix(strings.TrimLeft(s, " "), "in ")
	}
	s, build, _ := strings.Cut(s, " (BuildId: ")
	f.Build = strings.TrimSuffix(build, ")")
	if i := strings.LastIndex(s, " at "); i > 0 && strings.Contains(s[i:], ":") {
		setLocation(f, s[i+4:])
		s, located = s[:i], true
	} else if i = strings.LastIndex(s, " from "); i > 0 {
		f.Module, s, located = s[i+6:], s[:i], true
	} else if i = strings.LastIndex(s, " (/"); i >= 0 && strings.HasSuffix(s, ")") {
		module := s[i+2 : len(s)-1]
		if plus := strings.LastIndex(module, "+0x"); plus > 0 {
			f.Offset, _, _ = hexPrefix(module[plus+1:])
			module = module[:plus]
		}
		f.Module, s = module, s[:i]
	} else if i = strings.LastIndexByte(s, ' '); i > 0 && strings.HasPrefix(s[i+1:], "/") && located {
		setLocation(f, s[i+1:])
		s = s[:i]
	} else if f.Address > 0 && strings.HasPrefix(s, "/") {
		f.Module, s = s, ""
	}
	f.Function = nativeName(s)
	return located && (f.Function != "" || f.Address > 0)
}

// nativeName cuts gdb's arguments off: "crash (x=0, s=...)". What follows a
// name without a blank is its signature and stays.
func nativeName(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.Index(s, " ("); i > 0 && s[len(s)-1] == ')' && !strings.HasSuffix(s[:i], "operator") {
		s = s[:i]
	}
	if s == "??" {
		return ""
	}
	return s
}

// glibcFrame reads backtrace_symbols' "./app(_Z3foov+0x1d) [0x55d0]".
func glibcFrame(f *millrace.Frame, line string) bool {
	open := strings.LastIndex(line, "[0x")
	if open < 0 {
		return false
	}
	address, rest, ok := hexPrefix(line[open+1:])
	if !ok || rest != "]" {
		return false
	}
	where := strings.TrimRight(line[:open], " ")
	if strings.IndexByte(where, ' ') >= 0 {
		return false
	}
	f.Address, f.Module = address, where
	if i := strings.LastIndexByte(where, '('); i >= 0 && strings.HasSuffix(where, ")") {
		f.Module = where[:i]
		symbol, offset, _ := strings.Cut(where[i+1:len(where)-1], "+")
		f.Function = symbol
		if symbol == "" {
			f.Offset, _, _ = hexPrefix(offset)
		}
	}
	return f.Module != ""
}

// glogFrame reads "@     0x7f3b2c4d foo::Bar()".
func glogFrame(f *millrace.Frame, s string) bool {
	address, rest, ok := hexPrefix(s)
	if !ok {
		return false
	}
	f.Address, f.Function = address, strings.TrimSpace(rest)
	if f.Function == "(unknown)" {
		f.Function = ""
	}
	return true
}

// hexPrefix reads "0x1f" at the start of s.
func hexPrefix(s string) (n uint64, rest string, ok bool) {
	if len(s) < 3 || s[0] != '0' || s[1]|0x20 != 'x' {
		return 0, s, false
	}
	return hexNumber(s[2:])
}

// hexNumber reads the hexadecimal digits at the start of s, at most 16.
func hexNumber(s string) (n uint64, rest string, ok bool) {
	i := 0
	for i < len(s) && i < 16 && isHex(s[i]) {
		c := s[i] | 0x20
		if c >= 'a' {
			c -= 'a' - 10
		} else {
			c = s[i] - '0'
		}
		n = n<<4 | uint64(c)
		i++
	}
	return n, s[i:], i > 0
}

// parseRust reads a panic and, with RUST_BACKTRACE=1, its frames: "3: name" and
// "at file:line:column" below it.
func parseRust(text string) *millrace.Exception {
	e := &millrace.Exception{}
	s := lines{text: text}
	from, end := -1, len(text)
	for s.next() {
		switch {
		case e.Type == "":
			if rest, ok := rustHead(s.line); ok {
				e.Type = "panic"
				e.Thread, _, _ = strings.Cut(strings.TrimPrefix(s.line, "thread '"), "'")
				from = s.start + s.indent + len(s.line)
				if strings.HasPrefix(rest, "'") { // before 1.73 the message stood first
					if i := strings.LastIndex(rest, "', "); i > 0 {
						e.Message, from = rest[1:i], -1
					}
				}
			}
		case s.line == "stack backtrace:" || strings.HasPrefix(s.line, "note: run with"):
			end = min(end, s.start)
		case strings.HasPrefix(s.line, "at ") && len(e.Frames) > 0:
			f := &e.Frames[len(e.Frames)-1]
			setLocation(f, s.line[3:])
			f.InApp = rustInApp(f)
		default:
			n := digits(s.line)
			if n == 0 || !strings.HasPrefix(s.line[n:], ": ") || end == len(text) {
				continue
			}
			name := s.line[n+2:]
			if _, rest, ok := hexPrefix(name); ok {
				name = strings.TrimPrefix(rest, " - ")
			}
			f := millrace.Frame{Function: name}
			f.InApp = rustInApp(&f)
			addFrame(e, f)
		}
	}
	if e.Type == "" {
		return nil
	}
	if from >= 0 {
		e.Message = message(text, from, max(end, from))
	}
	return e
}

// rustHead finds what follows "panicked at ".
func rustHead(line string) (rest string, ok bool) {
	if !strings.HasPrefix(line, "thread '") {
		return "", false
	}
	_, rest, ok = strings.Cut(line, "' panicked at ")
	if !ok {
		_, rest, ok = strings.Cut(line, ") panicked at ") // "thread 'main' (4711) panicked"
	}
	return rest, ok
}
