package decode

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"
)

// arrivedTest is the arrival of tests that need one: 2026-03-05 12:00:00 UTC.
var arrivedTest = time.Date(2026, 3, 5, 12, 0, 0, 0, time.UTC).UnixNano()

func TestParseTime(t *testing.T) {
	// want is RFC 3339 with nanoseconds; rest is what must be left over.
	f := func(text, want, rest string) {
		t.Helper()
		ns, n, ok := ParseTime([]byte(text), arrivedTest)
		if !ok {
			t.Errorf("%q: no time (n=%d)", text, n)
			return
		}
		if got := time.Unix(0, ns).UTC().Format(time.RFC3339Nano); got != want || text[n:] != rest {
			t.Errorf("%q: got %s rest %q, want %s rest %q", text, got, text[n:], want, rest)
		}
	}
	f("2006-01-02T15:04:05Z", "2006-01-02T15:04:05Z", "")
	f("2006-01-02T15:04:05.123456789Z x", "2006-01-02T15:04:05.123456789Z", " x")
	f("2006-01-02T15:04:05.1234567891234+07:00", "2006-01-02T08:04:05.123456789Z", "")
	f("2006-01-02 15:04:05,123 INFO x", "2006-01-02T15:04:05.123Z", " INFO x")
	f("2006-01-02 15:04:05.5 -0700 MST m=+0.1", "2006-01-02T22:04:05.5Z", " m=+0.1")
	f("2006-01-02 15:04:05 +0000 UTC", "2006-01-02T15:04:05Z", "")
	f("2006-01-02 15:04:05-05 LOG", "2006-01-02T20:04:05Z", " LOG")
	f("2006-01-02 15:04:05 UTC [25] LOG", "2006-01-02T15:04:05Z", " [25] LOG")
	f("2017-07-31 13:36:42.585 CEST [4974]", "2017-07-31T11:36:42.585Z", " [4974]")
	f("2006-01-02 15:04:05 - INFO", "2006-01-02T15:04:05Z", " - INFO")
	f("2006-01-02 15:04:05 INFO", "2006-01-02T15:04:05Z", " INFO")
	f("2006-01-02T15:04Z", "2006-01-02T15:04:00Z", "")
	f("2006-01-02 15:04", "2006-01-02T15:04:00Z", "")
	f("2006-01-02", "2006-01-02T00:00:00Z", "")
	f("2015-04-24T21:08:10.313913FOO err", "2015-04-24T21:08:10.313913Z", "FOO err")
	f("2015-03-12T23:16:52.071:INFO", "2015-03-12T23:16:52.071Z", ":INFO")
	f("2006/01/02 15:04:05 [error]", "2006-01-02T15:04:05Z", " [error]")
	f("2006.01.02 15:04:05", "2006-01-02T15:04:05Z", "")
	f("20060102T150405Z", "2006-01-02T15:04:05Z", "")
	f("20171223-22:15:29:606|Step", "2017-12-23T22:15:29.606Z", "|Step")
	f("20060102150405.25 x", "2006-01-02T15:04:05.25Z", " x")
	f("081109 203615 148 INFO", "2008-11-09T20:36:15Z", " 148 INFO")
	f("070823 21:00:32 [Note]", "2007-08-23T21:00:32Z", " [Note]")
	f("17/06/09 20:10:40 INFO", "2017-06-09T20:10:40Z", " INFO")
	f("02/Jan/2006:15:04:05 -0700] x", "2006-01-02T22:04:05Z", "] x")
	f("10/Oct/2000:13:55:36 +0530", "2000-10-10T08:25:36Z", "")
	f("02-Jan-2006 15:04:05.123 INFO", "2006-01-02T15:04:05.123Z", " INFO")
	f("02 Jan 2006 15:04:05,5 x", "2006-01-02T15:04:05.5Z", " x")
	f("2 Jan 2006 15:04:05", "2006-01-02T15:04:05Z", "")
	f("01/02/2006 15:04:05", "2006-01-02T15:04:05Z", "")
	f("1/2/2006 3:04:05 PM x", "2006-01-02T15:04:05Z", " x")
	f("12/31/2006, 12:04:05 AM", "2006-12-31T00:04:05Z", "")
	f("31/12/2006 15:04:05", "2006-12-31T15:04:05Z", "")
	f("02.01.2006 15:04:05", "2006-01-02T15:04:05Z", "")
	f("03-04 16:13:38.811  1702", "2026-03-04T16:13:38.811Z", "  1702")
	f("Jan  2 15:04:05 host", "2026-01-02T15:04:05Z", " host")
	f("Mar  6 11:00:00 host", "2026-03-06T11:00:00Z", " host")
	f("Mar  6 13:00:00 host", "2025-03-06T13:00:00Z", " host")
	f("Dec 31 23:59:59.25 host", "2025-12-31T23:59:59.25Z", " host")
	f("Feb 29 00:00:00 host", "2024-02-29T00:00:00Z", " host")
	f("Jan 02 2006 15:04:05: %ASA", "2006-01-02T15:04:05Z", ": %ASA")
	f("Dec 12, 2011 8:30:14 PM com", "2011-12-12T20:30:14Z", " com")
	f("Mon Jan  2 15:04:05 2006", "2006-01-02T15:04:05Z", "")
	f("Sun Dec 04 04:47:44.250001 2005] [notice]", "2005-12-04T04:47:44.250001Z", "] [notice]")
	f("Mon Jan  2 15:04:05 CET 2006", "2006-01-02T14:04:05Z", "")
	f("Mon Jan 02 15:04:05 -0700 2006", "2006-01-02T22:04:05Z", "")
	f("Mon, 02 Jan 2006 15:04:05 GMT", "2006-01-02T15:04:05Z", "")
	f("I0102 15:04:05.000001  12 main.go:5]", "2026-01-02T15:04:05.000001Z", "  12 main.go:5]")
	f("1136214245", "2006-01-02T15:04:05Z", "")
	f("1136214245.250 x", "2006-01-02T15:04:05.25Z", " x")
	f("1136214245250", "2006-01-02T15:04:05.25Z", "")
	f("1136214245250001", "2006-01-02T15:04:05.250001Z", "")
	f("1136214245250001002", "2006-01-02T15:04:05.250001002Z", "")
	f("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "")
	f("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z", "")
	f("1700-01-01 00:00:00", "1700-01-01T00:00:00Z", "")
	f("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "")
}

func TestParseTimeNot(t *testing.T) {
	// n > 0 means recognised but not representable.
	f := func(text string, recognised bool) {
		t.Helper()
		if _, n, ok := ParseTime([]byte(text), arrivedTest); ok || (n > 0) != recognised {
			t.Errorf("%q: n=%d ok=%v", text, n, ok)
		}
	}
	f("2400-01-01T00:00:00Z", true)
	f("0001-01-01T00:00:00Z", true)
	f("9999-12-31 23:59:59.999", true)
	f("0000-01-01T00:00:00Z", false)
	f("2006-13-02T15:04:05Z", false)
	f("2006-02-30T15:04:05Z", false)
	f("2023-02-29T15:04:05Z", false)
	f("2006-01-02T25:04:05Z", false)
	f("2006-01-02 was a day", false)
	f("15:04:05,123 INFO", false)
	f("192.168.100.17 - -", false)
	f("12345678", false)
	f("1136214245abc", false)
	f("1136214245-1", false)
	f("May the force be", false)
	f("Sunny days are here again", false)
	f("I0102 is a name of it", false)
	f("10/Oct/2000", false)
	f("", false)
	f("::1 - - [26/Dec", false)
	f("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", false)
}

func TestEpochNumber(t *testing.T) {
	f := func(text string, want int64, wantOK bool) {
		t.Helper()
		if ns, ok := epochNumber([]byte(text)); ns != want || ok != wantOK {
			t.Errorf("%s: got %d %v, want %d %v", text, ns, ok, want, wantOK)
		}
	}
	f("0", 0, true)
	f("-1", -1e9, true)
	f("-1.5", -15e8, true)
	f("1693840791.7564995", 1693840791756499500, true)
	f("1693840791756.4995", 1693840791756499500, true)
	f("1693840791756499", 1693840791756499000, true)
	f("1693840791756499500", 1693840791756499500, true)
	f("1.693840791e9", 1693840791e9, true)
	f("13569465600", 0, false)          // the year 2400
	f("99999999999999999999", 0, false) // no integer
	f("1e999", 0, false)
	f("x", 0, false)
	f("", 0, false)
	f("-", 0, false)
}

// TestDaysFromCivil compares the calendar with package time.
func TestDaysFromCivil(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		y, m, d := 1+rng.IntN(9999), 1+rng.IntN(12), 1+rng.IntN(28)
		want := time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC).Unix() / 86400
		if got := daysFromCivil(y, m, d); got != want {
			t.Fatalf("%d-%d-%d: got %d, want %d", y, m, d, got, want)
		}
		if got := yearOf(daysFromCivil(y, m, d) * 86400); got != y {
			t.Fatalf("%d-%d-%d: year %d", y, m, d, got)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2006-01-02T15:04:05.123Z", "Jan _2 15:04:05", "02/Jan/2006:15:04:05 -0700",
		"Mon Jan  2 15:04:05 MST 2006", "I0102 15:04:05.000000", "1136214245.5",
		"1/2/2006 3:04:05 PM", "20060102150405", "Dec 12, 2011 8:30:14 PM",
	} {
		f.Add([]byte(s), int64(1e18))
	}
	f.Fuzz(func(t *testing.T, b []byte, arrived int64) {
		ns, n, ok := ParseTime(b, arrived)
		if n < 0 || n > len(b) || (ok && n == 0) || (!ok && ns != 0) {
			t.Fatalf("%q: ns=%d n=%d ok=%v", b, ns, n, ok)
		}
		if ns2, n2, ok2 := ParseTime(b, arrived); ns != ns2 || n != n2 || ok != ok2 {
			t.Fatal("not deterministic")
		}
		_, _ = epochNumber(b)
	})
}

func BenchmarkParseTime(b *testing.B) {
	for _, s := range []string{
		"2006-01-02T15:04:05.123Z", "02/Jan/2006:15:04:05 -0700", "Jan  2 15:04:05 host",
		"1136214245.250", "2006-01-02 15:04:05,123 INFO",
	} {
		b.Run(s, func(b *testing.B) {
			text := []byte(s)
			b.ReportAllocs()
			for b.Loop() {
				if _, _, ok := ParseTime(text, arrivedTest); !ok {
					b.Fatal("no time")
				}
			}
		})
	}
}

// FuzzMinute: a remembered minute gives what parseTime gives.
func FuzzMinute(f *testing.F) {
	for _, s := range []string{
		"2026-03-05T11:59:58.123Z", "2026-03-05T11:59:58Z", "2026-03-05T11:59:60Z", "2026-03-05T11:59:5xZ",
		"2026-03-05T11:59:58.Z", "2026-03-05T11:59:58,5Z", "2026-03-05T11:59:58.1234567890Z", "1969-12-31T23:59:59.999999999Z",
		"2262-04-11T23:47:15.5Z", "1677-09-21T00:12:44Z", "2026-02-29T00:00:00Z",
	} {
		f.Add(s, "2026-03-05T11:59:07.5Z")
		f.Add("2026-03-05T11:59:07.5Z", s)
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, text string) {
		var m minute
		if ns, n, ok := parseTime([]byte(before), arrivedTest); ok && n == len(before) {
			m.learn([]byte(before), ns)
		}
		got, ok := m.parse([]byte(text))
		if !ok {
			return
		}
		if ns, n, ok := parseTime([]byte(text), arrivedTest); !ok || n != len(text) || ns != got {
			t.Fatalf("%q after %q: %d, want %d (%d bytes, %v)", text, before, got, ns, n, ok)
		}
	})
}

// FuzzCLFMinute compares the minute of the Common Log Format with the parser.
func FuzzCLFMinute(f *testing.F) {
	for _, s := range []string{
		"05/Mar/2026:11:59:58 +0000", "05/Mar/2026:11:59:60 +0000", "05/mar/2026:11:59:58 -0730", "05/Mar/2026:11:59:5x +0000",
		"05/Mar/2026:11:59:58 +0030", "31/Dec/1969:23:59:59 +0000", "11/Apr/2262:23:47:15 +0000", "05/Mar/2026:11:59:58 ~0000",
	} {
		f.Add("05/Mar/2026:11:59:07 +0000", s)
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, before, text string) {
		const length = len("05/Mar/2026:11:59:58 +0000")
		if len(text) != length {
			return
		}
		var m clfMinute
		if ns, n, ok := parseTime([]byte(before), arrivedTest); ok && n == len(before) {
			m.learn([]byte(before), ns)
		}
		got, ok := m.parse(unsafe.Pointer(unsafe.StringData(text)), 0)
		if !ok {
			return
		}
		if ns, n, ok := parseTime([]byte(text), arrivedTest); !ok || n != length || ns != got {
			t.Fatalf("%q after %q: %d, want %d (%d bytes, %v)", text, before, got, ns, n, ok)
		}
	})
}

func TestCLFMinuteIsUsed(t *testing.T) {
	var m clfMinute
	m.learn([]byte("05/Mar/2026:11:59:07 +0100"), time.Date(2026, 3, 5, 10, 59, 7, 0, time.UTC).UnixNano())
	b := []byte("[05/Mar/2026:11:59:58 +0100]")
	want := time.Date(2026, 3, 5, 10, 59, 58, 0, time.UTC).UnixNano()
	if got, ok := m.parse(unsafe.Pointer(unsafe.SliceData(b)), 1); !ok || got != want {
		t.Fatalf("got %d %v, want %d", got, ok, want)
	}
}

func TestMinuteIsUsed(t *testing.T) {
	var m minute
	m.learn([]byte("2026-03-05T11:59:07.5Z"), time.Date(2026, 3, 5, 11, 59, 7, 5e8, time.UTC).UnixNano())
	want := time.Date(2026, 3, 5, 11, 59, 58, 123e6, time.UTC).UnixNano()
	if got, ok := m.parse([]byte("2026-03-05T11:59:58.123Z")); !ok || got != want {
		t.Fatalf("got %d %v, want %d", got, ok, want)
	}
}
