package main

import (
	"os"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/bench"
)

// TestBenchSearch measures how soon questions are answered over BENCH_ROWS rows
// (20,000,000), stored over HTTP before.
func TestBenchSearch(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench")
	}
	s := benchServer(t, benchOptions{})
	r, err := bench.Search(t.Context(), s, bench.SearchJob{Rows: int64(benchNumber(t, "BENCH_ROWS", 20_000_000))})
	if err != nil {
		t.Fatal(err)
	}
	r.Write(os.Stdout, bench.Machine(time.Now(), "make bench"))
}
