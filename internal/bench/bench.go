package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/millrace/millrace/client"
)

// Job is one measurement.
type Job struct {
	Load      Load
	Questions []Question        // asked once a second while lines are sent
	Counts    map[string]string // rollups that count every line, and the metric that does; nil: traffic
	Settle    bool              // wait for compaction, hours and days after the queue is drained
}

// Result is what a job showed.
type Result struct {
	Sent    Sent
	Stored  map[string]int64         // per sink, when the last line had been sent
	Drained map[string]time.Duration // since the first line was sent, per sink
	Settled time.Duration            // the same, until minutes were compacted and hours computed; 0 if nobody waited
	Usage   Usage
	LoadCPU time.Duration // of this process: senders and questions
	Answers []Answers
	Before  Metrics // at the end of the load
	After   Metrics // with the queue drained
	Disk    map[string]int64
	Stages  map[string]time.Duration // CPU; nil without a profile
}

// Run puts a server under load, asks questions meanwhile, waits until the queue
// is drained, and checks that every line is stored and counted.
func Run(ctx context.Context, s *Server, job Job) (*Result, error) {
	r, err := run(ctx, s, job)
	return r, s.explain(err)
}

func run(ctx context.Context, s *Server, job Job) (*Result, error) {
	c, err := client.New(s.URL, client.Options{})
	if err != nil {
		return nil, err
	}
	senders, err := job.Load.Prepare(s.URL)
	if err != nil {
		return nil, err
	}
	idle, err := s.Usage()
	if err != nil {
		return nil, err
	}
	r := &Result{Drained: map[string]time.Duration{}}
	started := time.Now()
	if err := r.load(ctx, c, senders, job.Questions); err != nil {
		return nil, err
	}
	if err := r.drain(ctx, s, c, started); err != nil {
		return nil, err
	}
	if job.Settle {
		ago, err := s.Settle(ctx)
		if err != nil {
			return nil, err
		}
		r.Settled = time.Since(started) - ago
	}
	if r.Usage, err = s.Usage(); err != nil {
		return nil, err
	}
	r.Usage.CPU -= idle.CPU
	if r.After, err = Scrape(ctx, s.URL); err != nil {
		return nil, err
	}
	return r, check(ctx, c, job.Counts, r.Sent.Lines)
}

// load sends and asks.
func (r *Result) load(ctx context.Context, c *client.Client, senders *Senders, questions []Question) error {
	watch, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan []Answers, 1)
	before, err := ownCPU()
	if err != nil {
		return err
	}
	go func() { answers <- Watch(watch, c, questions) }()
	r.Sent, err = senders.Run(ctx)
	stop()
	r.Answers = <-answers
	if err != nil {
		return err
	}
	after, err := ownCPU()
	r.LoadCPU = after - before
	return err
}

// drain waits until all that was sent since started is stored.
func (r *Result) drain(ctx context.Context, s *Server, c *client.Client, started time.Time) (err error) {
	if r.Stored, err = stored(ctx, c); err != nil {
		return err
	}
	if r.Before, err = Scrape(ctx, s.URL); err != nil {
		return err
	}
	done, err := Drained(ctx, c, r.Sent.Lines)
	for sink, at := range done {
		r.Drained[sink] = at.Sub(started)
	}
	return err
}

// check compares what is stored and what the rollups count with what was sent.
func check(ctx context.Context, c *client.Client, counts map[string]string, want int64) error {
	if counts == nil {
		counts = map[string]string{"traffic": "pv"}
	}
	rows, err := c.SQL(ctx, "SELECT count(*) FROM events")
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	found := map[string]*client.Table{"raw rows": rows}
	for rollup, metric := range counts {
		found["rollup "+rollup], err = c.Rollup(ctx, rollup, url.Values{"metrics": {metric}, "from": {"-3d"}, "limit": {"1"}})
		if err != nil {
			return fmt.Errorf("count by rollup %s: %w", rollup, err)
		}
	}
	var errs []error
	for name, t := range found {
		if got, err := number(t); err != nil || got != want {
			errs = append(errs, fmt.Errorf("%s: %d of %d lines: %w", name, got, want, errors.Join(err, errCount)))
		}
	}
	return errors.Join(errs...)
}

var errCount = errors.New("the numbers must be equal")

// number returns the only value of an answer.
func number(t *client.Table) (int64, error) {
	if len(t.Rows) != 1 || len(t.Rows[0]) != 1 {
		return 0, fmt.Errorf("%d rows of %v where one number was asked for", len(t.Rows), t.Columns)
	}
	n, ok := t.Rows[0][0].(json.Number)
	if !ok {
		return 0, fmt.Errorf("%v is not a number", t.Rows[0][0])
	}
	return n.Int64()
}

// Sustained is lines per second from the first line sent to the last one stored
// and counted.
func (r *Result) Sustained() float64 {
	last := r.Sent.Elapsed
	for _, d := range r.Drained {
		last = max(last, d)
	}
	return float64(r.Sent.Lines) / last.Seconds()
}

// Storing is lines per second that both sinks had stored while lines were sent.
func (r *Result) Storing() float64 {
	return float64(min(r.Stored["events"], r.Stored["rollup"])) / r.Sent.Elapsed.Seconds()
}
