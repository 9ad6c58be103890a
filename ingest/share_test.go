package ingest

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/millrace/millrace"
)

func newBudget(limit int64) *budget {
	b := &budget{}
	b.limit.Store(limit)
	return b
}

func openShare(b *budget, key, address string) *share {
	s := &share{}
	s.open(b, key, address)
	return s
}

// takeAll takes pieces of n until nothing more is given.
func takeAll(b *budget, s *share, n int64) (got int64) {
	for b.takeFor(s, n) == nil {
		got += n
	}
	return got
}

// A greedy client leaves room, whoever comes gets some, and all is given back.
func TestShares(t *testing.T) {
	const limit = 999
	b := newBudget(limit)
	greedy := openShare(b, "g", "10.0.0.1")
	second := openShare(b, "g", "10.0.0.1") // it has two requests, so it is not alone with one
	if got := takeAll(b, greedy, 1); got != 666 {
		t.Errorf("an address alone gets %d, want two thirds", got)
	}
	if err := b.takeFor(second, 1); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Errorf("its other request: %v", err)
	}
	other := openShare(b, "o", "10.0.0.1") // the same address with another key is another client
	idle := openShare(b, "o", "10.0.0.1")
	had := takeAll(b, other, 1)
	if had != 222 {
		t.Errorf("the next one gets %d, want two thirds of what is left", had)
	}
	if third := openShare(b, "", "10.0.0.2"); takeAll(b, third, 1) != 74 {
		t.Error("the third one does not get two thirds of what is left")
	} else {
		b.giveFor(third, 74)
		third.close()
	}
	// What the greedy one gives back goes to others until shares are even.
	b.giveFor(greedy, 666)
	if got := had + takeAll(b, other, 1); got != 666 {
		t.Errorf("the other one has %d", got)
	}
	b.giveFor(other, 666)
	greedy.close()
	second.close()
	other.close()
	idle.close()
	if b.used.Load() != 0 || len(b.holders) != 0 {
		t.Errorf("%d used by %d holders", b.used.Load(), len(b.holders))
	}
}

// A key with many addresses leaves room for other keys, and for addresses of its
// own.
func TestShareOfKey(t *testing.T) {
	const limit = 10_000
	b := newBudget(limit)
	held := int64(0)
	openShare(b, "k", "a") // else the first one has a single request, and may have all
	for i := range 50 {
		s := openShare(b, "k", string(rune('a'+i)))
		held += takeAll(b, s, 1)
	}
	if held != limit*4/5 {
		t.Errorf("a key gets %d, want four fifths", held)
	}
	if got := takeAll(b, openShare(b, "l", "a"), 1); got < limit/8 {
		t.Errorf("another key gets %d", got)
	}
}

// A single request may have it all, and then no other anything.
func TestShareAlone(t *testing.T) {
	b := newBudget(100)
	s := openShare(b, "k", "a")
	if err := b.takeFor(s, 100); err != nil {
		t.Fatal(err)
	}
	if err := b.takeFor(openShare(b, "l", "b"), 1); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Errorf("got %v", err)
	}
	if err := b.claim(s, 1); millrace.ErrorCode(err) != millrace.ErrThrottled || b.used.Load() != 100 {
		t.Errorf("claim: %v, %d used", err, b.used.Load())
	}
}

// A client begins no more large bodies than it can finish; claims of others, or
// small ones, do not count.
func TestClaims(t *testing.T) {
	b := newBudget(256 << 20)
	first, second, other := openShare(b, "g", "a"), openShare(b, "g", "a"), openShare(b, "o", "a")
	for _, s := range []*share{first, other} {
		if err := b.claim(s, 60<<20); err != nil {
			t.Error(err)
		}
	}
	if err := b.claim(second, 60<<20); millrace.ErrorCode(err) != millrace.ErrThrottled {
		t.Errorf("a second large body: %v", err)
	}
	if err := b.claim(second, firstBuffer); err != nil {
		t.Errorf("a small body: %v", err)
	}
	first.close()
	if err := b.claim(second, 60<<20); err != nil {
		t.Errorf("after the first: %v", err)
	}
	second.close()
	other.close()
	if b.used.Load() != 0 || len(b.holders) != 0 {
		t.Errorf("%d used by %d holders", b.used.Load(), len(b.holders))
	}
}

// Hosts have a network of IPv6 to themselves.
func TestShareOfNetwork(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"192.0.2.1", "192.0.2.2", false},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"@", "@", true},
	} {
		if (network(c.a) == network(c.b)) != c.same {
			t.Errorf("%s and %s: %s, %s", c.a, c.b, network(c.a), network(c.b))
		}
	}
}

// Whatever many clients do at once, the total holds and everything comes back.
func TestSharesConcurrent(t *testing.T) {
	b := newBudget(1 << 20)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 2000 {
				s := openShare(b, string(rune('a'+r.IntN(3))), string(rune('a'+r.IntN(4))))
				var taken int64
				for range r.IntN(5) {
					n := 1 + r.Int64N(1<<18)
					if b.takeFor(s, n) == nil {
						taken += n
					}
					if used := b.used.Load(); used > 1<<20+8<<18 {
						t.Errorf("%d used", used)
					}
				}
				b.giveFor(s, taken)
				s.close()
			}
		})
	}
	wg.Wait()
	if b.used.Load() != 0 || len(b.holders) != 0 {
		t.Errorf("%d used by %d holders", b.used.Load(), len(b.holders))
	}
}

func BenchmarkShare(b *testing.B) {
	mem := newBudget(1 << 30)
	b.ReportAllocs()
	for b.Loop() {
		var s share
		s.open(mem, "key", "192.0.2.1")
		_ = mem.takeFor(&s, 1<<16)
		mem.giveFor(&s, 1<<16)
		s.close()
	}
}
