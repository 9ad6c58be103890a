package pipeline

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// TestTry: a trial says what the pipeline would make of each line, what differs
// from the current rules, and stores nothing.
func TestTry(t *testing.T) {
	b := openBook(t, openMeta(t))
	current := set(t, b, "shop", `steps: [{set: {colour: '"red"'}}]`)
	text := `steps:
  - name: no debug
    drop: level == "debug"
    reason: debug
  - name: took
    extract: {regexp: 'took (?P<took>\d+) ms', types: {took: int}}
`
	lines := "paid, took 17 ms\n{\"level\":\"debug\",\"message\":\"noise\"}\nnothing to see\n"
	q := millrace.RuleTrial{Project: millrace.DefaultProject, Source: "shop", Text: &text, Payload: []byte(lines)}
	got, err := b.Try(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	if got.Lines != 3 || got.Kept != 2 || got.Filtered["debug"] != 1 || got.Changed != 3 || got.Current != current || got.Version != 0 {
		t.Errorf("trial %+v", got)
	}
	if got.Matched < 0.6 || got.Matched > 0.7 {
		t.Errorf("matched %v, want 2 of 3", got.Matched)
	}
	if got.RulesNanos <= 0 || got.DecodeNanos <= 0 {
		t.Errorf("costs %d and %d ns", got.DecodeNanos, got.RulesNanos)
	}
	if s := got.Steps[1]; s.Name != "took" || s.Events != 2 || s.Matched != 1 || s.Unmatched != 1 {
		t.Errorf("step %+v", s)
	}
	first := got.Events[0]
	if first.Outcome != "stored" || fieldText(first.Event, "took") != "17" || first.Line != "paid, took 17 ms" || len(first.Steps) != 2 {
		t.Errorf("line %+v", first)
	}
	var changes []string
	for _, c := range first.Changes {
		changes = append(changes, c.Field+" "+c.Before+" > "+c.After)
	}
	if s := strings.Join(changes, "; "); s != `colour "red" > ; took  > 17` {
		t.Errorf("changes %s", s)
	}
	if e := got.Events[1]; e.Outcome != "filtered" || e.Reason != "debug" || e.Event != nil {
		t.Errorf("line %+v", e)
	}
	currentIs(t, b, "shop", current) // nothing was changed

	q.Text = nil
	if got, err = b.Try(t.Context(), q); err != nil || got.Changed != 0 || got.Version != current || got.Kept != 3 {
		t.Errorf("the current rules: %+v, %v", got, err)
	}
	bad := "steps: [{drop: 'level =='}]"
	q.Text = &bad
	if _, err = b.Try(t.Context(), q); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("bad rules: %v", err)
	}
	q.Payload = []byte(strings.Repeat("x\n", MaxTrialLines+1))
	q.Text = nil
	if _, err = b.Try(t.Context(), q); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("too many lines: %v", err)
	}
	q.Payload, q.Source = nil, "new"
	if got, err = b.Try(t.Context(), q); err != nil || got.Lines != 0 {
		t.Errorf("no lines, no rules: %+v, %v", got, err)
	}
}
