package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// demoCmd feeds a running server the logs of a made-up shop.
type demoCmd struct {
	Server  string            `help:"Address of the server." default:"http://127.0.0.1:8080" placeholder:"URL"`
	Key     string            `help:"Ingest key; servers on loopback need none." env:"MILLRACE_KEY" placeholder:"KEY"`
	Rate    float64           `help:"Events per second, on average over a day." default:"200"`
	History millrace.Duration `help:"How much history to send first, so that pages are not empty. What the server already has is not sent again." default:"2h"`
	Seed    uint64            `help:"Another seed is another shop." default:"1"`
	Wait    time.Duration     `help:"How long to wait for the server to be ready." default:"30s"`
}

// The deployment that goes wrong: in the history, and again every two hours.
const (
	demoBadSince  = 45 * time.Minute
	demoBadLength = 25 * time.Minute
	demoBadEvery  = 2 * time.Hour
)

// Run implements the command.
func (c *demoCmd) Run(e *env) error {
	if c.Rate <= 0 || c.History < 0 {
		return millrace.Errorf(millrace.ErrInvalid, "rate %v, history %v: must be positive", c.Rate, c.History)
	}
	api, err := client.New(c.Server, client.Options{Key: c.Key, Source: "demo"})
	if err != nil {
		return &millrace.Error{Code: millrace.ErrInvalid, Message: err.Error()}
	}
	if err := c.ready(e.ctx, api); err != nil {
		return err
	}
	start, err := c.start(e, api)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Open %s in a browser: a made-up shop logs about %.0f events a second. Ctrl-C ends it.\n", c.Server, c.Rate)
	now := e.now()
	g := gen.NewStream(c.Seed, uint64(now.UnixNano()), gen.Options{Deployments: []gen.Deployment{
		{Service: "checkout", Start: now.Add(-demoBadSince), Length: demoBadLength, Every: demoBadEvery},
	}})
	return gen.Feed(e.ctx, g, gen.FeedOptions{
		Server: c.Server, Key: c.Key, Rate: c.Rate, Start: start,
		Now: e.now, After: time.After, History: c.history(e, api),
	})
}

// history shows the progress, and when the history is sent marks an issue as
// resolved that is going to come back.
func (c *demoCmd) history(e *env, api *client.Client) func(done float64) {
	progress := c.progress(e)
	return func(done float64) {
		if done == 1 {
			if err := c.resolve(e.ctx, api); err != nil && e.ctx.Err() == nil {
				fmt.Fprintf(e.stderr, "no issue is marked as resolved: %v\n", err)
			}
		}
		progress(done)
	}
}

// resolve marks the most frequent issue as resolved, unless one was regressed by an
// earlier run. Its next event brings it back.
func (c *demoCmd) resolve(ctx context.Context, api *client.Client) error {
	list := func(state string) (ids []string, err error) {
		var page struct {
			Issues []struct{ ID string }
		}
		err = api.Do(ctx, http.MethodGet, "/api/v1/issues", url.Values{"state": {state}, "limit": {"1"}}, nil, &page)
		for _, i := range page.Issues {
			ids = append(ids, i.ID)
		}
		return ids, err
	}
	ids, err := list("regressed,resolved")
	for wait := demoIssueWait; err == nil && len(ids) == 0 && wait > 0; wait -= time.Second {
		if ids, err = list("open"); len(ids) > 0 && err == nil {
			return api.Do(ctx, http.MethodPost, "/api/v1/issues/"+ids[0]+"/resolve", nil, nil, nil)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return err
}

// demoIssueWait is how long the server may take to count the history.
const demoIssueWait = 20 * time.Second

// ready waits until the server answers that it is.
func (c *demoCmd) ready(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, c.Wait)
	defer cancel()
	for {
		err := api.Do(ctx, http.MethodGet, "/healthz", nil, nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return &millrace.Error{
				Code: millrace.ErrUnavailable, Op: "wait for the server", Err: err,
				Hint: "start one with millrace serve, or name it with --server",
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// start is where history begins: where that of an earlier run ended, if the
// server has one.
func (c *demoCmd) start(e *env, api *client.Client) (time.Time, error) {
	start := e.now().Add(-c.History.Std())
	t, err := api.SQL(e.ctx, "SELECT CAST(epoch_ms(max(time)) AS BIGINT) FROM events WHERE source IN ('api', 'nginx')")
	if err != nil {
		return start, fmt.Errorf("look for earlier data: %w", err)
	}
	if len(t.Rows) == 1 && len(t.Rows[0]) == 1 {
		if ms, ok := t.Rows[0][0].(interface{ Int64() (int64, error) }); ok {
			if n, err := ms.Int64(); err == nil && time.UnixMilli(n).After(start) {
				start = time.UnixMilli(n)
			}
		}
	}
	return start, nil
}

// progress shows how much of the history is sent.
func (c *demoCmd) progress(e *env) func(done float64) {
	return func(done float64) {
		switch {
		case e.stdoutTTY && done < 1:
			fmt.Fprintf(e.stdout, "\rsending the history: %3.0f%%", 100*done)
		case e.stdoutTTY:
			fmt.Fprint(e.stdout, "\r\033[K")
			fallthrough
		case done == 1:
			fmt.Fprintln(e.stdout, "the history is sent; live from here on")
		}
	}
}
