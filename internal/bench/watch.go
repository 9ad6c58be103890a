package bench

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/millrace/millrace/client"
)

// Quantiles sums up how long something took.
type Quantiles struct {
	N             int
	P50, P99, Max time.Duration
}

// NewQuantiles sorts times.
func NewQuantiles(times []time.Duration) Quantiles {
	if len(times) == 0 {
		return Quantiles{}
	}
	slices.Sort(times)
	at := func(q float64) time.Duration {
		return times[min(len(times)-1, int(math.Ceil(q*float64(len(times))))-1)]
	}
	return Quantiles{N: len(times), P50: at(0.5), P99: at(0.99), Max: times[len(times)-1]}
}

// Question is something a user asks every second.
type Question struct {
	Name string
	Ask  func(ctx context.Context, c *client.Client) error
}

// Questions are what the pages and a user at the console ask.
func Questions() []Question {
	return []Question{
		{"rollup: pv, uv, p99 per minute", askRollup("traffic", "metrics=pv,uv,rt_p99&from=-15m&step=1m")},
		{"rollup: pv by service", askRollup("traffic", "metrics=pv&by=service&from=-15m&order=-pv&limit=20")},
		{"rollup: top URLs", askRollup("traffic", "metrics=pv,rt_p95&by=url&from=-5m&order=-pv&limit=20")},
		{"logs: newest 100", func(ctx context.Context, c *client.Client) error {
			_, err := c.Logs(ctx, url.Values{"from": {"-5m"}, "limit": {"100"}})
			return err
		}},
		{"logs: service and status", func(ctx context.Context, c *client.Client) error {
			_, err := c.Logs(ctx, url.Values{"q": {"service:checkout status>=500"}, "from": {"-5m"}, "limit": {"100"}})
			return err
		}},
		{"SQL: count by service, last minute", func(ctx context.Context, c *client.Client) error {
			_, err := c.SQL(ctx, "SELECT service, count(*) FROM events WHERE time > now() - INTERVAL 1 MINUTE GROUP BY service")
			return err
		}},
	}
}

// HundredQuestions are asked of the rollup of Hundred.
func HundredQuestions() []Question {
	return []Question{
		{"100 sets: count per minute", askRollup(hundred, "metrics=n,bytes&from=-15m&step=1m")},
		{"100 sets: services and cities", askRollup(hundred, "metrics=n&by=service,city&from=-15m&order=-n&limit=20")},
	}
}

// PastQuestions are asked instead of Questions if lines are of past hours.
func PastQuestions() []Question {
	return []Question{
		{"rollup: pv, uv, p99 per hour, two days", askRollup("traffic", "metrics=pv,uv,rt_p99&from=-2d&step=1h")},
		{"rollup: top URLs, two days", askRollup("traffic", "metrics=pv,rt_p95&by=url&from=-2d&order=-pv&limit=20")},
		{"logs: newest 100, two days", func(ctx context.Context, c *client.Client) error {
			_, err := c.Logs(ctx, url.Values{"from": {"-2d"}, "limit": {"100"}})
			return err
		}},
	}
}

// askRollup asks for a rollup with parameters of the API.
func askRollup(name, params string) func(context.Context, *client.Client) error {
	return func(ctx context.Context, c *client.Client) error {
		values, err := url.ParseQuery(params)
		if err != nil {
			return err
		}
		_, err = c.Rollup(ctx, name, values)
		return err
	}
}

// Watch asks every question once a second, one after the other as one user
// would, until ctx ends. Failures are counted, and the first one returned.
func Watch(ctx context.Context, c *client.Client, list []Question) (answers []Answers) {
	times := make([][]time.Duration, len(list))
	answers = make([]Answers, len(list))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		for i, q := range list {
			started := time.Now()
			err := q.Ask(ctx, c)
			if ctx.Err() != nil {
				break
			}
			if err != nil {
				answers[i].Failed++
				if answers[i].Err == nil {
					answers[i].Err = err
				}
				continue
			}
			times[i] = append(times[i], time.Since(started))
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	for i, q := range list {
		answers[i].Name, answers[i].Took = q.Name, NewQuantiles(times[i])
	}
	return answers
}

// Answers is how a question was answered.
type Answers struct {
	Name   string
	Took   Quantiles
	Failed int
	Err    error // the first failure
}

// Drained waits until both sinks have accounted for want events, and returns
// when each of them had; it gives up at a standstill of a minute. It looks more
// often as the end comes near, since looking costs the server time, too.
func Drained(ctx context.Context, c *client.Client, want int64) (map[string]time.Time, error) {
	return drained(ctx, c, want, stored)
}

// drained is Drained with what tells how many events each sink has had.
func drained(ctx context.Context, c *client.Client, want int64, progress func(context.Context, *client.Client) (map[string]int64, error)) (map[string]time.Time, error) {
	done := map[string]time.Time{}
	var moved, looked time.Time
	var last map[string]int64
	for {
		got, err := progress(ctx, c)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		for _, sink := range []string{"events", "rollup"} {
			if _, ok := done[sink]; !ok && got[sink] >= want {
				done[sink] = started
			}
			if got[sink] > want {
				return nil, fmt.Errorf("sink %s stored %d events of %d sent: something is counted twice", sink, got[sink], want)
			}
		}
		if len(done) == 2 {
			return done, nil
		}
		wait := nextLook(last, got, want, started.Sub(looked))
		looked = started
		if moved.IsZero() || got["events"] != last["events"] || got["rollup"] != last["rollup"] {
			moved, last = started, got
		}
		if started.Sub(moved) > time.Minute {
			return nil, fmt.Errorf("the queue is not drained: of %d events the sinks stored %v, and nothing has moved for a minute", want, got)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// Bounds of the time between two looks.
const (
	leastLook = 200 * time.Millisecond
	mostLook  = 2 * time.Second
)

// nextLook is half the time that the sink which would end first has still to go,
// at its pace since the last look.
func nextLook(last, got map[string]int64, want int64, since time.Duration) time.Duration {
	wait := mostLook
	for sink, n := range got {
		left, moved := want-n, n-last[sink]
		if last == nil || left <= 0 {
			continue
		}
		if moved <= 0 {
			return leastLook // sinks move in steps: the next may be the last
		}
		wait = min(wait, time.Duration(float64(since)*float64(left)/float64(moved)/2))
	}
	if last == nil {
		return leastLook
	}
	return max(leastLook, wait)
}

// stored returns how many events each sink has stored.
func stored(ctx context.Context, c *client.Client) (map[string]int64, error) {
	var ledger struct {
		Accounts []struct {
			Sink   string `json:"sink"`
			Stored struct {
				Events int64 `json:"events"`
			} `json:"stored"`
		} `json:"accounts"`
	}
	if err := c.Do(ctx, http.MethodGet, "/api/v1/ledger", nil, nil, &ledger); err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	out := map[string]int64{}
	for _, a := range ledger.Accounts {
		out[a.Sink] += a.Stored.Events
	}
	return out, nil
}
