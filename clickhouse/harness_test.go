package clickhouse_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/storetest"
)

// The tests share one engine; each has a database of its own.
var (
	serverMu  sync.Mutex
	shared    *chtest.Server
	sharedDir string
	serial    atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.Kill()
		if err := os.RemoveAll(sharedDir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// server returns the engine that the tests share.
func server(t testing.TB) *chtest.Server {
	t.Helper()
	if os.Getenv("MILLRACE_CLUSTER") != "1" {
		t.Skip("needs a real ClickHouse engine: make test-cluster, or MILLRACE_CLUSTER=1")
	}
	serverMu.Lock()
	defer serverMu.Unlock()
	if shared == nil {
		var err error
		if sharedDir, err = os.MkdirTemp("", "millrace-clickhouse-"); err != nil {
			t.Fatal(err)
		}
		if shared, err = chtest.Launch(chtest.Options{Dir: sharedDir, Log: os.Stderr}); err != nil {
			t.Fatal(err)
		}
	}
	return shared
}

// database makes an empty database and returns the options to open it.
func database(t testing.TB, s *chtest.Server) clickhouse.Options {
	t.Helper()
	name := fmt.Sprintf("t%d", serial.Add(1))
	admin(t, s, "CREATE DATABASE "+name)
	t.Cleanup(func() {
		if s.Running() {
			admin(t, s, "DROP DATABASE "+name+" SYNC")
		}
	})
	opt := clickhouse.DefaultOptions()
	opt.Address = "clickhouse://" + s.User() + "@" + s.Addr + "/" + name + "?protocol=http"
	return opt
}

func databaseOf(opt clickhouse.Options) string {
	name, _, _ := strings.Cut(opt.Address[strings.LastIndexByte(opt.Address, '/')+1:], "?")
	return name
}

func admin(t testing.TB, s *chtest.Server, statement string) {
	t.Helper()
	conn, err := ch.Open(&ch.Options{Protocol: ch.HTTP, Addr: []string{s.Addr}, Auth: ch.Auth{Username: s.User()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func clock() time.Time { return storetest.Base.Add(100 * 24 * time.Hour) }

func open(t testing.TB, opt clickhouse.Options, commits millrace.Commits) *clickhouse.DB {
	t.Helper()
	db, err := clickhouse.Open(context.Background(), opt, commits, clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// count asks the shared server how many rows of a table fulfil a condition.
func count(t testing.TB, table, where string) int64 {
	t.Helper()
	s := server(t)
	conn, err := ch.Open(&ch.Options{Protocol: ch.HTTP, Addr: []string{s.Addr}, Auth: ch.Auth{Username: s.User()}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var n uint64
	if err := conn.QueryRow(context.Background(), "SELECT count() FROM "+table+" WHERE "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return int64(n)
}
