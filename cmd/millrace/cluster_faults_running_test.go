package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/kafkatest"
	"github.com/millrace/millrace/internal/pgtest"
)

// gate is what stands between millrace and ClickHouse's HTTP port: it passes
// requests on unless a test has it do something else.
type gate struct {
	addr string
	pass http.Handler
	rude atomic.Pointer[http.HandlerFunc]
}

func newGate(t *testing.T, upstream string) *gate {
	g := &gate{pass: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: upstream})}
	g.addr = website(t, func(w http.ResponseWriter, r *http.Request) {
		if h := g.rude.Load(); h != nil {
			(*h)(w, r)
			return
		}
		g.pass.ServeHTTP(w, r)
	})
	return g
}

// to has the gate answer requests whose statement has a text by h, and pass on all
// others.
func (g *gate) to(text string, h http.HandlerFunc) {
	chosen := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Query().Get("query"), text) {
			h(w, r)
			_, _ = io.Copy(io.Discard, r.Body)
			return
		}
		g.pass.ServeHTTP(w, r)
	})
	g.rude.Store(&chosen)
}

// exception is an answer with one of ClickHouse's errors.
func chException(number int, text string) http.HandlerFunc {
	return answers(http.StatusInternalServerError, clickHouseHeaders("X-ClickHouse-Exception-Code", fmt.Sprint(number)),
		fmt.Sprintf("Code: %d. DB::Exception: %s. (FAULT) (version 26.7.1.1)", number, text))
}

// faulty is a cluster with one node whose servers go wrong.
type faulty struct {
	*cluster
	gate *gate
	node *instance
	sent int
}

// role is the user of PostgreSQL, who has no more rights than a database of its own.
const role, rolePassword = "node", "hunter2hunter2"

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	c := &cluster{t: t, nodes: map[string]*instance{}, addrs: map[string]string{}}
	f := &faulty{cluster: c}
	var err error
	c.kafka = kafkatest.Start(t, 1)
	c.click, c.postgres = chtest.Start(t, t.TempDir()), pgtest.Start(t)
	c.toClick, c.toPG = faultproxy.Start(t, c.click.Addr), faultproxy.Start(t, c.postgres.Addr())
	c.database = c.postgres.Database()
	f.gate = newGate(t, c.toClick.Addr)
	c.postgres.SQL("postgres", fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'; ALTER DATABASE test_1 OWNER TO %[1]s", role, rolePassword))
	c.config = fmt.Sprintf(`
queue: {broker: [%q], partitions: 2, replication: 1, timeout: 2s, group: {session_timeout: %s, heartbeat: 1s}}
clickhouse: {address: "clickhouse://%s/default?protocol=http", timeout: 2s, connect_timeout: 1s, retry: 1s}
meta: {address: "postgres://%s:%s@%s/test_1?sslmode=disable&connect_timeout=2"}
%s
memory: 1GiB
`, strings.Join(c.kafka.Addrs(), ", "), session, f.gate.addr, role, rolePassword, c.toPG.Addr, clusterIntervals)
	f.node, err = c.tryNode("one")
	if err != nil {
		t.Fatalf("%v\n%s", err, f.node.logs)
	}
	return f
}

// send posts lines, again and again until they are taken.
func (f *faulty) send(n int) (refused int) {
	f.t.Helper()
	var body strings.Builder
	for range n {
		f.sent++
		fmt.Fprintf(&body, `{"time":%q,"message":"line %d","status":200,"service":"s"}`+"\n", time.Now().Format(time.RFC3339Nano), f.sent)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.node.url+"/ingest?source=faults&client=c&seq="+fmt.Sprint(f.sent), strings.NewReader(body.String()))
		if err != nil {
			f.t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			f.t.Fatalf("%v\n%s", err, f.node.logs)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return refused
		}
		if resp.StatusCode != http.StatusServiceUnavailable && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusGatewayTimeout {
			f.t.Fatalf("ingest: %d %s", resp.StatusCode, text)
		}
		if refused++; time.Now().After(deadline) {
			f.t.Fatalf("ingest refuses for a minute: %d %s", resp.StatusCode, text)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// state is what the node says of itself.
func (f *faulty) state() (problems string, ready bool) {
	f.t.Helper()
	var st struct{ Problems []string }
	f.node.call(http.MethodGet, "/api/v1/status", nil, nil, &st)
	code, _ := f.node.call(http.MethodGet, "/readyz", nil, nil, nil)
	return strings.Join(st.Problems, "\n"), code == http.StatusOK
}

// visible waits until the node names the problem and is not ready.
func (f *faulty) visible(want string) {
	f.t.Helper()
	var problems string
	var ready bool
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if problems, ready = f.state(); strings.Contains(problems, want) && !ready {
			break
		}
	}
	if !strings.Contains(problems, want) || ready {
		f.t.Errorf("ready: %v; the problems do not name %q:\n%s", ready, want, problems)
	}
	if strings.Contains(problems, "hunter2") {
		f.t.Errorf("shows a password: %s", problems)
	}
}

// healthy waits until all lines are stored, each of them once by each sink, and
// the node is ready.
func (f *faulty) healthy() {
	f.t.Helper()
	var last string
	began := time.Now()
	for time.Since(began) < 40*time.Second {
		time.Sleep(100 * time.Millisecond)
		problems, ready := f.state()
		rows, err := f.rows("one")
		last = fmt.Sprintf("%d of %d rows (%v), ready %v, problems: %s", rows, f.sent, err, ready, problems)
		if err != nil || rows > int64(f.sent) {
			continue
		}
		if rows == int64(f.sent) && ready && problems == "" {
			f.exact()
			return
		}
	}
	f.t.Fatalf("not well again after %v: %s\n%s", time.Since(began), last, tail(f.node.logs.String()))
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// exact compares lines, rows, cells and accounts.
func (f *faulty) exact() {
	f.t.Helper()
	want := fmt.Sprint(f.sent)
	if got := f.node.sql("SELECT count(*), count(DISTINCT message) FROM events"); got[0][0] != want || got[0][1] != want {
		f.t.Errorf("rows, different messages: %v, want %s", got, want)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		got := f.node.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome = 'stored' GROUP BY sink")
		if got["events"] == want && got["rollup"] == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Errorf("accounts: %v, want %s", got, want)
			return
		}
	}
}

// runningFault goes wrong while lines come in. Its repair is returned by do.
type runningFault struct {
	name string
	want string // the problem; empty: all goes on
	do   func(f *faulty) (repair func())
}

func (f *faulty) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// rudely is a fault of the gate.
func rudely(statement string, h http.HandlerFunc) func(*faulty) func() {
	return func(f *faulty) func() {
		f.gate.to(statement, h)
		return func() { f.gate.rude.Store(nil) }
	}
}

// sql runs statements on PostgreSQL, ends the node's sessions, and repairs it by
// others.
func sql(breaks, repairs string) func(*faulty) func() {
	return func(f *faulty) func() {
		run := func(statements string) {
			database := "test_1"
			if strings.HasPrefix(statements, "ALTER DATABASE") { // which may have become read-only
				database = "postgres"
			}
			f.postgres.SQL(database, statements)
			f.postgres.SQL("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+role+"'")
		}
		run(breaks)
		return func() { run(repairs) }
	}
}

// proxied is a fault of the way to ClickHouse or PostgreSQL.
func proxied(which func(*faulty) *faultproxy.Proxy, do func(*faultproxy.Proxy)) func(*faulty) func() {
	return func(f *faulty) func() {
		p := which(f)
		do(p)
		return func() { p.Latency(0); f.must(p.Restore()) }
	}
}

func toClick(f *faulty) *faultproxy.Proxy    { return f.toClick }
func toPostgres(f *faulty) *faultproxy.Proxy { return f.toPG }

const insertion = "INSERT INTO"

var runningFaults = []runningFault{
	{
		"ClickHouse: insertions get a login page with status 200", "something else than ClickHouse",
		rudely(insertion, answers(http.StatusOK, http.Header{"Content-Type": {"text/html"}}, loginPage)),
	},
	{"ClickHouse: insertions get an empty answer with status 200", "something else than ClickHouse", rudely(insertion, answers(http.StatusOK, nil, ""))},
	{
		"ClickHouse: insertions are redirected", "something else than ClickHouse",
		rudely(insertion, answers(http.StatusTemporaryRedirect, http.Header{"Location": {"http://127.0.0.1:1/"}}, "")),
	},
	{"ClickHouse: a proxy finds insertions too large", "413", rudely(insertion, answers(http.StatusRequestEntityTooLarge, http.Header{"Server": {"nginx"}}, "<html>"))},
	{"ClickHouse: a balancer times out", "504", rudely("", answers(http.StatusGatewayTimeout, http.Header{"Server": {"nginx"}}, "<html>"))},
	{"ClickHouse: inserts, and a balancer answers 502", "502", func(f *faulty) func() {
		return rudely(insertion, func(w http.ResponseWriter, r *http.Request) {
			f.gate.pass.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusBadGateway)
		})(f)
	}},
	{"ClickHouse: the disk is full", "disk of ClickHouse is full", rudely(insertion, chException(243, "Cannot reserve 1.00 MiB, not enough space"))},
	{"ClickHouse: the replica is read-only", "replica is read-only", rudely(insertion, chException(242, "Table is in readonly mode"))},
	{"ClickHouse: too many parts", "cannot merge as fast", rudely(insertion, chException(252, "Too many parts (3000)"))},
	{"ClickHouse: out of memory", "out of memory", rudely("", chException(241, "Memory limit (total) exceeded"))},
	{"ClickHouse: the password is changed", "refuses the user or password", rudely("", chException(516, "default: Authentication failed"))},
	{"ClickHouse: refuses connections", "502 Bad Gateway", proxied(toClick, (*faultproxy.Proxy).Refuse)},
	{"ClickHouse: swallows what it gets", "time limit", proxied(toClick, (*faultproxy.Proxy).Blackhole)},
	{"ClickHouse: answers slowly", "", proxied(toClick, func(p *faultproxy.Proxy) { p.Latency(150 * time.Millisecond) })},
	{"PostgreSQL: refuses connections", "PostgreSQL", proxied(toPostgres, (*faultproxy.Proxy).Refuse)},
	{"PostgreSQL: swallows what it gets", "PostgreSQL does not answer", proxied(toPostgres, (*faultproxy.Proxy).Blackhole)},
	{"PostgreSQL: answers slowly", "", proxied(toPostgres, func(p *faultproxy.Proxy) { p.Latency(60 * time.Millisecond) })},
	{"PostgreSQL: garbage from another server", "PostgreSQL", func(f *faulty) func() {
		f.toPG.SetUpstream(tcpServer(f.t, says(garbage)))
		f.toPG.CutAll()
		return func() { f.toPG.SetUpstream(f.postgres.Addr()); f.toPG.CutAll() }
	}},
	{"PostgreSQL: becomes read-only", "read-only standby", sql("ALTER DATABASE test_1 SET default_transaction_read_only = on", "ALTER DATABASE test_1 RESET default_transaction_read_only")},
	{"PostgreSQL: the password is changed", "does not let this user in", sql("ALTER ROLE node PASSWORD 'another'", "ALTER ROLE node PASSWORD '"+rolePassword+"'")},
	{"PostgreSQL: no connection is left", "no connection left", sql("ALTER ROLE node CONNECTION LIMIT 0", "ALTER ROLE node CONNECTION LIMIT -1")},
	{"PostgreSQL: a right is taken away", "lacks a right", sql("REVOKE ALL ON positions, flushes FROM node; ALTER TABLE flushes OWNER TO postgres; REVOKE ALL ON flushes FROM node", "ALTER TABLE flushes OWNER TO node; GRANT ALL ON positions, flushes TO node")},
	{"PostgreSQL: the disk is full", "disk of PostgreSQL is full", sql(
		`CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
		CREATE TRIGGER no_space BEFORE INSERT ON flushes EXECUTE FUNCTION no_space()`, "DROP TRIGGER no_space ON flushes; DROP FUNCTION no_space")},
	{"PostgreSQL: its clock is an hour ahead, and back again", "", sql(clockOfPostgres("3600000000000"), clockOfPostgres("0"))},
	{"PostgreSQL: its clock is an hour behind, and back again", "", sql(clockOfPostgres("-3600000000000"), clockOfPostgres("0"))},
	{"Kafka: is silent", "queue", func(f *faulty) func() {
		f.must(f.kafka.Pause(1))
		return func() { f.must(f.kafka.Resume(1)) }
	}},
	{"Kafka: is killed", "broker", func(f *faulty) func() {
		f.must(f.kafka.Kill(1))
		return func() { f.must(f.kafka.Restart(1)) }
	}},
}

// clockOfPostgres sets the clock that flushes are begun by, nanoseconds off.
func clockOfPostgres(off string) string {
	return "CREATE OR REPLACE FUNCTION now_ns() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000 + " + off + "'"
}

// TestRunningFaults: whatever goes wrong, it is visible, the node is not ready,
// and once it is repaired all lines sent before, meanwhile and after are there once.
func TestRunningFaults(t *testing.T) {
	kafkatest.Need(t)
	f := newFaulty(t)
	f.send(100)
	f.healthy()
	for _, fault := range runningFaults {
		if only := os.Getenv("MILLRACE_FAULT"); !strings.Contains(fault.name, only) {
			continue
		}
		t.Run(fault.name, func(t *testing.T) {
			f.t, f.node.t, f.cluster.t = t, t, t
			began := time.Now()
			repair := fault.do(f)
			var sending sync.WaitGroup
			refused := 0
			sending.Go(func() { refused = f.send(100) })
			if fault.want == "" {
				sending.Wait()
				f.healthy()
			} else {
				f.visible(fault.want)
			}
			repair()
			sending.Wait()
			repaired := time.Now()
			f.send(100)
			f.healthy()
			t.Logf("%d requests refused; well again %v after the repair, %v in all", refused,
				time.Since(repaired).Round(10*time.Millisecond), time.Since(began).Round(10*time.Millisecond))
		})
	}
}
