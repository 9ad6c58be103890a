package pipeline

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/transform"
)

// Bounds of a trial: what fits a screen and is over in a moment.
const (
	MaxTrialLines = 1000
	MaxTrialBytes = 1 << 20
)

// Trial is what rules make of some lines.
type Trial struct {
	Version  int64          `json:"version"` // tried, if they are the current ones; else 0
	Current  int64          `json:"current"` // what they are compared with; 0 is no rules
	Lines    int            `json:"lines"`
	Kept     int            `json:"kept"`
	Filtered map[string]int `json:"filtered"` // per reason
	Rejected int            `json:"rejected"` // by the format
	Refused  int            `json:"refused"`  // ingest would not take them
	// Matched is the share of the decoded lines for which at least one step or
	// mask did its work.
	Matched float64 `json:"matched"`
	Changed int     `json:"changed"` // lines that the current rules make something else of

	// What a line costs on average, in ns: to decode, and to apply these rules
	// and the current ones.
	DecodeNanos  int64 `json:"decode_nanos"`
	RulesNanos   int64 `json:"rules_nanos"`
	CurrentNanos int64 `json:"current_nanos"`

	// Warnings are the lint's about these rules, with costs as measured on the lines.
	Warnings []transform.Warning `json:"warnings"`

	Steps  []TrialStep `json:"steps"`
	Events []TrialLine `json:"events"` // a line each, in order
}

// TrialStep is what one step or mask did to all lines.
type TrialStep struct {
	Name      string `json:"name"`
	Events    int64  `json:"events"` // it looked at
	Skipped   int64  `json:"skipped"`
	Matched   int64  `json:"matched"`
	Unmatched int64  `json:"unmatched"`
	Failed    int64  `json:"failed"`
}

// TrialLine is what became of one line.
type TrialLine struct {
	Line    string                 `json:"line"` // its beginning
	Outcome string                 `json:"outcome"`
	Reason  string                 `json:"reason,omitempty"` // of filtered and rejected
	Event   map[string]any         `json:"event,omitempty"`  // of stored: its fields
	Steps   []transform.StepReport `json:"steps,omitempty"`
	Changes []transform.Change     `json:"changes,omitempty"` // against the current rules
}

// Try runs rules on lines as the pipeline does, by the same functions, and
// stores nothing. ErrInvalid: the rules are wrong; ErrTooLarge: too many lines.
func (b *RuleBook) Try(_ context.Context, q millrace.RuleTrial) (*Trial, error) {
	current := b.Effective(q.Project, q.Source)
	tried := current
	if q.Text != nil {
		tried = &millrace.RuleVersion{Text: *q.Text, Learned: carryLearned(current, *q.Text)}
	}
	return TryRules(q, tried, current, b.opts, int(b.fingerprint.Load()), b.now)
}

// TryRules is RuleBook.Try with versions from elsewhere; nil is no rules. q.Text
// is not looked at. Rules without a version count as changed ones. fingerprint is
// Deps.Fingerprint.
func TryRules(q millrace.RuleTrial, tried, current *millrace.RuleVersion, opts transform.Options, fingerprint int, now func() time.Time) (*Trial, error) {
	t := &Trial{Filtered: map[string]int{}, Steps: []TrialStep{}, Events: []TrialLine{}, Warnings: []transform.Warning{}}
	var programs [2]*transform.Program
	for i, v := range []*millrace.RuleVersion{tried, current} {
		if v == nil || strings.TrimSpace(v.Text) == "" {
			continue
		}
		var err error
		if programs[i], err = CompileRules(v, opts); err != nil {
			return nil, err
		}
		*[]*int64{&t.Version, &t.Current}[i] = v.Version
	}
	rec, err := trialRecord(&q, t, now())
	if err != nil {
		return nil, err
	}
	if len(rec.Frames) == 0 {
		t.lint(programs[0], nil, now)
		return t, nil
	}
	before := trialRun(rec, programs[1], nil, fingerprint, now)
	reports := make([][]transform.StepReport, len(rec.Frames))
	after := trialRun(rec, programs[0], func(ordinal int32, x transform.Explanation) { reports[ordinal] = x.Steps }, fingerprint, now)
	t.count(programs[0], after)
	t.compare(rec, before, after, reports)
	t.lint(programs[0], reports, now)
	t.DecodeNanos = trialCost(rec, nil, now)
	t.RulesNanos = max(0, trialCost(rec, programs[0], now)-t.DecodeNanos)
	t.CurrentNanos = max(0, trialCost(rec, programs[1], now)-t.DecodeNanos)
	return t, nil
}

// lint fills in the warnings.
func (t *Trial) lint(p *transform.Program, reports [][]transform.StepReport, now func() time.Time) {
	if p != nil {
		t.Warnings = append(t.Warnings, p.Lint(reports, now)...)
	}
}

// trialRecord makes a record of the lines as ingest would.
func trialRecord(q *millrace.RuleTrial, t *Trial, now time.Time) (*millrace.Record, error) {
	rec := &millrace.Record{
		Project: q.Project, Source: q.Source, Format: q.Format, Parts: 1, Arrived: now.UnixNano(),
		Payload: q.Payload, Frames: q.Frames,
	}
	if rec.Format == "" {
		rec.Format = "auto"
	}
	if len(q.Payload) > MaxTrialBytes {
		return nil, millrace.Errorf(millrace.ErrTooLarge, "%d bytes of lines; a trial takes at most %d", len(q.Payload), MaxTrialBytes)
	}
	if q.Frames == nil {
		var framing decode.Framing
		if err := decode.Frame(rec.Format, q.Payload, decode.Limits{}, &framing); err != nil {
			return nil, err
		}
		t.Refused = len(framing.Refused)
		rec.Payload = nil
		for _, e := range framing.Events {
			rec.Payload = append(rec.Payload, q.Payload[e.Start:e.End]...)
			rec.Frames = append(rec.Frames, uint32(e.End-e.Start))
		}
	}
	if t.Lines = len(rec.Frames); t.Lines > MaxTrialLines {
		return nil, millrace.Errorf(millrace.ErrTooLarge, "%d lines; a trial takes at most %d", t.Lines, MaxTrialLines)
	}
	return rec, nil
}

// trialRun decodes the record and applies a program. A line on which that
// panics is set aside, as in the pipeline.
func trialRun(rec *millrace.Record, p *transform.Program, explain func(int32, transform.Explanation), fingerprint int, now func() time.Time) *unit {
	u := &unit{rec: rec, rules: p}
	d := &decoding{explain: explain, exceptions: exceptions{version: fingerprint}}
	if err := decodeUnit(d, u); err != nil {
		s := supervisor{now: now, fingerprint: fingerprint}
		s.isolate(u, 0)
	}
	return u
}

// trialCost returns how long decoding and a program take per line: the shortest
// of some runs, since others are interrupted and the first finds cold caches.
func trialCost(rec *millrace.Record, p *transform.Program, now func() time.Time) int64 {
	const runs, limit = 30, 100 * time.Millisecond
	u := &unit{rec: rec, rules: p}
	var d decoding
	best := time.Duration(1<<63 - 1)
	begin := now()
	for i := 0; i < runs && now().Sub(begin) < limit; i++ {
		began := now()
		u.filtered = u.filtered[:0]
		if decodeUnit(&d, u) != nil {
			return 0 // it panics
		}
		best = min(best, now().Sub(began))
	}
	return int64(best) / int64(len(rec.Frames))
}

func (t *Trial) count(p *transform.Program, u *unit) {
	t.Kept, t.Rejected = len(u.batch.Events), len(u.batch.Rejects)+len(u.setAside)
	for i := range u.filtered {
		t.Filtered[u.filtered[i].reason]++
	}
	if p == nil {
		return
	}
	for i, name := range p.Names() {
		var c transform.Count
		if i < len(u.counts) {
			c = u.counts[i]
		}
		t.Steps = append(t.Steps, TrialStep{name, c.Events, c.Skipped, c.Matched, c.Unmatched, c.Failed})
	}
}

// compare fills in what became of each line, and what differs from before.
func (t *Trial) compare(rec *millrace.Record, before, after *unit, reports [][]transform.StepReport) {
	old, now := outcomes(before), outcomes(after)
	at, decoded, matched := 0, 0, 0
	for i, n := range rec.Frames {
		line := now[i]
		line.Line = millrace.Example([]byte(strings.TrimRight(string(rec.Payload[at:at+int(n)]), "\r\n")))
		at += int(n)
		line.Steps = reports[i]
		line.Changes = differences(old[i], line)
		if len(line.Changes) > 0 {
			t.Changed++
		}
		if line.Outcome != string(millrace.OutcomeRejected) {
			decoded++
			if slices.ContainsFunc(line.Steps, func(s transform.StepReport) bool { return s.Outcome == "matched" || s.Outcome == "dropped" }) {
				matched++
			}
		}
		t.Events = append(t.Events, line)
	}
	if decoded > 0 {
		t.Matched = float64(matched) / float64(decoded)
	}
}

// outcomes returns what became of each frame of a unit.
func outcomes(u *unit) []TrialLine {
	out := make([]TrialLine, len(u.rec.Frames))
	for i := range u.batch.Events {
		e := &u.batch.Events[i]
		out[e.Ordinal] = TrialLine{Outcome: string(millrace.OutcomeStored), Event: fields(e)}
	}
	for _, f := range u.filtered {
		out[f.ordinal] = TrialLine{Outcome: string(millrace.OutcomeFiltered), Reason: f.reason}
	}
	for _, r := range u.batch.Rejects {
		out[r.Ordinal] = TrialLine{Outcome: string(millrace.OutcomeRejected), Reason: r.Reason + ": " + r.Detail}
	}
	for _, a := range u.setAside {
		out[a.Ordinal] = TrialLine{Outcome: string(millrace.OutcomeRejected), Reason: reasonSetAside + ": " + a.Reason}
	}
	return out
}

// fields returns what an event has, by name: columns that are set, then
// attributes, which do not hide columns.
func fields(e *millrace.Event) map[string]any {
	m := map[string]any{"time": time.Unix(0, e.Time).UTC(), "kind": e.Kind.String()}
	for _, a := range e.Attrs {
		m[a.Key] = json.RawMessage(a.Value.AppendJSON(nil))
	}
	for name, value := range map[string]string{
		"service": e.Service, "host": e.Host, "env": e.Env, "release": e.Release, "level": e.Level,
		"trace_id": e.TraceID, "message": e.Message,
	} {
		if value != "" {
			m[name] = value
		}
	}
	if e.Weight != 1 {
		m["weight"] = e.Weight
	}
	return m
}

// differences lists what differs between two outcomes of a line.
func differences(before, after TrialLine) []transform.Change {
	out := func(l TrialLine) string { return strings.TrimSpace(l.Outcome + " " + l.Reason) }
	var list []transform.Change
	if a, b := out(before), out(after); a != b {
		list = append(list, transform.Change{Field: "(outcome)", Before: a, After: b})
	}
	names := map[string]bool{}
	for name := range before.Event {
		names[name] = true
	}
	for name := range after.Event {
		names[name] = true
	}
	if before.Event == nil || after.Event == nil {
		return list // the outcome says it
	}
	for name := range names {
		if a, b := fieldText(before.Event, name), fieldText(after.Event, name); a != b {
			list = append(list, transform.Change{Field: name, Before: a, After: b})
		}
	}
	slices.SortFunc(list, func(a, b transform.Change) int { return strings.Compare(a.Field, b.Field) })
	return list
}

// fieldText returns a field as JSON, "" if there is none.
func fieldText(event map[string]any, name string) string {
	v, ok := event[name]
	if !ok {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
