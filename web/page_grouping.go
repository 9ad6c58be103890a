package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/issue"
)

// groupingData is the page on which people say what is one issue and whose issues
// are. Its form holds all that can be changed; it is shown before it is applied.
type groupingData struct {
	layout
	Flash    *flashView
	Pages    []navItem
	Selects  []choice
	Error    string
	May      bool
	Action   string
	Versions []option
	Rules    ruleEditor
	Owners   ruleEditor
	Note     string
	Settled  int64  // version of the settings that the form was made from
	Since    string // who made them
	At       time.Time
	Result   *groupingResult
	Log      []changeRow
	LogError string
	OlderLog string
}

// ruleEditor is a text of rules.
type ruleEditor struct {
	ID, Text string
	Rows     int // height
	Problems []ruleProblem
	Failed   string
}

type ruleProblem struct {
	Editor, Text, Excerpt string
	Line                  int // from 1; 0: not of a line
}

// groupingResult is what applying would do.
type groupingResult struct {
	Say     string // why it is shown, if not since somebody asked for it
	Wrong   int    // mistakes in the rules
	Same    bool   // nothing would change
	Seen    string // what Apply must find unchanged
	Version string // of the fingerprint, if that changes
	Regroup *regroupView
	Owners  *ownersView
}

// Wrong64 is Wrong as the function count takes it.
func (g *groupingResult) Wrong64() int64 { return int64(g.Wrong) }

// rulesForm bounds the posted form: as many rules as there may be.
const rulesForm = 1 << 20

func (s *Server) groupingPage(w http.ResponseWriter, r *http.Request) {
	v := newView(r, s.Now())
	v.Refresh = "" // nobody's text is to be replaced while it is written
	project, projects, err := s.issuesProject(v)
	d := &groupingData{layout: s.frame(v, "Grouping and owners"), Flash: takeFlash(w, v), Pages: v.exceptionPages(), May: mayChange(r), Action: v.here()}
	d.Plain = true
	if len(projects) > 0 {
		d.Selects = append(d.Selects, projectChoice(project, projects))
	}
	var set *issue.Settings
	if err == nil {
		set, err = s.Issues.Settings(v.ctx, project)
	}
	switch {
	case err != nil:
	case r.Method == http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, rulesForm)
		if r.ParseForm() != nil {
			err = millrace.Errorf(millrace.ErrInvalid, "the form is malformed or has more than %d bytes", rulesForm)
			d.show(set)
			break
		}
		if r.PostForm.Get("do") == "undo" {
			s.act(w, r, project, nil)
			return
		}
		if s.changeRules(w, v, d, project, set) {
			return
		}
	default:
		d.show(set)
	}
	status := http.StatusOK
	if err != nil {
		s.logFault(r, err)
		d.Error, status = userMessage(err), pageStatus(err)
	} else {
		s.fillChanges(v, d, project)
	}
	if d.Result != nil && d.Result.Wrong > 0 {
		status = http.StatusBadRequest
	}
	s.pages.render(w, r, status, "grouping", d)
}

// show fills the form from what is in force.
func (d *groupingData) show(set *issue.Settings) {
	d.form(strconv.Itoa(set.Grouping.Version), issue.RulesText(set.Grouping.Rules), issue.OwnersText(set.Owners))
	d.settled(set)
}

func (d *groupingData) settled(set *issue.Settings) {
	d.Settled, d.Since, d.At = set.Version, visible(set.Author), set.At
}

func (d *groupingData) form(version, rules, owners string) {
	for n, label := range []string{"Each fingerprint by itself", "Version 1 of the fingerprint", "Version 2 of the fingerprint"} {
		value := strconv.Itoa(n)
		if n == exception.LatestVersion {
			label += ", the newest"
		}
		d.Versions = append(d.Versions, option{value, label, value == version})
	}
	d.Rules = newEditor("rules", rules)
	d.Owners = newEditor("owners", owners)
}

// Heights of an editor, in lines.
const (
	minEditor = 9
	maxEditor = 30
)

func newEditor(id, text string) ruleEditor {
	text = strings.ReplaceAll(text, "\r\n", "\n") // as forms send it
	return ruleEditor{ID: id, Text: text, Rows: min(maxEditor, max(minEditor, strings.Count(text, "\n")+2))}
}

// wrong lists what is wrong with a text, with the lines.
func (e *ruleEditor) wrong(bad []*millrace.Violation) {
	lines := strings.Split(e.Text, "\n")
	for _, v := range bad {
		p := ruleProblem{Editor: e.ID, Text: visible(v.Message), Line: v.Line}
		if v.Line > 0 && v.Line <= len(lines) {
			p.Excerpt = visible(strings.TrimSpace(lines[v.Line-1]))
		}
		e.Problems = append(e.Problems, p)
	}
}

// changeRules shows what the posted rules would do, or does it; then it has
// answered and returns true.
func (s *Server) changeRules(w http.ResponseWriter, v *view, d *groupingData, project string, set *issue.Settings) bool {
	form := v.r.PostForm
	d.form(form.Get("version"), form.Get("rules"), form.Get("owners"))
	d.settled(set)
	d.Note = strings.TrimSpace(form.Get("note"))
	d.Result = &groupingResult{}
	in := issue.Settings{Project: project, Version: set.Version}
	var bad []*millrace.Violation
	var err error
	if in.Grouping.Version, err = strconv.Atoi(form.Get("version")); err != nil || in.Grouping.Version < 0 || in.Grouping.Version > exception.LatestVersion {
		d.Rules.Problems = append(d.Rules.Problems, ruleProblem{Editor: "rules", Text: "there is no such version of the fingerprint"})
	}
	in.Grouping.Rules, bad = issue.ReadRules(d.Rules.Text)
	d.Rules.wrong(bad)
	in.Owners, bad = issue.ReadOwners(d.Owners.Text)
	d.Owners.wrong(bad)
	if d.Result.Wrong = len(d.Rules.Problems) + len(d.Owners.Problems); d.Result.Wrong > 0 {
		return false
	}
	regroup, reown := !sameJSON(in.Grouping, set.Grouping), !sameJSON(someOf(in.Owners), someOf(set.Owners))
	if !regroup && !reown {
		d.Result.Same = true
		return false
	}
	d.Result.Seen = seenHash(set.Version, &in)
	if form.Get("do") == "apply" {
		switch {
		case !d.May:
			d.Error = "Your key may look at the rules and not change them."
			return false
		case form.Get("seen") == d.Result.Seen:
			if s.applyRules(w, v, d, in, regroup, reown) {
				return true
			}
		case form.Get("settled") != strconv.FormatInt(set.Version, 10):
			d.Result.Say = "Somebody changed the settings meanwhile: this is what applying yours would do now."
		default:
			d.Result.Say = "The rules are others than those that were previewed: this is what applying them would do."
		}
	}
	s.previewRules(v, d, project, set, &in, regroup, reown)
	return false
}

// seenHash names what was previewed: rules, on top of which settings.
func seenHash(version int64, in *issue.Settings) string {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode([]any{version, in.Grouping, in.Owners}) // a hash takes all, and all is text
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// applyRules does it and leads back to the page. If it cannot it says so on the
// page, which keeps what was written.
func (s *Server) applyRules(w http.ResponseWriter, v *view, d *groupingData, in issue.Settings, regroup, reown bool) bool {
	by, err := author(v.r)
	if err == nil && len(d.Note) > maxChangeNote {
		err = millrace.Errorf(millrace.ErrInvalid, "the note has %d bytes; at most %d", len(d.Note), maxChangeNote)
	}
	var f flash
	if err == nil && regroup {
		var g *millrace.Regrouping
		if g, err = s.Issues.Regroup(v.ctx, in.Project, in.Grouping, by, d.Note); err == nil {
			f = changedGroups("Grouped anew: "+plural(movedBy(g), "fingerprint")+" moved. ", g)
			if g.SettingsAfter != nil {
				in.Version = g.SettingsAfter.Version
			}
		}
	}
	if err == nil && reown {
		if _, err = s.Issues.SetSettings(v.ctx, in, by); err == nil {
			f.Text += "Owners are as written; they hold for new issues."
			if list, err := s.Issues.Changes(v.ctx, in.Project, "", 0, 1); err == nil && len(list) == 1 && list[0].Kind == kindOwners {
				f.Undo = append(f.Undo, changeMark+"."+strconv.FormatInt(list[0].ID, 10))
			}
		}
	}
	if err != nil {
		s.logFault(v.r, err)
		d.Error = f.Text + userMessage(err)
		return false
	}
	f.Text = strings.TrimSpace(f.Text)
	f.set(w, v.r)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, v.r, v.here(), http.StatusSeeOther)
	return true
}

// fillChanges lists the changes of the project's grouping and owners.
func (s *Server) fillChanges(v *view, d *groupingData, project string) {
	before, err := strconv.ParseInt(v.get("page"), 10, 64)
	if err != nil || before < 1 {
		before = 0
	}
	list, err := s.Issues.Changes(v.ctx, project, "", before, logEntries)
	if err != nil {
		s.logFault(v.r, err)
		d.LogError = userMessage(err)
		return
	}
	for i := range list {
		d.Log = append(d.Log, newChange(&list[i], d.May))
	}
	if n := len(list); n >= logEntries && list[n-1].ID > 1 {
		d.OlderLog = v.With("page", strconv.FormatInt(list[n-1].ID, 10))
	}
}

// ruleLink leads to a rule on the page, "" if it is not there any more.
func (s *Server) ruleLink(v *view, project string, rule *exception.Rule) string {
	set, err := s.Issues.Settings(v.ctx, project)
	if err != nil {
		return v.issueLink(groupingPath)
	}
	at := slices.IndexFunc(set.Grouping.Rules, func(r exception.Rule) bool { return sameJSON(r, rule) })
	if at < 0 {
		return v.issueLink(groupingPath)
	}
	line := 1 + strings.Count(issue.RulesText(set.Grouping.Rules[:at]), "\n")
	return v.issueLink(groupingPath) + "#rules-" + strconv.Itoa(line)
}
