package clienttest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/bradfitz/gomemcache/memcache" // what the page's program needs
)

// feedMemcached runs one of the page's programs with lines on its standard
// input, and kills the server in the middle. The page says that nothing is lost,
// and a line whose answer was lost is there twice.
func feedMemcached(t *testing.T, start func(addr string) *exec.Cmd) {
	t.Helper()
	addr := FreeAddr(t)
	s := Start(t, "", "--listen", "memcached="+addr)
	cmd := start(addr)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	const lines = 600
	restarted := make(chan struct{})
	for i := range lines {
		if i == lines/3 {
			// The program has read what the pipe holds; it is killed at work.
			time.Sleep(200 * time.Millisecond)
			s.Kill()
			go func() {
				defer close(restarted)
				time.Sleep(300 * time.Millisecond)
				s.Restart()
			}()
		}
		if _, err := fmt.Fprintf(in, "level=warn service=shop order=%d msg=placed\n", i); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	<-restarted
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		_, _ = log.Seek(0, io.SeekStart)
		text, _ := io.ReadAll(log)
		t.Fatalf("%v: %s", err, text)
	}
	s.Wait(lines, "SELECT count(DISTINCT (attrs->>'order')) FROM events WHERE source = 'checkout' AND service = 'shop' AND level = 'warn' AND message != ''")
	var n int
	_, _ = fmt.Sscan(s.SQL("SELECT count(*) FROM events WHERE source = 'checkout'")[0][0], &n)
	if n > lines+1 {
		t.Errorf("%d lines of %d: one may be doubled", n, lines)
	}
}

func TestMemcachedGo(t *testing.T) {
	Require(t, "go")
	// A program within this module, whose dependency it is.
	dir, err := os.MkdirTemp(".", "_memcached-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	feedMemcached(t, func(addr string) *exec.Cmd {
		source := filepath.Join(dir, "main.go")
		if err := os.WriteFile(source, []byte(Snippet(t, "memcached.md", "go", 0, "127.0.0.1:11211", addr)), 0o600); err != nil {
			t.Fatal(err)
		}
		binary := filepath.Join(t.TempDir(), "sender")
		if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return exec.Command(binary)
	})
}

func TestMemcachedPython(t *testing.T) {
	Require(t)
	python := Python(t)
	feedMemcached(t, func(addr string) *exec.Cmd {
		return exec.Command(python, write(t, "sender.py", Snippet(t, "memcached.md", "python", 0, "11211", port(addr))))
	})
}
