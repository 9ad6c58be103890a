package bench

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/internal/gen"
)

// Lines of past hours lie in minute after minute as they do when they are live.
func TestEventTimes(t *testing.T) {
	first, began := time.Unix(1_700_000_000, 0), time.Unix(1_800_000_000, 0)
	s := &sender{load: &Load{For: 24 * time.Second, Hours: 12, From: first}, began: began, last: began}
	for _, c := range []struct{ last, at, from, to float64 }{ // seconds since first: two to the hour
		{0, 0.5, 0, 0.5},
		{0.5, 1.5, 0.5, 1.5},
		{1.5, 2.5, 3600, 3600.5}, // the hour begins anew
		{2.5, 3, 3600.5, 3601},
		{3, 23.9, 11 * 3600, 11*3600 + 1.9},
		{23.9, 24.5, 11*3600 + 1.9, 11*3600 + 2.5}, // past the end
	} {
		s.last = began.Add(seconds(c.last))
		from, to := s.eventTimes(began.Add(seconds(c.at)))
		if f, g := from.Sub(first), to.Sub(first); f != seconds(c.from) || g != seconds(c.to) {
			t.Errorf("sent from %v to %v: %v to %v, want %v to %v", c.last, c.at, f, g, seconds(c.from), seconds(c.to))
		}
	}
	s.load.Hours = 0
	if from, to := s.eventTimes(began.Add(30 * time.Second)); from != s.last || to != began.Add(30*time.Second) {
		t.Errorf("live: %v to %v", from, to)
	}
}

func seconds(n float64) time.Duration { return time.Duration(n*1e6) * time.Microsecond }

func TestRunOfPastHours(t *testing.T) {
	f := &fake{}
	s := start(t, f)
	_, err := Run(t.Context(), s, Job{Load: Load{For: 1500 * time.Millisecond, PoolSize: 1000, Lines: 50, Hours: 3, From: time.Now().Truncate(time.Hour).Add(-9 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	hours := map[time.Time]bool{}
	for line := range f.lines {
		var o struct{ Time time.Time }
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		hours[o.Time.Truncate(time.Hour)] = true
		if age := time.Since(o.Time); age < 6*time.Hour || age > 10*time.Hour+time.Minute {
			t.Fatalf("a line of %s", o.Time)
		}
	}
	if len(hours) != 3 {
		t.Errorf("%d hours", len(hours))
	}
}

func TestTotal(t *testing.T) {
	s := start(t, &fake{})
	r, err := Run(t.Context(), s, Job{Load: Load{For: time.Minute, Total: 5000, PoolSize: 1000, Lines: 500}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent.Lines != 5000 {
		t.Errorf("%d lines", r.Sent.Lines)
	}
}

// The server takes the configuration as 100 sets of the generator's fields.
func TestHundred(t *testing.T) {
	c, err := config.Parse([]byte(Hundred()))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range c.Compile() {
		if r.Name == hundred {
			found = true
			if len(r.Sets) != 100 || len(r.Dimensions) != 12 {
				t.Errorf("%d sets of %d dimensions", len(r.Sets), len(r.Dimensions))
			}
		}
	}
	if !found {
		t.Error("it is not there")
	}
	var fields map[string]any
	line := gen.New(1, gen.Options{}).AppendJSON(nil, time.Unix(0, 0))
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatal(err)
	}
	for _, d := range append(gen.Dimensions(), "bytes") {
		if fields[d] == nil {
			t.Errorf("a line has no %s: %s", d, line)
		}
	}
}

func TestNextLook(t *testing.T) {
	at := func(events, rollup int64) map[string]int64 {
		return map[string]int64{"events": events, "rollup": rollup}
	}
	for _, c := range []struct {
		last, got map[string]int64
		want      time.Duration
	}{
		{nil, at(0, 0), leastLook},
		{at(0, 0), at(10, 10), mostLook},
		{at(0, 0), at(50, 10), 500 * time.Millisecond}, // events end in a second
		{at(0, 0), at(99, 99), leastLook},
		{at(10, 100), at(10, 100), leastLook},
		{at(40, 100), at(50, 100), mostLook},
	} {
		if got := nextLook(c.last, c.got, 100, time.Second); got != c.want {
			t.Errorf("%v after %v: %v, want %v", c.got, c.last, got, c.want)
		}
	}
}

// result is one of 1,000 lines stored in so many seconds.
func result(drained float64) *Result {
	return &Result{
		Sent:    Sent{Lines: 1000, Bytes: 415_000, Elapsed: seconds(1)},
		Drained: map[string]time.Duration{"events": seconds(drained), "rollup": seconds(drained / 2)},
		Stored:  map[string]int64{"events": 300, "rollup": 400},
		Usage:   Usage{CPU: 5 * time.Millisecond, Peak: 7e6}, LoadCPU: time.Millisecond,
		After: Metrics{`millrace_store_bytes{part="total"}`: 60_000, "millrace_queue_bytes": 90_000},
	}
}

func TestSummary(t *testing.T) {
	asked := result(2)
	asked.Answers = []Answers{{Name: "quick", Took: Quantiles{P99: 1e6}}, {Name: "slow", Took: Quantiles{P99: 2e9}, Failed: 3}}
	var out bytes.Buffer
	Summary(&out, "machine", []Row{
		{"a", asked, 400, 500}, {"b", result(2), 400, 600}, {"c", result(2), 501, 600}, {"d", result(4), 0, 0},
	})
	want := []string{
		"| a | 500 | 400, 500: target met | 300 | 1000 | 5.00 | 1.00 | 7 | 60, 90 | 2.00 s: slow; 3 failed |",
		"| b | 500 | 400, 600: floor met | 300 | 1000 | 5.00 | 1.00 | 7 | 60, 90 | none asked |",
		"| c | 500 | 501, 600: missed | 300 | 1000 | 5.00 | 1.00 | 7 | 60, 90 | none asked |",
		"| d | 250 | - | 300 | 1000 | 5.00 | 1.00 | 7 | 60, 90 | none asked |",
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%q is not in\n%s", w, out.String())
		}
	}
}

func TestRatio(t *testing.T) {
	var out bytes.Buffer
	pairs := []Pair{{This: result(1), Other: result(4)}, {This: result(3), Other: result(4)}}
	if got := Ratio(&out, "title", "machine", pairs); got != 2 { // 2,000 lines in 4 s against 8 s
		t.Errorf("%v", got)
	}
	if !strings.Contains(out.String(), "**2.00**") || strings.Count(out.String(), "round") != 4 {
		t.Error(out.String())
	}
}
