package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// typesData is the page that incident responders look at first: which types of
// exception, since when, where, and how many more than before.
type typesData struct {
	layout
	Pages   []navItem
	Shapes  []navItem
	Q, Host string
	Selects []choice
	Hosts   []string
	Hidden  []formField
	Error   string
	Empty   *emptyState
	Figures []figure
	Chart   *panel
	Table   *panel
	OnHosts *panel // of one type
	Other   string
	Since   string // from when on types are counted
}

// Types drawn one by one, and the colours of these; the rest is drawn as one.
var typeColors = []string{"red", "amber", "violet", "blue", "teal", "green"}

// Types of the table.
const typeRows = 50

func (s *Server) typesPage(v *view) any {
	d := &typesData{layout: s.frame(v, "Exception types"), Pages: v.exceptionPages(), Q: v.get("q"), Host: v.get("host")}
	project, projects, err := s.issuesProject(v)
	if err == nil {
		err = s.fillTypes(v, d, project, projects)
	}
	if err != nil {
		s.logFault(v.r, err)
		d.Error = userMessage(err)
	}
	return d
}

func (s *Server) fillTypes(v *view, d *typesData, project string, projects []string) error {
	req := issue.TypesRequest{
		Project: project, Env: envOf(v), Range: v.until(), Step: v.Step, Where: v.where("service", "host"), ErrorClass: v.get("class"),
		Text: v.get("q"), Order: v.get("order"), Limit: typeRows, Hosts: true,
	}
	var res *issue.Types
	var err error
	var env choice
	parallel(
		func() { res, err = s.Issues.Types(v.ctx, req) },
		func() { env = s.envChoice(v, project) },
		func() { d.Hosts = s.seen(v, project, "host") },
	)
	d.filters(v, project, projects, env)
	if err != nil {
		return err
	}
	d.Since = countedSince(res.CompleteFrom)
	if len(res.Rows) == 0 && v.get("q") == "" && v.get("host") == "" {
		if d.Empty = s.exceptionEmptiness(v); d.Empty != nil {
			d.waiting(d.Empty)
			return nil
		}
	}
	d.Figures = typeFigures(res)
	d.Chart = typesChart(v, res)
	d.Table = typesTable(v, res)
	if len(res.Rows) == 1 {
		d.OnHosts = &panel{Title: "Hosts", Wide: "4", Table: shareTable("Host", res.Rows[0].Hosts, func(host string) string { return v.With("host", host) })}
		d.OnHosts.orNote("None in this range.")
		d.Table.Wide = "8"
	}
	if res.Other > 0 {
		d.Other = formatCount(res.Other) + " more are counted under types that are too many to be kept apart."
	}
	return nil
}

func (d *typesData) filters(v *view, project string, projects []string, env choice) {
	if len(projects) > 0 {
		d.Selects = append(d.Selects, projectChoice(project, projects))
	}
	d.Selects = append(d.Selects, env,
		newChoice("class", "Class", v.get("class"), "", "All", "system", "System", "business", "Business"),
		newChoice("order", "Sort by", v.get("order"), "", "Count", issue.OrderTrend, "Growth", issue.OrderUsers, "Users"),
		newChoice("vs", "Compare with", v.get("vs"), comparisons...))
	d.Hidden = v.hidden("from", "to", "refresh", "service", "as")
	lines := v.get("as") == "lines"
	d.Shapes = []navItem{{"Stacked", v.With("as", ""), !lines}, {"Lines", v.With("as", "lines"), lines}}
}

func typeFigures(t *issue.Types) []figure {
	count := figure{Label: "Exceptions", Value: formatShort(float64(t.Count)), Title: formatCount(t.Count), Spark: spark(trimSpark(t.Series), "red")}
	out := []figure{count}
	if t.Before >= 0 {
		out[0] = count.compare(float64(t.Count), float64(t.Before), formatShort, true)
	}
	for _, c := range []struct {
		label string
		then  int64
	}{{"Against yesterday", t.Yesterday}, {"Against last week", t.LastWeek}} {
		f := figure{Label: c.label, Value: none}
		if c.then > 0 {
			x := figure{}.compare(float64(t.Count), float64(c.then), formatShort, true)
			f.Value, f.Mood, f.Was = x.Delta, x.Mood, formatShort(float64(c.then))+" then"
		} else if c.then == 0 {
			f.Was = "none then"
		}
		out = append(out, f)
	}
	return append(out, figure{Label: "Types", Value: formatCount(int64(t.Total))})
}

// typesChart draws the types with most, and all others as one.
func typesChart(v *view, t *issue.Types) *panel {
	p := &panel{Title: "Over time", About: "Exceptions per " + stepName(t.Step) + " by type", Wide: "12"}
	var list []series
	rest := slices.Clone(t.Series)
	byCount := slices.Clone(t.Rows)
	slices.SortStableFunc(byCount, func(a, b issue.TypeRow) int { return int(min(1, max(-1, b.Count-a.Count))) })
	for i := range byCount[:min(len(byCount), len(typeColors))] {
		values := byCount[i].Series
		list = append(list, series{Label: typeLabel(byCount[i].Type), Color: typeColors[i], Values: values})
		for j := range values {
			if j < len(rest) && !math.IsNaN(values[j]) {
				rest[j] -= values[j]
			}
		}
	}
	if len(byCount) > len(typeColors) || sum(rest) > 0 {
		list = append(list, series{Label: "all others", Color: "grey", Values: rest})
	}
	kind := "stack"
	if v.get("as") == "lines" {
		kind = "line"
	}
	terms := ""
	if where := v.where("service", "host"); where != "" {
		terms = " " + where
	}
	if len(t.Rows) == 1 {
		terms += " " + query.Term(millrace.AttrType, t.Rows[0].Type)
	}
	p.Chart = timesChart(v, "types", kind, t.Times, t.Step, "kind:exception"+terms, t.CompleteUntil, list...)
	p.Chart.Label = fmt.Sprintf("Exceptions over time by type: %s in all", formatCount(t.Count))
	return p.orEmpty("No exceptions in this range.")
}

// typeLabel names a type in little room.
func typeLabel(t string) string {
	if t == "" {
		return "(none)"
	}
	return visible(shortType(t))
}

func typesTable(v *view, t *issue.Types) *panel {
	p := &panel{Title: "Types", About: "Each leads to its issues", Wide: "12"}
	p.Table = &table{Head: []header{
		{Label: "Type"},
		{Label: "Over time"},
		{Label: "Count", Numeric: true},
		{Label: "Before", Numeric: true, About: "In the time compared with"},
		{Label: "Change", Numeric: true},
		{Label: "Users", Numeric: true, About: "Estimated"},
		{Label: "Hosts", About: "Those with most first"},
		{Label: "First in range", Numeric: true},
		{Label: ""},
	}}
	var top int64
	for i := range t.Rows {
		top = max(top, t.Rows[i].Count)
	}
	for i := range t.Rows {
		p.Table.Rows = append(p.Table.Rows, typeRow(v, t, &t.Rows[i], top))
	}
	p.orNote("No exceptions fit these filters in this range.")
	return p
}

func typeRow(v *view, t *issue.Types, r *issue.TypeRow, top int64) row {
	then := comparedWith(v.get("vs"), r.Before, r.Yesterday, r.LastWeek)
	was := cell{Text: none, Dim: true}
	if then >= 0 {
		was = text(formatCount(then))
	}
	delta, mood, _ := changeOf(r.Count, then, v.get("vs"))
	users := cell{Text: none, Dim: true}
	if r.Users > 0 {
		users = text(formatShort(float64(r.Users)))
	}
	name := cell{Text: visible(r.Type), Title: visible(r.Type), Link: v.issueLink(exceptionsPath, "q", r.Type, "state", "all", "class", v.get("class"))}
	if r.Type == "" {
		name = cell{Text: "(none)", Dim: true, Link: v.logs(`kind:exception NOT type:*`)}
	}
	return row{Share: float64(r.Count) / float64(max(1, top)), Bad: true, Cells: []cell{
		name,
		{HTML: spark(trimSpark(r.Series), "red")},
		text(formatCount(r.Count)), was,
		{Text: delta, Bad: mood == "bad"},
		users, hostsCell(v, r),
		{HTML: firstIn(t, r)},
		{Text: "Logs", Dim: true, Link: v.logs("kind:exception " + query.Term(millrace.AttrType, r.Type))},
	}}
}

// hostsCell names the host with most, and how many others there are.
func hostsCell(v *view, r *issue.TypeRow) cell {
	if len(r.Hosts) == 0 {
		return cell{Text: none, Dim: true}
	}
	label := visible(r.Hosts[0].Value)
	if label == "" {
		label = "not said"
	}
	c := cell{Text: label, Link: v.With("q", r.Type)}
	if n := len(r.Hosts) - 1; n > 0 {
		c.Text += fmt.Sprintf(" +%d", n)
	}
	for _, h := range r.Hosts {
		c.Title += fmt.Sprintf("%s: %s\n", visible(h.Value), formatCount(h.Count))
	}
	return c
}

// firstIn is the first step of the range in which a type occurred.
func firstIn(t *issue.Types, r *issue.TypeRow) template.HTML {
	for i, n := range r.Series {
		if n > 0 && i < len(t.Times) {
			if i == 0 && r.Before != 0 {
				return "before"
			}
			return stamp(t.Times[i].Truncate(time.Minute), "ago")
		}
	}
	return none
}
