package exception

import (
	"strings"

	"github.com/millrace/millrace"
)

// parseGecko reads Firefox' and Safari's error.stack, with the type and message
// on the line before if the log has them.
func parseGecko(text string) *millrace.Exception {
	e := &millrace.Exception{}
	s := lines{text: text}
	for s.next() {
		at := strings.IndexByte(s.line, '@')
		if at < 0 || !geckoFrame(s.line, at) {
			if len(e.Frames) > 0 {
				break
			}
			if typ, msg, ok := headLine(s.line); ok {
				e.Type, e.Message = typ, strings.TrimSpace(msg)
			} else if typ, msg, ok = embedded(s.line); ok && e.Type == "" {
				e.Type, e.Message = typ, strings.TrimSpace(msg)
			}
			continue
		}
		f := millrace.Frame{Function: s.line[:at]}
		setLocation(&f, s.line[at+1:])
		f.InApp = scriptInApp(f.File)
		addFrame(e, f)
	}
	return e
}

// geckoFrame reports whether line is "function@location", the '@' being at at.
func geckoFrame(line string, at int) bool {
	if strings.IndexByte(line[:at], ' ') >= 0 || strings.IndexByte(line[:at], '"') >= 0 {
		return false
	}
	where := line[at+1:]
	if strings.HasPrefix(where, "[native code]") {
		return true
	}
	file, _, ok := cutLast(where)
	return ok && strings.ContainsAny(file, "/<") && strings.IndexByte(file, ' ') < 0 &&
		!strings.HasSuffix(file, ".go") // a module's version: "…/exporter@v0.120.0/queue.go:128"
}
