package web

import (
	"math"
	"testing"
	"time"
)

func TestFormat(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(formatCount(0), "0")
	f(formatCount(999), "999")
	f(formatCount(1000), "1,000")
	f(formatCount(-1234567), "-1,234,567")
	f(formatShort(0), "0")
	f(formatShort(1.5), "1.5")
	f(formatShort(9999), "9,999")
	f(formatShort(12_345), "12.3k")
	f(formatShort(999_999), "1.00M")
	f(formatShort(1_234_567), "1.23M")
	f(formatShort(2.5e12), "2.50T")
	f(formatShort(math.NaN()), "–")
	f(formatPercent(0), "0%")
	f(formatPercent(0.00001), "<0.01%")
	f(formatPercent(0.0123), "1.23%")
	f(formatPercent(0.5), "50.0%")
	f(formatPercent(math.NaN()), "–")
	f(formatSeconds(0), "0 ms")
	f(formatSeconds(0.00005), "50 µs")
	f(formatSeconds(0.0123), "12.3 ms")
	f(formatSeconds(0.9999), "1.00 s")
	f(formatSeconds(2.345), "2.35 s")
	f(formatSeconds(3661), "1 h 1 m")
	f(formatSeconds(math.NaN()), "–")
	f(formatAge(1500*time.Millisecond), "1.5 s")
	f(formatAge(25*time.Hour), "25 h 0 m")
	f(formatAge(50*time.Hour), "2 d 2 h")
	f(formatAge(-time.Hour), "0 ms")
	f(formatBytes(1023), "1023 B")
	f(formatBytes(1024), "1.00 KiB")
	f(formatBytes(1_412_000_000), "1.32 GiB")
	f(firstLine("a\nb"), "a")
	f(named("", "").Text, "(none)")
}

func TestCompare(t *testing.T) {
	f := func(cur, prev float64, lowGood bool, delta, mood, was string) {
		t.Helper()
		got := figure{}.compare(cur, prev, formatShort, lowGood)
		if got.Delta != delta || got.Mood != mood || got.Was != was {
			t.Errorf("%v after %v: %q %q %q, want %q %q %q", cur, prev, got.Delta, got.Mood, got.Was, delta, mood, was)
		}
	}
	f(110, 100, false, "▲ 10%", "good", "100")
	f(110, 100, true, "▲ 10%", "bad", "100")
	f(90, 100, true, "▼ 10%", "good", "100")
	f(101, 100, false, "▲ 1.0%", "good", "100")
	f(100, 100, false, "0%", "flat", "100")
	f(1500, 100, true, "▲ ×15", "bad", "100")
	f(5, 0, true, "", "", "0 before")
	f(math.NaN(), 5, true, "", "", "")
}
