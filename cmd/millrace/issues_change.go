package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/millrace/millrace"
)

// issuesMany is what commands that do something to issues have in common.
type issuesMany struct {
	issuesProject
	IDs []string `arg:"" name:"issue" help:"The issues."`
}

// issueOutcome is what an action did to an issue, as the API shows it.
type issueOutcome struct {
	Issue    string `json:"issue"`
	Changed  bool   `json:"changed"`
	Activity int64  `json:"activity"`
	Error    string `json:"error"`
}

// act does something to the issues and says what came of it.
func (c *issuesMany) act(e *env, action string, fields map[string]any) error {
	body := map[string]any{"action": action, "ids": c.IDs}
	for k, v := range fields {
		body[k] = v
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	raw, err := c.ask(e, http.MethodPost, "/api/v1/issues/bulk", c.params(), text)
	if err != nil {
		return err
	}
	var answer struct {
		Outcomes []issueOutcome `json:"outcomes"`
	}
	if err := decodeAnswer(raw, &answer); err != nil {
		return err
	}
	failed := 0
	for _, o := range answer.Outcomes {
		if o.Error != "" {
			failed++
		}
	}
	if c.JSON {
		err = printRaw(e, raw)
	} else {
		err = printOutcomes(e, answer.Outcomes)
	}
	if err == nil && failed > 0 {
		err = &millrace.Error{Code: millrace.ErrConflict, Message: fmt.Sprintf("%d of %d issues stay as they are", failed, len(answer.Outcomes))}
	}
	return err
}

func printOutcomes(e *env, list []issueOutcome) error {
	rows := make([][]string, len(list))
	for i, o := range list {
		what, undo := "changed", fmt.Sprint(o.Activity)
		switch {
		case o.Error != "":
			what = o.Error
		case !o.Changed:
			what = "was so already"
		}
		if o.Activity == 0 {
			undo = "-"
		}
		rows[i] = []string{o.Issue, what, undo}
	}
	return printTable(e.stdout, []string{"issue", "outcome", "activity"}, rows, []bool{false, false, true})
}

type issuesResolveCmd struct {
	issuesMany
	Release string `help:"Resolved in this release: events of it and of later ones bring the issue back, others do not." xor:"in"`
	Next    bool   `help:"Resolved in the next release: events of releases that were not there yet bring the issue back." xor:"in"`
}

// Run implements the command.
func (c *issuesResolveCmd) Run(e *env) error {
	fields := map[string]any{}
	if c.Release != "" {
		fields["release"] = c.Release
	}
	if c.Next {
		fields["next"] = true
	}
	return c.act(e, "resolve", fields)
}

type issuesReopenCmd struct{ issuesMany }

// Run implements the command.
func (c *issuesReopenCmd) Run(e *env) error { return c.act(e, "reopen", nil) }

type issuesIgnoreCmd struct {
	issuesMany
	For         millrace.Duration `help:"For so long, such as 12h or 7d." placeholder:"DURATION" xor:"until"`
	Until       string            `help:"Until this time, RFC 3339." placeholder:"TIME" xor:"until"`
	Occurrences int64             `help:"Until it occurred so often from now on." placeholder:"N"`
	Users       int64             `help:"Until so many users met it from now on." placeholder:"N"`
}

// Run implements the command. Without a bound it is for ever.
func (c *issuesIgnoreCmd) Run(e *env) error {
	fields := map[string]any{}
	switch {
	case c.For < 0 || c.Occurrences < 0 || c.Users < 0:
		return millrace.Errorf(millrace.ErrInvalid, "--for, --occurrences and --users must be positive")
	case c.For > 0:
		fields["until"] = e.now().Add(c.For.Std()).UTC().Format(time.RFC3339Nano)
	case c.Until != "":
		fields["until"] = c.Until
	}
	if c.Occurrences > 0 {
		fields["occurrences"] = c.Occurrences
	}
	if c.Users > 0 {
		fields["users"] = c.Users
	}
	return c.act(e, "ignore", fields)
}

type issuesAssignCmd struct {
	issuesMany
	To string `help:"Owner, a person or a team; empty is nobody." required:"" placeholder:"OWNER"`
}

// Run implements the command.
func (c *issuesAssignCmd) Run(e *env) error {
	return c.act(e, "assign", map[string]any{"owner": c.To})
}

type issuesNoteCmd struct {
	issuesMany
	Text string `help:"What to note; - reads standard input." required:""`
}

// Run implements the command.
func (c *issuesNoteCmd) Run(e *env) error {
	text := c.Text
	if text == "-" {
		in, err := readInput(e, text)
		if err != nil {
			return err
		}
		text = string(in)
	}
	return c.act(e, "note", map[string]any{"text": text})
}
