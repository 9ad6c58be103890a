//go:build linux

package meta

import (
	"net"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/pgtest"
)

// testOpenFailures: each has a code that says whether to try again, and a hint
// that names the cure.
func testOpenFailures(t *testing.T, s *pgtest.Server) {
	good := schema(t, s)
	f := func(name, address string, code millrace.Code, message, hint string) {
		t.Helper()
		p, err := OpenPostgres(t.Context(), address)
		if err == nil {
			_ = p.Close()
			t.Errorf("%s: no error", name)
			return
		}
		if millrace.ErrorCode(err) != code || !strings.Contains(err.Error(), message) || !strings.Contains(millrace.ErrorHint(err), hint) {
			t.Errorf("%s: %q %v\nhint: %s\nwant %q, %q, %q", name, millrace.ErrorCode(err), err, millrace.ErrorHint(err), code, message, hint)
		}
		if strings.Contains(err.Error(), pgtest.Password) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
	as := func(user, database string) string { return "postgres://" + user + "@" + s.Addr() + "/" + database }
	runSQL(t, s.URL("postgres"), "CREATE ROLE poor LOGIN PASSWORD 'p' CONNECTION LIMIT 0", "CREATE ROLE weak LOGIN PASSWORD 'p'",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
		"CREATE DATABASE standby", "ALTER DATABASE standby SET default_transaction_read_only = on")

	f("no address", "postgres://a b", millrace.ErrInvalid, "cannot be used", "postgres://")
	f("a parameter", with(t, good, "sslmode", "bogus"), millrace.ErrInvalid, "sslmode", "sslmode=verify-full")
	f("wrong password", as("postgres:wrong", "postgres"), millrace.ErrInvalid, "does not let this user in", "password")
	f("wrong user", as("nobody:wrong", "postgres"), millrace.ErrInvalid, "does not let this user in", "password")
	f("no database", s.URL("missing"), millrace.ErrInvalid, "no such database", "CREATE DATABASE")
	f("no right", as("weak:p", "postgres"), millrace.ErrInvalid, "lacks a right", "OWNER")
	f("too many connections", as("poor:p", "postgres"), millrace.ErrUnavailable, "no connection left", "max_connections")
	f("another encoding", s.URL("latin"), millrace.ErrInvalid, "LATIN1", "UTF8")
	f("read-only", s.URL("standby"), millrace.ErrUnavailable, "read-only standby", "promote")
	f("no TLS there", with(t, good, "sslmode", "require"), millrace.ErrInvalid, "TLS", "sslmode")
	f("nobody listens", "postgres://u:wrong@127.0.0.1:1/db?connect_timeout=1", millrace.ErrUnavailable, "cannot be reached", "host and port")
	f("no such host", "postgres://u:wrong@host.invalid/db?connect_timeout=2", millrace.ErrUnavailable, "cannot be reached", "host and port")
	f("another protocol", "postgres://u:wrong@"+stranger(t)+"/db?sslmode=disable&connect_timeout=2", millrace.ErrUnavailable, "PostgreSQL", "")

	p := openPostgres(t, good)
	_ = p.Close()
	runSQL(t, good, "INSERT INTO millrace_schema (version_id, is_applied) VALUES (9999, true)")
	f("written by a newer version", good, millrace.ErrConflict, "newer version", "newer version")

	if err := checkServer(130022, "UTF8"); millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), "PostgreSQL 13") {
		t.Errorf("an old server: %v", err)
	}
	if err := checkServer(140000, "UTF8"); err != nil {
		t.Error(err)
	}
}

// stranger listens, and answers what PostgreSQL would not.
func stranger(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestPostgresTLS(t *testing.T) {
	s := pgtest.Start(t, "ssl=on")
	full := with(t, with(t, s.URL("postgres"), "sslmode", "verify-full"), "sslrootcert", s.RootCert())
	p := openPostgres(t, full)
	var tls bool
	if err := p.pool.QueryRow(t.Context(), "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&tls); err != nil || !tls {
		t.Errorf("TLS %v, %v", tls, err)
	}
	_, err := OpenPostgres(t.Context(), with(t, s.URL("postgres"), "sslmode", "verify-full")) // by the system's authorities
	if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(millrace.ErrorHint(err), "sslrootcert") {
		t.Errorf("an unknown certificate: %v, hint %q", err, millrace.ErrorHint(err))
	}
}
