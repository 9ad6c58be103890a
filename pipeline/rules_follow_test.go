package pipeline

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// flakyMeta fails when told to, and counts how often all rules are read.
type flakyMeta struct {
	millrace.Meta
	down  atomic.Bool
	lists atomic.Int32
}

func (m *flakyMeta) NewestRules(ctx context.Context) (int64, error) {
	if m.down.Load() {
		return 0, errors.New("down")
	}
	return m.Meta.NewestRules(ctx)
}

func (m *flakyMeta) CurrentRules(ctx context.Context) ([]*millrace.RuleVersion, error) {
	m.lists.Add(1)
	return m.Meta.CurrentRules(ctx)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// A book sees what another node changes, also after meta was away, and reads
// everything only when there is something new.
func TestFollowRules(t *testing.T) {
	m := &flakyMeta{Meta: openMeta(t)}
	here, there := openBook(t, m), openBook(t, m.Meta)
	reports := make(chan error, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { here.Follow(ctx, time.Millisecond, func(err error) { reports <- err }) })
	sees := func(want int64) {
		t.Helper()
		eventually(t, "the book does not see the version", func() bool { return here.Current(millrace.DefaultProject, "shop") == want })
	}
	version := set(t, there, "shop", rulesDrop)
	sees(version)
	// What this node adds itself is no news.
	set(t, here, "other*", rulesDrop)
	sees(version)
	lists := m.lists.Load()
	time.Sleep(20 * time.Millisecond)
	if n := m.lists.Load(); n != lists {
		t.Errorf("rules were read %d times without news", n-lists)
	}
	m.down.Store(true)
	if err := <-reports; err == nil {
		t.Error("no failure was reported")
	}
	m.down.Store(false)
	eventually(t, "the end of the failure was not reported", func() bool { return <-reports == nil })
	sees(set(t, there, "shop", rulesSet))
	if v, err := there.Apply(t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: "shop", After: -1}); err != nil {
		t.Fatal(v, err)
	}
	sees(0)
	cancel()
	wg.Wait()
}

// Nodes that start at once with one file agree about it.
func TestSeedOnManyNodes(t *testing.T) {
	m := openMeta(t)
	seeds := []Seed{{millrace.DefaultProject, "a", rulesDrop}, {millrace.DefaultProject, "b", rulesSet}, {millrace.DefaultProject, "c", rulesSet}}
	var books []*RuleBook
	for range 4 {
		books = append(books, openBook(t, m))
	}
	var wg sync.WaitGroup
	for _, b := range books {
		wg.Go(func() {
			if err := b.Seed(t.Context(), seeds); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range seeds {
		history, err := m.RulesHistory(t.Context(), s.Project, s.Source, 0, 10)
		if err != nil || len(history) != 1 {
			t.Errorf("%d versions of %s, %v", len(history), s.Source, err)
		}
		for _, b := range books {
			currentIs(t, b, s.Source, history[0].Version)
		}
	}
}
