package auth

import (
	"math/bits"
	"time"
)

// bucket limits a rate, by the generic cell rate algorithm (ITU-T I.371, the
// virtual scheduling form): all it keeps is when everything taken so far will
// have passed at the rate. The rate may change at any time.
type bucket struct {
	passed time.Time
}

// defaultBurst is how many seconds of the rate may come at once.
const defaultBurst = 10

// longestDebt keeps sums of times from overflowing: a request of a billion bytes
// at one per second takes 32 years.
const longestDebt = 1000 * 24 * time.Hour

// wait returns for how long nothing may be taken, 0 if something may be.
func (b *bucket) wait(now time.Time, rate, burst int64) time.Duration {
	if rate <= 0 || b.idle(now) {
		return 0
	}
	ahead := time.Duration(defaultBurst) * time.Second
	if burst > 0 {
		ahead = duration(burst, rate)
	}
	// At exactly one burst ahead nothing is left.
	if over := b.passed.Sub(now) - ahead; over >= 0 {
		return over + 1
	}
	return 0
}

func (b *bucket) take(now time.Time, n, rate int64) {
	if rate <= 0 {
		return
	}
	if b.passed.Before(now) {
		b.passed = now
	}
	b.passed = b.passed.Add(duration(n, rate))
}

// give undoes a take.
func (b *bucket) give(n, rate int64) {
	if rate > 0 {
		b.passed = b.passed.Add(-duration(n, rate))
	}
}

// idle reports whether the bucket is as good as a new one.
func (b *bucket) idle(now time.Time) bool { return !b.passed.After(now) }

// duration is how long n take at a rate per second.
func duration(n, rate int64) time.Duration {
	hi, lo := bits.Mul64(uint64(n), uint64(time.Second))
	if hi >= uint64(rate) {
		return longestDebt
	}
	d, _ := bits.Div64(hi, lo, uint64(rate))
	return time.Duration(min(d, uint64(longestDebt)))
}
