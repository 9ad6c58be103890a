package web

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// reportView is an exception report as pages show it.
type reportView struct {
	Facts      []fact
	Exceptions []exceptionView // outermost first, each followed by what belongs to it
	Threads    []threadView
}

// exceptionView is one exception of the chain.
type exceptionView struct {
	Relation string // how it belongs to the one before: "Caused by"; "" of the outermost
	Nested   bool   // it stands beside the chain
	Type     string
	Message  string
	Thread   string
	Groups   []frameGroup
	Shared   int // outermost frames that are those of the exception around it
}

// threadView is one thread of a crash.
type threadView struct {
	Label   string
	State   string
	Crashed bool
	Groups  []frameGroup
	Frames  int
}

// frameGroup is frames in a row, innermost first, that are shown or folded.
type frameGroup struct {
	Folded bool
	Label  string // of folded ones
	Frames []frameView
}

type frameView struct {
	Function string
	Module   string
	Place    string // file, line and column; else where in the image
	InApp    bool
	Times    int // how often it stands there, where that is more than once
}

// Frames of an exception without any of the application that are shown unfolded.
const shownFrames = 8

// newReport returns what pages show of a report.
func newReport(r *millrace.Report) *reportView {
	out := &reportView{}
	add := func(label, text string) {
		if text != "" {
			out.Facts = append(out.Facts, fact{Label: label, Text: visible(text)})
		}
	}
	add("Language", r.Language)
	add("Caught by", r.Mechanism)
	if r.Handled != nil {
		add("Handled", map[bool]string{true: "yes", false: "no"}[*r.Handled])
	}
	if r.Exception != nil {
		out.chain(r.Exception, nil, "", false)
	}
	for i := range r.Threads {
		out.Threads = append(out.Threads, newThread(&r.Threads[i]))
	}
	return out
}

// chain adds e and what belongs to it. around is the full stack of the exception
// that e belongs to.
func (v *reportView) chain(e *millrace.Exception, around []millrace.Frame, relation string, nested bool) {
	full := exception.FullStack(e, around)
	x := exceptionView{
		Relation: relation, Nested: nested, Type: visible(e.Type), Message: visible(e.Message), Thread: visible(e.Thread),
		Groups: foldFrames(e.Frames), Shared: len(full) - len(e.Frames),
	}
	if x.Shared > 0 {
		shared := frameGroup{Folded: true, Label: plural(x.Shared, "frame") + " shared with the exception above"}
		for i := range full[len(e.Frames):] {
			shared.Frames = append(shared.Frames, newFrame(&full[len(e.Frames)+i]))
		}
		x.Groups = append(x.Groups, shared)
	}
	v.Exceptions = append(v.Exceptions, x)
	for _, m := range e.Members {
		v.chain(m, full, "Member of the group", true)
	}
	for _, m := range e.Related {
		v.chain(m, full, "Along with it", true)
	}
	if e.Cause != nil {
		v.chain(e.Cause, full, "Caused by", nested)
	}
}

func newThread(t *millrace.Thread) threadView {
	label := "Thread"
	switch {
	case t.Name != "" && t.ID != "":
		label = t.Name + " (" + t.ID + ")"
	case t.Name != "":
		label = t.Name
	case t.ID != "":
		label = "Thread " + t.ID
	}
	return threadView{
		Label: visible(label), State: visible(t.State), Crashed: t.Crashed, Groups: foldFrames(t.Frames), Frames: len(t.Frames),
	}
}

// foldFrames keeps the application's frames in sight, and the innermost one,
// where it happened; those of libraries between them are folded. Where nothing is
// the application's the innermost ones are shown.
func foldFrames(frames []millrace.Frame) []frameGroup {
	list, own := collapse(frames)
	if !own {
		out := []frameGroup{{Frames: list[:min(len(list), shownFrames)]}}
		if rest := list[len(out[0].Frames):]; len(rest) > 0 {
			out = append(out, frameGroup{Folded: true, Label: plural(len(rest), "more frame"), Frames: rest})
		}
		return out[:min(len(out), len(list))]
	}
	var out []frameGroup
	for start := 0; start < len(list); {
		end := start + 1
		seen := list[start].InApp || start == 0
		for end < len(list) && list[end].InApp == seen {
			end++
		}
		g := frameGroup{Frames: list[start:end]}
		if !seen && len(g.Frames) > 1 {
			g.Folded, g.Label = true, foldLabel(g.Frames)
		}
		if n := len(out); n > 0 && !g.Folded && !out[n-1].Folded {
			out[n-1].Frames = append(out[n-1].Frames[:len(out[n-1].Frames):len(out[n-1].Frames)], g.Frames...)
		} else {
			out = append(out, g)
		}
		start = end
	}
	return out
}

// collapse joins equal frames that follow each other: a recursion is told once.
func collapse(frames []millrace.Frame) (out []frameView, own bool) {
	for i := range frames {
		f := newFrame(&frames[i])
		own = own || f.InApp
		if n := len(out); n > 0 {
			last := out[n-1]
			last.Times = 0
			if last == f {
				out[n-1].Times = max(out[n-1].Times, 1) + 1
				continue
			}
		}
		out = append(out, f)
	}
	return out, own
}

func newFrame(f *millrace.Frame) frameView {
	v := frameView{Function: visible(f.Function), Module: visible(f.Module), InApp: f.InApp, Place: visible(f.File)}
	switch {
	case f.File != "" && f.Line > 0 && f.Column > 0:
		v.Place += fmt.Sprintf(":%d:%d", f.Line, f.Column)
	case f.File != "" && f.Line > 0:
		v.Place += ":" + strconv.Itoa(f.Line)
	case f.File == "" && f.Line > 0:
		v.Place = "line " + strconv.Itoa(f.Line)
	case f.File == "" && f.Offset > 0:
		v.Place = "+0x" + strconv.FormatUint(f.Offset, 16)
	case f.File == "" && f.Address > 0:
		v.Place = "0x" + strconv.FormatUint(f.Address, 16)
	}
	if v.Function == "" && v.Module == "" {
		v.Function = "?"
		if f.Column > 0 { // a module's own code, as JavaScript's engines name what has no name
			v.Function = "<anonymous>"
		}
		if f.Address > 0 {
			v.Function = "0x" + strconv.FormatUint(f.Address, 16)
		}
	}
	return v
}

// foldLabel says how many frames are folded and whose most of them are.
func foldLabel(frames []frameView) string {
	counts := map[string]int{}
	best, n := "", 0
	for i := range frames {
		name := library(&frames[i])
		n += max(1, frames[i].Times)
		if counts[name]++; name != "" && (counts[name] > counts[best] || best == "") {
			best = name
		}
	}
	if best == "" {
		return plural(n, "frame") + " of libraries"
	}
	return plural(n, "frame") + " of " + best
}

// library names what a frame belongs to: the first two parts of a class or
// package, else the file of a binary image or package folder.
func library(f *frameView) string {
	name := f.Module
	if name == "" {
		if _, after, ok := strings.Cut(f.Place, "node_modules/"); ok {
			name, _, _ = strings.Cut(after, "/")
			return name
		}
		if _, after, ok := strings.Cut(f.Place, "site-packages/"); ok {
			name, _, _ = strings.Cut(after, "/")
			return name
		}
		return ""
	}
	if i := strings.LastIndexByte(name, '/'); i >= 0 && !strings.Contains(name[:i], ".") {
		name = name[i+1:]
	}
	parts := strings.SplitN(name, ".", 3)
	if len(parts) > 2 {
		return parts[0] + "." + parts[1]
	}
	return name
}

// plural writes a number of things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return formatCount(int64(n)) + " " + what + "s"
}
