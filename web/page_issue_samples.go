package web

import (
	"strconv"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/query"
)

// samples is the part of an issue's page that steps through stored events.
type samples struct {
	Sample       *sampleView
	SampleError  string
	Shown        string // fingerprint of the sample
	Position     string // "3 of the newest 100"
	Newest       string // URLs; "" where there is nowhere to go
	Newer, Older string
	Oldest       string
	List         []sampleRow
}

type sampleRow struct {
	Time                time.Time
	Link                string
	Says, Host, Release string
	User, Trace         string
	Current             bool
}

// sampleRows are the events that a page steps through before it asks for more.
const sampleRows = 100

// fillSamples shows the event whose place the URL names, else the newest one.
func (s *Server) fillSamples(v *view, d *issueData, project string, detail *issue.Detail) {
	page, err := s.Issues.Events(v.ctx, project, detail.ID, envOf(v), v.get("cursor"), sampleRows, v.until())
	if err != nil {
		s.logFault(v.r, err)
		d.SampleError = userMessage(err)
		return
	}
	if len(page.Events) == 0 {
		return
	}
	at, last := 0, len(page.Events)-1
	for i := range page.Events {
		if placeOf(&page.Events[i]) == v.get("at") {
			at = i
		}
	}
	d.samples.steps(v, page, at)
	e := &page.Events[at]
	var report *millrace.Report
	if r, ok := issue.SampleReport(e); ok {
		report = &r
	}
	d.Sample = newSample(v, e, report)
	d.Shown = attr(e.Attrs, millrace.AttrFingerprint)
	for i := range page.Events[:last+1] {
		d.List = append(d.List, newSampleRow(v, &page.Events[i], i == at))
	}
}

// steps makes the links from one sample to others: their places are in the URL.
func (m *samples) steps(v *view, page *query.LogsResult, at int) {
	cursor := v.get("cursor")
	to := func(i int) string { return v.With("at", placeOf(&page.Events[i]), "cursor", cursor) }
	last := len(page.Events) - 1
	m.Position = strconv.Itoa(at+1) + " of " + strconv.Itoa(len(page.Events))
	if page.Next != "" || cursor != "" {
		m.Position += " on this page"
	}
	if at > 0 {
		m.Newer = to(at - 1)
	}
	if at > 0 || cursor != "" {
		m.Newest = v.With()
	}
	switch {
	case at < last:
		m.Older, m.Oldest = to(at+1), to(last)
	case page.Next != "":
		m.Older = v.With("cursor", page.Next)
	}
}

// placeOf names a sample by its place in the log, which stays the same.
func placeOf(e *millrace.StoredEvent) string {
	return strconv.Itoa(int(e.Partition)) + "-" + strconv.FormatInt(e.Offset, 10) + "-" + strconv.Itoa(int(e.Ordinal))
}

func newSampleRow(v *view, e *millrace.StoredEvent, current bool) sampleRow {
	return sampleRow{
		Time: e.Time, Link: v.With("at", placeOf(e), "cursor", v.get("cursor")), Says: visible(headline(*e)), Host: visible(e.Host),
		Release: visible(e.Release), User: visible(attr(e.Attrs, millrace.AttrUser)), Trace: visible(e.TraceID), Current: current,
	}
}
