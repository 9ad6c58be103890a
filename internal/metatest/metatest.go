// Package metatest is the contract of millrace.Meta as tests: every
// implementation passes it.
package metatest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// Run tests an implementation. open returns an empty one, which Run closes.
func Run(t *testing.T, open func(t *testing.T) millrace.Meta) {
	f := func(name string, test func(*testing.T, context.Context, millrace.Meta)) {
		t.Run(name, func(t *testing.T) {
			m := open(t)
			defer func() {
				if err := m.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}()
			test(t, t.Context(), m)
		})
	}
	f("key round trip", roundTrip)
	f("key unknown", unknown)
	f("key twice", twice)
	f("keys newest first", newestFirst)
	f("revoke", revoke)
	f("has key", hasKey)
	f("key limits", limits)
	f("key usage", usage)
	f("key usage of many writers", usageOfMany)
	f("concurrent", concurrent)
	f("secret", secret)
	f("rules round trip", rulesRoundTrip)
	f("rules numbers", rulesNumbers)
	f("rules conflict", rulesConflict)
	f("rules history", rulesHistory)
	f("rules concurrent", rulesConcurrent)
}

// Key returns a key for tests; equal n gives equal keys.
func Key(n int, scopes ...millrace.Scope) *millrace.Key {
	return &millrace.Key{
		ID: fmt.Sprintf("id%d", n), Name: fmt.Sprintf("key %d", n), Project: millrace.DefaultProject,
		Scopes: scopes, Hash: fmt.Sprintf("%064x", n),
		Created: time.Unix(1_700_000_000+int64(n), 123).UTC(),
	}
}

func create(t *testing.T, ctx context.Context, m millrace.Meta, k *millrace.Key) {
	t.Helper()
	if err := m.CreateKey(ctx, k); err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code millrace.Code) {
	t.Helper()
	if got := millrace.ErrorCode(err); got != code {
		t.Errorf("error %v has code %q, want %q", err, got, code)
	}
}

func roundTrip(t *testing.T, ctx context.Context, m millrace.Meta) {
	want := Key(1, millrace.ScopeIngest, millrace.ScopeRead)
	create(t, ctx, m, want)
	got, err := m.KeyByHash(ctx, want.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func unknown(t *testing.T, ctx context.Context, m millrace.Meta) {
	_, err := m.KeyByHash(ctx, "no such hash")
	wantCode(t, err, millrace.ErrNotFound)
	wantCode(t, m.RevokeKey(ctx, "no such id", time.Unix(1, 0)), millrace.ErrNotFound)
	keys, err := m.Keys(ctx)
	if err != nil || len(keys) != 0 {
		t.Errorf("Keys of an empty store: %v, %v", keys, err)
	}
}

func twice(t *testing.T, ctx context.Context, m millrace.Meta) {
	create(t, ctx, m, Key(1, millrace.ScopeIngest))
	wantCode(t, m.CreateKey(ctx, Key(1, millrace.ScopeIngest)), millrace.ErrConflict)
}

func newestFirst(t *testing.T, ctx context.Context, m millrace.Meta) {
	for _, n := range []int{2, 3, 1} {
		create(t, ctx, m, Key(n, millrace.ScopeIngest))
	}
	keys, err := m.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, k := range keys {
		got += k.ID
	}
	if got != "id3id2id1" {
		t.Errorf("order %s, want id3id2id1", got)
	}
}

func revoke(t *testing.T, ctx context.Context, m millrace.Meta) {
	k := Key(1, millrace.ScopeIngest)
	create(t, ctx, m, k)
	at := time.Unix(1_800_000_000, 0).UTC()
	for _, when := range []time.Time{at, at.Add(time.Hour)} { // the first revocation counts
		if err := m.RevokeKey(ctx, k.ID, when); err != nil {
			t.Fatal(err)
		}
	}
	got, err := m.KeyByHash(ctx, k.Hash)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Revoked.Equal(at) || got.Allows(millrace.ScopeIngest) {
		t.Errorf("revoked %v, allows %v; want %v, false", got.Revoked, got.Allows(millrace.ScopeIngest), at)
	}
}

func hasKey(t *testing.T, ctx context.Context, m millrace.Meta) {
	want := func(scope millrace.Scope, want bool) {
		t.Helper()
		if got, err := m.HasKey(ctx, scope, time.Unix(1_700_000_000, 0)); err != nil || got != want {
			t.Errorf("HasKey(%s) = %v, %v; want %v", scope, got, err, want)
		}
	}
	want(millrace.ScopeAdmin, false)
	create(t, ctx, m, Key(1, millrace.ScopeIngest, millrace.ScopeAdmin))
	want(millrace.ScopeAdmin, true)
	want(millrace.ScopeIngest, true)
	want(millrace.ScopeRead, false)
	if err := m.RevokeKey(ctx, "id1", time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	want(millrace.ScopeAdmin, false)
}

func concurrent(t *testing.T, ctx context.Context, m millrace.Meta) {
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				k := Key(w*each+i, millrace.ScopeIngest)
				if err := m.CreateKey(ctx, k); err != nil {
					t.Error(err)
				}
				if _, err := m.KeyByHash(ctx, k.Hash); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if keys, err := m.Keys(ctx); err != nil || len(keys) != writers*each {
		t.Errorf("%d keys, %v; want %d", len(keys), err, writers*each)
	}
}

func secret(t *testing.T, ctx context.Context, m millrace.Meta) {
	for _, f := range []struct{ name, fresh, want string }{
		{"a", "first", "first"}, {"a", "second", "first"}, {"b", "second", "second"},
	} {
		if got, err := m.Secret(ctx, f.name, []byte(f.fresh)); err != nil || string(got) != f.want {
			t.Errorf("secret %s: %q, %v; want %q", f.name, got, err, f.want)
		}
	}
}
