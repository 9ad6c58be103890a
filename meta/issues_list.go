package meta

import (
	"context"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// listOrders are the orders of ListIssues.
var listOrders = map[string]string{
	"": "i.last_seen DESC, i.id", "last_seen": "i.last_seen DESC, i.id", "first_seen": "i.first_seen DESC, i.id", "id": "i.id",
}

// ListIssues implements millrace.Issues. It reads all issues of the project,
// where q.IDs names none: an index of LastSeen would have to be changed with each
// sighting, and costs more than it saves.
func (r *records) ListIssues(ctx context.Context, q millrace.IssueQuery) (out []*millrace.Issue, err error) {
	order, ok := listOrders[q.Order]
	if !ok {
		return nil, &millrace.Error{Code: millrace.ErrInvalid, Op: "list issues", Message: "no such order: " + q.Order, Hint: "there are last_seen, first_seen and id"}
	}
	where, args := r.issueFilter(&q)
	args = append(args, int64(limitOf(q.Limit)), int64(max(q.Offset, 0)))
	query := "SELECT " + issueColumns + " FROM issues i WHERE " + where + " ORDER BY " + order +
		" LIMIT $" + strconv.Itoa(len(args)-1) + " OFFSET $" + strconv.Itoa(len(args))
	err = r.repeat(ctx, "list issues", func(ctx context.Context) error {
		out = nil
		rows, err := r.read.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			i, err := scanIssue(scan)
			out = append(out, i)
			return err
		})
	})
	return out, err
}

// limitOf is a limit for SQL, of which 0 is none.
func limitOf(limit int) int {
	if limit <= 0 {
		return math.MaxInt64
	}
	return limit
}

// issueFilter is q as a condition and its arguments.
func (r *records) issueFilter(q *millrace.IssueQuery) (where string, args []any) {
	arg := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	// among takes a list of any length.
	among := func(column string, list []string) string {
		in := newInput("v t")
		for _, v := range list {
			in.add(nameOf(v))
		}
		with, more := r.source(in, len(args)+1)
		args = append(args, more...)
		return column + " IN (" + with + "SELECT v FROM n)"
	}
	all := []string{"i.project = " + arg(nameOf(q.Project)), "i.fingerprints > 0"}
	if len(q.States) > 0 {
		states := make([]string, len(q.States))
		for i, s := range q.States {
			states[i] = string(s)
		}
		all = append(all, among("i.state", states))
	}
	if len(q.IDs) > 0 {
		all = append(all, among("i.id", q.IDs))
	}
	if q.Owner != nil {
		all = append(all, "i.owner = "+arg(plain(*q.Owner)))
	}
	if q.Text != "" {
		all = append(all, r.contains("i.search", arg(searchText(q.Text))))
	}
	if q.NewSince != 0 {
		all = append(all, "i.first_seen >= "+arg(q.NewSince))
	}
	if q.SeenSince != 0 {
		all = append(all, "i.last_seen >= "+arg(q.SeenSince))
	}
	return strings.Join(all, " AND "), args
}

// IssueProjects implements millrace.Issues.
func (r *records) IssueProjects(ctx context.Context) (out []string, err error) {
	err = r.repeat(ctx, "list projects", func(ctx context.Context) error {
		out = nil
		rows, err := r.read.QueryContext(ctx, "SELECT DISTINCT project FROM issues ORDER BY project")
		if err != nil {
			return err
		}
		return eachRow(rows, func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			out = append(out, name)
			return err
		})
	})
	return out, err
}
