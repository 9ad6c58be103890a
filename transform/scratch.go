package transform

import (
	"slices"
	"time"
	"unsafe"

	"github.com/millrace/millrace"
)

// Scratch is the working memory of one goroutine and the counters of the
// programs it ran. The zero value is ready. It may run any number of programs,
// one event at a time.
type Scratch struct {
	p      *Program
	b      *millrace.Batch
	e      *millrace.Event
	state  *progState // of p
	byProg map[*Program]*progState

	left    int // bytes this event may still allocate
	pending []assignment
	folded  []foldedURL // by this event's url_template steps
	why     string      // the last step failed
	reason  string      // the drop's
	buf     []byte
	tick    uint32

	agents    AgentCache
	countries CountryCache
}

// progState is what a Scratch keeps for one program.
type progState struct {
	counts  []Count // of steps, then masks
	ran     bool    // since the counters were taken
	folders []*Folder

	observe    func(path string)
	stride     int // of the paths to observe
	unobserved int // until the next one
	random     uint32
}

// Count is what a step or mask did since the counters were taken.
type Count struct {
	Events    int64 // it looked at
	Skipped   int64 // its condition did not hold
	Matched   int64 // it did its work
	Dropped   int64 // of Matched, the events it dropped
	Unmatched int64 // no pattern fit, no case held, the field was absent
	Failed    int64 // a type error or a limit; the event stayed as it was
	Timed     int64 // of Events, those whose time was taken
	Nanos     int64 // what these took together
}

func (c *Count) add(o Count) {
	c.Events += o.Events
	c.Skipped += o.Skipped
	c.Matched += o.Matched
	c.Dropped += o.Dropped
	c.Unmatched += o.Unmatched
	c.Failed += o.Failed
	c.Timed += o.Timed
	c.Nanos += o.Nanos
}

// Add adds the counters of another.
func (c *Count) Add(o Count) { c.add(o) }

// Take returns the counters of p's steps, then masks, in the order of p.Names,
// and sets them to zero; nil if p did not run since.
func (s *Scratch) Take(p *Program) []Count {
	st := s.byProg[p]
	if st == nil || !st.ran {
		return nil
	}
	out := slices.Clone(st.counts)
	clear(st.counts)
	st.ran = false
	return out
}

// Forget drops what is kept for a program that will not run again.
func (s *Scratch) Forget(p *Program) {
	delete(s.byProg, p)
	if s.p == p {
		s.p, s.state = nil, nil
	}
}

func (s *Scratch) stateOf(p *Program) *progState {
	st := s.byProg[p]
	if st == nil {
		st = &progState{counts: make([]Count, len(p.steps)+len(p.masks)), folders: make([]*Folder, p.folders)}
		if s.byProg == nil {
			s.byProg = map[*Program]*progState{}
		}
		s.byProg[p] = st
	}
	return st
}

// begin makes p the current program and e the current event.
func (s *Scratch) begin(p *Program, b *millrace.Batch, e *millrace.Event) {
	if s.p != p {
		s.p, s.state = p, s.stateOf(p)
	}
	s.state.ran = true
	s.b, s.e = b, e
	s.folded = s.folded[:0]
	s.left = MaxMemory
	s.tick++
}

// sampleEvery is how many events share one whose steps' time is taken: two
// readings of the clock per step cost as much as a cheap step.
const sampleEvery = 128

func (s *Scratch) sampled() bool { return s.tick%sampleEvery == 1 }

// run runs one step and counts it.
func (s *Scratch) run(i int, st *compiledStep) outcome {
	c := &s.state.counts[i]
	c.Events++
	if !s.sampled() {
		out := s.step(st)
		c.count(out)
		return out
	}
	started := time.Now()
	out := s.step(st)
	c.Nanos += int64(time.Since(started))
	c.Timed++
	c.count(out)
	return out
}

func (c *Count) count(out outcome) {
	switch out {
	case skipped:
		c.Skipped++
	case matched:
		c.Matched++
	case dropped:
		c.Matched++
		c.Dropped++
	case unmatched:
		c.Unmatched++
	case failed:
		c.Failed++
	}
}

func (s *Scratch) step(st *compiledStep) outcome {
	if st.when != nil {
		switch st.when(s) {
		case no:
			return skipped
		case bad:
			if st.kind != "mask" { // in doubt a mask hides
				return failed
			}
		}
	}
	s.pending = s.pending[:0]
	return st.do.run(s)
}

// failed says why a step leaves the event as it is.
func (s *Scratch) failed(why string) outcome {
	s.why = why
	return failed
}

// full is the failure of allocating more than an event may.
func (s *Scratch) full() string { return "the steps need more than 1 MiB for this event" }

// alloc returns memory for a text of n bytes that lives as long as the batch.
func (s *Scratch) alloc(n int) ([]byte, bool) {
	if n > s.left {
		return nil, false
	}
	s.left -= n
	return s.b.Text(n), true
}

// keep copies b into memory of the batch.
func (s *Scratch) keep(b []byte) (string, bool) {
	dst, ok := s.alloc(len(b))
	if !ok {
		return "", false
	}
	return asString(append(dst, b...)), true
}

// asString returns b as a string without copying; nobody writes to b again.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// asBytes returns s as bytes without copying; nobody may write to them.
func asBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
