//go:build linux

package pgtest

import (
	"net"
	"testing"
	"time"
)

// What was committed outlives a kill, and a paused server neither answers nor
// cuts connections.
func TestServer(t *testing.T) {
	s := Start(t)
	if first, second := s.Database(), s.Database(); first == second {
		t.Error("two databases have one name")
	}
	s.SQL("postgres", "CREATE TABLE kept (n int)")
	for i := range 3 {
		s.SQL("postgres", "INSERT INTO kept VALUES (1)")
		s.Kill()
		if c, err := net.Dial("tcp", s.Addr()); err == nil {
			_ = c.Close()
			t.Fatal("a killed server takes connections")
		}
		s.Restart()
		if got, want := s.SQL("postgres", "SELECT count(*) FROM kept"), string(rune('1'+i)); got != want {
			t.Fatalf("%s rows, want %s", got, want)
		}
	}
	s.Pause()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		s.SQL("postgres", "SELECT 1")
	}()
	select {
	case <-answered:
		t.Error("a paused server answered")
	case <-time.After(100 * time.Millisecond):
	}
	s.Resume()
	<-answered
}
