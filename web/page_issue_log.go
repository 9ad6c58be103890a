package web

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
)

// whyView says why an event is in its issue.
type whyView struct {
	Error string
	Text  string
	Basis string
	Rule  *labelLink
	Key   string
	Parts []partView
}

type partView struct {
	Kind, Raw, Used, Stripped string
	Counts                    bool
}

// fillWhy explains the fingerprint of the sample shown, else the issue's first.
func (s *Server) fillWhy(v *view, d *issueData, project string) {
	x, err := s.Issues.Explain(v.ctx, project, d.ID, d.Shown)
	if err != nil && d.Shown != "" { // the sample may be of a fingerprint that no issue knows yet
		x, err = s.Issues.Explain(v.ctx, project, d.ID, "")
	}
	if err != nil {
		s.logFault(v.r, err)
		d.Why = &whyView{Error: userMessage(err)}
		return
	}
	w := &whyView{Text: visible(x.Text), Basis: visible(x.Basis), Key: visible(x.Key)}
	if x.Rule != nil {
		w.Rule = &labelLink{visible(x.Rule.Name), s.ruleLink(v, project, x.Rule)}
		if x.Rule.Name == "" {
			w.Rule.Label = "unnamed"
		}
	}
	for _, p := range x.Parts {
		w.Parts = append(w.Parts, partView{
			Kind: visible(partKind(p.Kind, p.Depth)), Raw: visible(p.Raw), Used: visible(p.Used),
			Stripped: visible(strings.Join(p.Stripped, ", ")), Counts: p.Used != "",
		})
	}
	d.Why = w
}

// partKind names a part of an explanation and the exception of the chain it is of.
func partKind(kind string, depth int) string {
	switch depth {
	case 0:
		return kind
	case 1:
		return kind + " of the cause"
	}
	return kind + " of cause " + strconv.Itoa(depth)
}

// activityRow is one entry of an issue's log.
type activityRow struct {
	At     time.Time
	Author string
	Text   string // what was done
	Note   string // what somebody wrote
	Undo   string // value of the form field undo; "" if it cannot be taken back
	Mood   string
}

// changeRow is one change of what belongs to the issue.
type changeRow struct {
	At     time.Time
	Author string
	Text   string
	Note   string
	Undo   string
	Rules  string // after it, if it changed them
}

// fillLog lists what happened to an issue, and the changes of the grouping that it
// took part in with the way back.
func (s *Server) fillLog(v *view, d *issueData, project string, detail *issue.Detail) {
	list := detail.Activities
	if before, err := strconv.ParseInt(v.get("page"), 10, 64); err == nil && before > 0 {
		if list, err = s.Issues.Activities(v.ctx, project, detail.ID, before, logEntries); err != nil {
			s.logFault(v.r, err)
			d.LogError = userMessage(err)
		}
	}
	for i := range list {
		d.Activities = append(d.Activities, newActivity(&list[i], d.May))
	}
	if n := len(list); n >= logEntries && list[n-1].ID > 1 {
		d.OlderLog = v.With("page", strconv.FormatInt(list[n-1].ID, 10))
	}
	for i := range detail.Changes {
		d.Changes = append(d.Changes, newChange(&detail.Changes[i], d.May))
	}
}

// logEntries are the activities of a page: as many as a Detail has.
const logEntries = 50

// Activities that UndoActivity takes back, and those that tell of a change of the
// grouping, which Undo takes back.
var (
	undoable       = map[string]bool{"resolved": true, "ignored": true, "unignored": true, "reopened": true, "assigned": true}
	undoableChange = map[string]bool{"merged": true, "unmerged": true, "regrouped": true}
)

func newActivity(a *millrace.Activity, may bool) activityRow {
	row := activityRow{At: time.Unix(0, a.At), Author: visible(a.Author), Note: visible(a.Text), Text: activityText(a)}
	switch {
	case !may || a.ID == 0:
	case undoable[a.Kind]:
		row.Undo = a.Issue + "." + strconv.FormatInt(a.ID, 10)
	case undoableChange[a.Kind] && a.Regrouping > 0:
		row.Undo = changeMark + "." + strconv.FormatInt(a.Regrouping, 10)
	}
	switch a.Kind {
	case "regressed":
		row.Mood = "bad"
	case "resolved":
		row.Mood = "good"
	}
	return row
}

// Words for the kinds of change.
var changeWords = map[string]string{"merge": "Merged", "unmerge": "Taken apart", "regroup": "Grouped anew", kindOwners: "Owners", "undo": "Taken back"}

// kindOwners is the kind of changes of the owner rules.
const kindOwners = "owners"

func newChange(g *millrace.Regrouping, may bool) changeRow {
	text := changeWords[g.Kind]
	if text == "" {
		text = visible(g.Kind)
	}
	row := changeRow{At: time.Unix(0, g.At), Author: visible(g.Author), Note: visible(g.Note)}
	said, rules := settingsChange(g)
	if moved := movedBy(g); moved > 0 || len(said) == 0 {
		said = append([]string{plural(moved, "fingerprint") + " moved"}, said...)
	}
	row.Text, row.Rules = text+": "+strings.Join(said, "; "), visible(rules)
	switch {
	case g.UndoneBy != 0:
		row.Text += ", taken back since"
	case may && g.Kind != "undo":
		row.Undo = changeMark + "." + strconv.FormatInt(g.ID, 10)
	}
	return row
}

// settingsChange says what a change did to the settings, and which rules hold since.
func settingsChange(g *millrace.Regrouping) (said []string, rules string) {
	if g.SettingsAfter == nil {
		return nil, ""
	}
	was, is := storedRules(g.SettingsBefore), storedRules(g.SettingsAfter)
	number := func(before, after int, what string) string {
		if before == after {
			return plural(after, what)
		}
		return plural(after, what) + ", before " + formatCount(int64(before))
	}
	if was.Grouping.Version != is.Grouping.Version {
		said = append(said, versionText(is.Grouping.Version)+", before "+versionText(was.Grouping.Version))
	}
	if !sameJSON(was.Grouping.Rules, is.Grouping.Rules) {
		said = append(said, number(len(was.Grouping.Rules), len(is.Grouping.Rules), "grouping rule"))
		rules = issue.RulesText(is.Grouping.Rules)
	}
	if !sameJSON(someOf(was.Owners), someOf(is.Owners)) {
		said = append(said, number(len(was.Owners), len(is.Owners), "owner rule"))
		rules += issue.OwnersText(is.Owners)
	}
	return said, rules
}

// storedRules reads settings as a change has them; nil and what is damaged have none.
func storedRules(stored *millrace.IssueSettings) (set issue.Settings) {
	if stored != nil {
		_ = json.Unmarshal(stored.Grouping, &set.Grouping) // the log tells what it can
		_ = json.Unmarshal(stored.Owners, &set.Owners)
	}
	return set
}

// Words for the kinds of activity.
var activityWords = map[string]string{
	"created": "Seen for the first time", "resolved": "resolved it", "regressed": "It came again after it was resolved", "ignored": "ignored it",
	"unignored": "It is no longer ignored", "reopened": "opened it again", "merged": "merged", "unmerged": "took fingerprints apart",
	"regrouped": "The project was grouped anew", "undone": "took a change back", "note": "noted",
}

// activityText says in a sentence what was done.
func activityText(a *millrace.Activity) string {
	text := activityWords[a.Kind]
	d, err := issue.ReadActivity(a)
	if err != nil || d.After == nil && a.Kind == "assigned" {
		d = issue.ActivityData{After: &issue.Facts{}}
	}
	switch a.Kind {
	case "assigned":
		text = "assigned it to nobody"
		if d.After.Owner != "" {
			text = "assigned it to " + visible(d.After.Owner)
		}
	case "resolved":
		if d.After != nil {
			text += resolvedWhere(&d.After.Resolution)
		}
	case "ignored":
		if d.After != nil {
			text += ignoredUntil(&d.After.Ignore)
		}
	case "regressed":
		text += releaseText(" in ", d.Release) + releaseText(", environment ", d.Env)
	case "unignored":
		text += endOfIgnore[d.Reason]
	case "merged", "unmerged", "regrouped":
		text += movedText(&d)
	case "":
		text = "did something"
	}
	if text == "" {
		text = visible(a.Kind)
	}
	return text
}

// What ended an ignore.
var endOfIgnore = map[string]string{
	"until": ": its time is over", "occurrences": ": enough more came", "users": ": enough more users are affected",
}

func movedText(d *issue.ActivityData) string {
	var parts []string
	if d.Gained > 0 {
		parts = append(parts, plural(d.Gained, "fingerprint")+" came in")
	}
	if d.Lost > 0 {
		parts = append(parts, plural(d.Lost, "fingerprint")+" went out")
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
