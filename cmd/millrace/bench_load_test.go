package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
)

// benchCase is a server under full load. What is left out is the default: the
// default rollups, all processors, questions asked meanwhile, lines of now.
type benchCase struct {
	name    string
	hundred bool // besides the default rollups, the 100 sets with count and sum
	cores   int
	unasked bool    // no questions
	past    bool    // lines of past hours, one for each pastShare
	times   float64 // BENCH_SECONDS; 0: once

	floor, target float64 // lines/s wanted
}

// pastShare is how long lines of one past hour are sent: long enough for a minute
// to hold as many lines for its cells as it does live, at the speed wanted.
const pastShare = 10 * time.Second

// Lines of past hours need longer: deltas are compacted after two to three
// minutes, and only then hours are computed.
var benchCases = []benchCase{
	{name: "default rollups, no questions", unasked: true, floor: 220_000, target: 300_000},
	{name: "100 sets, no questions", hundred: true, unasked: true, floor: 120_000, target: 200_000},
	{name: "default rollups"},
	{name: "100 sets", hundred: true},
	{name: "default rollups, one core", cores: 1, times: 0.25},
	{name: "100 sets, one core", hundred: true, cores: 1, times: 0.25},
	{name: "default rollups, hours and days", past: true, times: 2},
	{name: "100 sets, hours and days", hundred: true, past: true, times: 2},
}

// job returns the load of a case that lasts for a time.
func (c *benchCase) job(d time.Duration) bench.Job {
	if c.times > 0 {
		d = time.Duration(c.times * float64(d))
	}
	job := bench.Job{Load: bench.Load{For: d}, Questions: bench.Questions()}
	if c.past {
		hours := max(2, int(d/pastShare))
		// All hours have ended some hours ago, and so has a day unless it is early.
		job.Load.Hours, job.Load.From = hours, time.Now().Truncate(time.Hour).Add(-time.Duration(hours+6)*time.Hour)
		job.Settle, job.Questions = true, bench.PastQuestions()
	}
	if c.hundred {
		job.Counts = bench.HundredCounts()
		job.Questions = append(job.Questions, bench.HundredQuestions()...)
	}
	if c.unasked {
		job.Questions = nil
	}
	return job
}

func (c *benchCase) options() benchOptions {
	o := benchOptions{cores: c.cores}
	if c.hundred {
		o.config = bench.Hundred()
	}
	return o
}

// TestBench measures throughput, CPU by stage, memory, disk and the latency of
// queries under full load.
func TestBench(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench")
	}
	seconds := benchFor(t, "BENCH_SECONDS", 120)
	machine := bench.Machine(time.Now(), "make bench")
	var rows []bench.Row
	for _, c := range benchCases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := exec.LookPath("taskset"); err != nil && c.cores > 0 {
				t.Skip("taskset, of util-linux, is not there")
			}
			r := benchRun(t, c.options(), c.job(seconds), true)
			r.Write(os.Stdout, c.name, machine)
			rows = append(rows, bench.Row{Name: c.name, Result: r, Floor: c.floor, Target: c.target})
		})
	}
	bench.Summary(os.Stdout, machine, rows)
}

// benchRun starts a server, does a job and stops the server. With profiled, the
// result has the CPU by stage.
func benchRun(t *testing.T, o benchOptions, job bench.Job, profiled bool) *bench.Result {
	t.Helper()
	if profiled {
		o.profile = filepath.Join(t.TempDir(), "cpu.pprof")
		if dir := os.Getenv("BENCH_PROFILES"); dir != "" {
			o.profile = filepath.Join(dir, filepath.Base(t.Name())+".pprof")
		}
	}
	s := benchServer(t, o)
	r, err := bench.Run(t.Context(), s, job)
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
	if o.profile != "" {
		if r.Stages, err = bench.Profile(t.Context(), os.Args[0], o.profile); err != nil {
			t.Error(err)
		}
	}
	if err := os.RemoveAll(s.Data); err != nil { // the next case needs the room
		t.Error(err)
	}
	return r
}

// TestBenchRatio sends equal lines to this millrace and to the one at
// BENCH_BINARY by turns, and compares how long each takes until they are stored
// and counted.
func TestBenchRatio(t *testing.T) {
	other := os.Getenv("BENCH_BINARY")
	if os.Getenv("MILLRACE_BENCH") == "" || other == "" {
		t.Skip("takes minutes: make bench BENCH_BINARY=/path/to/another/millrace")
	}
	lines, rounds := benchNumber(t, "BENCH_LINES", 3_000_000), benchNumber(t, "BENCH_ROUNDS", 2)
	for _, c := range benchCases[:2] {
		t.Run(c.name, func(t *testing.T) {
			var pairs []bench.Pair
			for round := range rounds {
				var p bench.Pair
				turns := []func(){
					func() { p.Other = benchOne(t, c, other, lines) },
					func() { p.This = benchOne(t, c, "", lines) },
				}
				if round%2 == 1 { // so that a machine that grows slower favours neither
					slices.Reverse(turns)
				}
				for _, turn := range turns {
					turn()
				}
				pairs = append(pairs, p)
			}
			bench.Ratio(os.Stdout, c.name+": this millrace and "+other, bench.Machine(time.Now(), "make bench BENCH_BINARY="+other), pairs)
		})
	}
}

// benchOne does a case with a number of lines.
func benchOne(t *testing.T, c benchCase, binary string, lines int) *bench.Result {
	t.Helper()
	job := c.job(time.Hour)
	job.Load.Total = int64(lines)
	o := c.options()
	o.binary = binary
	return benchRun(t, o, job, false)
}

// TestBenchProtocols sends equal lines as NDJSON, OTLP/HTTP and _bulk by turns, to
// a new server each time, and compares how long each takes until they are stored
// and counted.
func TestBenchProtocols(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench-load")
	}
	lines, rounds := benchNumber(t, "BENCH_LINES", 3_000_000), benchNumber(t, "BENCH_ROUNDS", 2)
	var all []bench.Turn
	for round := range rounds {
		wires := bench.Wires()
		if round%2 == 1 { // so that a machine that grows slower favours none
			slices.Reverse(wires)
		}
		for _, wire := range wires {
			t.Run(string(wire), func(t *testing.T) {
				c := &benchCases[0]
				job := c.job(time.Hour)
				job.Load.Total, job.Load.Wire = int64(lines), wire
				r := benchRun(t, c.options(), job, os.Getenv("BENCH_PROFILES") != "")
				all = append(all, bench.Turn{Wire: wire, Result: r})
				t.Logf("%.0f lines/s, drained", r.Sustained())
			})
		}
	}
	bench.Protocols(os.Stdout, bench.Machine(time.Now(), "make bench-load BENCH_RUN='^TestBenchProtocols$$'"), all)
}

// benchNumber returns a positive number from the environment, or the default.
func benchNumber(t *testing.T, name string, n int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return n
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q: want a positive number", name, s)
	}
	return n
}
