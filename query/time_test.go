package query

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

var now = time.Date(2026, 5, 20, 12, 34, 56, 0, time.UTC)

func TestParseTime(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		got, err := ParseTime(s, now)
		if err != nil {
			t.Errorf("%q: %v", s, err)
		} else if got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %s, want %s", s, got.Format(time.RFC3339Nano), want)
		}
	}
	f("now", "2026-05-20T12:34:56Z")
	f("-1h", "2026-05-20T11:34:56Z")
	f("-7d", "2026-05-13T12:34:56Z")
	f("-1d12h", "2026-05-19T00:34:56Z")
	f("+5m", "2026-05-20T12:39:56Z")
	f("2026-05-01T10:00:00Z", "2026-05-01T10:00:00Z")
	f("2026-05-01T10:00:00.5+02:00", "2026-05-01T08:00:00.5Z")
	f("2026-05-01T10:00", "2026-05-01T10:00:00Z")
	f("2026-05-01", "2026-05-01T00:00:00Z")
	f("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z")
}

func TestParseTimeErrors(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		_, err := ParseTime(s, now)
		if millrace.ErrorCode(err) != millrace.ErrInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", s, err, want)
		}
	}
	f("", "RFC 3339")
	f("yesterday", "RFC 3339")
	f("-", "RFC 3339")
	f("--1h", "RFC 3339")
	f("-1y", "RFC 3339")
	f("2026-13-01", "RFC 3339")
	f("2400-01-01T00:00:00Z", "between 1678 and 2261")
	f("-500000d", "RFC 3339")
}

func TestParseRangeAndStep(t *testing.T) {
	r, err := ParseRange("", "", now)
	if err != nil || r.To.Sub(r.From) != time.Hour || !r.To.Equal(now) {
		t.Errorf("default range: %v, %v", r, err)
	}
	for _, bad := range [][2]string{{"now", "-1h"}, {"now", "now"}, {"x", ""}, {"", "x"}} {
		if _, err := ParseRange(bad[0], bad[1], now); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("range %v: %v", bad, err)
		}
	}
	for s, want := range map[string]time.Duration{"": 0, "0": 0, "1m": time.Minute, "1d": 24 * time.Hour, "90m": 90 * time.Minute} {
		if got, err := ParseStep(s); err != nil || got != want {
			t.Errorf("step %q: %v, %v", s, got, err)
		}
	}
	for _, bad := range []string{"30s", "-1m", "x", "90s", "0s"} {
		if _, err := ParseStep(bad); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("step %q: %v", bad, err)
		}
	}
}
