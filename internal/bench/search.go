package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// SearchJob measures how soon a server that stores many rows, and does nothing
// else, answers.
type SearchJob struct {
	Rows int64   // lines to store; default 20M
	Rate float64 // lines a second, which the server must keep up with; default 150,000
	Asks int     // times that each question is asked; default 30
	// FaultBytes is the size of the exceptions among the rows; default 2,500.
	FaultBytes int
	// Kept is a file that notes what the server's data directory holds once all is
	// stored. If it is there, nothing is stored: the questions are asked again.
	Kept string
}

// searchHours is how many hours of the past the rows belong to.
const searchHours = 20

// logShare of the rows is lines of application logs, one in so many: their
// messages are longer, and each has a number that no other has.
const logShare = 50

func (j *SearchJob) defaults() {
	if j.Rows <= 0 {
		j.Rows = 20_000_000
	}
	if j.Rate <= 0 {
		j.Rate = 150_000
	}
	if j.FaultBytes <= 0 {
		j.FaultBytes = 2500
	}
	if j.Asks <= 0 {
		j.Asks = 30
	}
}

// SearchResult is how long answers took.
type SearchResult struct {
	Rows    int64
	Storing time.Duration
	Answers []SearchAnswer
}

// SearchAnswer is one question's.
type SearchAnswer struct {
	Name                   string
	Want                   time.Duration // at the 95th percentile; 0: nothing is wanted
	Found                  int           // rows or points of the last answer
	P50, P95, P99, Slowest time.Duration
}

// Search stores rows over HTTP, unless they are there, waits until the server is
// at rest, and asks one question after the other.
func Search(ctx context.Context, s *Server, job SearchJob) (*SearchResult, error) {
	r, err := runSearch(ctx, s, job)
	return r, s.explain(err)
}

func runSearch(ctx context.Context, s *Server, job SearchJob) (*SearchResult, error) {
	job.defaults()
	c, err := client.New(s.URL, client.Options{})
	if err != nil {
		return nil, err
	}
	have, err := readSearchRows(job.Kept)
	if err == nil && have.Rows == 0 {
		if have, err = storeSearchRows(ctx, s, c, job); err == nil {
			err = have.keep(job.Kept)
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := s.Settle(ctx); err != nil {
		return nil, err
	}
	trace, err := anyTrace(ctx, c, have.From.Add(searchHours/2*time.Hour))
	if err != nil {
		return nil, err
	}
	f, err := someFaults(ctx, c, have.From.Add(searchHours/2*time.Hour))
	if err != nil {
		return nil, err
	}
	r := &SearchResult{Rows: have.Rows, Storing: have.Storing}
	for _, q := range append(searchQuestions(have.From, have.Needle, trace), faultQuestions(have.From, f)...) {
		a, err := q.measure(ctx, c, job.Asks)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q.name, err)
		}
		r.Answers = append(r.Answers, a)
	}
	return r, nil
}

// searchRows is what a server has stored to be asked about.
type searchRows struct {
	From    time.Time
	Rows    int64
	Needle  string // a number in one message
	Storing time.Duration
}

// readSearchRows returns what is stored: no rows if the file is not there.
func readSearchRows(path string) (have searchRows, err error) {
	raw, err := os.ReadFile(path)
	if path == "" || errors.Is(err, fs.ErrNotExist) {
		return have, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &have)
	}
	if err != nil {
		return have, fmt.Errorf("read what is stored: %w", err)
	}
	return have, nil
}

func (h *searchRows) keep(path string) error {
	if path == "" {
		return nil
	}
	raw, err := json.Marshal(h)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note what is stored: %w", err)
	}
	return nil
}

func storeSearchRows(ctx context.Context, s *Server, c *client.Client, job SearchJob) (have searchRows, err error) {
	started := time.Now()
	have.From = started.Truncate(time.Hour).Add(-(searchHours + 2) * time.Hour)
	var other int64
	if other, have.Needle, err = sendLogs(ctx, s.URL, job.Rows/logShare, have.From); err != nil {
		return have, err
	}
	lines := float64(job.Rows - other - job.Rows/faultShare)
	load := Load{Rate: job.Rate, For: time.Duration(lines / job.Rate * 1e9), Hours: searchHours, From: have.From}
	senders, err := load.Prepare(s.URL)
	if err != nil {
		return have, err
	}
	type result struct {
		n   int64
		err error
	}
	faults := make(chan result, 1)
	go func() {
		n, err := sendFaults(ctx, s.URL, job.Rows/faultShare, job.FaultBytes, have.From, load.For)
		faults <- result{n, err}
	}()
	sent, err := senders.Run(ctx)
	got := <-faults
	if err = errors.Join(err, got.err); err != nil {
		return have, err
	}
	other += got.n
	// Of exceptions of a minute that are alike some are sampled.
	var accounts CrashResult
	_, err = drained(ctx, c, sent.Lines+other, accounts.received)
	have.Rows = accounts.Accounts["events"].Stored
	have.Storing = time.Since(started)
	return have, err
}

// sendLogs sends at least n lines of application logs, spread over the hours, and
// returns how many events they make and a number that is in one of them.
func sendLogs(ctx context.Context, url string, n int64, from time.Time) (sent int64, needle string, err error) {
	c, err := client.New(url, client.Options{Source: "app", Compression: client.CompressNone, Attempts: 1000, MaxBackoff: time.Second})
	if err != nil {
		return 0, "", err
	}
	g := gen.New(7, gen.Options{})
	step := searchHours * time.Hour / time.Duration(n+1)
	at := from
	for seq := int64(0); sent < n; seq++ {
		var body []byte
		for range 2000 {
			at = at.Add(step)
			body = g.AppendLog(body, at, 0, 0)
			if needle == "" && sent > n/2 {
				needle = lastNumber(body)
			}
		}
		a, err := c.Send(ctx, seq, body)
		if err != nil {
			return 0, "", fmt.Errorf("send logs: %w", err)
		}
		sent += int64(a.Accepted)
	}
	return sent, needle, nil
}

// lastNumber returns the digits before the final line break of body, if there are
// at least seven.
func lastNumber(body []byte) string {
	end := len(body) - 1
	i := end
	for i > 0 && body[i-1] >= '0' && body[i-1] <= '9' {
		i--
	}
	if end-i < 7 {
		return ""
	}
	return string(body[i:end])
}

// anyTrace returns the trace id of a stored line older than to.
func anyTrace(ctx context.Context, c *client.Client, to time.Time) (string, error) {
	l, err := c.Logs(ctx, url.Values{"from": {"-2d"}, "to": {to.Format(time.RFC3339)}, "limit": {"1"}, "q": {"service:checkout"}})
	if err != nil {
		return "", err
	}
	if len(l.Events) == 0 {
		return "", errors.New("no line to take a trace id of")
	}
	var e struct {
		TraceID string `json:"trace_id"`
	}
	if err := json.Unmarshal(l.Events[0], &e); err != nil || e.TraceID == "" {
		return "", errors.Join(errors.New("a line has no trace id"), err)
	}
	return e.TraceID, nil
}

// searchQuestion is a question with what is wanted of it.
type searchQuestion struct {
	name string
	want time.Duration
	ask  asks
}

// asks asks a server, and returns how much it found.
type asks func(ctx context.Context, c *client.Client) (found int, err error)

// daySpan are the parameters of a query over all that is stored.
func daySpan(from time.Time, q string) url.Values {
	return url.Values{"q": {q}, "from": {from.Format(time.RFC3339)}, "to": {from.Add(24 * time.Hour).Format(time.RFC3339)}}
}

// newest asks for the newest events that match.
func newest(from time.Time, q string, limit int) asks {
	return func(ctx context.Context, c *client.Client) (int, error) {
		v := daySpan(from, q)
		v.Set("limit", strconv.Itoa(limit))
		l, err := c.Logs(ctx, v)
		if err != nil {
			return 0, err
		}
		return len(l.Events), nil
	}
}

// histogram asks how many events match, by time.
func histogram(from time.Time, q string) func(ctx context.Context, c *client.Client) error {
	return func(ctx context.Context, c *client.Client) error {
		return c.Do(ctx, http.MethodGet, "/api/v1/logs/histogram", daySpan(from, q), nil, nil)
	}
}

func searchQuestions(from time.Time, needle, trace string) []searchQuestion {
	const ms = time.Millisecond
	rollup := func(params string) asks {
		return func(ctx context.Context, c *client.Client) (int, error) {
			values, err := url.ParseQuery(params)
			if err != nil {
				return 0, err
			}
			t, err := c.Rollup(ctx, "traffic", values)
			if err != nil {
				return 0, err
			}
			return len(t.Rows), nil
		}
	}
	logs := func(q string) asks { return newest(from, q, 100) }
	both := func(q string) asks {
		return func(ctx context.Context, c *client.Client) (int, error) {
			if err := histogram(from, q)(ctx, c); err != nil {
				return 0, err
			}
			return logs(q)(ctx, c)
		}
	}
	const rare = "service:checkout status>=500"
	return []searchQuestion{
		{"rollup: pv, uv, p99 per hour", 50 * ms, rollup("metrics=pv,uv,rt_p99&from=-2d&step=1h")},
		{"rollup: top services", 50 * ms, rollup("metrics=pv,rt_p95&by=service&from=-2d&order=-pv&limit=20")},
		{"newest 100: no filter", 50 * ms, logs("")},
		{"newest 100: a common word", 50 * ms, logs("handled")},
		{"newest 100: " + rare, 0, logs(rare)},
		{"newest 100: level:error", 50 * ms, logs("level:error")},
		{"trace id", 20 * ms, logs("trace_id:" + trace)},
		{"day with histogram: no filter", 500 * ms, both("")},
		{"day with histogram: " + rare, 500 * ms, both(rare)},
		{"day with histogram: level:error", 500 * ms, both("level:error")},
		{"day with histogram: a number in one message", 500 * ms, both(needle)},
		{"day with histogram: a word in no message", 500 * ms, both("unheardof")},
		{"day with histogram: a common word", 500 * ms, both("handled")},
		{"day with histogram: a common word and a service", 500 * ms, both("handled service:checkout")},
	}
}

func (q *searchQuestion) measure(ctx context.Context, c *client.Client, asks int) (SearchAnswer, error) {
	a := SearchAnswer{Name: q.name, Want: q.want}
	times := make([]time.Duration, 0, asks)
	for range asks {
		started := time.Now()
		found, err := q.ask(ctx, c)
		if err != nil {
			return a, err
		}
		a.Found = found
		times = append(times, time.Since(started))
	}
	slices.Sort(times)
	at := func(p float64) time.Duration { return times[min(asks-1, int(math.Ceil(p*float64(asks)))-1)] }
	a.P50, a.P95, a.P99, a.Slowest = at(0.5), at(0.95), at(0.99), times[asks-1]
	return a, nil
}

// Write reports the result as Markdown.
func (r *SearchResult) Write(w io.Writer, machine string) {
	fmt.Fprintf(w, "\n### Questions to %d rows of %d hours\n\n%s\n\nStored over HTTP in %s; nothing else runs.\n\n",
		r.Rows, searchHours, machine, short(r.Storing))
	t := table{{"question", "p50", "p95", "p99", "slowest", "found", "wanted, p95"}}
	for _, a := range r.Answers {
		t.row(a.Name, precise(a.P50), precise(a.P95), precise(a.P99), precise(a.Slowest), fmt.Sprint(a.Found), a.verdict())
	}
	t.write(w)
}

func (a *SearchAnswer) verdict() string {
	switch {
	case a.Want == 0:
		return "-"
	case a.P95 > a.Want:
		return short(a.Want) + ": missed"
	}
	return short(a.Want) + ": met"
}

func precise(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1e3) }
