package transform

import "github.com/millrace/millrace"

// Verdict says whether an event goes on.
type Verdict struct {
	Dropped bool
	Reason  string // of the ledger's outcome "filtered"; "" if the event is kept
}

// Keep is the verdict on an event that goes on.
var Keep = Verdict{}

// outcome is what a step did.
type outcome uint8

const (
	matched outcome = iota
	unmatched
	failed
	skipped
	dropped
)

var outcomeNames = [...]string{"matched", "unmatched", "failed", "skipped", "dropped"}

// Apply runs the program on e in place and returns the verdict. New strings lie
// in b's memory, others go on to point where they did; e must be an event of b.
// Fields are best added while e is the event added to b last: later ones move
// its attributes.
//
// A dropped event is as the steps before left it and has not been masked:
// whoever keeps an example of it calls Mask first.
func (p *Program) Apply(b *millrace.Batch, e *millrace.Event, s *Scratch) Verdict {
	s.begin(p, b, e)
	for i := range p.steps {
		if s.run(i, &p.steps[i]) == dropped {
			return Verdict{Dropped: true, Reason: s.reason}
		}
	}
	if len(p.masks) > 0 {
		p.runMasks(s)
	}
	if len(s.folded) > 0 {
		s.tellURLs()
	}
	return Keep
}

// Mask runs the masks alone: on a dropped event, or on one made of a line that
// could not be decoded, before an example of it is kept.
func (p *Program) Mask(b *millrace.Batch, e *millrace.Event, s *Scratch) {
	s.begin(p, b, e)
	p.runMasks(s)
}

// Masks reports whether the program hides anything.
func (p *Program) Masks() bool { return len(p.masks) > 0 }

func (p *Program) runMasks(s *Scratch) {
	for i := range p.masks {
		s.run(len(p.steps)+i, &p.masks[i])
	}
}
