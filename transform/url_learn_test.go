package transform

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// word returns pronounceable text that no rule recognises.
func word(n uint64) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b []byte
	for range 5 {
		b = append(b, consonants[n%14], vowels[n/14%5])
		n /= 70
	}
	return string(b)
}

func TestLearnerProposes(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Patterns: []string{"/explicit/{x}"}})
	l := NewLearner(tpl, LearnOptions{Children: 50})
	for i := range uint64(3000) {
		l.Observe("/tags/" + word(i*7919))
		l.Observe("/tags/news")
		l.Observe("/tags/news/" + word(i%20))
		l.Observe("/users/" + word(i*104729) + "/profile")
		l.Observe("/explicit/" + word(i))
		l.Observe("/about/" + word(i%30))
		l.Observe("/orders/" + strconv.FormatUint(i, 10))
	}
	p := l.Propose()
	if want := []string{"/tags/news", "/tags/{*}", "/users/{*}"}; !slices.Equal(p.Learned, want) {
		t.Fatalf("learned %v, want %v", p.Learned, want)
	}
	if p.Known != nil || p.Events != 6*3000 {
		t.Errorf("proposal %+v: want no known, %d events", p, 6*3000)
	}
	if n := p.New[0]; n.Values < 2000 || n.Events != 3000 {
		t.Errorf("%+v: want about 3000 values, 3000 events", n)
	}
	next := mustTemplates(t, URLOptions{Patterns: tpl.Options().Patterns, Learned: p.Learned})
	f := map[string]string{
		"/users/xyz/profile": "/users/{*}/profile", "/tags/news": "/tags/news", "/tags/x": "/tags/{*}", "/about/x": "/about/x",
	}
	for path, want := range f {
		if got := next.Template(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

// TestLearnerKeepsWhatWasLearned: a learner of rules with learned ones proposes
// these and what is below them.
func TestLearnerKeepsWhatWasLearned(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Learned: []string{"/users/{*}", "/old/{*}"}})
	l := NewLearner(tpl, LearnOptions{Children: 50})
	for i := range uint64(1000) {
		l.Observe("/users/" + word(i) + "/" + word(i*31))
	}
	p := l.Propose()
	if want := []string{"/old/{*}", "/users/{*}", "/users/{*}/{*}"}; !slices.Equal(p.Learned, want) {
		t.Errorf("learned %v, want %v", p.Learned, want)
	}
}

func hostilePath(i uint64, buf []byte) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], i*0x9E3779B97F4A7C15)
	switch i % 5 {
	case 0: // words, at every depth
		return fmt.Appendf(buf[:0], "/%s/%s/%s", word(i), word(i*31), word(i*7919))
	case 1:
		return fmt.Appendf(buf[:0], "/%s.php", word(i*13))
	case 2: // what no rule folds: dots and letters
		return fmt.Appendf(buf[:0], "/shop/%s.%s-%s", word(i), word(i/3), word(i/7))
	case 3:
		return append(append(buf[:0], "/h/"...), hex.EncodeToString(b[:])...)
	}
	return fmt.Appendf(buf[:0], "/%s/x", hex.EncodeToString(b[:3]))
}

// TestHostileURLs: a set of distinct paths stays under the cap with exact
// totals, in bounded memory, before and after learning; twice the same.
// MILLRACE_HOSTILE_URLS sets how many, 5,000,000 for a soak.
func TestHostileURLs(t *testing.T) {
	n := uint64(300_000)
	if s := os.Getenv("MILLRACE_HOSTILE_URLS"); s != "" {
		var err error
		if n, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	tpl := mustTemplates(t, URLOptions{})
	var first Proposal
	for run := range 2 {
		learner, folder := NewLearner(tpl, LearnOptions{}), tpl.NewFolder()
		var buf []byte
		before := heap()
		for i := range n {
			buf = hostilePath(i, buf)
			folder.Apply(string(buf))
			learner.Observe(string(buf))
		}
		used := heap() - before
		if limit := int64(40 << 20); used > limit {
			t.Errorf("learner and folder take %d bytes, limit %d", used, limit)
		}
		checkTotal(t, folder, int64(n))
		if p := learner.Propose(); run == 0 {
			first = p
		} else if !reflect.DeepEqual(p, first) {
			t.Errorf("the same paths gave another proposal:\n%+v\n%+v", p, first)
		}
		runtime.KeepAlive(learner)
	}
	next := mustTemplates(t, URLOptions{Learned: first.Learned, Known: first.Known})
	folder, seen := next.NewFolder(), map[string]int64{}
	var buf []byte
	for i := range n {
		buf = hostilePath(i, buf)
		template, kept := folder.Apply(string(buf))
		if !kept {
			t.Fatalf("%s: %q does not fit under the cap", buf, template)
		}
		seen[template]++
	}
	if len(seen) > DefaultURLCap {
		t.Errorf("%d templates, more than the cap", len(seen))
	}
	t.Logf("%d paths, %d learned rules, %d templates, %.1f%% other", n, len(first.Learned), len(seen), 100*float64(seen[URLOther])/float64(n))
	checkTotal(t, folder, int64(n))
}

func checkTotal(t *testing.T, f *Folder, want int64) {
	t.Helper()
	counts := NewURLCounts(DefaultURLCap)
	f.Take(counts)
	total := int64(0)
	for _, c := range counts.List() {
		total += c.Events
		if c.Paths < 1 || c.Paths > c.Events+c.Events/5 {
			t.Errorf("%+v: paths cannot exceed events", c)
		}
	}
	if len(counts.List()) > DefaultURLCap || total != want {
		t.Errorf("%d templates with %d events, want at most %d with %d", len(counts.List()), total, DefaultURLCap, want)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestDistinct holds the estimate to four standard errors.
func TestDistinct(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{0, 1, 64, 65, 500, 3000, 20_000} {
		var whole, a, b distinct
		for i := range n {
			h := r.Uint64()
			for range 1 + i%3 {
				whole.add(h)
			}
			if i%2 == 0 {
				a.add(h)
			} else {
				b.add(h)
			}
		}
		a.merge(&b)
		limit := 0.0
		if n > distinctExact {
			limit = 4 * 0.0325
		}
		for _, got := range []int64{whole.estimate(), a.estimate()} {
			if off := float64(got)/float64(max(n, 1)) - float64(min(n, 1)); off < -limit || off > limit {
				t.Errorf("%d distinct are estimated as %d", n, got)
			}
		}
	}
}

// TestLearnerClosesTheSet: where no prefix has too many segments, but all have
// more than the cap together, those of most events are kept and the rest is
// {other}, with exact totals.
func TestLearnerClosesTheSet(t *testing.T) {
	const limit = 200
	tpl := mustTemplates(t, URLOptions{Cap: limit, Patterns: []string{"/explicit/{x}"}})
	learner := NewLearner(tpl, LearnOptions{})
	var paths []string
	for i := range uint64(60) {
		for k := range uint64(60) {
			path := "/" + word(i*7919) + "/" + word(k*104729)
			for range 1 + i/10 { // later prefixes have more events
				paths = append(paths, path)
			}
		}
		paths = append(paths, "/explicit/"+word(i))
	}
	for _, p := range paths {
		learner.Observe(p)
	}
	p := learner.Propose()
	if p.Templates != 3600 || len(p.Learned) != 0 || len(p.Known) != limit-2 {
		t.Fatalf("%d templates, %d learned, %d known; want 3600, 0 and %d", p.Templates, len(p.Learned), len(p.Known), limit-2)
	}
	closed := mustTemplates(t, URLOptions{Cap: limit, Patterns: tpl.Options().Patterns, Known: p.Known})
	counts := countURLs(closed, paths)
	total, other := int64(0), int64(0)
	for _, c := range counts.List() {
		total += c.Events
		switch c.Template {
		case URLOther:
			other = c.Events
		case "/explicit/{x}":
			if c.Events != 60 {
				t.Errorf("%+v, want 60 events", c)
			}
		default:
			if c.Events != 6 {
				t.Errorf("%+v is kept; only those of 6 events should be", c)
			}
		}
	}
	if n := len(counts.List()); n != limit || total != int64(len(paths)) || other != int64(len(paths)-60-6*(limit-2)) {
		t.Errorf("%d templates with %d of %d events, %d other", n, total, len(paths), other)
	}
}

// TestURLCountsMerge: counters of several goroutines add up to those of one,
// and beyond the cap into URLOther.
func TestURLCountsMerge(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Cap: 10})
	one, whole := NewURLCounts(10), NewURLCounts(10)
	folders := []*Folder{tpl.NewFolder(), tpl.NewFolder(), tpl.NewFolder()}
	all := tpl.NewFolder()
	for i := range 3000 {
		path := fmt.Sprintf("/%s/%d", word(uint64(i%5)), i%40)
		folders[i%3].Apply(path)
		all.Apply(path)
	}
	for _, f := range folders {
		part := NewURLCounts(10)
		f.Take(part)
		one.Merge(part)
	}
	all.Take(whole)
	got, want := one.List(), whole.List()
	for i := range min(len(got), len(want)) { // each folder has examples of its own
		if tpl.Template(got[i].Example) != got[i].Template {
			t.Errorf("example %q of %s", got[i].Example, got[i].Template)
		}
		got[i].Example = want[i].Example
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("merged %+v, whole %+v", got, want)
	}
	small := NewURLCounts(3)
	small.Merge(whole)
	if l := small.List(); len(l) != 3 || l[0].Template != URLOther || l[0].Events != 3*600 {
		t.Errorf("beyond the cap: %+v", l)
	}
}
