package web

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

func (s *Server) overview(v *view) any {
	where := v.where("service")
	t, jobs := s.loadTraffic(v, where)
	x := &exceptions{v: v, where: where, issues: s.Issues != nil}
	var before float64
	health := &panel{Title: "Pipeline", About: "From the line received to the number shown", Wide: "4", More: v.link("/pipeline")}
	var empty *emptyState
	parallel(append(jobs,
		func() { x.load(s) },
		func() { before = x.total(s, v.previous()) },
		func() { x.newest(s) },
		func() { s.fillHealth(v, health) },
		func() { empty = s.emptiness(v) },
	)...)
	d := dashboard{layout: s.frame(v, "Overview", "service"), Empty: empty}
	d.waiting(empty)
	d.Figures = append(t.figures("p95"), x.figure(before))
	for i := range d.Figures[:4] {
		d.Figures[i].Link = v.link("/traffic")
	}
	d.Panels = []*panel{t.viewsPanel("6"), t.errorsPanel("6"), t.latencyPanel("6"), x.chartPanel("6"), x.tablePanel("8"), health}
	return d
}

// exceptions holds the answers about exceptions on the Overview page.
type exceptions struct {
	v     *view
	where string
	res   *query.RollupResult // bucket, type, count
	err   error

	issues bool // there are pages about issues

	// From the newest raw rows: when a type was last seen, and its message.
	last map[string]millrace.StoredEvent
}

func (x *exceptions) load(s *Server) {
	x.res, x.err = s.ask(x.v.ctx, query.RollupRequest{
		Rollup: "exceptions", Metrics: []string{"count"}, By: []string{"type"}, Where: x.where,
		Range: x.v.Range, Step: x.v.Step, Limit: query.MaxRows,
	})
}

// total counts exceptions in a range; NaN if that failed.
func (x *exceptions) total(s *Server, r query.Range) float64 {
	res, err := s.ask(x.v.ctx, query.RollupRequest{
		Rollup: "exceptions", Metrics: []string{"count"}, Where: x.where, Range: r,
	})
	if err != nil {
		return math.NaN()
	}
	if len(res.Rows) == 0 {
		return 0
	}
	return single(res, "count")
}

// newestRows bounds the raw rows read for the newest message of each type.
const newestRows = 300

func (x *exceptions) newest(s *Server) {
	x.last = map[string]millrace.StoredEvent{}
	page, err := s.Query.Logs(x.v.ctx, query.LogsRequest{Query: x.search(""), Range: x.v.Range, Limit: newestRows})
	if err != nil {
		return // the table then shows counts without messages
	}
	for _, e := range page.Events {
		if typ := attr(e.Attrs, millrace.AttrType); x.last[typ].Time.IsZero() {
			x.last[typ] = e
		}
	}
}

// search is the query for the rows behind the numbers; typ may be empty.
func (x *exceptions) search(typ string) string {
	q := "kind:exception"
	if typ != "" {
		q += " " + query.Term(millrace.AttrType, typ)
	}
	if x.where != "" {
		q += " " + x.where
	}
	return q
}

// more leads to what is behind the numbers: issues where there are some, else rows.
// typ may be empty.
func (x *exceptions) more(typ string) string {
	if !x.issues {
		return x.v.logs(x.search(typ))
	}
	// The panel counts every environment, in whatever state.
	return x.v.link(exceptionsPath, "q", typ, "env", issue.EnvAll, "state", "all", "from", x.v.From)
}

// attr returns a field of an event's attributes as text.
func attr(raw json.RawMessage, name string) string {
	var all map[string]any
	if json.Unmarshal(raw, &all) != nil || all[name] == nil {
		return ""
	}
	if s, ok := all[name].(string); ok {
		return s
	}
	return fmt.Sprint(all[name])
}

func (x *exceptions) series() []float64 {
	g := x.v.grid()
	out := g.column(0)
	if x.res != nil {
		for _, r := range x.res.Rows {
			g.add(out, r[0].(time.Time), query.Float(r[2]))
		}
	}
	return out
}

func (x *exceptions) figure(before float64) figure {
	values := x.series()
	total := sum(values)
	f := figure{Label: "Exceptions", Value: formatShort(total), Title: formatCount(int64(total)), Spark: spark(values, "red"), Link: x.more("")}
	if x.err != nil {
		f.Value, f.Title = none, userMessage(x.err)
		return f
	}
	return f.compare(total, before, formatShort, true)
}

func (x *exceptions) chartPanel(wide string) *panel {
	p := &panel{Title: "Exceptions", About: "Exceptions and crashes per " + stepName(x.v.Step), Wide: wide}
	if x.err != nil {
		p.failed(x.err)
		return p
	}
	values := x.series()
	p.Chart = x.v.newChart("exceptions", "bars", "count", x.search(""), x.res.CompleteUntil,
		series{Label: "Exceptions", Color: "red", Values: values})
	p.Chart.Label = fmt.Sprintf("Exceptions over time: %s in all", formatCount(int64(sum(values))))
	return p.orEmpty("No exceptions in this range.")
}

type exceptionType struct {
	name   string
	count  float64
	seen   time.Time
	values []float64
}

// types returns one entry per type, newest first.
func (x *exceptions) types() []*exceptionType {
	g := x.v.grid()
	byName := map[string]*exceptionType{}
	var out []*exceptionType
	for _, r := range x.res.Rows {
		name := r[1].(string)
		e := byName[name]
		if e == nil {
			e = &exceptionType{name: name, values: g.column(0)}
			byName[name] = e
			out = append(out, e)
		}
		e.count += query.Float(r[2])
		g.add(e.values, r[0].(time.Time), query.Float(r[2]))
		if t := r[0].(time.Time); t.After(e.seen) {
			e.seen = t
		}
	}
	for _, e := range out {
		if last, ok := x.last[e.name]; ok && last.Time.After(e.seen) {
			e.seen = last.Time
		}
	}
	slices.SortStableFunc(out, func(a, b *exceptionType) int { return b.seen.Compare(a.seen) })
	return out
}

func (x *exceptions) tablePanel(wide string) *panel {
	p := &panel{Title: "Newest exceptions", About: "By type, last seen first", Wide: wide, More: x.more("")}
	if x.err != nil {
		p.failed(x.err)
		return p
	}
	p.Table = &table{Head: []header{{Label: "Type"}, {Label: "Over time"}, {Label: "Count", Numeric: true}, {Label: "Last seen", Numeric: true}}}
	for i, e := range x.types() {
		if i == 8 {
			break
		}
		name := named(e.name, x.more(e.name))
		name.Sub = headline(x.last[e.name])
		p.Table.Rows = append(p.Table.Rows, row{Cells: []cell{
			name, {HTML: spark(e.values, "red")}, number(int64(e.count)), {HTML: stamp(e.seen, "ago")},
		}})
	}
	p.orNote("No exceptions in this range.")
	return p
}

// headline is what an exception says, else how its row begins.
func headline(e millrace.StoredEvent) string {
	if s := attr(e.Attrs, "exception_message"); s != "" {
		return firstLine(s)
	}
	return firstLine(e.Message)
}

// firstLine returns the first line of a message, at most 160 characters.
func firstLine(s string) string {
	n := 0
	for i, c := range s {
		if c == '\n' || c == '\r' {
			return s[:i]
		}
		if n++; n > 160 {
			return s[:i] + "…"
		}
	}
	return s
}

// fillHealth says in a few lines whether the pipeline keeps up.
func (s *Server) fillHealth(v *view, p *panel) {
	p.Facts = s.healthFacts(v)
	if len(p.Facts) == 0 {
		p.Note = "This process runs no pipeline."
	}
}

// Thresholds of the health marks: rollups are at most 11 s behind under full
// load, raw rows less; a minute means that something is wrong.
const (
	lagWarn = 15 * time.Second
	lagBad  = time.Minute
)

func lagMood(d time.Duration) string {
	switch {
	case d >= lagBad:
		return "bad"
	case d >= lagWarn:
		return "warn"
	}
	return "good"
}

func (s *Server) healthFacts(v *view) []fact {
	st, ok := s.Query.Status()
	if !ok {
		return nil
	}
	var out []fact
	if c := s.Query.CompleteUntil(); !c.IsZero() {
		out = append(out, fact{Label: "Complete until", HTML: stamp(c, "time"), Mood: lagMood(max(0, v.Now.Sub(c)-time.Minute))})
	} else {
		out = append(out, fact{Label: "Complete until", Text: "not known yet", Mood: "flat"})
	}
	out = append(out, fact{Label: "Arriving", Text: flow(st.Received), Mood: "flat"})
	for _, sink := range []struct {
		name  millrace.Sink
		label string
	}{{millrace.SinkEvents, "Raw rows behind"}, {millrace.SinkRollup, "Rollups behind"}} {
		records, seconds := st.Lag(sink.name)
		d := time.Duration(seconds * float64(time.Second))
		f := fact{Label: sink.label, Text: formatAge(d), Mood: lagMood(d)}
		if records == 0 {
			f.Text = "caught up"
		}
		out = append(out, f)
	}
	out = append(out, s.ledgerFacts(v)...)
	for _, problem := range st.Problems {
		out = append(out, fact{Label: "Attention", Text: problem, Mood: "bad"})
	}
	return out
}

// flow writes a rate, with the bytes where they are known.
func flow(r query.Rate) string {
	s := formatShort(r.Events) + " events/s"
	if r.Bytes > 0 {
		s += " · " + formatBytes(int64(r.Bytes)) + "/s"
	}
	return s
}

// ledgerFacts says what arrived in the range and was not stored.
func (s *Server) ledgerFacts(v *view) []fact {
	l, err := s.Query.Ledger(v.ctx, query.LedgerRequest{Range: v.Range, Sink: string(millrace.SinkEvents)})
	if err != nil {
		return []fact{{Label: "Ledger", Text: userMessage(err), Mood: "bad"}}
	}
	var received, lost int64
	for _, a := range l.Accounts {
		received += a.Received.Events
		lost += a.Rejected.Events + a.Refused.Events
	}
	f := fact{Label: "Not stored", Text: fmt.Sprintf("%s of %s events", formatCount(lost), formatCount(received)), Mood: "good"}
	if lost > 0 {
		f.Mood = "warn"
	}
	out := []fact{f}
	if !l.Balanced {
		out = append(out, fact{Label: "Ledger", Text: "does not add up", Mood: "bad"})
	}
	return out
}
