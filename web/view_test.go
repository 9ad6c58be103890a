package web

import (
	"net/http/httptest"
	"testing"
	"time"
)

func TestViewAlign(t *testing.T) {
	f := func(params, from, to, step string) {
		t.Helper()
		v := newView(httptest.NewRequest("GET", "/traffic?"+params, nil), fixedNow)
		const layout = "01-02T15:04"
		if v.Range.From.Format(layout) != from || v.Range.To.Format(layout) != to || v.Step.String() != step {
			t.Errorf("%s: %s to %s step %s, want %s to %s step %s", params,
				v.Range.From.Format(layout), v.Range.To.Format(layout), v.Step, from, to, step)
		}
	}
	f("", "05-20T11:34", "05-20T12:35", "1m0s")
	f("from=-15m", "05-20T12:19", "05-20T12:35", "1m0s")
	f("from=-6h", "05-20T06:30", "05-20T12:35", "5m0s")
	f("from=-24h", "05-19T12:00", "05-20T13:00", "15m0s")
	f("from=-7d", "05-13T12:00", "05-20T14:00", "2h0m0s")
	f("from=-90d", "02-19T00:00", "05-21T00:00", "24h0m0s")
	f("from=1995-07-01T00:00:00Z&to=1995-07-01T02:00:00Z", "07-01T00:00", "07-01T02:00", "1m0s")
	f("from=1969-12-31T23:59:30Z&to=1970-01-01T00:00:30Z", "12-31T23:59", "01-01T00:01", "1m0s")
	f("from=banana", "05-20T11:34", "05-20T12:35", "1m0s")
}

func TestViewLinks(t *testing.T) {
	v := newView(httptest.NewRequest("GET", "/traffic?from=-6h&refresh=10s&service=a+b&url=/x&bogus=1&cursor=c", nil), fixedNow)
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(v.link("/"), "/?from=-6h&refresh=10s&service=a+b")
	f(v.With("url", ""), "/traffic?from=-6h&refresh=10s&service=a+b")
	f(v.With("from", "-1h", "to", ""), "/traffic?from=-1h&refresh=10s&service=a+b&url=%2Fx")
	f(v.where("service", "url"), `service:"a b" url:/x`)
	f(v.logs("kind:access"), "/logs?from=-6h&q=kind%3Aaccess&refresh=10s")
	f(v.RangeLabel(), "Last 6 hours")
	if v.Refresh != "10s" || v.Problem != "" {
		t.Errorf("refresh %q, problem %q", v.Refresh, v.Problem)
	}
	v = newView(httptest.NewRequest("GET", "/?refresh=1ms&from=x", nil), fixedNow)
	if v.Refresh != "" || v.Problem == "" {
		t.Errorf("refresh %q, problem %q", v.Refresh, v.Problem)
	}
	if p := v.previous(); p.To != v.Range.From || p.To.Sub(p.From) != v.end().Sub(v.Range.From) {
		t.Errorf("previous %v of %v", p, v.Range)
	}
	if got := floorTime(time.Unix(-1, 0), time.Hour).Unix(); got != -3600 {
		t.Errorf("floor of -1 s: %d", got)
	}
}
