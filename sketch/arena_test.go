package sketch

import "testing"

func TestClasses(t *testing.T) {
	for n := 1; n <= 32<<10; n++ {
		class := classOf(n)
		if size := classSize(class); size < n || class >= numClasses || size%(1<<unitBits) != 0 {
			t.Fatalf("%d bytes are in class %d of %d bytes", n, class, size)
		}
		if class > 0 && classSize(class-1) >= n {
			t.Fatalf("%d bytes are in class %d, but fit into %d", n, class, class-1)
		}
	}
}

// TestArenaKeepsBlocksApart fills blocks with their number, at random, and
// checks that none shows another's.
func TestArenaKeepsBlocksApart(t *testing.T) {
	type owned struct {
		off  uint32
		n    int
		mark byte
	}
	r := newRand(1)
	var a arena
	for round := range 4 {
		var live []owned
		for step := range 4000 {
			if len(live) > 0 && r.IntN(3) == 0 {
				i := r.IntN(len(live))
				b := live[i]
				for _, x := range a.at(b.off, classOf(b.n))[:b.n] {
					if x != b.mark {
						t.Fatalf("round %d: a block of %d bytes shows another's", round, b.n)
					}
				}
				a.release(b.off, classOf(b.n))
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
				continue
			}
			n := 1 + r.IntN(1<<(1+r.IntN(14)))
			off, buf := a.alloc(n)
			b := owned{off, n, byte(step)}
			for i := range buf {
				buf[i] = b.mark
			}
			live = append(live, b)
		}
		a.reset()
		switch round {
		case 1:
			before := a.bytes()
			a.trim(before / 2)
			if got := a.bytes(); got > before/2 || got == 0 {
				t.Errorf("trimmed %d bytes to half, %d left", before, got)
			}
		case 2:
			a.trim(0)
			if got := a.bytes(); got != 0 {
				t.Errorf("%d bytes left after trimming to none", got)
			}
		}
	}
}
