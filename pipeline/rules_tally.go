package pipeline

import "github.com/millrace/millrace"

// Tally returns what the rules of a source did: those under the very name if
// there are any, else those of the pattern that fits it.
func (b *RuleBook) Tally(project, source string) millrace.RuleTally {
	t := b.current.Load()
	if v := t.newest[sourceKey{project, source}]; v == nil || v.Text == "" {
		if v = t.of(project, source); v != nil {
			source = v.Source
		}
	}
	return millrace.RuleTally{Source: source, Steps: []millrace.StepTally{}, Templates: []millrace.TemplateTally{}}
}
