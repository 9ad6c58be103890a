package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/internal/kafkatest"
	"github.com/millrace/millrace/internal/pgtest"
	"github.com/millrace/millrace/meta"
)

// cluster is Kafka, ClickHouse and PostgreSQL as they are, and nodes of millrace
// that reach the last two through proxies which can cut connections.
type cluster struct {
	t        *testing.T
	kafka    *kafkatest.Cluster
	click    *chtest.Server
	postgres *pgtest.Server
	toClick  *faultproxy.Proxy
	toPG     *faultproxy.Proxy
	database string // of PostgreSQL
	config   string
	binary   string // of nodes that start; empty is this one
	nodes    map[string]*instance
	addrs    map[string]string
}

// session is how long the group waits for a worker that went silent: the least
// that a broker allows.
const session = 6 * time.Second

func newCluster(t *testing.T, brokers int) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: map[string]*instance{}, addrs: map[string]string{}}
	var start sync.WaitGroup
	c.kafka = kafkatest.Start(t, brokers)
	start.Go(func() { c.click = chtest.Start(t, t.TempDir()) })
	start.Go(func() { c.postgres = pgtest.Start(t) })
	start.Wait()
	c.toClick, c.toPG = faultproxy.Start(t, c.click.Addr), faultproxy.Start(t, c.postgres.Addr())
	c.database = c.postgres.Database()
	c.config = fmt.Sprintf(`
queue:
  broker: [%s]
  partitions: 6
  replication: %d
  timeout: 20s
  group: {session_timeout: %s, heartbeat: 1s}
clickhouse: {address: "clickhouse://%s/default?protocol=http", timeout: 10s}
meta: {address: %q}
%s
memory: 1GiB
`, strings.Join(c.kafka.Addrs(), ", "), brokers, session, c.toClick.Addr,
		strings.Replace(c.database, c.postgres.Addr(), c.toPG.Addr, 1), clusterIntervals)
	return c
}

// clusterIntervals are short, so that much can be interrupted.
const clusterIntervals = "pipeline: {flush_interval: 300ms, rollup_interval: 1s, store_deadline: 15s, maintenance_interval: 1s}"

// node starts a node, or one again under its old name and address.
func (c *cluster) node(name string, roles ...string) *instance {
	c.t.Helper()
	in, err := c.tryNode(name, roles...)
	if err != nil {
		c.t.Fatalf("node %s: %v\n%s", name, err, in.logs)
	}
	return in
}

func (c *cluster) tryNode(name string, roles ...string) (*instance, error) {
	if c.addrs[name] == "" {
		c.addrs[name] = freeAddr(c.t)
	}
	args := []string{"--node", name, "--http", c.addrs[name]}
	for _, r := range roles {
		args = append(args, "--role", r)
	}
	binary := os.Args[0]
	if c.binary != "" {
		binary = c.binary
	}
	dir := c.t.TempDir()
	in, err := launch(c.t, binary, dir, "", serveArgs(c.t, dir, c.config, args))
	c.nodes[name] = in
	return in, err
}

// feed imports a file into a node, again and again until all of it is in.
func (c *cluster) feed(addr, state, input string) error {
	var out bytes.Buffer
	for range 200 {
		out.Reset()
		cmd := exec.Command(os.Args[0], "import", "--server", "http://"+addr, "--source", "kills", "--state", state, input)
		cmd.Env = append(os.Environ(), "MILLRACE_TEST_MAIN=1")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err == nil {
			return nil
		}
		time.Sleep(500 * time.Millisecond)
	}
	return fmt.Errorf("import into %s never ends well: %s", addr, out.String())
}

// offsets returns, per sink and partition, how far all workers are and where the
// log ends, as a node that works sees it.
func (c *cluster) offsets(node string) (committed, end map[string]int64, err error) {
	var st struct {
		Partitions []struct {
			Partition int32
			End       int64
		}
		Sinks []struct {
			Sink      string
			Partition int32
			Offset    int64
		}
	}
	resp, err := http.Get("http://" + c.addrs[node] + "/api/v1/status")
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&st); err != nil {
		return nil, nil, err
	}
	committed, end = map[string]int64{}, map[string]int64{}
	for _, s := range st.Sinks {
		committed[fmt.Sprint(s.Sink, s.Partition)] = s.Offset
	}
	for _, p := range st.Partitions {
		for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			end[fmt.Sprint(sink, p.Partition)] = p.End
		}
	}
	return committed, end, nil
}

var errBehind = errors.New("what was in the log must be stored")

// statusAge is how old what a node says of the log may be.
const statusAge = 2100 * time.Millisecond

// recovered waits until all that was in the log when it is called is stored by
// both sinks, and returns how long that took.
func (c *cluster) recovered(within time.Duration) (time.Duration, error) {
	began := time.Now()
	var goal map[string]int64
	for {
		committed, end, err := c.offsets("query")
		if err == nil && goal == nil && len(end) > 0 && time.Since(began) > statusAge {
			goal = end
		}
		done := goal != nil && err == nil
		for key, want := range goal {
			done = done && committed[key] >= want
		}
		if done {
			return time.Since(began), nil
		}
		if time.Since(began) > within {
			return 0, fmt.Errorf("not recovered after %v: committed %v, log at %v: %w", within, committed, goal, errors.Join(err, errBehind))
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rows asks a node how many rows there are.
func (c *cluster) rows(node string) (int64, error) {
	resp, err := http.Post("http://"+c.addrs[node]+"/api/v1/sql", "application/json", strings.NewReader(`{"sql": "SELECT count(*) FROM events"}`))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var table struct{ Rows [][]int64 }
	err = json.NewDecoder(resp.Body).Decode(&table)
	if err == nil && (len(table.Rows) != 1 || len(table.Rows[0]) != 1) {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	if err != nil {
		return 0, err
	}
	return table.Rows[0][0], nil
}

// fault is one thing that goes wrong, and is repaired before it returns.
type fault struct {
	name string
	do   func(c *cluster, rng *rand.Rand) error
}

var workers = []string{"worker-1", "worker-2", "worker-3"}

var faults = []fault{
	{"kill a worker", func(c *cluster, rng *rand.Rand) error {
		name := workers[rng.IntN(len(workers))]
		c.nodes[name].kill()
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		_, err := c.tryNode(name, "worker")
		return err
	}},
	{"kill an ingest node", func(c *cluster, rng *rand.Rand) error {
		name := []string{"ingest-1", "ingest-2"}[rng.IntN(2)]
		c.nodes[name].kill()
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		_, err := c.tryNode(name, "ingest")
		return err
	}},
	{"kill a broker that leads a partition", func(c *cluster, rng *rand.Rand) error {
		id, err := c.kafka.Leader(c.t.Context(), "millrace", int32(rng.IntN(6)))
		if err != nil {
			return err
		}
		if err := c.kafka.Kill(id); err != nil {
			return err
		}
		time.Sleep(time.Duration(1000+rng.IntN(3000)) * time.Millisecond)
		if err := c.kafka.Restart(id); err != nil {
			return err
		}
		return c.kafka.InSync(c.t.Context(), "millrace", 3)
	}},
	{"kill ClickHouse", func(c *cluster, rng *rand.Rand) error {
		c.click.Kill()
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		return c.click.Restart()
	}},
	{"kill PostgreSQL", func(c *cluster, rng *rand.Rand) error {
		c.postgres.Kill()
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		c.postgres.Restart()
		return nil
	}},
	{"pause a worker past its session", func(c *cluster, rng *rand.Rand) error {
		p := c.nodes[workers[rng.IntN(len(workers))]].cmd.Process
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(session + time.Duration(1000+rng.IntN(4000))*time.Millisecond)
		return p.Signal(syscall.SIGCONT)
	}},
	{"cut connections", func(c *cluster, rng *rand.Rand) error {
		kinds := []faultproxy.Kind{faultproxy.BeforeRequest, faultproxy.InRequest, faultproxy.BeforeAnswer, faultproxy.InAnswer}
		c.toClick.Chaos(rng.Uint64(), 5, kinds...)
		c.toPG.Chaos(rng.Uint64(), 10, kinds...)
		time.Sleep(5 * time.Second)
		c.toClick.Calm()
		c.toPG.Calm()
		return nil
	}},
}

// TestCluster feeds two ingest nodes while things go wrong, in turn and at random,
// and compares every cell, row and account with the oracle. MILLRACE_SOAK=1 makes
// it 5,000,000 lines and 50 faults.
func TestCluster(t *testing.T) {
	kafkatest.Need(t)
	lines, rounds := 300_000, len(faults)
	if os.Getenv("MILLRACE_SOAK") != "" {
		lines, rounds = 5_000_000, 50
	}
	c := newCluster(t, 3)
	for _, name := range []string{"ingest-1", "ingest-2"} {
		c.node(name, "ingest")
	}
	for _, name := range workers {
		c.node(name, "worker")
	}
	c.node("query", "query")

	inputs, over := clusterInput(t, lines, rounds), make(chan struct{})
	var feeding sync.WaitGroup
	errs := make([]error, feeders)
	for i := range feeders {
		state := t.TempDir()
		feeding.Go(func() {
			for _, part := range inputs.parts[i] {
				if errs[i] = c.feed(c.addrs[fmt.Sprintf("ingest-%d", 1+i%2)], state, part); errs[i] != nil {
					return
				}
				select {
				case <-time.After(inputs.pause):
				case <-over:
				}
			}
		})
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().Unix()), 5))
	tally, slowest := map[string]int{}, time.Duration(0)
	for i := range rounds {
		f := faults[i%len(faults)]
		if i >= 2*len(faults) {
			f = faults[rng.IntN(len(faults))]
		}
		if err := f.do(c, rng); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		took, err := c.recovered(30 * time.Second)
		if err != nil {
			t.Errorf("after %q: %v", f.name, err)
			c.report()
			if took, err = c.recovered(2 * time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%2d %-40s recovered in %v", i+1, f.name, took.Round(10*time.Millisecond))
		tally[f.name]++
		slowest = max(slowest, took)
	}
	close(over)
	feeding.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tally)) {
		t.Logf("%2d times: %s", tally[name], name)
	}
	t.Logf("slowest recovery %v", slowest.Round(10*time.Millisecond))
	c.compare(inputs.all, lines)
}

// report shows what the nodes wrote, for a test that fails.
func (c *cluster) report() {
	for name, in := range c.nodes {
		text := in.logs.String()
		c.t.Logf("%s:\n%s", name, text[max(0, len(text)-3000):])
	}
}

// feeders is how many importers send at the same time: all that one sends goes to
// one partition.
const feeders = 8

// clusterLines is the input of a cluster's test, in parts that the feeders send,
// each after a pause, so that lines come in during all faults.
type clusterLines struct {
	all   string
	parts [feeders][]string
	pause time.Duration
}

// faultTakes is about how long a fault with its recovery takes.
const faultTakes = 10 * time.Second

func clusterInput(t *testing.T, n, rounds int) *clusterLines {
	t.Helper()
	l := &clusterLines{all: filepath.Join(t.TempDir(), "all.log")}
	g := gen.New(11, gen.Options{Clients: 3000, URLs: 200})
	begin := time.Now().Add(-7 * time.Hour).Truncate(time.Hour)
	all, err := os.Create(l.all)
	if err != nil {
		t.Fatal(err)
	}
	perPart := max(1, n/(feeders*4*rounds))
	l.pause = time.Duration(rounds) * faultTakes / time.Duration(n/perPart/feeders)
	var part []byte
	flush := func(i int) {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("part%d.log", i))
		if err := os.WriteFile(path, part, 0o600); err != nil {
			t.Fatal(err)
		}
		l.parts[i%feeders] = append(l.parts[i%feeders], path)
		part = part[:0]
	}
	var line []byte
	for i := range n {
		at := begin.Add(time.Duration(float64(6*time.Hour) * float64(i) / float64(n)))
		line = g.AppendAccess(line[:0], at.Add(-g.Lateness()))
		part = append(part, line...)
		if _, err := all.Write(line); err != nil {
			t.Fatal(err)
		}
		if (i+1)%perPart == 0 || i == n-1 {
			flush(i / perPart)
		}
	}
	if err := all.Close(); err != nil {
		t.Fatal(err)
	}
	return l
}

// compare waits for the last line and compares the stores.
func (c *cluster) compare(input string, lines int) {
	t := c.t
	if _, err := c.recovered(2 * time.Minute); err != nil {
		c.report()
		t.Fatal(err)
	}
	for _, in := range c.nodes {
		if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	for name, in := range c.nodes {
		if err := in.stop(); err != nil {
			t.Errorf("node %s: %v", name, err)
		}
	}
	pg, err := meta.OpenPostgres(t.Context(), c.database)
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close()
	opts := clickhouse.DefaultOptions()
	opts.Address = "clickhouse://" + c.click.Addr + "/default?protocol=http"
	db, err := clickhouse.Open(t.Context(), opts, pg, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	want := newOracle(t, "", input, "kills", time.Now)
	var got, expected []string
	var both sync.WaitGroup
	both.Go(func() { got = dumpCells(t, db, want.rollups) })
	both.Go(func() { expected = dumpCells(t, want.store, want.rollups) })
	both.Wait()
	equalLines(t, got, expected)
	t.Logf("%d cells compared", len(got))
	points, err := db.CountEvents(t.Context(), millrace.EventQuery{From: 0, To: time.Now().Add(time.Hour).UnixNano()}, 0)
	if err != nil || len(points) != 1 || points[0].Events != int64(lines) {
		t.Errorf("rows: %+v %v, want %d", points, err, lines)
	}
	checkAccounts(t, db, lines)
}

// checkAccounts wants each sink's ledger balanced: all lines stored, and what was
// received beyond them was a duplicate.
func checkAccounts(t *testing.T, store millrace.Store, lines int) {
	t.Helper()
	entries, err := store.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, e := range entries {
		sums[fmt.Sprint(e.Sink, " ", e.Outcome)] += e.Events
	}
	t.Logf("accounts: %v", sums)
	for _, sink := range []string{"events", "rollup"} {
		if sums[sink+" stored"] != int64(lines) || sums[sink+" received"] != int64(lines)+sums[sink+" duplicate"] {
			t.Errorf("the accounts of sink %s do not balance: %v", sink, sums)
		}
	}
}
