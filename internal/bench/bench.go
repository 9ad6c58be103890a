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

// Result is what a run under full load showed.
type Result struct {
	Sent    Sent
	Drained map[string]time.Duration // since the first line was sent, per sink
	Usage   Usage
	Answers []Answers
	Before  Metrics // at the end of the load
	After   Metrics // with the queue drained
	Disk    map[string]int64
	Stages  map[string]time.Duration // CPU; nil without a profile
}

// Run puts a server under load, asks questions meanwhile, waits until the queue
// is drained, and checks that every line is stored and counted.
func Run(ctx context.Context, s *Server, load Load) (*Result, error) {
	c, err := client.New(s.URL, client.Options{})
	if err != nil {
		return nil, err
	}
	senders, err := load.Prepare(s.URL)
	if err != nil {
		return nil, err
	}
	idle, err := s.Usage()
	if err != nil {
		return nil, err
	}
	r := &Result{Drained: map[string]time.Duration{}}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	answers := make(chan []Answers, 1)
	go func() { answers <- Watch(watch, c, Questions()) }()
	started := time.Now()
	r.Sent, err = senders.Run(ctx)
	stop()
	r.Answers = <-answers
	if err != nil {
		return nil, err
	}
	if r.Before, err = Scrape(ctx, s.URL); err != nil {
		return nil, err
	}
	done, err := Drained(ctx, c, r.Sent.Lines)
	if err != nil {
		return nil, err
	}
	for sink, at := range done {
		r.Drained[sink] = at.Sub(started)
	}
	if r.Usage, err = s.Usage(); err != nil {
		return nil, err
	}
	r.Usage.CPU -= idle.CPU
	if r.After, err = Scrape(ctx, s.URL); err != nil {
		return nil, err
	}
	return r, check(ctx, c, r.Sent.Lines)
}

// check compares what is stored and what the rollups count with what was sent.
func check(ctx context.Context, c *client.Client, want int64) error {
	rows, err := c.SQL(ctx, "SELECT count(*) FROM events")
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	cells, err := c.Rollup(ctx, "traffic", url.Values{"metrics": {"pv"}, "from": {"-1d"}, "limit": {"1"}})
	if err != nil {
		return fmt.Errorf("count by rollup: %w", err)
	}
	var errs []error
	for name, t := range map[string]*client.Table{"raw rows": rows, "rollup": cells} {
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
