package bench

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
)

// tailBytes is how much of what a process writes is kept, at least.
const tailBytes = 64 << 10

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - tailBytes; n > tailBytes {
		t.buf = append(t.buf[:0], t.buf[n:]...)
		if i := bytes.IndexByte(t.buf, '\n'); i >= 0 { // a line is whole or not there
			t.buf = append(t.buf[:0], t.buf[i+1:]...)
		}
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// last returns the last lines, n at most.
func (t *tail) last(n int) string {
	lines := strings.Split(strings.TrimRight(t.String(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// explain adds to an error what the server said last: its own message is there, not
// in the error of who asked it.
func (s *Server) explain(err error) error {
	if err == nil {
		return nil
	}
	const lines = 20
	for _, part := range []struct {
		name string
		t    *tail
	}{{"log", &s.logs}, {"output", &s.out}} {
		if text := part.t.last(lines); text != "" {
			err = fmt.Errorf("%w\nthe server's %s ends:\n%s", err, part.name, text)
		}
	}
	return err
}
