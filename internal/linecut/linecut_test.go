package linecut

import (
	"bytes"
	"strings"
	"testing"
)

// run feeds in to a Cutter in pieces of size and returns what is left.
func run(in string, size, maxLine int) (string, *Cutter) {
	c := &Cutter{Max: maxLine}
	var buf []byte
	for p := []byte(in); len(p) > 0; {
		n := min(size, len(p))
		buf = c.Added(append(buf, p[:n]...), n)
		p = p[n:]
	}
	c.End(len(buf))
	return string(buf), c
}

func TestCutter(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	f := func(in, want string, removed ...int64) {
		t.Helper()
		got, c := run(in, 1, 4)
		if got != want || len(c.Cuts) != len(removed) {
			t.Fatalf("%q: got %q, cuts %v; want %q, %v", in, got, c.Cuts, want, removed)
		}
		for i, cut := range c.Cuts {
			if cut.Removed != removed[i] || c.Removed(cut.Line) != removed[i] {
				t.Errorf("%q: cut %v, want %d", in, cut, removed[i])
			}
		}
	}
	f("", "")
	f("a\nb\n", "a\nb\n")
	f(x(6)+"\n", x(6)+"\n")
	f(x(7)+"\nb", x(6)+"\nb", 1)
	f("a\n"+x(100)+"\n\n"+x(50), "a\n"+x(6)+"\n\n"+x(6), 94, 44)
}

// However the stream is cut, lines are the same but for the length of those
// that are too long, and what is removed adds up.
func FuzzCutter(f *testing.F) {
	f.Add("a\nbbbbbbbbbbbb\n\nccccccc", 3)
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size <= 0 || size > 1000 {
			return
		}
		got, c := run(in, size, 4)
		removed := 0
		for _, cut := range c.Cuts {
			removed += int(cut.Removed)
		}
		if len(got)+removed != len(in) {
			t.Fatalf("%d kept and %d removed of %d", len(got), removed, len(in))
		}
		was, is := bytes.Split([]byte(in), []byte("\n")), bytes.Split([]byte(got), []byte("\n"))
		if len(was) != len(is) {
			t.Fatalf("%d lines became %d", len(was), len(is))
		}
		for i := range was {
			if len(was[i]) <= 4 && !bytes.Equal(was[i], is[i]) {
				t.Fatalf("line %d: %q became %q", i, was[i], is[i])
			}
			if len(was[i]) > 4 && (len(is[i]) <= 4 || !bytes.HasPrefix(was[i], is[i])) {
				t.Fatalf("line %d: %q became %q", i, was[i], is[i])
			}
		}
	})
}
