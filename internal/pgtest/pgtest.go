//go:build linux

// Package pgtest runs a real PostgreSQL for tests: its own data directory, a
// port on loopback, fsync on as in production. It can be killed and paused as a
// machine would be.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Env must be "1" for tests that need the servers of a cluster: they are skipped
// without, and fail with it if a server is missing.
const Env = "MILLRACE_CLUSTER"

// User and Password are those of the superuser.
const (
	User     = "postgres"
	Password = "it's a secret/?#"
)

// startTimeout is how long a server may take to accept connections, recovery
// after a kill included, on a busy machine.
const startTimeout = time.Minute

// Server is one PostgreSQL. Its methods fail the test it was started for.
// Not safe for concurrent use, but for URL and Database.
type Server struct {
	t    testing.TB
	bin  string // directory of the programs
	dir  string
	port int
	args []string
	cred *syscall.Credential // whom it runs as, nil for ourselves

	cmd       *exec.Cmd
	exited    chan struct{}
	log       *os.File
	databases atomic.Int64
}

// Start runs a server until the test ends. settings are added to its
// configuration, each as name=value; "ssl=on" also makes it a certificate, see
// RootCert.
func Start(t testing.TB, settings ...string) *Server {
	t.Helper()
	if os.Getenv(Env) != "1" {
		t.Skip("needs PostgreSQL: make test-cluster, or " + Env + "=1 with Debian's package postgresql")
	}
	bin, err := programs()
	if err != nil {
		t.Fatalf("%v; install Debian's package postgresql, or unset %s", err, Env)
	}
	s := &Server{t: t, bin: bin}
	// Not t.TempDir: another user must get there, and the path of the socket may
	// have 107 bytes.
	s.dir, err = os.MkdirTemp("", "pg")
	s.must(err)
	t.Cleanup(s.close)
	s.must(os.Chmod(s.dir, 0o755)) //nolint:gosec // of a temporary directory that holds no secret but below data
	s.cred, err = runAs()
	s.must(err)
	s.must(os.Mkdir(s.path("sock"), 0o700))
	s.must(s.chown(s.path("sock")))
	s.port, err = freePort()
	s.must(err)
	s.initdb()
	for _, set := range append([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=" + s.path("sock"),
		"shared_buffers=32MB", "log_min_messages=warning",
	}, settings...) {
		s.args = append(s.args, "-c", set)
		if set == "ssl=on" {
			s.certificate()
		}
	}
	s.log, err = os.Create(s.path("log"))
	s.must(err)
	s.launch()
	return s
}

// programs finds the directory of PostgreSQL's programs, the newest version's.
func programs() (string, error) {
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil {
			return filepath.Dir(p), nil
		}
	}
	// Debian does not put them on the path.
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("no postgres on the path or in /usr/lib/postgresql/*/bin")
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// runAs returns an account without rights if we have all: the server refuses to
// run as root.
func runAs() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
	}
	return nil, errors.New("the server does not run as root, and there is neither a user postgres nor nobody")
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) chown(path string) error {
	if s.cred == nil {
		return nil
	}
	return os.Chown(path, int(s.cred.Uid), int(s.cred.Gid))
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("PostgreSQL: %v\n%s", err, s.logTail())
	}
}

func (s *Server) logTail() []byte {
	data, _ := os.ReadFile(s.path("log"))
	return data[max(0, len(data)-2000):]
}

// command prepares one of PostgreSQL's programs.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...) //nolint:gosec // found by programs
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PGPASSWORD="+Password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	return cmd
}

func (s *Server) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	out, err := s.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", name, err, bytes.TrimSpace(out))
	}
	return strings.TrimSpace(string(out)), err
}

func (s *Server) initdb() {
	s.must(os.Mkdir(s.path("data"), 0o700))
	s.must(s.chown(s.path("data")))
	s.must(os.WriteFile(s.path("pw"), []byte(Password+"\n"), 0o600))
	s.must(s.chown(s.path("pw")))
	// What initdb writes need not survive a power cut; what the server does, must.
	_, err := s.run("initdb", "-D", s.path("data"), "-U", User, "--pwfile", s.path("pw"), "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync")
	s.must(err)
}

// launch starts the server and waits until it takes connections.
func (s *Server) launch() {
	s.t.Helper()
	s.cmd = s.command(context.Background(), "postgres", append([]string{"-D", s.path("data")}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.exited = make(chan struct{})
	started := make(chan error)
	go func(cmd *exec.Cmd, exited chan struct{}) {
		// The kernel kills the server when the thread that started it ends, so
		// that none is left behind when the tests are killed. It is never unlocked.
		runtime.LockOSThread()
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
		close(exited)
	}(s.cmd, s.exited)
	s.must(<-started)
	for deadline := time.Now().Add(startTimeout); !s.ready(); {
		select {
		case <-s.exited:
			s.must(errors.New("the server ended at its start"))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.must(fmt.Errorf("the server does not take connections after %s", startTimeout))
		}
	}
}

// ready looks at the file that pg_ctl looks at: the first line is the process,
// the last is its state.
func (s *Server) ready() bool {
	data, err := os.ReadFile(s.path("data/postmaster.pid"))
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return err == nil && lines[0] == strconv.Itoa(s.cmd.Process.Pid) && strings.TrimSpace(lines[len(lines)-1]) == "ready"
}

// Addr is host:port of the server, the same after a Restart.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL names a database of the server, as its superuser.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: s.Addr(), Path: "/" + database}
	return u.String()
}

// Database creates an empty database and returns its URL.
func (s *Server) Database() string {
	s.t.Helper()
	name := fmt.Sprintf("test_%d", s.databases.Add(1))
	s.SQL("postgres", "CREATE DATABASE "+name)
	return s.URL(name)
}

// SQL runs statements in a database and returns what they print.
func (s *Server) SQL(database, statements string) string {
	s.t.Helper()
	out, err := s.run("psql", "-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-U", User, "-d", database, "-c", statements)
	s.must(err)
	return out
}
