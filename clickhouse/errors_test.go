package clickhouse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/committest"
)

// refused opens a store and returns why that fails.
func refused(t *testing.T, opt clickhouse.Options) error {
	t.Helper()
	db, err := clickhouse.Open(context.Background(), opt, committest.New(clock), clock, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = db.Close()
		t.Fatal("the store opened")
	}
	return err
}

func explained(t *testing.T, err error, code millrace.Code, hint string) {
	t.Helper()
	if millrace.ErrorCode(err) != code || millrace.ErrorMessage(err) == "" || !strings.Contains(millrace.ErrorHint(err), hint) {
		t.Errorf("%v\ncode %q, hint %q; want %q, %q", err, millrace.ErrorCode(err), millrace.ErrorHint(err), code, hint)
	}
}

func TestOpenErrors(t *testing.T) {
	s := server(t)
	good := impatient(database(t, s))
	with := func(change func(o *clickhouse.Options)) clickhouse.Options {
		o := good
		change(&o)
		return o
	}
	explained(t, refused(t, with(func(o *clickhouse.Options) {
		o.Address = strings.Replace(o.Address, "/"+databaseOf(good), "/nosuchdatabase", 1)
	})), millrace.ErrNotFound, "CREATE DATABASE")
	explained(t, refused(t, with(func(o *clickhouse.Options) { o.Address = "clickhouse://127.0.0.1:1/x" })), millrace.ErrUnavailable, "check that the servers")
	explained(t, refused(t, with(func(o *clickhouse.Options) { o.Address = "postgres://h" })), millrace.ErrInvalid, "clickhouse://")
	explained(t, refused(t, with(func(o *clickhouse.Options) { o.Address += "&cluster=nosuch" })), millrace.ErrNotFound, "system.clusters")
	explained(t, refused(t, with(func(o *clickhouse.Options) { o.Storage.Policy = "nosuch" })), millrace.ErrNotFound, "storage")
	explained(t, refused(t, with(func(o *clickhouse.Options) {
		o.Address += "&secure=true"
		o.TLS.CA = "/nosuch.pem"
	})), millrace.ErrInvalid, "")

	db := open(t, good, committest.New(clock))
	_ = db.Close()
	admin(t, s, "INSERT INTO "+databaseOf(good)+".schema_versions VALUES (1000, 'from the future', now())")
	explained(t, refused(t, good), millrace.ErrConflict, "newer millrace")
}

func TestWrongPassword(t *testing.T) {
	server(t) // skips
	s := chtest.StartWith(t, chtest.Options{Dir: t.TempDir(), User: "u", Password: "right", Log: io.Discard})
	opt := impatient(clickhouse.DefaultOptions())
	opt.Address = "clickhouse://u:wrong@" + s.Addr + "/default?protocol=http"
	err := refused(t, opt)
	explained(t, err, millrace.ErrUnauthorized, "password")
	if strings.Contains(err.Error(), "wrong") {
		t.Errorf("the error tells the password: %v", err)
	}
}

// fake answers like a server that has a fault.
func fake(t *testing.T, code int, message string) clickhouse.Options {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-ClickHouse-Exception-Code", fmt.Sprint(code))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, "Code: %d. DB::Exception: %s. (FAULT) (version 26.7.1.1)", code, message)
	}))
	t.Cleanup(s.Close)
	opt := impatient(clickhouse.DefaultOptions())
	opt.Retry = millrace.Duration(100 * time.Millisecond)
	opt.Address = "clickhouse://u:secret@" + strings.TrimPrefix(s.URL, "http://") + "/d?protocol=http"
	return opt
}

func TestServerErrors(t *testing.T) {
	for _, f := range []struct {
		number int
		text   string
		code   millrace.Code
		hint   string
	}{
		{516, "u: Authentication failed", millrace.ErrUnauthorized, "password"},
		{192, "There is no user u", millrace.ErrUnauthorized, "user"},
		{81, "Database d does not exist", millrace.ErrNotFound, "CREATE DATABASE"},
		{701, "Requested cluster 'x' not found", millrace.ErrNotFound, "system.clusters"},
		{497, "u: Not enough privileges", millrace.ErrForbidden, "grant"},
		{164, "Cannot modify setting in readonly mode", millrace.ErrForbidden, "readonly"},
		{242, "Table is in readonly mode", millrace.ErrUnavailable, "SYSTEM RESTART REPLICA"},
		{241, "Memory limit (total) exceeded", millrace.ErrUnavailable, "max_server_memory_usage"},
		{243, "Cannot reserve 1.00 MiB, not enough space", millrace.ErrUnavailable, "free space"},
		{1001, "std::exception: filesystem error: No space left on device", millrace.ErrUnavailable, "free space"},
		{252, "Too many parts (3000)", millrace.ErrUnavailable, "larger flushes"},
		{202, "Too many simultaneous queries", millrace.ErrUnavailable, "max_concurrent_queries"},
		{159, "Timeout exceeded", millrace.ErrTimeout, ""},
		{999, "Coordination::Exception: Session expired", millrace.ErrUnavailable, "Keeper"},
		{286, "Quorum for previous write has not been satisfied yet", millrace.ErrUnavailable, "replicas"},
		{319, "Unknown status, client must retry", millrace.ErrUnavailable, "hidden"},
		{40, "Checksum doesn't match", millrace.ErrCorrupt, "backup"},
		{46, "Unknown function version", millrace.ErrInternal, ""},
	} {
		err := refused(t, fake(t, f.number, f.text))
		explained(t, err, f.code, f.hint)
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

// TestNoClickHouse: something else listens, or nothing speaks.
func TestNoClickHouse(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") }))
	defer page.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for name, address := range map[string]string{
		"a web page, asked by HTTP":          "clickhouse://" + strings.TrimPrefix(page.URL, "http://") + "/d?protocol=http",
		"a web page, asked natively":         "clickhouse://" + strings.TrimPrefix(page.URL, "http://") + "/d",
		"silence":                            "clickhouse://" + silent.Addr().String() + "/d",
		"silence instead of HTTP":            "clickhouse://" + silent.Addr().String() + "/d?protocol=http",
		"a web page instead of TLS":          "clickhouse://" + strings.TrimPrefix(page.URL, "http://") + "/d?secure=true",
		"a name that does not exist":         "clickhouse://nosuch.invalid/d",
		"two servers, none of which answers": "clickhouse://127.0.0.1:1,127.0.0.1:2/d",
	} {
		opt := impatient(clickhouse.DefaultOptions())
		opt.Retry, opt.Timeout, opt.Connect = 0, millrace.Duration(time.Second), millrace.Duration(time.Second)
		opt.Address = address
		began := time.Now()
		err := refused(t, opt)
		if code := millrace.ErrorCode(err); code != millrace.ErrUnavailable && code != millrace.ErrTimeout {
			t.Errorf("%s: %v (%s)", name, err, code)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}

// TestPausedServer: a server that hangs is a time-out, and writing goes on when it
// wakes up.
func TestPausedServer(t *testing.T) {
	server(t) // skips
	s := chtest.Start(t, t.TempDir())
	opt := impatient(database(t, s))
	opt.Timeout = millrace.Duration(time.Second)
	db := open(t, opt, committest.New(clock))
	defer db.Close()
	w := &worker{t: t, db: db, end: perFlush}
	s.Pause()
	err := w.write(millrace.Position{})
	s.Resume()
	if code := millrace.ErrorCode(err); code != millrace.ErrTimeout && code != millrace.ErrUnavailable {
		t.Fatalf("a write to a server that hangs: %v", err)
	}
	if errors.Is(err, context.Canceled) {
		t.Fatalf("the caller did not cancel: %v", err)
	}
	w.run()
	exactlyOnce(t, db, 1, perFlush)
}
