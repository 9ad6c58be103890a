package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// cacheFor is how long a key is trusted without asking meta. It is what a
// revocation by another process (another node, the CLI on the data directory)
// may take, with the look-up within a second; revocations in this process count
// at once.
const cacheFor = 900 * time.Millisecond

// trustFor is how long a key that was valid is trusted while meta does not
// answer: its restart or failover does not turn senders away. A revocation needs
// meta, too.
const trustFor = 10 * time.Minute

// cacheSize bounds the cache; beyond it the cache starts anew. Only keys that
// exist are cached, so that it cannot be filled from outside.
const cacheSize = 4096

// Guard authorizes requests. Create it with NewGuard. Safe for concurrent use.
type Guard struct {
	open        bool // nothing needs a key
	meta        millrace.Meta
	now         func() time.Time
	crossOrigin *http.CrossOriginProtection
	sessions    sessions

	mu         sync.RWMutex
	cache      map[[sha256.Size]byte]cached
	generation int // counts Forget: a look-up begun before one is not cached
}

type cached struct {
	key     *millrace.Key
	until   time.Time // meta is asked again
	checked time.Time // meta said so
	failing bool      // meta was asked since and did not answer
}

// NewGuard returns a guard. loopback says that the server can be reached from
// this machine only (see Loopback).
func NewGuard(opts Options, loopback bool, meta millrace.Meta, now func() time.Time) *Guard {
	return &Guard{
		open: loopback && opts.Require != RequireAlways, meta: meta, now: now,
		crossOrigin: http.NewCrossOriginProtection(),
		cache:       map[[sha256.Size]byte]cached{},
	}
}

// Open reports whether requests need no key.
func (g *Guard) Open() bool { return g.open }

// Principal is who sends a request.
type Principal struct {
	Key *millrace.Key // nil if no key was needed and none was given
}

// Project returns the project that a request acts on: the key's, or the one
// asked for if the key is an admin's or none was needed. The key's may be asked
// for by its number, too (ProjectNumber). Asking for another project than the
// key's is ErrForbidden, an impossible name ErrInvalid.
func (p *Principal) Project(asked string) (string, error) {
	if asked != "" && !ValidName(asked) {
		return "", millrace.Errorf(millrace.ErrInvalid, "project %.140q: 1 to 128 of A-Z a-z 0-9 . _ -", asked)
	}
	if p.Key != nil && (asked == "" || asked == p.Key.Project || asked == strconv.Itoa(int(ProjectNumber(p.Key.Project)))) {
		return p.Key.Project, nil
	}
	if p.Key != nil && !p.Key.Allows(millrace.ScopeAdmin) {
		return "", refuse(p.Key.ID, "project", millrace.ErrForbidden, fmt.Sprintf("the key belongs to project %q, not %q", p.Key.Project, asked))
	}
	if asked == "" {
		asked = millrace.DefaultProject
	}
	return asked, nil
}

// Authorize returns who sends r if they may do what scope says. ErrUnauthorized:
// no key, or not a valid one; ErrForbidden: the key lacks the scope, or a page
// of another site sent the request; ErrUnavailable: meta does not answer.
func (g *Guard) Authorize(r *http.Request, scope millrace.Scope) (*Principal, error) {
	if secret := credential(r, scope); secret != "" {
		key, err := g.lookup(r.Context(), secret)
		if err != nil {
			return nil, err
		}
		return g.allow(key, scope)
	}
	if g.open {
		if err := checkHost(r); err != nil {
			return nil, err
		}
		return &Principal{}, g.checkOrigin(r, scope, false)
	}
	key, err := g.sessionKey(r)
	if err != nil {
		return nil, err
	}
	if err := g.checkOrigin(r, scope, true); err != nil {
		return nil, err
	}
	return g.allow(key, scope)
}

// AuthorizeKey is Authorize for protocols that carry a key in another way than
// a request's headers, or none. "" is no key, which is enough where none is
// needed. ErrUnauthorized, ErrForbidden, ErrUnavailable.
func (g *Guard) AuthorizeKey(ctx context.Context, secret string, scope millrace.Scope) (*Principal, error) {
	if secret == "" {
		if g.open {
			return &Principal{}, nil
		}
		return nil, errNoKey
	}
	key, err := g.lookup(ctx, secret)
	if err != nil {
		return nil, err
	}
	return g.allow(key, scope)
}

var errNoKey = refuse("", "no_key", millrace.ErrUnauthorized, "a key is needed")

func (g *Guard) allow(key *millrace.Key, scope millrace.Scope) (*Principal, error) {
	switch {
	case !key.Revoked.IsZero():
		return nil, refuse(key.ID, "revoked", millrace.ErrUnauthorized, "the key was revoked")
	case key.Expired(g.now()):
		return nil, refuse(key.ID, "expired", millrace.ErrUnauthorized, "the key expired at "+key.Expires.UTC().Format(time.RFC3339))
	case !key.Allows(scope):
		return nil, refuse(key.ID, "scope", millrace.ErrForbidden, fmt.Sprintf("the key lacks the scope %q", scope))
	}
	return &Principal{Key: key}, nil
}

var errUnknownKey = refuse("", "unknown_key", millrace.ErrUnauthorized, "the key is not valid")

func (g *Guard) lookup(ctx context.Context, secret string) (*millrace.Key, error) {
	if len(secret) > maxKey {
		return nil, errUnknownKey
	}
	return g.lookupHash(ctx, sha256.Sum256([]byte(secret)))
}

// lookupHash finds a key by its hash. Timing tells an attacker nothing useful:
// what is compared is the hash of the guess.
func (g *Guard) lookupHash(ctx context.Context, sum [sha256.Size]byte) (*millrace.Key, error) {
	g.mu.RLock()
	c, ok := g.cache[sum]
	generation := g.generation
	g.mu.RUnlock()
	now := g.now()
	if ok && now.Before(c.until) {
		return c.key, nil
	}
	ok = ok && now.Sub(c.checked) < trustFor
	if ok && (c.failing || now.Sub(c.checked) < 2*cacheFor) {
		c = g.postpone(sum, c, now)
	}
	hash := hex.EncodeToString(sum[:])
	key, err := g.meta.KeyByHash(ctx, hash)
	switch millrace.ErrorCode(err) {
	case "":
	case millrace.ErrNotFound:
		return nil, errUnknownKey
	case millrace.ErrUnavailable:
		if !ok {
			return nil, err
		}
		c.failing = true
		g.postpone(sum, c, now)
		return c.key, nil
	default:
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(key.Hash), []byte(hash)) != 1 {
		return nil, errUnknownKey
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.generation == generation {
		if len(g.cache) >= cacheSize {
			clear(g.cache)
		}
		g.cache[sum] = cached{key: key, until: now.Add(cacheFor), checked: now}
	}
	return key, nil
}

// postpone lets other requests go on with a cached key while this one asks meta,
// or since that failed. A key that was not used for a while is not postponed: it
// may have been revoked long ago.
func (g *Guard) postpone(sum [sha256.Size]byte, c cached, now time.Time) cached {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.until = now.Add(cacheFor)
	if have, ok := g.cache[sum]; ok && have.checked.Equal(c.checked) { // else it was asked or forgotten meanwhile
		g.cache[sum] = c
	}
	return c
}

// Forget drops what is cached, so that a change of keys counts at once.
func (g *Guard) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.cache)
	g.generation++
}

type principalKey struct{}

// From returns the principal that Require put into the context, or nil.
func From(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}

// Require lets requests with the scope through to next, with the principal in
// their context. Others are answered with a problem document, or led to the
// login form if they ask for a page.
func (g *Guard) Require(scope millrace.Scope, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := g.Authorize(r, scope)
		if err == nil {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), principalKey{}, p)))
			return
		}
		if millrace.ErrorCode(err) == millrace.ErrUnauthorized && wantsPage(r) {
			w.Header().Set("Cache-Control", "no-store")
			http.Redirect(w, r, LoginPath+"?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		problem.Write(w, err, nil)
	})
}

func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") &&
		!strings.HasPrefix(r.URL.Path, "/api/")
}
