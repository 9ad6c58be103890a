package decode

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// Crash reports as systems and crash reporters write them: the whole body is one
// report, which becomes one event of kind exception and level fatal. A payload of
// MetricKit is as many as it has diagnostics (crash_metrickit.go).
//
// Forms, told apart by what they begin with (crash_facts.go has their sources):
//
//	apple          .crash and the text form of .ips, PLCrashReporter and KSCrash
//	ips            Apple's JSON: a header line and the report; or the report alone
//	umeng          "Application received signal …" and a backtrace
//	plcrashreporter  a protocol buffer behind "plcrash" and a version byte
//	kscrash        JSON of KSCrash and SentryCrash
//	metrickit      JSON of MetricKit's diagnostics and call stack trees
//	tombstone      Android's, as text
//	tombstone-pb   Android's, as protocol buffer
//	anr            Android's traces of a process that does not respond
//	text           any other text
//
// The report's own words become
//
//   - time, release (the version that users see), service (the app's name, unless
//     the request names one), the attributes os, os_version, device, device_id,
//     bundle_id, app_build, process, pid, arch, incident_id, user, as far as it
//     tells. The host is the request's, or the sender: reports name none;
//   - message: the report as it came; of one that is no text a line that says what
//     it is, and the report in base64 as attribute crash_report;
//   - attribute crash_format, by which the pipeline knows that package exception is
//     to read the report.
//
// Limits: a report is one record, 1 MiB less some bytes. It is not split.
//
// Deviations: bytes of a text that are no UTF-8 become U+FFFD.

const (
	attrCrashFormat = "crash_format"
	attrCrashReport = "crash_report"
	// ReasonNotCrash is the reason of bodies that are no crash report.
	ReasonNotCrash = "not_crash"
)

// The forms.
const (
	crashApple     = "apple"
	crashIPS       = "ips"
	crashUmeng     = "umeng"
	crashPL        = "plcrashreporter"
	crashKS        = "kscrash"
	crashMetric    = "metrickit"
	crashTombstone = "tombstone"
	crashTombProto = "tombstone-pb"
	crashANR       = "anr"
	crashText      = "text"
)

// splitCrash makes one piece of the body.
func splitCrash(p *Pieces, _, body []byte, lim Limits) error {
	item := body
	if crashBinary(crashForm(body)) == "" {
		item = bytes.TrimSpace(body)
	}
	switch {
	case len(item) == 0:
		return nil
	case crashForm(item) == crashMetric && metricCount(item) > 1:
		return splitMetricKit(p, item, lim)
	case len(item) > int(lim.MaxEvent):
		return millrace.Errorf(millrace.ErrTooLarge, "a crash report of %d bytes; the limit is %d, as it is stored as one event", len(item), lim.MaxEvent)
	case bytes.HasPrefix(item, []byte("\x1f\x8b")):
		return millrace.Errorf(millrace.ErrInvalid, "the body is no crash report that is known: it begins like gzip; send Content-Encoding: gzip")
	case crashForm(item) == "":
		return millrace.Errorf(millrace.ErrInvalid, "the body is no crash report that is known: "+
			"it is no text, does not begin with %q, and is no tombstone (protocol buffer)", plcrashMagic)
	}
	p.Events = append(p.Events, Piece{Item: item[:len(item):len(item)], Index: 1})
	return nil
}

const plcrashMagic = "plcrash"

// crashForm tells the form of a report, "" if it is none.
func crashForm(b []byte) string {
	text := bytes.TrimLeft(b, " \t\r\n\ufeff")
	switch {
	case len(b) > len(plcrashMagic) && string(b[:len(plcrashMagic)]) == plcrashMagic && b[len(plcrashMagic)] < ' ':
		return crashPL
	case len(text) > 0 && text[0] == '{':
		if form := crashJSONForm(text); form != "" {
			return form
		}
	case tombstoneProto(b):
		return crashTombProto
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return ""
	}
	return crashTextForm(text)
}

// crashBinary says what a form is whose reports are no texts, "" for others.
func crashBinary(form string) string {
	switch form {
	case crashPL:
		return "PLCrashReporter report"
	case crashTombProto:
		return "Android tombstone"
	}
	return ""
}

// tombstoneProto reports whether b is Android's Tombstone message: it begins with
// the fields 1 to 4, architecture to time, in any order, and is no text.
func tombstoneProto(b []byte) bool {
	if len(b) < 16 || b[0] != 1<<3|wireNumber && b[0] != 2<<3|wireBytes {
		return false
	}
	for i, n := 0, 0; n < 4; n++ {
		tag, _, _, next := nextField(b, i)
		if next < 0 || tag>>3 > 40 {
			return false
		}
		i = next
	}
	return true
}

// crash decodes one report.
func (d *Decoder) crash(ordinal int32, _, item []byte) {
	form := crashForm(item)
	if form == "" {
		d.b.Reject(ordinal, ReasonNotCrash, "the report is damaged", item)
		return
	}
	e := d.b.Add(ordinal)
	e.Kind, e.Level, e.MultiLine = millrace.KindException, levelFatal, true
	what := crashBinary(form)
	if what == "" && !utf8.Valid(item) {
		item = bytes.ToValidUTF8(item, []byte("\ufffd"))
	}
	f := d.crashFacts(form, item)
	d.crashInto(e, &f)
	e.Extend().SetString(attrCrashFormat, form)
	if what != "" {
		e.Message = f.describe(what)
		e.Extend().SetString(attrCrashReport, borrow(base64.StdEncoding.AppendEncode(d.b.Text(base64.StdEncoding.EncodedLen(len(item))), item)))
		return
	}
	e.Message = borrow(item)
}

// crashInto files what a report tells.
func (d *Decoder) crashInto(e *millrace.Event, f *crashFacts) {
	if ns, n, ok := parseTime(unborrow(f.time), d.b.Record.Arrived); ok && n > 0 && f.time != "" {
		e.Time, e.HasTime = ns, true
	} else if f.seconds > 0 {
		e.Time, e.HasTime = f.seconds*1e9, true
	}
	if e.Service == "" {
		e.Service = first(f.app, f.bundle, f.process)
	}
	if f.release != "" {
		e.Release = f.release
	}
	for _, a := range [...]struct{ key, value string }{
		{"os", f.os},
		{"os_version", f.osVersion},
		{"device", f.device},
		{"device_id", f.deviceID},
		{"bundle_id", f.bundle},
		{"app_build", f.build},
		{"process", f.process},
		{"pid", f.pid},
		{"arch", f.arch},
		{"incident_id", f.incident},
	} {
		if a.value != "" {
			e.Extend().SetString(a.key, a.value)
		}
	}
	if f.user != "" {
		e.Extend().Set(millrace.AttrUser, millrace.JSONValue(f.user))
	}
}

// describe says what a report is that is no text.
func (f *crashFacts) describe(what string) string {
	s := what
	if app := first(f.app, f.bundle, f.process); app != "" {
		s += " of " + app
	}
	if f.release != "" {
		s += " " + f.release
	}
	if f.os != "" || f.device != "" {
		s += fmt.Sprintf(" (%s)", joinWords(f.os, f.osVersion, f.device))
	}
	return s
}

// first returns the first text that is not empty.
func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

func joinWords(words ...string) string {
	var b []byte
	for _, w := range words {
		if w != "" && len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, w...)
	}
	return string(b)
}
