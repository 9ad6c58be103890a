package web

import (
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/rollup"
)

// TestIssuesOfService serves the pages and paths from package issue itself, over
// stores in memory: what was counted is what they show.
func TestIssuesOfService(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow, lines: 1})
	service := issue.New(issue.Deps{
		Store: issuetest.New(), Query: f.query, Now: func() time.Time { return fixedNow }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Options: issue.DefaultOptions(),
	})
	report := sampleReport(faults[0])
	fingerprint := exception.FingerprintOf(exception.LatestVersion, report)
	encoded := exception.AppendReport(nil, report)
	eng := rollup.NewEngine(compileDefaults(t), rollup.Limits{Values: 10_000})
	rows := &millrace.EventRows{}
	var events []millrace.Event
	for k := range 7 {
		e := millrace.Event{
			Time: fixedNow.Add(-time.Duration(10+k) * time.Minute).UnixNano(), Weight: 3, Kind: millrace.KindException, Project: "default", Source: "app",
			Service: "checkout", Host: "app-" + string(rune('1'+k%2)), Env: "production", Release: "shop@1", Level: "error", TraceID: "0af7651916cd43dd8448eb211c80319c", Message: "boom", Ordinal: int32(k),
		}
		e.Set(millrace.AttrType, millrace.StringValue(faults[0].typ))
		e.Set(millrace.AttrFingerprint, millrace.StringValue(fingerprint))
		e.Set(millrace.AttrReport, millrace.JSONValue(string(encoded)))
		events = append(events, e)
	}
	eng.Fold(0, events)
	rec := &millrace.Record{Offset: 9_000, Arrived: fixedNow.UnixNano(), Project: "default", Source: "app"}
	for i := range events {
		rows.Append(rec, &events[i])
	}
	drained := eng.Drain()
	must(t, f.store.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	must(t, f.store.WriteCells(t.Context(), drained.Cells, &millrace.Commit{Sink: millrace.SinkRollup, Admitted: drained.Admitted}))
	must(t, service.See(t.Context(), []millrace.Sighting{{
		Project: "default", Fingerprint: fingerprint, Env: "production", First: events[6].Time, Last: events[0].Time, FirstRelease: "shop@1", LastRelease: "shop@1",
		Type: faults[0].typ, Title: faults[0].title, Culprit: faults[0].culprit, Level: "error", Service: "checkout", Language: "java", Report: encoded,
	}}))
	h, err := New(Deps{Query: f.query, Guard: f.guard, Now: func() time.Time { return fixedNow }, Issues: service, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	must(t, err)
	served := &fixture{Server: httptest.NewServer(h), now: fixedNow, fake: f.fake}
	t.Cleanup(served.Close)

	list := get[issuePageJSON](t, served, "/api/v1/issues")
	if len(list.Issues) != 1 || list.Issues[0].Count != 21 || list.Issues[0].Phase != "new" {
		t.Fatalf("issues %+v", list)
	}
	id := list.Issues[0].ID
	if d := get[issueDetailJSON](t, served, "/api/v1/issues/"+id); d.Count != 21 || len(d.Hosts) != 2 || d.Hosts[0].Count != 12 || d.Releases[0].Value != "shop@1" {
		t.Errorf("detail %+v", d)
	}
	for path, want := range map[string][]string{
		"/exceptions":       {"PaymentGatewayUnavailableException", `title="21"`, "/issues/" + id},
		"/issues/" + id:     {"java.net.SocketTimeoutException", "31 frames of org.springframework", "Why grouped so", "trace_id%3A0af7651916cd43dd8448eb211c80319c", "1 of 7"},
		"/exceptions/types": {faults[0].typ, "21"},
		"/logs?q=fingerprint:" + fingerprint + "&from=-1h": {"java.net.SocketTimeoutException", "31 frames of org.springframework"},
	} {
		res, body := served.do(t, "GET", path, "", "Accept", "text/html")
		for _, w := range want {
			if res.StatusCode != 200 || !strings.Contains(body, w) {
				t.Errorf("%s: %d, lacks %q", path, res.StatusCode, w)
			}
		}
	}
	if out := post[outcomesAnswer](t, served, "/api/v1/issues/"+id+"/resolve", `{}`); !out.Outcomes[0].Changed {
		t.Errorf("resolve %+v", out)
	}
	if list := get[issuePageJSON](t, served, "/api/v1/issues?state=resolved"); len(list.Issues) != 1 || list.Issues[0].Resolution == nil {
		t.Errorf("resolved %+v", list)
	}
	browse := served.browse(t)
	log := get[struct{ Activities []activityJSON }](t, served, "/api/v1/issues/"+id+"/activities").Activities
	if page := browse("/issues/"+id, map[string][]string{"do": {"undo"}, "undo": {id + "." + jsonNumber(log[0].ID)}}); !strings.Contains(page, "1 change taken back") || !strings.Contains(page, "resolved it") {
		t.Error("undoing by the page did nothing")
	}
}

func jsonNumber(n int64) string { return string(mustJSON(n)) }
