package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// faultShare of the rows is exceptions, one in so many, of searchFaults faults.
const (
	faultShare   = 100
	searchFaults = 2000
)

// sendFaults sends at least n exceptions of size bytes, spread over the hours, evenly
// in the time given, so that they lie among the other rows, and returns how many.
func sendFaults(ctx context.Context, url string, n int64, size int, from time.Time, in time.Duration) (sent int64, err error) {
	c, err := client.New(url, client.Options{Source: "faults", Compression: client.CompressNone, Attempts: 1000, MaxBackoff: time.Second})
	if err != nil {
		return 0, err
	}
	crashes := gen.NewCrashes(7, 2, gen.CrashOptions{Faults: searchFaults, Frames: 20, Bytes: size})
	step := searchHours * time.Hour / time.Duration(n+1)
	at := from
	each := min(200, max(1, 1_000_000/size))
	pace := time.NewTicker(max(in*time.Duration(each)/time.Duration(n+1), 1))
	defer pace.Stop()
	for seq := int64(0); sent < n; seq++ {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-pace.C:
		}
		b := crashes.Next(each, at, at.Add(time.Duration(each)*step))
		a, err := c.Send(ctx, seq, b.Body)
		if err != nil {
			return 0, fmt.Errorf("send exceptions: %w", err)
		}
		if a.Accepted != b.Events {
			return 0, fmt.Errorf("send exceptions: %d of %d were accepted", a.Accepted, b.Events)
		}
		sent, at = sent+int64(b.Events), at.Add(time.Duration(b.Events)*step)
	}
	return sent, nil
}

// faults are what to ask of exceptions.
type faults struct {
	often string   // the fingerprint of many
	rare  string   // of few
	some  []string // a hundred others
	trace string   // of one exception
}

// someFaults looks at the exceptions older than to.
func someFaults(ctx context.Context, c *client.Client, to time.Time) (f faults, err error) {
	l, err := c.Logs(ctx, url.Values{"from": {"-2d"}, "to": {to.Format(time.RFC3339)}, "limit": {"1000"}, "q": {"kind:exception"}})
	if err != nil {
		return f, err
	}
	seen := map[string]int{}
	for _, raw := range l.Events {
		var e struct {
			TraceID string `json:"trace_id"`
			Attrs   struct {
				Fingerprint string `json:"fingerprint"`
			} `json:"attrs"`
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			return f, fmt.Errorf("read an exception: %w", err)
		}
		if e.Attrs.Fingerprint != "" && e.TraceID != "" { // not those among the application logs
			seen[e.Attrs.Fingerprint]++
			f.trace = e.TraceID
		}
	}
	all := slices.SortedFunc(maps.Keys(seen), func(a, b string) int { return cmp.Or(cmp.Compare(seen[b], seen[a]), cmp.Compare(a, b)) })
	if len(all) < 3 || f.trace == "" {
		return f, errors.New("there are no exceptions to ask for")
	}
	f.often, f.rare = all[0], all[len(all)-1]
	f.some = all[1:min(len(all), 101)]
	return f, nil
}

func faultQuestions(from time.Time, f faults) []searchQuestion {
	const ms = time.Millisecond
	one := func(id string) string { return `kind:exception fingerprint:"` + id + `"` }
	some := `kind:exception fingerprint:("` + strings.Join(f.some, `" OR "`) + `")`
	counted := func(q string) asks {
		return func(ctx context.Context, c *client.Client) (int, error) { return 0, histogram(from, q)(ctx, c) }
	}
	return []searchQuestion{
		{"trace id of an exception", 50 * ms, newest(from, "trace_id:"+f.trace, 100)},
		{"an issue's newest sample, frequent", 50 * ms, newest(from, one(f.often), 1)},
		{"an issue's newest 20, frequent", 50 * ms, newest(from, one(f.often), 20)},
		{"an issue's newest 100, frequent", 50 * ms, newest(from, one(f.often), 100)},
		{"an issue's newest sample, rare", 50 * ms, newest(from, one(f.rare), 1)},
		{"an issue's newest 20, rare", 50 * ms, newest(from, one(f.rare), 20)},
		{"an issue's newest 100, rare", 50 * ms, newest(from, one(f.rare), 100)},
		{fmt.Sprintf("an issue of %d fingerprints, newest 100", len(f.some)), 50 * ms, newest(from, some, 100)},
		{"an issue's histogram, frequent", 500 * ms, counted(one(f.often))},
		{"an issue's histogram, rare", 500 * ms, counted(one(f.rare))},
	}
}
