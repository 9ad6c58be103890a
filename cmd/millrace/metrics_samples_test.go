package main

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/pipeline"
)

func TestSamplesProblem(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := func(used int64, later time.Duration, want string) {
		t.Helper()
		st := pipeline.SampleStatus{DetailSince: at, DetailBytes: used, DetailLimit: 4 << 20}
		if got := samplesProblem(st, at.Add(later)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%d bytes, %v later: %q, want %q", used, later, got, want)
		}
	}
	f(0, 0, "")
	f(3<<20-1, time.Minute, "")
	f(3<<20, time.Minute, "pipeline.exceptions.detail_bytes")
	f(4<<20, time.Minute, "4MiB")
	f(4<<20, 10*time.Minute, "")
	if got := samplesProblem(pipeline.SampleStatus{}, at); got != "" {
		t.Errorf("without a budget: %q", got)
	}
}
