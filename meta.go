package millrace

import (
	"context"
	"time"
)

// Meta keeps state that people change: projects, keys, tokens. Implementation:
// meta (SQLite). Calls are safe for concurrent use.
type Meta interface {
	// CreateKey stores a new key. Only Hash is kept of the secret.
	CreateKey(ctx context.Context, k *Key) error
	// KeyByHash returns the key, revoked or not. ErrNotFound.
	KeyByHash(ctx context.Context, hash string) (*Key, error)
	// Keys returns all keys, newest first.
	Keys(ctx context.Context) ([]*Key, error)
	// RevokeKey ends a key at once. ErrNotFound.
	RevokeKey(ctx context.Context, id string, at time.Time) error
	// HasKey reports whether a key with the scope exists that is not revoked.
	HasKey(ctx context.Context, scope Scope) (bool, error)
	Close() error
}

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
	ID      string // public, for lists and revocation
	Name    string
	Project string
	Scopes  []Scope
	Hash    string // hex SHA-256 of the secret
	Created time.Time
	Revoked time.Time // zero if valid
}

// Allows reports whether the key is valid and has the scope.
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
