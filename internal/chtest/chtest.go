// Package chtest runs a real ClickHouse engine for tests: a process of its own
// (see chserver), which a test may kill, stop and pause, that speaks
// ClickHouse's HTTP interface on a data directory that outlives it.
//
// The engine is downloaded (see chlib), so its tests are skipped unless
// MILLRACE_CLUSTER=1 is set; then they fail if it is missing.
package chtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startTimeout is how long the engine may take to open its data directory.
const startTimeout = 60 * time.Second

// Options of a server; only Dir is required.
type Options struct {
	Dir      string // data directory; created if absent
	Addr     string // HOST:PORT to listen on; "" for a free port of the loopback interface
	User     string // "" for "default"
	Password string
	MaxBody  int64  // largest request in bytes; 0 for no limit
	Config   string // path of a ClickHouse configuration file, such as storage policies
	Log      io.Writer

	temporary bool // Dir goes when this process ends
}

// Server is a ClickHouse engine in a process of its own. Its methods may be
// called from several goroutines, but starting and ending it by one at a time.
type Server struct {
	// Addr is HOST:PORT of the HTTP interface. It stays the same over restarts.
	Addr string

	options Options
	binary  string

	mu      sync.Mutex
	cmd     *exec.Cmd
	stdin   io.Closer
	done    chan struct{} // closed when the process has ended
	waitErr error         // of the process, once done is closed
}

// Start runs a server on the data directory until the test ends, and skips the
// test unless MILLRACE_CLUSTER=1 is set.
func Start(t testing.TB, dir string) *Server {
	t.Helper()
	return StartWith(t, Options{Dir: dir})
}

// StartWith is Start with Options.
func StartWith(t testing.TB, o Options) *Server {
	t.Helper()
	skip(t)
	if o.Log == nil {
		o.Log = os.Stderr
	}
	s, err := Launch(o)
	if err != nil {
		t.Fatalf("start ClickHouse: %v", err)
	}
	t.Cleanup(s.Kill)
	return s
}

func skip(t testing.TB) {
	t.Helper()
	if os.Getenv("MILLRACE_CLUSTER") != "1" {
		t.Skip("needs a real ClickHouse engine: make test-cluster, or MILLRACE_CLUSTER=1")
	}
}

// Shared returns a server that all tests of the process share, and the name of
// an empty database that only this test has, until it ends. Tests must not end
// the server. It skips as Start does.
func Shared(t testing.TB) (s *Server, database string) {
	t.Helper()
	skip(t)
	s, err := shared()
	if err != nil {
		t.Fatalf("start ClickHouse: %v", err)
	}
	database = fmt.Sprintf("test%d", databases.Add(1))
	if _, err := s.Query(t.Context(), "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.Query(context.Background(), "DROP DATABASE "+database+" SYNC"); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return s, database
}

var databases atomic.Int64

var shared = sync.OnceValues(func() (*Server, error) {
	dir, err := os.MkdirTemp("", "chtest-")
	if err != nil {
		return nil, err
	}
	return Launch(Options{Dir: dir, Log: os.Stderr, temporary: true})
})

// Query runs a statement and returns its result as tab-separated lines.
func (s *Server) Query(ctx context.Context, sql string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL(), strings.NewReader(sql))
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", fmt.Errorf("query ClickHouse: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", fmt.Errorf("query ClickHouse: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("query ClickHouse: %s", text)
	}
	return string(text), nil
}

// Launch starts a server outside of a test. The caller must Stop or Kill it; it
// ends by itself when this process ends in any way. The first call downloads the
// library if it is not in the cache.
func Launch(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, err
	}
	binary, err := build()
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: o.Addr, options: o, binary: binary}
	return s, s.Restart()
}

// build compiles chserver, once per process, and returns a path to run it by. It
// is a program of its own so that the engine meets no other library in its
// process (DuckDB's), and can be killed. The file is deleted at once and stays
// reachable while it is open, so that nothing is left behind.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chserver-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover is harmless
	path := filepath.Join(dir, "chserver")
	out, err := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "github.com/millrace/millrace/internal/chtest/chserver").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build chserver: %w: %s", err, out)
	}
	program, err = os.Open(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("/proc/self/fd/%d", program.Fd()), nil
})

// program is the open file of chserver, which keeps it from being closed.
var program *os.File

// URL is where the server answers, with the user and no database:
// http://default:password@127.0.0.1:40000. clickhouse-go takes it as a DSN.
func (s *Server) URL() string {
	u := url.URL{Scheme: "http", Host: s.Addr, User: url.User(s.User())}
	if s.options.Password != "" {
		u.User = url.UserPassword(s.User(), s.options.Password)
	}
	return u.String()
}

// User is the name of the server's only user.
func (s *Server) User() string {
	if s.options.User == "" {
		return "default"
	}
	return s.options.User
}

// Restart starts the server again on the same directory and port, after ending
// it gracefully if it runs, and returns when it can be asked.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	o := s.options
	args := []string{"-dir", o.Dir, "-listen", s.Addr, "-user", s.User(), "-exit-with-stdin"}
	if o.Password != "" {
		args = append(args, "-password", o.Password)
	}
	if o.MaxBody > 0 {
		args = append(args, "-max-body", fmt.Sprint(o.MaxBody))
	}
	if o.Config != "" {
		args = append(args, "-config", o.Config)
	}
	if o.temporary {
		args = append(args, "-temporary")
	}
	// It outlives any context: its end is one of several signals.
	cmd := exec.CommandContext(context.Background(), s.binary, args...)
	cmd.Stderr = o.Log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	s.cmd, s.stdin, s.done = cmd, stdin, make(chan struct{})
	s.mu.Unlock()
	addr := make(chan string, 1)
	go s.watch(cmd, stdout, addr, s.done)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	select {
	case s.Addr = <-addr:
		return nil
	case <-s.done:
		return fmt.Errorf("chserver ended before it could be asked: %w", s.waitErr)
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("chserver cannot be asked after %v", startTimeout)
	}
}

// watch reads the address that the process prints, and waits for its end.
func (s *Server) watch(cmd *exec.Cmd, stdout io.Reader, addr chan<- string, done chan struct{}) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if a, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
			addr <- a
		}
	}
	s.waitErr = cmd.Wait()
	close(done)
}

// Stop ends the server gracefully (SIGTERM): requests under way are answered.
// It returns an error if the server does not end as it should. It does nothing
// if the server does not run.
func (s *Server) Stop() error {
	if !s.signal(syscall.SIGTERM) {
		return nil
	}
	select {
	case <-s.done:
		return s.waitErr
	case <-time.After(startTimeout):
		s.Kill()
		return errors.New("chserver did not end after SIGTERM")
	}
}

// PID is the server's process; 0 while it does not run.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Kill ends the server at once (SIGKILL), in the middle of whatever it does, and
// returns when it is gone. It does nothing if the server does not run.
func (s *Server) Kill() {
	if s.signal(syscall.SIGKILL) {
		<-s.done
	}
}

// Pause stops the process without ending it (SIGSTOP): connections stay open and
// nothing answers. Resume lets it go on; Kill works on a paused server, Stop does not.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Running reports whether the process is there.
func (s *Server) Running() bool { return s.signal(syscall.Signal(0)) }

// signal sends a signal and reports whether there is a process to get it.
func (s *Server) signal(sig syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return s.cmd.Process.Signal(sig) == nil
	}
}
