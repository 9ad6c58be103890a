package exception_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace/exception"
)

func offsets(r *exception.Reservoir[int]) (oldest, newest int64, random []int64) {
	o, n, list, _ := r.Samples()
	for _, s := range list {
		random = append(random, s.Place.Offset)
	}
	slices.Sort(random)
	return o.Place.Offset, n.Place.Offset, random
}

// TestReservoirFair: over 10,000 reservoirs each of 20 events is chosen as often
// as any other, by chi-square.
func TestReservoirFair(t *testing.T) {
	const runs, n, k = 10_000, 20, 5
	counts := [n]float64{}
	for run := range runs {
		r := exception.NewReservoir[int](uint64(run), k)
		for i := range n {
			r.Offer(exception.Place{Partition: 3, Offset: int64(i / 4), Ordinal: int32(i % 4)}, int64(i), i)
		}
		_, _, random, ok := r.Samples()
		if !ok || len(random) != k {
			t.Fatalf("%d samples", len(random))
		}
		for _, s := range random {
			counts[s.Detail]++
		}
	}
	chi, want := 0.0, float64(runs*k)/n
	for _, c := range counts {
		chi += (c - want) * (c - want) / want
	}
	// Choices without replacement vary less than independent ones; 43.8 is the
	// 99.9th percentile for 19 degrees of freedom.
	if chi *= float64(n-1) / float64(n-k); chi > 43.8 {
		t.Errorf("chi-square is %.1f: %v", chi, counts)
	}
	t.Logf("chi-square %.1f for 19 degrees of freedom", chi)
}

// TestReservoirReplay: order, repetition and division do not matter; the result
// is what sorting all events gives.
func TestReservoirReplay(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		n := rnd.IntN(60) + 1
		times := make([]int64, n)
		for i := range times {
			times[i] = int64(rnd.IntN(20))
		}
		offer := func(r *exception.Reservoir[int], i int) {
			p := exception.Place{Offset: int64(i)}
			before := len(mustRandom(r))
			wanted := r.Wants(p, times[i])
			r.Offer(p, times[i], i)
			if !wanted && len(mustRandom(r)) != before {
				t.Fatal("kept what it did not want")
			}
		}
		whole := exception.NewReservoir[int](uint64(round), 4)
		a, b := exception.NewReservoir[int](uint64(round), 4), exception.NewReservoir[int](uint64(round), 4)
		for i := range n {
			offer(whole, i)
		}
		for _, i := range rnd.Perm(n) {
			offer(a, i)
			if i%2 == 0 { // events of both halves
				offer(b, i)
			}
		}
		half := exception.NewReservoir[int](uint64(round), 4)
		for i := 1; i < n; i += 2 {
			offer(half, i)
		}
		half.Merge(b)
		a.Merge(a)
		wo, wn, wr := offsets(whole)
		for _, r := range []*exception.Reservoir[int]{a, half} {
			if o, nw, random := offsets(r); o != wo || nw != wn || !slices.Equal(random, wr) {
				t.Fatalf("round %d: %d %d %v, want %d %d %v", round, o, nw, random, wo, wn, wr)
			}
		}
		if times[wo] != slices.Min(times) || times[wn] != slices.Max(times) || len(wr) != min(n, 4) {
			t.Fatalf("oldest %d, newest %d, %d random of %v", wo, wn, len(wr), times)
		}
	}
	if _, _, _, ok := exception.NewReservoir[int](1, 0).Samples(); ok {
		t.Error("an empty reservoir has samples")
	}
}

func mustRandom(r *exception.Reservoir[int]) []exception.Sample[int] {
	_, _, random, _ := r.Samples()
	return random
}
