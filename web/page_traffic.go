package web

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// dashboard is a page of headline figures and panels.
type dashboard struct {
	layout
	Figures []figure
	Panels  []*panel
	Empty   *emptyState
}

// statusClasses in the order they are stacked, and how they are named.
var statusClasses = []struct{ digit, label, color string }{
	{"2", "2xx success", "green"},
	{"3", "3xx redirect", "blue"},
	{"4", "4xx client error", "amber"},
	{"5", "5xx server error", "red"},
	{"", "other", "grey"},
}

func statusClass(status string) int {
	for i, c := range statusClasses {
		if len(status) == 3 && status[:1] == c.digit {
			return i
		}
	}
	return len(statusClasses) - 1
}

const serverErrors = 3 // index in statusClasses

// traffic holds the answers that the Overview and Traffic pages share.
type traffic struct {
	v     *view
	where string

	steps, total, before  *query.RollupResult // pv, uv and quantiles
	status, statusBefore  *query.RollupResult // pv by status
	err, statusErr, prErr error
}

var trafficMetrics = []string{"pv", "uv", "bytes", "rt_p50", "rt_p95", "rt_p99"}

func (s *Server) loadTraffic(v *view, where string) (*traffic, []func()) {
	t := &traffic{v: v, where: where}
	ask := func(into **query.RollupResult, err *error, r query.Range, step time.Duration, by []string, metrics ...string) func() {
		return func() {
			res, e := s.ask(v.ctx, query.RollupRequest{
				Rollup: "traffic", Metrics: metrics, By: by, Where: where, Range: r, Step: step, Limit: query.MaxRows,
			})
			if *into = res; e != nil {
				*err = e
			}
		}
	}
	var totalErr error
	return t, []func(){
		ask(&t.steps, &t.err, v.Range, v.Step, nil, trafficMetrics...),
		ask(&t.total, &totalErr, v.Range, 0, nil, trafficMetrics...),
		ask(&t.before, &t.prErr, v.previous(), 0, nil, trafficMetrics...),
		ask(&t.status, &t.statusErr, v.Range, v.Step, []string{"status"}, "pv"),
		func() {
			var e error
			ask(&t.statusBefore, &e, v.previous(), 0, []string{"status"}, "pv")()
		},
	}
}

// single returns a column of the only row of an answer without a step.
func single(res *query.RollupResult, col string) float64 {
	if res == nil || len(res.Rows) == 0 {
		return math.NaN()
	}
	return query.Float(res.Rows[0][columnIndex(res, col)])
}

// classes returns page views per point for each class of status.
func (t *traffic) classes() [][]float64 {
	g := t.v.grid()
	out := make([][]float64, len(statusClasses))
	for i := range out {
		out[i] = g.column(0)
	}
	if t.status != nil {
		for _, row := range t.status.Rows {
			g.add(out[statusClass(row[1].(string))], row[0].(time.Time), query.Float(row[2]))
		}
	}
	return out
}

// errorShare returns the share of server errors in an answer by status whose
// last two columns are status and pv.
func errorShare(res *query.RollupResult) float64 {
	if res == nil {
		return math.NaN()
	}
	var bad, all float64
	for _, row := range res.Rows {
		n := query.Float(row[len(row)-1])
		all += n
		if statusClass(row[len(row)-2].(string)) == serverErrors {
			bad += n
		}
	}
	return bad / all // NaN without views
}

func (t *traffic) figures(quantiles ...string) []figure {
	pv, uv := single(t.total, "pv"), single(t.total, "uv")
	fs := []figure{
		t.countFigure("Page views", "pv", pv, "blue"),
		t.countFigure("Visitors", "uv", uv, "violet"),
	}
	share := errorShare(t.status)
	f := figure{Label: "Server errors", Value: formatPercent(share), Title: "share of answers with status 500 and above"}
	if t.status != nil {
		cls := t.classes()
		total := make([]float64, len(cls[0]))
		for i := range total {
			for _, c := range cls {
				total[i] += c[i]
			}
		}
		f.Spark = spark(ratio(cls[serverErrors], total), "red")
	}
	fs = append(fs, f.compare(share, errorShare(t.statusBefore), formatPercent, true))
	for _, q := range quantiles {
		cur := single(t.total, "rt_"+q)
		f := figure{Label: "Latency " + q, Value: formatSeconds(cur), Title: "request time that this share of requests did not exceed"}
		if t.steps != nil {
			f.Spark = spark(t.v.grid().fill(t.steps, "rt_"+q, math.NaN()), "amber")
		}
		fs = append(fs, f.compare(cur, single(t.before, "rt_"+q), formatSeconds, true))
	}
	return fs
}

func (t *traffic) countFigure(label, col string, value float64, color string) figure {
	f := figure{Label: label, Value: formatShort(value)}
	if math.IsNaN(value) && t.err == nil {
		f.Value, value = "0", 0
	}
	if !math.IsNaN(value) {
		f.Title = formatCount(int64(value))
	}
	if t.steps != nil {
		f.Spark = spark(t.v.grid().fill(t.steps, col, 0), color)
	}
	return f.compare(value, single(t.before, col), formatShort, false)
}

// access is the search for the rows behind the page's numbers.
func (t *traffic) access() string {
	return strings.TrimSpace("kind:access " + t.where)
}

func (t *traffic) viewsPanel(wide string) *panel {
	p := &panel{Title: "Page views and visitors", About: "Requests, and distinct client addresses among them, per " + stepName(t.v.Step), Wide: wide}
	if t.err != nil {
		p.failed(t.err)
		return p
	}
	g := t.v.grid()
	pv, uv := g.fill(t.steps, "pv", 0), g.fill(t.steps, "uv", 0)
	p.Chart = t.v.newChart("views", "line", "count", t.access(), t.steps.CompleteUntil,
		series{Label: "Page views", Color: "blue", Values: pv}, series{Label: "Visitors", Color: "violet", Values: uv})
	p.Chart.Label = fmt.Sprintf("Page views over time: %s in all", formatCount(int64(sum(pv))))
	return p.orEmpty("No requests in this range.")
}

func (t *traffic) latencyPanel(wide string) *panel {
	p := &panel{Title: "Latency", About: "Request time: half, 95% and 99% of requests took no longer", Wide: wide}
	if t.err != nil {
		p.failed(t.err)
		return p
	}
	g := t.v.grid()
	var list []series
	for _, q := range []struct{ name, color string }{{"p50", "teal"}, {"p95", "amber"}, {"p99", "red"}} {
		list = append(list, series{Label: q.name, Color: q.color, Values: g.fill(t.steps, "rt_"+q.name, math.NaN())})
	}
	p.Chart = t.v.newChart("latency", "line", "seconds", t.access(), t.steps.CompleteUntil, list...)
	p.Chart.Label = "Latency over time, p50, p95 and p99"
	return p.orEmpty("No request times: the log format has none, or there were no requests in this range.")
}

func (t *traffic) statusPanel(wide string) *panel {
	p := &panel{Title: "Status", About: "Requests by class of status per " + stepName(t.v.Step), Wide: wide}
	if t.statusErr != nil {
		p.failed(t.statusErr)
		return p
	}
	var list []series
	for i, values := range t.classes() {
		if i < len(statusClasses)-1 || sum(values) > 0 {
			list = append(list, series{Label: statusClasses[i].label, Color: statusClasses[i].color, Values: values})
		}
	}
	p.Chart = t.v.newChart("status", "stack", "count", t.access(), t.status.CompleteUntil, list...)
	p.Chart.Label = "Requests by class of status over time"
	return p.orEmpty("No requests in this range.")
}

func (t *traffic) errorsPanel(wide string) *panel {
	p := &panel{Title: "Error share", About: "Share of answers with status 400 to 499 and 500 and above", Wide: wide}
	if t.statusErr != nil {
		p.failed(t.statusErr)
		return p
	}
	cls := t.classes()
	total := make([]float64, len(cls[0]))
	for i := range total {
		for _, c := range cls {
			total[i] += c[i]
		}
	}
	p.Chart = t.v.newChart("errors", "line", "percent", t.access()+" status>=400", t.status.CompleteUntil,
		series{Label: "4xx", Color: "amber", Values: ratio(cls[2], total)},
		series{Label: "5xx", Color: "red", Values: ratio(cls[serverErrors], total)})
	p.Chart.Label = "Share of errors over time"
	if sum(total) == 0 {
		p.Chart, p.Note = nil, "No requests in this range."
	}
	return p
}

func (p *panel) orEmpty(note string) *panel {
	if p.Chart.empty() {
		p.Chart, p.Note = nil, note
	}
	return p
}

func stepName(d time.Duration) string {
	s := millrace.Duration(d).String()
	switch d {
	case time.Minute:
		return "minute"
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "day"
	}
	return strings.TrimSuffix(strings.TrimSuffix(s, "0s"), "0m")
}

// Rows of the tables of the Traffic page.
const tableRows = 15

func (s *Server) traffic(v *view) any {
	where := v.where("service", "url")
	t, jobs := s.loadTraffic(v, where)
	urls := &panel{Title: "Top URLs", About: "Paths by page views", Wide: "8"}
	codes := &panel{Title: "Status codes", About: "Requests by status", Wide: "4"}
	services := &panel{Title: "Services", About: "Requests by service", Wide: "6"}
	hosts := &panel{Title: "Hosts", Wide: "6"}
	var empty *emptyState
	parallel(append(jobs,
		func() { s.fillURLs(v, urls, v.where("service")) },
		func() { s.fillCodes(v, codes, where) },
		func() { s.fillServices(v, services, v.where("url")) },
		func() { s.fillHosts(v, hosts) },
		func() { empty = s.emptiness(v) },
	)...)
	d := dashboard{layout: s.frame(v, "Traffic", "service", "url"), Empty: empty}
	d.waiting(empty)
	d.Figures = t.figures("p50", "p95", "p99")
	d.Panels = []*panel{t.viewsPanel("12"), t.statusPanel("6"), t.latencyPanel("6"), urls, codes, services, hosts}
	return d
}

// top asks for the largest groups of a dimension.
func (s *Server) top(v *view, dim, where string, metrics ...string) (*query.RollupResult, error) {
	return s.ask(v.ctx, query.RollupRequest{
		Rollup: "traffic", Metrics: metrics, By: []string{dim}, Where: where, Range: v.Range, Order: []string{"-pv"}, Limit: tableRows,
	})
}

func (s *Server) fillURLs(v *view, p *panel, where string) {
	if v.get("url") != "" {
		where = v.where("service", "url")
	}
	res, err := s.top(v, "url", where, "pv", "uv", "rt_p50", "rt_p95")
	if err != nil {
		p.failed(err)
		return
	}
	p.Table = &table{Head: []header{
		{Label: "URL"},
		{Label: "Views", Numeric: true},
		{Label: "Visitors", Numeric: true},
		{Label: "p50", Numeric: true, About: "Request time of half of the requests"},
		{Label: "p95", Numeric: true, About: "Request time that 95% of the requests did not exceed"},
	}}
	top := query.Float(first(res, 1))
	for _, r := range res.Rows {
		name := r[0].(string)
		p.Table.Rows = append(p.Table.Rows, row{Share: query.Float(r[1]) / top, Cells: []cell{
			named(name, v.With("url", name)), number(r[1]), number(r[2]), duration(r[3]), duration(r[4]),
		}})
	}
	p.orNote("No requests in this range.")
}

func (s *Server) fillCodes(v *view, p *panel, where string) {
	res, err := s.top(v, "status", where, "pv")
	if err != nil {
		p.failed(err)
		return
	}
	total, top := 0.0, query.Float(first(res, 1))
	for _, r := range res.Rows {
		total += query.Float(r[1])
	}
	p.Table = &table{Head: []header{{Label: "Status"}, {Label: "Requests", Numeric: true}, {Label: "Share", Numeric: true}}}
	for _, r := range res.Rows {
		code, n := r[0].(string), query.Float(r[1])
		c := named(code, v.logs(strings.TrimSpace("kind:access "+query.Term("status", code)+" "+where)))
		c.Bad = statusClass(code) == serverErrors
		p.Table.Rows = append(p.Table.Rows, row{Share: n / top, Bad: c.Bad, Cells: []cell{c, number(r[1]), text(formatPercent(n / total))}})
	}
	p.orNote("No requests in this range.")
}

func (s *Server) fillServices(v *view, p *panel, where string) {
	res, err := s.top(v, "service", where, "pv", "uv", "rt_p95")
	if err != nil {
		p.failed(err)
		return
	}
	bad := s.errorsByService(v, where)
	p.Table = &table{Head: []header{
		{Label: "Service"},
		{Label: "Views", Numeric: true},
		{Label: "Visitors", Numeric: true},
		{Label: "Errors", Numeric: true, About: "Share of answers with status 500 and above"},
		{Label: "p95", Numeric: true},
	}}
	top := query.Float(first(res, 1))
	for _, r := range res.Rows {
		name, n := r[0].(string), query.Float(r[1])
		share := math.NaN()
		if bad != nil {
			share = bad[name] / n
		}
		p.Table.Rows = append(p.Table.Rows, row{Share: n / top, Cells: []cell{
			named(name, v.With("service", name)), number(r[1]), number(r[2]),
			{Text: formatPercent(share), Bad: share >= 0.05},
			duration(r[3]),
		}})
	}
	p.orNote("No requests in this range.")
}

// errorsByService returns server errors per service, nil if that is not kept.
func (s *Server) errorsByService(v *view, where string) map[string]float64 {
	res, err := s.ask(v.ctx, query.RollupRequest{
		Rollup: "traffic", Metrics: []string{"pv"}, By: []string{"service", "status"},
		Where: strings.TrimSpace(where + " status>=500"), Range: v.Range, Limit: query.MaxRows,
	})
	if err != nil {
		return nil
	}
	out := map[string]float64{}
	for _, r := range res.Rows {
		out[r[0].(string)] += query.Float(r[2])
	}
	return out
}

// hostWindow bounds the raw rows that are read for the hosts.
const hostWindow = 24 * time.Hour

// fillHosts counts by host: from the rollup if it keeps such a set, else from
// the raw rows of at most a day.
func (s *Server) fillHosts(v *view, p *panel) {
	p.About = "Requests by host"
	p.Table = &table{Head: []header{{Label: "Host"}, {Label: "Requests", Numeric: true}, {Label: "Share", Numeric: true}}}
	var names []string
	var counts []float64
	if res, err := s.top(v, "host", v.where("service", "url"), "pv"); err == nil {
		for _, r := range res.Rows {
			names, counts = append(names, r[0].(string)), append(counts, query.Float(r[1]))
		}
	} else {
		t, err := s.hostsFromRows(v, p)
		if err != nil {
			p.Table = nil
			p.failed(err)
			return
		}
		for _, r := range t.Rows {
			names, counts = append(names, fmt.Sprint(r[0])), append(counts, anyFloat(r[1]))
		}
	}
	total := sum(counts)
	for i, name := range names {
		p.Table.Rows = append(p.Table.Rows, row{Share: counts[i] / counts[0], Cells: []cell{
			named(name, v.logs(strings.TrimSpace("kind:access "+query.Term("host", name)+" "+v.where("service", "url")))),
			number(int64(counts[i])), text(formatPercent(counts[i] / total)),
		}})
	}
	p.orNote("No requests in this range.")
}

func (s *Server) hostsFromRows(v *view, p *panel) (*millrace.Table, error) {
	from, to := v.Range.From, v.end()
	if to.Sub(from) > hostWindow {
		from = to.Add(-hostWindow)
		p.Title = "Hosts, last 24 hours" // in sight: the other panels count the whole range
		p.About = "Requests by host, counted from the raw rows of the last 24 hours of the range"
	}
	stmt := fmt.Sprintf("SELECT host, sum(weight)::BIGINT AS n FROM events WHERE kind = 'access' AND time >= TIMESTAMP %s AND time < TIMESTAMP %s",
		sqlString(from.Format("2006-01-02 15:04:05")), sqlString(to.Format("2006-01-02 15:04:05")))
	if svc := v.get("service"); svc != "" {
		stmt += " AND service = " + sqlString(svc)
	}
	if u := v.get("url"); u != "" {
		stmt += " AND attr_url = " + sqlString(u)
	}
	stmt += fmt.Sprintf(" GROUP BY host ORDER BY n DESC, host LIMIT %d", tableRows)
	return s.Query.SQL(v.ctx, query.SQLRequest{SQL: stmt, Timeout: 3 * time.Second})
}

func sqlString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func anyFloat(v any) float64 {
	if f := query.Float(v); !math.IsNaN(f) {
		return f
	}
	switch x := v.(type) {
	case int:
		return float64(x)
	case uint64:
		return float64(x)
	}
	return 0
}

func first(res *query.RollupResult, col int) any {
	if len(res.Rows) == 0 {
		return nil
	}
	return res.Rows[0][col]
}

// named is a cell for a value of a dimension, which can be empty.
func named(name, link string) cell {
	if name == "" {
		return cell{Text: "(none)", Dim: true, Link: link}
	}
	c := cell{Text: name, Title: name, Link: link}
	if u, err := url.PathUnescape(name); err == nil && u != name {
		c.Title = u
	}
	return c
}

func number(v any) cell {
	f := query.Float(v)
	if math.IsNaN(f) {
		return cell{Text: none, Dim: true}
	}
	return cell{Text: formatCount(int64(f))}
}

func duration(v any) cell {
	f := query.Float(v)
	return cell{Text: formatSeconds(f), Dim: math.IsNaN(f)}
}

func (p *panel) orNote(note string) {
	if p.Table != nil && len(p.Table.Rows) == 0 {
		p.Table, p.Note = nil, note
	}
}
