package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
	"github.com/millrace/millrace/internal/gen"
)

// Limits of the design for exceptions.
const (
	crashMemory  = 1_000_000_000 // bytes resident
	crashVisible = 6 * time.Second
)

// crashConfig is what the embedded mode runs with to stay below crashMemory, and what
// docs/performance.md has figures of.
const crashConfig = "memory: 860MiB\nstore: {memory: 192MiB}\n"

// crashCase is a load of exceptions and the rate wanted.
type crashCase struct {
	name   string
	load   bench.CrashLoad
	target float64 // exceptions/s, drained; 0 is not judged
	probes bool
}

var crashCases = []crashCase{
	{name: "50 KB JSON, stack of 50 frames", load: bench.CrashLoad{Rate: 2100, Senders: 8, Many: true}, target: 2000},
	{name: "50 KB text, stack of 50 frames", load: bench.CrashLoad{Rate: 2100, Senders: 8, Many: true, CrashOptions: gen.CrashOptions{Form: gen.CrashText}}, target: 2000},
	{name: "1 KB", load: bench.CrashLoad{Rate: 52_000, CrashOptions: gen.CrashOptions{Bytes: 1000, Frames: 6, Pool: 60_000}}, target: 50_000},
	{name: "pre-aggregated", load: bench.CrashLoad{Rate: 52_000, Batch: 2500, CrashOptions: gen.CrashOptions{Form: gen.CrashCounted, Bytes: 300, Frames: 6, Pool: 60_000}}, target: 50_000},
	{name: "storm of one looping 1 KB exception", load: bench.CrashLoad{Rate: 100_000, CrashOptions: gen.CrashOptions{Faults: 1, Bytes: 1000, Frames: 6, Pool: 40_000}}, probes: true},
}

// TestBenchExceptions measures how many exceptions are counted and stored, with
// what memory, and how soon another issue shows while one storms. BENCH_SECONDS
// is how long each case is sent (120).
func TestBenchExceptions(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench")
	}
	seconds := benchFor(t, "BENCH_SECONDS", 120)
	config := crashConfig
	if extra := os.Getenv("BENCH_CONFIG"); extra != "" {
		config = extra
	}
	machine := bench.Machine(time.Now(), "make bench-exceptions") + fmt.Sprintf("; configuration %q", config)
	for _, c := range crashCases {
		t.Run(c.name, func(t *testing.T) {
			c.load.For = seconds
			o := benchOptions{config: config}
			if dir := os.Getenv("BENCH_PROFILES"); dir != "" {
				o.profile = filepath.Join(dir, filepath.Base(t.Name())+".pprof")
			}
			s := benchServer(t, o)
			r, err := bench.RunCrashes(t.Context(), s, bench.CrashJob{Load: c.load, Probes: c.probes})
			if r == nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Error(err)
			}
			r.Write(os.Stdout, c.name, machine)
			if logs, err := s.Stop(); err != nil || logs != "" {
				t.Errorf("the server's end: %v\n%s", err, logs)
			}
			if err := os.RemoveAll(s.Data); err != nil { // the next case needs the room
				t.Error(err)
			}
			c.judge(t, r)
		})
	}
}

func (c *crashCase) judge(t *testing.T, r *bench.CrashResult) {
	t.Helper()
	if got := r.Sustained(); got < c.target {
		t.Errorf("%.0f exceptions/s, want %.0f", got, c.target)
	}
	if r.Usage.Peak > crashMemory {
		t.Errorf("%d MB resident, want at most %d", r.Usage.Peak/1e6, int64(crashMemory/1e6))
	}
	if p := r.Probes; p != nil && (p.Missing > 0 || p.Events.P99 > crashVisible || p.Issue.P99 > crashVisible) {
		t.Errorf("another issue's events: %s in the API, %s in the issue at the 99th percentile, %d never seen; want at most %s",
			p.Events.P99, p.Issue.P99, p.Missing, crashVisible)
	}
}
