package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func hour(clock string) time.Time { return at(clock + ":00") }

// answer asks and returns the answer as JSON, or the error.
func answer(t *testing.T, s *Service, req RollupRequest) string {
	t.Helper()
	req.Rollup = "traffic"
	if req.Range.From.IsZero() {
		req.Range = Range{hour("10:00"), hour("12:00")}
	}
	res, err := s.Rollup(t.Context(), req)
	if err != nil {
		return "error: " + millrace.ErrorMessage(err)
	}
	b, err := json.Marshal(res.Rows)
	must(t, err)
	return res.Source + " " + strings.Join(res.Columns, ",") + " " + string(b)
}

func TestRollup(t *testing.T) {
	s, _ := newService(t)
	f := func(req RollupRequest, want string) {
		t.Helper()
		if got := answer(t, s, req); got != want {
			t.Errorf("%+v\n got %s\nwant %s", req, got, want)
		}
	}
	f(RollupRequest{Metrics: names("pv", "cost", "size", "least", "most", "uv")},
		`1h pv,cost,size,least,most,uv [[5,-7.25,30.1,10,50,4]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("service")}, `1h service,pv [["api",3],["web",2]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("service"), Order: names("pv")}, `1h service,pv [["web",2],["api",3]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("service"), Order: names("-pv"), Limit: 1}, `1h service,pv [["api",3]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("status"), Where: "status>=400"}, `1h status,pv [["404",1],["500",1]]`)
	f(RollupRequest{Metrics: names("pv"), Where: "service:web"}, `1h pv [[2]]`)
	f(RollupRequest{Metrics: names("pv"), Where: "service:web NOT status:500"}, `1h pv [[1]]`)
	f(RollupRequest{Metrics: names("pv", "rate"), Step: time.Hour},
		`1h bucket,pv,rate [["2026-05-20T10:00:00Z",4,0.0011111111111111111],["2026-05-20T11:00:00Z",1,0.0002777777777777778]]`)
	f(RollupRequest{Metrics: names("pv"), Step: 30 * time.Minute, Order: names("-bucket")},
		`1m bucket,pv [["2026-05-20T11:30:00Z",1],["2026-05-20T10:30:00Z",1],["2026-05-20T10:00:00Z",3]]`)
	f(RollupRequest{Metrics: names("pv"), Range: Range{at("10:00:30"), at("10:01:00")}}, `1m pv [[2]]`)
	f(RollupRequest{Metrics: names("pv", "size"), Where: "service:nobody"}, `1h pv,size []`)
}

func TestRollupQuantiles(t *testing.T) {
	s, _ := newService(t)
	res, err := s.Rollup(t.Context(), RollupRequest{
		Rollup: "traffic", Metrics: names("rt_p99_9", "rt", "rt_p50"), Range: Range{hour("10:00"), hour("12:00")},
	})
	must(t, err)
	if got := strings.Join(res.Columns, ","); got != "rt_p99_9,rt_p50,rt_p75,rt_p90,rt_p95,rt_p99" {
		t.Errorf("columns %s", got)
	}
	for i, want := range []float64{0.4, 0.3, 0.4, 0.4, 0.4, 0.4} {
		if got := Float(res.Rows[0][i]); got < want*0.98 || got > want*1.02 {
			t.Errorf("%s = %v, want %v within 2%%", res.Columns[i], got, want)
		}
	}
	if !res.CompleteUntil.Equal(now.Add(-time.Minute)) {
		t.Errorf("complete until %s", res.CompleteUntil)
	}
}

func TestRollupErrors(t *testing.T) {
	s, _ := newService(t)
	f := func(req RollupRequest, want string) {
		t.Helper()
		if got := answer(t, s, req); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, want) {
			t.Errorf("%+v\n got %s\nwant %s", req, got, want)
		}
	}
	f(RollupRequest{Metrics: names("views")}, `no metric "views"; there are pv, rate`)
	f(RollupRequest{Metrics: names("rt_p100")}, "between 0 and 100")
	f(RollupRequest{Metrics: names("rt_pxx")}, "between 0 and 100")
	f(RollupRequest{Where: "service:"}, "position 9")
	f(RollupRequest{Order: names("-views")}, `order: the answer has no column "views"`)
	f(RollupRequest{Limit: -1}, "limit -1")
	f(RollupRequest{Limit: MaxRows + 1}, "between 0 and 100000")
	f(RollupRequest{Step: 90 * time.Second}, "whole minutes")
	f(RollupRequest{Range: Range{hour("11:00"), hour("10:00")}}, "must be before to")
	_, err := s.Rollup(t.Context(), RollupRequest{Rollup: "nope"})
	if millrace.ErrorCode(err) != millrace.ErrNotFound || !strings.Contains(err.Error(), "there are traffic") {
		t.Errorf("unknown rollup: %v", err)
	}
}

func TestRollupTimeout(t *testing.T) {
	s, st := newService(t)
	s.opts.Timeout = millrace.Duration(time.Nanosecond)
	st.err = errors.New("interrupted")
	_, err := s.Rollup(t.Context(), RollupRequest{Rollup: "traffic", Range: Range{hour("10:00"), hour("12:00")}})
	if millrace.ErrorCode(err) != millrace.ErrTimeout {
		t.Errorf("over the time limit: %v", err)
	}
	s.opts.Timeout = millrace.Duration(time.Minute)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Rollup(ctx, RollupRequest{Rollup: "traffic", Range: Range{hour("10:00"), hour("12:00")}}); millrace.ErrorCode(err) != millrace.ErrInternal {
		t.Errorf("the client went away: %v", err)
	}
}

func TestPlan(t *testing.T) {
	s, st := newService(t)
	f := func(from, to string, step time.Duration, by, where, want string) {
		t.Helper()
		r, err := ParseRange(from, to, now)
		must(t, err)
		req := RollupRequest{Rollup: "traffic", Metrics: names("pv"), Range: r, Step: step, Where: where}
		if by != "" {
			req.By = strings.Split(by, ",")
		}
		if _, err := s.Rollup(t.Context(), req); err != nil {
			t.Errorf("%s to %s step %s: %v", from, to, step, err)
			return
		}
		got := showParts(st.last().Parts)
		if got != want {
			t.Errorf("%s to %s step %s by (%s) where (%s)\n got %s\nwant %s", from, to, step, by, where, got, want)
		}
	}
	f("2026-05-18", "2026-05-20", 0, "", "", "() 1d 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", 24*time.Hour, "", "", "() 1d 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", time.Hour, "", "", "() 1h 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", 5*time.Minute, "", "", "() 1m 05-18T00:00 05-20T00:00")
	// Days in the middle, hours and minutes at the edges.
	f("2026-05-18T01:00:00Z", "2026-05-20", 0, "", "", "() 1d 05-19T00:00 05-20T00:00, () 1h 05-18T01:00 05-19T00:00")
	f("2026-05-17T22:58:00Z", "2026-05-20T01:01:00Z", 0, "", "",
		"() 1d 05-18T00:00 05-20T00:00, () 1h 05-17T23:00 05-18T00:00 + 05-20T00:00 05-20T01:00, () 1m 05-17T22:58 05-17T23:00 + 05-20T01:00 05-20T01:01")
	// Steps that hours do not fit into take what does.
	f("2026-05-18", "2026-05-18T03:00:00Z", 90*time.Minute, "", "", "() 1h 05-18T00:00 05-18T01:00 + 05-18T02:00 05-18T03:00, () 1m 05-18T01:00 05-18T02:00")
	// Seconds are widened to whole minutes.
	f("-1h", "now", 0, "", "", "() 1m 05-20T11:34 05-20T12:35")
	f("-1h", "now", time.Minute, "", "", "() 1m 05-20T11:34 05-20T12:35")
	f("-1000d", "-999d", 0, "", "", "() 1h 08-24T13:00 08-25T12:00, () 1m 08-24T12:34 08-24T13:00 + 08-25T12:00 08-25T12:35")
	// Where minutes, or hours too, are gone, coarser cells answer.
	st.dropped = millrace.Minute
	f("-2d", "now", 0, "", "", "() 1d 05-19T00:00 05-20T00:00, () 1h 05-18T12:00 05-19T00:00 + 05-20T00:00 05-20T13:00")
	f("-2d", "now", time.Hour, "", "", "() 1h 05-18T12:00 05-20T13:00")
	st.dropped = millrace.Hour
	f("-200d", "now", 0, "", "", "() 1d 11-01T00:00 05-21T00:00")
	st.dropped = 0
	// A set that has no minutes answers from hours.
	f("-1h", "now", 0, "url", "", "(url) 1h 05-20T11:00 05-20T13:00")
	// The smallest set with the dimensions of by and where.
	f("2026-05-18", "2026-05-20", 0, "service", "", "(service) 1d 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", 0, "", "status>=500", "(status) 1d 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", 0, "status", "service:api", "(service,status) 1d 05-18T00:00 05-20T00:00")
	f("2026-05-18", "2026-05-20", 0, "service", "service:api", "(service) 1d 05-18T00:00 05-20T00:00")
}

// showParts writes a plan for people.
func showParts(parts []millrace.CellPart) string {
	stamp := func(sec int64) string { return time.Unix(sec, 0).UTC().Format("01-02T15:04") }
	var out []string
	for _, p := range parts {
		var spans []string
		for _, s := range p.Spans {
			spans = append(spans, stamp(s.From)+" "+stamp(s.To))
		}
		out = append(out, fmt.Sprintf("%s %s %s", setName(p.Set), p.Granularity, strings.Join(spans, " + ")))
	}
	return strings.Join(out, ", ")
}

func TestTooManyRows(t *testing.T) {
	rows := make([]resultRow, DefaultRows+1)
	if _, err := limit(rows, 0); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("without a limit: %v", err)
	}
	if got, err := limit(rows, DefaultRows+5); err != nil || len(got) != DefaultRows+1 {
		t.Errorf("limit above: %v, %d rows", err, len(got))
	}
	if got, err := limit(rows, 3); err != nil || len(got) != 3 {
		t.Errorf("limit below: %v, %d rows", err, len(got))
	}
}

func TestScaled(t *testing.T) {
	f := func(v int64, scale int, want string) {
		t.Helper()
		if got := fmt.Sprint(scaled(v, scale)); got != want {
			t.Errorf("scaled(%d, %d) = %s, want %s", v, scale, got, want)
		}
	}
	f(0, 0, "0")
	f(-5, 0, "-5")
	f(0, 2, "0")
	f(5, 2, "0.05")
	f(-5, 2, "-0.05")
	f(1250, 2, "12.5")
	f(1200, 2, "12")
	f(9223372036854775807, 9, "9223372036.854775807")
	f(-9223372036854775808, 9, "-9223372036.854775808")
}

func TestOrderMissingLast(t *testing.T) {
	for _, desc := range []bool{false, true} {
		var rows []resultRow
		for _, v := range []any{nil, 1.5, json.Number("7.25"), int64(3)} {
			rows = append(rows, resultRow{now: []any{v}})
		}
		q := &question{order: []orderKey{{metric: &ref{}, desc: desc}}}
		q.sort(rows)
		want := "1.5 3 7.25 <nil>"
		if desc {
			want = "7.25 3 1.5 <nil>"
		}
		if got := fmt.Sprint(rows[0].now[0], " ", rows[1].now[0], " ", rows[2].now[0], " ", rows[3].now[0]); got != want {
			t.Errorf("descending %v: %s, want %s", desc, got, want)
		}
	}
}
