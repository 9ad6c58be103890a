package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
)

// Measurements of the real server in a process of its own, with its defaults.
// They take minutes and want the machine for themselves: make bench, make soak.

// benchServe holds the arguments of the server that TestBenchServer is to be,
// separated by line breaks.
const benchServe = "MILLRACE_BENCH_SERVE"

// TestBenchServer is no test but the child process of those below. Being one
// lets the standard -test.cpuprofile tell where the server's time goes.
func TestBenchServer(t *testing.T) {
	args := os.Getenv(benchServe)
	if args == "" {
		t.Skip("only as a child process of the benchmarks")
	}
	m := &Main{Stdin: strings.NewReader(""), Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now}
	if err := m.ParseFlags(strings.Split(args, "\n")); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := m.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// benchServer starts a server; profile is where to write its CPU profile, or
// empty for none.
func benchServer(t *testing.T, profile string) *bench.Server {
	t.Helper()
	data := benchDir(t)
	args := []string{"-test.run=^TestBenchServer$", "-test.timeout=0"}
	if profile != "" {
		args = append(args, "-test.cpuprofile="+profile)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), benchServe+"="+strings.Join([]string{"serve", "--data", data, "--http", "127.0.0.1:0", "--log", "warn"}, "\n"))
	s, err := bench.Start(cmd, data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if logs, err := s.Stop(); err != nil {
			t.Errorf("stop: %v\n%s", err, logs)
		}
	})
	return s
}

// benchDir is a new directory, below BENCH_DIR to measure a certain disk.
func benchDir(t *testing.T) string {
	t.Helper()
	root := os.Getenv("BENCH_DIR")
	if root == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(root, "millrace-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// benchFor returns how long to measure: a number of seconds from the
// environment, or the default.
func benchFor(t *testing.T, name string, seconds int) time.Duration {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("%s=%q: want a number of seconds", name, s)
		}
		seconds = n
	}
	return time.Duration(seconds) * time.Second
}

// TestBench measures throughput, CPU by stage, memory, disk and the latency of
// queries under full load.
func TestBench(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench")
	}
	profile := filepath.Join(t.TempDir(), "cpu.pprof")
	if keep := os.Getenv("BENCH_PROFILE"); keep != "" {
		profile = keep
	}
	s := benchServer(t, profile)
	r, err := bench.Run(t.Context(), s, bench.Load{For: benchFor(t, "BENCH_SECONDS", 120)})
	if r == nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Error(err)
	}
	if logs, err := s.Stop(); err != nil || logs != "" {
		t.Errorf("the server's end: %v\n%s", err, logs)
	}
	if r.Disk, err = bench.DiskUse(s.Data); err != nil {
		t.Error(err)
	}
	if r.Stages, err = bench.Profile(t.Context(), os.Args[0], profile); err != nil {
		t.Error(err)
	}
	r.Write(os.Stdout, bench.Machine(time.Now(), "make bench"))
}

// Limits of the design on how soon a line is visible, at the 99th percentile.
const (
	freshRaw    = 2 * time.Second
	freshRollup = 6 * time.Second
)

// TestSoakFreshness measures how soon lines are visible at 20,000 lines/s.
func TestSoakFreshness(t *testing.T) {
	if os.Getenv("MILLRACE_SOAK") == "" {
		t.Skip("takes minutes and the whole machine: make soak")
	}
	const rate = 20_000
	s := benchServer(t, "")
	load := bench.Load{Rate: rate, For: benchFor(t, "SOAK_SECONDS", 300)}
	senders, err := load.Prepare(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type answer struct {
		f   bench.Freshness
		err error
	}
	fresh := make(chan answer, 1)
	go func() {
		f, err := bench.Fresh(ctx, s.URL)
		fresh <- answer{f, err}
	}()
	sent, err := senders.Run(ctx)
	cancel()
	a := <-fresh
	if err != nil || a.err != nil {
		t.Fatal(err, a.err)
	}
	if got := float64(sent.Lines) / sent.Elapsed.Seconds(); got < 0.97*rate {
		t.Errorf("only %.0f lines/s were accepted", got)
	}
	a.f.Write(os.Stdout, bench.Machine(time.Now(), "make soak"), fmt.Sprintf("%d lines/s for %.0f s", rate, sent.Elapsed.Seconds()))
	if a.f.Missing > 0 || a.f.Raw.P99 > freshRaw || a.f.Rollup.P99 > freshRollup {
		t.Errorf("raw rows %s, rollups %s at the 99th percentile, %d lines never seen; want at most %s and %s",
			a.f.Raw.P99, a.f.Rollup.P99, a.f.Missing, freshRaw, freshRollup)
	}
}

// TestSoakDisk measures the disk per row at a moderate rate: small transactions
// are where a column store wastes most.
func TestSoakDisk(t *testing.T) {
	if os.Getenv("MILLRACE_SOAK") == "" {
		t.Skip("takes minutes: make soak")
	}
	s := benchServer(t, "")
	r, err := bench.Run(t.Context(), s, bench.Load{Rate: 2000, Lines: 200, For: benchFor(t, "SOAK_SECONDS", 600)})
	if err != nil {
		t.Fatal(err)
	}
	if logs, err := s.Stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, logs)
	}
	if r.Disk, err = bench.DiskUse(s.Data); err != nil {
		t.Fatal(err)
	}
	r.Write(os.Stdout, bench.Machine(time.Now(), "make soak"))
}
