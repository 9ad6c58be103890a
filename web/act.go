package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
)

// Forms of the pages about exceptions post what to do in the field do, the issues
// in id, and what an action needs in fields of its own. The answer leads back to
// the page, which then says what was done.

// maxActForm bounds a posted form: a note with every character escaped, and ids.
const maxActForm = 64 << 10

// action is one thing to do to issues.
type action struct {
	s       *Server
	ctx     context.Context
	project string
	ids     []string
	by      string
	form    url.Values
}

// act does what a posted form says and leads back to the page that it stands on.
// ids are the issues, nil to take them from the form.
func (s *Server) act(w http.ResponseWriter, r *http.Request, project string, ids []string) {
	f, err := s.acted(w, r, project, ids)
	if err != nil {
		s.logFault(r, err)
		f = flash{Text: userMessage(err), Error: true}
	}
	f.set(w, r)
	w.Header().Set("Cache-Control", "no-store")
	back := url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

func (s *Server) acted(w http.ResponseWriter, r *http.Request, project string, ids []string) (flash, error) {
	by, err := author(r)
	if err != nil {
		return flash{}, err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxActForm)
	if err := r.ParseForm(); err != nil {
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "the form is malformed or has more than %d bytes", maxActForm)
	}
	if ids == nil {
		ids = r.PostForm["id"]
	}
	a := &action{s: s, ctx: r.Context(), project: project, ids: ids, by: by, form: r.PostForm}
	return a.do()
}

// Fields that say what to do where no button was pressed: Enter in one of them.
var fieldActions = []struct{ field, do string }{
	{"release", "resolve-in"}, {"occurrences", "ignore-count"}, {"users", "ignore-users"}, {"owner", "assign"},
}

func (a *action) get(name string) string { return strings.TrimSpace(a.form.Get(name)) }

func (a *action) do() (flash, error) {
	what := a.form.Get("do")
	if what == "undo" {
		return a.undo()
	}
	if what == "" {
		for _, f := range fieldActions {
			if a.get(f.field) != "" {
				what = f.do
			}
		}
	}
	if len(a.ids) == 0 {
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "No issue is selected.")
	}
	switch {
	case strings.HasPrefix(what, "resolve"):
		return a.resolve(what)
	case strings.HasPrefix(what, "ignore"):
		return a.ignore(what)
	}
	switch what {
	case "reopen":
		return a.outcomes("open again")(a.s.Issues.Reopen(a.ctx, a.project, a.ids, a.by))
	case "assign":
		owner := a.get("owner")
		if owner == "" {
			return flash{}, millrace.Errorf(millrace.ErrInvalid, "Who is to own it? Nothing was filled in.")
		}
		return a.outcomes("assigned to " + owner)(a.s.Issues.Assign(a.ctx, a.project, a.ids, a.by, owner))
	case "unassign":
		return a.outcomes("assigned to nobody")(a.s.Issues.Assign(a.ctx, a.project, a.ids, a.by, ""))
	case "note":
		f, err := a.outcomes("noted")(a.s.Issues.Note(a.ctx, a.project, a.ids, a.by, a.get("text")))
		f.Undo = nil
		return f, err
	case "merge":
		return a.merge()
	case "unmerge":
		return a.unmerge()
	case "":
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "Nothing was chosen to do.")
	}
	return flash{}, millrace.Errorf(millrace.ErrInvalid, "There is no action %.40q.", what)
}

func (a *action) resolve(what string) (flash, error) {
	in, said := issue.Resolution{}, "resolved"
	switch what {
	case "resolve":
	case "resolve-next":
		in.Next, said = true, "resolved in the next release"
	case "resolve-in":
		if in.Release = a.get("release"); in.Release == "" {
			return flash{}, millrace.Errorf(millrace.ErrInvalid, "In which release is it resolved? Nothing was filled in.")
		}
		said = "resolved in " + in.Release
	default:
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "There is no action %.40q.", what)
	}
	return a.outcomes(said)(a.s.Issues.Resolve(a.ctx, a.project, a.ids, a.by, in))
}

// ignoreFor are the times that a form offers.
var ignoreFor = map[string]struct {
	d    time.Duration
	said string
}{
	"ignore-1h":  {time.Hour, "ignored for an hour"},
	"ignore-24h": {24 * time.Hour, "ignored for a day"},
	"ignore-7d":  {7 * 24 * time.Hour, "ignored for a week"},
}

func (a *action) ignore(what string) (flash, error) {
	in, said := millrace.Ignore{}, "ignored"
	var err error
	switch what {
	case "ignore":
	case "ignore-count":
		if in.Occurrences, err = a.count("occurrences"); err == nil {
			said = "ignored until " + formatCount(in.Occurrences) + " more came"
		}
	case "ignore-users":
		if in.Users, err = a.count("users"); err == nil {
			said = "ignored until " + formatCount(in.Users) + " more users are affected"
		}
	default:
		t, ok := ignoreFor[what]
		if !ok {
			return flash{}, millrace.Errorf(millrace.ErrInvalid, "There is no action %.40q.", what)
		}
		in.Until, said = a.s.Now().Add(t.d).UnixNano(), t.said
	}
	if err != nil {
		return flash{}, err
	}
	return a.outcomes(said)(a.s.Issues.Ignore(a.ctx, a.project, a.ids, a.by, in))
}

// count reads a number of at least 1.
func (a *action) count(name string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(a.get(name), ",", ""), 10, 64)
	if err != nil || n < 1 {
		return 0, millrace.Errorf(millrace.ErrInvalid, "%q is not a number of at least 1.", millrace.Example([]byte(a.get(name))))
	}
	return n, nil
}

// outcomes says what an action did to each issue, in one sentence.
func (a *action) outcomes(said string) func([]issue.Outcome, error) (flash, error) {
	return func(list []issue.Outcome, err error) (flash, error) {
		if err != nil {
			return flash{}, err
		}
		var f flash
		changed, failed := 0, 0
		var first error
		for _, o := range list {
			switch {
			case o.Err != nil:
				if failed++; first == nil {
					first = o.Err
				}
			case o.Changed:
				changed++
				if o.Activity > 0 {
					f.Undo = append(f.Undo, o.Issue+"."+strconv.FormatInt(o.Activity, 10))
				}
			}
		}
		f.Text = plural(changed, "issue") + " " + said + "."
		if changed == 0 && failed == 0 {
			f.Text = "Nothing to change: that is how it was already."
		}
		if failed > 0 {
			f.Text += " " + plural(failed, "issue") + " failed: " + userMessage(first)
			f.Error = changed == 0
		}
		return f, nil
	}
}

// merge makes one issue of those selected on the list, the uppermost, or of this
// page's issue and others.
func (a *action) merge() (flash, error) {
	ids := a.ids
	for field := range strings.FieldsFuncSeq(a.get("other"), func(c rune) bool { return c == ',' || c == ' ' }) {
		ids = append(ids[:len(ids):len(ids)], issueOfLink(field))
	}
	if len(ids) < 2 {
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "Merging needs two issues at least.")
	}
	g, err := a.s.Issues.Merge(a.ctx, a.project, ids[0], ids[1:], a.by, a.get("note"))
	if err != nil {
		return flash{}, err
	}
	return changedGroups(plural(len(ids), "issue")+" merged into "+ids[0]+".", g), nil
}

// issueOfLink takes the id out of the URL of an issue's page; an id stays.
func issueOfLink(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return s
	}
	return u.Path[strings.LastIndexByte(u.Path, '/')+1:]
}

func (a *action) unmerge() (flash, error) {
	list := a.form["fingerprint"]
	if len(list) == 0 {
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "No fingerprint is selected.")
	}
	g, err := a.s.Issues.Unmerge(a.ctx, a.project, a.ids[0], list, a.by, a.get("note"))
	if err != nil {
		return flash{}, err
	}
	return changedGroups(plural(len(list), "fingerprint")+" taken out of this issue.", g), nil
}

// changeMark tells a change of the grouping from an activity in field undo.
const changeMark = "change"

func changedGroups(text string, g *millrace.Regrouping) flash {
	return flash{Text: text, Undo: []string{changeMark + "." + strconv.FormatInt(g.ID, 10)}}
}

// undo takes back what the field undo names: ISSUE.ACTIVITY or change.NUMBER.
func (a *action) undo() (flash, error) {
	list := slices.Compact(slices.Sorted(slices.Values(a.form["undo"])))
	if len(list) == 0 || len(list) > issue.MaxBulk {
		return flash{}, millrace.Errorf(millrace.ErrInvalid, "undo: %d things to take back; 1 to %d", len(list), issue.MaxBulk)
	}
	done := 0
	var failed error
	for _, item := range list {
		of, number, _ := strings.Cut(item, ".")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 {
			return flash{}, millrace.Errorf(millrace.ErrInvalid, "undo %.60q: not an activity or a change", item)
		}
		if of == changeMark {
			_, err = a.s.Issues.Undo(a.ctx, a.project, n, a.by)
		} else {
			_, err = a.s.Issues.UndoActivity(a.ctx, a.project, of, n, a.by)
		}
		if err == nil {
			done++
		} else if failed == nil {
			failed = err
		}
	}
	switch {
	case failed != nil && done == 0:
		return flash{}, failed
	case failed != nil:
		return flash{Text: plural(done, "change") + " taken back; of the others one failed: " + userMessage(failed), Error: true}, nil
	}
	return flash{Text: plural(done, "change") + " taken back."}, nil
}
