package auth

import (
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// Bounds of limits: far above what a node takes, and far below where sums
// overflow.
const (
	maxRate  = 1_000_000_000_000
	maxQuota = 1_000_000_000_000_000_000
)

// LimitChange is a change of a key: what is nil stays as it is.
type LimitChange struct {
	// Expires is a time (RFC 3339), a duration from now such as 90d, or never.
	Expires    *string `json:"expires,omitempty"`
	EventRate  *int64  `json:"event_rate,omitempty"`
	ByteRate   *int64  `json:"byte_rate,omitempty"`
	EventBurst *int64  `json:"event_burst,omitempty"`
	ByteBurst  *int64  `json:"byte_burst,omitempty"`
	DayEvents  *int64  `json:"day_events,omitempty"`
	DayBytes   *int64  `json:"day_bytes,omitempty"`
}

// Apply makes the change. ErrInvalid names what is out of bounds.
func (c *LimitChange) Apply(k *millrace.Key, now time.Time) error {
	if c.Expires != nil {
		at, err := expiry(*c.Expires, now)
		if err != nil {
			return err
		}
		k.Expires = at
	}
	l := &k.Limits
	for _, one := range []struct {
		name string
		from *int64
		to   *int64
		most int64
	}{
		{"event_rate", c.EventRate, &l.EventRate, maxRate},
		{"byte_rate", c.ByteRate, &l.ByteRate, maxRate},
		{"event_burst", c.EventBurst, &l.EventBurst, maxRate},
		{"byte_burst", c.ByteBurst, &l.ByteBurst, maxRate},
		{"day_events", c.DayEvents, &l.DayEvents, maxQuota},
		{"day_bytes", c.DayBytes, &l.DayBytes, maxQuota},
	} {
		if one.from == nil {
			continue
		}
		if *one.from < 0 || *one.from > one.most {
			return millrace.Errorf(millrace.ErrInvalid, "%s: %d: must be between 1 and %d, or 0 for no limit", one.name, *one.from, one.most)
		}
		*one.to = *one.from
	}
	return nil
}

// expiry reads a time, or a duration from now.
func expiry(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, derr := millrace.ParseDuration(text)
		if derr != nil {
			return time.Time{}, millrace.Errorf(millrace.ErrInvalid, "expires: %q is no time such as 2027-01-31T00:00:00Z, no duration such as 90d, and not never", text)
		}
		at = now.Add(d)
	}
	if !at.After(now) {
		return time.Time{}, millrace.Errorf(millrace.ErrInvalid, "expires: %s is over; revoke the key to end it now", at.UTC().Format(time.RFC3339))
	}
	return at.UTC(), nil
}

// AddRate reads a rate such as 1000/s, which are events, or 1MiB/s; none is none
// of both.
func (c *LimitChange) AddRate(text string) error {
	return c.add("rate", text, "/s", &c.EventRate, &c.ByteRate)
}

// AddBurst reads a number of events such as 5000, or of bytes such as 10MiB.
func (c *LimitChange) AddBurst(text string) error {
	return c.add("burst", text, "", &c.EventBurst, &c.ByteBurst)
}

// AddQuota reads a daily quota such as 10000000/day, which are events, or
// 5GiB/day.
func (c *LimitChange) AddQuota(text string) error {
	return c.add("quota", text, "/day", &c.DayEvents, &c.DayBytes)
}

func (c *LimitChange) add(what, text, per string, events, bytes **int64) error {
	if text == "none" {
		*events, *bytes = new(int64), new(int64)
		return nil
	}
	number := strings.TrimSuffix(text, per)
	if n, err := strconv.ParseInt(number, 10, 64); err == nil && n > 0 {
		*events = &n
		return nil
	}
	var b millrace.Bytes
	if err := b.UnmarshalText([]byte(number)); err != nil || b <= 0 || !strings.HasSuffix(number, "B") {
		return millrace.Errorf(millrace.ErrInvalid, "%s: %q is neither events such as 1000%s nor bytes such as 1MiB%s, nor none", what, text, per, per)
	}
	n := int64(b)
	*bytes = &n
	return nil
}
