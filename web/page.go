package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// page adapts a function that makes the data of a page. Its first field must
// be a layout, which the function gets from frame.
func (s *Server) page(name string, data func(*view) any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := newView(r, s.Now())
		s.pages.render(w, r, http.StatusOK, name, data(v))
	})
}

// pages of the navigation, in order.
var navPages = []struct{ path, label string }{
	{"/", "Overview"}, {"/traffic", "Traffic"}, {exceptionsPath, "Exceptions"}, {"/logs", "Logs"}, {"/pipeline", "Pipeline"},
}

// isPart reports whether a page belongs to an entry of the navigation.
func isPart(path, entry string) bool {
	return path == entry || entry == exceptionsPath && (path == typesPath || path == groupingPath || strings.HasPrefix(path, issuePath))
}

// frame returns the layout of a page with its navigation, time picker and the
// filters in force. filters names the parameters that this page obeys.
func (s *Server) frame(v *view, title string, filters ...string) layout {
	l := layout{Title: title, Version: s.Version, V: v, Banner: v.Problem, Session: !s.Guard.Open()}
	for _, p := range navPages {
		if p.path != exceptionsPath || s.Issues != nil {
			l.Nav = append(l.Nav, navItem{p.label, v.link(p.path), isPart(v.Path, p.path)})
		}
	}
	for _, p := range presets {
		l.Presets = append(l.Presets, preset{p.Label, v.With("from", p.From, "to", ""), v.From == p.From && v.To == "now"})
	}
	l.Rates = append(l.Rates, preset{"Off", v.With("refresh", ""), v.Refresh == ""})
	for _, rate := range refreshRates {
		l.Rates = append(l.Rates, preset{"Every " + rate, v.With("refresh", rate), v.Refresh == rate})
	}
	for _, name := range filters {
		if value := v.get(name); value != "" {
			l.Filters = append(l.Filters, filterChip{name, value, v.With(name, "")})
		}
	}
	return l
}

// poll is how often a page that waits for the first line looks again.
const poll = "5s"

// waiting makes a page with nothing to show look again by itself.
func (l *layout) waiting(e *emptyState) {
	if e != nil && e.Never {
		l.Poll = poll
	}
}

// emptyState is what a page shows when there is nothing in its range.
type emptyState struct {
	Never  bool   // nothing was ever stored
	Curl   string // the one command that sends a line
	Oldest time.Time
	Newest time.Time
	Link   string // the range that has data
}

// emptiness says why a range has no data. It is nil if it has some.
func (s *Server) emptiness(v *view) *emptyState {
	first := query.LogsRequest{Range: v.Range, Limit: 1}
	if page, err := s.Query.Logs(v.ctx, first); err != nil || len(page.Events) > 0 {
		return nil // with an error the panels say what is wrong
	}
	e := &emptyState{Curl: curlExample(v.r, v.Now)}
	all := query.Range{From: time.Unix(0, 0).AddDate(-200, 0, 0), To: v.Now.AddDate(1, 0, 0)}
	page, err := s.Query.Logs(v.ctx, query.LogsRequest{Range: all, Limit: 1})
	if err != nil {
		return nil
	}
	if len(page.Events) == 0 {
		e.Never = true
		return e
	}
	e.Newest = page.Events[0].Time
	e.Oldest = e.Newest.Add(-time.Hour)
	if st, err := s.Query.Stats(v.ctx); err == nil && !st.OldestEvent.IsZero() && st.OldestEvent.Before(e.Newest) {
		e.Oldest = st.OldestEvent
	}
	e.Link = v.With("from", e.Oldest.Truncate(time.Minute).Format(time.RFC3339),
		"to", e.Newest.Truncate(time.Minute).Add(time.Minute).Format(time.RFC3339))
	return e
}

func curlExample(r *http.Request, now time.Time) string {
	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	line := fmt.Sprintf(`127.0.0.1 - - [%s] "GET /hello HTTP/1.1" 200 512`, now.Format("02/Jan/2006:15:04:05 -0700"))
	return fmt.Sprintf(`curl '%s://%s/ingest?source=web' --data-binary '%s'`, scheme, r.Host, line)
}

// ask runs a rollup for a panel. A page does not read raw rows by the million.
func (s *Server) ask(ctx context.Context, req query.RollupRequest) (*query.RollupResult, error) {
	req.CellsOnly = true
	res, err := s.Query.Rollup(ctx, req)
	if err != nil && millrace.ErrorCode(err) == millrace.ErrInternal {
		s.Log.Error("page query failed", "rollup", req.Rollup, "error", err)
	}
	return res, err
}

// failed puts an error into a panel: as a note where the answer is just not
// kept, as an error otherwise.
func (p *panel) failed(err error) {
	switch millrace.ErrorCode(err) {
	case millrace.ErrInvalid, millrace.ErrNotFound:
		p.Note = userMessage(err)
	default:
		p.Error = userMessage(err)
	}
}
