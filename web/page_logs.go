package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// logsData is the page of raw rows.
type logsData struct {
	layout
	Q      string
	Error  string
	Chart  *chart
	Total  string
	Events []logLine
	Older  string
	Newest string // back to the first page, if this is not it
	Empty  *emptyState
}

// logLine is a row of the page.
type logLine struct {
	E     millrace.StoredEvent
	First string // first line of the message
	Rest  int    // further lines
	Mood  string
	Attrs []attrLine
	// Report is what an exception's row says of causes and frames; nil without.
	Report *reportView
}

type attrLine struct{ Name, Value, Link string }

// Rows of a page: about what a person looks through.
const logRows = 100

func (s *Server) logsPage(v *view) any {
	d := logsData{layout: s.frame(v, "Logs", "service"), Q: v.get("q")}
	project, err := readable(v.r, v.get("project"))
	if err != nil {
		d.Error = userMessage(err)
		return d
	}
	q := d.Q
	if svc := v.where("service"); svc != "" && q != "" {
		q = "(" + q + ") " + svc
	} else if svc != "" {
		q = svc
	}
	req := query.LogsRequest{Query: q, Project: project, Range: v.Raw, Limit: logRows, Cursor: v.get("cursor")}
	if _, err := query.Parse(d.Q); err != nil { // before the service's filter moves positions
		d.Error = userMessage(err)
		return d
	}
	var page *query.LogsResult
	var pageErr error
	parallel(
		func() { page, pageErr = s.Query.Logs(v.ctx, req) },
		func() { d.Chart, d.Total = s.logsChart(v, req) },
	)
	if pageErr != nil {
		s.logFault(v.r, pageErr)
		d.Error = userMessage(pageErr)
		return d
	}
	for _, e := range page.Events {
		d.Events = append(d.Events, line(v, e))
	}
	if page.Next != "" {
		d.Older = v.With("cursor", page.Next)
	}
	if v.get("cursor") != "" {
		d.Newest = v.With()
	}
	if len(page.Events) == 0 && d.Q == "" {
		d.Empty = s.emptiness(v)
		d.waiting(d.Empty)
	}
	return d
}

// mood groups rows for the eye by level, kind and status.
func mood(e *millrace.StoredEvent) string {
	switch e.Level {
	case "fatal", "critical", "error", "alert", "emerg", "crit":
		return "bad"
	case "warn", "warning":
		return "warn"
	}
	if e.Kind == millrace.KindException.String() {
		return "bad"
	}
	if e.Kind == millrace.KindAccess.String() {
		switch status := attr(e.Attrs, millrace.AttrStatus); {
		case len(status) == 3 && status[0] == '5':
			return "bad"
		case len(status) == 3 && status[0] == '4':
			return "warn"
		}
	}
	return ""
}

func line(v *view, e millrace.StoredEvent) logLine {
	l := logLine{E: e, First: visible(firstLine(e.Message)), Mood: mood(&e)}
	for _, c := range e.Message {
		if c == '\n' {
			l.Rest++
		}
	}
	add := func(name, value string) {
		if value != "" {
			l.Attrs = append(l.Attrs, attrLine{visible(name), visible(value), v.With("q", query.Term(name, value))})
		}
	}
	add("kind", e.Kind)
	add("project", e.Project)
	add("source", e.Source)
	add("service", e.Service)
	add("host", e.Host)
	add("env", e.Env)
	add("release", e.Release)
	add("level", e.Level)
	add("trace_id", e.TraceID)
	if e.Weight != 1 {
		add("weight", fmt.Sprint(e.Weight))
	}
	if e.Kind == millrace.KindException.String() {
		if r, ok := issue.SampleReport(&e); ok {
			l.Report = newReport(&r)
		}
	}
	for _, a := range attributes(e.Attrs) {
		if l.Report != nil && (a.Name == millrace.AttrReport || a.Name == millrace.AttrFrames) {
			continue
		}
		if a.Link == "json" { // nested values cannot be searched for as a whole
			l.Attrs = append(l.Attrs, attrLine{Name: visible(a.Name), Value: visible(a.Value)})
			continue
		}
		add(a.Name, a.Value)
	}
	return l
}

// attributes returns the fields of a JSON object by name; Link is "json" for
// nested ones.
func attributes(raw json.RawMessage) []attrLine {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	var out []attrLine
	for name, value := range all {
		a := attrLine{Name: name, Value: string(value)}
		switch c := bytes.TrimSpace(value); {
		case len(c) > 0 && c[0] == '"':
			var s string
			if json.Unmarshal(c, &s) == nil {
				a.Value = s
			}
		case len(c) > 0 && (c[0] == '{' || c[0] == '['):
			a.Link = "json"
			var b bytes.Buffer
			if json.Indent(&b, c, "", "  ") == nil {
				a.Value = b.String()
			}
		}
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b attrLine) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}

// logsChart counts the matching rows over time.
func (s *Server) logsChart(v *view, req query.LogsRequest) (*chart, string) {
	req.Range = v.Range
	h, err := s.Query.Histogram(v.ctx, req, v.Step)
	if err != nil {
		return nil, "" // the rows below say what is wrong
	}
	g := v.grid()
	values := g.column(0)
	total := int64(0)
	for _, p := range h.Points {
		g.add(values, p.Time, float64(p.Events))
		total += p.Events
	}
	c := v.newChart("matches", "bars", "count", req.Query, time.Time{}, series{Label: "Rows", Color: "blue", Values: values})
	c.Label = fmt.Sprintf("Matching rows over time: %s in all", formatCount(total))
	if total == 0 {
		return nil, "0"
	}
	return c, formatCount(total)
}
