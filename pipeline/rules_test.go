package pipeline

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/meta"
)

// openMeta returns an empty meta.
func openMeta(t testing.TB) millrace.Meta {
	t.Helper()
	m, err := meta.Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func openBook(t *testing.T, m millrace.Meta) *RuleBook {
	t.Helper()
	b, err := OpenRules(t.Context(), m, RulesOptions([]byte("a key of the test's own, 32 bytes"), nil), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// set makes text the rules of a source and returns the version.
func set(t *testing.T, b *RuleBook, source, text string) int64 {
	t.Helper()
	v, err := b.Apply(t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: source, Text: text, Author: "test", After: -1})
	if err != nil {
		t.Fatal(err)
	}
	return v.Version
}

func currentIs(t *testing.T, b *RuleBook, source string, want int64) {
	t.Helper()
	if got := b.Current(millrace.DefaultProject, source); got != want {
		t.Errorf("current rules of %s: version %d, want %d", source, got, want)
	}
}

const (
	rulesDrop = "steps: [{drop: 'level == \"debug\"', reason: debug}]\n"
	rulesSet  = "steps: [{set: {colour: '\"red\"'}}]\n"
)

func TestCurrentRules(t *testing.T) {
	m := openMeta(t)
	b := openBook(t, m)
	currentIs(t, b, "shop", 0)
	all := set(t, b, "*", rulesDrop)
	sho := set(t, b, "sho*", rulesSet)
	own := set(t, b, "shop", rulesDrop)
	check := func(b *RuleBook) {
		t.Helper()
		currentIs(t, b, "shop", own)
		currentIs(t, b, "shoe", sho)
		currentIs(t, b, "other", all)
	}
	check(b)
	check(openBook(t, m)) // a restart
	if b.Current("another", "shop") != 0 {
		t.Error("rules count in another project")
	}
	if again := set(t, b, "shop", rulesDrop); again != own {
		t.Errorf("the same text is version %d, was %d", again, own)
	}
	set(t, b, "shop", "") // falls back to the pattern
	currentIs(t, b, "shop", sho)
	_, err := b.Apply(t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: "shop", Text: rulesSet, Author: "late", After: own})
	if millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("a change of what was changed meanwhile: %v", err)
	}
	_, err = b.Apply(t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: "shop", Text: "steps: [{drop: 'level =='}, {sett: {}}]", After: -1})
	if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), "line 1, column ") {
		t.Errorf("bad rules: %v", err)
	}
	if p, err := b.Program(t.Context(), own); p == nil || err != nil {
		t.Errorf("an old version: %v, %v", p, err)
	}
}

func TestSeeds(t *testing.T) {
	m := openMeta(t)
	b := openBook(t, m)
	mine := set(t, b, "mine", rulesDrop)
	seed := func(b *RuleBook, texts ...string) {
		t.Helper()
		var seeds []Seed
		for i := 0; i < len(texts); i += 2 {
			seeds = append(seeds, Seed{millrace.DefaultProject, texts[i], texts[i+1]})
		}
		if err := b.Seed(t.Context(), seeds); err != nil {
			t.Fatal(err)
		}
	}
	seed(b, "file", rulesDrop)
	first := b.Current(millrace.DefaultProject, "file")
	if first == 0 {
		t.Fatal("the file's rules are not current")
	}
	b = openBook(t, m)
	seed(b, "file", rulesDrop)
	currentIs(t, b, "file", first) // no new version at a restart
	_, err := b.Apply(t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: "file", Text: rulesSet, After: -1})
	if millrace.ErrorCode(err) != millrace.ErrConflict || !strings.Contains(err.Error(), "configuration file") {
		t.Errorf("a change of what the file owns: %v", err)
	}
	seed(b, "file", rulesSet, "mine", rulesSet)
	if b.Current(millrace.DefaultProject, "file") == first || b.Current(millrace.DefaultProject, "mine") == mine {
		t.Error("the file's new rules are not current")
	}
	seed(b) // the file has none any more
	currentIs(t, b, "file", 0)
	currentIs(t, b, "mine", 0)
	history, err := b.History(t.Context(), millrace.DefaultProject, "file", 0, 10)
	if err != nil || len(history) != 3 || history[0].Text != "" || history[2].Version != first {
		t.Errorf("history %+v, %v", history, err)
	}
	set(t, b, "file", rulesDrop) // it is free now
}

// TestRecordsAreReadByTheirVersion: what becomes of an event depends on the
// version its record carries, not on what is current when it is read, and both
// sinks say the same.
func TestRecordsAreReadByTheirVersion(t *testing.T) {
	r := newRig(t)
	r.rules = openBook(t, openMeta(t))
	drop := set(t, r.rules, "test", rulesDrop)
	colour := set(t, r.rules, "test", rulesSet)
	hide := set(t, r.rules, "test", rulesDrop+"masks: [{fields: [message], replace: {pattern: 'secret\\w*', with: ---}}]\n")
	set(t, r.rules, "test", "")
	lines := []string{
		`{"level":"debug","message":"one secret1","n":1}`, `{"level":"info","message":"two secret2"}`,
		`{"level":"debug","message":"three secret3"}`, `{"level":"debug","message":"four secret4"}`,
	}
	for _, version := range []int64{0, drop, colour, hide} {
		r.send(millrace.Record{Rules: version, Refused: []millrace.Refusal{{Reason: "bad", Events: 1, Example: "secret5"}}}, lines...)
	}
	r.opts.FlushRows = 1 // accounts are cut at every event
	r.start()
	r.drain()
	r.wantLedger("filtered/debug=6/6 received=16/16 refused/bad=4/4 stored=10/10")
	page, err := r.store.Events(t.Context(), millrace.EventQuery{To: 1 << 62, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range page.Events {
		got = append(got, e.Message+" "+string(e.Attrs))
	}
	slices.Sort(got)
	want := []string{
		`four secret4 {"colour":"red"}`, `four secret4 {}`, `one secret1 {"n":1,"colour":"red"}`, `one secret1 {"n":1}`,
		`three secret3 {"colour":"red"}`, `three secret3 {}`,
		`two --- {}`, `two secret2 {"colour":"red"}`, `two secret2 {}`, `two secret2 {}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is kept of events that were not stored is masked, too.
func TestExamplesAreMasked(t *testing.T) {
	t.Cleanup(func() { _ = failpoint.Set("") })
	if err := failpoint.Set("decode.poison=panic:1+"); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.rules = openBook(t, openMeta(t))
	hide := set(t, r.rules, "test", rulesDrop+"masks: [{fields: [message], replace: {pattern: 'secret\\w*', with: ---}}]\n")
	r.start()
	refused := []millrace.Refusal{{Reason: "bad", Events: 1, Example: "door secret1"}}
	r.send(millrace.Record{Rules: hide, Refused: refused, Format: "json"},
		`{"level":"debug","message":"drop secret2"}`, "no json secret3", string(poisonPill)+" secret4")
	r.drain()
	entries, err := r.store.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]string{}
	for _, e := range entries {
		examples[string(e.Outcome)+" "+e.Reason] = e.Example
		if strings.Contains(e.Example, "secret") {
			t.Errorf("example of %s %s: %s", e.Outcome, e.Reason, e.Example)
		}
	}
	if examples["refused bad"] != "door ---" || examples["filtered debug"] != "drop ---" || examples["rejected not_json"] != "no json ---" {
		t.Errorf("examples %v", examples)
	}
	aside, err := r.store.SetAside(t.Context(), 10)
	if err != nil || len(aside) != 2 || strings.Contains(string(aside[0].Payload), "secret") {
		t.Errorf("set aside %+v, %v", aside, err)
	}
}

// lostMeta has lost all rules, until it is given back.
type lostMeta struct {
	millrace.Meta
	lost atomic.Bool
}

func (m *lostMeta) Rules(ctx context.Context, version int64) (*millrace.RuleVersion, error) {
	if m.lost.Load() {
		return nil, millrace.Errorf(millrace.ErrNotFound, "there are no rules of version %d", version)
	}
	return m.Meta.Rules(ctx, version)
}

// TestLostRulesAreWaitedFor: a record whose rules are not there is not read
// without them, nor given up.
func TestLostRulesAreWaitedFor(t *testing.T) {
	m := &lostMeta{Meta: openMeta(t)}
	version := set(t, openBook(t, m), "test", rulesDrop)
	m.lost.Store(true)
	r := newRig(t)
	r.rules = openBook(t, m)
	r.start()
	r.send(millrace.Record{}, "before")
	r.send(millrace.Record{Rules: version}, `{"level":"debug","message":"gone"}`, "kept")
	want := fmt.Sprintf("version %d", version)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.p.Status().Faults["rules"], want); {
		if time.Now().After(deadline) {
			t.Fatalf("faults %v", r.p.Status().Faults)
		}
		time.Sleep(5 * time.Millisecond)
	}
	m.lost.Store(false)
	r.drain()
	r.wantLedger("filtered/debug=1/1 received=3/3 stored=2/2")
	if f := r.p.Status().Faults; len(f) > 0 {
		t.Errorf("faults %v", f)
	}
}

// What is kept per program is bounded, however many versions there were.
func TestDecodingForgetsPrograms(t *testing.T) {
	var d decoding
	rec := &millrace.Record{Format: "auto", Payload: []byte("a line\n"), Frames: []uint32{7}}
	for i := range 3 * maxPrograms {
		p, err := CompileRules(&millrace.RuleVersion{Text: fmt.Sprintf("steps: [{set: {v: '%d'}}]", i)}, RulesOptions(nil, nil))
		if err != nil {
			t.Fatal(err)
		}
		u := &unit{rec: rec, rules: p}
		if err := decodeUnit(&d, u); err != nil {
			t.Fatal(err)
		}
		if v, _ := u.batch.Events[0].Attr("v"); v.String() != fmt.Sprint(i) {
			t.Fatalf("version %d gives %s", i, v)
		}
	}
	if len(d.used) > maxPrograms {
		t.Errorf("%d programs are kept, want at most %d", len(d.used), maxPrograms)
	}
}
