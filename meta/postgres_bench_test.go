//go:build linux

package meta

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/metatest"
	"github.com/millrace/millrace/internal/pgtest"
)

func BenchmarkPostgres(b *testing.B) {
	s := pgtest.Start(b)
	m := openPostgres(b, with(b, s.URL("postgres"), "pool_max_conns", "8"))
	benchFlush(b, m)
	b.Run("cut", func(b *testing.B) {
		for b.Loop() {
			if _, err := m.Cut(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// testRoundTrips counts what a flush costs on the wire: everything else is done
// by the server.
func testRoundTrips(t *testing.T, s *pgtest.Server) {
	ctx := t.Context()
	proxy := faultproxy.Start(t, s.Addr())
	p := openPostgres(t, with(t, behind(t, proxy, schema(t, s)), "pool_max_conns", "1"))
	at := millrace.Position{}
	flush := func() {
		t.Helper()
		f, err := p.Begin(ctx, millrace.SinkEvents, []int32{0}, "node")
		if err != nil {
			t.Fatal(err)
		}
		to := metatest.At(0, at.Offset+1)
		err = p.Commit(ctx, f.ID, &millrace.Commit{
			Sink: millrace.SinkEvents, From: []millrace.Position{at}, Positions: []millrace.Position{to},
			Expect: []millrace.State{{Name: "rollups"}}, Clients: []millrace.ClientWindow{{Client: "c", Updated: 1_900_000_000e9}},
			Gaps: []millrace.Gap{{Sink: millrace.SinkEvents}}, Admitted: []millrace.Admission{{Rollup: "r"}}, Retired: []millrace.Admission{{Rollup: "r"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		at = to
	}
	flush() // which prepares the statements
	const flushes = 10
	before := proxy.Stats().Exchanges
	for range flushes {
		flush()
	}
	// A machine that is very busy may let the connection idle long enough for a ping.
	if n := proxy.Stats().Exchanges - before; n > 2*flushes+2 {
		t.Errorf("%d round trips for %d flushes, want 2 each", n, flushes)
	}
}

func BenchmarkPostgresIssues(b *testing.B) {
	benchSee(b, openPostgres(b, pgtest.Start(b).URL("postgres")))
}
