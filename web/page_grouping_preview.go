package web

import (
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
)

// regroupView is what a grouping would do to the issues.
type regroupView struct {
	Say    string
	Groups []groupView
	More   string
}

// groupView is one issue as it would be.
type groupView struct {
	ID, Link, Type, Title string
	What                  string // what happens to it
	Count                 string
	Parts                 []partOfGroup
	MoreParts             string
}

type partOfGroup struct{ ID, Link, Type, Say string }

// Groups of a preview that a page shows, and parts of each; the API has more.
const (
	shownGroups = 50
	shownParts  = 20
)

// previewRules asks what would change, as the API does.
func (s *Server) previewRules(v *view, d *groupingData, project string, set, in *issue.Settings, regroup, reown bool) {
	if regroup {
		p, err := s.Issues.PreviewRegroup(v.ctx, project, in.Grouping)
		if err != nil {
			s.logFault(v.r, err)
			d.Rules.Failed = userMessage(err)
		} else {
			d.Result.Regroup = newRegroupView(v, p)
		}
		if in.Grouping.Version != set.Grouping.Version {
			d.Result.Version = versionText(set.Grouping.Version) + " → " + versionText(in.Grouping.Version)
		}
	}
	if reown {
		p, err := s.Issues.PreviewOwners(v.ctx, project, in.Owners)
		if err != nil {
			s.logFault(v.r, err)
			d.Owners.Failed = userMessage(err)
		} else {
			d.Result.Owners = newOwnersView(v, p)
		}
	}
	if d.Rules.Failed != "" || d.Owners.Failed != "" {
		d.Result.Seen = ""
	}
}

func versionText(n int) string {
	if n == 0 {
		return "each fingerprint by itself"
	}
	return "version " + strconv.Itoa(n) + " of the fingerprint"
}

func newRegroupView(v *view, p *issue.Preview) *regroupView {
	out := &regroupView{Say: "No issue would change: " + plural(p.Issues, "issue") + " now and after."}
	if p.Moved > 0 {
		out.Say = plural(p.Moved, "fingerprint") + " of " + formatCount(int64(p.Fingerprints)) + " would move" + movedEvents(p) + ". " +
			plural(p.Issues, "issue") + " now, " + formatCount(int64(p.After)) + " after."
	}
	for i := range p.Groups[:min(len(p.Groups), shownGroups)] {
		out.Groups = append(out.Groups, newGroupView(v, &p.Groups[i]))
	}
	if n := len(p.Groups) + p.Omitted - len(out.Groups); n > 0 {
		out.More = plural(n, "more issue") + " would change; those that occurred most are shown."
	}
	return out
}

// movedEvents says how often what would move occurred.
func movedEvents(p *issue.Preview) string {
	var n int64
	for i := range p.Groups {
		for _, part := range p.Groups[i].Parts {
			switch {
			case part.Count < 0:
				return ""
			case part.Issue != p.Groups[i].Issue:
				n += part.Count
			}
		}
	}
	some := ""
	if p.Omitted > 0 {
		some = "at least "
	}
	return ", which occurred " + some + times(n) + " in the last 30 days"
}

func times(n int64) string {
	if n == 1 {
		return "once"
	}
	return formatCount(n) + " times"
}

func newGroupView(v *view, g *issue.PreviewGroup) groupView {
	out := groupView{ID: g.Issue, Type: visible(shortType(g.Type)), Title: visible(firstLine(g.Title))}
	if out.Type == "" {
		out.Type = "Unnamed"
	}
	if g.Count >= 0 {
		out.Count = formatCount(g.Count)
	}
	from := 0
	for i, part := range g.Parts {
		if part.Issue != g.Issue {
			from++
		}
		if i >= shownParts {
			continue
		}
		of := partOfGroup{ID: part.Issue, Type: visible(shortType(part.Type)), Say: plural(part.Fingerprints, "fingerprint")}
		if part.Count >= 0 {
			of.Say += ", " + times(part.Count)
		}
		switch {
		case part.Issue == g.Issue && part.Stay > 0:
			of.Say += "; it loses " + plural(part.Stay, "fingerprint")
		case part.Issue == g.Issue:
		case part.Stay > 0:
			of.Say += "; " + plural(part.Stay, "fingerprint") + " of it elsewhere"
		default:
			of.Say += ", all of it"
		}
		if part.Issue != g.Issue {
			of.Link = v.issueLink(issuePath + part.Issue)
		}
		out.Parts = append(out.Parts, of)
	}
	if n := len(g.Parts) - len(out.Parts); n > 0 {
		out.MoreParts = "and from " + plural(n, "more issue")
	}
	switch {
	case g.New && from == 1:
		out.What = "new, parted"
	case g.New:
		out.What = "new, joined"
	case from > 0:
		out.What = "joined"
	default:
		out.What = "split"
	}
	if !g.New {
		out.Link = v.issueLink(issuePath + g.Issue)
	}
	return out
}

// ownersView is what owner rules would say of the issues that there are.
type ownersView struct {
	Say   string
	Rules []ownerView
}

type ownerView struct {
	Number, Owner, Say string
	None               bool
	Issues             []labelLink
}

func newOwnersView(v *view, p *issue.OwnersPreview) *ownersView {
	out := &ownersView{Say: "Owners hold for issues that are new from then on. Of the " + plural(p.Issues, "issue") +
		" that there are now, " + formatCount(int64(p.Issues-p.Nobody)) + " would have an owner by these rules, " + formatCount(int64(p.Nobody)) + " nobody."}
	for i, r := range p.Rules {
		row := ownerView{Number: strconv.Itoa(i + 1), Owner: visible(r.Owner), Say: plural(r.Issues, "issue"), None: r.Issues == 0}
		for _, id := range r.IDs {
			row.Issues = append(row.Issues, labelLink{id, v.issueLink(issuePath + id)})
		}
		out.Rules = append(out.Rules, row)
	}
	return out
}

// movedBy counts the fingerprints that a change moved to another issue.
func movedBy(g *millrace.Regrouping) int {
	moved := 0
	for _, m := range g.Moves {
		if m.Fingerprint != "" && m.From != m.To {
			moved++
		}
	}
	return moved
}
