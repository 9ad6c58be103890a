//go:build linux

package meta

import (
	"context"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
	"github.com/millrace/millrace/internal/pgtest"
)

func openPostgres(t testing.TB, url string) *Postgres {
	t.Helper()
	p, err := OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatalf("%v (%s)", err, millrace.ErrorHint(err))
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// runSQL runs statements as the superuser, beside the tests.
func runSQL(t testing.TB, url string, statements ...string) {
	t.Helper()
	ctx := context.Background() // also in Cleanup
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

var schemas atomic.Int64

// with returns an address with one more parameter.
func with(t testing.TB, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// schema returns the address of an empty schema, which is sooner made than a
// database.
func schema(t testing.TB, s *pgtest.Server) string {
	t.Helper()
	name := fmt.Sprintf("s%d", schemas.Add(1))
	runSQL(t, s.URL("postgres"), "CREATE SCHEMA "+name)
	return with(t, s.URL("postgres"), "search_path", name)
}

// TestPostgres runs what does its server no harm on one server.
func TestPostgres(t *testing.T) {
	s := pgtest.Start(t, "max_connections=60")
	t.Run("meta", func(t *testing.T) {
		metatest.Run(t, func(t *testing.T) millrace.Meta { return openPostgres(t, schema(t, s)) })
	})
	t.Run("commits", func(t *testing.T) {
		metatest.RunCommits(t, func(t *testing.T) millrace.Commits { return openPostgres(t, schema(t, s)) })
	})
	t.Run("locks", func(t *testing.T) {
		metatest.RunLocks(t, func(t *testing.T) millrace.Locks { return openPostgres(t, schema(t, s)) })
	})
	t.Run("nodes", func(t *testing.T) {
		metatest.RunNodes(t, func(t *testing.T) millrace.Nodes { return openPostgres(t, schema(t, s)) })
	})
	t.Run("issues", func(t *testing.T) {
		metatest.RunIssues(t, func(t *testing.T) millrace.Issues { return openPostgres(t, schema(t, s)) })
	})
	for name, test := range map[string]func(*testing.T, *pgtest.Server){
		"open at once": testOpenAtOnce, "open failures": testOpenFailures, "prune": testPrune, "clock": testClock,
		"restored backup": testRestored, "connections cut": testConnectionsCut, "answers lost": testAnswersLost,
		"server says no": testServerSaysNo, "version before": testVersionBefore, "takeover": testTakeover, "round trips": testRoundTrips,
		"issue answers lost": testIssueAnswersLost, "issue deadlocks": testIssueDeadlocks, "big reports": testBigReports,
		"issues beside the version before": testIssuesBesideVersionBefore,
		"long names of issues":             func(t *testing.T, s *pgtest.Server) { longNames(t, openPostgres(t, schema(t, s))) },
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
}

// Of many nodes that start at once one migrates, and all work.
func testOpenAtOnce(t *testing.T, s *pgtest.Server) {
	address := schema(t, s)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			p, err := OpenPostgres(t.Context(), address)
			if err != nil {
				t.Error(err)
				return
			}
			if err := p.CreateKey(t.Context(), metatest.Key(i, millrace.ScopeRead)); err != nil {
				t.Error(err)
			}
			_ = p.Close()
			if _, err := p.Keys(t.Context()); millrace.ErrorCode(err) != millrace.ErrUnavailable {
				t.Errorf("after Close: %v", err)
			}
		})
	}
	wg.Wait()
	if keys, err := openPostgres(t, address).Keys(t.Context()); err != nil || len(keys) != 6 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// A node of the version before, which knows nothing of limits, works beside the
// new one, and its database is brought up to date while it does.
func testVersionBefore(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	runSQL(t, address, "DROP TABLE key_usage", `ALTER TABLE keys DROP COLUMN expires, DROP COLUMN event_rate, DROP COLUMN byte_rate,
		DROP COLUMN event_burst, DROP COLUMN byte_burst, DROP COLUMN day_events, DROP COLUMN day_bytes`)
	_ = p.Close()
	before, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = before.Close(ctx) }()
	works := func(n int) {
		t.Helper()
		k := metatest.Key(n, millrace.ScopeIngest)
		if _, err := before.Exec(ctx, insertKeyBefore, k.ID, k.Name, k.Project, "ingest", k.Hash, k.Created.UnixNano(), 0); err != nil {
			t.Fatal(err)
		}
		var id string
		if err := before.QueryRow(ctx, "SELECT id FROM keys WHERE hash = $1", k.Hash).Scan(&id); err != nil || id != k.ID {
			t.Fatalf("%q, %v", id, err)
		}
	}
	works(1)
	for n := range 2 { // the second finds all there
		p = openPostgres(t, address)
		works(2 + n)
		want := metatest.Key(1, millrace.ScopeIngest)
		if got, err := p.KeyByHash(ctx, want.Hash); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		_ = p.Close()
	}
	var version int
	if err := before.QueryRow(ctx, "SELECT max(version_id) FROM millrace_schema").Scan(&version); err != nil || version != 2 {
		t.Errorf("schema version %d, %v: the version before knows 2", version, err)
	}
}

func (p *Postgres) forgetPruned() { p.pruned.Store(0) }

// testPrune has flushes of every state, some of which ended long ago.
func testPrune(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	prune(t, p, func(sql string) { runSQL(t, address, sql) })
	// The last that began stays, whatever its state.
	runSQL(t, address, "UPDATE flushes SET state = 1, ended = 1")
	p.pruned.Store(0)
	last, err := p.Begin(ctx, millrace.SinkEvents, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Cut(ctx)
	if err != nil || len(c.Open) != 1 || c.Newest != last.ID {
		t.Errorf("cut %+v, %v", c, err)
	}
}

// A clock that is set back does not reach flushes.
func testClock(t *testing.T, s *pgtest.Server) {
	address := schema(t, s)
	p := openPostgres(t, address)
	clockSetBack(t, p, func(sql string) { runSQL(t, address, sql) })
}

// After an older backup was restored no flush gets a number that one had.
func testRestored(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	before, err := p.Begin(ctx, millrace.SinkEvents, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	runSQL(t, address, "DELETE FROM flushes; SELECT setval('flush_ids', 1000)")
	time.Sleep(5 * time.Millisecond) // more than there were flushes
	after, err := openPostgres(t, address).Begin(ctx, millrace.SinkEvents, nil, "")
	if err != nil || after.ID <= before.ID {
		t.Errorf("flush %+v, %v after %d", after, err, before.ID)
	}
}

const terminateOthers = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'millrace%'"

// Idle connections that are cut are replaced, also by calls that are not repeated.
func testConnectionsCut(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	at := millrace.Position{}
	for i := range int64(5) {
		f, err := p.Begin(ctx, millrace.SinkEvents, []int32{0}, "node")
		if err != nil {
			t.Fatal(err)
		}
		runSQL(t, address, terminateOthers)
		if _, err := p.Keys(ctx); err != nil {
			t.Fatal(err)
		}
		runSQL(t, address, terminateOthers)
		// The first connection may be found dead only by what is sent.
		to := metatest.At(0, i+1)
		c := &millrace.Commit{Sink: millrace.SinkEvents, From: []millrace.Position{at}, Positions: []millrace.Position{to}}
		err = p.Commit(ctx, f.ID, c)
		if millrace.ErrorCode(err) == millrace.ErrUnavailable {
			err = p.Commit(ctx, f.ID, c)
		}
		if err != nil {
			t.Fatal(err)
		}
		at = to
	}
}

// testServerSaysNo has a server that turns read-only under the nodes, and back.
func testServerSaysNo(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	const set, apply = "ALTER SYSTEM SET default_transaction_read_only = ", "SELECT pg_reload_conf()"
	writable := func() {
		runSQL(t, s.URL("postgres"), "SET default_transaction_read_only = off", set+"off", apply)
	}
	t.Cleanup(writable)
	f, err := p.Begin(ctx, millrace.SinkEvents, []int32{0}, "node")
	if err != nil {
		t.Fatal(err)
	}
	runSQL(t, s.URL("postgres"), set+"on", apply)
	c := &millrace.Commit{Sink: millrace.SinkEvents, Positions: []millrace.Position{metatest.At(0, 1)}}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// Servers read their configuration a moment later.
		if err = p.Commit(ctx, f.ID, c); err != nil || time.Now().After(end) {
			break
		}
		if f, err = p.Begin(ctx, millrace.SinkEvents, []int32{0}, "node"); err != nil {
			break
		}
	}
	if millrace.ErrorCode(err) != millrace.ErrUnavailable || !strings.Contains(millrace.ErrorHint(err), "promote") {
		t.Fatalf("error %v, hint %q", err, millrace.ErrorHint(err))
	}
	writable()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = p.Begin(ctx, millrace.SinkEvents, []int32{0}, "node"); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the server takes writes again, but: %v", err)
		}
	}
}
