package main

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace"
)

// TestRuleSeries: however many sources and steps there are, the series are
// bounded and add up, and a source keeps its own when others come.
func TestRuleSeries(t *testing.T) {
	const steps = 50
	var shown rulesShown
	admit := func(from, to int) {
		var list []millrace.SourceRules
		for i := from; i < to; i++ {
			list = append(list, millrace.SourceRules{RuleVersion: &millrace.RuleVersion{Project: "p", Source: fmt.Sprintf("s%03d", i), Text: "steps: []"}})
		}
		shown.admit(append(list, millrace.SourceRules{RuleVersion: &millrace.RuleVersion{Project: "p", Source: "removed"}}))
	}
	tally := func(_, source string) millrace.RuleTally {
		if source == "s150" { // removed meanwhile
			source = "s*"
		}
		t := millrace.RuleTally{Source: source}
		for range steps {
			t.Steps = append(t.Steps, millrace.StepTally{Seen: 10, Skipped: 1, Matched: 4, Dropped: 3, Unmatched: 2, Failed: 3})
		}
		return t
	}
	admit(100, 110)
	list, rest := ruleSeries(shown.order, tally)
	if len(list) != 10 || rest != nil {
		t.Fatalf("%d sources, rest %v", len(list), rest)
	}
	admit(0, 200)
	list, rest = ruleSeries(shown.order, tally)
	series := 0
	for _, s := range list {
		series += len(s.steps) * seriesPerStep
	}
	if series > maxRuleSeries || series < maxRuleSeries-steps*seriesPerStep || list[0].source != "s100" {
		t.Errorf("%d series, the first of %s", series, list[0].source)
	}
	if want := int64(199 - len(list)); rest == nil || rest.Matched != want*steps*4 || rest.Dropped != want*steps*3 || rest.Failed != want*steps*3 {
		t.Errorf("rest %+v, want that of %d sources", rest, want)
	}
}
