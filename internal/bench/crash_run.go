package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/millrace/millrace/client"
)

// CrashJob is one measurement with exceptions.
type CrashJob struct {
	Load   CrashLoad
	Probes bool // watch how soon another issue's events are visible meanwhile
}

// CrashResult is what a CrashJob showed.
type CrashResult struct {
	Sent     CrashSent
	Drained  map[string]time.Duration // since the first request, per sink
	Usage    Usage
	LoadCPU  time.Duration // of this process
	Accounts map[string]Outcomes
	Probes   *CrashVisible // nil if nobody looked
}

// Outcomes is what became of events, per sink.
type Outcomes struct{ Received, Stored, Sampled, Other int64 }

// RunCrashes puts a server under a load of exceptions, waits until the queue is
// drained, and checks that each is counted and that its details are stored or
// accounted for as sampled. With an error, the result is what was measured before, nil
// if nothing was.
func RunCrashes(ctx context.Context, s *Server, job CrashJob) (*CrashResult, error) {
	r, err := runCrashes(ctx, s, job)
	return r, s.explain(err)
}

func runCrashes(ctx context.Context, s *Server, job CrashJob) (*CrashResult, error) {
	c, err := client.New(s.URL, client.Options{})
	if err != nil {
		return nil, err
	}
	senders := job.Load.prepare(s.URL)
	idle, err := s.Usage()
	if err != nil {
		return nil, err
	}
	before, err := ownCPU()
	if err != nil {
		return nil, err
	}
	r := &CrashResult{Drained: map[string]time.Duration{}}
	started := time.Now()
	if err := r.load(ctx, senders, s.URL, job.Probes); err != nil {
		return nil, err
	}
	after, err := ownCPU()
	if err != nil {
		return nil, err
	}
	r.LoadCPU = after - before
	want := r.Sent.Events
	if r.Probes != nil {
		want += int64(r.Probes.Sent)
	}
	done, err := drained(ctx, c, want, r.received)
	if err != nil {
		return r, err
	}
	for sink, at := range done {
		r.Drained[sink] = at.Sub(started)
	}
	if r.Usage, err = s.Usage(); err != nil {
		return r, err
	}
	r.Usage.CPU -= idle.CPU
	return r, r.check(ctx, c, want)
}

// load sends, and looks for probes.
func (r *CrashResult) load(ctx context.Context, senders *crashSender, url string, probes bool) (err error) {
	if !probes {
		r.Sent, err = senders.run(ctx)
		return err
	}
	type seen struct {
		v   *CrashVisible
		err error
	}
	watch, stop := context.WithCancel(ctx)
	defer stop()
	ch := make(chan seen, 1)
	go func() { v, err := WatchCrash(watch, url); ch <- seen{v, err} }()
	r.Sent, err = senders.run(ctx)
	stop()
	s := <-ch
	r.Probes = s.v
	return errors.Join(err, s.err)
}

// received reads the accounts and returns how many events each sink has had.
func (r *CrashResult) received(ctx context.Context, c *client.Client) (map[string]int64, error) {
	type count struct{ Events int64 }
	var ledger struct {
		Balanced bool
		Accounts []struct {
			Sink                                                     string
			Received, Stored, Sampled, Filtered, Duplicate, Rejected count
		}
	}
	if err := c.Do(ctx, http.MethodGet, "/api/v1/ledger", nil, nil, &ledger); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	if !ledger.Balanced {
		return nil, errors.New("the ledger does not add up")
	}
	out := map[string]int64{}
	r.Accounts = map[string]Outcomes{}
	for _, a := range ledger.Accounts {
		o := r.Accounts[a.Sink]
		o.Received += a.Received.Events
		o.Stored += a.Stored.Events
		o.Sampled += a.Sampled.Events
		o.Other += a.Filtered.Events + a.Duplicate.Events + a.Rejected.Events
		r.Accounts[a.Sink] = o
		out[a.Sink] = o.Received
	}
	return out, nil
}

// check compares what is counted and stored with what was sent.
func (r *CrashResult) check(ctx context.Context, c *client.Client, events int64) error {
	occurrences := r.Sent.Occurrences + events - r.Sent.Events
	t, err := c.Rollup(ctx, "exceptions", url.Values{"metrics": {"count"}, "from": {"-3d"}, "limit": {"1"}})
	if err != nil {
		return fmt.Errorf("count exceptions: %w", err)
	}
	var errs []error
	if got, err := number(t); err != nil || got != occurrences {
		errs = append(errs, fmt.Errorf("the rollup counts %d of %d exceptions: %w", got, occurrences, errors.Join(err, errCount)))
	}
	if o := r.Accounts["rollup"]; o.Stored != events {
		errs = append(errs, fmt.Errorf("the rollups folded %d of %d events: %w", o.Stored, events, errCount))
	}
	rows, err := c.SQL(ctx, "SELECT count(*) FROM exceptions")
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	o := r.Accounts["events"]
	if got, err := number(rows); err != nil || got != o.Stored || o.Stored+o.Sampled != events {
		errs = append(errs, fmt.Errorf("%d rows, %d stored and %d sampled of %d events: %w", got, o.Stored, o.Sampled, events, errors.Join(err, errCount)))
	}
	return errors.Join(errs...)
}

// Sustained is exceptions per second from the first one sent to the last one
// stored and counted, 0 if that did not come to pass.
func (r *CrashResult) Sustained() float64 {
	if len(r.Drained) == 0 {
		return 0
	}
	last := r.Sent.Elapsed
	for _, d := range r.Drained {
		last = max(last, d)
	}
	return float64(r.Sent.Exceptions) / last.Seconds()
}

// Write reports a result as Markdown.
func (r *CrashResult) Write(w io.Writer, title, machine string) {
	n := float64(r.Sent.Exceptions)
	fmt.Fprintf(w, "\n### %s\n\n%s\n\n", title, machine)
	t := table{{"exceptions", ""}}
	t.row("sent", fmt.Sprintf("%d of %.0f bytes, %d events, %d occurrences, %d requests", r.Sent.Exceptions, float64(r.Sent.Bytes)/n, r.Sent.Events, r.Sent.Occurrences, r.Sent.Requests))
	t.row("accepted (durable)", fmt.Sprintf("%.0f/s, %.0f MB/s, for %.0f s", n/r.Sent.Elapsed.Seconds(), float64(r.Sent.Bytes)/1e6/r.Sent.Elapsed.Seconds(), r.Sent.Elapsed.Seconds()))
	t.row("**counted and stored, queue drained**", fmt.Sprintf("**%.0f/s**", r.Sustained()))
	if len(r.Drained) == 0 {
		t.row("drained after the last one sent", "never")
	} else {
		t.row("drained after the last one sent", fmt.Sprintf("details %.1f s, counts %.1f s", (r.Drained["events"]-r.Sent.Elapsed).Seconds(), (r.Drained["rollup"]-r.Sent.Elapsed).Seconds()))
	}
	t.row("request answered in (p50 / p99 / max)", quantiles(r.Sent.Requested))
	t.row("told to wait", fmt.Sprintf("%d times; a request began %.1f s late at most", r.Sent.Throttled, r.Sent.LongestLag.Seconds()))
	o := r.Accounts["events"]
	t.row("details", fmt.Sprintf("%d stored, %d (%.1f%%) sampled, %d otherwise", o.Stored, o.Sampled, 100*float64(o.Sampled)/float64(max(1, o.Received)), o.Other))
	t.row("CPU per exception", fmt.Sprintf("%s µs, %.2f cores in the mean", micros(r.Usage.CPU, n), float64(r.Usage.CPU)/(n/r.Sustained()*1e9)))
	t.row("CPU per exception of the senders", micros(r.LoadCPU, n)+" µs")
	t.row("peak memory", fmt.Sprintf("%.0f MB resident", float64(r.Usage.Peak)/1e6))
	if p := r.Probes; p != nil {
		t.row("events of another issue, one a second", fmt.Sprintf("%d sent, %d never seen", p.Sent, p.Missing))
		t.row("visible in the events API after (p50 / p99 / max)", quantiles(p.Events))
		t.row("visible in the issue after (p50 / p99 / max)", quantiles(p.Issue))
	}
	t.write(w)
}
