package chtest

import (
	"context"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// dial opens a client of the server.
func dial(t *testing.T, s *Server, change ...func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	o := &clickhouse.Options{
		Protocol:     clickhouse.HTTP,
		Addr:         []string{s.Addr},
		Auth:         clickhouse.Auth{Database: "default", Username: s.User(), Password: s.options.Password},
		Compression:  &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialTimeout:  5 * time.Second,
		MaxOpenConns: 16,
	}
	for _, c := range change {
		c(o)
	}
	conn, err := clickhouse.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestPing(t *testing.T) {
	s := Start(t, t.TempDir())
	c := dial(t, s)
	ctx := context.Background()
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(ctx, "CREATE TABLE t (a UInt64, s LowCardinality(String), m Map(String, UInt64)) ENGINE = MergeTree ORDER BY a"); err != nil {
		t.Fatal(err)
	}
	b, err := c.PrepareBatch(ctx, "INSERT INTO t (a, s, m)")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := b.Append(uint64(i), "x", map[string]uint64{"k": uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	var n, sum uint64
	if err := c.QueryRow(ctx, "SELECT count(), sum(m['k']) FROM t WHERE a < ?", 500).Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	t.Log(n, sum)
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := c.QueryRow(ctx, "SELECT count(), sum(m['k']) FROM t WHERE a < ?", 500).Scan(&n, &sum); err != nil {
		t.Fatal(err)
	}
	t.Log(n, sum)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
}
