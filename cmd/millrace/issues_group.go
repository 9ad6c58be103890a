package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/issue"
)

// issueChange is a change of what belongs together, as the API shows it.
type issueChange struct {
	ID       int64           `json:"id"`
	At       time.Time       `json:"at"`
	Author   string          `json:"author"`
	Kind     string          `json:"kind"`
	Note     string          `json:"note"`
	Moves    []millrace.Move `json:"moves"`
	Undoes   int64           `json:"undoes"`
	UndoneBy int64           `json:"undone_by"`
}

// change posts a change of the grouping and says which it is.
func (c *issuesProject) change(e *env, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPost, path, c.params(), text)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var made issueChange
	if err := decodeAnswer(raw, &made); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "change %d: %s, %d moves; millrace issues undo %d takes it back\n", made.ID, made.Kind, len(made.Moves), made.ID)
	return err
}

type issuesMergeCmd struct {
	issuesProject
	Into string   `arg:"" help:"The issue that stays."`
	IDs  []string `arg:"" name:"issue" help:"The issues that become part of it."`
	Note string   `help:"Why, for the log."`
}

// Run implements the command.
func (c *issuesMergeCmd) Run(e *env) error {
	return c.change(e, issuePath(c.Into, "merge"), map[string]any{"ids": c.IDs, "note": c.Note})
}

type issuesUnmergeCmd struct {
	issuesProject
	ID           string   `arg:"" help:"The issue."`
	Fingerprints []string `arg:"" name:"fingerprint" help:"What is to leave it: millrace issues show lists its fingerprints."`
	Note         string   `help:"Why, for the log."`
}

// Run implements the command.
func (c *issuesUnmergeCmd) Run(e *env) error {
	return c.change(e, issuePath(c.ID, "unmerge"), map[string]any{"fingerprints": c.Fingerprints, "note": c.Note})
}

type issuesRegroupCmd struct {
	issuesProject
	File    string `arg:"" optional:"" help:"Grouping as YAML or JSON: version of the fingerprint, and rules; - is standard input. Without it the grouping that is set, with --fingerprint."`
	Version *int   `name:"fingerprint" help:"Version of the fingerprint that groups; 0: each one by itself." placeholder:"N"`
	Apply   bool   `help:"Do it; else only what it would do is shown."`
	Note    string `help:"Why, for the log."`
}

// Run implements the command.
func (c *issuesRegroupCmd) Run(e *env) error {
	if c.File == "" && c.Version == nil {
		return millrace.Errorf(millrace.ErrInvalid, "give a file with a grouping, or --fingerprint")
	}
	g, err := c.grouping(e)
	if err != nil {
		return err
	}
	body := map[string]any{"grouping": g, "note": c.Note, "preview": !c.Apply}
	if c.Apply {
		return c.change(e, "/api/v1/issues/regroup", body)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPost, "/api/v1/issues/regroup", c.params(), text)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	return printPreview(e, raw)
}

// grouping reads the file, or what is set.
func (c *issuesRegroupCmd) grouping(e *env) (*issue.Grouping, error) {
	var g issue.Grouping
	if c.File == "" {
		s, err := c.settings(e)
		if err != nil {
			return nil, err
		}
		g = s.Grouping
	} else if err := readYAML(e, c.File, &g); err != nil {
		return nil, err
	}
	if c.Version != nil {
		g.Version = *c.Version
	}
	return &g, nil
}

// readYAML reads YAML, which JSON is too, and refuses what it does not know.
func readYAML(e *env, file string, into any) error {
	text, err := readInput(e, file)
	if err != nil {
		return err
	}
	asJSON, err := config.JSON(text)
	if err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: file + ": " + err.Error()}
	}
	dec := json.NewDecoder(bytes.NewReader(asJSON))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: file + ": " + err.Error()}
	}
	return nil
}

func printPreview(e *env, raw json.RawMessage) error {
	var p struct {
		Fingerprints, Issues, After, Moved, Omitted int
		Groups                                      []struct {
			Issue, Type, Title string
			New                bool
			Count              int64
			Parts              []struct {
				Issue        string
				Fingerprints int
			}
		}
	}
	if err := decodeAnswer(raw, &p); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.stdout, "%d fingerprints: %d issues now, %d after; %d fingerprints would move\n\n", p.Fingerprints, p.Issues, p.After, p.Moved); err != nil {
		return err
	}
	var rows [][]string
	for _, g := range p.Groups {
		what := headline(&issueRow{Type: g.Type, Title: g.Title})
		name := g.Issue
		if g.New {
			name += " (new)"
		}
		for _, part := range g.Parts {
			rows = append(rows, []string{name, part.Issue, strconv.Itoa(part.Fingerprints), what})
		}
	}
	if err := printTable(e.stdout, []string{"issue", "from", "fingerprints", "what"}, rows, []bool{false, false, true}); err != nil {
		return err
	}
	if p.Omitted > 0 {
		if _, err := fmt.Fprintf(e.stdout, "%d more groups\n", p.Omitted); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(e.stdout, "nothing is changed; --apply does it")
	return err
}

type issuesChangesCmd struct {
	issuesProject
	ID     string `arg:"" optional:"" help:"Only changes of this issue."`
	Limit  int    `help:"Most changes." default:"50"`
	Before int64  `help:"Only those before this change." placeholder:"ID"`
}

// Run implements the command.
func (c *issuesChangesCmd) Run(e *env) error {
	params := c.params()
	params.Set("limit", strconv.Itoa(c.Limit))
	if c.ID != "" {
		params.Set("issue", c.ID)
	}
	if c.Before != 0 {
		params.Set("before", strconv.FormatInt(c.Before, 10))
	}
	raw, err := c.ask(e, http.MethodGet, "/api/v1/issues/changes", params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var all struct {
		Changes []issueChange `json:"changes"`
	}
	if err := decodeAnswer(raw, &all); err != nil {
		return err
	}
	rows := make([][]string, len(all.Changes))
	for i, r := range all.Changes {
		state := ""
		switch {
		case r.UndoneBy > 0:
			state = fmt.Sprintf("undone by %d", r.UndoneBy)
		case r.Undoes > 0:
			state = fmt.Sprintf("undoes %d", r.Undoes)
		}
		rows[i] = []string{strconv.FormatInt(r.ID, 10), shortTime(r.At), r.Author, r.Kind, strconv.Itoa(len(r.Moves)), state, r.Note}
	}
	return printTable(e.stdout, []string{"change", "at", "author", "kind", "moves", "", "note"}, rows, []bool{true, false, false, false, true})
}

type issuesUndoCmd struct {
	issuesProject
	ID    int64  `arg:"" help:"The change; with --issue an activity of that issue."`
	Issue string `help:"Take back what an activity changed of this issue's state or owner." placeholder:"ISSUE"`
}

// Run implements the command.
func (c *issuesUndoCmd) Run(e *env) error {
	id := strconv.FormatInt(c.ID, 10)
	if c.Issue == "" {
		return c.change(e, "/api/v1/issues/changes/"+id+"/undo", struct{}{})
	}
	raw, err := c.ask(e, http.MethodPost, issuePath(c.Issue, "activities", id, "undo"), c.params(), []byte("{}"))
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var o issueOutcome
	if err := decodeAnswer(raw, &o); err != nil {
		return err
	}
	return printOutcomes(e, []issueOutcome{o})
}

type issuesSettingsCmd struct {
	issuesProject
	Set string `help:"Replace the settings by those of a file, as this command prints them; - is standard input. The grouping in it must be the present one: millrace issues regroup changes that." placeholder:"FILE"`
}

// settings returns what the server has.
func (c *issuesProject) settings(e *env) (*issue.Settings, error) {
	raw, err := c.ask(e, http.MethodGet, "/api/v1/issues/settings", c.params(), nil)
	if err != nil {
		return nil, err
	}
	var s issue.Settings
	if err := decodeAnswer(raw, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// editable is what people change of settings.
type editable struct {
	Version  int64             `json:"version" yaml:"version"` // of the settings that it was read from
	Grouping issue.Grouping    `json:"grouping" yaml:"grouping"`
	Owners   []issue.OwnerRule `json:"owners" yaml:"owners"`
}

// Run implements the command. What it prints is YAML, so that it can be edited and
// set again; that fails if somebody changed the settings meanwhile.
func (c *issuesSettingsCmd) Run(e *env) error {
	if c.Set != "" {
		return c.replace(e)
	}
	raw, err := c.ask(e, http.MethodGet, "/api/v1/issues/settings", url.Values{"project": {c.Project}}, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var s editable
	if err := decodeAnswer(raw, &s); err != nil {
		return err
	}
	asJSON, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text, err := config.YAML(asJSON)
	if err != nil {
		return fmt.Errorf("BUG: settings as YAML: %w", err)
	}
	_, err = e.stdout.Write(text)
	return err
}

func (c *issuesSettingsCmd) replace(e *env) error {
	var s editable
	if err := readYAML(e, c.Set, &s); err != nil {
		return err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPut, "/api/v1/issues/settings", c.params(), text)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var now editable
	if err := decodeAnswer(raw, &now); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "settings of %s: version %d\n", printable(c.Project), now.Version)
	return err
}
