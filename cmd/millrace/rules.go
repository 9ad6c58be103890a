package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/transform"
)

// ruleService is the pipeline's rules as the API wants them.
type ruleService struct{ *pipeline.RuleBook }

// Try implements web.Rules.
func (r ruleService) Try(ctx context.Context, t millrace.RuleTrial) (any, error) {
	return r.RuleBook.Try(ctx, t)
}

// rulesCmd shows and changes the rules of sources.
type rulesCmd struct {
	List    rulesListCmd    `cmd:"" help:"List the sources that have rules."`
	Show    rulesShowCmd    `cmd:"" help:"Print a source's rules."`
	Set     rulesSetCmd     `cmd:"" help:"Give a source new rules."`
	Remove  rulesRemoveCmd  `cmd:"" help:"Remove a source's rules."`
	History rulesHistoryCmd `cmd:"" help:"List all versions of a source's rules."`
	Try     rulesTryCmd     `cmd:"" help:"Show what rules make of lines, without storing anything."`
	Presets rulesPresetsCmd `cmd:"" help:"List the rules that come with millrace, or print one of them."`
}

// rulesSource names the source that a command is about.
type rulesSource struct {
	remote
	Project string `help:"Project of the source." default:"default"`
	Source  string `arg:"" help:"Name of the source, or a pattern that ends in *."`
}

func (c *rulesSource) path() string { return "/api/v1/rules/" + url.PathEscape(c.Source) }

func (c *rulesSource) params() url.Values { return url.Values{"project": {c.Project}} }

// rulesVersion is a version as the API shows it.
type rulesVersion struct {
	Version int64     `json:"version"`
	Project string    `json:"project"`
	Source  string    `json:"source"`
	Rules   string    `json:"rules"`
	Author  string    `json:"author"`
	Created time.Time `json:"created"`
	Note    string    `json:"note"`
	Owned   bool      `json:"owned"`

	Learned  transform.URLLearning `json:"learned"`
	Warnings []transform.Warning   `json:"warnings"`
}

func printVersions(e *env, list []rulesVersion) error {
	rows := make([][]string, len(list))
	for i, v := range list {
		size := strconv.Itoa(len(v.Rules))
		if v.Rules == "" {
			size = "removed"
		}
		rows[i] = []string{strconv.FormatInt(v.Version, 10), v.Project, v.Source, size, v.Author, v.Created.Format(time.RFC3339), v.Note}
	}
	return printTable(e.stdout, []string{"version", "project", "source", "bytes", "author", "created", "note"}, rows, nil)
}

type rulesListCmd struct{ remote }

// Run implements the command.
func (c *rulesListCmd) Run(e *env) error {
	raw, err := c.ask(e, http.MethodGet, "/api/v1/rules", nil, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var all struct {
		Rules []rulesVersion `json:"rules"`
	}
	if err := decodeAnswer(raw, &all); err != nil {
		return err
	}
	return printVersions(e, all.Rules)
}

// printOr prints the answer unless there is none.
func printOr(e *env, raw json.RawMessage, err error) error {
	if err != nil {
		return err
	}
	return printRaw(e, raw)
}

type rulesShowCmd struct {
	rulesSource
	Counts    bool `help:"Show instead what the rules did to the events read since the server's start, per step and URL template."`
	Learned   bool `help:"Show instead the URL templates that were learned beside the rules, as the step url_template takes them."`
	Templates int  `help:"Most URL templates that --counts shows." default:"30"`
}

// Run implements the command. The text alone goes to standard output, so that
// it can be edited and set again.
func (c *rulesShowCmd) Run(e *env) error {
	if c.Counts {
		return c.counts(e)
	}
	raw, err := c.ask(e, http.MethodGet, c.path(), c.params(), nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var v rulesVersion
	if err := decodeAnswer(raw, &v); err != nil {
		return err
	}
	if v.Rules == "" {
		return millrace.Errorf(millrace.ErrNotFound, "source %q has no rules since version %d removed them: see millrace rules history", v.Source, v.Version)
	}
	text := v.Rules
	if c.Learned {
		text = learnedText(&v.Learned)
	}
	_, err = io.WriteString(e.stdout, text)
	return err
}

// learnedText writes what was learned as settings of url_template, as YAML.
func learnedText(l *transform.URLLearning) string {
	if len(l.Learned)+len(l.Known) == 0 {
		return "# nothing was learned\n"
	}
	var b strings.Builder
	for _, list := range []struct {
		name      string
		templates []string
	}{{"learned", l.Learned}, {"known", l.Known}} {
		if len(list.templates) == 0 {
			continue
		}
		b.WriteString(list.name + ":\n")
		for _, t := range list.templates {
			b.WriteString("  - '" + strings.ReplaceAll(printable(t), "'", "''") + "'\n")
		}
	}
	return b.String()
}

type rulesSetCmd struct {
	rulesSource
	File  string `arg:"" help:"File with the rules; - is standard input."`
	Note  string `help:"Why, for the history."`
	After int64  `help:"Refuse unless this is the newest version." default:"-1"`
}

// Run implements the command.
func (c *rulesSetCmd) Run(e *env) error {
	text, err := readInput(e, c.File)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return millrace.Errorf(millrace.ErrInvalid, "%s has no rules in it; millrace rules remove takes a source's rules away", c.File)
	}
	body, err := json.Marshal(map[string]any{"rules": string(text), "note": c.Note, "after": c.After})
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPut, c.path(), c.params(), body)
	return c.changed(e, raw, err)
}

// changed says which version is current now.
func (c *rulesSource) changed(e *env, raw json.RawMessage, err error) error {
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var v rulesVersion
	if err := decodeAnswer(raw, &v); err != nil {
		return err
	}
	done := "rules of %s: version %d\n"
	if v.Rules == "" {
		done = "rules of %s: removed by version %d\n"
	}
	if _, err := fmt.Fprintf(e.stdout, done, v.Source, v.Version); err != nil {
		return err
	}
	return printWarnings(e.stdout, v.Warnings)
}

type rulesRemoveCmd struct {
	rulesSource
	Note string `help:"Why, for the history."`
}

// Run implements the command.
func (c *rulesRemoveCmd) Run(e *env) error {
	params := c.params()
	if c.Note != "" {
		params.Set("note", c.Note)
	}
	raw, err := c.ask(e, http.MethodDelete, c.path(), params, nil)
	return c.changed(e, raw, err)
}

type rulesHistoryCmd struct {
	rulesSource
	Limit int `help:"Most versions." default:"100"`
}

// Run implements the command.
func (c *rulesHistoryCmd) Run(e *env) error {
	params := c.params()
	params.Set("limit", strconv.Itoa(c.Limit))
	raw, err := c.ask(e, http.MethodGet, c.path()+"/history", params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var all struct {
		Versions []rulesVersion `json:"versions"`
	}
	if err := decodeAnswer(raw, &all); err != nil {
		return err
	}
	return printVersions(e, all.Versions)
}

type rulesPresetsCmd struct {
	Name string `arg:"" optional:"" help:"Preset to print."`
}

// Run implements the command.
func (c *rulesPresetsCmd) Run(e *env) error {
	if c.Name == "" {
		for _, name := range transform.Presets() {
			if _, err := fmt.Fprintln(e.stdout, name); err != nil {
				return err
			}
		}
		return nil
	}
	text, err := transform.Preset(c.Name)
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(text)
	return err
}

// readInput reads a file, or standard input for -.
func readInput(e *env, name string) ([]byte, error) {
	if name == "-" || name == "" {
		return io.ReadAll(e.stdin)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &millrace.Error{Code: millrace.ErrInvalid, Message: name + " cannot be read", Err: err}
	}
	return text, nil
}
