package decode

import (
	"slices"

	"github.com/millrace/millrace"
)

// maxSentryThreads bounds the threads that are read of an event: as many as are
// stored of a report.
const maxSentryThreads = 64

// sentryThreads reads the threads of an event, and their frames behind those that
// were read before. The one that crashed has none, nor has the one whose frames an exception
// took: they are the exception's.
func (d *Decoder) sentryThreads(s *sentryState) (threads []millrace.Thread) {
	take := func(at int) int {
		if len(threads) == maxSentryThreads || s.b[at] != '{' {
			return skipValue(s.b, at, 1)
		}
		t, stack, end := d.sentryThreadAt(s, at)
		if end < 0 {
			return end
		}
		from := len(s.report.frames)
		if stack > 0 && !t.Crashed && stack != s.used {
			d.sentryStack(s, stack)
		}
		s.report.counts = append(s.report.counts, len(s.report.frames)-from)
		threads = append(threads, t)
		return end
	}
	switch {
	case s.threads == 0:
	case s.b[s.threads] == '[':
		eachElement(s.b, s.threads, take)
	default:
		eachMember(s.b, s.threads, func(key []byte, at int) int {
			if string(key) == "values" && s.b[at] == '[' {
				return eachElement(s.b, at, take)
			}
			return skipValue(s.b, at, 1)
		})
	}
	return threads
}

// sentryThreadAt reads a thread; stack is where its stack trace begins, or 0.
func (d *Decoder) sentryThreadAt(s *sentryState, at int) (t millrace.Thread, stack, end int) {
	b := s.b
	end = eachMember(b, at, func(key []byte, at int) (end int) {
		switch string(key) {
		case "id":
			if t.ID, end = d.textAt(b, at); end > 0 && b[at] != '"' && b[at] != 'n' && b[at] != '{' && b[at] != '[' {
				t.ID = borrow(b[at:end])
			}
			return end
		case "name":
			t.Name, end = d.textAt(b, at)
			return end
		case "state":
			t.State, end = d.textAt(b, at)
			return end
		case "crashed":
			t.Crashed = b[at] == 't'
		case "stacktrace":
			if b[at] == '{' {
				stack = at
			}
		}
		return skipValue(b, at, 1)
	})
	return t, stack, end
}

// placeThreads hands the threads their frames, innermost first.
func (r *sentryReport) placeThreads(threads []millrace.Thread, frames []millrace.Frame) {
	for i, n := range r.counts {
		if n > 0 {
			threads[i].Frames = frames[:n:n]
			slices.Reverse(threads[i].Frames)
		}
		frames = frames[n:]
	}
}
