package gen

import (
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestStreamFormsAgree compares what the decoder reads from a stream's lines
// with the same stream's events and columns.
func TestStreamFormsAgree(t *testing.T) {
	const n = 3000
	o := Options{Deployments: []Deployment{{Service: "storefront", Start: noon, Length: time.Hour}}}
	decoded := decodeAll(t, NewStreamAt(3, noon, o).AppendJSON(nil, n))
	events := make([]millrace.Event, n)
	NewStreamAt(3, noon, o).Events(events)
	s := NewStreamAt(3, noon, o)
	var c Columns
	s.Columns(&c, n)
	clients := s.Clients()
	if len(decoded) != n {
		t.Fatalf("%d of %d lines decoded", len(decoded), n)
	}
	for i := range events {
		a, b := &decoded[i], &events[i]
		if a.Time != b.Time || a.Time != c.Time[i] {
			t.Fatalf("event %d: times %d, %d, %d", i, a.Time, b.Time, c.Time[i])
		}
		for d, name := range Dimensions() {
			want, _ := a.Field(name)
			got, _ := b.Field(name)
			if want.String() == "" || got.String() != want.String() || s.Values(d)[c.Dims[d][i]] != want.String() {
				t.Fatalf("event %d: %s is %q, %q, %q", i, name, want, got, s.Values(d)[c.Dims[d][i]])
			}
		}
		for name, column := range map[string]string{"client_ip": clients[c.Clients[i]], "rt": millrace.FloatValue(c.RT[i]).String(), "bytes": millrace.IntValue(c.Bytes[i]).String()} {
			want, _ := a.Field(name)
			got, _ := b.Field(name)
			w, _ := want.Float()
			g, _ := got.Float()
			if w != g || got.String() != column {
				t.Fatalf("event %d: %s is %s, %s, %s", i, name, want, got, column)
			}
		}
		if a.Kind != b.Kind || a.Weight != b.Weight || a.HasTime != b.HasTime {
			t.Fatalf("event %d: %+v instead of %+v", i, b, a)
		}
	}
}

// TestStreamPace checks the rate and the share of late events, which are late
// by a minute in the mean.
func TestStreamPace(t *testing.T) {
	const n = 2 * StreamRate
	s := NewStreamAt(3, noon, Options{})
	var c Columns
	s.Columns(&c, n)
	if took := time.Duration(s.Arrival() - noon.UnixNano()); took != 2*time.Second {
		t.Errorf("%d events pass in %s", n, took)
	}
	late, sum := 0, time.Duration(0)
	for i, at := range c.Time {
		if behind := time.Duration(noon.UnixNano() + int64(i)*(1e9/StreamRate) - at); behind > 0 {
			late++
			sum += behind
		}
	}
	if share := float64(late) / n; share < 0.009 || share > 0.011 {
		t.Errorf("%.4f of the events are late", share)
	}
	if mean := sum / time.Duration(late); mean < 50*time.Second || mean > 70*time.Second {
		t.Errorf("late by %s in the mean", mean)
	}
}

// TestStreamCells checks how many cells a quarter of a second of the stream has
// in the hundred sets, apart from minutes: benchmarks depend on it. It is about
// 450,000 in 10 s and 650,000 in five minutes.
func TestStreamCells(t *testing.T) {
	s := NewStreamAt(1, noon, Options{})
	index := map[string]int{}
	for d, name := range Dimensions() {
		index[name] = d
	}
	var c Columns
	s.Columns(&c, StreamRate/4)
	cells := 0
	for _, set := range Sets(100) {
		seen := map[uint64]struct{}{}
		for i := range c.Time {
			key := uint64(0)
			for _, name := range set {
				key = key<<16 | uint64(c.Dims[index[name]][i])
			}
			seen[key] = struct{}{}
		}
		cells += len(seen)
	}
	if cells < 130_000 || cells > 150_000 {
		t.Errorf("%d cells", cells)
	}
}

func BenchmarkStreamColumns(b *testing.B) {
	s := NewStreamAt(1, noon, Options{})
	var c Columns
	b.ReportAllocs()
	for b.Loop() {
		s.Columns(&c, 4096)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*4096), "ns/event")
}

func BenchmarkStreamEvents(b *testing.B) {
	s := NewStreamAt(1, noon, Options{})
	events := make([]millrace.Event, 4096)
	b.ReportAllocs()
	for b.Loop() {
		s.Events(events)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*4096), "ns/event")
}
