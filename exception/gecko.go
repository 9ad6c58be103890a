package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parseGecko reads Firefox' and Safari's error.stack and the stacktrace of Opera
// before version 15, with the type and message on the line before if the log has
// them.
func parseGecko(text string) *millrace.Exception {
	e := &millrace.Exception{}
	s := lines{text: text}
	opera := false
	for s.next() {
		f, ok := geckoLine(s.line)
		if !ok {
			f, ok = operaFrame(s.line)
			opera = opera || ok
		}
		if ok {
			f.InApp = scriptInApp(f.File)
			addFrame(e, f)
			continue
		}
		if len(e.Frames) > 0 {
			if opera && s.indent > 0 {
				continue // the line of the source, below its place
			}
			break
		}
		if typ, msg, ok := headLine(s.line); ok {
			e.Type, e.Message = typ, strings.TrimSpace(msg)
		} else if typ, msg, ok = embedded(s.line); ok && e.Type == "" {
			e.Type, e.Message = typ, strings.TrimSpace(msg)
		}
	}
	if len(e.Frames) == 0 {
		return nil
	}
	return e
}

// geckoLine reads "function@file:1:2", and "file:1:2" or "[native code]" alone,
// as Safari writes what has no name.
func geckoLine(line string) (f millrace.Frame, ok bool) {
	at := strings.IndexByte(line, '@')
	where := line
	switch {
	case at >= 0 && geckoFrame(line, at):
		f.Function, where = geckoName(line[:at]), line[at+1:]
	case line == "[native code]", geckoPlace(line):
	case line == "global code", line == "eval code", line == "module code":
		f.Function, where = line, ""
	default:
		return f, false
	}
	// "file.js line 26 > eval line 2 > eval:1:30": the place of the outermost eval.
	if file, rest, found := strings.Cut(where, " line "); found && strings.Contains(rest, " > ") {
		f.File = file
		f.Line, _ = number(rest[:digits(rest)])
		if f.Function == "" {
			f.Function = "eval"
		}
		return f, true
	}
	setLocation(&f, where)
	return f, true
}

// geckoName removes the arguments that Firefox 3 and Opera print, and Opera's
// words around the name of an anonymous function.
func geckoName(s string) string {
	if rest, ok := strings.CutPrefix(s, "<anonymous function"); ok {
		rest, _, _ = strings.Cut(strings.TrimPrefix(rest, ": "), ">")
		return rest
	}
	if i := strings.IndexByte(s, '('); i >= 0 && s[len(s)-1] == ')' {
		return s[:i]
	}
	return s
}

// geckoPlace reports whether line is nothing but "scheme://path:1:2" or, in
// React Native, "index.android.bundle:1:2".
func geckoPlace(line string) bool {
	if n := len(line); n < 8 || !isDigit(line[n-1]) || strings.IndexByte(line, ' ') >= 0 {
		return false
	}
	file, _, ok := cutLast(line)
	if !ok {
		return false
	}
	if file, _, ok = cutLast(file); !ok {
		return false
	}
	return strings.HasSuffix(file, ".bundle") ||
		strings.Contains(file, "://") && !strings.ContainsAny(file[:strings.Index(file, "://")], "=\"{,")
}

// geckoFrame reports whether line is "function@location", the '@' being at at.
func geckoFrame(line string, at int) bool {
	name := line[:at]
	switch {
	case strings.IndexByte(name, '"') >= 0:
		return false
	case strings.IndexByte(name, ' ') < 0, name == "global code", name == "eval code", name == "module code":
	case !strings.HasPrefix(name, "<anonymous function") && !strings.HasSuffix(name, "([arguments not available])"):
		return false
	}
	where := line[at+1:]
	if strings.HasPrefix(where, "[native code]") {
		return true
	}
	file, _, ok := cutLast(where)
	if !ok || strings.HasSuffix(file, ".go") { // a module's version: "…/exporter@v0.120.0/queue.go:128"
		return false
	}
	if blank := strings.IndexByte(file, ' '); blank >= 0 {
		return strings.HasPrefix(file[blank:], " line ") && strings.Contains(file, " > ")
	}
	if strings.ContainsAny(file, "/<") {
		return true
	}
	file, _, _ = cutLast(file)
	return strings.HasSuffix(file, ".bundle") || strings.HasSuffix(file, ".js")
}

// operaFrame reads Opera 10's and 11's "called from line 18, column 4 in
// bar(n) in http://path/file.js:" and Opera 9's "Line 43 of linked script
// http://path/file.js".
func operaFrame(line string) (f millrace.Frame, ok bool) {
	if rest, ok := strings.CutPrefix(line, "Line "); ok {
		n := digits(rest)
		_, file, found := strings.Cut(rest[n:], " script ")
		if f.Line, ok = number(rest[:n]); !ok || !found || !strings.Contains(file, "://") {
			return f, false
		}
		f.File, _, _ = strings.Cut(file, ": ")
		return f, true
	}
	if !operaHead(line) {
		return f, false
	}
	_, rest, _ := strings.Cut(line, " line ")
	n := digits(rest)
	f.Line, _ = number(rest[:n])
	rest = strings.TrimPrefix(rest[n:], ", column ")
	n = digits(rest)
	f.Column, _ = number(rest[:n])
	name, file, named := strings.Cut(strings.TrimPrefix(rest[n:], " in "), " in ")
	if !named {
		name, file = "", name
	}
	f.Function, f.File = geckoName(name), strings.TrimSuffix(file, ":")
	if i := strings.IndexByte(f.Function, '('); i >= 0 {
		f.Function = f.Function[:i]
	}
	return f, true
}

func operaHead(line string) bool {
	return (strings.HasPrefix(line, "called from line ") || strings.HasPrefix(line, "Error thrown at line ")) &&
		strings.HasSuffix(line, ":") && strings.Contains(line, ", column ") && strings.Contains(line, " in ")
}
