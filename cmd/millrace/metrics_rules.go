package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
)

var (
	descRuleEvents = desc("rule_events_total", "Events that a step or mask of a source's rules looked at, by what it did: skipped, matched, dropped (not counted as matched), unmatched, failed. Source and step are (other) where there are too many to show each.", "project", "source", "step", "outcome")
	descRuleCost   = desc("rule_step_seconds", "Time that a step or mask takes per event on average, measured on few.", "project", "source", "step")
)

// maxRuleSeries bounds the series of rules: a source may have 200 steps and
// masks, and there may be any number of sources.
const maxRuleSeries = 6000

// seriesPerStep is how many series a step has.
const seriesPerStep = 6

// rulesShown remembers the sources in the order in which they first had rules:
// the first have series of their own, so that none disappears because another
// came. Rules that grow may push the last ones out.
type rulesShown struct {
	order []sourceName
	known map[sourceName]bool
}

type sourceName struct{ project, source string }

// admit notes those of list that are new.
func (s *rulesShown) admit(list []millrace.SourceRules) {
	if s.known == nil {
		s.known = map[sourceName]bool{}
	}
	for _, v := range list {
		name := sourceName{v.Project, v.Source}
		if v.Text != "" && !s.known[name] {
			s.known[name] = true
			s.order = append(s.order, name)
		}
	}
}

// collectRules shows what the steps of rules did. URL templates have no series: a
// source may have thousands.
func (r *statusReporter) collectRules(counter, gauge func(*prometheus.Desc, float64, ...string)) {
	r.mu.Lock()
	r.rules.admit(r.server.rules.List())
	order := r.rules.order // only ever appended to
	r.mu.Unlock()
	shown, rest := ruleSeries(order, r.server.rules.Tally)
	for _, s := range shown {
		for i := range s.steps {
			st := &s.steps[i]
			step := strings.ToValidUTF8(st.Name, "?")
			collectStep(st, counter, s.project, s.source, step)
			if st.Nanos > 0 {
				gauge(descRuleCost, float64(st.Nanos)/1e9, s.project, s.source, step)
			}
		}
	}
	if rest != nil {
		collectStep(rest, counter, "(other)", "(other)", "(other)")
	}
}

// sourceSteps is what the rules under a name did.
type sourceSteps struct {
	sourceName
	steps []millrace.StepTally
}

// ruleSeries returns the sources that have series of their own, as many as
// maxRuleSeries allows, and the sum over the steps of all others, nil if there
// are none.
func ruleSeries(order []sourceName, tally func(project, source string) millrace.RuleTally) (shown []sourceSteps, rest *millrace.StepTally) {
	left := maxRuleSeries
	for _, name := range order {
		t := tally(name.project, name.source)
		if t.Source != name.source {
			continue // its rules were removed, and a pattern fits it
		}
		if left -= seriesPerStep * len(t.Steps); left >= 0 {
			shown = append(shown, sourceSteps{name, t.Steps})
			continue
		}
		left = 0 // for all that follow, too
		if rest == nil {
			rest = &millrace.StepTally{}
		}
		for i := range t.Steps {
			rest.Skipped += t.Steps[i].Skipped
			rest.Matched += t.Steps[i].Matched
			rest.Dropped += t.Steps[i].Dropped
			rest.Unmatched += t.Steps[i].Unmatched
			rest.Failed += t.Steps[i].Failed
		}
	}
	return shown, rest
}

func collectStep(st *millrace.StepTally, counter func(*prometheus.Desc, float64, ...string), project, source, step string) {
	for outcome, n := range map[string]int64{
		"skipped": st.Skipped, "matched": st.Matched - st.Dropped, "dropped": st.Dropped, "unmatched": st.Unmatched, "failed": st.Failed,
	} {
		counter(descRuleEvents, float64(n), project, source, step, outcome)
	}
}
