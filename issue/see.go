package issue

import (
	"context"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// maxRetries is how often something is tried again that others overtook.
const maxRetries = 20

func errBusy(what string) error {
	return millrace.Errorf(millrace.ErrUnavailable, "%s: others keep changing it; try again", what)
}

// See implements millrace.Sightings: it stores what a worker saw, gives new
// fingerprints their key and owner, and brings resolved issues back. Telling the
// same again changes nothing. ErrUnavailable: tell it again. ErrInvalid: one of
// them can never be stored.
//
// Most fingerprints are known, so they are told without reports and keys first,
// and only those that turn out to be new with them: two transactions at most
// unless settings change meanwhile.
func (s *Service) See(ctx context.Context, sightings []millrace.Sighting) error {
	tell := make([]millrace.Sighting, len(sightings))
	of := make([]int, len(sightings)) // index in sightings
	for i := range sightings {
		tell[i], of[i] = sightings[i], i
		tell[i].Report, tell[i].Key, tell[i].Owner = nil, "", ""
	}
	admitted := map[[2]string]bool{}
	for range maxRetries {
		if len(tell) == 0 {
			return nil
		}
		seen, missing, err := s.deps.Store.See(ctx, tell, s.deps.Now())
		if err != nil {
			return unavailable("store what was seen of issues", err)
		}
		if err := s.touched(ctx, seen, tell); err != nil {
			return unavailable("change issues that came back", err)
		}
		next, nextOf, err := s.introduce(ctx, sightings, of, missing, admitted)
		if err != nil {
			return unavailable("group new fingerprints", err)
		}
		tell, of = next, nextOf
	}
	return errBusy("settings of issues")
}

// unavailable makes every error one after which a worker tells the same again,
// unless it is of what was told.
func unavailable(op string, err error) error {
	if code := millrace.ErrorCode(err); code == millrace.ErrUnavailable || code == millrace.ErrInvalid {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &millrace.Error{Code: millrace.ErrUnavailable, Op: op, Err: err}
}

// touched brings back those of the issues that were resolved.
func (s *Service) touched(ctx context.Context, seen []millrace.Seen, told []millrace.Sighting) error {
	for k := range seen {
		if seen[k].Issue.State != millrace.IssueResolved {
			continue
		}
		var list []moment
		for _, i := range seen[k].Sightings {
			list = append(list, moments(&told[i])...)
		}
		if err := s.regress(ctx, seen[k].Issue, list); err != nil {
			return err
		}
	}
	return nil
}

// introduce returns the sightings of fingerprints that are new, with all that is
// to be known of them. missing are indexes into of.
func (s *Service) introduce(ctx context.Context, all []millrace.Sighting, of, missing []int, admitted map[[2]string]bool) (tell []millrace.Sighting, tellOf []int, err error) {
	settings := map[string]*Settings{}
	names := map[[2]string]named{}
	for _, m := range missing {
		one := all[of[m]]
		id := [2]string{one.Project, one.Fingerprint}
		if !admitted[id] {
			if !s.fresh.take(one.Project, s.deps.Now()) {
				continue
			}
			admitted[id] = true
		}
		set := settings[one.Project]
		if set == nil {
			if set, err = s.Settings(ctx, one.Project); err != nil {
				return nil, nil, err
			}
			settings[one.Project] = set
		}
		name, ok := names[id]
		if !ok {
			name = set.name(&one)
			names[id] = name
		} else {
			one.Report = nil // one is enough
		}
		one.Key, one.Owner, one.Settings = name.key, name.owner, set.Version
		one.Culprit, one.Language = name.culprit, name.language
		tell, tellOf = append(tell, one), append(tellOf, of[m])
	}
	return tell, tellOf, nil
}

// named is what settings and its report make of a new fingerprint.
type named struct{ key, owner, culprit, language string }

func (set *Settings) name(one *millrace.Sighting) named {
	n := named{culprit: one.Culprit, language: one.Language}
	r := readReport(one.Report)
	if r != nil {
		n.culprit, n.language = exception.Culprit(r.Exception), r.Language
	}
	n.key, _, _ = set.Grouping.key(one.Fingerprint, r, one.Service)
	n.owner = ownerOf(set.Owners, r, one)
	return n
}
