package clienttest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Require skips the test unless MILLRACE_CLIENTS is set, and fails it if one of
// the programs is missing then. It returns the programs' paths.
func Require(t *testing.T, programs ...string) []string {
	t.Helper()
	if os.Getenv("MILLRACE_CLIENTS") == "" {
		t.Skip("needs real clients: make test-clients")
	}
	paths := make([]string, len(programs))
	for i, name := range programs {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%s is missing: %v; .ci/run installs it", name, err)
		}
		paths[i] = path
	}
	return paths
}

var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("MILLRACE_BINARY"); path != "" {
		return path, nil
	}
	path := filepath.Join(os.TempDir(), fmt.Sprintf("millrace-clienttest-%d", os.Getuid()))
	cmd := exec.Command("go", "build", "-o", path, "./cmd/millrace")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build millrace: %w\n%s", err, out)
	}
	return path, nil
})

// Server is a millrace in a process of its own, on one port for all of its life,
// however often it is killed.
type Server struct {
	t      *testing.T
	dir    string
	args   []string
	Addr   string // host:port of the HTTP side
	URL    string
	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// Start starts a server with a new data directory. config is YAML added to the
// defaults, args are further flags of serve. It ends with the test.
func Start(t *testing.T, config string, args ...string) *Server {
	t.Helper()
	Require(t)
	s := &Server{t: t, dir: t.TempDir(), args: args, Addr: FreeAddr(t)}
	s.URL = "http://" + s.Addr
	if strings.HasPrefix(config, "tls:") {
		s.URL = "https://" + s.Addr
	}
	if config != "" {
		path := filepath.Join(s.dir, "millrace.yaml")
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		s.args = append([]string{"--config", path}, s.args...)
	}
	s.Restart()
	t.Cleanup(s.Kill)
	return s
}

// client takes the certificates that tests make for the server.
var client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}

// FreeAddr returns an address that was free a moment ago.
func FreeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// Kill ends the process with SIGKILL.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.exited
	s.cmd = nil
}

// Restart starts the process again and waits until it is ready.
func (s *Server) Restart() {
	s.t.Helper()
	binary, err := build()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	args := append([]string{"serve", "--data", filepath.Join(s.dir, "data"), "--http", s.Addr}, s.args...)
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = &s.stdout, &s.stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(done chan struct{}) { _ = cmd.Wait(); close(done) }(s.exited)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(s.URL + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended: %s%s", &s.stdout, &s.stderr)
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server is not ready: %v", err)
		}
	}
}

// SQL runs a statement and returns its rows as text.
func (s *Server) SQL(query string) [][]string {
	s.t.Helper()
	rows, err := s.sql(query)
	if err != nil {
		s.t.Fatalf("%s: %v", query, err)
	}
	return rows
}

func (s *Server) sql(query string) ([][]string, error) {
	body, err := json.Marshal(map[string]string{"sql": query})
	if err != nil {
		return nil, err
	}
	resp, err := client.Post(s.URL+"/api/v1/sql", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %w", resp.Status, text, err)
	}
	var answer struct{ Rows [][]any }
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&answer); err != nil {
		return nil, err
	}
	out := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		for _, v := range row {
			out[i] = append(out[i], fmt.Sprint(v))
		}
	}
	return out, nil
}

// Wait waits until a statement, of one number, gives want, and fails the test
// with what it gave last after a minute.
func (s *Server) Wait(want int, query string) {
	s.t.Helper()
	var rows [][]string
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		rows, err = s.sql(query)
		if err == nil && len(rows) == 1 && rows[0][0] == fmt.Sprint(want) {
			return
		}
	}
	s.t.Fatalf("%s: %v, %v; want %d\n%s", query, rows, err, want, s.Log())
}

// Log returns what the server wrote to its log, its end at least.
func (s *Server) Log() string {
	var tail []string
	for sc := bufio.NewScanner(strings.NewReader(s.stderr.String())); sc.Scan(); {
		tail = append(tail, sc.Text())
	}
	return strings.Join(tail[max(0, len(tail)-30):], "\n")
}
