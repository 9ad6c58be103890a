package issue

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// A grouping is two maps, which agree: every fingerprint has a key and lies in the
// issue that its key belongs to. This file computes new ones, and the moves that
// lead from one to the other; it asks nobody.

// place is where a fingerprint is.
type place struct{ issue, key string }

// layout is the grouping of a project, or of some of its issues.
type layout struct {
	prints []millrace.IssueFingerprint // by issue, then first seen
	keys   map[string]string           // to issue
}

// at returns where the fingerprints are.
func (l *layout) at() map[string]place {
	out := make(map[string]place, len(l.prints))
	for i := range l.prints {
		f := &l.prints[i]
		out[f.Fingerprint] = place{f.Issue, f.Key}
	}
	return out
}

// moves returns what leads from the layout to fingerprints at to and to keys:
// fingerprints first, each by name.
func (l *layout) moves(to map[string]place, keys map[string]string) []millrace.Move {
	var out []millrace.Move
	now := l.at()
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if a, b := now[name], to[name]; a != b {
			out = append(out, millrace.Move{Fingerprint: name, KeyBefore: a.key, Key: b.key, From: a.issue, To: b.issue})
		}
	}
	both := maps.Clone(l.keys)
	maps.Copy(both, keys)
	for _, key := range slices.Sorted(maps.Keys(both)) {
		if a, b := l.keys[key], keys[key]; a != b {
			out = append(out, millrace.Move{Key: key, From: a, To: b})
		}
	}
	return out
}

// apartPrefix begins the key of fingerprints that people took out of an issue to
// which others with the same key belong. No rule changes it.
const apartPrefix = "apart:"

// regrouped returns the layout under new keys, by fingerprint.
//
// Fingerprints with one key are one issue. What people merged, issues of several
// keys, stays together: of the fingerprints with one key in an issue the one seen
// first stands for it, and where the heirs of an issue's keys go, they go together.
// Each group stays the oldest of the issues whose heirs it has; one that has none
// is new.
func (l *layout) regrouped(project string, newKey map[string]string) (map[string]place, map[string]string) {
	groups := union{}
	born := map[string]int64{} // issues to first seen
	first := map[string]int64{}
	var issues, parted []string
	heirs := map[place]string{}
	for _, f := range l.inOrder() {
		key := newKey[f.Fingerprint]
		if _, ok := first[key]; !ok {
			first[key] = f.FirstSeen
		}
		if _, ok := born[f.Issue]; !ok {
			born[f.Issue] = f.FirstSeen
			issues = append(issues, f.Issue)
		}
		if at := (place{f.Issue, f.Key}); heirs[at] == "" {
			heirs[at] = key
			groups.join("issue "+f.Issue, "key "+key)
		} else if heirs[at] != key {
			parted = append(parted, key)
		}
	}
	target := map[string]string{} // groups to issues
	taken := map[string]bool{}
	for _, id := range issues { // the oldest first
		if g := groups.find("issue " + id); target[g] == "" {
			target[g], taken[id] = id, true
		}
	}
	for _, key := range parted {
		if g := groups.find("key " + key); target[g] == "" {
			id := freeID(project, key, func(id string) bool { return taken[id] })
			target[g], taken[id] = id, true
		}
	}
	to, keys := map[string]place{}, map[string]string{}
	for i := range l.prints {
		key := newKey[l.prints[i].Fingerprint]
		id := target[groups.find("key "+key)]
		to[l.prints[i].Fingerprint], keys[key] = place{id, key}, id
	}
	return to, keys
}

// inOrder returns the fingerprints by first seen.
func (l *layout) inOrder() []*millrace.IssueFingerprint {
	out := make([]*millrace.IssueFingerprint, len(l.prints))
	for i := range l.prints {
		out[i] = &l.prints[i]
	}
	slices.SortFunc(out, func(a, b *millrace.IssueFingerprint) int {
		return cmp.Or(cmp.Compare(a.FirstSeen, b.FirstSeen), strings.Compare(a.Fingerprint, b.Fingerprint))
	})
	return out
}

// freeID returns the id of the issue that a key starts, or if that is taken one
// like it.
func freeID(project, key string, taken func(id string) bool) string {
	id := millrace.IssueID(project, key)
	for n := 2; taken(id); n++ {
		id = millrace.IssueID(project, key+"#"+strconv.Itoa(n))
	}
	return id
}

// union is disjoint sets of names (Galler and Fischer 1964, with path halving).
type union map[string]string

func (u union) find(a string) string {
	if u[a] == "" {
		u[a] = a
	}
	for u[a] != a {
		u[a] = u[u[a]]
		a = u[a]
	}
	return a
}

func (u union) join(a, b string) { u[u.find(a)] = u.find(b) }
