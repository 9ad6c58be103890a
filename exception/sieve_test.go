package exception_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/exception"
)

// TestSieveIsReservoir: after each event of many streams, in any order and with
// repetitions, the sieve holds exactly the events that the reservoir has.
func TestSieveIsReservoir(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		size := rng.IntN(6)
		seed := rng.Uint64()
		r, s := exception.NewReservoir[int](seed, size), exception.NewSieve(seed, size)
		times := map[exception.Place]int64{}
		for range rng.IntN(80) {
			p := exception.Place{Partition: int32(rng.IntN(2)), Offset: int64(rng.IntN(10)), Ordinal: int32(rng.IntN(3))}
			at, again := times[p]
			if !again {
				at = int64(rng.IntN(15))
				times[p] = at
			}
			r.Offer(p, at, 0)
			kept := s.Offer(p, at)
			has := map[exception.Place]bool{}
			oldest, newest, random, _ := r.Samples()
			has[oldest.Place], has[newest.Place] = true, true
			chosen := map[exception.Place]bool{}
			for _, x := range random {
				has[x.Place], chosen[x.Place] = true, true
			}
			if kept != has[p] && !again {
				t.Fatalf("round %d: offered %v: kept %t, the reservoir %t", round, p, kept, has[p])
			}
			for q := range times {
				if s.Holds(q) != has[q] {
					t.Fatalf("round %d: sieve holds %v: %t, the reservoir %t", round, q, s.Holds(q), has[q])
				}
				if s.Oldest(q) != (q == oldest.Place) || s.Newest(q) != (q == newest.Place) {
					t.Fatalf("round %d: %v is the oldest: %t, the newest: %t", round, q, s.Oldest(q), s.Newest(q))
				}
				if s.Chosen(q) != chosen[q] {
					t.Fatalf("round %d: %v is chosen: %t", round, q, s.Chosen(q))
				}
			}
		}
	}
}

// TestSieveAllocates: a sieve that is full takes events for nothing.
func TestSieveAllocates(t *testing.T) {
	s := exception.NewSieve(1, 20)
	at := int64(0)
	offer := func() {
		at++
		s.Offer(exception.Place{Offset: at}, at)
	}
	for range 40 {
		offer()
	}
	if n := testing.AllocsPerRun(1000, offer); n != 0 {
		t.Errorf("%v allocations per event", n)
	}
}

func TestSampleMinute(t *testing.T) {
	f := func(time, want int64) {
		t.Helper()
		if got := exception.SampleMinute(time); got != want {
			t.Errorf("minute of %d is %d, want %d", time, got, want)
		}
	}
	f(0, 0)
	f(59_999_999_999, 0)
	f(60_000_000_000, 1)
	f(-1, -1)
	f(-60_000_000_000, -1)
	f(-60_000_000_001, -2)
	f(math.MinInt64, -153722868)
	h := exception.FingerprintHash("p", "f")
	if h == exception.FingerprintHash("pf", "") || h == exception.FingerprintHash("", "pf") {
		t.Error("project and fingerprint run together")
	}
	if exception.SampleSeed(h, 1) != exception.SampleSeed(h, 59e9) || exception.SampleSeed(h, 1) == exception.SampleSeed(h, 60e9) {
		t.Error("seeds are not those of minutes")
	}
}
