package issue

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/meta"
	"github.com/millrace/millrace/query"
)

// largeLists are the lists that BenchmarkList asks for.
var largeLists = []struct {
	name string
	req  ListRequest
}{
	{"all", ListRequest{}},
	{"phases", ListRequest{Phases: []string{"new", "ongoing", "regressed"}, Sparkline: true}},
	{"text", ListRequest{Text: "T0001"}},
	{"users", ListRequest{Order: OrderUsers}},
	{"trend", ListRequest{Order: OrderTrend}},
}

// BenchmarkList asks for pages of 10,000 issues with 50,000 fingerprints in real
// stores.
func BenchmarkList(b *testing.B) {
	const prints, perIssue, events = 50_000, 5, 150_000
	w := largeWorld(b, prints, perIssue, events)
	w.forgetful()
	r := w.lastDays(7)
	for _, c := range largeLists {
		c.req.Project, c.req.Range, c.req.Env = testProject, r, EnvAll
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				page, err := w.service.List(b.Context(), c.req)
				ok(b, err)
				if len(page.Rows) < 10 || c.req.Text == "" && page.Total < prints/perIssue*9/10 {
					b.Fatalf("%d rows of %d", len(page.Rows), page.Total)
				}
			}
		})
	}
	b.Run("detail", func(b *testing.B) {
		id := millrace.IssueID(testProject, w.firstKey())
		for b.Loop() {
			_, err := w.service.Get(b.Context(), testProject, id, "", r)
			ok(b, err)
		}
	})
}

func (w *world) firstKey() string {
	keys, err := w.issues.IssueKeys(w.t.Context(), testProject, nil)
	ok(w.t, err)
	for k := range keys {
		return k
	}
	return ""
}

// largeWorld is a world on DuckDB and SQLite with issues of several fingerprints.
func largeWorld(b *testing.B, prints, perIssue, events int) *world {
	b.Helper()
	// The sets that answer are those of the defaults; the others would only take time.
	f := []string{"project", "env", "fingerprint"}
	w := diskWorld(b, f, append(slices.Clone(f), "release"), append(slices.Clone(f), "host"), append(slices.Clone(f), "service"))
	w.service.fresh.most = prints
	started := time.Now()
	_, err := w.service.Regroup(b.Context(), testProject, Grouping{Rules: groupings[1].Rules}, "ann", "")
	ok(b, err)
	rnd := rand.New(rand.NewPCG(1, 1))
	var list []millrace.Event
	var seen []millrace.Sighting
	for n := range events {
		k := n
		if n >= prints {
			k = rnd.IntN(prints)
		}
		e := thrown{
			fingerprint: fmt.Sprintf("2:%016x", k), typ: fmt.Sprintf("T%05d", k/perIssue), env: "production", service: "api",
			host: fmt.Sprint("host", k%30), release: "1.0", user: fmt.Sprint("user", rnd.IntN(5000)),
			at: w.clock.now.Add(-time.Duration(rnd.Int64N(int64(14 * day)))), weight: 1,
		}
		event := e.event(testProject)
		if n < prints {
			report, _ := event.Attr(millrace.AttrReport)
			seen = append(seen, millrace.Sighting{
				Project: testProject, Fingerprint: e.fingerprint, Env: e.env, First: event.Time, Last: w.clock.now.UnixNano(),
				Type: e.typ, Title: "it broke", Report: []byte(report.String()),
			})
		}
		list = append(list, event)
	}
	for part := range slices.Chunk(seen, 5000) {
		ok(b, w.service.See(b.Context(), part))
	}
	b.Logf("%v for issues", time.Since(started))
	w.engine.Fold(w.clock.now.UnixNano(), list)
	ok(b, w.store.WriteCells(b.Context(), w.engine.Drain().Cells, &millrace.Commit{Sink: millrace.SinkRollup}))
	for more := true; more; {
		more, err = w.store.Maintain(b.Context(), w.clock.now)
		ok(b, err)
	}
	b.Logf("%v for all", time.Since(started))
	return w
}

// BenchmarkListSmall asks what a page that is watched asks: two issues, of which
// one is a storm, counted for an hour in flushes of 5 s.
func BenchmarkListSmall(b *testing.B) {
	w := smallWorld(b)
	req := ListRequest{Project: testProject, Range: query.Range{From: w.clock.now.Add(-time.Hour), To: w.clock.now}, Sparkline: true}
	for _, name := range []string{"again", "changed"} {
		if name == "changed" {
			w.forgetful()
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				page, err := w.service.List(b.Context(), req)
				ok(b, err)
				if len(page.Rows) != 2 || page.Rows[0].Users < 1000 {
					b.Fatalf("%d rows", len(page.Rows))
				}
			}
		})
	}
}

// forgetful makes every question one to the store, as if cells changed before each.
func (w *world) forgetful() {
	deps := query.Deps{Store: struct{ millrace.Store }{w.store}, Schemas: w.query.Schemas(), Now: w.clock.Now}
	w.service.deps.Query = query.New(deps, query.DefaultOptions())
}

// smallWorld is a world on DuckDB and SQLite in which two issues went on for an hour.
func smallWorld(b *testing.B) *world {
	b.Helper()
	w := diskWorld(b)
	now := w.clock.now
	for at := now.Add(-time.Hour); at.Before(now); at = at.Add(5 * time.Second) {
		var list []millrace.Event
		for n := range 21 {
			e := thrown{
				fingerprint: "2:00000000000000aa", typ: "Storm", env: "production", service: "api", host: "a", release: "1.0",
				user: fmt.Sprint("user", int(at.Unix()%5000)+n), at: at.Add(time.Duration(n) * 100 * time.Millisecond), weight: 1000,
			}
			if n == 20 {
				e.fingerprint, e.typ, e.weight = "2:00000000000000bb", "Other", 1
			}
			list = append(list, e.event(testProject))
			if at.Equal(now.Add(-time.Hour)) {
				ok(b, w.service.See(b.Context(), []millrace.Sighting{{
					Project: testProject, Fingerprint: e.fingerprint, Env: e.env, First: list[n].Time, Last: list[n].Time, Type: e.typ, Title: "it broke",
				}}))
			}
		}
		w.engine.Fold(at.UnixNano(), list)
		ok(b, w.store.WriteCells(b.Context(), w.engine.Drain().Cells, &millrace.Commit{Sink: millrace.SinkRollup}))
		for more := true; more; {
			var err error
			more, err = w.store.Maintain(b.Context(), at)
			ok(b, err)
		}
	}
	return w
}

// diskWorld is an empty world on DuckDB and SQLite.
func diskWorld(b *testing.B, sets ...[]string) *world {
	b.Helper()
	dir := b.TempDir()
	store, err := duckdb.Open(b.Context(), duckdb.DefaultOptions(), filepath.Join(dir, "store"), time.Now, slog.New(slog.DiscardHandler))
	ok(b, err)
	b.Cleanup(func() { _ = store.Close() })
	people, err := meta.Open(b.Context(), filepath.Join(dir, "meta"))
	ok(b, err)
	b.Cleanup(func() { _ = people.Close() })
	return newWorld(b, store, people, sets...)
}
