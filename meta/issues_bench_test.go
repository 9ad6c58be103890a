package meta

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// benchSee measures See as workers call it: once a second, mostly of what is
// known, and at the start of a bad release of much that is new.
func benchSee(b *testing.B, m millrace.Issues) {
	now := time.Unix(1_800_000_000, 0)
	see := func(list []millrace.Sighting) {
		if _, missing, err := m.See(b.Context(), list, now); err != nil || len(missing) > 0 {
			b.Fatal(missing, err)
		}
	}
	fresh := 0
	some := func(n, report int) (list []millrace.Sighting) {
		for range n {
			fresh++
			s := metatest.Sighting(fmt.Sprintf("%032x", fresh*0x9e3779b1), 1)
			s.Title = "java.lang.IllegalStateException: the order 4711 was not found in any of the stores that were asked"
			s.Culprit, s.Report = "com.example.shop.checkout.OrderService in completeOrder", make([]byte, report)
			list = append(list, s)
		}
		return list
	}
	known := some(20_000, 1000)
	for part := range slices.Chunk(known, 2000) {
		see(part)
	}
	tick := int64(0)
	for _, n := range []int{50, 5000} {
		b.Run(fmt.Sprintf("%d known", n), func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				tick++
				list := slices.Clone(known[:n])
				for i := range list {
					s := &list[i]
					s.First, s.Last, s.Key, s.Report = s.First+tick*1e9, s.Last+tick*1e9, "", nil
				}
				start := time.Now()
				see(list)
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
		})
	}
	b.Run("1000 new", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			list := some(1000, 10<<10)
			b.StartTimer()
			see(list)
		}
	})
	b.Run("list 50 of 20000", func(b *testing.B) {
		for b.Loop() {
			if list, err := m.ListIssues(b.Context(), millrace.IssueQuery{Project: millrace.DefaultProject, Text: "order", Limit: 50}); err != nil || len(list) != 50 {
				b.Fatal(len(list), err)
			}
		}
	})
}

func BenchmarkSQLiteIssues(b *testing.B) {
	m, err := Open(b.Context(), filepath.Join(b.TempDir(), "meta.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	benchSee(b, m)
}
