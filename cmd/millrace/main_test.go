package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets tests run this binary as millrace itself, to kill it.
func TestMain(m *testing.M) {
	if os.Getenv("MILLRACE_TEST_MAIN") == "1" {
		os.Exit(run(testClock()))
	}
	os.Exit(m.Run())
}

// testClock is the clock of a child: the real one, or with
// MILLRACE_TEST_CLOCK=EPOCH one that has run fastClock times as fast since that
// Unix second, so that minutes close and hours settle within a test.
func testClock() func() time.Time {
	epoch, err := strconv.ParseInt(os.Getenv("MILLRACE_TEST_CLOCK"), 10, 64)
	if err != nil {
		return time.Now
	}
	begin := time.Unix(epoch, 0)
	return func() time.Time { return begin.Add(fastClock * time.Since(begin)) }
}

const fastClock = 200

// instance is a running server, in this process or in one of its own.
type instance struct {
	t    *testing.T
	url  string
	data string
	conf string // path of its configuration
	stop func() error
	cmd  *exec.Cmd     // nil in this process
	logs *lockedBuffer // what it wrote to stderr
}

// lockedBuffer is a bytes.Buffer that a child may write to while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What tests run with: no regard for how full the machine's disk is, and short
// intervals unless a test sets its own.
const (
	testConfig    = "disk_high: 99\n"
	testIntervals = "pipeline: {flush_interval: 100ms, rollup_interval: 200ms}\n"
)

// boot starts the real Main in this process on port 0, with data in dir (a new
// one if empty), and stops it when the test ends.
func boot(t *testing.T, dir, extra string, args ...string) *instance {
	t.Helper()
	if dir == "" {
		dir = t.TempDir()
	}
	in := &instance{t: t, data: dir, logs: &lockedBuffer{}}
	ready := make(chan string, 1)
	m := &Main{Stdin: strings.NewReader(""), Stdout: in.logs, Stderr: in.logs, Now: time.Now, Ready: func(url string) { ready <- url }}
	args = serveArgs(t, dir, extra, args)
	in.conf = args[2]
	if err := m.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	in.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := in.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	select {
	case in.url = <-ready:
	case err := <-done:
		done <- nil
		t.Fatalf("serve: %v\n%s", err, in.logs)
	}
	return in
}

// writeConfig writes a configuration with what tests run with.
func writeConfig(t *testing.T, path, extra string) {
	t.Helper()
	if !strings.Contains(extra, "pipeline:") {
		extra += testIntervals
	}
	if !strings.Contains(extra, "disk_high:") {
		extra += testConfig
	}
	if err := os.WriteFile(path, []byte(extra), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serveArgs(t *testing.T, dir, extra string, args []string) []string {
	t.Helper()
	cfg := filepath.Join(t.TempDir(), "millrace.yaml")
	writeConfig(t, cfg, extra)
	if !slices.Contains(args, "--http") {
		args = append(args, "--http", "127.0.0.1:0")
	}
	return append([]string{"serve", "--config", cfg, "--data", dir}, args...)
}

// spawn starts a server in a process of its own, with failpoints in env.
func spawn(t *testing.T, dir, extra, failpoints string, args ...string) *instance {
	t.Helper()
	in, err := trySpawn(t, dir, extra, failpoints, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, in.logs)
	}
	return in
}

// trySpawn is spawn for servers that may die before they listen.
func trySpawn(t *testing.T, dir, extra, failpoints string, args ...string) (*instance, error) {
	t.Helper()
	args = serveArgs(t, dir, extra, args)
	return launch(t, os.Args[0], dir, failpoints, args)
}

// launch starts a server of a binary, this one or another.
func launch(t *testing.T, binary, dir, failpoints string, args []string) (*instance, error) {
	t.Helper()
	in := &instance{t: t, data: dir, conf: args[2], logs: &lockedBuffer{}}
	in.cmd = exec.Command(binary, args...)
	in.cmd.Env = append(os.Environ(), "MILLRACE_TEST_MAIN=1", "MILLRACE_FAILPOINTS="+failpoints)
	in.cmd.Stderr = in.logs
	out, err := in.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := in.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.stop = sync.OnceValue(in.cmd.Wait)
	t.Cleanup(func() { in.kill() })
	const marker = " listens on "
	var text []byte
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		text = append(text, buf[:n]...)
		if _, rest, ok := bytes.Cut(text, []byte(marker)); ok && bytes.Contains(rest, []byte("\n")) {
			url, _, _ := strings.Cut(string(rest), "\n") // other ports come behind it
			in.url = strings.TrimSpace(url)
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return in, nil
		}
		if err != nil {
			return in, fmt.Errorf("server ended before it listened: %w", in.stop())
		}
	}
}

// kill ends the process with SIGKILL.
func (in *instance) kill() {
	_ = in.cmd.Process.Kill()
	_ = in.stop()
}

// call sends a request and decodes the JSON answer into out, if not nil.
func (in *instance) call(method, path string, body io.Reader, header http.Header, out any) (int, string) {
	in.t.Helper()
	req, err := http.NewRequestWithContext(in.t.Context(), method, in.url+path, body)
	if err != nil {
		in.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		in.t.Fatalf("%s %s: %v\n%s", method, path, err, in.logs)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	if out != nil {
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(out); err != nil {
			in.t.Fatalf("%s %s: %v in %.500s", method, path, err, text)
		}
	}
	return resp.StatusCode, string(text)
}

// post ingests a body and fails the test unless all of it was accepted.
func (in *instance) post(query, body string) int {
	in.t.Helper()
	var answer struct {
		Accepted int   `json:"accepted"`
		Rejected []any `json:"rejected"`
	}
	code, text := in.call(http.MethodPost, "/ingest?"+query, strings.NewReader(body), nil, &answer)
	if code != http.StatusOK || len(answer.Rejected) > 0 {
		in.t.Fatalf("ingest: %d %s", code, text)
	}
	return answer.Accepted
}

// sql runs a statement and returns its rows as text.
func (in *instance) sql(query string) [][]string {
	in.t.Helper()
	var answer struct {
		Rows [][]any `json:"rows"`
	}
	body, err := json.Marshal(map[string]string{"sql": query})
	if err != nil {
		in.t.Fatal(err)
	}
	code, text := in.call(http.MethodPost, "/api/v1/sql", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}, &answer)
	if code != http.StatusOK {
		in.t.Fatalf("sql %q: %d %s", query, code, text)
	}
	out := make([][]string, len(answer.Rows))
	for i, row := range answer.Rows {
		for _, v := range row {
			out[i] = append(out[i], fmt.Sprint(v))
		}
	}
	return out
}

// sqlMap runs a statement of two columns.
func (in *instance) sqlMap(query string) map[string]string {
	in.t.Helper()
	out := map[string]string{}
	for _, row := range in.sql(query) {
		out[row[0]] = row[1]
	}
	return out
}

// drain waits until both sinks have accounted for n events in all.
func (in *instance) drain(n int) {
	in.t.Helper()
	want, got := fmt.Sprint(n), map[string]string{}
	deadline := time.Now().Add(3 * time.Minute)
	for time.Now().Before(deadline) {
		got = in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome = 'received' GROUP BY sink")
		if got["events"] == want && got["rollup"] == want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	in.t.Fatalf("not drained: received %v, want %s\n%s", got, want, in.logs)
}

// TestRelativeTimes: -1h after --from is a time, not a flag.
func TestRelativeTimes(t *testing.T) {
	got := relative([]string{"rollup", "traffic", "--from", "-1d12h", "--to", "now", "--by", "-x", "--to", "-5m"})
	want := []string{"rollup", "traffic", "--from=-1d12h", "--to", "now", "--by", "-x", "--to=-5m"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
