// Package browsertest drives a headless Chromium in tests through its
// remote-debugging pipe (file descriptors 3 and 4), so that it needs no port,
// no websocket and no module. Tests are skipped where no Chromium is installed.
package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Names under which distributions install the browser.
var names = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// answerWithin bounds one call of the browser: far above what a page takes on
// a loaded machine, far below the time limit of a test.
const answerWithin = 60 * time.Second

// Browser is a running Chromium. It ends with the test that started it.
type Browser struct {
	in   io.Writer
	mu   sync.Mutex
	next int
	wait map[int]chan message
	page map[string]*Page // by session
	err  error            // why reading ended
}

type message struct {
	ID        int             `json:"id"`
	Method    string          `json:"method"`
	SessionID string          `json:"sessionId"`
	Params    json.RawMessage `json:"params"`
	Result    json.RawMessage `json:"result"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// Path returns the browser that tests use: $MILLRACE_CHROMIUM, or the first of
// the usual names that is installed; "" if there is none.
func Path() string {
	if p := os.Getenv("MILLRACE_CHROMIUM"); p != "" {
		return p
	}
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	return ""
}

// Start runs a browser for the test, or skips the test where there is none.
func Start(t testing.TB) *Browser {
	t.Helper()
	path := Path()
	if path == "" {
		t.Skip("no Chromium: install it (apt-get install chromium) or set MILLRACE_CHROMIUM")
	}
	toBrowser, in, err := os.Pipe()
	check(t, "make pipe", err)
	out, fromBrowser, err := os.Pipe()
	check(t, "make pipe", err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-pipe", "--user-data-dir="+profile(t), "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser} // descriptors 3 and 4
	var log bytes.Buffer
	cmd.Stderr = &log
	check(t, "start "+path, cmd.Start())
	closeAll(toBrowser, fromBrowser)
	b := &Browser{in: in, wait: map[int]chan message{}, page: map[string]*Page{}}
	done := make(chan struct{})
	go func() { defer close(done); b.read(out) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()
		closeAll(in, out)
		<-done
		if t.Failed() && log.Len() > 0 {
			t.Logf("browser: %s", bytes.TrimSpace(log.Bytes()[max(0, log.Len()-2000):]))
		}
	})
	return b
}

// profile makes a directory that is removed late and without complaint: the
// browser's children may still write to it.
func profile(t testing.TB) string {
	dir, err := os.MkdirTemp("", "millrace-browser-")
	check(t, "make profile", err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "profile")
}

func check(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("browser: %s: %v", what, err)
	}
}

func closeAll(files ...io.Closer) {
	for _, f := range files {
		_ = f.Close() // pipes have nothing to lose
	}
}

// read takes messages, which end with a NUL byte, until the pipe closes.
func (b *Browser) read(out io.Reader) {
	r := bufio.NewReaderSize(out, 1<<20)
	for {
		raw, err := r.ReadBytes(0)
		if err != nil {
			b.fail(err)
			return
		}
		var m message
		if err := json.Unmarshal(raw[:len(raw)-1], &m); err != nil {
			b.fail(err)
			return
		}
		b.mu.Lock()
		if ch := b.wait[m.ID]; ch != nil && m.ID != 0 {
			delete(b.wait, m.ID)
			ch <- m
		} else if p := b.page[m.SessionID]; p != nil {
			p.event(m)
		}
		b.mu.Unlock()
	}
}

func (b *Browser) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	for id, ch := range b.wait {
		close(ch)
		delete(b.wait, id)
	}
}

// call sends a command and decodes its result into into, unless that is nil.
func (b *Browser) call(session, method string, params, into any) error {
	ch := make(chan message, 1)
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return fmt.Errorf("%s: the browser has ended: %w", method, b.err)
	}
	b.next++
	id := b.next
	b.wait[id] = ch
	body, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params, "sessionId": session})
	if err == nil && session == "" {
		body, err = json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	}
	if err == nil {
		_, err = b.in.Write(append(body, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m, ok := <-ch:
		switch {
		case !ok:
			return fmt.Errorf("%s: the browser has ended", method)
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case into != nil:
			return json.Unmarshal(m.Result, into)
		}
		return nil
	case <-time.After(answerWithin):
		return fmt.Errorf("%s: no answer within %s", method, answerWithin)
	}
}
