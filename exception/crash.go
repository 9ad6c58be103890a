package exception

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/millrace/millrace"
)

// ReadCrash reads one crash report: the text forms that Read knows and, by
// their keys or first bytes,
//
//   - Apple's .ips (JSON header line and JSON or text body, macOS 12, iOS 15)
//   - KSCrash and SentryCrash reports (JSON, report versions 2 and 3)
//   - MetricKit diagnostics and call stack trees (JSON, iOS 14)
//   - PLCrashReporter's protocol buffer ("plcrash" and a version byte)
//   - Android's tombstone protocol buffer (Android 12)
//
// ok is false if data is none of these. Memory is linear in the size of data,
// which the caller limits.
func ReadCrash(data []byte) (r millrace.Report, ok bool) {
	trimmed := bytes.TrimLeft(data, " \t\r\n\ufeff")
	switch {
	case len(trimmed) > 0 && trimmed[0] == '{':
		readCrashJSON(&r, trimmed)
	case bytes.HasPrefix(data, []byte(plcrashMagic)):
		readPLCrash(&r, data[len(plcrashMagic)+1:])
	case looksLikeTombstone(data):
		readTombstoneProto(&r, data)
	}
	if r.Exception != nil {
		return r, true
	}
	return Read(string(data))
}

// readCrashJSON decides by the keys of the outermost object.
func readCrashJSON(r *millrace.Report, data []byte) {
	d := json.NewDecoder(bytes.NewReader(data))
	var keys map[string]json.RawMessage
	if d.Decode(&keys) != nil {
		return
	}
	rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")
	switch {
	case keys["crash"] != nil || keys["recrash_report"] != nil:
		readKSCrash(r, keys)
	case isMetricKit(keys):
		readMetricKit(r, keys)
	case keys["bug_type"] != nil && len(rest) > 0 && rest[0] == '{':
		readIPS(r, rest)
	case keys["bug_type"] != nil && len(rest) > 0:
		readApple(r, string(rest))
	case keys["usedImages"] != nil && keys["threads"] != nil:
		readIPS(r, data)
	}
}

// ipsReport is the body of an .ips file; the key names are Apple's.
type ipsReport struct {
	Exception struct {
		Type, Signal, Codes, Subtype, Message string
	}
	Termination struct {
		Indicator string
		Reasons   []string
	}
	ASI            map[string]json.RawMessage `json:"asi"`
	FaultingThread int
	Threads        []struct {
		ID        json.Number
		Name      string
		Queue     string
		Triggered bool
		Frames    []ipsFrame
	}
	LastExceptionBacktrace []ipsFrame
	UsedImages             []struct {
		UUID, Name, Path string
		Base, Size       uint64
	}
}

type ipsFrame struct {
	ImageOffset uint64
	ImageIndex  int
	Symbol      string
	SourceFile  string
	SourceLine  int
}

func readIPS(r *millrace.Report, data []byte) {
	var in ipsReport
	// What does not fit one field leaves the others readable.
	if err := json.Unmarshal(data, &in); err != nil && len(in.Threads) == 0 {
		return
	}
	frames := func(list []ipsFrame) []millrace.Frame {
		out := make([]millrace.Frame, 0, min(len(list), maxFrames))
		for _, f := range list[:cap(out)] {
			o := millrace.Frame{Function: f.Symbol, File: f.SourceFile, Line: f.SourceLine, Offset: f.ImageOffset, Address: f.ImageOffset}
			if f.ImageIndex >= 0 && f.ImageIndex < len(in.UsedImages) {
				im := in.UsedImages[f.ImageIndex]
				o.Module, o.Build, o.Address = im.Name, buildID(im.UUID), im.Base+f.ImageOffset
				o.InApp = appleInApp(im.Name, im.Path)
			}
			out = append(out, o)
		}
		return out
	}
	e := &millrace.Exception{Type: in.Exception.Type, Message: in.Exception.Subtype}
	if in.Exception.Signal != "" && e.Type != "" {
		e.Type += " (" + in.Exception.Signal + ")"
	}
	if asi := ipsInformation(in.ASI); asi != "" {
		e.Message = asi
	}
	for _, m := range append(in.Termination.Reasons, in.Termination.Indicator, in.Exception.Codes) {
		if e.Message == "" {
			e.Message = m
		}
	}
	for i, t := range in.Threads[:min(len(in.Threads), maxThreads)] {
		name := t.Name
		if name == "" {
			name = t.Queue
		}
		th := millrace.Thread{ID: t.ID.String(), Name: name, Crashed: t.Triggered || i == in.FaultingThread, Frames: frames(t.Frames)}
		if th.Crashed && e.Frames == nil {
			e.Thread, e.Frames, th.Frames = name, th.Frames, nil
		}
		r.Threads = append(r.Threads, th)
	}
	if len(in.LastExceptionBacktrace) > 0 {
		e.Frames = frames(in.LastExceptionBacktrace)
	}
	r.Exception, r.Language, r.Mechanism = e, langCocoa, "mach"
}

// ipsInformation joins the application specific information of all images, in
// the order of their names, so that equal reports read equal.
func ipsInformation(asi map[string]json.RawMessage) string {
	var out []string
	for _, name := range sortedKeys(asi) {
		var lines []string
		if json.Unmarshal(asi[name], &lines) == nil {
			out = append(out, lines...)
		}
	}
	return strings.Join(out, "\n")
}
