package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/transform"
)

// rulesTryCmd runs rules on lines: here, if it has rules and lines, else on the
// server, which knows the current rules and the last stored events.
type rulesTryCmd struct {
	remote
	Rules   string `help:"File with the rules to try; without it the source's current ones." type:"existingfile" placeholder:"FILE"`
	Source  string `help:"Source whose current rules they are compared with, or whose events are used."`
	Project string `help:"Project of the source." default:"default"`
	Format  string `help:"Format of the lines." default:"auto"`
	Last    int    `help:"Try them on the source's newest stored events, that many, instead of a file." placeholder:"N"`
	Show    int    `help:"How many lines to show in detail." default:"10"`
	File    string `arg:"" optional:"" help:"File with lines; - or none is standard input."`
}

// Run implements the command.
func (c *rulesTryCmd) Run(e *env) error {
	var rules *string
	if c.Rules != "" {
		text, err := readInput(e, c.Rules)
		if err != nil {
			return err
		}
		s := string(text)
		rules = &s
	}
	var lines []byte
	var err error
	if c.Last == 0 {
		if lines, err = readInput(e, c.File); err != nil {
			return err
		}
	}
	raw, err := c.try(e, rules, lines)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var t pipeline.Trial
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("the server's answer: %w", err)
	}
	return c.print(e.stdout, &t)
}

func (c *rulesTryCmd) try(e *env, rules *string, lines []byte) (json.RawMessage, error) {
	if rules != nil && c.Source == "" && c.Last == 0 {
		// Nothing of the server's is needed. What masks hash differs there.
		q := millrace.RuleTrial{Project: c.Project, Source: "default", Format: c.Format, Payload: lines}
		tried := &millrace.RuleVersion{Text: *rules}
		t, err := pipeline.TryRules(q, tried, nil, pipeline.RulesOptions(make([]byte, 32), nil), exception.LatestVersion, e.now)
		if err != nil {
			return nil, err
		}
		return json.Marshal(t)
	}
	body := map[string]any{"project": c.Project, "source": c.Source, "format": c.Format}
	if rules != nil {
		body["rules"] = *rules
	}
	if c.Last > 0 {
		body["last"] = c.Last
	} else {
		body["lines"] = string(lines)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	return c.ask(e, http.MethodPost, "/api/v1/rules/try", nil, encoded)
}

func (c *rulesTryCmd) print(w io.Writer, t *pipeline.Trial) error {
	for i := range t.Events[:min(len(t.Events), c.Show)] {
		if err := printTrialLine(w, &t.Events[i]); err != nil {
			return err
		}
	}
	if err := printSummary(w, t, c.Last > 0); err != nil {
		return err
	}
	if err := printWarnings(w, t.Warnings); err != nil {
		return err
	}
	rows := make([][]string, len(t.Steps))
	for i, s := range t.Steps {
		rows[i] = []string{s.Name, count(s.Matched), count(s.Unmatched), count(s.Skipped), count(s.Failed)}
	}
	if len(rows) == 0 {
		return nil
	}
	return printTable(w, []string{"step", "matched", "unmatched", "skipped", "failed"}, rows, []bool{false, true, true, true, true})
}

// printSummary says what became of the lines, and what they cost.
func printSummary(w io.Writer, t *pipeline.Trial, stored bool) error {
	var b strings.Builder
	if t.Lines+t.Refused == 0 {
		none := "no lines to try the rules on\n"
		if stored {
			none = "the source has no stored events to try the rules on\n"
		}
		_, err := io.WriteString(w, none)
		return err
	}
	fmt.Fprintf(&b, "%d lines: %d stored", t.Lines, t.Kept)
	for _, reason := range slices.Sorted(maps.Keys(t.Filtered)) {
		fmt.Fprintf(&b, ", %d filtered (%s)", t.Filtered[reason], reason)
	}
	if t.Rejected > 0 {
		fmt.Fprintf(&b, ", %d rejected", t.Rejected)
	}
	if t.Refused > 0 {
		fmt.Fprintf(&b, ", and %d that ingest refuses", t.Refused)
	}
	b.WriteString("\n")
	switch {
	case t.Lines == 0: // all refused
	case len(t.Steps) == 0:
		b.WriteString("there is no rule: this is what the format alone makes of them\n")
	default:
		writeEffect(&b, t)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEffect says what the rules did and what they cost.
func writeEffect(b *strings.Builder, t *pipeline.Trial) {
	fmt.Fprintf(b, "%.1f%% matched a step; %d differ from ", 100*t.Matched, t.Changed)
	if t.Current == 0 {
		b.WriteString("no rules\n")
	} else {
		fmt.Fprintf(b, "the current version %d\n", t.Current)
	}
	fmt.Fprintf(b, "a line costs %s to decode and %s for the rules", perLine(t.DecodeNanos), perLine(t.RulesNanos))
	if t.Current != 0 {
		fmt.Fprintf(b, " (the current ones: %s)", perLine(t.CurrentNanos))
	}
	b.WriteString("\n")
	if !slices.ContainsFunc(t.Steps, func(s pipeline.TrialStep) bool { return s.Events == 0 || s.Skipped < s.Events }) {
		b.WriteString("every step was skipped: its condition (when) held for no line; the format may have found the fields already\n")
	}
}

// printWarnings prints the lint's warnings, each with what to do about it.
func printWarnings(w io.Writer, list []transform.Warning) error {
	var b strings.Builder
	for i := range list {
		fmt.Fprintf(&b, "warning: %s\n", printable(list[i].String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// printTrialLine prints one line, its fields, and what the rules changed.
func printTrialLine(w io.Writer, l *pipeline.TrialLine) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n  %s\n", clip(printable(l.Line)), strings.TrimSpace(l.Outcome+" "+l.Reason))
	for _, name := range slices.Sorted(maps.Keys(l.Event)) {
		value, err := json.Marshal(l.Event[name])
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "    %s = %s\n", printable(name), clip(printable(string(value))))
	}
	for _, s := range l.Steps {
		if s.Outcome == "failed" {
			fmt.Fprintf(&b, "  failed: %s: %s\n", printable(s.Name), printable(s.Detail))
		}
	}
	for _, ch := range l.Changes {
		fmt.Fprintf(&b, "  %s: %s -> %s\n", printable(ch.Field), clip(printable(ch.Before)), clip(printable(ch.After)))
	}
	_, err := io.WriteString(w, b.String()+"\n")
	return err
}
