package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

// rulesTally is what rules did, as the API shows it.
type rulesTally struct {
	Source  string     `json:"source"`
	Version int64      `json:"version"`
	Since   *time.Time `json:"since"`
	Events  int64      `json:"events"`
	Steps   []struct {
		Name      string `json:"name"`
		Seen      int64  `json:"seen"`
		Skipped   int64  `json:"skipped"`
		Matched   int64  `json:"matched"`
		Dropped   int64  `json:"dropped"`
		Unmatched int64  `json:"unmatched"`
		Failed    int64  `json:"failed"`
		Nanos     int64  `json:"nanos"`
	} `json:"steps"`
	Templates []struct {
		Template string `json:"template"`
		Events   int64  `json:"events"`
		Paths    int64  `json:"paths"`
		Example  string `json:"example"`
	} `json:"templates"`
	TemplateCount int   `json:"template_count"`
	HiddenURLs    int64 `json:"hidden_urls"`
}

// counts prints what the rules of the source did.
func (c *rulesShowCmd) counts(e *env) error {
	if c.Templates < 1 || c.Templates > transform.MaxURLCap {
		return millrace.Errorf(millrace.ErrInvalid, "--templates %d: must be between 1 and %d", c.Templates, transform.MaxURLCap)
	}
	params := c.params()
	params.Set("limit", strconv.Itoa(c.Templates))
	raw, err := c.ask(e, http.MethodGet, c.path()+"/tally", params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var t rulesTally
	if err := decodeAnswer(raw, &t); err != nil {
		return err
	}
	if t.Version == 0 || t.Since == nil {
		_, err := fmt.Fprintf(e.stdout, "rules of %s: no event was read by them since the server's start\n", t.Source)
		return err
	}
	if _, err := fmt.Fprintf(e.stdout, "rules of %s: version %d, %d events since %s\n\n", t.Source, t.Version, t.Events, t.Since.Format(time.RFC3339)); err != nil {
		return err
	}
	if err := t.printSteps(e.stdout); err != nil {
		return err
	}
	return t.printTemplates(e.stdout)
}

func (t *rulesTally) printSteps(w io.Writer) error {
	rows := make([][]string, len(t.Steps))
	for i, s := range t.Steps {
		cost := "-"
		if s.Nanos > 0 {
			cost = perLine(s.Nanos)
		}
		rows[i] = []string{s.Name, count(s.Matched), count(s.Dropped), count(s.Unmatched), count(s.Skipped), count(s.Failed), cost}
	}
	return printTable(w, []string{"step", "matched", "of these dropped", "unmatched", "skipped", "failed", "cost"}, rows,
		[]bool{false, true, true, true, true, true, true})
}

func (t *rulesTally) printTemplates(w io.Writer) error {
	if t.TemplateCount == 0 && t.HiddenURLs == 0 {
		return nil
	}
	rows := make([][]string, len(t.Templates))
	for i, u := range t.Templates {
		if u.Example == u.Template {
			u.Example = ""
		}
		rows[i] = []string{count(u.Events), count(u.Paths), u.Template, u.Example}
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	if err := printTable(w, []string{"events", "paths", "URL template", "such as"}, rows, []bool{true, true}); err != nil {
		return err
	}
	if left := t.TemplateCount - len(t.Templates); left > 0 {
		if _, err := fmt.Fprintf(w, "%d more templates: see --templates\n", left); err != nil {
			return err
		}
	}
	if t.HiddenURLs > 0 {
		_, err := fmt.Fprintf(w, "%d events have URLs that a mask hides, and are in no template\n", t.HiddenURLs)
		return err
	}
	return nil
}

// perLine writes a time per line or event, given in ns.
func perLine(ns int64) string { return time.Duration(ns).Round(10 * time.Nanosecond).String() }
