package exception

import (
	"bytes"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// Version 2 of the fingerprint. It is frozen as version 1 is: what would change
// it becomes version 3. testdata/grouping.txt and TestFingerprint2 pin it.
//
//	fingerprint = "2:" + 16 hexadecimal digits of FNV-1a 64 over the parts, each
//	              followed by a zero byte
//	parts       = for the exception and its causes (at most 16), outermost first:
//	              "type", Type normalised, then per frame "frame", place, function;
//	              of a group then the distinct parts of its members (at most 16)
//	              in the order of their bytes, each after "member"
//	            | if no frame of all these tells anything: the types alone and, of
//	              the outermost exception that has a message, "message", Message
//	              normalised
//
// An exception equal to the one around it (type and frames, or the same type
// without frames that count) is left out: a wrapper that wraps its own kind again. Frames that a cause shares with the
// exception around it count once, where they were printed ("... 12 more") or
// repeated (Sentry's SDKs).
//
// Of a native process that ended itself the library's function that called abort
// counts too, before the application's frames.
//
// Frames: those in the application that people wrote (see skipFrame), innermost
// 32, each once; if there is none in the whole tree, the innermost 8 of all that
// are not the runtime's own way of ending. What a frame's place and name are
// compared by is told in normalise.go. Lines, columns, absolute addresses and
// threads never count. A native frame without a name counts by the build id of
// its image and the address within; without that it tells nothing.
const (
	fingerprintApp    = 32
	fingerprintSystem = 8
)

// LatestVersion is the newest version of the fingerprint; new projects use it.
const LatestVersion = 2

// FingerprintOf returns the fingerprint of r in a version from 1 to
// LatestVersion, "" for another version or without an exception. It is the same
// in every process and build; calls may run at the same time.
func FingerprintOf(version int, r *millrace.Report) string {
	switch {
	case r == nil || r.Exception == nil:
	case version == 1:
		return Fingerprint(r.Exception)
	case version == 2:
		c := collector{language: r.Language, buf: make([]byte, 0, 2048)}
		return c.fingerprint(r.Exception)
	}
	return ""
}

// Explanation tells why an event has its fingerprint.
type Explanation struct {
	Version     int    `json:"version"`
	Fingerprint string `json:"fingerprint"`
	// Basis is what was compared: "application frames", "all frames", "message",
	// or "rule" with the rule's name in Rule.
	Basis string `json:"basis"`
	Rule  string `json:"rule,omitempty"`
	Parts []Part `json:"parts,omitempty"`
}

// Part is one piece of an event that was looked at.
type Part struct {
	Kind  string `json:"kind"`           // "type", "message", "frame"
	Depth int    `json:"depth"`          // 0 for the exception, 1 for its cause, …
	Raw   string `json:"raw"`            // as received
	Used  string `json:"used,omitempty"` // what was compared; "" if it did not count
	// Stripped is what normalising took out ("numbers", "type arguments"), or why
	// the part did not count.
	Stripped []string `json:"stripped,omitempty"`
}

// Explain is FingerprintOf with the reasons, for pages and the API. Parts are
// bounded by the frames of r.
func Explain(version int, r *millrace.Report) Explanation {
	x := Explanation{Version: version}
	switch {
	case r == nil || r.Exception == nil:
	case version == 2:
		c := collector{language: r.Language, explain: &x}
		x.Fingerprint = c.fingerprint(r.Exception)
	default:
		x.Fingerprint = FingerprintOf(version, r)
		if all, inApp := countFrames(r.Exception); inApp > 0 {
			x.Basis = basisApp
		} else if all > 0 {
			x.Basis = basisAll
		} else {
			x.Basis = basisMessage
		}
	}
	return x
}

const (
	basisApp     = "application frames"
	basisAll     = "all frames"
	basisMessage = "message"
)

// collector builds the parts in one buffer, which the fast path hashes and the
// slow path describes as well: they cannot disagree.
type collector struct {
	language string
	buf      []byte
	system   bool // count frames outside of the application
	used     int  // frames
	explain  *Explanation
}

func (c *collector) fingerprint(e *millrace.Exception) string {
	basis := basisApp
	c.tree(e)
	if c.used == 0 {
		c.restart(true)
		basis = basisAll
		c.tree(e)
	}
	if c.used == 0 {
		basis = basisMessage
		c.messagePart(e)
	}
	if c.explain != nil {
		c.explain.Basis = basis
	}
	h := hash(fnvOffset)
	for _, b := range c.buf {
		h = (h ^ hash(b)) * fnvPrime
	}
	return h.text('2')
}

func (c *collector) restart(system bool) {
	c.buf, c.used, c.system = c.buf[:0], 0, system
	if c.explain != nil {
		c.explain.Parts = nil
	}
}

// tree adds e, its causes and the members of the groups among them.
func (c *collector) tree(e *millrace.Exception) {
	var from, to int // of the parts of the exception around it
	var outer *millrace.Exception
	for depth := 0; e != nil && depth < fingerprintCauses; depth++ {
		start := len(c.buf)
		parts := c.partCount()
		before := c.used
		c.one(e, outer, depth)
		previous := c.buf[from:to]
		if outer != nil && (bytes.Equal(previous, c.buf[start:]) || c.used == before && bytes.HasPrefix(previous, c.buf[start:])) {
			c.buf, c.used = c.buf[:start], before
			c.repeated(parts)
		} else {
			from, to = start, len(c.buf)
		}
		if len(e.Members) > 0 {
			c.members(e, depth)
		}
		outer, e = e, e.Cause
	}
}

// members adds what the members of a group are, whatever their order and number.
func (c *collector) members(e *millrace.Exception, depth int) {
	start := len(c.buf)
	var each [][]byte
	for _, m := range e.Members {
		at := len(c.buf)
		for d, x := 0, m; x != nil && d < fingerprintCauses; d, x = d+1, x.Cause {
			c.one(x, nil, depth+1+d)
		}
		one := slices.Clone(c.buf[at:])
		if !slices.ContainsFunc(each, func(b []byte) bool { return slices.Equal(b, one) }) {
			each = append(each, one)
		}
		if len(each) == fingerprintCauses {
			break
		}
	}
	c.buf = c.buf[:start]
	slices.SortFunc(each, slices.Compare)
	for _, one := range each {
		c.buf = append(append(c.buf, "member\x00"...), one...)
	}
}

// one adds an exception alone; outer is the one that it caused, or nil.
func (c *collector) one(e, outer *millrace.Exception, depth int) {
	c.buf = append(c.buf, "type\x00"...)
	from := len(c.buf)
	var why reasons
	c.buf, why = appendType(c.buf, c.language, e.Type)
	c.note("type", depth, e.Type, c.buf[from:], why)
	c.buf = append(c.buf, 0)
	own := len(e.Frames)
	if outer != nil && e.Common == 0 {
		own -= sharedFrames(e.Frames, outer.Frames)
	}
	limit := fingerprintApp
	if c.system {
		limit = fingerprintSystem
	}
	var seen [fingerprintApp][2]int
	n := 0
	if blamed := c.blamed(e.Frames[:own]); blamed >= 0 {
		f := e.Frames[blamed]
		f.InApp = true
		c.frame(&f, depth, seen[:], 0)
	}
	for i := range e.Frames {
		f := &e.Frames[i]
		switch {
		case i >= own:
			c.noteFrame(f, depth, nil, whyShared)
		case n == limit:
			c.noteFrame(f, depth, nil, whyLimit)
		default:
			n = c.frame(f, depth, seen[:], n)
		}
	}
	c.used += n
}

// blamed returns the index of the library's frame that ended a native process on
// purpose: the one that called abort, if it has a name; else -1. It tells two
// faults below one call of the application apart.
func (c *collector) blamed(frames []millrace.Frame) int {
	if c.system || c.language != langNative && c.language != langCocoa {
		return -1
	}
	for i := range frames {
		switch f := &frames[i]; {
		case nativeEnd(f.Function):
		case i == 0 || f.InApp || f.Function == "":
			return -1
		default:
			return i
		}
	}
	return -1
}

// frame adds one frame unless it does not count, and returns how many there are. seen
// tells where those before it are in buf.
func (c *collector) frame(f *millrace.Frame, depth int, seen [][2]int, n int) int {
	if why := skipFrame(c.language, f, c.system); why != 0 {
		c.noteFrame(f, depth, nil, why)
		return n
	}
	start := len(c.buf)
	c.buf = append(c.buf, "frame\x00"...)
	from := len(c.buf)
	var why reasons
	c.buf, why = appendFrameName(c.buf, c.language, f)
	if len(c.buf) == from+1 { // nothing but the zero byte between place and function
		c.buf = c.buf[:start]
		c.noteFrame(f, depth, nil, whyNameless)
		return n
	}
	for _, at := range seen[:n] {
		if bytes.Equal(c.buf[at[0]:at[1]], c.buf[from:]) {
			c.buf = c.buf[:start]
			c.noteFrame(f, depth, nil, whyRecursion)
			return n
		}
	}
	seen[n] = [2]int{from, len(c.buf)}
	c.noteFrame(f, depth, c.buf[from:], why)
	c.buf = append(c.buf, 0)
	return n + 1
}

// messagePart adds the first message of the chain.
func (c *collector) messagePart(e *millrace.Exception) {
	for depth := 0; e != nil && depth < fingerprintCauses; depth++ {
		if e.Message != "" {
			c.buf = append(c.buf, "message\x00"...)
			from := len(c.buf)
			var why reasons
			c.buf, why = appendMessage(c.buf, e.Message)
			c.note("message", depth, e.Message, c.buf[from:], why)
			c.buf = append(c.buf, 0)
			return
		}
		e = e.Cause
	}
}

// sharedFrames counts the outermost frames that two stacks have in common, to
// the line, which runtimes print once and Sentry's SDKs repeat.
func sharedFrames(inner, outer []millrace.Frame) int {
	n := 0
	for n < len(inner) && n < len(outer) && inner[len(inner)-1-n] == outer[len(outer)-1-n] {
		n++
	}
	return n
}

func (c *collector) partCount() int {
	if c.explain == nil {
		return 0
	}
	return len(c.explain.Parts)
}

// repeated marks the parts from n on as left out.
func (c *collector) repeated(n int) {
	if c.explain == nil {
		return
	}
	for i := n; i < len(c.explain.Parts); i++ {
		if p := &c.explain.Parts[i]; p.Used != "" {
			p.Used, p.Stripped = "", whyRepeated.words()
		}
	}
}

func (c *collector) note(kind string, depth int, raw string, used []byte, why reasons) {
	if c.explain == nil || raw == "" && len(used) == 0 {
		return
	}
	c.explain.Parts = append(c.explain.Parts, Part{
		Kind: kind, Depth: depth, Raw: raw, Used: strings.ReplaceAll(string(used), "\x00", " | "), Stripped: why.words(),
	})
}

func (c *collector) noteFrame(f *millrace.Frame, depth int, used []byte, why reasons) {
	if c.explain == nil {
		return
	}
	raw := f.Function
	if f.Module != "" {
		raw = f.Module + " | " + raw
	} else if f.File != "" {
		raw = f.File + " | " + raw
	}
	c.note("frame", depth, raw, used, why)
}

// text writes the hash behind a version digit and a colon.
func (h hash) text(version byte) string {
	var buf [18]byte
	buf[0], buf[1] = version, ':'
	for i := range 16 {
		buf[2+i] = "0123456789abcdef"[h>>(60-4*i)&15]
	}
	return string(buf[:])
}
