package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/issue"
)

// issueDetail is all about an issue, as the API shows it.
type issueDetail struct {
	issueRow
	RedirectedFrom string             `json:"redirected_from"`
	Known          []issueFingerprint `json:"fingerprint_details"`
	Releases       []issueShare       `json:"releases"`
	Hosts          []issueShare       `json:"hosts"`
	Environments   []issueShare       `json:"environments"`
	Services       []issueShare       `json:"services"`
	Activities     []issueActivity    `json:"activities"`
	Resolution     struct {
		At      time.Time `json:"at"`
		By      string    `json:"by"`
		Release string    `json:"release"`
		Next    bool      `json:"next"`
	} `json:"resolution"`
	Ignore struct {
		At          time.Time `json:"at"`
		By          string    `json:"by"`
		Until       time.Time `json:"until"`
		Occurrences int64     `json:"occurrences"`
		Users       int64     `json:"users"`
	} `json:"ignore"`
}

type issueFingerprint struct {
	Fingerprint string    `json:"fingerprint"`
	Key         string    `json:"key"`
	Count       int64     `json:"count"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Type        string    `json:"type"`
	Title       string    `json:"title"`
}

type issueShare struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
	Users int64  `json:"users"`
}

type issueActivity struct {
	ID     int64           `json:"id"`
	At     time.Time       `json:"at"`
	Author string          `json:"author"`
	Kind   string          `json:"kind"`
	Data   json.RawMessage `json:"data"`
	Text   string          `json:"text"`
}

type issuesShowCmd struct {
	issuesProject
	issuesRange
	ID     string `arg:"" help:"The issue."`
	Frames bool   `help:"Print all frames, not only those of the application."`
}

// Run implements the command.
func (c *issuesShowCmd) Run(e *env) error {
	raw, err := c.ask(e, http.MethodGet, issuePath(c.ID), c.add(c.params()), nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var d issueDetail
	if err := decodeAnswer(raw, &d); err != nil {
		return err
	}
	report, err := c.sample(e)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(e.stdout)
	d.print(out, c.Env)
	if report != nil {
		fmt.Fprintln(out)
		printException(out, report.Exception, "", c.Frames)
	}
	d.printShares(out)
	d.printLog(out)
	return out.Flush()
}

// sample returns the report of the newest stored event of the issue; nil if there
// is none in the range.
func (c *issuesShowCmd) sample(e *env) (*millrace.Report, error) {
	params := c.add(c.params())
	params.Set("limit", "1")
	raw, err := c.ask(e, http.MethodGet, issuePath(c.ID, "events"), params, nil)
	if err != nil {
		return nil, err
	}
	var page struct{ Events []millrace.StoredEvent }
	if err := decodeAnswer(raw, &page); err != nil || len(page.Events) == 0 {
		return nil, err
	}
	r, ok := issue.SampleReport(&page.Events[0])
	if !ok || r.Exception == nil {
		return nil, nil
	}
	return &r, nil
}

func (d *issueDetail) print(w io.Writer, env string) {
	line := func(name, format string, values ...any) {
		fmt.Fprintf(w, "%-12s%s\n", name, printable(fmt.Sprintf(format, values...)))
	}
	if d.RedirectedFrom != "" {
		line("merged", "%s is part of %s now", d.RedirectedFrom, d.ID)
	}
	line("issue", "%s  %s", d.ID, headline(&d.issueRow))
	if d.Culprit != "" {
		line("in", "%s", d.Culprit)
	}
	line("state", "%s", d.state())
	if d.Owner != "" {
		line("owner", "%s", d.Owner)
	}
	line("count", "%d, %d users, %s against as long a time before (%s)", d.Count, d.Users, trend(d.Count, d.Before), env)
	line("seen", "%s to %s", shortTime(d.FirstSeen), shortTime(d.LastSeen))
	if d.FirstRelease != "" || d.LastRelease != "" {
		line("releases", "%s to %s", d.FirstRelease, d.LastRelease)
	}
	for _, f := range d.Known {
		line("fingerprint", "%s  %d  %s", f.Fingerprint, f.Count, firstLine(f.Title))
	}
}

// state is the phase with what is known of it.
func (d *issueDetail) state() string {
	text := d.Phase
	switch r := d.Resolution; {
	case d.Phase == string(millrace.IssueResolved) || d.Phase == string(millrace.IssueRegressed):
		text += fmt.Sprintf("; resolved %s by %s", shortTime(r.At), r.By)
		if r.Release != "" {
			text += " in release " + r.Release
		}
		if r.Next {
			text += " in the next release"
		}
	case d.Phase == string(millrace.IssueIgnored):
		text += fmt.Sprintf(" since %s by %s", shortTime(d.Ignore.At), d.Ignore.By)
		if !d.Ignore.Until.IsZero() {
			text += " until " + shortTime(d.Ignore.Until)
		}
		if d.Ignore.Occurrences > 0 {
			text += fmt.Sprintf(" until %d more occurrences", d.Ignore.Occurrences)
		}
		if d.Ignore.Users > 0 {
			text += fmt.Sprintf(" until %d more users", d.Ignore.Users)
		}
	}
	return text
}

func (d *issueDetail) printShares(w io.Writer) {
	for _, part := range []struct {
		name   string
		shares []issueShare
	}{{"release", d.Releases}, {"host", d.Hosts}, {"environment", d.Environments}, {"service", d.Services}} {
		if len(part.shares) == 0 {
			continue
		}
		fmt.Fprintf(w, "\nby %s\n", part.name)
		for _, s := range part.shares {
			name := s.Value
			if name == "" {
				name = "(none)"
			}
			fmt.Fprintf(w, "  %-40s %10d\n", printable(name), s.Count)
		}
	}
}

func (d *issueDetail) printLog(w io.Writer) {
	if len(d.Activities) == 0 {
		return
	}
	fmt.Fprintln(w, "\nwhat was done, the newest first")
	for _, a := range d.Activities {
		text := a.Text
		if text == "" && len(a.Data) > 0 && string(a.Data) != "{}" && string(a.Data) != "null" {
			text = string(a.Data)
		}
		fmt.Fprintf(w, "  %s  %-8d %-10s %-12s %s\n", shortTime(a.At), a.ID, printable(a.Kind), printable(a.Author), printable(firstLine(text)))
	}
}

// printException prints an exception and its causes as a trace. Frames outside of
// the application are counted only, unless all are asked for or none is inside.
func printException(w io.Writer, e *millrace.Exception, lead string, all bool) {
	for e != nil {
		fmt.Fprintf(w, "%s%s\n", lead, printable(strings.TrimPrefix(e.Type+": "+firstLine(e.Message), ": ")))
		printFrames(w, e.Frames, all)
		for _, m := range e.Members {
			printException(w, m, "member: ", all)
		}
		for _, r := range e.Related {
			printException(w, r, "related: ", all)
		}
		e, lead = e.Cause, "caused by: "
	}
}

func printFrames(w io.Writer, frames []millrace.Frame, all bool) {
	inApp := false
	for i := range frames {
		inApp = inApp || frames[i].InApp
	}
	folded := 0
	flush := func() {
		if folded > 0 {
			fmt.Fprintf(w, "    … %d frames outside of the application\n", folded)
		}
		folded = 0
	}
	for i := range frames {
		f := &frames[i]
		if inApp && !all && !f.InApp {
			folded++
			continue
		}
		flush()
		fmt.Fprintf(w, "    %s\n", printable(frameText(f)))
	}
	flush()
}

// frameText is a frame in a line.
func frameText(f *millrace.Frame) string {
	text := f.Function
	if f.Module != "" && !strings.HasPrefix(f.Function, f.Module) {
		text = strings.TrimSuffix(f.Module+"."+f.Function, ".")
	}
	if text == "" && f.Address > 0 {
		text = fmt.Sprintf("0x%x", f.Address)
	}
	if f.File != "" {
		text += " (" + f.File
		if f.Line > 0 {
			text += fmt.Sprintf(":%d", f.Line)
		}
		text += ")"
	}
	return text
}

type issuesExplainCmd struct {
	issuesProject
	ID          string `arg:"" help:"The issue."`
	Fingerprint string `arg:"" optional:"" help:"One of its fingerprints; without it the one seen first."`
}

// Run implements the command.
func (c *issuesExplainCmd) Run(e *env) error {
	params := c.params()
	if c.Fingerprint != "" {
		params.Set("fingerprint", c.Fingerprint)
	}
	raw, err := c.ask(e, http.MethodGet, issuePath(c.ID, "explain"), params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var x struct {
		Fingerprint string                `json:"fingerprint"`
		Key         string                `json:"key"`
		By          string                `json:"by"`
		Text        string                `json:"text"`
		Explanation exception.Explanation `json:"explanation"`
	}
	if err := decodeAnswer(raw, &x); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(e.stdout, "%s\nfingerprint %s, key %s, by %s; compared: %s\n\n", printable(x.Text), printable(x.Fingerprint), printable(x.Key), printable(x.By), printable(x.Explanation.Basis)); err != nil {
		return err
	}
	rows := make([][]string, len(x.Explanation.Parts))
	for i, p := range x.Explanation.Parts {
		used := p.Used
		if used == "" {
			used = "-"
		}
		rows[i] = []string{fmt.Sprint(p.Depth), p.Kind, used, strings.Join(p.Stripped, ", "), p.Raw}
	}
	return printTable(e.stdout, []string{"cause", "part", "compared as", "left out", "as received"}, rows, []bool{true})
}
