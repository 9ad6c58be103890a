package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/client"
)

// CrashVisible is how soon events of one issue can be seen while others storm.
type CrashVisible struct {
	Sent, Missing int // missing: not seen within half a minute of the end
	// Events is until the search by trace id finds the event, Issue until the issue
	// counts it.
	Events, Issue Quantiles
}

// crashType names the exception that is watched.
const crashType = "com.bigshop.watched.ProbeException"

// crashProbe is one event whose way is watched.
type crashProbe struct {
	sent          time.Time
	events, issue time.Duration
}

// WatchCrash sends one exception a second until ctx ends, all of one issue, and
// measures from before each is sent; looking every 100 ms bounds how exact that is.
func WatchCrash(ctx context.Context, serverURL string) (*CrashVisible, error) {
	c, err := client.New(serverURL, client.Options{Source: "probes", Compression: client.CompressNone, Attempts: 1000, MaxBackoff: time.Second})
	if err != nil {
		return nil, err
	}
	f := &crashWatch{c: c}
	look, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() { errs[0] = f.every(look, f.lookEvents) })
	wg.Go(func() { errs[1] = f.every(look, f.lookIssue) })
	errs[2] = f.send(ctx)
	for started := time.Now(); f.result().Missing > 0 && time.Since(started) < 30*time.Second; {
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	return f.result(), errors.Join(errs...)
}

// crashWatch is the state of WatchCrash.
type crashWatch struct {
	c      *client.Client
	mu     sync.Mutex
	probes []crashProbe
}

// crashTrace is the trace id of a probe.
func crashTrace(i int) string { return fmt.Sprintf("70726f6265000000%016x", i) }

func (f *crashWatch) send(ctx context.Context) error {
	for i := 0; ; i++ {
		started := time.Now()
		line := fmt.Appendf(nil, `{"time":%q,"level":"error","service":"watched","env":"prod","trace_id":%q,"message":"watched %d","stack_trace":"%s: watched %d\n\tat com.bigshop.watched.Probe.fire(Probe.java:10)\n\tat com.bigshop.watched.Main.main(Main.java:5)\n"}`+"\n",
			started.UTC().Format(time.RFC3339Nano), crashTrace(i), i, crashType, i)
		f.mu.Lock()
		f.probes = append(f.probes, crashProbe{sent: started})
		f.mu.Unlock()
		if _, err := f.c.Send(context.WithoutCancel(ctx), int64(i), line); err != nil {
			return fmt.Errorf("send probe: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second - time.Since(started)):
		}
	}
}

// every looks ten times a second until ctx ends.
func (f *crashWatch) every(ctx context.Context, look func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := look(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("look for probes: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return nil
}

// lookEvents searches for the oldest probe that was not found yet.
func (f *crashWatch) lookEvents(ctx context.Context) error {
	f.mu.Lock()
	i := slices.IndexFunc(f.probes, func(p crashProbe) bool { return p.events == 0 })
	f.mu.Unlock()
	if i < 0 {
		return nil
	}
	l, err := f.c.Logs(ctx, url.Values{"q": {"trace_id:" + crashTrace(i)}, "from": {"-10m"}, "limit": {"1"}})
	if err != nil || len(l.Events) == 0 {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.probes[i].events = time.Since(f.probes[i].sent)
	return nil
}

// lookIssue reads how many events the issue counts: those are the oldest probes,
// as one client's requests are folded in their order.
func (f *crashWatch) lookIssue(ctx context.Context) error {
	var page struct {
		Issues []struct {
			Type  string
			Count json.Number
		}
	}
	params := url.Values{"q": {crashType}, "from": {"-1h"}, "limit": {"1"}}
	if err := f.c.Do(ctx, http.MethodGet, "/api/v1/issues", params, nil, &page); err != nil {
		return err
	}
	if len(page.Issues) == 0 {
		return nil
	}
	n, err := page.Issues[0].Count.Int64()
	if err != nil || page.Issues[0].Type != crashType {
		return fmt.Errorf("the issue of %s: %v: %w", crashType, page.Issues[0], err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.probes[:min(int(n), len(f.probes))] {
		if p := &f.probes[i]; p.issue == 0 {
			p.issue = time.Since(p.sent)
		}
	}
	return nil
}

func (f *crashWatch) result() *CrashVisible {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := &CrashVisible{Sent: len(f.probes)}
	var events, issue []time.Duration
	for _, p := range f.probes {
		if p.events > 0 {
			events = append(events, p.events)
		}
		if p.issue > 0 {
			issue = append(issue, p.issue)
		}
		if p.events == 0 || p.issue == 0 {
			v.Missing++
		}
	}
	v.Events, v.Issue = NewQuantiles(events), NewQuantiles(issue)
	return v
}
