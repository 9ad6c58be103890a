package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// keyEncoding is lower case so that keys survive tools that fold case.
var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

const (
	secretBytes = 32 // 256 bits: not guessable, whatever the rate
	idBytes     = 10
	maxName     = 128 // of a key, in bytes: it is shown in lists
	maxKey      = 128 // of what is accepted as a key, in bytes; ours have 61 to 62
)

// NewKey makes a key with one scope and returns the secret, which exists
// nowhere else, and what is stored. The source of randomness is crypto/rand and
// deliberately no parameter.
func NewKey(name, project string, scope millrace.Scope, now time.Time) (secret string, key *millrace.Key, err error) {
	switch scope {
	case millrace.ScopeIngest, millrace.ScopeRead, millrace.ScopeAdmin:
	default:
		return "", nil, millrace.Errorf(millrace.ErrInvalid, "scope %q: must be ingest, read or admin", scope)
	}
	if len(name) > maxName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '\uFFFD' }) {
		return "", nil, millrace.Errorf(millrace.ErrInvalid, "name of the key: at most %d bytes of text without control characters", maxName)
	}
	if !ValidName(project) {
		return "", nil, millrace.Errorf(millrace.ErrInvalid, "project %q: 1 to 128 of A-Z a-z 0-9 . _ -", project)
	}
	secret = prefix + string(scope) + "_" + random(secretBytes)
	return secret, &millrace.Key{
		ID: random(idBytes), Name: name, Project: project, Scopes: []millrace.Scope{scope},
		Hash: Hash(secret), Created: now.UTC(),
	}, nil
}

// Hash returns what is stored of a secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// EnsureAdmin creates an admin token if there is no valid one, as at the first
// start; the caller prints it once. If there is one, token is empty.
func EnsureAdmin(ctx context.Context, meta millrace.Meta, now time.Time) (token string, created bool, err error) {
	has, err := meta.HasKey(ctx, millrace.ScopeAdmin, now)
	if err != nil || has {
		return "", false, err
	}
	token, key, err := NewKey("admin", millrace.DefaultProject, millrace.ScopeAdmin, now)
	if err != nil {
		return "", false, err
	}
	if err := meta.CreateKey(ctx, key); err != nil {
		return "", false, fmt.Errorf("create the admin token: %w", err)
	}
	return token, true, nil
}

// ValidName reports whether s can name a project or a source:
// 1 to 128 of A-Z a-z 0-9 . _ -
func ValidName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// random returns n random bytes as text; crypto/rand does not fail.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return keyEncoding.EncodeToString(b)
}
