package pipeline

import (
	"bytes"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// threadsKey begins the threads of a report as exception.AppendReport writes it. In a
// string its quotes would be escaped, and nothing but the report has that key, which
// comes last.
var threadsKey = []byte(`,"threads":[`)

// fitReport returns a report of at most MaxReportBytes: without threads, causes and
// outer frames as needed; nil if it is none, which happens to attributes of that name
// that clients sent.
func fitReport(text []byte) []byte {
	if len(text) <= millrace.MaxReportBytes {
		return text
	}
	if i := bytes.Index(text, threadsKey); i >= 0 && i < millrace.MaxReportBytes {
		return append(text[:i], '}')
	}
	r, err := exception.ParseReport(text)
	if err != nil {
		return nil
	}
	r.Threads = nil
	for _, keep := range []int{200, 50, 16, 4} {
		short := r
		short.Exception = shorten(r.Exception, keep)
		if out := exception.AppendReport(nil, &short); len(out) <= millrace.MaxReportBytes {
			return out
		}
	}
	return nil
}

// shorten keeps of a tree the chain of causes, at most keep of them, and of each stack
// as many innermost frames.
func shorten(e *millrace.Exception, keep int) *millrace.Exception {
	if e == nil {
		return nil
	}
	root := *e
	for at, n := &root, 1; ; n++ {
		at.Related, at.Members = nil, nil
		if keep < len(at.Frames) {
			at.Frames = at.Frames[:keep]
		}
		if at.Cause == nil || n >= keep {
			at.Cause = nil
			return &root
		}
		cause := *at.Cause
		at.Cause, at = &cause, &cause
	}
}
