package exception

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/millrace/millrace"
)

// A stored report is a JSON object: {"v":1, …} with the names of the json tags
// of millrace.Report and what it holds; empty fields are left out. docs/
// exceptions.md lists them. A reader refuses versions it does not know.
const reportVersion = 1

// Bounds of a stored report beside those of frames: what is beyond is left out,
// the innermost of a chain last.
const (
	keepThreads  = 64
	keepTree     = 64 // exceptions in all
	maxStoredMsg = 8 << 10
)

// AppendReport appends r as JSON. It keeps 64 exceptions and 64 threads (those
// that crashed before others), of stacks the innermost 150 and the outermost 50
// frames, 8 KiB of a message, 1 KiB of other strings. Equal reports give equal bytes.
func AppendReport(dst []byte, r *millrace.Report) []byte {
	out, _ := AppendReportCut(dst, r, true)
	return out
}

// AppendReportCut is AppendReport that tells whether strings are longer than what
// is kept. With cut false they are written whole, for who has to hide parts of
// them first: half of what is to be hidden would not be found.
func AppendReportCut(dst []byte, r *millrace.Report, cut bool) (out []byte, longer bool) {
	w := reportWriter{dst: append(dst, `{"v":1`...), left: keepTree, uncut: !cut}
	out = w.report(r)
	return out, w.longer
}

// CutMessage returns what AppendReport keeps of a message, a part of it.
func CutMessage(s string) string { return cutString(s, maxStoredMsg) }

func (w *reportWriter) report(r *millrace.Report) []byte {
	w.string(`,"language":`, r.Language)
	w.string(`,"mechanism":`, r.Mechanism)
	if r.Handled != nil {
		w.dst = append(w.dst, `,"handled":`...)
		w.bool(*r.Handled)
	}
	if r.Exception != nil {
		w.dst = append(w.dst, `,"exception":`...)
		w.exception(r.Exception)
	}
	w.threads(r.Threads)
	return append(w.dst, '}')
}

type reportWriter struct {
	dst    []byte
	left   int  // exceptions that may still be written
	uncut  bool // strings are written whole
	longer bool // one was longer than what is kept otherwise

	recorded []written // where messages were written; nil: nobody wants to know
}

// written is where the message of an exception stands in a report, with its key.
type written struct {
	e        *millrace.Exception
	from, to int
}

const messageKey = `,"message":`

// cut returns what is written of s, of which n bytes are kept.
func (w *reportWriter) cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	if w.longer = true; w.uncut {
		return s
	}
	return cutString(s, n)
}

func (w *reportWriter) string(key, s string) {
	if s != "" {
		w.dst = append(w.dst, key...)
		w.dst = millrace.AppendJSONString(w.dst, w.cut(s, maxFrameString))
	}
}

func (w *reportWriter) bool(b bool) {
	if b {
		w.dst = append(w.dst, "true"...)
	} else {
		w.dst = append(w.dst, "false"...)
	}
}

// exception writes e as an object; commas stand before all members but the
// first, which "common" always is.
func (w *reportWriter) exception(e *millrace.Exception) {
	w.left--
	w.dst = append(w.dst, `{"common":`...)
	w.dst = strconv.AppendInt(w.dst, int64(e.Common), 10)
	w.string(`,"type":`, e.Type)
	if e.Message != "" {
		from := len(w.dst)
		w.dst = append(w.dst, messageKey...)
		w.dst = millrace.AppendJSONString(w.dst, w.cut(e.Message, maxStoredMsg))
		if w.recorded != nil {
			w.recorded = append(w.recorded, written{e, from, len(w.dst)})
		}
	}
	w.string(`,"thread":`, e.Thread)
	w.frames(e.Frames)
	if e.Cause != nil && w.left > 0 {
		w.dst = append(w.dst, `,"cause":`...)
		w.exception(e.Cause)
	}
	w.list(`,"related":[`, e.Related)
	w.list(`,"members":[`, e.Members)
	w.dst = append(w.dst, '}')
}

func (w *reportWriter) frames(frames []millrace.Frame) {
	if len(frames) > 0 {
		w.dst = append(w.dst, `,"frames":`...)
		w.dst = w.appendFrames(w.dst, frames)
	}
}

func (w *reportWriter) list(key string, list []*millrace.Exception) {
	for i, e := range list {
		if w.left <= 0 {
			list = list[:i]
			break
		}
		if i == 0 {
			w.dst = append(w.dst, key...)
		} else {
			w.dst = append(w.dst, ',')
		}
		w.exception(e)
	}
	if len(list) > 0 {
		w.dst = append(w.dst, ']')
	}
}

func (w *reportWriter) threads(threads []millrace.Thread) {
	n := 0
	for _, crashed := range [...]bool{true, false} {
		for i := range threads {
			t := &threads[i]
			if t.Crashed != crashed || n == keepThreads {
				continue
			}
			if n == 0 {
				w.dst = append(w.dst, `,"threads":[{`...)
			} else {
				w.dst = append(w.dst, `,{`...)
			}
			n++
			w.dst = append(w.dst, `"crashed":`...)
			w.bool(t.Crashed)
			w.string(`,"id":`, t.ID)
			w.string(`,"name":`, t.Name)
			w.string(`,"state":`, t.State)
			w.frames(t.Frames)
			w.dst = append(w.dst, '}')
		}
	}
	if n > 0 {
		w.dst = append(w.dst, ']')
	}
}

// ParseReport reads what AppendReport wrote. Fields it does not know are left
// alone; a version other than 1 is an error.
func ParseReport(data []byte) (millrace.Report, error) {
	var in struct {
		Version int `json:"v"`
		millrace.Report
	}
	if err := json.Unmarshal(data, &in); err != nil {
		return millrace.Report{}, fmt.Errorf("parse exception report: %w", err)
	}
	if in.Version != reportVersion {
		return millrace.Report{}, fmt.Errorf("parse exception report: version %d, this build reads version %d", in.Version, reportVersion)
	}
	return in.Report, nil
}

// FullStack returns the frames of e together with those that it shares with the
// full stack of the exception around it ("... 12 more" restored), innermost
// first. It allocates only if there are any.
func FullStack(e *millrace.Exception, outerStack []millrace.Frame) []millrace.Frame {
	if e.Common == 0 || e.Common > len(outerStack) {
		return e.Frames
	}
	full := make([]millrace.Frame, 0, len(e.Frames)+e.Common)
	full = append(full, e.Frames...)
	return append(full, outerStack[len(outerStack)-e.Common:]...)
}
