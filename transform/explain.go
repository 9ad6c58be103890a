package transform

import (
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// Explanation is what a program does to one event, step by step.
type Explanation struct {
	Verdict Verdict
	Steps   []StepReport // up to the one that dropped the event
}

// StepReport is what one step or mask did.
type StepReport struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`    // extract, set, …, mask
	Path    string   `json:"path"`    // in the rules, such as steps[2]
	Outcome string   `json:"outcome"` // matched, unmatched, failed, skipped, dropped
	Detail  string   `json:"detail,omitempty"`
	Nanos   int64    `json:"nanos"`
	Changes []Change `json:"changes,omitempty"`

	read string // the text that an extract step read; borrowed as the event's
}

// Change is a field before and after a step, as JSON; empty is no such field.
type Change struct {
	Field  string `json:"field"`
	Before string `json:"before"`
	After  string `json:"after"`
}

// Explain is Apply that tells for every step what it did and how long it took.
// It allocates freely and is for trying rules, not for the stream. The first
// run of a pattern on a Scratch warms caches up: whoever shows times runs the
// program on the event's copy before.
func (p *Program) Explain(b *millrace.Batch, e *millrace.Event, s *Scratch) Explanation {
	s.begin(p, b, e)
	var out Explanation
	for i := range p.steps {
		report := p.explain(s, i, &p.steps[i])
		out.Steps = append(out.Steps, report)
		if report.Outcome == outcomeNames[dropped] {
			out.Verdict = Verdict{Dropped: true, Reason: s.reason}
			return out
		}
	}
	for i := range p.masks {
		out.Steps = append(out.Steps, p.explain(s, len(p.steps)+i, &p.masks[i]))
	}
	return out
}

func (p *Program) explain(s *Scratch, i int, st *compiledStep) StepReport {
	before := snapshot(s.e)
	r := StepReport{Name: st.name, Kind: st.kind, Path: st.path}
	if x, ok := st.do.(*extractor); ok {
		r.read = x.from.get(s.e).s
	}
	s.why = ""
	started := time.Now()
	got := s.step(st)
	took := time.Since(started)
	c := &s.state.counts[i]
	c.Events++
	c.count(got)
	r.Outcome, r.Nanos = outcomeNames[got], int64(took)
	switch got {
	case failed:
		r.Detail = s.why
	case dropped:
		r.Detail = s.reason
	case skipped:
		r.read = "" // its condition kept it from reading
	case matched, unmatched:
	}
	r.Changes = changes(before, s.e)
	return r
}

// snapshot copies what steps may change.
func snapshot(e *millrace.Event) millrace.Event {
	c := *e
	c.Attrs = slices.Clone(e.Attrs)
	return c
}

// columnNames are the columns in the order of reports.
var columnNames = []string{
	"time", "kind", "service", "host", "env", "release", "level", "trace_id", "message", "weight",
}

// changes compares two states of an event; fields in the order of the columns,
// then of the attributes, those removed last.
func changes(before millrace.Event, after *millrace.Event) []Change {
	var out []Change
	for _, name := range columnNames {
		f := fieldOf(name)
		if a, b := asJSON(f.get(&before)), asJSON(f.get(after)); a != b {
			out = append(out, Change{name, a, b})
		}
	}
	for _, a := range after.Attrs {
		old := ""
		if v, ok := before.Attr(a.Key); ok {
			old = string(v.AppendJSON(nil))
		}
		if now := string(a.Value.AppendJSON(nil)); now != old {
			out = append(out, Change{a.Key, old, now})
		}
	}
	for _, a := range before.Attrs {
		if _, ok := after.Attr(a.Key); !ok {
			out = append(out, Change{a.Key, string(a.Value.AppendJSON(nil)), ""})
		}
	}
	return out
}

func asJSON(v value) string {
	if v.k == null {
		return ""
	}
	return string(v.out().AppendJSON(nil))
}
