package metatest

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// Rules returns a version for tests; equal n gives equal versions.
func Rules(n int, source string) *millrace.RuleVersion {
	return &millrace.RuleVersion{
		Project: millrace.DefaultProject, Source: source, Text: "drop: [level == 'debug']\n", Learned: "/a/{*}\n",
		Author: "key 1", Created: time.Unix(1_700_000_000+int64(n), 5).UTC(), Note: "why",
	}
}

func add(t *testing.T, ctx context.Context, m millrace.Meta, v *millrace.RuleVersion, after int64) *millrace.RuleVersion {
	t.Helper()
	if err := m.AddRules(ctx, v, after); err != nil {
		t.Fatal(err)
	}
	return v
}

func rulesRoundTrip(t *testing.T, ctx context.Context, m millrace.Meta) {
	want := add(t, ctx, m, Rules(1, "nginx"), 0)
	if want.Version != 1_700_000_001 {
		t.Errorf("version %d, want the Unix second of its creation", want.Version)
	}
	got, err := m.Rules(ctx, want.Version)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	_, err = m.Rules(ctx, want.Version+1)
	wantCode(t, err, millrace.ErrNotFound)
	big := Rules(2, "nginx")
	big.Text = strings.Repeat("x", millrace.MaxRulesText+1)
	wantCode(t, m.AddRules(ctx, big, want.Version), millrace.ErrTooLarge)
}

// Numbers ascend over all sources, also when the clock was set back.
func rulesNumbers(t *testing.T, ctx context.Context, m millrace.Meta) {
	a := add(t, ctx, m, Rules(50, "a"), 0)
	b := add(t, ctx, m, Rules(10, "b"), 0)
	a2 := add(t, ctx, m, Rules(50, "a"), a.Version)
	c := add(t, ctx, m, Rules(90, "a"), a2.Version)
	if b.Version != a.Version+1 || a2.Version != a.Version+2 || c.Version != 1_700_000_090 {
		t.Errorf("versions %d %d %d %d", a.Version, b.Version, a2.Version, c.Version)
	}
}

func rulesConflict(t *testing.T, ctx context.Context, m millrace.Meta) {
	first := add(t, ctx, m, Rules(1, "nginx"), 0)
	add(t, ctx, m, Rules(2, "other"), 0)
	wantCode(t, m.AddRules(ctx, Rules(3, "nginx"), 0), millrace.ErrConflict)
	wantCode(t, m.AddRules(ctx, Rules(3, "new"), first.Version), millrace.ErrConflict)
	add(t, ctx, m, Rules(3, "nginx"), first.Version)
	wantCode(t, m.AddRules(ctx, Rules(4, "nginx"), first.Version), millrace.ErrConflict)
	// Sources of two projects have nothing to do with each other.
	v := Rules(5, "nginx")
	v.Project = "shop"
	add(t, ctx, m, v, 0)
}

func rulesHistory(t *testing.T, ctx context.Context, m millrace.Meta) {
	var all []*millrace.RuleVersion
	newest := int64(0)
	for i := range 5 {
		v := Rules(i, "nginx")
		if i == 4 {
			v.Text = "" // no rules any more
		}
		all = append(all, add(t, ctx, m, v, newest))
		newest = v.Version
	}
	other := add(t, ctx, m, Rules(9, "a*"), 0)
	want := func(got []*millrace.RuleVersion, err error, want ...*millrace.RuleVersion) {
		t.Helper()
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d versions, %v; want %d", len(got), err, len(want))
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%d: got %+v, want %+v", i, got[i], want[i])
			}
		}
	}
	got, err := m.CurrentRules(ctx)
	want(got, err, other, all[4])
	got, err = m.RulesHistory(ctx, millrace.DefaultProject, "nginx", 0, 2)
	want(got, err, all[4], all[3])
	got, err = m.RulesHistory(ctx, millrace.DefaultProject, "nginx", all[3].Version, 10)
	want(got, err, all[2], all[1], all[0])
	got, err = m.RulesHistory(ctx, "shop", "nginx", 0, 10)
	want(got, err)
}

// Of several who change the same version one wins, and no number is given twice.
func rulesConcurrent(t *testing.T, ctx context.Context, m millrace.Meta) {
	const writers, rounds = 4, 10
	seen := map[int64]bool{}
	newest := int64(0)
	for range rounds {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			wins []int64
		)
		for range writers {
			wg.Go(func() {
				v := Rules(1, "nginx")
				switch err := m.AddRules(ctx, v, newest); millrace.ErrorCode(err) {
				case "":
					mu.Lock()
					wins = append(wins, v.Version)
					mu.Unlock()
				case millrace.ErrConflict:
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if len(wins) != 1 || seen[wins[0]] {
			t.Fatalf("versions %v after %d", wins, newest)
		}
		newest = wins[0]
		seen[newest] = true
	}
}
