package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// issuesCmd shows what exceptions occur, and says what became of them.
type issuesCmd struct {
	List     issuesListCmd     `cmd:"" help:"List issues with their counts."`
	Show     issuesShowCmd     `cmd:"" help:"Show one issue: causes, frames, where it occurs, what was done."`
	Events   issuesEventsCmd   `cmd:"" help:"Print the stored events of an issue, newest last."`
	Explain  issuesExplainCmd  `cmd:"" help:"Tell why events are in an issue."`
	Resolve  issuesResolveCmd  `cmd:"" help:"Mark issues as resolved: if they come again they are regressed."`
	Reopen   issuesReopenCmd   `cmd:"" help:"Make issues open again."`
	Ignore   issuesIgnoreCmd   `cmd:"" help:"Ignore issues, for a while or for ever."`
	Assign   issuesAssignCmd   `cmd:"" help:"Give issues to an owner."`
	Note     issuesNoteCmd     `cmd:"" help:"Add a note to issues."`
	Merge    issuesMergeCmd    `cmd:"" help:"Make several issues one."`
	Unmerge  issuesUnmergeCmd  `cmd:"" help:"Take fingerprints out of an issue."`
	Regroup  issuesRegroupCmd  `cmd:"" help:"Show what another grouping would change, or apply it."`
	Changes  issuesChangesCmd  `cmd:"" help:"List merges, unmerges and regroupings."`
	Undo     issuesUndoCmd     `cmd:"" help:"Take a change back."`
	Settings issuesSettingsCmd `cmd:"" help:"Print a project's grouping and owners, or set them."`
}

// issuesProject is what all commands about issues have in common.
type issuesProject struct {
	remote
	Project string `help:"Project of the issues." default:"default"`
}

func (c *issuesProject) params() url.Values { return url.Values{"project": {c.Project}} }

// issuePath returns the path of an issue, or of something below it.
func issuePath(id string, below ...string) string {
	path := "/api/v1/issues/" + url.PathEscape(id)
	for _, b := range below {
		path += "/" + url.PathEscape(b)
	}
	return path
}

// issuesRange says which events are counted.
type issuesRange struct {
	Env  string `help:"Environment that is counted: production is all that the server takes for it, all is every one." default:"production"`
	From string `help:"Start: RFC 3339 or relative." default:"-24h"`
	To   string `help:"End, not included." default:"now"`
}

func (c *issuesRange) add(params url.Values) url.Values {
	params.Set("env", c.Env)
	params.Set("from", c.From)
	params.Set("to", c.To)
	return params
}

// issueRow is an issue as the API shows it.
type issueRow struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Title        string    `json:"title"`
	Culprit      string    `json:"culprit"`
	Level        string    `json:"level"`
	Service      string    `json:"service"`
	Phase        string    `json:"phase"`
	Owner        string    `json:"owner"`
	Count        int64     `json:"count"`
	Users        int64     `json:"users"`
	Before       *int64    `json:"before"` // nil: not known
	FirstSeen    time.Time `json:"first_seen"`
	LastSeen     time.Time `json:"last_seen"`
	FirstRelease string    `json:"first_release"`
	LastRelease  string    `json:"last_release"`
	MergedInto   string    `json:"merged_into"`
	Fingerprints []string  `json:"fingerprints"`
}

type issuesListCmd struct {
	issuesProject
	issuesRange
	State  []string `help:"Only issues in these states, comma separated: new, ongoing, regressed, resolved, ignored, or open for those that are neither of the last two." placeholder:"STATE"`
	Owner  string   `help:"Only issues of this owner." xor:"owner"`
	Nobody bool     `help:"Only issues without an owner." xor:"owner"`
	Text   []string `arg:"" optional:"" help:"Part of type, title, place or id."`
	Where  string   `help:"Condition on service, host or release, such as 'service:api'."`
	Class  string   `help:"Only business or system errors." enum:",business,system" default:""`
	Order  string   `help:"count, users, last_seen, first_seen or trend: the most, newest or fastest growing first." default:"count"`
	Limit  int      `help:"Most issues." default:"50"`
	Offset int      `help:"How many to leave out at the beginning."`
}

// Run implements the command.
func (c *issuesListCmd) Run(e *env) error {
	params := c.add(c.params())
	for name, value := range map[string]string{
		"state": strings.Join(c.State, ","), "owner": c.Owner, "q": strings.Join(c.Text, " "), "where": c.Where, "error_class": c.Class, "order": c.Order,
	} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if c.Nobody {
		params.Set("owner", "")
	}
	params.Set("limit", strconv.Itoa(c.Limit))
	if c.Offset != 0 {
		params.Set("offset", strconv.Itoa(c.Offset))
	}
	raw, err := c.ask(e, http.MethodGet, "/api/v1/issues", params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var page struct {
		Issues  []issueRow `json:"issues"`
		Total   int        `json:"total"`
		Other   int64      `json:"other"`
		Unknown int64      `json:"unknown"`
	}
	if err := decodeAnswer(raw, &page); err != nil {
		return err
	}
	rows := make([][]string, len(page.Issues))
	for i, r := range page.Issues {
		owner := r.Owner
		if owner == "" {
			owner = "-"
		}
		rows[i] = []string{r.ID, r.Phase, count(r.Count), count(r.Users), trend(r.Count, r.Before), shortTime(r.LastSeen), owner, headline(&r)}
	}
	err = printTable(e.stdout, []string{"issue", "state", "count", "users", "trend", "last seen", "owner", "what"}, rows, []bool{false, false, true, true, true})
	if err != nil {
		return err
	}
	if left := page.Total - c.Offset - len(rows); left > 0 {
		if _, err := fmt.Fprintf(e.stdout, "%d more: see --limit and --offset\n", left); err != nil {
			return err
		}
	}
	if page.Other+page.Unknown > 0 {
		_, err = fmt.Fprintf(e.stdout, "%s exceptions belong to no issue: %s folded into (other), %s not sorted yet\n",
			count(page.Other+page.Unknown), count(page.Other), count(page.Unknown))
	}
	return err
}

// headline is an issue in a line: its type and what it says.
func headline(r *issueRow) string {
	if r.Title == "" || r.Title == r.Type {
		return r.Type
	}
	return strings.TrimPrefix(r.Type+": "+strings.TrimPrefix(r.Title, r.Type+": "), ": ")
}

// trend is by how much a count differs from that of as long a time before; nil is
// not known.
func trend(now int64, before *int64) string {
	switch {
	case before == nil:
		return "?"
	case *before == 0 && now == 0:
		return "-"
	case *before == 0:
		return "new"
	}
	return fmt.Sprintf("%+.0f%%", 100*float64(now-*before)/float64(*before))
}

func shortTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

type issuesEventsCmd struct {
	issuesProject
	issuesRange
	ID     string `arg:"" help:"The issue."`
	Limit  int    `help:"Most events." default:"20"`
	Cursor string `help:"Where the page before ended, as its next says with --json."`
}

// Run implements the command. With --json the page is printed as it is.
func (c *issuesEventsCmd) Run(e *env) error {
	params := c.add(c.params())
	params.Set("limit", strconv.Itoa(c.Limit))
	if c.Cursor != "" {
		params.Set("cursor", c.Cursor)
	}
	raw, err := c.ask(e, http.MethodGet, issuePath(c.ID, "events"), params, nil)
	if err != nil || c.JSON {
		return printOr(e, raw, err)
	}
	var page struct {
		Events []millrace.StoredEvent
	}
	if err := decodeAnswer(raw, &page); err != nil {
		return err
	}
	for i := len(page.Events) - 1; i >= 0; i-- {
		ev := &page.Events[i]
		_, err := fmt.Fprintf(e.stdout, "%s  %-12s  %-16s  %-32s  %s\n", ev.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
			printable(ev.Service), printable(ev.Host), printable(ev.TraceID), printable(firstLine(ev.Message)))
		if err != nil {
			return err
		}
	}
	return nil
}

func firstLine(s string) string {
	if first, _, more := strings.Cut(s, "\n"); more {
		return first + " …"
	}
	return s
}
