package issue

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// reportBatch is how many reports are read at once: of 64 KiB at most each.
const reportBatch = 200

// keyer computes keys under a grouping and remembers them: a report is read once,
// however often a change is tried.
type keyer struct {
	s       *Service
	project string
	g       Grouping
	known   map[string]string
}

func (s *Service) keyer(project string, g Grouping) *keyer {
	return &keyer{s, project, g, map[string]string{}}
}

// keys returns the keys of fingerprints, by fingerprint. Those that people took
// apart keep theirs.
func (k *keyer) keys(ctx context.Context, prints []millrace.IssueFingerprint) (map[string]string, error) {
	var todo []*millrace.IssueFingerprint
	out := make(map[string]string, len(prints))
	for i := range prints {
		f := &prints[i]
		key, ok := k.known[f.Fingerprint]
		switch {
		case strings.HasPrefix(f.Key, apartPrefix):
			out[f.Fingerprint] = f.Key
		case ok:
			out[f.Fingerprint] = key
		case k.g.plain():
			out[f.Fingerprint] = f.Fingerprint
		default:
			todo = append(todo, f)
		}
	}
	for batch := range slices.Chunk(todo, reportBatch) {
		names := make([]string, len(batch))
		for i, f := range batch {
			names[i] = f.Fingerprint
		}
		reports, err := k.s.deps.Store.FingerprintReports(ctx, k.project, names)
		if err != nil {
			return nil, err
		}
		for _, f := range batch {
			key, _, _ := k.g.key(f.Fingerprint, readReport(reports[f.Fingerprint]), f.Service)
			out[f.Fingerprint], k.known[f.Fingerprint] = key, key
		}
	}
	return out, nil
}

// layout reads the grouping of a whole project.
func (s *Service) layout(ctx context.Context, project string) (*layout, error) {
	prints, err := s.deps.Store.Fingerprints(ctx, project, nil)
	if err != nil {
		return nil, err
	}
	keys, err := s.deps.Store.IssueKeys(ctx, project, nil)
	return &layout{prints, keys}, err
}

// Regroup groups all fingerprints of a project by g, which becomes part of its
// settings. What people merged stays together unless a rule parts it, what they
// parted stays apart, and an issue stays the issue that it was as far as possible.
// ErrInvalid: a bad rule, or nothing would change. ErrUnavailable: others keep
// changing the grouping.
func (s *Service) Regroup(ctx context.Context, project string, g Grouping, by, note string) (*millrace.Regrouping, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	k := s.keyer(project, g)
	return s.change(ctx, project, by, "regroup", note, func(ctx context.Context, r *millrace.Regrouping) error {
		have, err := s.Settings(ctx, project)
		if err != nil {
			return err
		}
		l, err := s.layout(ctx, project)
		if err != nil {
			return err
		}
		keys, err := k.keys(ctx, l.prints)
		if err != nil {
			return err
		}
		r.Moves = l.moves(l.regrouped(project, keys))
		if len(r.Moves) == 0 && sameGrouping(&have.Grouping, &g) {
			return millrace.Errorf(millrace.ErrInvalid, "project %s is grouped so already", project)
		}
		set := *have
		set.Grouping, set.Author, set.At = g, by, s.deps.Now()
		r.SettingsBefore, r.SettingsAfter = have.stored(), set.stored()
		return nil
	})
}

// change makes a change of the grouping: fill says which. It is called again if
// others change the grouping meanwhile, or tell of a new fingerprint that belongs
// to it.
func (s *Service) change(ctx context.Context, project, by, kind, note string, fill func(context.Context, *millrace.Regrouping) error) (*millrace.Regrouping, error) {
	if err := checkNote(note); err != nil {
		return nil, err
	}
	for range maxRetries {
		r := &millrace.Regrouping{Project: project, At: s.deps.Now().UnixNano(), Author: by, Kind: kind, Note: note}
		if err := fill(ctx, r); err != nil {
			return nil, err
		}
		err := s.deps.Store.Regroup(ctx, r, tell(r)...)
		if err == nil {
			return r, nil
		}
		if millrace.ErrorCode(err) != millrace.ErrConflict {
			return nil, err
		}
	}
	return nil, errBusy("grouping of project " + project)
}

// told is what the logs of issues say of the kinds of change.
var told = map[string]string{"merge": "merged", "unmerge": "unmerged", "regroup": "regrouped", "undo": "undone"}

// tell returns an entry for each issue that gains or loses fingerprints.
func tell(r *millrace.Regrouping) []millrace.Activity {
	data := map[string]*ActivityData{}
	of := func(id string) *ActivityData {
		if data[id] == nil {
			data[id] = &ActivityData{}
		}
		return data[id]
	}
	note := func(d *ActivityData, other string) {
		if !slices.Contains(d.Issues, other) && len(d.Issues) < MaxShares {
			d.Issues = append(d.Issues, other)
		}
	}
	for _, m := range r.Moves {
		if m.Fingerprint == "" || m.From == m.To {
			continue
		}
		from, to := of(m.From), of(m.To)
		from.Lost++
		to.Gained++
		note(from, m.To)
		note(to, m.From)
	}
	var out []millrace.Activity
	for _, id := range slices.Sorted(maps.Keys(data)) {
		out = append(out, millrace.Activity{
			Project: r.Project, Issue: id, At: r.At, Author: r.Author, Kind: told[r.Kind], Data: data[id].encode(), Text: r.Note,
		})
	}
	return out
}

func sameGrouping(a, b *Grouping) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// Changes returns merges, unmerges, regroups and what took them back, newest
// first, at most limit (0 is 100), before the id given (0: from the newest); of
// one issue, or of all if it is empty.
func (s *Service) Changes(ctx context.Context, project, id string, before int64, limit int) ([]millrace.Regrouping, error) {
	limit, err := pageSize(limit)
	if err != nil {
		return nil, err
	}
	return s.deps.Store.Regroupings(ctx, project, id, before, limit)
}
