package pipeline

import (
	"strings"
	"unsafe"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// exceptions turns what events say about exceptions into attributes that rules,
// rollups and pages know: type, exception_message, cause, fingerprint and
// exception_report, the Report as package exception writes it. What it looks at:
//
//   - the Report that a decoder read of data (Sentry), or an exception_report that
//     comes with the event (an export);
//   - a log's lines, if there are several, and the attributes in which structured
//     logs carry stacks (stack.go);
//   - of an event that is an exception by its sender's word (OTLP, counted
//     exceptions, kind: exception) the same, else its type and message alone. The
//     attribute type is the sender's then;
//   - a crash report (crash.go).
//
// It runs before the rules of the source, so that these can tell exceptions apart,
// and after them: a rule may have brought a stack to light. The fingerprint stays
// what it was before the rules, unless a rule sets another. What masks hide of the
// text that a report was read from is hidden in the report, too: it is read again
// from what they have left (hide.go). An exception's user is told at the end, by
// what rules, masks and truncation have left (user.go).
//
// The zero value is ready; one per goroutine. What it remembers makes it faster
// and changes no result.
type exceptions struct {
	version int // of the fingerprint; 0 is 1
	memo    memo
	buf     []byte
	ranked  stacks

	b    *millrace.Batch
	e    *millrace.Event
	from origin
}

// origin is where the report of the event under way was read.
type origin struct {
	made  bool   // there is a report
	text  bool   // it was read from a text, which is
	from  string // this one
	crash bool   // as a crash report
	// typed: the attribute type is the sender's.
	typed bool
	// uncut: the report's strings are longer than what is stored.
	uncut bool
}

// attrMessage and attrCause are what is kept of an exception beside what root
// names.
const (
	attrMessage = "exception_message"
	attrCause   = "cause"
)

// annotate looks at e, the event of b that was decoded last. hides tells that
// something may have to be hidden of it: then nothing is cut before finish.
func (x *exceptions) annotate(b *millrace.Batch, e *millrace.Event, hides bool) {
	x.from = origin{}
	if e.Report == nil && e.Kind != millrace.KindException && (e.Kind != millrace.KindLog || !e.MultiLine) {
		return // nearly all
	}
	x.b, x.e = b, e
	x.look(hides)
	x.b, x.e = nil, nil
}

// again looks at an event that the rules have changed, unless it was an exception
// before.
func (x *exceptions) again(b *millrace.Batch, e *millrace.Event, hides bool) {
	if x.from.made || e.Kind != millrace.KindException && (e.Kind != millrace.KindLog || !mayHaveStack(e)) {
		return
	}
	x.b, x.e = b, e
	x.look(hides)
	x.b, x.e = nil, nil
}

func (x *exceptions) look(hides bool) {
	e := x.e
	switch {
	case e.Report != nil:
		r := e.Report
		e.Report = nil // what rules hide later must not come back from it
		if r.Exception != nil {
			exception.MarkInApp(r)
			x.report(r, hides)
		}
	case e.Kind != millrace.KindException:
		_ = x.lines(hides) || x.stacks(hides)
	case x.given(hides):
	case hasCrash(e):
		x.crash(hides)
	default:
		x.identify(hides)
	}
}

// lines reads a stack in the message.
func (x *exceptions) lines(hides bool) bool {
	return x.trace(x.e.Message, hides)
}

// stacks reads a stack in one of the attributes that hold one.
func (x *exceptions) stacks(hides bool) bool {
	list := x.ranked.of(x.e)
	for i := range list {
		if at := list[i]; x.trace(stackText(x.e.Attrs[at].Value), hides) {
			return true
		}
	}
	return false
}

// trace reads a stack in a text.
func (x *exceptions) trace(text string, hides bool) bool {
	if !exception.HasTrace(text) {
		return false
	}
	says := x.e.Kind == millrace.KindException // the sender may say more than the text
	k, h := x.memo.get(x.version, text)
	if k == nil {
		k = x.template(text, h, hides)
	}
	if k == nil || says && !x.tellsAll(k.kind, k.message) || hides && k.cut {
		r, ok := exception.Read(text)
		if !ok {
			return false
		}
		whole := !says || x.tellsAll(r.Exception.Type, r.Exception.Message)
		if !whole {
			x.fill(&r)
		}
		if k = x.known(&r, hides); whole && (!hides || !k.cut) {
			x.memo.put(h, text, k)
		}
	}
	x.from = origin{made: true, text: true, from: text, uncut: k.cut && hides}
	x.describe(k)
	return true
}

// identify gives an event that is an exception by its sender's word what
// exceptions are told apart by.
func (x *exceptions) identify(hides bool) {
	e := x.e
	name, typed := e.Attr(millrace.AttrType)
	if !x.stacks(hides) && !x.lines(hides) {
		r := millrace.Report{Exception: &millrace.Exception{Message: e.Message}}
		x.fill(&r)
		x.report(&r, hides)
	}
	if typed {
		e.Set(millrace.AttrType, name)
		x.from.typed = true
	}
}

// tellsAll reports whether fill would add nothing to what a text says of an exception.
func (x *exceptions) tellsAll(kind, message string) bool {
	_, escaped := x.e.Attr(attrEscaped)
	return kind != "" && message != "" && !escaped
}

// fill puts into an exception what the sender says beside the stack: old
// browsers' stacks have neither type nor message. Version 1 of the fingerprint,
// which told exceptions apart before that, does not see it.
func (x *exceptions) fill(r *millrace.Report) {
	e, ex := x.e, r.Exception
	bare := len(ex.Frames) == 0 && ex.Type == ""
	if ex.Type == "" && (bare || x.version > 1) {
		if v, ok := e.Attr(millrace.AttrType); ok {
			ex.Type = v.String()
		}
	}
	if v, ok := e.Attr("exception.message"); ok && (bare || ex.Message == "" && x.version > 1) { // OpenTelemetry's
		ex.Message = v.String()
	}
	if v, ok := e.Attr(attrEscaped); ok && v.Kind() == millrace.ValueBool && r.Handled == nil {
		escaped, _ := v.Int()
		handled := escaped == 0
		r.Handled = &handled
	}
}

// attrEscaped is OpenTelemetry's word for an exception that nobody handled.
const attrEscaped = "exception.escaped"

// given takes the report that an event brings along, as an export has it.
func (x *exceptions) given(hides bool) bool {
	v, ok := x.e.Attr(millrace.AttrReport)
	if !ok {
		_, ok = x.e.Attr(millrace.AttrFrames)
		if ok {
			_, ok = x.e.Attr(millrace.AttrFingerprint) // a row of an older version
		}
		return ok
	}
	r, err := exception.ParseReport(unsafe.Slice(unsafe.StringData(v.String()), len(v.String())))
	if err != nil || r.Exception == nil {
		return false
	}
	name, typed := x.e.Attr(millrace.AttrType)
	x.report(&r, hides)
	if typed {
		x.e.Set(millrace.AttrType, name)
	}
	return true
}

// report describes an exception that came as data.
func (x *exceptions) report(r *millrace.Report, hides bool) {
	k := x.known(r, hides)
	x.from = origin{made: true, uncut: k.cut && hides}
	x.describe(k)
}

// known is what the attributes of an exception say. Its strings may be shared by
// many events.
type known struct {
	kind, message, cause string
	caused               bool
	fingerprint, report  string
	cut                  bool // strings are longer than what is kept
}

// known computes what to say of r. The report is written to the batch's memory.
func (x *exceptions) known(r *millrace.Report, hides bool) *known {
	k := &known{kind: r.Exception.Type, message: r.Exception.Message, fingerprint: exception.FingerprintOf(max(x.version, 1), r)}
	if r.Exception.Cause != nil {
		k.cause, k.caused = r.Exception.Cause.Type, true
	}
	x.buf, k.cut = exception.AppendReportCut(x.buf[:0], r, !hides)
	k.report = x.written()
	return k
}

// written copies the report in buf to the batch's memory.
func (x *exceptions) written() string {
	s := textOf(x.b, x.buf)
	if cap(x.buf) > 1<<20 {
		x.buf = nil
	}
	return s
}

// textOf copies text to the memory of a batch.
func textOf(b *millrace.Batch, text []byte) string {
	out := append(b.Text(len(text)), text...)
	return unsafe.String(unsafe.SliceData(out), len(out)) // nobody else writes there
}

// describe makes the event one of the exception. A fingerprint that the sender or
// a rule of the source gave an exception stays.
func (x *exceptions) describe(k *known) {
	e := x.e
	x.b.Grow(e, 8)
	_, own := e.Attr(millrace.AttrFingerprint)
	own = own && e.Kind == millrace.KindException
	e.Kind = millrace.KindException
	if k.kind != "" {
		e.Set(millrace.AttrType, millrace.StringValue(k.kind))
	}
	e.Set(attrMessage, millrace.StringValue(k.message))
	if !own {
		e.Set(millrace.AttrFingerprint, millrace.StringValue(customFingerprint(e, k)))
	}
	e.Set(millrace.AttrReport, millrace.JSONValue(k.report))
	if k.caused {
		e.Set(attrCause, millrace.StringValue(k.cause))
	}
	if e.Level == "" {
		e.Level = "error"
	}
}

// finish is the last look at an event, behind rules, masks and truncation.
func (x *exceptions) finish(b *millrace.Batch, e *millrace.Event) {
	if e.Kind != millrace.KindException {
		return
	}
	x.b, x.e = b, e
	x.shorten()
	setUser(b, e)
	x.b, x.e = nil, nil
	x.from = origin{}
}

// shorten cuts what was kept whole until nothing more is hidden.
func (x *exceptions) shorten() {
	for i := range x.e.Attrs {
		at := &x.e.Attrs[i]
		switch at.Key {
		case attrMessage:
			if s := exception.CutMessage(at.Value.String()); at.Value.Kind() == millrace.ValueString && len(s) < len(at.Value.String()) {
				at.Value = millrace.StringValue(s)
			}
		case millrace.AttrReport:
			if !x.from.uncut {
				continue
			}
			r, err := exception.ParseReport([]byte(at.Value.String()))
			if err != nil { // masks have made something else of it
				at.Value = millrace.StringValue("")
				continue
			}
			x.buf = exception.AppendReport(x.buf[:0], &r)
			at.Value = millrace.JSONValue(textOf(x.b, x.buf))
		}
	}
}

// mayHaveStack tells of a log that rules have changed whether it is worth a look.
func mayHaveStack(e *millrace.Event) bool {
	if e.MultiLine || strings.IndexByte(e.Message, '\n') >= 0 {
		return true
	}
	for i := range e.Attrs {
		if stackRank(e.Attrs[i].Key) > 0 {
			return true
		}
	}
	return false
}
