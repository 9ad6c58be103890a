package decode

import (
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// Exceptions of Sentry's protocol (develop.sentry.dev, "Exception Interface",
// "Stack Trace Interface", "Threads Interface", "Debug Meta").
//
// exception.values has the causes first and what was raised last. With
// mechanism.exception_id and parent_id they are a tree, in which members of a
// group have the source "exceptions[i]"; without these each is the cause of the
// one behind it. Of Java and Python, whose SDKs cut a type in two, type is
// module.Type as these languages print it.
//
// threads are kept with their stacks, but for the stack of the one that crashed,
// which is the exception's.
//
// stacktrace.frames has the oldest call first; ours is the innermost. A frame's
// file is filename, or abs_path; its module is module, or package (the path of a
// native image, by which its frames are told from the system's); in_app is false unless it is said to be true. Where
// an address lies in an image of debug_meta, the frame gets the image's build id
// and its offset in it.
//
// If no exception has frames, it has those of the thread that crashed, else of
// the current one, else of the event's own stacktrace, which old SDKs send.

// sentryReport collects the exceptions of one event.
type sentryReport struct {
	exceptions []sentryException
	frames     []millrace.Frame // of all, oldest call first in each
	images     []sentryImage
	counts     []int // frames of each thread, behind those of the exceptions
}

type sentryException struct {
	kind, value, module, mechanism, source string
	from, to                               int // in frames
	id, parent                             int // -1 for none
	group                                  bool
	handled                                *bool
}

type sentryImage struct {
	addr, size       uint64
	name, code, uuid string
}

func (r *sentryReport) reset() {
	const keep = 1 << 12
	if cap(r.frames) > keep || cap(r.exceptions) > keep || cap(r.images) > keep {
		*r = sentryReport{}
		return
	}
	clear(r.exceptions)
	clear(r.frames)
	clear(r.images)
	r.exceptions, r.frames, r.images, r.counts = r.exceptions[:0], r.frames[:0], r.images[:0], r.counts[:0]
}

// sentryExceptions reads {"values": [...]}, a list, or one exception.
func (d *Decoder) sentryExceptions(s *sentryState, at int) int {
	if at >= len(s.b) || s.b[at] != '{' {
		return d.sentryValues(s, at)
	}
	values, one := false, false
	end := eachMember(s.b, at, func(key []byte, at int) int {
		switch string(key) {
		case "values":
			values = true
			return d.sentryValues(s, at)
		case "type", "value", "stacktrace":
			one = true
		}
		return skipValue(s.b, at, 1)
	})
	if end > 0 && one && !values {
		return d.sentryException(s, at)
	}
	return end
}

func (d *Decoder) sentryValues(s *sentryState, at int) int {
	return eachElement(s.b, at, func(at int) int { return d.sentryException(s, at) })
}

func (d *Decoder) sentryException(s *sentryState, at int) int {
	b := s.b
	if at >= len(b) || b[at] != '{' {
		return skipValue(b, at, 1)
	}
	x := sentryException{id: -1, parent: -1, from: len(s.report.frames)}
	end := eachMember(b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "type":
			x.kind, end = d.textAt(b, at)
		case "value":
			if x.value, end = d.textAt(b, at); end > 0 && (b[at] == '{' || b[at] == '[') {
				x.value = borrow(b[at:end])
			}
		case "module":
			x.module, end = d.textAt(b, at)
		case "mechanism":
			end = d.sentryMechanism(b, at, &x)
		case "stacktrace":
			end = d.sentryStack(s, at)
		default:
			end = skipValue(b, at, 1)
		}
		return end
	})
	x.to = len(s.report.frames)
	s.report.exceptions = append(s.report.exceptions, x)
	return end
}

func (d *Decoder) sentryMechanism(b []byte, at int, x *sentryException) int {
	return eachMember(b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "type":
			x.mechanism, end = d.textAt(b, at)
		case "source":
			x.source, end = plainText(b, at)
		case "handled":
			if end = skipValue(b, at, 1); b[at] == 't' || b[at] == 'f' {
				x.handled = &handledValues[bit(b[at] == 't')]
			}
		case "is_exception_group":
			x.group = b[at] == 't'
			end = skipValue(b, at, 1)
		case "exception_id":
			x.id, end = intAt(b, at)
		case "parent_id":
			x.parent, end = intAt(b, at)
		default:
			end = skipValue(b, at, 1)
		}
		return end
	})
}

// handledValues are pointed to by reports; nobody writes to them.
var handledValues = [2]bool{false, true}

// intAt reads the number at b[i:] that is no less than 0; -1 if it is none.
func intAt(b []byte, i int) (n, end int) {
	if end = skipValue(b, i, 1); end < 0 {
		return -1, end
	}
	if n, err := strconv.Atoi(borrow(b[i:end])); err == nil && n >= 0 {
		return n, end
	}
	return -1, end
}

// sentryStack adds the frames of the stack trace at s.b[at:].
func (d *Decoder) sentryStack(s *sentryState, at int) int {
	return eachMember(s.b, at, func(key []byte, at int) int {
		if string(key) != "frames" {
			return skipValue(s.b, at, 1)
		}
		return eachElement(s.b, at, func(at int) int { return d.sentryFrame(s, at) })
	})
}

func (d *Decoder) sentryFrame(s *sentryState, at int) int {
	b := s.b
	if at >= len(b) || b[at] != '{' {
		return skipValue(b, at, 1)
	}
	s.report.frames = append(s.report.frames, millrace.Frame{})
	f := &s.report.frames[len(s.report.frames)-1]
	var path, image, raw string
	end := eachMember(b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "function":
			f.Function, end = d.textAt(b, at)
		case "raw_function":
			raw, end = d.textAt(b, at)
		case "module":
			f.Module, end = d.textAt(b, at)
		case "package":
			image, end = d.textAt(b, at)
		case "filename":
			f.File, end = d.textAt(b, at)
		case "abs_path":
			path, end = d.textAt(b, at)
		case "lineno":
			f.Line, end = intAt(b, at)
		case "colno":
			f.Column, end = intAt(b, at)
		case "instruction_addr":
			f.Address, end = addressAt(b, at)
		case "in_app":
			f.InApp = b[at] == 't'
			end = skipValue(b, at, 1)
		default:
			end = skipValue(b, at, 1)
		}
		return end
	})
	f.Line, f.Column = max(f.Line, 0), max(f.Column, 0)
	if f.Function == "" {
		f.Function = raw
	}
	if f.File == "" {
		f.File = path
	}
	if f.Module == "" {
		f.Module = image
	}
	return end
}

// addressAt reads an address: "0x…", or a number.
func addressAt(b []byte, i int) (uint64, int) {
	text, end := plainText(b, i)
	if text == "" && end > 0 {
		text = borrow(b[i:end])
	}
	n, _ := strconv.ParseUint(text, 0, 64)
	return n, end
}

// sentryReport makes the report of what was read, nil if there is no exception.
func (d *Decoder) sentryReport(s *sentryState) *millrace.Report {
	r := &s.report
	crashed := false
	if len(r.frames) == 0 {
		r.exceptions, crashed = d.sentryThread(s)
	}
	if len(r.exceptions) == 0 && !crashed {
		return nil
	}
	own := len(r.frames) // of the exceptions
	threads := d.sentryThreads(s)
	for i := range r.frames {
		if r.frames[i].Address != 0 {
			d.sentryImages(s)
			break
		}
	}
	out := &millrace.Report{Language: sentryLanguage(s.platform), Threads: threads}
	all := make([]millrace.Exception, max(1, len(r.exceptions)))
	frames := slices.Clone(r.frames)
	r.placeThreads(threads, frames[own:])
	if len(r.exceptions) == 0 {
		all[0].Frames = frames[:own:own]
		slices.Reverse(all[0].Frames)
		out.Exception = &all[0]
		return out
	}
	for i := range r.exceptions {
		x := &r.exceptions[i]
		all[i].Type, all[i].Message = d.sentryType(x, out.Language), x.value
		if x.from < x.to {
			all[i].Frames = frames[x.from:x.to:x.to]
			slices.Reverse(all[i].Frames)
		}
	}
	root := r.connect(all)
	out.Exception = &all[root]
	out.Mechanism, out.Handled = r.exceptions[root].mechanism, r.exceptions[root].handled
	return out
}

func (d *Decoder) sentryType(x *sentryException, language string) string {
	switch {
	case x.module == "" || x.kind == "" || strings.HasPrefix(x.kind, x.module+"."):
	case language == "java", language == "python" && x.module != "builtins" && x.module != "__main__":
		t := append(append(d.b.Text(len(x.module)+1+len(x.kind)), x.module...), '.')
		return borrow(append(t, x.kind...))
	}
	return x.kind
}

// connect links the exceptions, which are in the order of values, and returns
// which was raised last.
func (r *sentryReport) connect(all []millrace.Exception) (root int) {
	byID := map[int]int{}
	root = -1
	for i := len(all) - 1; i >= 0; i-- {
		x := &r.exceptions[i]
		if x.id >= 0 {
			byID[x.id] = i
		}
		if x.parent < 0 && root < 0 {
			root = i
		}
	}
	if len(byID) < len(all) || root < 0 {
		for i := len(all) - 1; i > 0; i-- {
			all[i].Cause = &all[i-1]
		}
		return len(all) - 1
	}
	for i := len(all) - 1; i >= 0; i-- {
		x := &r.exceptions[i]
		at, ok := byID[x.parent]
		switch {
		case i == root:
		case x.parent < 0 || !ok: // nobody's child
			all[root].Related = append(all[root].Related, &all[i])
		case r.exceptions[at].group && strings.HasPrefix(x.source, "exceptions"):
			all[at].Members = append(all[at].Members, &all[i])
		case all[at].Cause == nil:
			all[at].Cause = &all[i]
		default:
			all[at].Related = append(all[at].Related, &all[i])
		}
	}
	return root
}

// sentryThread gives the exception raised last, if no exception has frames, those
// of a thread or of the event. crashed tells that a thread crashed without any
// exception.
func (d *Decoder) sentryThread(s *sentryState) (exceptions []sentryException, crashed bool) {
	r := &s.report
	stack, best := s.stack, 0
	thread := func(at int) int {
		rank, trace := 1, 0
		end := eachMember(s.b, at, func(key []byte, at int) int {
			switch string(key) {
			case "crashed":
				if s.b[at] == 't' {
					rank = 3
				}
			case "current":
				if s.b[at] == 't' {
					rank = max(rank, 2)
				}
			case "stacktrace":
				if s.b[at] == '{' {
					trace = at
				}
			}
			return skipValue(s.b, at, 1)
		})
		if trace > 0 && rank > max(best, 1) {
			best, stack = rank, trace
		}
		return end
	}
	if s.threads > 0 && s.b[s.threads] == '[' {
		eachElement(s.b, s.threads, thread)
	} else if s.threads > 0 {
		eachMember(s.b, s.threads, func(key []byte, at int) int {
			if string(key) == "values" {
				return eachElement(s.b, at, thread)
			}
			return skipValue(s.b, at, 1)
		})
	}
	n := len(r.exceptions)
	if stack == 0 || n == 0 && best < 3 {
		return r.exceptions, false
	}
	d.sentryStack(s, stack)
	s.used = stack
	if n > 0 {
		r.exceptions[n-1].from, r.exceptions[n-1].to = 0, len(r.frames)
	}
	return r.exceptions, n == 0 && len(r.frames) > 0
}

// sentryImages tells frames which image they are in.
func (d *Decoder) sentryImages(s *sentryState) {
	r := &s.report
	if s.images == 0 {
		return
	}
	eachMember(s.b, s.images, func(key []byte, at int) int {
		if string(key) != "images" {
			return skipValue(s.b, at, 1)
		}
		return eachElement(s.b, at, func(at int) int { return d.sentryImage(s, at) })
	})
	slices.SortStableFunc(r.images, func(a, b sentryImage) int {
		switch {
		case a.addr < b.addr:
			return -1
		case a.addr > b.addr:
			return 1
		}
		return 0
	})
	for i := range r.frames {
		f := &r.frames[i]
		at, _ := slices.BinarySearchFunc(r.images, f.Address, func(m sentryImage, addr uint64) int {
			if m.addr <= addr {
				return -1
			}
			return 1
		})
		if at == 0 {
			continue
		}
		m := &r.images[at-1]
		if f.Address == 0 || m.addr == 0 || m.size > 0 && f.Address-m.addr >= m.size {
			continue
		}
		f.Offset, f.Build = f.Address-m.addr, m.build()
		if f.Module == "" {
			f.Module = m.name
		}
	}
}

func (d *Decoder) sentryImage(s *sentryState, at int) int {
	var m sentryImage
	end := eachMember(s.b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "image_addr":
			m.addr, end = addressAt(s.b, at)
		case "image_size":
			m.size, end = addressAt(s.b, at)
		case "code_file", "name":
			m.name, end = d.textAt(s.b, at)
		case "code_id":
			m.code, end = plainText(s.b, at)
		case "debug_id", "uuid":
			m.uuid, end = plainText(s.b, at)
		default:
			end = skipValue(s.b, at, 1)
		}
		return end
	})
	if m.addr > 0 {
		s.report.images = append(s.report.images, m)
	}
	return end
}

// build is the code id, which is ELF's build id, or else the debug id, which is
// Mach-O's UUID: lower case digits without dashes.
func (m *sentryImage) build() string {
	id := m.code
	if id == "" {
		id = m.uuid
	}
	return strings.ToLower(strings.ReplaceAll(id, "-", ""))
}

// sentryLanguage returns the language of a platform, as Report has it.
func sentryLanguage(platform string) string {
	switch platform {
	case "java", "python", "go", "javascript", "php", "ruby", "dart", "rust", "native", "cocoa":
		return platform
	case "node":
		return "javascript"
	case "csharp":
		return "dotnet"
	case "c":
		return "native"
	case "objc":
		return "cocoa"
	}
	return ""
}
