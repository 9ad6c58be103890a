package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bench"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/internal/kafkatest"
)

// sidesRest is how long the servers may merge what they have stored.
const sidesRest = 10 * time.Second

// side is one of the two servers that are asked the same.
type side struct {
	name  string
	url   string
	ask   *client.Client
	times map[string][]time.Duration
}

// TestBenchSideBySide stores the same BENCH_ROWS lines (2,000,000: half of them of
// one day, half of the 29 days before) in a server with DuckDB and in one with
// ClickHouse, asks both the same ten questions, in turn, BENCH_ASKS times each
// (20), and wants equal answers.
func TestBenchSideBySide(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench-cluster")
	}
	kafkatest.Need(t)
	rows, asks := benchNumber(t, "BENCH_ROWS", 2_000_000), benchNumber(t, "BENCH_ASKS", 20)
	engine := chtest.Start(t, t.TempDir())
	duck := benchServer(t, benchOptions{})
	click := benchServer(t, benchOptions{config: fmt.Sprintf("clickhouse: {address: \"clickhouse://%s/default?protocol=http\"}\n", engine.Addr)})
	sides := []*side{{name: "DuckDB", url: duck.URL}, {name: "ClickHouse", url: click.URL}}
	end := time.Now().UTC().Truncate(time.Hour)
	stored := storeSides(t, sides, rows, end)
	time.Sleep(sidesRest) // by then both have merged most of it
	questions := sideQuestions(t, sides[0], end)
	for _, q := range questions {
		first := ""
		for range asks {
			for _, s := range sides {
				began := time.Now()
				answer, err := q.ask(t.Context(), s.ask)
				if err != nil {
					t.Fatalf("%s, %s: %v", s.name, q.name, err)
				}
				s.times[q.name] = append(s.times[q.name], time.Since(began))
				if first == "" {
					first = answer
				}
				if answer != first {
					t.Fatalf("%s: %s answers\n%.1500s\nDuckDB\n%.1500s", q.name, s.name, answer, first)
				}
			}
		}
		if strings.Count(first, "\n") < q.least {
			t.Errorf("%s: only %d rows: %.500s", q.name, strings.Count(first, "\n"), first)
		}
	}
	writeSides(sides, questions, stored, asks)
}

// storeSides sends equal requests to all sides and waits until they are stored.
func storeSides(t *testing.T, sides []*side, rows int, end time.Time) (stored int64) {
	t.Helper()
	const perRequest, services = 5000, 4
	g := gen.New(17, gen.Options{})
	streams := map[*side][]*client.Client{}
	for _, s := range sides {
		s.times = map[string][]time.Duration{}
		for i := range services + 1 {
			o := client.Options{Source: "api", ClientID: "side-by-side-api", Compression: client.CompressNone, Attempts: 1000, MaxBackoff: time.Second}
			if i > 0 {
				place := g.Place(i-1, 0, end)
				o.Source, o.ClientID, o.Service, o.Host = "app", fmt.Sprint("side-by-side-app-", i), place.Service, place.Host
			}
			c, err := client.New(s.url, o)
			if err != nil {
				t.Fatal(err)
			}
			streams[s] = append(streams[s], c)
			s.ask = c
		}
	}
	day := end.Add(-24 * time.Hour)
	requests := max(2*(services+1)*4, rows/perRequest)
	var body []byte
	for n := range requests {
		// In turn of the last day and of the 29 before.
		share := float64(n/2) / float64((requests+1)/2)
		from, span := day, 24*time.Hour
		if n%2 == 1 {
			from, span = day.Add(-29*24*time.Hour), 29*24*time.Hour
		}
		from = from.Add(time.Duration(share * float64(span)))
		step := time.Duration(float64(span) * 2 / float64(requests) / perRequest)
		which, body0 := 0, body[:0]
		if n/2%10 == 9 { // a tenth is application logs
			which = 1 + n/20%services
		}
		for i := range perRequest {
			at := from.Add(time.Duration(i) * step)
			if which == 0 {
				body0 = g.AppendJSON(body0, at)
			} else {
				body0 = g.AppendLog(body0, at, which-1, 0)
			}
		}
		body = body0
		var took int
		for i, s := range sides {
			a, err := streams[s][which].Send(t.Context(), int64(n), body)
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && a.Accepted != took {
				t.Fatalf("%s accepts %d lines, the other %d", s.name, a.Accepted, took)
			}
			took = a.Accepted
		}
		stored += int64(took)
	}
	for _, s := range sides {
		if _, err := bench.Drained(t.Context(), s.ask, stored); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	return stored
}

// sideQuestion is asked of both sides; the answer is text with a line per row.
type sideQuestion struct {
	name  string
	least int // rows that make it a question at all
	ask   func(ctx context.Context, c *client.Client) (string, error)
}

// rollupQuestion asks for cells. Rows without an order are compared as sorted text.
func rollupQuestion(rollup, params string, from, to time.Time) func(context.Context, *client.Client) (string, error) {
	values, err := url.ParseQuery(params)
	if err != nil {
		panic(err)
	}
	values.Set("from", from.Format(time.RFC3339))
	values.Set("to", to.Format(time.RFC3339))
	return func(ctx context.Context, c *client.Client) (string, error) {
		table, err := c.Rollup(ctx, rollup, values)
		if err != nil {
			return "", err
		}
		lines := make([]string, len(table.Rows))
		for i, row := range table.Rows {
			lines[i] = fmt.Sprintln(row...)
		}
		if !values.Has("order") {
			slices.Sort(lines)
		}
		return strings.Join(lines, ""), nil
	}
}

func logsQuestion(q string, histogram bool, from, to time.Time) func(context.Context, *client.Client) (string, error) {
	values := url.Values{"q": {q}, "from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}}
	return func(ctx context.Context, c *client.Client) (string, error) {
		out := ""
		if histogram {
			var h struct{ Points []json.RawMessage }
			if err := c.Do(ctx, http.MethodGet, "/api/v1/logs/histogram", values, nil, &h); err != nil {
				return "", err
			}
			for _, p := range h.Points {
				out += string(p) + "\n"
			}
		}
		l, err := c.Logs(ctx, values)
		if err != nil {
			return "", err
		}
		for _, e := range l.Events {
			var row struct {
				Time, Service, Host, Kind, Message string
				Weight                             int64
			}
			if err := json.Unmarshal(e, &row); err != nil {
				return "", err
			}
			out += fmt.Sprintf("%+v\n", row)
		}
		return out, nil
	}
}

func sideQuestions(t *testing.T, s *side, end time.Time) []sideQuestion {
	t.Helper()
	day, noon := end.Add(-24*time.Hour), end.Add(-12*time.Hour)
	trace, err := traceAt(t.Context(), s.ask, day, noon)
	if err != nil {
		t.Fatal(err)
	}
	return []sideQuestion{
		{"traffic by minute, an hour", 60, rollupQuestion("traffic", "metrics=pv,bytes&step=1m", noon, noon.Add(time.Hour))},
		{"by minute and status, a day", 1440, rollupQuestion("traffic", "metrics=pv&by=status&step=1m&limit=100000", day, end)},
		{"top 20 URLs by p95, a day", 20, rollupQuestion("traffic", "metrics=rt_p95,pv&by=url&order=-rt_p95,url&limit=20", day, end)},
		{"visitors per day, 30 days", 30, rollupQuestion("traffic", "metrics=uv&step=1d", end.Add(-30*24*time.Hour), end)},
		{"share of errors by service, 30 days", 5, rollupQuestion("traffic", "by=service&metrics="+url.QueryEscape("pv,errors=count() where status >= 500,share=errors/pv"), end.Add(-30*24*time.Hour), end)},
		{"exceptions by type and host, 30 days", 3, rollupQuestion("exceptions", "metrics=count&by=type,host&limit=100000", end.Add(-30*24*time.Hour), end)},
		{"newest 100 lines", 100, logsQuestion("", false, day, end)},
		{"a word in a day: count over time, newest 100", 110, logsQuestion("handled", true, day, end)},
		{"a trace id, a day", 1, logsQuestion("trace_id:"+trace, false, day, end)},
		{"a field's top 20 values over raw rows, a day", 10, rollupQuestion("traffic", "metrics=pv&by=city&order=-pv,city&limit=20", day, end)},
	}
}

// traceAt returns the trace id of the newest line before a time.
func traceAt(ctx context.Context, c *client.Client, from, to time.Time) (string, error) {
	l, err := c.Logs(ctx, url.Values{"from": {from.Format(time.RFC3339)}, "to": {to.Format(time.RFC3339)}, "limit": {"1"}, "q": {"kind:access"}})
	if err != nil {
		return "", err
	}
	var e struct {
		TraceID string `json:"trace_id"`
	}
	if len(l.Events) > 0 {
		err = json.Unmarshal(l.Events[0], &e)
	}
	if err == nil && e.TraceID == "" {
		err = errors.New("no line has a trace id")
	}
	return e.TraceID, err
}

// writeSides prints a table in Markdown.
func writeSides(sides []*side, questions []sideQuestion, stored int64, asks int) {
	fmt.Printf("\n### Ten questions side by side\n\n%s\n\n%d rows, half of one day and half of the 29 days before; each question asked %d times of each, in turn. All answers are equal.\n\n",
		bench.Machine(time.Now(), "make bench-cluster"), stored, asks)
	fmt.Print("| question |")
	for _, s := range sides {
		fmt.Printf(" %s p50 | p95 |", s.name)
	}
	fmt.Printf("\n|---%s|\n", strings.Repeat("|---", 2*len(sides)))
	for _, q := range questions {
		fmt.Printf("| %s |", q.name)
		for _, s := range sides {
			times := s.times[q.name]
			slices.Sort(times)
			for _, p := range []float64{0.5, 0.95} {
				took := times[int(math.Ceil(p*float64(len(times))))-1]
				fmt.Printf(" %.1f ms |", float64(took.Microseconds())/1000)
			}
		}
		fmt.Println()
	}
}
