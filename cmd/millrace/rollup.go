package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// rollupCmd questions a rollup. Its flags are the parameters of the API.
type rollupCmd struct {
	remote
	Name    string   `arg:"" optional:"" help:"Name of the rollup; without one the rollups are listed."`
	Metrics string   `help:"Metrics, comma separated: names, any quantile as rt_p95 or rt_p99.9, calls such as 'sum(price, 2)', arithmetic such as share=errors/pv." placeholder:"NAME,..."`
	By      []string `help:"Dimensions, or any fields of events, to group by, comma separated." placeholder:"NAME"`
	Where   string   `help:"Condition in the search language, such as 'service:api status>=500'."`
	Having  string   `help:"Condition on metrics, such as 'pv > 100 and error_rate >= 0.01'."`
	From    string   `help:"Start: RFC 3339 or relative." default:"-1h"`
	To      string   `help:"End, not included." default:"now"`
	Step    string   `help:"Width of a bucket, such as 5m; without it one bucket over the range."`
	TZ      string   `name:"tz" help:"Time zone of days, such as Europe/Berlin." placeholder:"NAME"`
	Compare string   `help:"Compare with what was that much earlier, such as -7d." placeholder:"-DURATION"`
	Order   []string `help:"Columns or metrics to order by, comma separated, each with a leading - for descending." placeholder:"NAME"`
	Limit   int      `help:"Most rows." placeholder:"N"`
}

// Run implements the command.
func (c *rollupCmd) Run(e *env) error {
	if c.Name == "" {
		return c.list(e)
	}
	params := url.Values{"from": {c.From}, "to": {c.To}}
	for name, value := range map[string]string{
		"metrics": c.Metrics, "by": strings.Join(c.By, ","), "where": c.Where, "having": c.Having,
		"step": c.Step, "tz": c.TZ, "compare": c.Compare, "order": strings.Join(c.Order, ","),
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if c.Limit != 0 {
		params.Set("limit", strconv.Itoa(c.Limit))
	}
	raw, err := c.ask(e, http.MethodGet, "/api/v1/rollups/"+url.PathEscape(c.Name), params, nil)
	if err != nil {
		return err
	}
	return c.show(e, raw)
}

func (c *rollupCmd) list(e *env) error {
	raw, err := c.ask(e, http.MethodGet, "/api/v1/rollups", nil, nil)
	if err != nil {
		return err
	}
	if c.JSON {
		return printRaw(e, raw)
	}
	var all struct {
		Rollups []struct {
			Name    string
			Sets    []struct{ Dimensions, Granularities []string }
			Metrics []struct{ Name, Function, Field, Where string }
			Derived []struct{ Name, Expression string }
		}
	}
	if err := decodeAnswer(raw, &all); err != nil {
		return err
	}
	var rows [][]string
	for _, r := range all.Rollups {
		var metrics []string
		for _, m := range r.Metrics {
			call := m.Name + "=" + m.Function + "(" + m.Field + ")"
			if m.Where != "" {
				call += " where " + m.Where
			}
			metrics = append(metrics, call)
		}
		for _, d := range r.Derived {
			metrics = append(metrics, d.Name+"="+strings.ReplaceAll(d.Expression, " ", ""))
		}
		for i, s := range r.Sets {
			row := []string{"", "(" + strings.Join(s.Dimensions, ",") + ")", strings.Join(s.Granularities, " "), ""}
			if i == 0 {
				row[0], row[3] = r.Name, strings.Join(metrics, " ")
			}
			rows = append(rows, row)
		}
	}
	return printTable(e.stdout, []string{"rollup", "set", "granularities", "metrics"}, rows, nil)
}
