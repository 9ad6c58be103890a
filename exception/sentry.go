package exception

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// sentryEvent is what a Sentry event tells about an exception (develop.sentry.dev,
// event payloads, protocol version 7). Unknown fields are left alone.
type sentryEvent struct {
	Platform   string
	Exception  sentryValues[sentryException]
	Threads    sentryValues[sentryThread]
	Stacktrace *sentryStack // of SDKs older than the thread interface
	Message    json.RawMessage
	Logentry   json.RawMessage
	DebugMeta  struct {
		Images []sentryImage
	} `json:"debug_meta"`
}

type sentryException struct {
	Type, Value, Module text
	ThreadID            text `json:"thread_id"`
	Stacktrace          *sentryStack
	Mechanism           struct {
		Type        string
		Handled     *bool
		ID          *int `json:"exception_id"`
		Parent      *int `json:"parent_id"`
		Source      string
		IsGroup     bool `json:"is_exception_group"`
		Synthetic   bool
		Description string
	}
}

type sentryThread struct {
	ID         text
	Name       text
	State      text
	Crashed    bool
	Current    bool
	Stacktrace *sentryStack
}

type sentryStack struct {
	Frames []*sentryFrame
}

type sentryFrame struct {
	Module, Function, Filename, Package text
	AbsPath                             text `json:"abs_path"`
	Lineno, Colno                       int
	Address                             text  `json:"instruction_addr"`
	Image                               text  `json:"image_addr"`
	InApp                               *bool `json:"in_app"`
	Platform                            string
}

type sentryImage struct {
	Addr    text   `json:"image_addr"`
	Size    uint64 `json:"image_size"`
	DebugID string `json:"debug_id"`
	UUID    string
	CodeID  string `json:"code_id"`
	File    string `json:"code_file"`
	Name    string
}

// text takes any scalar where the protocol has a string: SDKs send numbers as
// types and ids. What is no scalar stays empty.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*t = text(s)
	case 'n', '{', '[':
	default:
		*t = text(b)
	}
	return nil
}

// sentryValues takes {"values": […]}, the list alone or a single value, all of
// which SDKs have sent.
type sentryValues[T any] struct{ list []T }

func (v *sentryValues[T]) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '[':
		return keepGoing(json.Unmarshal(b, &v.list))
	case '{':
		var wrapped struct{ Values *[]T }
		if err := keepGoing(json.Unmarshal(b, &wrapped)); err != nil {
			return err
		}
		if wrapped.Values != nil {
			v.list = *wrapped.Values
			return nil
		}
		var one [1]T
		err := keepGoing(json.Unmarshal(b, &one[0]))
		v.list = one[:]
		return err
	}
	return nil
}

// keepGoing forgives a value of another type than expected: json leaves that
// field empty and reads the rest.
func keepGoing(err error) error {
	if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return nil
	}
	return err
}

// FromSentry reads the exceptions, threads and stack traces of a Sentry event
// (JSON). Missing in_app flags are decided by the rules of the language. ok is
// false if the event is no JSON object or has no exception and no stack trace.
// The strings are copies.
func FromSentry(event []byte) (r millrace.Report, ok bool) {
	var in sentryEvent
	if keepGoing(json.Unmarshal(event, &in)) != nil {
		return r, false
	}
	c := sentryConverter{images: sentryImages(in.DebugMeta.Images), platform: in.Platform}
	r.Language = sentryLanguage(in.Platform)
	list := in.Exception.list
	for i := range list {
		list[i].Stacktrace = nonNil(list[i].Stacktrace)
	}
	r.Exception = c.tree(&r, list)
	c.threads(&r, in.Threads.list)
	if in.Stacktrace != nil && len(in.Stacktrace.Frames) > 0 {
		c.attach(&r, c.frames(in.Stacktrace), "")
	}
	e := r.Exception
	if e == nil {
		return millrace.Report{}, false
	}
	if e.Type == "" && e.Message == "" {
		e.Message = sentryMessage(in.Logentry, in.Message)
	}
	return r, true
}

func nonNil(s *sentryStack) *sentryStack {
	if s == nil {
		return &sentryStack{}
	}
	return s
}

// sentryMessage is the text of a message event.
func sentryMessage(raws ...json.RawMessage) string {
	for _, raw := range raws {
		if len(raw) == 0 {
			continue
		}
		if raw[0] == '"' {
			var s string
			if json.Unmarshal(raw, &s) == nil && s != "" {
				return s
			}
			continue
		}
		var entry struct{ Formatted, Message text }
		_ = json.Unmarshal(raw, &entry)
		if entry.Formatted != "" {
			return string(entry.Formatted)
		}
		if entry.Message != "" {
			return string(entry.Message)
		}
	}
	return ""
}

// sentryLanguages maps platforms; others keep their name.
var sentryLanguages = map[string]string{
	"javascript": langScript, "node": langScript, "csharp": langDotnet, "objc": langCocoa, "cocoa": langCocoa, "swift": langCocoa,
	"c": langNative, "native": langNative, "flutter": langDart, "kotlin": langJava, "android": langJava,
}

func sentryLanguage(platform string) string {
	if l, ok := sentryLanguages[platform]; ok {
		return l
	}
	return platform
}

type sentryConverter struct {
	images   images
	platform string
}

func sentryImages(list []sentryImage) images {
	all := make([]image, 0, len(list))
	for _, im := range list {
		base, _, ok := hexPrefix(string(im.Addr))
		if !ok {
			continue
		}
		id, path := im.DebugID, im.File
		for _, other := range [...]string{im.UUID, im.CodeID} {
			if id == "" {
				id = other
			}
		}
		if path == "" {
			path = im.Name
		}
		all = append(all, image{base: base, end: base + im.Size, name: baseName(path), build: buildID(id), path: path})
	}
	return newImages(all)
}

// tree links the exceptions. The protocol lists causes before what they caused;
// newer SDKs say with ids which belongs to which.
func (c *sentryConverter) tree(r *millrace.Report, list []sentryException) *millrace.Exception {
	list = list[max(0, len(list)-maxCauses-maxRelated):]
	nodes := make([]*millrace.Exception, len(list))
	byID := map[int]int{}
	for i := range list {
		x := &list[i]
		nodes[i] = &millrace.Exception{
			Type: string(x.Type), Message: string(x.Value), Thread: string(x.ThreadID), Frames: c.frames(x.Stacktrace),
		}
		if m := string(x.Module); m != "" && r.Language == langJava && !strings.ContainsRune(nodes[i].Type, '.') {
			nodes[i].Type = m + "." + nodes[i].Type
		}
		if id := x.Mechanism.ID; id != nil {
			byID[*id] = i
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	root := len(nodes) - 1
	r.Mechanism, r.Handled = list[root].Mechanism.Type, list[root].Mechanism.Handled
	last := nodes[root]
	for i := root - 1; i >= 0; i-- {
		parent, known := c.parent(list, byID, i)
		switch {
		case known && parent > i && list[parent].Mechanism.IsGroup:
			nodes[parent].Members = append(nodes[parent].Members, nodes[i])
		case known && parent > i && nodes[parent].Cause == nil:
			nodes[parent].Cause = nodes[i]
		case known && parent > i:
			nodes[parent].Related = append(nodes[parent].Related, nodes[i])
		default:
			for last.Cause != nil {
				last = last.Cause
			}
			last.Cause = nodes[i]
		}
	}
	return nodes[root]
}

// parent returns the index of the exception that list[i] says it belongs to.
func (c *sentryConverter) parent(list []sentryException, byID map[int]int, i int) (int, bool) {
	p := list[i].Mechanism.Parent
	if p == nil || list[i].Mechanism.ID == nil {
		return 0, false
	}
	at, ok := byID[*p]
	return at, ok && at != i
}

// threads adds the threads; the crashed one's stack goes to an exception that
// has none.
func (c *sentryConverter) threads(r *millrace.Report, list []sentryThread) {
	for i := range list[:min(len(list), maxThreads)] {
		t := &list[i]
		out := millrace.Thread{
			ID: string(t.ID), Name: string(t.Name), State: string(t.State), Crashed: t.Crashed, Frames: c.frames(nonNil(t.Stacktrace)),
		}
		if (t.Crashed || t.Current && !slices.ContainsFunc(list, func(o sentryThread) bool { return o.Crashed })) && len(out.Frames) > 0 {
			if c.attach(r, out.Frames, out.Name) {
				out.Frames = nil
			}
		}
		r.Threads = append(r.Threads, out)
	}
}

// attach gives the exception its frames if it has none, and makes one if a
// message came with a stack trace.
func (c *sentryConverter) attach(r *millrace.Report, frames []millrace.Frame, thread string) bool {
	if r.Exception == nil {
		r.Exception = &millrace.Exception{}
	}
	if len(r.Exception.Frames) > 0 {
		return false
	}
	r.Exception.Frames, r.Exception.Thread = frames, thread
	return true
}

// frames turns the stack around: the protocol lists the outermost call first.
func (c *sentryConverter) frames(s *sentryStack) []millrace.Frame {
	if len(s.Frames) == 0 {
		return nil
	}
	out := make([]millrace.Frame, 0, min(len(s.Frames), maxFrames))
	for _, in := range slices.Backward(s.Frames) {
		if in == nil || len(out) == maxFrames {
			continue
		}
		out = append(out, c.frame(in))
	}
	return out
}

func (c *sentryConverter) frame(in *sentryFrame) millrace.Frame {
	f := millrace.Frame{
		Module: string(in.Module), Function: string(in.Function), File: string(in.Filename),
		Line: max(in.Lineno, 0), Column: max(in.Colno, 0), Address: sentryAddress(in.Address),
	}
	if f.File == "" {
		f.File = string(in.AbsPath)
	}
	if f.Module == "" {
		f.Module = string(in.Package)
	}
	if f.Function == "?" || f.Function == "<unknown>" {
		f.Function = ""
	}
	if im := c.images.at(f.Address); im != nil && f.Address > 0 {
		f.Build, f.Offset = im.build, f.Address-im.base
		if f.Module == "" {
			f.Module = im.path
		}
	} else if base := sentryAddress(in.Image); base > 0 && base <= f.Address {
		f.Offset = f.Address - base
	}
	platform := in.Platform
	if platform == "" {
		platform = c.platform
	}
	if in.InApp != nil {
		f.InApp = *in.InApp
	} else {
		f.InApp = inApp(sentryLanguage(platform), &f)
	}
	return f
}

func sentryAddress(s text) uint64 {
	if n, _, ok := hexPrefix(string(s)); ok {
		return n
	}
	n, _ := strconv.ParseUint(string(s), 10, 64)
	return n
}

// inApp decides for frames that come without a flag.
func inApp(language string, f *millrace.Frame) bool {
	switch language {
	case langJava:
		return javaInApp(f.Module)
	case langPython:
		return pythonInApp(f.File)
	case langGo:
		return goInApp(f.Module, f.File)
	case langScript:
		return scriptInApp(f.File)
	case langDotnet:
		return dotnetInApp(f.Module)
	case langPHP:
		return phpInApp(f.File)
	case langRuby:
		return rubyInApp(f.File)
	case langDart:
		return dartInApp(f.File)
	case langRust:
		return rustInApp(f)
	case langCocoa, langNative:
		if f.Module == "" && f.Function == "" {
			return false
		}
		return appleInApp(baseName(f.Module), pathOnly(f.Module)) && !nativeRuntime(f.Function) && !nativeStandard(f.Function)
	}
	return true
}

// pathOnly returns s if it is a path, "" if it is the name of an image.
func pathOnly(s string) string {
	if strings.ContainsAny(s, `/\`) {
		return s
	}
	return ""
}

// nativeStandard: names of the C++ standard library, which is linked into the
// application's images.
func nativeStandard(function string) bool {
	for _, p := range [...]string{"std::", "__gnu_cxx::", "__cxxabi", "boost::", "operator new", "operator delete", "__swift_", "swift_", "objc_"} {
		if strings.HasPrefix(function, p) {
			return true
		}
	}
	return false
}
