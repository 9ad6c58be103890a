package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// sampleView is one stored event of an issue as its page shows it.
type sampleView struct {
	Time     time.Time
	Facts    []sampleFact
	Report   *reportView // nil if the row has none
	Sections []attrSection
	Crumbs   []crumb
	Dropped  int // breadcrumbs that are not shown
	Raw      string
	RawLines int
	Trace    string // URL of the logs of its trace; "" without one
	Around   string // URL of the logs of its host around that time
}

// sampleFact is a field of a sample and the search for others with its value.
type sampleFact struct{ Label, Text, Link string }

// attrSection is attributes that belong together.
type attrSection struct {
	Title string
	Attrs []attrLine
}

// crumb is what happened before an exception, as the client recorded it.
type crumb struct {
	Time     time.Time
	Clock    string // where Time is not known
	Kind     string
	Text     string
	Data     string
	Mood     string
	Category string
}

// Breadcrumbs shown, the newest: clients send at most 100 by themselves.
const maxCrumbs = 100

// maxRaw bounds the raw text on the page, 64 KiB; the API and the Logs page have it
// whole.
const maxRaw = 64 << 10

// newSample returns what the page shows of an event. report may be nil.
func newSample(v *view, e *millrace.StoredEvent, report *millrace.Report) *sampleView {
	s := &sampleView{Time: e.Time, RawLines: 1 + strings.Count(e.Message, "\n")}
	if report != nil {
		s.Report = newReport(report)
	}
	raw := e.Message
	if len(raw) > maxRaw {
		raw = strings.ToValidUTF8(raw[:maxRaw], "") + fmt.Sprintf("\n… %d bytes more", len(e.Message)-maxRaw)
	}
	s.Raw = visible(raw)
	s.facts(v, e)
	s.attributes(v, e.Attrs)
	if e.TraceID != "" {
		s.Trace = v.link("/logs", "q", query.Term("trace_id", e.TraceID), "service", "", "from", at(e.Time.Add(-time.Hour)), "to", at(e.Time.Add(time.Hour)))
	}
	if e.Host != "" {
		s.Around = v.link("/logs", "q", query.Term("host", e.Host), "service", "", "from", at(e.Time.Add(-time.Minute)), "to", at(e.Time.Add(time.Minute)))
	}
	return s
}

// at writes a time as pages take it.
func at(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

func (s *sampleView) facts(v *view, e *millrace.StoredEvent) {
	add := func(label, name, value string) {
		if value != "" {
			s.Facts = append(s.Facts, sampleFact{label, visible(value), v.logs("kind:exception " + query.Term(name, value))})
		}
	}
	add("Host", "host", e.Host)
	add("Service", "service", e.Service)
	add("Environment", "env", e.Env)
	add("Release", "release", e.Release)
	add("Level", "level", e.Level)
	add("Source", "source", e.Source)
	add("Trace", "trace_id", e.TraceID)
	if e.Weight != 1 {
		s.Facts = append(s.Facts, sampleFact{Label: "Stands for", Text: formatCount(e.Weight) + " occurrences"})
	}
}

// Attributes that the page shows in other places.
var shownElsewhere = []string{
	millrace.AttrType, "exception_message", "cause", millrace.AttrFrames, millrace.AttrReport,
}

// Attributes of a request that do not carry its prefix.
var requestAttrs = []string{
	millrace.AttrURL, millrace.AttrQuery, millrace.AttrMethod, millrace.AttrStatus, millrace.AttrClientIP,
	millrace.AttrReferer, millrace.AttrUserAgent,
}

// Sections in the order of the page; others follow by name.
var sectionOrder = []string{"Request", "User", "Tags"}

// attributes sorts attributes into sections by what stands before the first dot.
func (s *sampleView) attributes(v *view, raw json.RawMessage) {
	sections := map[string]*attrSection{}
	for _, a := range attributes(raw) {
		if a.Name == "breadcrumbs" && s.crumbs(a.Value) || slices.Contains(shownElsewhere, a.Name) {
			continue
		}
		if s.Report != nil && a.Link == "json" && (a.Name == "exception" || a.Name == "threads") {
			continue // Sentry's, as sent: the stack is made of it
		}
		title, name := section(a.Name)
		sec := sections[title]
		if sec == nil {
			sec = &attrSection{Title: title}
			sections[title] = sec
		}
		link := ""
		if a.Link != "json" {
			link = v.logs("kind:exception " + query.Term(a.Name, a.Value))
		}
		sec.Attrs = append(sec.Attrs, attrLine{visible(name), visible(a.Value), link})
	}
	for _, sec := range sections {
		s.Sections = append(s.Sections, *sec)
	}
	rank := func(title string) int {
		if i := slices.Index(sectionOrder, title); i >= 0 {
			return i
		}
		if title == otherSection {
			return len(sectionOrder) + 1
		}
		return len(sectionOrder)
	}
	slices.SortFunc(s.Sections, func(a, b attrSection) int {
		if d := rank(a.Title) - rank(b.Title); d != 0 {
			return d
		}
		return strings.Compare(a.Title, b.Title)
	})
}

const otherSection = "Attributes"

// section returns in which section an attribute stands, and its name there.
func section(name string) (title, rest string) {
	if slices.Contains(requestAttrs, name) {
		return "Request", name
	}
	prefix, rest, ok := strings.Cut(name, ".")
	switch prefix {
	case "request", "http":
		title = "Request"
	case "user":
		if !ok {
			rest = "user"
		}
		return "User", rest
	case "tags":
		title = "Tags"
	case "extra":
		title = "Extra"
	case "contexts":
		title = "Context"
	default:
		return otherSection, name
	}
	if !ok {
		return otherSection, name
	}
	return title, rest
}

// crumbs reads breadcrumbs as Sentry's clients send them: a list, or an object
// with the list in values. It reports whether there are any; what cannot be read
// stays among the attributes.
func (s *sampleView) crumbs(raw string) bool {
	type entry struct {
		Timestamp json.RawMessage `json:"timestamp"`
		Type      string          `json:"type"`
		Category  string          `json:"category"`
		Level     string          `json:"level"`
		Message   string          `json:"message"`
		Data      json.RawMessage `json:"data"`
	}
	var list []json.RawMessage
	var object struct {
		Values []json.RawMessage `json:"values"`
	}
	if json.Unmarshal([]byte(raw), &list) != nil {
		if json.Unmarshal([]byte(raw), &object) != nil {
			return false
		}
		list = object.Values
	}
	s.Dropped = max(0, len(list)-maxCrumbs)
	for _, item := range list[s.Dropped:] {
		var e entry
		if json.Unmarshal(item, &e) != nil { // a client of its own kind
			s.Crumbs = append(s.Crumbs, crumb{Text: visible(string(item))})
			continue
		}
		c := crumb{Kind: visible(e.Type), Category: visible(e.Category), Text: visible(e.Message), Data: visible(compactJSON(e.Data))}
		c.Time, c.Clock = crumbTime(e.Timestamp)
		switch e.Level {
		case "error", "fatal", "critical":
			c.Mood = "bad"
		case "warning", "warn":
			c.Mood = "warn"
		}
		s.Crumbs = append(s.Crumbs, c)
	}
	return len(s.Crumbs) > 0
}

// crumbTime reads seconds since 1970, or RFC 3339.
func crumbTime(raw json.RawMessage) (t time.Time, text string) {
	var f float64
	if json.Unmarshal(raw, &f) == nil {
		const limit = 9e9 // seconds: the year 2255, near the end of nanoseconds
		if f > 0 && f < limit {
			return time.Unix(0, int64(f*1e9)).UTC(), ""
		}
		return time.Time{}, visible(string(raw))
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return time.Time{}, ""
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC(), ""
	}
	return time.Time{}, visible(s)
}

// compactJSON returns an object in one line, "" if there is nothing in it.
func compactJSON(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Compact(&b, raw) != nil {
		return ""
	}
	switch s := b.String(); s {
	case "null", "{}", "[]", `""`:
		return ""
	default:
		return s
	}
}
