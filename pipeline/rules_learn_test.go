package pipeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

const (
	rulesURL  = "steps: [{url_template: true}]\n"
	rulesURL2 = "steps: [{drop: 'bot'}, {url_template: true}]\n"
)

// student is a RuleBook with a clock, and what decodes records by it.
type student struct {
	*RuleBook
	t   *testing.T
	now atomic.Int64
	d   decoding
}

const lessonInterval = 10 * time.Minute

func newStudent(t *testing.T, m millrace.Meta) *student {
	t.Helper()
	s := &student{t: t}
	s.now.Store(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixNano())
	var err error
	s.RuleBook, err = OpenRules(t.Context(), m, RulesOptions([]byte("a key of the test's own, 32 bytes"), nil),
		func() time.Time { return time.Unix(0, s.now.Load()) })
	if err != nil {
		t.Fatal(err)
	}
	s.d.book = s.RuleBook
	s.learn(0) // paths are noted from now on
	return s
}

// read decodes a record with an event for each path by the rules of a version.
func (s *student) read(version int64, source string, paths ...string) *unit {
	s.t.Helper()
	rec := &millrace.Record{Project: millrace.DefaultProject, Source: source, Format: "json", Rules: version, Parts: 1}
	for _, p := range paths {
		line := fmt.Sprintf(`{"url":%q,"user":%q}`+"\n", p, p[strings.LastIndexByte(p, '/')+1:])
		rec.Payload = append(rec.Payload, line...)
		rec.Frames = append(rec.Frames, uint32(len(line)))
	}
	p, err := s.Program(s.t.Context(), version)
	if err != nil {
		s.t.Fatal(err)
	}
	u := &unit{rec: rec, rules: p}
	if err := decodeUnit(&s.d, u); err != nil {
		s.t.Fatal(err)
	}
	return u
}

// visit reads records that were stamped just now.
func (s *student) visit(source string, paths ...string) {
	s.t.Helper()
	for part := range slices.Chunk(paths, pathsPerRecord) {
		s.read(s.Current(millrace.DefaultProject, source), source, part...)
	}
}

// learn takes a turn after some time.
func (s *student) learn(after time.Duration) []*millrace.RuleVersion {
	s.t.Helper()
	s.now.Add(int64(after))
	added, err := s.Learn(s.t.Context(), lessonInterval)
	if err != nil {
		s.t.Fatal(err)
	}
	return added
}

// lesson has paths observed and an interval pass.
func (s *student) lesson(source string, paths ...string) []*millrace.RuleVersion {
	s.t.Helper()
	s.visit(source, paths...)
	if early := s.learn(time.Second); early != nil {
		s.t.Errorf("learned before its time: %+v", early)
	}
	return s.learn(lessonInterval)
}

func (s *student) template(source, path string) string {
	s.t.Helper()
	e := &s.read(s.Current(millrace.DefaultProject, source), source, path).batch.Events[0]
	v, _ := e.Attr("url")
	return v.String()
}

func (s *student) apply(source, text string, after int64) (*millrace.RuleVersion, error) {
	s.now.Add(int64(time.Second))
	return s.Apply(s.t.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: source, Text: text, Author: "ann", After: after})
}

// people returns paths below a prefix that only learning folds.
func people(prefix string, n int) (out []string) {
	for i := range n {
		b := []byte("xaaaa")
		for k := range 4 {
			b[4-k] += byte(i % 20)
			i /= 20
		}
		out = append(out, prefix+string(b))
	}
	return out
}

func TestLearnedVersions(t *testing.T) {
	m := openMeta(t)
	s := newStudent(t, m)
	first := set(t, s.RuleBook, "shop", rulesURL)
	paths := append(people("/u/", 200), "/u/me", "/u/me", "/u/me", "/u/me", "/cart")
	added := s.lesson("shop", paths...)
	if len(added) != 1 || added[0].Author != millrace.AuthorLearned || added[0].Text != rulesURL || added[0].Note != "1 more {*}" {
		t.Fatalf("learned %+v", added)
	}
	currentIs(t, s.RuleBook, "shop", added[0].Version)
	if stored, err := m.Rules(t.Context(), added[0].Version); err != nil || stored.Learned != added[0].Learned {
		t.Fatalf("stored %+v, %v", stored, err)
	}
	check := func(s *student) {
		t.Helper()
		for path, want := range map[string]string{"/u/new": "/u/{*}", "/u/me": "/u/me", "/cart": "/cart"} {
			if got := s.template("shop", path); got != want {
				t.Errorf("%s becomes %s, want %s", path, got, want)
			}
		}
	}
	check(s)
	if v, _ := s.read(first, "shop", "/u/new").batch.Events[0].Attr("url"); v.String() != "/u/new" {
		t.Errorf("a record of the version before gives %s", v)
	}
	s = newStudent(t, m) // a restart
	check(s)
	for range 20 {
		if again := s.lesson("shop", paths...); again != nil {
			t.Fatalf("learned what is known: %+v", again[0])
		}
	}
	more := s.lesson("shop", append(people("/tags/", 150), paths...)...)
	if len(more) != 1 || !strings.Contains(more[0].Learned, `"/tags/{*}"`) || !strings.Contains(more[0].Learned, `"/u/{*}"`) {
		t.Fatalf("learned beside it %+v", more)
	}
	check(s)
}

// TestCrowdsAreUrgent: a flood of templates is not waited out.
func TestCrowdsAreUrgent(t *testing.T) {
	s := newStudent(t, openMeta(t))
	set(t, s.RuleBook, "shop", "steps: [{url_template: {cap: 20}}]")
	s.visit("shop", people("/", 90)...)
	if v := s.learn(time.Second); v != nil {
		t.Fatal("learned at once")
	}
	v := s.learn(lessonInterval / learnHaste)
	if len(v) != 1 || !strings.Contains(v[0].Note, "19 are known") {
		t.Fatalf("learned %+v", v)
	}
	if got := s.template("shop", "/unheard-of"); got != transform.URLOther {
		t.Errorf("the set is open to %s", got)
	}
	// What is popular later comes in, but not at every interval.
	later := strings.Split(strings.Repeat("/later ", 40), " ")[:40]
	if v = s.lesson("shop", later...); v != nil {
		t.Errorf("changed after an interval: %+v", v[0])
	}
	if v = s.lesson("shop", later...); v != nil {
		t.Errorf("changed after two: %+v", v[0])
	}
	s.now.Add(int64(learnPatience * lessonInterval))
	if v = s.lesson("shop", later...); len(v) != 1 || s.template("shop", "/later") != "/later" {
		t.Errorf("learned %+v", v)
	}
}

// TestChangesKeepWhatIsLearned: what was learned outlives a change of the text as
// long as the template step is the same, and a change is not refused because
// something was learned meanwhile.
func TestChangesKeepWhatIsLearned(t *testing.T) {
	s := newStudent(t, openMeta(t))
	first, err := s.apply("shop", rulesURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	learned := s.lesson("shop", people("/u/", 150)...)[0]
	trial, err := s.Try(t.Context(), millrace.RuleTrial{
		Project: millrace.DefaultProject, Source: "shop", Text: ptr(rulesURL2), Payload: []byte(`{"url":"/u/new"}` + "\n"),
	})
	if err != nil || trial.Changed != 0 {
		t.Errorf("tried without what was learned: %+v, %v", trial, err)
	}
	if same, err := s.apply("shop", rulesURL, first.Version); err != nil || same.Version != learned.Version {
		t.Errorf("the same text is %+v, %v", same, err)
	}
	second, err := s.apply("shop", rulesURL2, first.Version)
	if err != nil || second.Learned != learned.Learned || second.Author != "ann" {
		t.Fatalf("a change after what was learned: %+v, %v", second, err)
	}
	if got := s.template("shop", "/u/new"); got != "/u/{*}" {
		t.Errorf("after the change /u/new becomes %s", got)
	}
	for _, after := range []int64{0, first.Version, learned.Version, second.Version + 1} {
		if _, err := s.apply("shop", rulesURL, after); millrace.ErrorCode(err) != millrace.ErrConflict {
			t.Errorf("a change after version %d of what is at %d: %v", after, second.Version, err)
		}
	}
	third := s.lesson("shop", people("/tags/", 150)...)[0]
	if _, err := s.apply("shop", rulesURL, first.Version); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("a change of what somebody changed before it was learned: %v", err)
	}
	if _, err := s.apply("shop", rulesURL, third.Version+1); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("a change after a version there is not: %v", err)
	}
	other, err := s.apply("shop", "steps: [{url_template: {ignore_case: true}}]", second.Version)
	if err != nil || other.Learned != "" {
		t.Errorf("another step keeps what was learned: %+v, %v", other, err)
	}
}

func ptr[T any](v T) *T { return &v }

// TestSeedsAndLearning: what is learned changes nothing about whose rules they
// are.
func TestSeedsAndLearning(t *testing.T) {
	m := openMeta(t)
	s := newStudent(t, m)
	seed := func(s *student, seeds ...Seed) {
		t.Helper()
		s.now.Add(int64(time.Minute))
		if err := s.Seed(t.Context(), seeds); err != nil {
			t.Fatal(err)
		}
	}
	file := Seed{millrace.DefaultProject, "file", rulesURL}
	seed(s, file)
	if _, err := s.apply("page", rulesURL, 0); err != nil {
		t.Fatal(err)
	}
	s.visit("file", people("/u/", 150)...)
	s.visit("page", people("/u/", 150)...)
	s.learn(time.Second)
	added := s.learn(lessonInterval)
	if len(added) != 2 {
		t.Fatalf("learned %+v", added)
	}
	newest := func(s *student, source string) millrace.SourceRules {
		t.Helper()
		v, err := s.Get(millrace.DefaultProject, source)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	page, owned := newest(s, "page"), newest(s, "file")
	for range 3 {
		s = newStudent(t, m)
		seed(s, file)
		if v := newest(s, "page"); v.Version != page.Version || v.Author != millrace.AuthorLearned || v.Owned {
			t.Fatalf("after a restart the page's rules are %+v", v.RuleVersion)
		}
		if v := newest(s, "file"); v.Version != owned.Version || !v.Owned {
			t.Fatalf("after a restart the file's rules are %+v", v.RuleVersion)
		}
	}
	if _, err := s.apply("file", rulesURL2, -1); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("a change of what the file owns: %v", err)
	}
	seed(s, Seed{millrace.DefaultProject, "file", rulesURL2})
	if v := newest(s, "file"); v.Learned != owned.Learned || v.Author != millrace.AuthorConfig {
		t.Errorf("the file's change gives %+v", v.RuleVersion)
	}
	if v := s.lesson("file", people("/tags/", 150)...); len(v) != 1 {
		t.Fatalf("learned %+v", v)
	}
	seed(s) // the file has them no longer
	if v := newest(s, "file"); v.Text != "" || v.Learned != "" {
		t.Errorf("the file's rules stay: %+v", v.RuleVersion)
	}
	if v := newest(s, "page"); v.Version != page.Version {
		t.Errorf("the page's rules went with the file's: %+v", v.RuleVersion)
	}
}

// TestMasksAreNotLearned: nothing that masks hide gets into a version.
func TestMasksAreNotLearned(t *testing.T) {
	s := newStudent(t, openMeta(t))
	set(t, s.RuleBook, "shop", rulesURL+"masks: [{fields: [user], hash: true}]\n")
	s.visit("shop", slices.Repeat(people("/u/", 300), 3)...)
	s.visit("shop", slices.Repeat([]string{"/u/secret"}, 300)...)
	s.learn(time.Second)
	if v := s.learn(lessonInterval); v != nil {
		t.Errorf("learned %+v", v[0])
	}
	got := s.Tally(millrace.DefaultProject, "shop")
	if got.HiddenURLs != 1200 || len(got.Templates) != 0 || got.Events != 1200 || got.Steps[1].Matched != 1200 {
		t.Errorf("tally %+v", got)
	}
}

func TestTally(t *testing.T) {
	s := newStudent(t, openMeta(t))
	text := `steps:
  - {name: noise, drop: 'url == "/ping"'}
  - {name: fold, when: 'url != "/"', url_template: true}
`
	all := set(t, s.RuleBook, "*", text)
	if got := s.Tally(millrace.DefaultProject, "shop"); got.Source != "*" || got.Version != 0 || got.Steps == nil || got.Templates == nil {
		t.Errorf("before any event: %+v", got)
	}
	s.visit("shop", "/o/1", "/ping", "/", "/o/2", "/o/2", "/about")
	s.visit("blog", "/o/3", "/ping")
	got := s.Tally(millrace.DefaultProject, "shop")
	if got.Version != all || got.Events != 8 || !got.Since.Equal(s.RuleBook.now()) || got.HiddenURLs != 0 {
		t.Errorf("tally %+v", got)
	}
	want := []millrace.StepTally{{Step: 0, Name: "noise", Seen: 8, Matched: 2, Dropped: 2, Unmatched: 6}, {Step: 1, Name: "fold", Seen: 6, Skipped: 1, Matched: 5}}
	for i := range got.Steps {
		if got.Steps[i].Nanos <= 0 { // of the first event
			t.Errorf("%+v: no time", got.Steps[i])
		}
		got.Steps[i].Nanos = 0
	}
	if !slices.Equal(got.Steps, want) {
		t.Errorf("steps %+v, want %+v", got.Steps, want)
	}
	templates := []millrace.TemplateTally{{Template: "/o/{id}", Events: 4, Paths: 3, Example: "/o/1"}, {Template: "/about", Events: 1, Paths: 1, Example: "/about"}}
	if !slices.Equal(got.Templates, templates) {
		t.Errorf("templates %+v, want %+v", got.Templates, templates)
	}

	second := set(t, s.RuleBook, "*", rulesURL)
	s.visit("shop", "/o/7")
	s.read(all, "shop", "/o/8") // arrived before the change
	if got = s.Tally(millrace.DefaultProject, "*"); got.Version != second || got.Events != 1 || len(got.Templates) != 1 {
		t.Errorf("after a change: %+v", got)
	}
	set(t, s.RuleBook, "shop", rulesURL2)
	if got = s.Tally(millrace.DefaultProject, "shop"); got.Source != "shop" || got.Version != 0 {
		t.Errorf("rules of its own: %+v", got)
	}
}

// TestTalliesAreBounded: names, and templates over all of them.
func TestTalliesAreBounded(t *testing.T) {
	s := newStudent(t, openMeta(t))
	visit := func(i, n int) string {
		source := fmt.Sprintf("source%d", i)
		set(t, s.RuleBook, source, "steps: [{url_template: {cap: 20000}}]")
		s.visit(source, people("/"+source+"/", n)...)
		return source
	}
	for i := range 3 { // 30,000 templates
		visit(i, 10_000)
	}
	counted, other := 0, int64(0)
	for i := range 3 {
		got := s.Tally(millrace.DefaultProject, fmt.Sprintf("source%d", i))
		counted += len(got.Templates)
		events := int64(0)
		for _, c := range got.Templates {
			if events += c.Events; c.Template == transform.URLOther {
				other += c.Events
			}
		}
		if events != 10_000 || got.Events != 10_000 {
			t.Errorf("source %d: %d of %d events in templates, want 10000", i, events, got.Events)
		}
	}
	if counted > maxTallyTemplates || other < 5000 {
		t.Errorf("%d templates, limit %d; %d events in others", counted, maxTallyTemplates, other)
	}
	for i := 3; i < maxTallies; i++ {
		visit(i, 1)
	}
	last := visit(maxTallies, 1)
	if got := s.Tally(millrace.DefaultProject, last); got.Version != 0 {
		t.Errorf("name %d is counted", maxTallies+1)
	}
	s.now.Add(int64(tallyIdle))
	s.visit(last, "/a")
	if got := s.Tally(millrace.DefaultProject, last); got.Version == 0 {
		t.Error("idle names leave no room")
	}
}

// TestLearningFails: what keeps a version from being stored is said until it is
// stored, and what another process learned is not learned over.
func TestLearningFails(t *testing.T) {
	m := &fullMeta{Meta: openMeta(t)}
	s := newStudent(t, m)
	set(t, s.RuleBook, "shop", rulesURL)
	s.visit("shop", people("/u/", 150)...)
	s.learn(time.Second)
	m.err = errors.New("no space")
	s.now.Add(int64(lessonInterval))
	for range 2 {
		if _, err := s.Learn(t.Context(), lessonInterval); err == nil || !strings.Contains(err.Error(), "shop: no space") {
			t.Fatalf("error %v", err)
		}
		s.now.Add(int64(time.Second))
	}
	m.err = nil
	if v := s.learn(lessonInterval / learnHaste); len(v) != 1 {
		t.Fatalf("learned %+v", v)
	}

	other := newStudent(t, m)
	other.now.Store(s.now.Load())
	s.visit("shop", people("/tags/", 150)...)
	other.visit("shop", people("/p/", 150)...)
	s.learn(time.Second)
	other.learn(time.Second)
	if v := s.learn(lessonInterval); len(v) != 1 {
		t.Fatalf("learned %+v", v)
	}
	if v := other.learn(lessonInterval); v != nil {
		t.Errorf("learned over what another did: %+v", v)
	}
	currentIs(t, other.RuleBook, "shop", s.Current(millrace.DefaultProject, "shop"))

	seen := other.Current(millrace.DefaultProject, "shop")
	if v := s.lesson("shop", people("/x/", 150)...); len(v) != 1 {
		t.Fatalf("learned %+v", v)
	}
	if _, err := other.apply("shop", rulesURL2, seen); err != nil {
		t.Errorf("a change after what another process learned: %v", err)
	}
	if _, err := s.apply("shop", rulesDrop, seen); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("a change after what another process changed: %v", err)
	}
}

type fullMeta struct {
	millrace.Meta
	err error
}

func (m *fullMeta) AddRules(ctx context.Context, v *millrace.RuleVersion, after int64) error {
	if m.err != nil {
		return m.err
	}
	return m.Meta.AddRules(ctx, v, after)
}

// TestHostileURLsThroughThePipeline: a flood of distinct paths, stamped as ingest
// does while the pipeline learns, stays under the cap once it was learned, with
// exact totals all the time. MILLRACE_HOSTILE_URLS sets how many, 5,000,000 for a
// soak.
func TestHostileURLsThroughThePipeline(t *testing.T) {
	n := 30_000
	if s := os.Getenv("MILLRACE_HOSTILE_URLS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	const limit, batch = 100, 1000
	r := newRig(t, counting("traffic", "url"))
	r.opts.LearnInterval = millrace.Duration(50 * time.Millisecond)
	r.rules = openBook(t, openMeta(t))
	first := set(t, r.rules, "test", fmt.Sprintf("steps: [{url_template: {cap: %d}}]\n", limit))
	r.start()
	sent, versions := map[int64]int64{}, []int64{first}
	for i := 0; i < n; i += batch {
		version := r.rules.Current(millrace.DefaultProject, "test")
		if i >= n/2 && version == first { // the second half comes when something was learned
			deadline := time.Now().Add(10 * time.Second)
			for version == first && time.Now().Before(deadline) {
				time.Sleep(5 * time.Millisecond)
				version = r.rules.Current(millrace.DefaultProject, "test")
			}
		}
		if versions[len(versions)-1] != version {
			versions = append(versions, version)
		}
		var lines []string
		for k := i; k < min(i+batch, n); k++ {
			lines = append(lines, hostileLine(k))
		}
		sent[version] += int64(len(lines))
		r.send(millrace.Record{Rules: version, Format: "json"}, lines...)
	}
	r.drain()
	r.wantLedger(fmt.Sprintf("received=%d/%d stored=%d/%d", n, n, n, n))
	last := versions[len(versions)-1]
	if last == first {
		t.Fatal("nothing was learned")
	}
	tally := r.rules.Tally(millrace.DefaultProject, "test")
	events := int64(0)
	for _, c := range tally.Templates {
		events += c.Events
	}
	if tally.Version != last || tally.Events != sent[last] || events != sent[last] || len(tally.Templates) > limit {
		t.Errorf("version %d: %d events, %d of them in %d templates; want version %d, %d events, up to %d templates",
			tally.Version, tally.Events, events, len(tally.Templates), last, sent[last], limit)
	}
	for _, c := range tally.Templates { // what many ask for is not drowned
		if c.Template == "/cart" {
			events = c.Events
		}
	}
	if share := float64(events) / float64(sent[last]); share < 0.24 || share > 0.26 {
		t.Errorf("/cart has %d of %d events, want a quarter", events, sent[last])
	}
	checkHostileCells(t, r, int64(n), limit, int(sent[first]))
	t.Logf("%d versions; %d events before the first, %d by the last in %d templates", len(versions), sent[first], sent[last], len(tally.Templates))
}

// checkHostileCells compares the cells of the total and of the templates.
func checkHostileCells(t *testing.T, r *rig, n int64, limit, before int) {
	t.Helper()
	for _, set := range r.rollups[0].Sets {
		cells, err := r.store.Cells(t.Context(), millrace.CellQuery{
			Rollup: "traffic", Granularity: millrace.Minute, Set: set, By: set.Dims, States: []int{0}, From: 0, To: 1 << 40, Step: 60,
		})
		if err != nil {
			t.Fatal(err)
		}
		total, values := int64(0), map[string]bool{}
		for i := range cells.Len() {
			total += cells.States[0].Ints[i]
			for _, d := range cells.Dims {
				values[d[i]] = true
			}
		}
		// Each version before the set was closed may have brought its own.
		if total != n || len(values) > before+2*limit {
			t.Errorf("set %v: %d events in %d values, want %d in at most %d", set.Dims, total, len(values), n, before+2*limit)
		}
	}
}

// hostileLine is an event; but for every fourth its path was never there before,
// and no form folds it.
func hostileLine(i int) string {
	path := "/cart"
	switch i % 4 {
	case 0: // words at every depth
		path = fmt.Sprintf("/%s/%s/%s", letters(i), letters(i*31+7), letters(i*7919+3))
	case 1:
		path = fmt.Sprintf("/shop/%s.%s", letters(i), letters(i/7))
	case 2: // under no prefix too many
		path = fmt.Sprintf("/app/%s/%s/%s/%s", letters(i%60), letters(i/60%60), letters(i/3600%60), letters(i/216_000%60))
	}
	return fmt.Sprintf(`{"url":%q,"kind":"access"}`, path)
}

// letters spells a number with pronounceable syllables.
func letters(n int) string {
	const consonants, vowels = "bdfgklmnprstvz", "aeiou"
	var b []byte
	for range 4 {
		b = append(b, consonants[n%14], vowels[n/14%5])
		n /= 70
	}
	return string(b)
}
