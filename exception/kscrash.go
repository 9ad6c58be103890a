package exception

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// ksReport is what a KSCrash or SentryCrash report tells about the crash.
type ksReport struct {
	Crash struct {
		Error struct {
			Type    string
			Reason  string
			Address uint64
			Mach    struct {
				Name     string `json:"exception_name"`
				CodeName string `json:"code_name"`
			}
			Signal struct {
				Name     string
				Signal   int
				CodeName string `json:"code_name"`
			}
			NSException  struct{ Name, Reason string }
			CPPException struct{ Name string } `json:"cpp_exception"`
			User         struct {
				Name      string
				Language  string
				Backtrace json.RawMessage
			} `json:"user_reported"`
		}
		Diagnosis string
		Threads   []ksThread
	}
}

type ksThread struct {
	Index     int
	Name      string
	Queue     string `json:"dispatch_queue"`
	State     string
	Crashed   bool
	Backtrace struct {
		Contents []struct {
			Address uint64 `json:"instruction_addr"`
			Base    uint64 `json:"object_addr"`
			Object  string `json:"object_name"`
			Symbol  string `json:"symbol_name"`
		}
	}
}

type ksImage struct {
	Base uint64 `json:"image_addr"`
	Size uint64 `json:"image_size"`
	Name string
	UUID string
}

// readKSCrash reads a report, or the one that was written when the handler
// itself crashed.
func readKSCrash(r *millrace.Report, keys map[string]json.RawMessage) {
	var in ksReport
	_ = json.Unmarshal(keys["crash"], &in.Crash) // what does not fit one field leaves the others readable
	if in.Crash.Error.Type == "" && len(in.Crash.Threads) == 0 {
		var again map[string]json.RawMessage
		if json.Unmarshal(keys["recrash_report"], &again) != nil || again["crash"] == nil {
			return
		}
		delete(again, "recrash_report")
		readKSCrash(r, again)
		return
	}
	var list []ksImage
	_ = json.Unmarshal(keys["binary_images"], &list)
	all := make([]image, 0, len(list))
	for _, im := range list {
		all = append(all, image{base: im.Base, end: im.Base + im.Size, name: path.Base(im.Name), build: buildID(im.UUID), path: im.Name})
	}
	images := newImages(all)
	e := ksException(r, &in)
	crashed := false
	for _, t := range in.Crash.Threads[:min(len(in.Crash.Threads), maxThreads)] {
		out := millrace.Thread{ID: strconv.Itoa(t.Index), Name: t.Name, State: t.State, Crashed: t.Crashed, Frames: ksFrames(&t, images)}
		if out.Name == "" {
			out.Name = t.Queue
		}
		if t.Crashed && !crashed {
			crashed, e.Thread = true, out.Name
			if e.Frames == nil {
				e.Frames, out.Frames = out.Frames, nil
			}
		}
		r.Threads = append(r.Threads, out)
	}
	r.Exception = e
}

func ksFrames(t *ksThread, images images) []millrace.Frame {
	contents := t.Backtrace.Contents
	frames := make([]millrace.Frame, 0, min(len(contents), maxFrames))
	for _, c := range contents[:cap(frames)] {
		f := millrace.Frame{Module: c.Object, Function: c.Symbol, Address: c.Address}
		if f.Function == "<redacted>" {
			f.Function = ""
		}
		one := [1]millrace.Frame{f}
		images.resolve(one[:])
		f = one[0]
		if f.Offset == 0 && c.Base > 0 && c.Base <= c.Address {
			f.Offset = c.Address - c.Base
		}
		frames = append(frames, f)
	}
	return frames
}

// ksException names the crash by the most telling of what the report has.
func ksException(r *millrace.Report, in *ksReport) *millrace.Exception {
	x := &in.Crash.Error
	e := &millrace.Exception{Message: x.Reason}
	r.Language, r.Mechanism = langCocoa, x.Type
	first := func(words ...string) string {
		for _, w := range words {
			if w != "" {
				return w
			}
		}
		return ""
	}
	switch {
	case x.NSException.Name != "":
		e.Type, e.Message = x.NSException.Name, first(x.NSException.Reason, x.Reason)
	case x.CPPException.Name != "":
		e.Type = x.CPPException.Name
	case x.User.Name != "":
		e.Type, e.Frames = x.User.Name, ksUserFrames(x.User.Backtrace)
		if typ, msg, ok := anyTypeLine(x.User.Name); ok {
			e.Type, e.Message = typ, first(msg, x.Reason)
		}
		if strings.Contains(x.User.Language, "react") || x.User.Language == "javascript" {
			r.Language = langScript
		}
	default:
		e.Type = first(x.Mach.Name, x.Signal.Name, x.Type, "crash")
		if x.Mach.Name == "EXC_CRASH" {
			e.Type = first(x.Signal.Name, x.Mach.Name)
		}
		e.Message = first(x.Reason, x.Mach.CodeName, x.Signal.CodeName, in.Crash.Diagnosis)
	}
	return e
}

// ksUserFrames reads the stack that an app reported for another language.
func ksUserFrames(raw json.RawMessage) []millrace.Frame {
	var list []struct {
		File       string
		MethodName string
		LineNumber int
		Column     int
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	frames := make([]millrace.Frame, 0, min(len(list), maxFrames))
	for _, l := range list[:cap(frames)] {
		frames = append(frames, millrace.Frame{
			Function: l.MethodName, File: l.File, Line: max(l.LineNumber, 0), Column: max(l.Column, 0), InApp: scriptInApp(l.File),
		})
	}
	return frames
}
