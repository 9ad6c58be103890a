package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/bench"
	"github.com/millrace/millrace/internal/kafkatest"
)

// TestBenchWorkers shows what two workers do with the two processors that one process
// has, if the servers have machines of their own: a queue is filled while nobody may
// read, and then drained. ClickHouse takes what it gets and forgets it, so that it
// takes nearly nothing from the workers; Kafka and PostgreSQL do work beside them.
func TestBenchWorkers(t *testing.T) {
	if os.Getenv("MILLRACE_BENCH") == "" {
		t.Skip("takes minutes and the whole machine: make bench-cluster")
	}
	kafkatest.Need(t)
	load := bench.Load{
		For: time.Minute, Total: int64(benchFor(t, "BENCH_SECONDS", 60)/time.Second) * 250_000,
		Senders: 24, InFlight: 1, PoolSize: 1 << 13,
	}
	// Each sender's lines go to one partition: few would leave some empty.
	machine := bench.Machine(time.Now(), "make bench-cluster")
	var embedded *bench.ClusterResult
	t.Run("one process", func(t *testing.T) {
		s := benchServer(t, benchOptions{config: "queue: {partitions: 6}\n"})
		embedded = filledAndDrained(t, load, []string{s.URL}, map[string]int{"millrace": s.PID()})
	})
	t.Run("two workers", func(t *testing.T) {
		c := newCluster(t, 1)
		s := startSink(t, c.click.Addr)
		c.config = strings.ReplaceAll(benchCluster(c), c.click.Addr, s.addr)
		pids := map[string]int{"PostgreSQL": c.postgres.PID(), "ClickHouse": c.click.PID(), "Kafka": c.kafka.PID(1)}
		var urls []string
		for _, name := range []string{"node-1", "node-2"} {
			in := c.node(name)
			urls, pids[name] = append(urls, in.url), in.cmd.Process.Pid
		}
		r := filledAndDrained(t, load, urls, pids)
		if got := s.rows.Load(); got != r.Lines {
			t.Errorf("ClickHouse would have %d rows of %d lines", got, r.Lines)
		}
		if embedded != nil {
			bench.WriteDrained(os.Stdout, machine, embedded, r)
		}
	})
}

// filledAndDrained sends while nobody may read the queue, and measures how it is
// drained.
func filledAndDrained(t *testing.T, load bench.Load, urls []string, pids map[string]int) *bench.ClusterResult {
	t.Helper()
	query, err := client.New(urls[0], client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pause := func(on string) {
		if err := query.Do(t.Context(), http.MethodPost, "/api/v1/cluster", nil, []byte(`{"pause": `+on+`}`), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * followEvery)
	}
	r := &bench.ClusterResult{}
	send := prepareSenders(t, load, urls)
	pause("true")
	send(r)
	measured := measure(t, r, pids)
	pause("false")
	drained(t, query, r)
	measured()
	return r
}

// sink stands before ClickHouse and takes what is inserted into the large tables
// itself: it counts the rows and forgets them.
type sink struct {
	addr string
	rows atomic.Int64 // raw rows
}

// large are the insertions whose rows are forgotten.
var large = regexp.MustCompile("^INSERT INTO `default`.`(events_rows|deltas_[a-z_]+)`")

func startSink(t *testing.T, clickhouse string) *sink {
	t.Helper()
	s := &sink{}
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: clickhouse})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		found := large.FindStringSubmatch(r.URL.Query().Get("query"))
		if found == nil {
			pass.ServeHTTP(w, r)
			return
		}
		n, err := blockRows(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if found[1] == "events_rows" {
			s.rows.Add(n)
		}
		w.Header().Set("X-ClickHouse-Summary", "{}")
	}))
	t.Cleanup(server.Close)
	s.addr = strings.TrimPrefix(server.URL, "http://")
	return s
}

// blockRows reads a block of ClickHouse's Native format and returns its rows: the
// format begins with the numbers of columns and rows.
func blockRows(body io.Reader) (int64, error) {
	b := bufio.NewReaderSize(body, 1<<16)
	if _, err := binary.ReadUvarint(b); err != nil {
		return 0, err
	}
	n, err := binary.ReadUvarint(b)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, b)
	return int64(n), err
}
