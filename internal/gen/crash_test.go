package gen

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/exception"
)

// Exceptions have the size, the stack and the variety that were asked for, each a
// trace that millrace reads, and no two are alike.
func TestCrashes(t *testing.T) {
	from := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, form := range []CrashForm{CrashJSON, CrashText} {
		c := NewCrashes(1, 2, CrashOptions{Form: form, Faults: 40, Bytes: 20_000, Pool: 100})
		groups, seen := map[string]bool{}, map[string]bool{}
		for total := 0; total < 300; {
			batch := c.Next(30, from, from.Add(time.Second))
			body, n, occurrences := batch.Body, batch.Exceptions, batch.Occurrences
			if occurrences != int64(n) || len(body) < 19_900*n || len(body) > 20_100*n {
				t.Fatalf("form %d: %d exceptions of %d bytes stand for %d", form, n, len(body)/n, occurrences)
			}
			for _, text := range splitCrashes(t, form, body, n) {
				r, ok := exception.Read(text)
				if !ok || len(r.Exception.Frames) != 50 || seen[text] {
					t.Fatalf("form %d: read %v, again %v:\n%.300s", form, ok, seen[text], text)
				}
				seen[text] = true
				groups[exception.FingerprintOf(exception.LatestVersion, &r)] = true
			}
			total += n
		}
		if len(groups) != 40 {
			t.Errorf("form %d: %d fingerprints of 40 faults", form, len(groups))
		}
	}
}

// splitCrashes returns the traces of a body.
func splitCrashes(t *testing.T, form CrashForm, body []byte, n int) (traces []string) {
	t.Helper()
	if form == CrashText {
		for i, text := range strings.Split(string(body), "\n2026-03-01 12:00:0") {
			if i > 0 {
				text = "2026-03-01 12:00:0" + text
			}
			if !strings.HasPrefix(text, "2026-03-01 12:00:00.") {
				t.Fatalf("%.100s", text)
			}
			traces = append(traces, text)
		}
	} else {
		for line := range bytes.Lines(body) {
			var e struct {
				Time    time.Time
				TraceID string `json:"trace_id"`
				Stack   string `json:"stack_trace"`
			}
			if err := json.Unmarshal(line, &e); err != nil || e.Time.Year() != 2026 || len(e.TraceID) != 32 {
				t.Fatalf("%v in %.100s", err, line)
			}
			traces = append(traces, e.Stack)
		}
	}
	if len(traces) != n {
		t.Fatalf("%d traces, want %d", len(traces), n)
	}
	return traces
}

// Counted exceptions say how many they stand for.
func TestCrashesCounted(t *testing.T) {
	c := NewCrashes(1, 2, CrashOptions{Form: CrashCounted, Pool: 50, Frames: 8})
	batch := c.Next(50, time.Unix(0, 0), time.Unix(1, 0))
	dec := json.NewDecoder(bytes.NewReader(batch.Body))
	var sum int64
	samples, events := 0, 0
	for range batch.Exceptions {
		var o struct {
			Count   int64
			Details []struct{ StackTrace string }
		}
		if err := dec.Decode(&o); err != nil {
			t.Fatal(err)
		}
		sum += o.Count
		for _, d := range o.Details {
			if _, ok := exception.Read(d.StackTrace); !ok {
				t.Errorf("no trace: %s", d.StackTrace)
			}
			samples++
		}
		events += min(len(o.Details), int(o.Count)) + min(1, int(o.Count)-len(o.Details))
	}
	if batch.Exceptions != 50 || sum != batch.Occurrences || events != batch.Events || samples != 5 {
		t.Errorf("%+v of %d occurrences, %d events with %d samples", batch, sum, events, samples)
	}
}
