package millrace

import (
	"context"
	"time"
)

// Meta keeps state that people change: projects, keys, tokens, rules.
// Implementation: meta, on SQLite for one node and on PostgreSQL for many. Calls
// are safe for concurrent use.
type Meta interface {
	// CreateKey stores a new key. Only Hash is kept of the secret.
	CreateKey(ctx context.Context, k *Key) error
	// KeyByHash returns the key, revoked or not. ErrNotFound.
	KeyByHash(ctx context.Context, hash string) (*Key, error)
	// Keys returns all keys, newest first.
	Keys(ctx context.Context) ([]*Key, error)
	// RevokeKey ends a key at once. ErrNotFound.
	RevokeKey(ctx context.Context, id string, at time.Time) error
	// HasKey reports whether a key with the scope exists that is neither revoked
	// nor has expired by now.
	HasKey(ctx context.Context, scope Scope, now time.Time) (bool, error)
	// ChangeKey sets until when a key counts, zero is for ever, and its limits.
	// ErrNotFound.
	ChangeKey(ctx context.Context, id string, expires time.Time, limits KeyLimits) error
	// SetUsage stores what writer, a process, has counted so far for each key,
	// day and reason: totals, so that saying it twice does not count twice. seq
	// must be higher at every call of a writer; a row of a lower one is left.
	// Days that are UsageDays older than the newest are forgotten.
	SetUsage(ctx context.Context, writer, seq int64, rows []KeyUsage) error
	// Usage returns the sums over all writers but one (0: over all), from a day
	// on, by day, key and reason.
	Usage(ctx context.Context, from, but int64) ([]KeyUsage, error)

	// AddRules appends a version to the history of v's project and source, sets
	// v.Version, and returns when that is durable. after is the version that the
	// author has seen as the newest, 0 for a source without any: another one is
	// ErrConflict. A version is above all there were, of any source, and at
	// least v.Created in Unix seconds: a number that records of the queue may
	// carry must not be used again when an older backup was restored.
	AddRules(ctx context.Context, v *RuleVersion, after int64) error
	// Rules returns a version, however old: versions are never deleted, since
	// records that carry one are read again. ErrNotFound.
	Rules(ctx context.Context, version int64) (*RuleVersion, error)
	// NewestRules returns the highest version there is, 0 for none: whoever keeps
	// rules in memory asks it often to learn whether others have changed some.
	NewestRules(ctx context.Context) (int64, error)
	// CurrentRules returns the newest version of every source that ever had
	// rules, those with empty text too, by project and source.
	CurrentRules(ctx context.Context) ([]*RuleVersion, error)
	// RulesHistory returns the newest versions of a source, newest first, at
	// most limit, below the version before (0: from the newest).
	RulesHistory(ctx context.Context, project, source string, before int64, limit int) ([]*RuleVersion, error)

	// Secret returns the secret of that name, which never changes: what was
	// hashed with it must hash alike for ever. If there is none it becomes fresh,
	// random bytes of the caller's.
	Secret(ctx context.Context, name string, fresh []byte) ([]byte, error)
	Close() error
}
