package bench

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/client"
)

// Freshness is how long a line takes until it can be seen.
type Freshness struct {
	Raw, Rollup Quantiles
	Missing     int // lines not seen within half a minute
}

// probe is one line whose way is watched.
type probe struct {
	sent        time.Time
	raw, rollup time.Duration
}

// Fresh sends a line of its own five times a second until ctx ends and
// measures, from before it is sent, when a search finds it and when a rollup
// counts it; looking every 50 and 100 ms bounds how exact that is.
func Fresh(ctx context.Context, serverURL string) (Freshness, error) {
	c, err := client.New(serverURL, client.Options{Source: "probes", Compression: client.CompressNone})
	if err != nil {
		return Freshness{}, err
	}
	f := &fresh{c: c}
	look, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() { errs[0] = f.look(look, 50*time.Millisecond, f.raw) })
	wg.Go(func() { errs[1] = f.look(look, 100*time.Millisecond, f.rollup) })
	errs[2] = f.send(ctx)
	select { // the last ones are still on their way
	case <-f.allSeen(look):
	case <-time.After(30 * time.Second):
	}
	cancel()
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return Freshness{}, err
		}
	}
	return f.result(), nil
}

// fresh is the state of Fresh.
type fresh struct {
	c      *client.Client
	mu     sync.Mutex
	probes []probe
}

// probeName is a service of its own: both search and rollup can ask for it.
func probeName(i int) string { return fmt.Sprintf("probe-%06d", i) }

func (f *fresh) send(ctx context.Context) error {
	for i := 0; ; i++ {
		started := time.Now()
		line := fmt.Appendf(nil, `{"time":%q,"service":%q,"host":"probe","url":"/probe","method":"GET","status":200,"rt":0.001,"client_ip":"198.18.0.1"}`+"\n",
			started.UTC().Format(time.RFC3339Nano), probeName(i))
		f.mu.Lock()
		f.probes = append(f.probes, probe{sent: started})
		f.mu.Unlock()
		if _, err := f.c.Send(context.WithoutCancel(ctx), int64(i), line); err != nil {
			return fmt.Errorf("send probe: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200*time.Millisecond - time.Since(started)):
		}
	}
}

// look asks for the probes seen at an interval and notes what is new.
func (f *fresh) look(ctx context.Context, every time.Duration, ask func(context.Context) ([]string, func(*probe) *time.Duration, error)) error {
	for {
		names, slot, err := ask(ctx)
		started := time.Now()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for probes: %w", err)
		}
		f.mu.Lock()
		for _, name := range names {
			var i int
			if n, err := fmt.Sscanf(name, "probe-%d", &i); n == 1 && err == nil && i < len(f.probes) {
				if p := &f.probes[i]; *slot(p) == 0 {
					*slot(p) = started.Sub(p.sent)
				}
			}
		}
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (f *fresh) raw(ctx context.Context) ([]string, func(*probe) *time.Duration, error) {
	t, err := f.c.SQL(ctx, "SELECT service FROM events WHERE time > now() - INTERVAL 40 SECOND AND host = 'probe'")
	return column(t, 0), func(p *probe) *time.Duration { return &p.raw }, err
}

func (f *fresh) rollup(ctx context.Context) ([]string, func(*probe) *time.Duration, error) {
	t, err := f.c.Rollup(ctx, "traffic", url.Values{"metrics": {"pv"}, "by": {"service"}, "where": {"service:probe-*"}, "from": {"-2m"}})
	return column(t, 0), func(p *probe) *time.Duration { return &p.rollup }, err
}

func column(t *client.Table, i int) []string {
	var out []string
	if t == nil {
		return nil
	}
	for _, row := range t.Rows {
		if s, ok := row[i].(string); ok && strings.HasPrefix(s, "probe-") {
			out = append(out, s)
		}
	}
	return out
}

// allSeen is closed when every probe was seen on both ways.
func (f *fresh) allSeen(ctx context.Context) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		for ctx.Err() == nil && f.result().Missing > 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return ch
}

func (f *fresh) result() Freshness {
	f.mu.Lock()
	defer f.mu.Unlock()
	var raw, rollup []time.Duration
	missing := 0
	for _, p := range f.probes {
		if p.raw > 0 {
			raw = append(raw, p.raw)
		}
		if p.rollup > 0 {
			rollup = append(rollup, p.rollup)
		}
		if p.raw == 0 || p.rollup == 0 {
			missing++
		}
	}
	return Freshness{Raw: NewQuantiles(raw), Rollup: NewQuantiles(rollup), Missing: missing}
}
