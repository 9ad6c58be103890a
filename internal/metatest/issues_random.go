package metatest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

// issuesModel is what Issues means, without a database: the oracle of
// randomIssues. It is naive: all is computed anew from what was told.
type issuesModel struct {
	fingerprints map[string]*modelFingerprint
	keys         map[string]string
	issues       map[string]*millrace.Issue
	told         []millrace.Sighting // of known fingerprints
	changes      []*millrace.Regrouping
}

type modelFingerprint struct{ issue, key, report string }

func (o *issuesModel) see(list []millrace.Sighting) (seen map[string]bool, missing []int) {
	seen = map[string]bool{} // created
	touched := map[string]bool{}
	for i := range list {
		s := &list[i]
		if o.fingerprints[s.Fingerprint] != nil || s.Key == "" {
			continue
		}
		id, ok := o.keys[s.Key]
		if !ok {
			id = millrace.IssueID(s.Project, s.Key)
			o.keys[s.Key] = id
		}
		if o.issues[id] == nil {
			o.issues[id] = &millrace.Issue{ID: id, Project: s.Project, State: millrace.IssueOpen, Owner: s.Owner, Created: issuesNow.UnixNano()}
			seen[id] = true
		}
		o.fingerprints[s.Fingerprint] = &modelFingerprint{id, s.Key, string(s.Report)}
	}
	for i, s := range list {
		f := o.fingerprints[s.Fingerprint]
		if f == nil {
			missing = append(missing, i)
			continue
		}
		o.told = append(o.told, s)
		touched[f.issue] = true
	}
	for id := range touched {
		o.compute(id)
		if o.issues[id].State != millrace.IssueOpen && !seen[id] {
			seen[id] = false
		}
	}
	return seen, missing
}

// compute brings an issue up to date from all that was told of its fingerprints.
func (o *issuesModel) compute(id string) {
	i := o.issues[id]
	i.Fingerprints = 0
	for _, f := range o.fingerprints {
		if f.issue == id {
			i.Fingerprints++
		}
	}
	first, last, ok := o.span(func(s *millrace.Sighting) bool { return o.fingerprints[s.Fingerprint].issue == id })
	if !ok {
		return
	}
	i.MergedInto = ""
	i.FirstSeen, i.FirstRelease, i.LastSeen, i.LastRelease = first.First, first.FirstRelease, last.Last, last.LastRelease
	i.Type, i.Title, i.Culprit, i.Level, i.Service, i.Language = first.Type, first.Title, first.Culprit, first.Level, first.Service, first.Language
}

// span returns the sightings that say what was first and last of those selected.
func (o *issuesModel) span(of func(*millrace.Sighting) bool) (first, last millrace.Sighting, ok bool) {
	for i := range o.told {
		s := &o.told[i]
		if !of(s) {
			continue
		}
		if !ok || cmp.Or(cmp.Compare(s.First, first.First), cmp.Compare(s.FirstRelease, first.FirstRelease), cmp.Compare(s.Type, first.Type), cmp.Compare(s.Title, first.Title)) < 0 {
			first = *s
		}
		if !ok || cmp.Or(cmp.Compare(s.Last, last.Last), cmp.Compare(s.LastRelease, last.LastRelease)) > 0 {
			last = *s
		}
		ok = true
	}
	return first, last, ok
}

// consistent reports whether each fingerprint is in the issue of its key.
func (o *issuesModel) consistent() bool {
	for _, f := range o.fingerprints {
		if o.keys[f.key] != f.issue {
			return false
		}
	}
	return true
}

func (o *issuesModel) regroup(r *millrace.Regrouping) millrace.Code {
	for _, m := range r.Moves {
		if f := o.fingerprints[m.Fingerprint]; m.Fingerprint != "" && (f == nil || f.issue != m.From || f.key != m.KeyBefore) ||
			m.Fingerprint == "" && o.keys[m.Key] != m.From {
			return millrace.ErrConflict
		}
	}
	if n := r.Undoes; n != 0 && o.changes[n-1].UndoneBy != 0 {
		return millrace.ErrConflict
	}
	fingerprints, keys := o.fingerprints, o.keys
	o.fingerprints, o.keys = map[string]*modelFingerprint{}, maps.Clone(keys)
	for name, f := range fingerprints {
		c := *f
		o.fingerprints[name] = &c
	}
	touched, went := map[string]bool{}, map[string]map[string]int{}
	for _, m := range r.Moves {
		touched[m.From], touched[m.To] = true, true
		if m.Fingerprint == "" {
			if o.keys[m.Key] = m.To; m.To == "" {
				delete(o.keys, m.Key)
			}
			continue
		}
		f := o.fingerprints[m.Fingerprint]
		f.issue, f.key = m.To, m.Key
		if m.From != m.To {
			if went[m.From] == nil {
				went[m.From] = map[string]int{}
			}
			went[m.From][m.To]++
		}
	}
	if !o.consistent() {
		o.fingerprints, o.keys = fingerprints, keys
		return millrace.ErrConflict
	}
	delete(touched, "")
	for id := range touched {
		if o.issues[id] == nil {
			o.issues[id] = &millrace.Issue{ID: id, Project: r.Project, State: millrace.IssueOpen, Created: r.At}
		}
		o.compute(id)
		i := o.issues[id]
		i.Version++
		if to := went[id]; i.Fingerprints == 0 && to != nil {
			i.MergedInto = slices.MinFunc(slices.Collect(maps.Keys(to)), func(a, b string) int { return cmp.Or(to[b]-to[a], cmp.Compare(a, b)) })
		}
	}
	return ""
}

// randomIssues does the same to an implementation and to the model, and compares.
func randomIssues(t *testing.T, ctx context.Context, m millrace.Issues) {
	const seed, operations = 12, 200
	rnd := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // tests repeat
	o := &issuesModel{fingerprints: map[string]*modelFingerprint{}, keys: map[string]string{}, issues: map[string]*millrace.Issue{}}
	for i := range operations {
		switch op := rnd.IntN(10); {
		case op < 6 || len(o.issues) == 0:
			o.randomSee(t, ctx, m, rnd)
		case op < 7:
			o.randomChange(t, ctx, m, rnd, i)
		default:
			o.randomRegroup(t, ctx, m, rnd, int64(i))
		}
		if t.Failed() {
			t.Fatalf("at operation %d", i)
		}
		if i%20 == 0 {
			o.compare(t, ctx, m)
		}
	}
	o.compare(t, ctx, m)
	if undone := slices.IndexFunc(o.changes, func(r *millrace.Regrouping) bool { return r.UndoneBy != 0 }); len(o.changes) < 20 || undone < 0 {
		t.Errorf("only %d changes of what belongs together, or none was undone", len(o.changes))
	}
}

func (o *issuesModel) randomSee(t *testing.T, ctx context.Context, m millrace.Issues, rnd *rand.Rand) {
	var list []millrace.Sighting
	for range 1 + rnd.IntN(6) {
		s := Sighting(fmt.Sprint(rnd.IntN(15)), rnd.Int64N(60))
		s.Last += rnd.Int64N(5) * second
		s.Title = fmt.Sprintf("title %d", rnd.IntN(3))
		s.FirstRelease, s.LastRelease = fmt.Sprintf("%d", rnd.IntN(3)), fmt.Sprintf("%d", rnd.IntN(3))
		s.Env, s.Key = []string{"production", "test"}[rnd.IntN(2)], fmt.Sprintf("k%d", rnd.IntN(8))
		if rnd.IntN(2) == 0 {
			s = keyless(s)
		}
		list = append(list, s)
	}
	want, wantMissing := o.see(list)
	seen, missing, err := m.See(ctx, list, issuesNow)
	check(t, err)
	got := map[string]bool{}
	for _, s := range seen {
		got[s.Issue.ID] = s.Created
		if !reflect.DeepEqual(s.Issue, o.issues[s.Issue.ID]) {
			t.Errorf("seen %+v, want %+v", s.Issue, o.issues[s.Issue.ID])
		}
		for i := range list {
			if of := o.fingerprints[list[i].Fingerprint]; slices.Contains(s.Sightings, i) != (of != nil && of.issue == s.Issue.ID) {
				t.Errorf("issue %s has sightings %v", s.Issue.ID, s.Sightings)
			}
		}
	}
	if !maps.Equal(got, want) || !slices.Equal(missing, wantMissing) {
		t.Errorf("seen %v, missing %v, want %v, %v", got, missing, want, wantMissing)
	}
}

func (o *issuesModel) some(rnd *rand.Rand) string {
	return slices.Sorted(maps.Keys(o.issues))[rnd.IntN(len(o.issues))]
}

func (o *issuesModel) randomChange(t *testing.T, ctx context.Context, m millrace.Issues, rnd *rand.Rand, n int) {
	i := o.issues[o.some(rnd)]
	c := *i
	c.State = []millrace.IssueState{millrace.IssueOpen, millrace.IssueResolved, millrace.IssueIgnored}[rnd.IntN(3)]
	c.Owner, c.Regressed, c.Ignore = fmt.Sprintf("owner %d", n), int64(n), millrace.Ignore{Users: int64(n)}
	if rnd.IntN(4) == 0 {
		c.Version++
		wantCode(t, m.ChangeIssue(ctx, &c), millrace.ErrConflict)
		return
	}
	check(t, m.ChangeIssue(ctx, &c))
	i.State, i.Owner, i.Regressed, i.Ignore, i.Version = c.State, c.Owner, c.Regressed, c.Ignore, c.Version
}

// randomRegroup moves fingerprints and keys, or takes a change back.
func (o *issuesModel) randomRegroup(t *testing.T, ctx context.Context, m millrace.Issues, rnd *rand.Rand, at int64) {
	r := &millrace.Regrouping{Project: millrace.DefaultProject, At: at, Kind: "regroup"}
	if len(o.changes) > 0 && rnd.IntN(3) == 0 {
		r = back(o.changes[max(0, len(o.changes)-1-rnd.IntN(3))])
		r.At = at
	} else {
		o.randomMoves(rnd, r)
	}
	model := *r
	if r.Undoes != 0 {
		model.Undoes = int64(1 + slices.IndexFunc(o.changes, func(c *millrace.Regrouping) bool { return c.ID == r.Undoes }))
	}
	want := o.regroup(&model)
	err := m.Regroup(ctx, r)
	wantCode(t, err, want)
	if err != nil {
		return
	}
	o.changes = append(o.changes, r)
	if r.Undoes != 0 {
		o.changes[model.Undoes-1].UndoneBy = r.ID
	}
}

// randomMoves moves keys with all that have them, gives fingerprints other keys,
// and sometimes forgets to.
func (o *issuesModel) randomMoves(rnd *rand.Rand, r *millrace.Regrouping) {
	target := func() string {
		if rnd.IntN(6) == 0 {
			return millrace.IssueID(millrace.DefaultProject, fmt.Sprintf("fresh %d", rnd.IntN(5)))
		}
		return o.some(rnd)
	}
	keys := maps.Clone(o.keys)
	for n := range 8 {
		key := fmt.Sprintf("k%d", n)
		if rnd.IntN(4) > 0 {
			continue
		}
		keys[key] = target()
		if o.keys[key] != "" && rnd.IntN(4) == 0 {
			keys[key] = "" // which nobody may have then
		}
		r.Moves = append(r.Moves, moveKey(key, o.keys[key], keys[key]))
	}
	for _, name := range slices.Sorted(maps.Keys(o.fingerprints)) {
		f := o.fingerprints[name]
		key := f.key
		if rnd.IntN(8) == 0 || keys[key] == "" {
			key = fmt.Sprintf("k%d", rnd.IntN(8))
		}
		if to := keys[key]; to != "" && (to != f.issue || key != f.key) && rnd.IntN(40) > 0 {
			r.Moves = append(r.Moves, millrace.Move{Fingerprint: name, KeyBefore: f.key, Key: key, From: f.issue, To: to})
		}
	}
	if len(r.Moves) > 0 && rnd.IntN(8) == 0 {
		r.Moves[0].From = "another"
	}
}

func (o *issuesModel) compare(t *testing.T, ctx context.Context, m millrace.Issues) {
	t.Helper()
	list := 0
	for id, want := range o.issues {
		wantIssue(t, m, want)
		if want.Fingerprints > 0 {
			list++
		}
		sights, err := m.Sights(ctx, millrace.DefaultProject, id)
		check(t, err)
		for _, s := range sights {
			first, last, _ := o.span(func(v *millrace.Sighting) bool { return v.Fingerprint == s.Fingerprint && v.Env == s.Env })
			want := millrace.Sight{
				Fingerprint: s.Fingerprint, Env: s.Env, FirstSeen: first.First, LastSeen: last.Last, FirstRelease: first.FirstRelease, LastRelease: last.LastRelease,
			}
			if s != want || o.fingerprints[s.Fingerprint].issue != id {
				t.Errorf("sight %+v, want %+v", s, want)
			}
		}
	}
	fingerprints, err := m.Fingerprints(ctx, millrace.DefaultProject, nil)
	check(t, err)
	for _, f := range fingerprints {
		first, last, _ := o.span(func(v *millrace.Sighting) bool { return v.Fingerprint == f.Fingerprint })
		of := o.fingerprints[f.Fingerprint]
		if of == nil || f.Issue != of.issue || f.Key != of.key || f.FirstSeen != first.First || f.Title != first.Title ||
			f.FirstRelease != first.FirstRelease || f.LastSeen != last.Last || f.LastRelease != last.LastRelease {
			t.Errorf("fingerprint %+v, want %+v, %+v to %+v", f, of, first, last)
		}
	}
	issues, err := m.ListIssues(ctx, millrace.IssueQuery{Project: millrace.DefaultProject})
	check(t, err)
	keys, err := m.IssueKeys(ctx, millrace.DefaultProject, nil)
	check(t, err)
	if len(issues) != list || len(fingerprints) != len(o.fingerprints) || !maps.Equal(keys, o.keys) {
		t.Errorf("%d issues, %d fingerprints, keys %v, want %d, %d, %v", len(issues), len(fingerprints), keys, list, len(o.fingerprints), o.keys)
	}
	changes, err := m.Regroupings(ctx, millrace.DefaultProject, "", 0, 1000)
	check(t, err)
	for i := range changes {
		if want := o.changes[len(o.changes)-1-i]; !reflect.DeepEqual(&changes[i], want) {
			t.Errorf("change %+v, want %+v", changes[i], want)
		}
	}
	if len(changes) != len(o.changes) {
		t.Errorf("%d changes, want %d", len(changes), len(o.changes))
	}
}
