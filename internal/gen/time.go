package gen

import (
	"math"
	"time"
)

// Load returns the load at t relative to its mean, by the shape of a day and a
// week and by bursts: two busy minutes now and then, in which the load is up
// to three times as high.
func (g *Generator) Load(t time.Time) float64 {
	t = t.UTC()
	hour := float64(t.Hour()) + float64(t.Minute())/60
	load := 1 + 0.45*math.Cos((hour-14.5)/24*2*math.Pi) + 0.12*math.Cos((hour-20)/12*2*math.Pi)
	if wd := t.Weekday(); wd == time.Saturday || wd == time.Sunday {
		load *= 0.8
	}
	minute := uint64(t.Unix() / 60)
	for _, m := range []uint64{minute, minute - 1} {
		if h := mix(g.seed ^ m*0x5851F42D4C957F2D); h%41 == 0 {
			load *= 1.6 + float64(h>>40&0xFF)/182
			break
		}
	}
	return load * (0.92 + float64(mix(g.seed+minute)>>56)/1600)
}

// Lateness draws how long after its time a line arrives: mostly at once, 3% of
// the lines minutes and 0.4% hours late, as from phones that were offline and
// hosts that were cut off.
func (g *Generator) Lateness() time.Duration {
	r := g.rng.Uint64()
	switch p := r & 0xFFFF; {
	case p < 262: // 0.4%
		return time.Hour + time.Duration(r>>16%uint64(6*time.Hour))
	case p < 262+1966: // 3%
		return time.Minute + time.Duration(r>>16%uint64(20*time.Minute))
	}
	return 0
}

// clock renders times; consecutive ones mostly share the second.
type clock struct {
	sec   int64
	rfc   [19]byte // 2026-01-02T15:04:05
	clf   [26]byte // 02/Jan/2026:15:04:05 +0000
	valid bool
}

func (c *clock) set(ns int64) (frac int64) {
	sec, frac := ns/1e9, ns%1e9
	if frac < 0 {
		sec, frac = sec-1, frac+1e9
	}
	if !c.valid || c.sec != sec {
		t := time.Unix(sec, 0).UTC()
		t.AppendFormat(c.rfc[:0], "2006-01-02T15:04:05")
		t.AppendFormat(c.clf[:0], "02/Jan/2006:15:04:05 -0700")
		c.sec, c.valid = sec, true
	}
	return frac
}

// timeLen is the length of what micros appends.
const timeLen = len("2026-01-02T15:04:05.000000Z")

// micros appends RFC 3339 with microseconds.
func (c *clock) micros(dst []byte, ns int64) []byte {
	frac := c.set(ns)
	dst = append(dst, c.rfc[:]...)
	return append(append(append(dst, '.'), digits(frac/1000, 6)...), 'Z')
}

// millis appends date and time with milliseconds and the separators given.
func (c *clock) millis(dst []byte, ns int64, between, point byte) []byte {
	frac := c.set(ns)
	dst = append(dst, c.rfc[:10]...)
	dst = append(dst, between)
	dst = append(dst, c.rfc[11:]...)
	return append(append(dst, point), digits(frac/1e6, 3)...)
}

// digits returns v in n decimal digits, at most eight.
func digits(v int64, n int) []byte {
	var b [8]byte
	for i := n - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return b[:n]
}
