package pipeline

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/millrace/millrace"
)

func TestWindowAdmitsEachPartOnce(t *testing.T) {
	c := newClientWindows()
	f := func(client string, seq int64, part, parts int32, want bool) {
		t.Helper()
		if got := c.admit(&millrace.Record{Client: client, Seq: seq, Part: part, Parts: parts}); got != want {
			t.Errorf("%s seq %d part %d/%d: admitted %v, want %v", client, seq, part, parts, got, want)
		}
	}
	f("", 0, 0, 1, true)
	f("", 0, 0, 1, true) // no client: nothing to deduplicate by
	f("a", 0, 0, 1, true)
	f("a", 0, 0, 1, false)
	f("b", 0, 0, 1, true)
	f("a", 2, 1, 3, true) // parts in any order, retried before they are complete
	f("a", 2, 1, 3, false)
	f("a", 2, 0, 3, true)
	f("a", 1, 0, 1, true) // out of order within the window
	f("a", 2, 2, 3, true)
	f("a", 2, 2, 3, false)
	f("a", 2+WindowSize, 0, 1, true)
	f("a", 2, 0, 3, false) // fell out: was acknowledged
	f("a", 3, 0, 1, true)  // the oldest still inside, never seen
	f("a", 100*WindowSize, 0, 1, true)
	f("a", 99*WindowSize+1, 0, 1, true)
	f("a", 99*WindowSize, 0, 1, false)
	f("a", -1, 0, 1, false)
}

// The window of a client that obeys the rule (never further ahead of its oldest
// unacknowledged request than the window) admits every part exactly once, also
// when it is stored and loaded at any moment.
func TestWindowIsExactForObedientClients(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 7))
		c := newClientWindows()
		admitted := map[[2]int64]int{}
		send := func(seq int64) {
			parts := int32(1 + seq%3)
			for part := range parts {
				if c.admit(&millrace.Record{Client: "c", Seq: seq, Part: part, Parts: parts}) {
					admitted[[2]int64{seq, int64(part)}]++
				}
			}
			if rng.IntN(50) == 0 && len(c.dirty) > 0 {
				fresh := newClientWindows()
				if err := fresh.load(c.takeDirty(1)); err != nil {
					t.Fatal(err)
				}
				c = fresh
			}
		}
		const total = 3000
		oldest := int64(0)
		for oldest < total {
			for range 5 {
				send(oldest + rng.Int64N(min(WindowSize, total-oldest)))
			}
			send(oldest)
			oldest++
		}
		for key, n := range admitted {
			if n != 1 {
				t.Fatalf("seed %d: sequence %d part %d admitted %d times", seed, key[0], key[1], n)
			}
		}
		if want := 1000 * (1 + 2 + 3); len(admitted) != want {
			t.Fatalf("seed %d: %d parts admitted, want %d", seed, len(admitted), want)
		}
	}
}

func TestWindowRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	w := &window{newest: -1, partial: map[int64]map[int32]bool{}}
	for range 500 {
		w.admit(rng.Int64N(3000), rng.Int32N(4), 5)
		w.admit(rng.Int64N(3000), 0, 1)
	}
	got, err := decodeWindow(w.encode())
	if err != nil || !reflect.DeepEqual(got, w) {
		t.Fatalf("round trip differs (%v)", err)
	}
}

func FuzzDecodeWindow(f *testing.F) {
	w := &window{newest: -1, partial: map[int64]map[int32]bool{}}
	w.admit(7, 1, 3)
	f.Add(w.encode())
	f.Add([]byte{windowV1})
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := decodeWindow(b)
		if err != nil {
			return
		}
		if len(w.partial) > WindowSize {
			t.Fatalf("%d partial sequences", len(w.partial))
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	c := newClientWindows()
	r := &millrace.Record{Client: "client", Parts: 1}
	b.ReportAllocs()
	for i := range b.N {
		r.Seq = int64(i)
		c.admit(r)
	}
}
