package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bench"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/kafkatest"
)

// TestBenchCluster compares one process that embeds everything with two nodes on
// the same machine that share Kafka, ClickHouse and PostgreSQL, all on the same
// processors: the same load from the same senders, until the queue is drained.
// It says which process took how much of them.
func TestBenchCluster(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench-cluster")
	}
	kafkatest.Need(t)
	load := bench.Load{For: benchFor(t, "BENCH_SECONDS", 60), Senders: 24, InFlight: 1, PoolSize: 1 << 13}
	machine := bench.Machine(time.Now(), "make bench-cluster")

	var embedded *bench.ClusterResult
	t.Run("one process", func(t *testing.T) {
		s := benchServer(t, benchOptions{config: "queue: {partitions: 6}\n"})
		embedded = clusterLoad(t, load, []string{s.URL}, map[string]int{"millrace": s.PID()})
	})
	t.Run("two nodes", func(t *testing.T) {
		c := newCluster(t, 1)
		c.config = benchCluster(c)
		pids := map[string]int{"PostgreSQL": c.postgres.PID(), "ClickHouse": c.click.PID(), "Kafka": c.kafka.PID(1)}
		var urls []string
		for _, name := range []string{"node-1", "node-2"} {
			in := c.node(name)
			urls, pids[name] = append(urls, in.url), in.cmd.Process.Pid
		}
		r := clusterLoad(t, load, urls, pids)
		r.Store = storeWork(t, c.click)
		bench.WriteCluster(os.Stdout, machine, embedded, r)
	})
}

// benchCluster is the configuration without what tests of faults need: proxies,
// short intervals and little memory. Both runs have the defaults of one process.
func benchCluster(c *cluster) string {
	const defaults = "pipeline: {}" // so that no test's intervals are put there
	return strings.NewReplacer(clusterIntervals, defaults, "memory: 1GiB", "",
		c.toClick.Addr, c.click.Addr, c.toPG.Addr, c.postgres.Addr()).Replace(c.config)
}

// clusterLoad sends to all urls and waits until both sinks have stored all.
func clusterLoad(t *testing.T, load bench.Load, urls []string, pids map[string]int) *bench.ClusterResult {
	t.Helper()
	ctx := t.Context()
	query, err := client.New(urls[0], client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &bench.ClusterResult{}
	send := prepareSenders(t, load, urls)
	measured := measure(t, r, pids)
	send(r)
	drained(t, query, r)
	measured()
	if rows, err := query.SQL(ctx, "SELECT count(*) FROM events"); err != nil || fmt.Sprint(rows.Rows[0][0]) != fmt.Sprint(r.Lines) {
		t.Errorf("%v rows of %d lines, %v", rows, r.Lines, err)
	}
	return r
}

// prepareSenders returns what sends to all urls at once and adds to a result what
// was sent.
func prepareSenders(t *testing.T, load bench.Load, urls []string) func(*bench.ClusterResult) {
	t.Helper()
	load.Senders /= len(urls)
	load.Total /= int64(len(urls))
	all := make([]*bench.Senders, len(urls))
	for i, url := range urls {
		l := load
		l.Seed = uint64(i)
		var err error
		if all[i], err = l.Prepare(url); err != nil {
			t.Fatal(err)
		}
	}
	return func(r *bench.ClusterResult) {
		began := time.Now()
		var sending sync.WaitGroup
		var mu sync.Mutex
		for _, s := range all {
			sending.Go(func() {
				sent, err := s.Run(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				r.Lines += sent.Lines
				r.Requested = append(r.Requested, sent.Requested)
			})
		}
		sending.Wait()
		r.Sending = time.Since(began)
	}
}

// drained waits until both sinks have stored all lines of a result.
func drained(t *testing.T, query *client.Client, r *bench.ClusterResult) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, err := bench.Drained(ctx, query, r.Lines); err != nil {
		t.Fatal(err)
	}
}

// measure begins to measure and returns what ends it.
func measure(t *testing.T, r *bench.ClusterResult, pids map[string]int) func() {
	t.Helper()
	before, began := cpuOf(t, pids), time.Now()
	return func() {
		r.Elapsed = time.Since(began)
		r.CPU = map[string]time.Duration{}
		for name, after := range cpuOf(t, pids) {
			r.CPU[name] = after - before[name]
		}
	}
}

// storeWork reads from the parts that ClickHouse has, and had until minutes ago, how
// often it merged the rows of each table.
func storeWork(t *testing.T, s *chtest.Server) []bench.StoreWork {
	t.Helper()
	out, err := s.Query(t.Context(), `SELECT table, countIf(level = 0), sumIf(rows, level = 0), countIf(level > 0), sumIf(rows, level > 0)
		FROM system.parts WHERE database = 'default' GROUP BY table HAVING sumIf(rows, level = 0) > 1000 ORDER BY table`)
	if err != nil {
		t.Fatal(err)
	}
	var all []bench.StoreWork
	for line := range strings.Lines(out) {
		var w bench.StoreWork
		if _, err := fmt.Sscan(line, &w.Table, &w.Inserts, &w.Rows, &w.Merges, &w.Merged); err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func cpuOf(t *testing.T, pids map[string]int) map[string]time.Duration {
	t.Helper()
	out := map[string]time.Duration{}
	for name, pid := range pids {
		cpu, err := bench.TreeCPU(pid)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = cpu
	}
	return out
}
