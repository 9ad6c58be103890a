package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/gen"
)

func TestTail(t *testing.T) {
	var tl tail
	for i := range 40_000 {
		fmt.Fprintf(&tl, "line %d\n", i)
	}
	if got := tl.last(2); got != "line 39998\nline 39999" {
		t.Errorf("the last lines are %q", got)
	}
	if n := len(tl.String()); n < tailBytes-20 || n > 2*tailBytes {
		t.Errorf("%d bytes are kept", n)
	}
	if first, _, _ := strings.Cut(tl.String(), "\n"); !strings.HasPrefix(first, "line ") {
		t.Errorf("it begins with half a line: %q", first)
	}
}

// TestServersLastWords: what a server says before it fails is in the error.
func TestServersLastWords(t *testing.T) {
	_, err := Start(exec.Command("sh", "-c", "echo memory is too little >&2; echo FAIL; exit 3"), t.TempDir())
	for _, want := range []string{"before it listened", "exit status 3", "memory is too little", "FAIL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an error without %q: %v", want, err)
		}
	}
	s, err := Start(exec.Command("sh", "-c", "echo it listens on http://127.0.0.1:1; echo the disk is full >&2; sleep 0.1; exit 1"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	<-s.done
	s.done <- errors.New("exit status 1")
	if _, err := s.Stop(); err == nil || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("stopped with %v", err)
	}
	if _, err := RunCrashes(t.Context(), s, CrashJob{Load: CrashLoad{CrashOptions: gen.CrashOptions{Faults: 1, Bytes: 500}}}); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("asked in vain: %v", err)
	}
}
