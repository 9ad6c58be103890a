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

func limits(t *testing.T, ctx context.Context, m millrace.Meta) {
	want := Key(1, millrace.ScopeAdmin)
	want.Expires = time.Unix(1_700_001_000, 7).UTC()
	want.Limits = millrace.KeyLimits{EventRate: 1, ByteRate: 2, EventBurst: 3, ByteBurst: 4, DayEvents: 5, DayBytes: 1 << 50}
	create(t, ctx, m, want)
	create(t, ctx, m, Key(2, millrace.ScopeAdmin))
	same := func() {
		t.Helper()
		got, err := m.KeyByHash(ctx, want.Hash)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		keys, err := m.Keys(ctx)
		if err != nil || len(keys) != 2 || !reflect.DeepEqual(keys[1], want) || !reflect.DeepEqual(keys[0], Key(2, millrace.ScopeAdmin)) {
			t.Errorf("keys %+v, %v", keys, err)
		}
	}
	same()
	if err := m.RevokeKey(ctx, "id2", time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   time.Time
		want bool
	}{{want.Expires.Add(-1), true}, {want.Expires, false}} {
		if has, err := m.HasKey(ctx, millrace.ScopeAdmin, c.at); err != nil || has != c.want {
			t.Errorf("at %v: %v, %v, want %v", c.at, has, err, c.want)
		}
	}
	if keys, err := m.Keys(ctx); err != nil || keys[0].Revoked.IsZero() {
		t.Errorf("revoked: %+v, %v", keys, err)
	}
	want.Expires, want.Limits = time.Time{}, millrace.KeyLimits{DayBytes: 9}
	if err := m.ChangeKey(ctx, want.ID, want.Expires, want.Limits); err != nil {
		t.Fatal(err)
	}
	if got, err := m.KeyByHash(ctx, want.Hash); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("changed: %+v, %v; want %+v", got, err, want)
	}
	wantCode(t, m.ChangeKey(ctx, "id3", time.Time{}, millrace.KeyLimits{}), millrace.ErrNotFound)
}

func usage(t *testing.T, ctx context.Context, m millrace.Meta) {
	set := func(writer, seq int64, rows ...millrace.KeyUsage) {
		t.Helper()
		if err := m.SetUsage(ctx, writer, seq, rows); err != nil {
			t.Fatal(err)
		}
	}
	want := func(from, but int64, rows ...millrace.KeyUsage) {
		t.Helper()
		got, err := m.Usage(ctx, from, but)
		if err != nil || len(got) != len(rows) || len(rows) > 0 && !reflect.DeepEqual(got, rows) {
			t.Errorf("from day %d without %d: %+v, %v\nwant %+v", from, but, got, err, rows)
		}
	}
	row := func(day int64, key, reason string, n int64) millrace.KeyUsage {
		return millrace.KeyUsage{Key: key, Day: day, Reason: reason, Requests: n, Events: 10 * n, Bytes: n << 40}
	}
	want(0, 0)
	set(1, 1)
	set(1, 1, row(20_000, "a", "", 1), row(20_000, "a", "rate_limit", 2), row(20_001, "", "unauthorized", 3))
	set(2, 1, row(20_000, "a", "", 10), row(20_000, "b", "", 5))
	want(0, 0, row(20_000, "a", "", 11), row(20_000, "a", "rate_limit", 2), row(20_000, "b", "", 5), row(20_001, "", "unauthorized", 3))
	want(20_001, 0, row(20_001, "", "unauthorized", 3))
	want(20_000, 2, row(20_000, "a", "", 1), row(20_000, "a", "rate_limit", 2), row(20_001, "", "unauthorized", 3))
	// Totals replace totals; what comes late, or again, does not.
	set(1, 3, row(20_000, "a", "", 4))
	set(1, 2, row(20_000, "a", "", 2))
	set(1, 3, row(20_000, "a", "", 4))
	want(20_000, 2, row(20_000, "a", "", 4), row(20_000, "a", "rate_limit", 2), row(20_001, "", "unauthorized", 3))
	set(1, 4, row(20_000+millrace.UsageDays+1, "a", "", 1))
	want(0, 0, row(20_001, "", "unauthorized", 3), row(20_000+millrace.UsageDays+1, "a", "", 1))
}

func usageOfMany(t *testing.T, ctx context.Context, m millrace.Meta) {
	const writers, keys, times = 4, 450, 3
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rows := make([]millrace.KeyUsage, keys)
			for n := range times {
				for k := range rows {
					rows[k] = millrace.KeyUsage{Key: fmt.Sprintf("key%03d", k), Day: 20_000, Requests: int64(n + 1), Events: int64(k), Bytes: 1}
				}
				if err := m.SetUsage(ctx, int64(w+1), int64(n+1), rows); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := m.Usage(ctx, 20_000, 0)
	if err != nil || len(got) != keys {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	for k, u := range got {
		if u != (millrace.KeyUsage{Key: fmt.Sprintf("key%03d", k), Day: 20_000, Requests: writers * times, Events: int64(writers * k), Bytes: writers}) {
			t.Fatalf("row %d is %+v", k, u)
		}
	}
}
