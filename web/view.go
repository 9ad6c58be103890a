package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/query"
)

// view is what the URL of a page says: its state, whole. Range is aligned so
// that the coarsest cells that fit the screen answer; Raw is as asked for.
type view struct {
	r       *http.Request
	ctx     context.Context
	Path    string
	Now     time.Time
	From    string // as given, or the default
	To      string
	Raw     query.Range
	Range   query.Range
	Step    time.Duration
	Refresh string // "", "5s", "10s", "30s", "1m", "5m"
	Params  url.Values
	Problem string // what is wrong with the URL, for people
}

// Parameters that are carried along when a page links to another.
var shared = []string{"from", "to", "refresh", "service"}

// pageParams are all that pages know.
var pageParams = []string{
	"from", "to", "refresh", "service", "url", "source", "q", "cursor", "project",
	"env", "state", "owner", "class", "order", "vs", "page", "at", "host", "as", "merged",
}

// placeParams say where in a list a page is; they are left behind when what is
// listed changes.
var placeParams = []string{"cursor", "page", "at", "merged"}

var refreshRates = []string{"5s", "10s", "30s", "1m", "5m"}

// presets are the ranges of the time picker.
var presets = []struct{ From, Label string }{
	{"-15m", "Last 15 minutes"},
	{"-1h", "Last hour"},
	{"-6h", "Last 6 hours"},
	{"-24h", "Last 24 hours"},
	{"-7d", "Last 7 days"},
	{"-30d", "Last 30 days"},
}

const defaultFrom = "-1h"

// defaultFor returns the range of a page whose URL names none: issues are looked
// at by the day.
func defaultFor(path string) (from string, span time.Duration) {
	if strings.HasPrefix(path, exceptionsPath) || strings.HasPrefix(path, issuePath) {
		return "-24h", 24 * time.Hour
	}
	return defaultFrom, time.Hour
}

func newView(r *http.Request, now time.Time) *view {
	v := &view{r: r, ctx: r.Context(), Path: r.URL.Path, Now: now.UTC(), Params: url.Values{}}
	for _, name := range pageParams {
		if s := r.URL.Query().Get(name); s != "" {
			v.Params.Set(name, s)
		}
	}
	v.From, v.To = v.Params.Get("from"), v.Params.Get("to")
	from, span := defaultFor(v.Path)
	if v.From == "" {
		v.From = from
	}
	if v.To == "" {
		v.To = "now"
	}
	if rate := v.Params.Get("refresh"); slices.Contains(refreshRates, rate) {
		v.Refresh = rate
	}
	var err error
	if v.Raw, err = query.ParseRange(v.From, v.To, v.Now); err != nil {
		v.Problem = userMessage(err)
		v.From, v.To = from, "now"
		v.Raw = query.Range{From: v.Now.Add(-span), To: v.Now}
	}
	v.align()
	return v
}

// Points a chart has at most: about one per 8 pixels of a wide one.
const chartPoints = 120

// align widens the range to whole steps. From half a day on it is widened to
// whole hours, from two months on to whole days, so that totals and tables are
// answered from hours and days instead of thousands of minutes.
func (v *view) align() {
	span := v.Raw.To.Sub(v.Raw.From)
	v.Step = max(time.Minute, query.NiceStep(span, chartPoints))
	unit := v.Step
	switch {
	case span >= 60*24*time.Hour:
		unit = max(unit, 24*time.Hour)
	case span >= 12*time.Hour:
		unit = max(unit, time.Hour)
	}
	v.Range = query.Range{From: floorTime(v.Raw.From, unit), To: floorTime(v.Raw.To.Add(unit-1), unit)}
}

// floorTime rounds down to a multiple of unit since 1970, as cells are aligned.
func floorTime(t time.Time, unit time.Duration) time.Time {
	u := int64(unit / time.Second)
	sec := t.Unix()
	r := sec % u
	if r < 0 {
		r += u
	}
	return time.Unix(sec-r, 0).UTC()
}

// end is where the data of the range can end: its end, or the minute that is
// running.
func (v *view) end() time.Time {
	end := floorTime(v.Now.Add(time.Minute-1), time.Minute)
	if v.Range.To.Before(end) {
		return v.Range.To
	}
	return end
}

// previous is the range of the same length before this one, for comparison.
func (v *view) previous() query.Range {
	span := v.end().Sub(v.Range.From)
	if span <= 0 {
		span = v.Range.To.Sub(v.Range.From)
	}
	return query.Range{From: v.Range.From.Add(-span), To: v.Range.From}
}

// get returns a parameter of the page.
func (v *view) get(name string) string { return v.Params.Get(name) }

// link returns path with the parameters that pages share, and those of kv, a
// list of names and values; an empty value drops the name.
func (v *view) link(path string, kv ...string) string {
	q := url.Values{}
	for _, name := range shared {
		if s := v.Params.Get(name); s != "" {
			q.Set(name, s)
		}
	}
	return withParams(path, q, kv)
}

// With returns the URL of this page with some parameters changed.
func (v *view) With(kv ...string) string {
	q := url.Values{}
	for name, s := range v.Params {
		if !slices.Contains(placeParams, name) {
			q[name] = s
		}
	}
	return withParams(v.Path, q, kv)
}

func withParams(path string, q url.Values, kv []string) string {
	for i := 0; i+1 < len(kv); i += 2 {
		if kv[i+1] == "" {
			q.Del(kv[i])
		} else {
			q.Set(kv[i], kv[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// logs returns the URL of the Logs page with a query in this range.
func (v *view) logs(q string) string {
	return v.link("/logs", "q", q, "service", "")
}

// where joins equalities of the page's filters on the named dimensions into a
// query; it is empty if none is set.
func (v *view) where(names ...string) string {
	var terms []string
	for _, n := range names {
		if s := v.get(n); s != "" {
			terms = append(terms, query.Term(n, s))
		}
	}
	return strings.Join(terms, " ")
}

// RangeLabel names the range for the time picker's button; the browser
// replaces absolute times by its own zone's.
func (v *view) RangeLabel() string {
	for _, p := range presets {
		if v.From == p.From && v.To == "now" {
			return p.Label
		}
	}
	return ""
}

// Absolute reports whether the range is fixed, so that refreshing it shows
// only what came late.
func (v *view) Absolute() bool { return v.RangeLabel() == "" }
