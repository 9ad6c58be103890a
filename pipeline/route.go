package pipeline

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// stackAttrs are the attributes in which structured logs carry a stack trace.
var stackAttrs = []string{
	"stack_trace", "stacktrace", "stackTrace", "exception.stacktrace", "exception", "error.stack_trace", "exc_info", "stack", "error", "err",
}

// annotate turns a log event with a stack trace into an exception: type,
// fingerprint and frames become attributes that rollups and pages know.
func annotate(e *millrace.Event) {
	if e.Report != nil {
		exception.MarkInApp(e.Report)
		// What rules hide later must not come back from it.
		ex := e.Report.Exception
		e.Report = nil
		describe(e, ex)
		return
	}
	if e.Kind == millrace.KindException {
		identify(e)
		return
	}
	if e.Kind != millrace.KindLog || !e.MultiLine {
		return
	}
	if parseInto(e, e.Message) {
		return
	}
	stackInto(e)
}

// identify gives an event that is an exception by its sender's word, with a stack
// that is text or without one, what exceptions are told apart by. The type is the
// sender's.
func identify(e *millrace.Event) {
	if _, ok := e.Attr(millrace.AttrFingerprint); ok {
		return
	}
	if _, ok := e.Attr(millrace.AttrFrames); ok {
		return
	}
	name, typed := e.Attr(millrace.AttrType)
	if !stackInto(e) && !(e.MultiLine && parseInto(e, e.Message)) {
		message := millrace.StringValue(e.Message)
		if v, ok := e.Attr("exception.message"); ok { // OpenTelemetry's
			message = v
		}
		describe(e, &millrace.Exception{Type: name.String(), Message: message.String()})
	}
	if typed {
		e.Set(millrace.AttrType, name)
	}
}

// stackInto looks for a stack in the attributes that hold one.
func stackInto(e *millrace.Event) bool {
	for _, key := range stackAttrs {
		if v, ok := e.Attr(key); ok && v.Kind() != millrace.ValueBool && parseInto(e, stackText(v)) {
			return true
		}
	}
	return false
}

func parseInto(e *millrace.Event, text string) bool {
	if !exception.HasTrace(text) {
		return false
	}
	ex, ok := exception.Parse(text)
	if !ok {
		return false
	}
	describe(e, ex)
	return true
}

// describe makes e an event of the exception.
func describe(e *millrace.Event, ex *millrace.Exception) {
	e.Kind = millrace.KindException
	if ex.Type != "" {
		e.Set(millrace.AttrType, millrace.StringValue(ex.Type))
	}
	e.Set("exception_message", millrace.StringValue(ex.Message))
	e.Set(millrace.AttrFingerprint, millrace.StringValue(exception.Fingerprint(ex)))
	e.Set(millrace.AttrFrames, millrace.JSONValue(string(exception.AppendFrames(nil, ex.Frames))))
	if ex.Cause != nil {
		e.Set("cause", millrace.StringValue(ex.Cause.Type))
	}
	if e.Level == "" {
		e.Level = "error"
	}
}
