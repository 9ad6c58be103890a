package query

import (
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// Range is a half-open interval of time.
type Range struct{ From, To time.Time }

// timeLayouts are the absolute forms, tried in order. Those without a zone are
// UTC, like everything millrace stores.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly,
}

// The years a time may name: what fits in Unix nanoseconds, rounded inward.
const (
	minYear = 1678
	maxYear = 2261
)

// ParseTime reads an instant: RFC 3339 (seconds, or the whole clock, and the
// zone may be left out), "now", or an offset from now such as -1h, -1d12h, +5m.
// Offsets take the units of millrace.ParseDuration.
func ParseTime(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "now" {
		return now.UTC(), nil
	}
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d, err := millrace.ParseDuration(s[1:])
		if err != nil || d < 0 {
			return time.Time{}, badTime(s)
		}
		if s[0] == '-' {
			d = -d
		}
		return checkYear(s, now.UTC().Add(d))
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return checkYear(s, t.UTC())
		}
	}
	return time.Time{}, badTime(s)
}

func checkYear(s string, t time.Time) (time.Time, error) {
	if t.Year() < minYear || t.Year() > maxYear {
		return time.Time{}, millrace.Errorf(millrace.ErrInvalid, "time %q: the year must be between %d and %d", s, minYear, maxYear)
	}
	return t, nil
}

func badTime(s string) error {
	return millrace.Errorf(millrace.ErrInvalid,
		"time %q: must be RFC 3339 such as 2026-05-01T10:00:00Z, now, or relative such as -1h or -7d", millrace.Example([]byte(s)))
}

// ParseRange reads from and to. Empty values stand for -1h and now.
func ParseRange(from, to string, now time.Time) (Range, error) {
	if from == "" {
		from = "-1h"
	}
	if to == "" {
		to = "now"
	}
	var r Range
	var err error
	if r.From, err = ParseTime(from, now); err != nil {
		return r, prefix("from", err)
	}
	if r.To, err = ParseTime(to, now); err != nil {
		return r, prefix("to", err)
	}
	return r, r.check()
}

// IsAbsolute reports whether a time that ParseTime takes names an instant, rather
// than one relative to now: such an end of a range is meant exactly.
func IsAbsolute(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && s != "now" && s[0] != '-' && s[0] != '+'
}

// ParseZone reads the name of a time zone, such as Europe/Berlin; "" is UTC.
func ParseZone(s string) (*time.Location, error) {
	if s == "" {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(s)
	if err != nil || s == "Local" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "tz %q: must be a name of the IANA time zone database such as Europe/Berlin", millrace.Example([]byte(s)))
	}
	return loc, nil
}

// ParseCompare reads how much earlier another period is: -1d, -7d; "" is none.
func ParseCompare(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	text, ok := strings.CutPrefix(s, "-")
	d, err := millrace.ParseDuration(text)
	if !ok || err != nil || d <= 0 || d%time.Minute != 0 {
		return 0, millrace.Errorf(millrace.ErrInvalid, "compare %q: must be whole minutes back, such as -1d or -7d", millrace.Example([]byte(s)))
	}
	return d, nil
}

func (r Range) check() error {
	if !r.From.Before(r.To) {
		return millrace.Errorf(millrace.ErrInvalid, "from (%s) must be before to (%s)",
			r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	}
	return nil
}

// ParseStep reads the width of a bucket of an answer: a duration such as 5m or
// 1h; "" and "0" stand for one bucket over the whole range.
func ParseStep(s string) (time.Duration, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	d, err := millrace.ParseDuration(s)
	if err != nil || d <= 0 || d%time.Minute != 0 {
		return 0, millrace.Errorf(millrace.ErrInvalid, "step %q: must be whole minutes such as 1m, 5m or 1h, or 0 for one bucket", millrace.Example([]byte(s)))
	}
	return d, nil
}

// prefix names the parameter that an error is about.
func prefix(name string, err error) error {
	return millrace.Errorf(millrace.ErrorCode(err), "%s: %s", name, millrace.ErrorMessage(err))
}
