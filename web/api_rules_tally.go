package web

import (
	"net/http"
	"time"

	"github.com/millrace/millrace/transform"
)

// ruleTally is what rules did, as JSON.
type ruleTally struct {
	Project string      `json:"project"`
	Source  string      `json:"source"`  // that the rules are kept under, perhaps a pattern
	Version int64       `json:"version"` // 0: nothing was read by them since the start
	Since   *time.Time  `json:"since"`
	Events  int64       `json:"events"`
	Steps   []stepTally `json:"steps"`

	Templates     []templateTally `json:"templates"`      // most events first
	TemplateCount int             `json:"template_count"` // of all, also of those that limit leaves out
	HiddenURLs    int64           `json:"hidden_urls"`    // events in no template because a mask hides it
}

type stepTally struct {
	Step      int    `json:"step"`
	Name      string `json:"name"`
	Seen      int64  `json:"seen"`
	Skipped   int64  `json:"skipped"`
	Matched   int64  `json:"matched"`
	Dropped   int64  `json:"dropped"` // of matched
	Unmatched int64  `json:"unmatched"`
	Failed    int64  `json:"failed"`
	Nanos     int64  `json:"nanos"` // per event; 0 is unknown
}

type templateTally struct {
	Template string `json:"template"`
	Events   int64  `json:"events"`
	Paths    int64  `json:"paths"`
	Example  string `json:"example"`
}

// usualTemplates is how many templates are listed if no limit is given.
const usualTemplates = 100

// rulesTally answers what a source's rules did to the events read since the start.
func (s *Server) rulesTally(_ http.ResponseWriter, r *http.Request) (any, error) {
	project, source, p, err := rulesRequest(r, "limit")
	if err != nil {
		return nil, err
	}
	limit := p.count("limit", transform.MaxURLCap)
	if p.err != nil {
		return nil, p.err
	}
	if limit == 0 {
		limit = usualTemplates
	}
	t := s.Rules.Tally(project, source)
	if t.Source == source {
		if _, err := s.Rules.Get(project, source); err != nil {
			return nil, err // no pattern fits it either
		}
	}
	out := ruleTally{
		Project: project, Source: t.Source, Version: t.Version, Since: instant(t.Since), Events: t.Events,
		Steps: []stepTally{}, Templates: []templateTally{}, TemplateCount: len(t.Templates), HiddenURLs: t.HiddenURLs,
	}
	for _, st := range t.Steps {
		out.Steps = append(out.Steps, stepTally(st))
	}
	for _, tpl := range t.Templates[:min(limit, len(t.Templates))] {
		out.Templates = append(out.Templates, templateTally(tpl))
	}
	return out, nil
}
