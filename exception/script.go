package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// ReadScriptError makes a report of the properties of a JavaScript error, as
// pages and apps send them: name, message, stack (for Opera before version 15
// its stacktrace) and framesToPop, how many innermost frames React says are its
// own helpers. ok is false if there is neither a name, a message nor a frame.
func ReadScriptError(name, message, stack string, framesToPop int) (r millrace.Report, ok bool) {
	r, found := Read(stack)
	switch {
	case !found && name == "" && message == "":
		return millrace.Report{}, false
	case !found:
		r = millrace.Report{Exception: &millrace.Exception{}}
	}
	r.Language = langScript
	e := r.Exception
	if name != "" {
		e.Type = name
	}
	if message != "" {
		e.Message = message
	}
	e.Frames = e.Frames[min(max(framesToPop, 0), len(e.Frames)):]
	return r, true
}

// v8Frame reads "fn (file:1:2)", "fn(file:1:2)", "file:1:2", "async fn (…)", "fn".
func v8Frame(s string) (f millrace.Frame, ok bool) {
	s = strings.TrimSuffix(s, " {")
	s = strings.TrimPrefix(s, "async ")
	where := s
	if strings.HasPrefix(s, "(error: ") {
		where = v8Place(strings.TrimSuffix(s[1:], ")"))
	} else if i := v8Paren(s); i >= 0 {
		f.Function = strings.TrimRight(s[:i], " ")
		where = strings.TrimSuffix(s[i+1:], ")")
		if as := strings.Index(f.Function, " [as "); as > 0 {
			f.Function = f.Function[:as]
		}
		if f.Function == "?" {
			f.Function = ""
		}
		where = v8Place(where)
	} else if strings.IndexByte(s, ' ') < 0 && !strings.ContainsAny(s, "/:") {
		f.Function, where = s, ""
	}
	if i := strings.Index(s, "-extension:("); i > 0 {
		safariExtension(&f, s)
	} else if !strings.HasPrefix(where, "index ") { // "Promise.all (index 0)"
		setLocation(&f, where)
	}
	if f.Function == "" && f.Line == 0 && !strings.HasPrefix(s, "(error: ") {
		return f, false
	}
	f.InApp = scriptInApp(f.File)
	return f, true
}

// v8Paren returns where the bracket of the location opens, or -1. A bracket
// may be part of a path.
func v8Paren(s string) int {
	if i := strings.Index(s, " ("); i > 0 {
		return i + 1
	}
	i := strings.IndexByte(s, '(')
	if i < 0 || s[len(s)-1] != ')' || strings.IndexByte(s[:i], '/') >= 0 {
		return -1
	}
	return i
}

// v8Place removes the words that engines put before a location.
func v8Place(s string) string {
	if strings.HasPrefix(s, "eval at ") { // the place of the outermost eval
		open := strings.LastIndexByte(s, '(')
		inner, _, _ := strings.Cut(s[open+1:], ")")
		if open < 0 {
			inner = strings.TrimPrefix(s[strings.LastIndex(s, ", ")+1:], " ")
		}
		return inner
	}
	s = strings.TrimPrefix(s, "async ")
	s = strings.TrimPrefix(s, "address at ") // Hermes
	if rest, ok := strings.CutPrefix(s, "error: "); ok {
		s = strings.TrimSuffix(strings.TrimPrefix(rest, "("), ")")
	}
	return s
}

// safariExtension reads "fn@safari-extension:(//id/file.js:1:2)", what Safari
// writes for its extensions in V8's shape. The file is a new string.
func safariExtension(f *millrace.Frame, s string) {
	f.Function = ""
	if at := strings.IndexByte(s, '@'); at >= 0 {
		f.Function, s = s[:at], s[at+1:]
	}
	setLocation(f, strings.TrimSuffix(strings.Replace(s, "(", "", 1), ")"))
}
