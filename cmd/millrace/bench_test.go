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

// benchOptions is how a server is started.
type benchOptions struct {
	profile string // where to write its CPU profile; empty: none
	config  string // YAML
	binary  string // of another millrace; empty is this one
	cores   int    // processors it may use; 0: all
	data    string // its directory; empty: a new one
}

// benchServer starts a server.
func benchServer(t *testing.T, o benchOptions) *bench.Server {
	t.Helper()
	data := o.data
	if data == "" {
		data = benchDir(t)
	}
	serve := []string{"serve", "--data", data, "--http", "127.0.0.1:0", "--log", "warn"}
	if o.config != "" {
		path := filepath.Join(t.TempDir(), "bench.yaml")
		if err := os.WriteFile(path, []byte(o.config), 0o600); err != nil {
			t.Fatal(err)
		}
		serve = append(serve, "--config", path)
	}
	s, err := bench.Start(benchCommand(o, serve), data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.Stop(); err != nil { // which has the end of its log
			t.Errorf("stop: %v", err)
		}
	})
	return s
}

// benchCommand returns the command of a server with the arguments serve.
func benchCommand(o benchOptions, serve []string) *exec.Cmd {
	args := append([]string{o.binary}, serve...)
	env := os.Environ()
	if o.binary == "" {
		args = []string{os.Args[0], "-test.run=^TestBenchServer$", "-test.timeout=0"}
		if o.profile != "" {
			args = append(args, "-test.cpuprofile="+o.profile)
		}
		env = append(env, benchServe+"="+strings.Join(serve, "\n"))
	}
	if o.cores > 0 {
		env = append(env, "GOMAXPROCS="+strconv.Itoa(o.cores))
		args = append([]string{"taskset", "-c", "0-" + strconv.Itoa(o.cores-1)}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	return cmd
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
	return time.Duration(benchNumber(t, name, seconds)) * time.Second
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
	s := benchServer(t, benchOptions{})
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
	s := benchServer(t, benchOptions{})
	r, err := bench.Run(t.Context(), s, bench.Job{
		Load: bench.Load{Rate: 2000, Lines: 200, For: benchFor(t, "SOAK_SECONDS", 600)}, Questions: bench.Questions(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if logs, err := s.Stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, logs)
	}
	if r.Disk, err = bench.DiskUse(s.Data); err != nil {
		t.Fatal(err)
	}
	r.Write(os.Stdout, "disk at a moderate rate", bench.Machine(time.Now(), "make soak"))
}
