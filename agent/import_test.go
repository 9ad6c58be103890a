package agent

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/decode"
)

// server stores every (client, sequence) once, as the real one does, and tells
// when a sequence comes again with another body.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	bodies   map[string][]byte // by client/seq
	order    []string
	repeated int
	differ   int
	requests int
	// before, if set, may answer instead.
	before func(w http.ResponseWriter, n int) bool
}

func newServer(t *testing.T) *server {
	s := &server{bodies: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// answer sets what is asked before each request. Requests that a failed import
// left behind may still be under way.
func (s *server) answer(before func(w http.ResponseWriter, n int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = before
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client was killed
	}
	var f decode.Framing
	if err := decode.Frame(r.URL.Query().Get("format"), body, decode.Limits{}, &f); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.requests++
	n := s.requests
	before := s.before
	s.mu.Unlock()
	if before != nil && before(w, n) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("X-Millrace-Client") + "/" + r.Header.Get("X-Millrace-Seq")
	if have, ok := s.bodies[key]; ok {
		s.repeated++
		if !bytes.Equal(have, body) {
			s.differ++
		}
	} else {
		s.bodies[key] = body
		s.order = append(s.order, key)
	}
	rejected := []string{}
	for _, l := range f.Refused {
		rejected = append(rejected, fmt.Sprintf(`{"line":%d,"error":%q}`, l.Line, l.Reason))
	}
	_, _ = fmt.Fprintf(w, `{"accepted":%d,"rejected":[%s],"rejected_total":%d}`, len(f.Events), strings.Join(rejected, ","), len(rejected))
}

// stored returns all lines stored, in any order of requests.
func (s *server) stored() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, b := range s.bodies {
		for l := range strings.SplitSeq(strings.TrimSuffix(string(b), "\n"), "\n") {
			lines = append(lines, l)
		}
	}
	slices.Sort(lines)
	return lines
}

func (s *server) check(t *testing.T, want ...string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	if got := s.stored(); !slices.Equal(got, want) {
		t.Errorf("%d lines stored, want %d", len(got), len(want))
	}
	if s.differ > 0 {
		t.Errorf("%d sequences came again with another body", s.differ)
	}
}

func numbered(from, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf("2026-01-02 03:04:05 INFO line %d %s", from+i, strings.Repeat("x", 200))
	}
	return lines
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// importer runs imports with one state directory.
type importer struct {
	ImportOptions
	rejected []RejectedLine
}

func newImporter(t *testing.T, s *server) *importer {
	i := &importer{}
	i.ImportOptions = ImportOptions{
		Server: s.URL, Source: "test", StateDir: filepath.Join(t.TempDir(), "state"),
		Rejected: func(r RejectedLine) { i.rejected = append(i.rejected, r) },
		NewSender: func(o client.Options) (Sender, error) {
			o.After = func(time.Duration) <-chan time.Time { c := make(chan time.Time, 1); c <- time.Time{}; return c }
			o.Attempts = 3
			return client.New(s.URL, o)
		},
	}
	return i
}

func (i *importer) run(t *testing.T, status string, files ...string) FileResult {
	t.Helper()
	sum, err := Import(t.Context(), i.ImportOptions, files)
	last := sum.Files[len(sum.Files)-1]
	if last.Status != status || (status == StatusFailed) != (err != nil) {
		t.Errorf("%s: %s (%v), want %s", last.Path, last.Status, err, status)
	}
	return last
}

func TestImport(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	path := filepath.Join(t.TempDir(), "app.log")
	lines := numbered(0, 20_000)
	write(t, path, text(lines))
	res := i.run(t, StatusImported, path)
	if res.Accepted != 20_000 || res.Lines != 20_000 || res.Rejected != 0 || res.Resumed {
		t.Errorf("result %+v", res)
	}
	s.check(t, lines...)
	if s.requests < 4 || s.requests > 6 {
		t.Errorf("%d requests for %d bytes", s.requests, len(text(lines)))
	}
	i.run(t, StatusSkipped, path)
	s.check(t, lines...)
	i.Again = true
	i.run(t, StatusImported, path)
	s.check(t, append(lines, lines...)...)
}

func TestImportOfCompressedFiles(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	dir := t.TempDir()
	lines := numbered(0, 9000)
	var gz, zs bytes.Buffer
	for n, part := range [][]string{lines[:1000], lines[1000:3000]} { // two members, as logrotate makes
		w := gzip.NewWriter(&gz)
		_, _ = w.Write([]byte(text(part)))
		if err := w.Close(); err != nil {
			t.Fatal(n, err)
		}
	}
	w, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(text(lines[3000:6000])))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.log.gz"), gz.String())
	write(t, filepath.Join(dir, "b.log.zst"), zs.String())
	write(t, filepath.Join(dir, "c.log"), text(lines[6000:]))
	files, err := Expand([]string{filepath.Join(dir, "*.log*"), filepath.Join(dir, "c.log")})
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	i.run(t, StatusImported, files...)
	s.check(t, lines...)
}

func TestStandardInput(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	lines := numbered(0, 100)
	i.Stdin = strings.NewReader(text(lines))
	i.run(t, StatusImported, "-")
	s.check(t, lines...)
	if _, err := os.Stat(i.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Error("standard input left a state")
	}
}

func TestRejectedLines(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	lines := numbered(0, 10_000)
	lines[17], lines[8000] = `{"a":`, `{"b":`
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, text(lines))
	res := i.run(t, StatusImported, path)
	if got := fmt.Sprint(i.rejected); res.Rejected != 2 || got != fmt.Sprintf("[{%s 18 bad_json} {%s 8001 bad_json}]", path, path) {
		t.Errorf("rejected %d: %s", res.Rejected, got)
	}
	write(t, path, "{\"a\":\n{\n")
	if res := i.run(t, StatusImported, path); res.Rejected != 1 {
		t.Errorf("result %+v", res)
	}
	write(t, path, "{\"a\":\n{\"b\":\n")
	if res := i.run(t, StatusFailed, path); millrace.ErrorCode(res.Err) != millrace.ErrInvalid || res.Rejected != 2 {
		t.Errorf("nothing good: %+v", res)
	}
}

// What was sent stays sent when the server goes away, and the rest follows.
func TestResumeAfterFailure(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	lines := numbered(0, 50_000) // twelve chunks
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, text(lines))
	s.before = func(w http.ResponseWriter, n int) bool {
		if n == 3 { // a failure that passes
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if n > 7 {
			w.WriteHeader(http.StatusForbidden)
		}
		return n == 3 || n > 7
	}
	if res := i.run(t, StatusFailed, path); res.Accepted == 0 || !strings.Contains(res.Error, "403") {
		t.Errorf("result %+v", res)
	}
	s.answer(nil)
	i.Format = "text"
	if res := i.run(t, StatusFailed, path); millrace.ErrorCode(res.Err) != millrace.ErrConflict {
		t.Errorf("another format: %+v", res)
	}
	i.Format = "auto"
	appendTo(t, path, text(numbered(50_000, 10)))
	if res := i.run(t, StatusImported, path); !res.Resumed {
		t.Errorf("result %+v", res)
	}
	s.check(t, numbered(0, 50_010)...)
}

func TestGrownFile(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	path := filepath.Join(t.TempDir(), "app.log")
	all := numbered(0, 30)
	write(t, path, text(all[:10]))
	i.run(t, StatusImported, path)
	appendTo(t, path, strings.Join(all[10:20], "\n")) // the last line has no end
	i.run(t, StatusImported, path)
	i.run(t, StatusSkipped, path)
	appendTo(t, path, "\n"+text(all[20:]))
	if res := i.run(t, StatusImported, path); res.SplitLine != 0 || res.Accepted != 10 || !res.Resumed {
		t.Errorf("result %+v", res)
	}
	appendTo(t, path, "half a line")
	i.run(t, StatusImported, path)
	appendTo(t, path, ", the other half\n{\"a\":\n")
	if res := i.run(t, StatusImported, path); res.SplitLine != 31 {
		t.Errorf("split line %d, want 31", res.SplitLine)
	}
	if want := fmt.Sprintf("[{%s 32 bad_json}]", path); fmt.Sprint(i.rejected) != want {
		t.Errorf("rejected %v, want %s", i.rejected, want)
	}
}

func TestRotation(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	dir := t.TempDir()
	path, old := filepath.Join(dir, "app.log"), filepath.Join(dir, "app.log.1")
	all := numbered(0, 50)
	write(t, path, text(all[:10]))
	i.run(t, StatusImported, path)
	// More is written, the file is renamed, a new one begins.
	appendTo(t, path, text(all[10:20]))
	if err := os.Rename(path, old); err != nil {
		t.Fatal(err)
	}
	write(t, path, text(all[20:30]))
	i.run(t, StatusImported, path, old)
	s.check(t, all[:30]...)
	i.run(t, StatusSkipped, path)
	i.run(t, StatusSkipped, old)
	// Truncated in place and written anew.
	write(t, path, text(all[30:35]))
	i.run(t, StatusImported, path)
	s.check(t, all[:35]...)
	// Copied back to its old name: the same content is the same file.
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, string(b))
	i.run(t, StatusSkipped, path)
	// A copy under another name is another file.
	write(t, filepath.Join(dir, "copy.log"), string(b))
	i.run(t, StatusImported, filepath.Join(dir, "copy.log"))
	s.check(t, append(all[:35:35], all[30:35]...)...)
}

// A compressed file that is not complete yet is imported as far as it goes, and
// to its end when it is.
func TestTruncatedGzip(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	lines := numbered(0, 30_000)
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = w.Write([]byte(text(lines)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "app.log.gz")
	write(t, path, gz.String()[:gz.Len()*2/3])
	res := i.run(t, StatusFailed, path)
	if res.Accepted < 10_000 || res.Accepted > 20_000 || !strings.Contains(res.Error, "unexpected EOF") {
		t.Errorf("result %+v", res)
	}
	i.run(t, StatusFailed, path)
	write(t, path, gz.String())
	i.run(t, StatusImported, path)
	s.check(t, lines...)
}

func TestImportFailures(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bad.json"), "{}")
	f := func(path string, code millrace.Code) {
		t.Helper()
		if res := i.run(t, StatusFailed, path); millrace.ErrorCode(res.Err) != code {
			t.Errorf("%s: %v, want %q", path, res.Err, code)
		}
	}
	f(filepath.Join(dir, "absent"), millrace.ErrNotFound)
	f(dir, millrace.ErrInvalid)
	f(os.DevNull, millrace.ErrInvalid)
	if _, err := Expand([]string{filepath.Join(dir, "*.log")}); millrace.ErrorCode(err) != millrace.ErrNotFound {
		t.Errorf("pattern without match: %v", err)
	}
	i.Format = "nonsense"
	if _, err := Import(t.Context(), i.ImportOptions, []string{"x"}); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("unknown format: %v", err)
	}
	i.Format = ""
	s.Close()
	f(filepath.Join(dir, "bad.json"), millrace.ErrUnavailable)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Import(ctx, i.ImportOptions, []string{filepath.Join(dir, "bad.json")}); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	write(t, filepath.Join(i.StateDir, "x.json"), "{")
	f(filepath.Join(dir, "bad.json"), millrace.ErrCorrupt)
}

// A second importer of the same file must not start.
func TestLocked(t *testing.T) {
	s := newServer(t)
	i := newImporter(t, s)
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, text(numbered(0, 10)))
	inside := false
	s.before = func(http.ResponseWriter, int) bool {
		if !inside {
			inside = true
			other := newImporter(t, s)
			other.StateDir = i.StateDir
			if res := other.run(t, StatusFailed, path); millrace.ErrorCode(res.Err) != millrace.ErrConflict {
				t.Errorf("second importer: %+v", res)
			}
		}
		return false
	}
	i.run(t, StatusImported, path)
	s.check(t, numbered(0, 10)...)
}

// childEnv makes the test binary an importer that the test can kill.
const childEnv = "MILLRACE_TEST_IMPORT"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		p := strings.Split(spec, "|")
		if _, err := Import(context.Background(), ImportOptions{Server: p[0], Source: "test", StateDir: p[1]}, p[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// The importer is killed with SIGKILL again and again, before or after a request
// was stored, and the file grows meanwhile: each line is stored once.
func TestKills(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	path, zipped := filepath.Join(dir, "app.log"), filepath.Join(dir, "old.log.gz")
	plainLines, zippedLines := numbered(0, 100_000), numbered(1_000_000, 20_000)
	write(t, path, text(plainLines[:30_000]))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, _ = w.Write([]byte(text(zippedLines)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, zipped, gz.String())
	kills, next := 0, 30_000
	for done := false; !done; {
		kill := make(chan struct{}, 1)
		s.mu.Lock()
		at, drop := s.requests+1+kills%3, kills%2 == 0
		if next == len(plainLines) {
			at = -1 // enough: let it end
		}
		s.before = func(_ http.ResponseWriter, n int) bool {
			if n == at {
				kill <- struct{}{}
				return drop // dropped, or stored with the answer lost
			}
			return false
		}
		s.mu.Unlock()
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), childEnv+"="+strings.Join([]string{s.URL, filepath.Join(dir, "state"), path, zipped}, "|"))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		exited := make(chan error, 1)
		go func() { exited <- cmd.Wait() }()
		select {
		case err := <-exited:
			if err != nil {
				t.Fatal(err)
			}
			done = next == len(plainLines)
		case <-kill:
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-exited
			kills++
		}
		if next < len(plainLines) {
			appendTo(t, path, text(plainLines[next:next+10_000])) // three requests
			next += 10_000
		}
	}
	s.check(t, append(plainLines, zippedLines...)...)
	t.Logf("%d kills, %d requests repeated", kills, s.repeated)
	if kills < 5 || s.repeated == 0 {
		t.Errorf("%d kills with %d repeated requests prove little", kills, s.repeated)
	}
}
