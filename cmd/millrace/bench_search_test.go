package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
)

// TestBenchSearch measures how soon questions are answered over BENCH_ROWS rows
// (20,000,000), stored over HTTP before, one in a hundred an exception of
// BENCH_FAULT_BYTES (2500). BENCH_DATA=DIR keeps what is stored there
// and, the next time, asks only.
func TestBenchSearch(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench")
	}
	job := bench.SearchJob{Rows: int64(benchNumber(t, "BENCH_ROWS", 20_000_000)), Asks: benchNumber(t, "BENCH_ASKS", 30), FaultBytes: benchNumber(t, "BENCH_FAULT_BYTES", 2500)}
	o := benchOptions{profile: os.Getenv("BENCH_PROFILE")}
	if kept := os.Getenv("BENCH_DATA"); kept != "" {
		job.Kept, o.data = filepath.Join(kept, "stored.json"), filepath.Join(kept, "data")
	}
	r, err := bench.Search(t.Context(), benchServer(t, o), job)
	if err != nil {
		t.Fatal(err)
	}
	r.Write(os.Stdout, bench.Machine(time.Now(), "make bench"))
}
