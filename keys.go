package millrace

import "time"

// Scope is what a key allows.
type Scope string

// The scopes. ScopeAdmin includes the others.
const (
	ScopeIngest Scope = "ingest"
	ScopeRead   Scope = "read"
	ScopeAdmin  Scope = "admin"
)

// Key is an ingest key or an API token.
type Key struct {
	ID      string // public, for lists, metrics and revocation
	Name    string
	Project string
	Scopes  []Scope
	Hash    string // hex SHA-256 of the secret
	Created time.Time
	Revoked time.Time // zero if valid
	Expires time.Time // it counts before that time; zero is for ever
	Limits  KeyLimits
}

// Allows reports whether the key is not revoked and has the scope. Whether it
// has expired is for the caller to ask, who knows the time.
func (k *Key) Allows(s Scope) bool {
	if !k.Revoked.IsZero() {
		return false
	}
	for _, have := range k.Scopes {
		if have == s || have == ScopeAdmin {
			return true
		}
	}
	return false
}

// Expired reports whether the key's time is over.
func (k *Key) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// KeyLimits bounds what a key brings in. 0 is no limit.
type KeyLimits struct {
	// Per second, as an average; each node allows that much for itself.
	EventRate, ByteRate int64
	// How much may come at once after a pause; 0 is what comes in ten seconds.
	EventBurst, ByteBurst int64
	// Per day (UTC), all nodes together.
	DayEvents, DayBytes int64
}

// KeyUsage counts what was done with a key on one day.
type KeyUsage struct {
	Key string // its ID; "" counts requests whose key nobody knows
	Day int64  // since 1970-01-01, UTC
	// Reason is why it was refused, "" for what was taken.
	Reason                  string
	Requests, Events, Bytes int64
}

// UsageDays is how many days the usage of keys is kept.
const UsageDays = 100

// UnixDay returns the number of t's day, UTC.
func UnixDay(t time.Time) int64 {
	const day = 24 * 60 * 60
	s := t.Unix()
	if s < 0 {
		s -= day - 1
	}
	return s / day
}
