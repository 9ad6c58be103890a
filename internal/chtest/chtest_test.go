package chtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// dial opens a client of a server.
func dial(t testing.TB, s *Server, database string, change ...func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	o := &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{s.Addr},
		Auth:         clickhouse.Auth{Database: database, Username: s.User(), Password: s.options.Password},
		Compression:  &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		Settings:     clickhouse.Settings{"async_insert": 0},
		DialTimeout:  5 * time.Second,
		MaxOpenConns: 16,
		MaxIdleConns: 16,
	}
	for _, c := range change {
		c(o)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// client is a connection to a database of its own in the shared server.
func client(t testing.TB) driver.Conn {
	t.Helper()
	s, database := Shared(t)
	return dial(t, s, database)
}

func run(t testing.TB, c driver.Conn, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if err := c.Exec(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

// query returns a result as lines of values.
func query(t testing.TB, c driver.Conn, q string, args ...any) string {
	t.Helper()
	rows, err := c.Query(t.Context(), "SELECT toString(tuple(*)) FROM ("+q+")", args...)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
		lines = append(lines, strings.Trim(line, "()"))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return strings.Join(lines, "\n")
}

// code returns the number of ClickHouse's exception in an error, 0 if there is none.
func code(err error) int32 {
	if e := new(clickhouse.Exception); errors.As(err, &e) {
		return e.Code
	}
	return 0
}

// fill inserts rows of (n, text) by one batch.
func fill(c driver.Conn, t testing.TB, table string, from, to uint64) error {
	t.Helper()
	b, err := c.PrepareBatch(t.Context(), "INSERT INTO "+table+" (n, s)")
	if err != nil {
		return err
	}
	for n := from; n < to; n++ {
		if err := b.Append(n, fmt.Sprintf("row %d;\n", n)); err != nil {
			return err
		}
	}
	return b.Send()
}

func TestLifecycle(t *testing.T) {
	s := Start(t, t.TempDir())
	addr := s.Addr
	c := dial(t, s, "default")
	run(t, c, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	var want uint64
	for _, end := range []func() error{
		s.Stop,
		func() error { s.Kill(); return nil },
		func() error { return nil }, // Restart itself ends it
	} {
		if err := fill(c, t, "t", want, want+1000); err != nil {
			t.Fatal(err)
		}
		want += 1000
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
		if s.Addr != addr {
			t.Fatalf("address %s after a restart, was %s", s.Addr, addr)
		}
		if got := query(t, c, "SELECT count(), sum(n) FROM t"); got != fmt.Sprintf("%d,%d", want, want*(want-1)/2) {
			t.Fatalf("%d rows expected, got count and sum %s", want, got)
		}
	}
	s.Kill()
	if s.Running() {
		t.Error("runs after Kill")
	}
	if err := c.Ping(t.Context()); err == nil {
		t.Error("a killed server answers")
	}
}

func TestPause(t *testing.T) {
	s := Start(t, t.TempDir())
	c := dial(t, s, "default")
	s.Pause()
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(t.Context()) }()
	select {
	case err := <-answered:
		t.Fatalf("a paused server answers: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Resume()
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
	s.Pause()
	s.Kill()
}

func TestStartFails(t *testing.T) {
	skip(t)
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Launch(Options{Dir: file}); err == nil {
		t.Error("started on a file")
	}
	var log strings.Builder
	s, _ := Shared(t)
	_, err := Launch(Options{Dir: t.TempDir(), Addr: s.Addr, Log: &log})
	if err == nil || !strings.Contains(log.String(), "address already in use") {
		t.Errorf("started on a port in use: %v, %s", err, log.String())
	}
}

func TestWrongPassword(t *testing.T) {
	s := StartWith(t, Options{Dir: t.TempDir(), User: "millrace", Password: "p:w/ö 1"})
	if err := dial(t, s, "default").Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := clickhouse.ParseDSN(s.URL() + "/default")
	if err != nil {
		t.Fatal(err)
	}
	byDSN := dial(t, s, "default", func(c *clickhouse.Options) { c.Auth = o.Auth })
	if err := byDSN.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	for _, wrong := range []clickhouse.Auth{
		{Username: "millrace", Password: "p"},
		{Username: "default", Password: "p:w/ö 1"},
		{Username: "millrace"},
	} {
		c := dial(t, s, "default", func(o *clickhouse.Options) { o.Auth = wrong })
		if err := c.Ping(t.Context()); code(err) != 516 {
			t.Errorf("%v: %v, expected exception 516", wrong, err)
		}
	}
}

// Sizes of requests: a body over the limit, a statement over max_query_size, and
// data of an INSERT, which that does not limit.
func TestLimits(t *testing.T) {
	s := StartWith(t, Options{Dir: t.TempDir(), MaxBody: 1 << 20})
	c := dial(t, s, "default")
	run(t, c, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	if err := fill(c, t, "t", 0, 300_000); err == nil {
		t.Error("a request over the limit was accepted")
	}
	if got := query(t, c, "SELECT count() FROM t"); got != "0" {
		t.Errorf("%s rows of a refused insert", got)
	}
	long := "SELECT " + strings.Repeat("1+", 150_000) + "1"
	if err := c.Exec(t.Context(), long); code(err) != 62 || !strings.Contains(err.Error(), "Max query size exceeded") {
		t.Errorf("a statement of %d bytes: %.200v", len(long), err)
	}
	values := "INSERT INTO t VALUES " + strings.Repeat("(1,'x'),", 50_000) + "(1,'x')"
	run(t, c, values)
	if got := query(t, c, "SELECT count() FROM t"); got != "50001" {
		t.Errorf("%s rows after VALUES", got)
	}
}
