package exception

import (
	"iter"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// Version 1 of the fingerprint. It is frozen: rollups and issues are keyed by
// it, so a better algorithm becomes version 2 beside it, never a change here.
// The golden tests pin it.
//
//	fingerprint = "1:" + 16 hexadecimal digits of FNV-1a 64 over the parts, each
//	              followed by a zero byte
//	parts       = for each exception of the cause chain (at most 16), outermost
//	              first, at its end the first member if the outermost is a group:
//	              "type", Type normalised, then per frame "frame", module
//	              normalised, function normalised
//	            | if the whole chain has no frames: "type", Type normalised,
//	              "message", Message normalised
//
// Frames: those in the application. If the chain has none of these, all. Within
// one exception a frame equal to an earlier one is left out, which collapses
// recursion, mutual recursion too; at most 64 frames count, innermost first.
// Lines, columns, addresses and directories never count.
//
// Module: as it is; without one, the last element of the file's path, without
// a query and without runs of 6 or more hexadecimal digits with a decimal one
// among them (hashes in names of bundles).
//
// Names: what generators number differently in every build or process goes:
// "$$Lambda…", "$$Enhancer…", "$$FastClass…", "$$SpringCGLIB…" and
// "$HibernateProxy…" are cut off; Go's type arguments "[…]" and Ruby's
// "(2 levels) " are left out; "\\" is "\"; decimal digits are left out behind
// '$', '#', ':', '.', "__", "func", "gowrap", "lambda", "closure", "Proxy",
// "Accessor", "AnonStorey", "DisplayClass", and behind '_' after left-out digits.
//
// Message: its first line, at most 200 bytes; what stands in quotes ('…', "…",
// `…`) is '?', a word with a digit in it is '#', white space is one blank.
const (
	fingerprintCauses = 16
	fingerprintFrames = 64
)

// Fingerprint returns the version 1 fingerprint of e, by which equal exceptions
// are counted: 18 bytes, the same in every process and build.
func Fingerprint(e *millrace.Exception) string {
	h := hash(fnvOffset)
	frames, inApp := countFrames(e)
	for e := range firstChain(e) {
		h.part("type")
		h.name(e.Type)
		if frames == 0 {
			h.part("message")
			h.message(e.Message)
			break
		}
		h.frames(e.Frames, inApp > 0)
	}
	return h.text('1')
}

// firstChain yields e, its causes and, at their end, the first member of the
// group that e is: at most fingerprintCauses exceptions.
func firstChain(e *millrace.Exception) iter.Seq[*millrace.Exception] {
	return func(yield func(*millrace.Exception) bool) {
		head, n := e, 0
		for ; e != nil && n < fingerprintCauses; e, n = e.Cause, n+1 {
			if !yield(e) {
				return
			}
		}
		if head != nil && len(head.Members) > 0 && n < fingerprintCauses {
			yield(head.Members[0])
		}
	}
}

func countFrames(e *millrace.Exception) (all, inApp int) {
	for e := range firstChain(e) {
		all += len(e.Frames)
		for i := range e.Frames {
			if e.Frames[i].InApp {
				inApp++
			}
		}
	}
	return all, inApp
}

// hash is FNV-1a with 64 bits (Fowler, Noll, Vo), as in hash/fnv, byte by byte
// so that normalising needs no buffer.
type hash uint64

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (h *hash) byte(c byte) { *h = (*h ^ hash(c)) * fnvPrime }

func (h *hash) part(s string) {
	for i := range len(s) {
		h.byte(s[i])
	}
	h.byte(0)
}

func (h *hash) frames(frames []millrace.Frame, inApp bool) {
	var seen [fingerprintFrames]hash
	n := 0
	for i := range frames {
		f := &frames[i]
		if inApp && !f.InApp {
			continue
		}
		one := hash(fnvOffset)
		one.frame(f)
		if slices.Contains(seen[:n], one) {
			continue
		}
		if n == len(seen) {
			return
		}
		seen[n] = one
		n++
		h.frame(f)
	}
}

func (h *hash) frame(f *millrace.Frame) {
	h.part("frame")
	if f.Module != "" {
		h.name(f.Module)
	} else {
		h.file(f.File)
	}
	h.name(f.Function)
}

// generated begin the parts of names that are cut off.
var generated = [...]string{"$$Lambda", "$$Enhancer", "$$FastClass", "$$SpringCGLIB", "$HibernateProxy"}

// numbered are the words behind which digits are left out.
var numbered = [...]string{
	"$", "#", ":", ".", "__", "func", "gowrap", "lambda", "closure", "Proxy", "Accessor", "AnonStorey", "DisplayClass",
}

// name adds the normalised form of a type, module or function.
func (h *hash) name(s string) {
	if strings.IndexByte(s, '$') >= 0 {
		for _, g := range generated {
			if i := strings.Index(s, g); i >= 0 {
				s = s[:i]
			}
		}
	}
	dropped := -1 // where the last left-out digits ended
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isDigit(c) && (endsNumbered(s[:i]) || i > 0 && dropped == i-1 && s[i-1] == '_'):
			i += digits(s[i:])
			dropped = i
			continue
		case c == '[':
			if end := strings.IndexByte(s[i:], ']'); end > 0 {
				i += end + 1
				continue
			}
		case c == '(' && i+1 < len(s) && isDigit(s[i+1]):
			if end := strings.Index(s[i:], " levels) "); end > 0 {
				i += end + len(" levels) ")
				continue
			}
		case c == '\\' && i+1 < len(s) && s[i+1] == '\\':
			i++
		}
		h.byte(c)
		i++
	}
	h.byte(0)
}

// numberedEnds are the last bytes of numbered.
var numberedEnds = func() (set [256]bool) {
	for _, w := range numbered {
		set[w[len(w)-1]] = true
	}
	return set
}()

func endsNumbered(s string) bool {
	if s == "" || !numberedEnds[s[len(s)-1]] {
		return false
	}
	for _, w := range numbered {
		if strings.HasSuffix(s, w) {
			return true
		}
	}
	return false
}

// file adds the last element of a path without hashes.
func (h *hash) file(s string) {
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s = s[:i]
	}
	s = s[strings.LastIndexAny(s, "/\\")+1:]
	for i := 0; i < len(s); {
		n, decimal := 0, false
		for i+n < len(s) && isHex(s[i+n]) {
			decimal = decimal || isDigit(s[i+n])
			n++
		}
		if n >= 6 && decimal {
			i += n
			continue
		}
		for end := i + max(n, 1); i < end; i++ {
			h.byte(s[i])
		}
	}
	h.byte(0)
}

func isHex(c byte) bool { return isDigit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// message adds the normalised form of a message.
func (h *hash) message(s string) {
	s, _, _ = strings.Cut(s, "\n")
	s = cutString(s, 200)
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = h.quoted(s, i)
		case c == ' ' || c == '\t' || c == '\r':
			for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r') {
				i++
			}
			h.byte(' ')
		case wordByte(c):
			i = h.word(s, i)
		default:
			h.byte(c)
			i++
		}
	}
	h.byte(0)
}

// quoted adds '?' for the quotation that starts at i, or the quote itself if it
// is an apostrophe or has no end. A backquote may end in an apostrophe.
func (h *hash) quoted(s string, i int) int {
	c := s[i]
	apostrophe := c == '\'' && i > 0 && wordByte(s[i-1])
	end := strings.IndexByte(s[i+1:], c)
	if end < 0 && c == '`' {
		end = strings.IndexByte(s[i+1:], '\'')
	}
	if apostrophe || end < 0 {
		h.byte(c)
		return i + 1
	}
	h.byte('?')
	return i + 1 + end + 1
}

// word adds the word that starts at i, or '#' if there is a digit in it.
func (h *hash) word(s string, i int) int {
	end, digit := i, false
	for end < len(s) && (wordByte(s[end]) || s[end] == '-' && end+1 < len(s) && wordByte(s[end+1])) {
		digit = digit || isDigit(s[end])
		end++
	}
	if digit {
		h.byte('#')
		return end
	}
	for ; i < end; i++ {
		h.byte(s[i])
	}
	return end
}

func wordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '_' || c >= 0x80
}
