package transform

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

const learnRules = "steps: [{url_template: {patterns: [\"/api/{call}\"], learned: [\"/old/{*}\"]}}]"

func learnProgram(t *testing.T, text string, learned *URLLearning) *Program {
	t.Helper()
	p, err := Load([]byte(text), Options{Learned: learned, HashKey: []byte("0123456789")})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// observe returns a learner of p that saw the paths, each as often.
func observe(p *Program, times int, paths ...string) *Learner {
	tpl, _ := p.Templates()
	l := NewLearner(tpl, LearnOptions{})
	for range times {
		for _, path := range paths {
			l.Observe(path)
		}
	}
	return l
}

func userPaths(n int) (out []string) {
	for i := range n {
		out = append(out, "/users/"+name(i))
	}
	return out
}

// name is a word, which no form tells from another.
func name(i int) string {
	b := []byte("xaaaa")
	for k := range 4 {
		b[4-k] += byte(i % 20)
		i /= 20
	}
	return string(b)
}

func TestProgramLearns(t *testing.T) {
	p := learnProgram(t, learnRules, nil)
	l := p.Learn(observe(p, 1, append(userPaths(200), "/users/me", "/users/me", "/users/me", "/cart", "/api/x", "/old/y")...), false)
	if l == nil || l.Folds != 1 {
		t.Fatalf("learned %+v", l)
	}
	if want := []string{"/users/me", "/users/{*}"}; !slices.Equal(l.Learned, want) || l.Closed || l.Known != nil || l.From != "url" {
		t.Errorf("learned %+v, want %v", l, want)
	}
	back, err := ParseURLLearning(l.String())
	if err != nil || back.String() != l.String() {
		t.Fatalf("%v, %v after %v", back, err, l)
	}
	next := learnProgram(t, learnRules, back)
	for path, want := range map[string]string{"/users/new": "/users/{*}", "/users/me": "/users/me", "/old/x": "/old/{*}", "/api/z": "/api/{call}", "/users": "/users"} {
		if tpl, _ := next.Templates(); tpl.Template(path) != want {
			t.Errorf("%s becomes %s, want %s", path, tpl.Template(path), want)
		}
	}
	if again := next.Learn(observe(next, 1, userPaths(500)...), false); again != nil {
		t.Errorf("learned again %v", again)
	}
	more := next.Learn(observe(next, 1, strings.Split(strings.ReplaceAll(strings.Join(userPaths(300), " "), "/users/", "/tags/"), " ")...), false)
	if more == nil || !slices.Equal(more.Learned, []string{"/users/me", "/users/{*}", "/tags/{*}"}) {
		t.Errorf("learned beside it %v", more)
	}
}

// TestProgramClosesTheSet: more templates than the cap close the set by those of
// most events, and only a share of events that it does not know opens it.
func TestProgramClosesTheSet(t *testing.T) {
	text := `steps: [{url_template: {cap: 20}}]`
	p := learnProgram(t, text, nil)
	page := func(from, to int) (out []string) {
		for i := from; i < to; i++ {
			out = append(out, "/"+name(i)+"/page")
		}
		return out
	}
	l := p.Learn(observe(p, 1, append(page(0, 50), page(0, 10)...)...), true)
	if l == nil || len(l.Known) != 19 || !slices.Contains(l.Known, page(3, 4)[0]) {
		t.Fatalf("learned %+v", l)
	}
	closed := learnProgram(t, text, l.URLLearning)
	tpl, _ := closed.Templates()
	if tpl.Template(page(3, 4)[0]) != page(3, 4)[0] || tpl.Template("/new/page") != URLOther {
		t.Errorf("the set is not closed: %v", tpl.Options())
	}
	if again := closed.Learn(observe(closed, 10, append(page(0, 10), "/new/page")...), false); again != nil {
		t.Errorf("one event of eleven changes the set: %v", again)
	}
	if rare := closed.Learn(observe(closed, learnEvents-1, append(page(0, 5), "/new/page")...), false); rare != nil {
		t.Errorf("a few events change the set: %v", rare)
	}
	if early := closed.Learn(observe(closed, 10, append(page(0, 5), "/new/page")...), true); early != nil {
		t.Errorf("changed against patience: %v", early)
	}
	again := closed.Learn(observe(closed, 10, append(page(0, 5), "/new/page")...), false)
	if again == nil || len(again.Known) != 19 || !slices.Contains(again.Known, "/new/page") || !slices.Contains(again.Known, page(9, 10)[0]) {
		t.Errorf("one event of six: %+v", again)
	}
	// What the rules say now goes before what was learned.
	for _, other := range []string{`{cap: 5}`, `{cap: 20, patterns: ["/{*}", "/a/b", "/c/{d}/e"]}`, `{cap: 2}`, `{cap: 2, patterns: ["/a"]}`, `{cap: 20, ignore_case: true}`} {
		if strings.Contains(other, "{*}") {
			other = strings.ReplaceAll(other, "/{*}", "/x/{y}")
		}
		q := learnProgram(t, "steps: [{url_template: "+other+"}]", &URLLearning{
			Version: 1, From: "url", Learned: []string{"/Upper/{*}", "not a rule", "/u/{*}"}, Closed: true, Known: append([]string{"/Upper/{*}", "/c/d/e"}, l.Known...),
		})
		o := q.urlTemplate().templates.Options()
		if n := len(o.Known) + len(o.Patterns) + 1; n > o.Cap || q.urlTemplate().templates.known == nil {
			t.Errorf("%s: %d templates, closed: %v", other, n, q.urlTemplate().templates.known != nil)
		}
	}
	own := learnProgram(t, `steps: [{url_template: {known: ["/a"]}}]`, l.URLLearning)
	if o := own.urlTemplate().templates.Options(); len(o.Known) != 1 || own.LearnsURLs() {
		t.Errorf("the text's own set: %v, learns %v", o.Known, own.LearnsURLs())
	}
	other := learnProgram(t, `steps: [{url_template: {from: path, to: path}}]`, l.URLLearning)
	if o := other.urlTemplate().templates.Options(); len(o.Known) != 0 {
		t.Errorf("another field got %v", o.Known)
	}
}

// TestLearningIsBounded: however many prefixes there are, what is stored stays
// within its bound, and ends.
func TestLearningIsBounded(t *testing.T) {
	p := learnProgram(t, `steps: [{url_template: true}]`, nil)
	versions := 0
	for round := range 60 {
		tpl, _ := p.Templates()
		l := NewLearner(tpl, LearnOptions{Children: 10, Keep: 0.5})
		long := strings.Repeat("/"+strings.Repeat(name(round), 15), 5)
		for i := range 8 {
			for k := range 15 {
				l.Observe(fmt.Sprintf("%s/%s/%s", long, name(i), name(k)))
			}
		}
		learned := p.Learn(l, false)
		if learned == nil {
			continue
		}
		versions++
		if n := len(learned.String()); n > MaxURLLearning {
			t.Fatalf("%d bytes", n)
		}
		p = learnProgram(t, `steps: [{url_template: true}]`, learned.URLLearning)
	}
	if n := len(p.URLLearning().Known); n == 0 || n > DefaultURLCap-2 {
		t.Errorf("%d known templates", n)
	}
	t.Logf("%d versions, the last of %d bytes", versions, len(p.URLLearning().String()))
}

// TestRoomForNone: where the patterns fill the cap all else is {other}, and
// that is learned once.
func TestRoomForNone(t *testing.T) {
	text := `steps: [{url_template: {cap: 2, patterns: ["/a"]}}]`
	p := learnProgram(t, text, nil)
	l := p.Learn(observe(p, 1, "/a", "/b"), false)
	if l == nil || !l.Closed || len(l.Known) != 0 {
		t.Fatalf("learned %+v", l)
	}
	p = learnProgram(t, text, l.URLLearning)
	if tpl, _ := p.Templates(); tpl.Template("/b") != URLOther || tpl.Template("/a") != "/a" {
		t.Errorf("/b becomes %s", tpl.Template("/b"))
	}
	if l = p.Learn(observe(p, 100, "/a", "/b"), false); l != nil {
		t.Errorf("learned again %+v", l)
	}
}

func TestLearnerIsCrowded(t *testing.T) {
	p := learnProgram(t, `steps: [{url_template: {cap: 10}}]`, nil)
	if l := observe(p, 10, userPaths(4*9)...); l.Crowded() {
		t.Error("36 templates are a crowd")
	}
	l := observe(p, 1, userPaths(4*9+1)...)
	if !l.Crowded() {
		t.Error("37 templates are none")
	}
	lesson := p.Learn(l, false)
	p = learnProgram(t, `steps: [{url_template: {cap: 10}}]`, lesson.URLLearning)
	if observe(p, 1, userPaths(200)...).Crowded() {
		t.Error("a closed set is crowded")
	}
}

// TestHiddenURLs: what masks hide of a path is neither learned from nor shown
// with the templates; what they leave is.
func TestHiddenURLs(t *testing.T) {
	type event map[string]string
	for _, tc := range []struct {
		rules           string
		events          []event
		learned, hidden int
		shown           string
	}{
		{`masks: []`, []event{{"url": "/u/ann"}, {"url": "/u/17"}}, 2, 0, "/u/ann=/u/ann /u/{id}=/u/17"},
		{`masks: [{fields: [ip], hash: {salt: 12345678}}]`, []event{{"url": "/u/ann", "ip": "192.0.2.1"}, {"url": "/ip/192.0.2.1", "ip": "192.0.2.1"}}, 1, 0, "/ip/{ip}= /u/ann=/u/ann"},
		{`masks: [{fields: [user], drop: true}]`, []event{{"url": "/u/ann", "user": "ann"}, {"url": "/u/bob", "user": "ann"}}, 1, 1, "/u/bob=/u/bob"},
		{`masks: [{fields: [url_path], drop: true, only_here: true}]`, []event{{"url": "/u/17"}, {"url": "/u/ann"}}, 1, 0, "/u/ann=/u/ann /u/{id}="},
		{`masks: [{fields: [url, url_path], drop: true}]`, []event{{"url": "/u/17"}, {"url": "/u/ann"}}, 0, 2, ""},
		{`masks: [{fields: "*", replace: {pattern: ann, with: x}}]`, []event{{"url": "/u/ann"}, {"url": "/u/bob"}}, 1, 1, "/u/bob=/u/bob"},
	} {
		p := learnProgram(t, "steps: [{url_template: true}]\n"+tc.rules, nil)
		s, learned := &Scratch{}, 0
		s.Observe(p, 1, func(string) { learned++ })
		total := NewURLCounts(10)
		for _, e := range tc.events {
			b := newBatch("line", "x")
			for k, v := range e {
				b.Events[0].Set(k, millrace.StringValue(v))
			}
			p.Apply(b, &b.Events[0], s)
		}
		s.TakeURLs(p, total)
		var shown []string
		for _, c := range total.List() {
			shown = append(shown, c.Template+"="+c.Example)
		}
		slices.Sort(shown)
		if learned != tc.learned || total.Hidden() != int64(tc.hidden) || strings.Join(shown, " ") != tc.shown {
			t.Errorf("%s: %d learned from, %d hidden, shown %q", tc.rules, learned, total.Hidden(), shown)
		}
	}
}

// TestObserveStride: one of three paths of kept events, evenly though they come
// in a pattern.
func TestObserveStride(t *testing.T) {
	p := learnProgram(t, `steps: [{url_template: true}, {drop: 'url == "/no"'}]`, nil)
	s := &Scratch{}
	got := map[string]int{}
	observe := func(path string) { got[path]++ }
	b := newBatch("line", "x")
	event := b.Events[0]
	for i := range 9000 {
		if i%10 == 0 { // a new record
			s.Observe(p, 3, observe)
		}
		b.Events[0] = event
		b.Events[0].Attrs = nil
		b.Events[0].Set("url", millrace.StringValue([]string{"/a", "/b", "/c", "/no"}[i%4]))
		p.Apply(b, &b.Events[0], s)
	}
	for _, path := range []string{"/a", "/b", "/c"} {
		if n := got[path]; n < 650 || n > 850 {
			t.Errorf("%s is observed %d times of 2250", path, n)
		}
	}
	if got["/no"] != 0 {
		t.Errorf("of dropped events %d are observed", got["/no"])
	}
	s.Observe(p, 0, nil)
	p.Apply(b, &b.Events[0], s)
}

func TestSameURLs(t *testing.T) {
	parse := func(text string) *Rules {
		r, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a := parse(`steps: [{url_template: {patterns: ["/a/{b}"]}}]`)
	for text, want := range map[string]bool{
		`steps: [{drop: "bot"}, {url_template: {patterns: ["/a/{b}"]}}, {url_template: {from: referrer}}]`: true,
		`steps: [{url_template: {patterns: ["/a/{b}", "/c"]}}]`:                                            false,
		`steps: [{url_template: {from: path, patterns: ["/a/{b}"]}}]`:                                      false,
		`steps: [{drop: "bot"}]`: false,
	} {
		if SameURLs(a, parse(text)) != want {
			t.Errorf("%s is as before: %v", text, !want)
		}
	}
}

func FuzzURLLearning(f *testing.F) {
	f.Add(`{"version":1,"from":"url","learned":["/a/{*}"],"known":["/b"]}`)
	f.Add(`{"version":1,"from":"url","learned":["/a/b","x"],"known":["*","/{other}"]}`)
	f.Fuzz(func(t *testing.T, stored string) {
		l, err := ParseURLLearning(stored)
		if err != nil || l == nil {
			return
		}
		if _, err := Load([]byte(learnRules), Options{Learned: l}); err != nil {
			t.Errorf("what was learned makes rules invalid: %v", err)
		}
		if back, err := ParseURLLearning(l.String()); len(stored) < 1000 && (err != nil || back.String() != l.String()) {
			t.Errorf("%v, %v after %v", back, err, l)
		}
	})
}
