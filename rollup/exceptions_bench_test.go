package rollup

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

// exceptionStream makes exceptions as a company of ten services has them: a
// thousand faults, few of which make most of the noise, on 200 hosts, in four
// releases and two environments, for 100,000 users.
func exceptionStream(n int) []millrace.Event {
	rng := rand.New(rand.NewPCG(7, 1))
	zipf := rand.NewZipf(rng, 1.2, 4, 999)
	events := make([]millrace.Event, n)
	for i := range events {
		fault := int(zipf.Uint64())
		service := fault % 10
		env := "production"
		if rng.IntN(20) == 0 {
			env = "staging"
		}
		class := millrace.StringValue("system")
		if fault%4 == 0 {
			class = millrace.StringValue("business")
		}
		events[i] = millrace.Event{
			Time: 1_700_000_000_000_000_000 + int64(i)*20_000, Weight: 1, Kind: millrace.KindException, Project: "default",
			Service: fmt.Sprintf("service-%d", service), Host: fmt.Sprintf("host-%d-%d", service, rng.IntN(20)), Env: env,
			Release: fmt.Sprintf("1.%d.0", min(rng.IntN(8), 3)),
			Attrs: []millrace.Attr{
				{Key: millrace.AttrType, Value: millrace.StringValue(fmt.Sprintf("com.example.Type%dException", fault%150))},
				{Key: "exception_message", Value: millrace.StringValue("no")},
				{Key: millrace.AttrFingerprint, Value: millrace.StringValue(fmt.Sprintf("2:%016x", fault*7919))},
				{Key: millrace.AttrErrorClass, Value: class},
				{Key: millrace.AttrUser, Value: millrace.StringValue(fmt.Sprintf("user-%d", rng.IntN(100_000)))},
			},
		}
	}
	return events
}

// BenchmarkExceptions is what the default rollup of exceptions costs, and what
// parts of it would: 50,000 exceptions a second, drained every 5 s.
func BenchmarkExceptions(b *testing.B) {
	def := Defaults()[1]
	events := exceptionStream(1_000_000)
	count := def
	count.Metrics = def.Metrics[:1]
	issues := def
	issues.Sets = slices.DeleteFunc(slices.Clone(def.Sets), func(s []string) bool { return len(s) == 0 || s[0] != "project" })
	before := count
	before.Sets = slices.DeleteFunc(slices.Clone(def.Sets), func(s []string) bool { return len(s) > 0 && s[0] == "project" })
	for _, c := range []struct {
		name string
		def  Definition
	}{{"default", def}, {"without-users", count}, {"issues-only", issues}, {"design-only-without-users", before}} {
		b.Run(c.name, func(b *testing.B) {
			var v millrace.Violations
			r := Compile(c.def, "bench", &v)
			if r == nil {
				b.Fatal(v)
			}
			var cells, bytes, drains, fed int
			var size int64
			for b.Loop() {
				e := NewEngine([]*Rollup{r}, Limits{Values: 1 << 20, Workers: 1})
				cells, bytes, drains = 0, 0, 0
				for from := 0; from < len(events); from += 1000 {
					e.Fold(events[0].Time, events[from:from+1000])
					if from%250_000 != 249_000 {
						continue
					}
					size, fed = max(size, e.Size()), len(e.cubes[0].fed)
					out := e.Drain()
					drains++
					for _, batch := range out.Cells {
						cells += len(batch.Bucket)
						for _, s := range batch.States {
							for _, blob := range s.Blobs {
								bytes += len(blob)
							}
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
			b.ReportMetric(float64(cells)/float64(drains), "cells/flush")
			b.ReportMetric(float64(bytes)/float64(drains)/1024, "KB-sketches/flush")
			b.ReportMetric(float64(size)/(1<<20), "MB")
			b.ReportMetric(float64(fed), "tables-fed")
			b.ReportMetric(float64(len(c.def.Sets)), "sets")
		})
	}
}
