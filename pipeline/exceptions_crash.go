package pipeline

import (
	"encoding/base64"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// Crash reports come whole (decode/crash.go): their text as message, and those
// that are no text in base64 as attribute crash_report.
const (
	attrCrashFormat = "crash_format"
	attrCrashReport = "crash_report"
)

func hasCrash(e *millrace.Event) bool {
	_, ok := e.Attr(attrCrashFormat)
	return ok
}

// crash reads a crash report. One of which nothing can be read is an exception by
// its message alone.
func (x *exceptions) crash(hides bool) {
	e := x.e
	data, text := []byte(e.Message), true
	if v, ok := e.Attr(attrCrashReport); ok {
		if raw, err := base64.StdEncoding.DecodeString(v.String()); err == nil {
			data, text = raw, false
		}
		if hides { // no mask looks into it
			e.Set(attrCrashReport, millrace.StringValue(fmt.Sprintf("(%d bytes in which something might have to be hidden)", len(data))))
		}
	}
	r, ok := exception.ReadCrash(data)
	if !ok {
		x.identify(hides)
		return
	}
	k := x.known(&r, hides)
	x.from = origin{made: true, crash: true, text: text, from: e.Message, uncut: k.cut && hides}
	x.describe(k)
}
