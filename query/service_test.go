package query

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
)

func TestOptions(t *testing.T) {
	o := DefaultOptions()
	var v millrace.Violations
	o.Validate("query", &v)
	must(t, v.Err())
	o.SQLRows, o.SQLTimeout, o.RawRows = 0, 0, 0
	o.Validate("query", &v)
	err := v.Err()
	for _, name := range []string{"query.sql_rows", "query.sql_timeout", "query.raw_rows"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not reported: %v", name, err)
		}
	}
}

func TestSQLLimits(t *testing.T) {
	s, st := newService(t)
	_, err := s.SQL(t.Context(), SQLRequest{SQL: " select 1 "})
	must(t, err)
	if st.sql != (millrace.SQLLimits{Timeout: 30 * time.Second, Rows: 10_000}) {
		t.Errorf("limits %+v", st.sql)
	}
	_, err = s.SQL(t.Context(), SQLRequest{SQL: "select 1", Timeout: time.Second, Rows: 5})
	must(t, err)
	if st.sql != (millrace.SQLLimits{Timeout: time.Second, Rows: 5}) {
		t.Errorf("lowered limits %+v", st.sql)
	}
	_, err = s.SQL(t.Context(), SQLRequest{SQL: "select 1", Timeout: time.Hour, Rows: 1e9})
	must(t, err)
	if st.sql != (millrace.SQLLimits{Timeout: 30 * time.Second, Rows: 10_000}) {
		t.Errorf("raised limits %+v", st.sql)
	}
	if _, err := s.SQL(t.Context(), SQLRequest{SQL: " \n"}); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("empty statement: %v", err)
	}
	if _, err := s.SQL(t.Context(), SQLRequest{SQL: strings.Repeat("x", MaxSQLBytes+1)}); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("long statement: %v", err)
	}
}

func TestJSONTable(t *testing.T) {
	b, err := json.Marshal(JSON(&millrace.Table{Columns: names("a"), Rows: [][]any{
		{nil},
		{true},
		{math.NaN()},
		{math.Inf(-1)},
		{1.5},
		{json.Number("170141183460469231731687303715884105727")},
		{time.Date(2026, 5, 1, 12, 0, 0, 5e8, time.FixedZone("", 3600))},
		{[]any{math.NaN(), map[string]any{"b": 1, "a": []byte("x")}}},
	}}))
	must(t, err)
	want := `{"columns":["a"],"rows":[[null],[true],["NaN"],["-Inf"],[1.5],[170141183460469231731687303715884105727],["2026-05-01T11:00:00.5Z"],[["NaN",{"a":"x","b":1}]]]}`
	if string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
	if b, _ := json.Marshal(JSON(&millrace.Table{})); string(b) != `{"columns":[],"rows":[]}` {
		t.Errorf("empty table: %s", b)
	}
}

func logService(t *testing.T) *Service {
	t.Helper()
	st := memory.New()
	rows := &millrace.EventRows{}
	for i := range 5 {
		e := millrace.Event{Time: at("12:00:00").Add(time.Duration(i) * time.Minute).UnixNano(), Weight: int64(i + 1), Project: "p", Source: "s", Service: "api", Message: "Timed out", Ordinal: int32(i)}
		e.Set("status", millrace.IntValue(int64(200+100*(i%4))))
		rows.Append(&millrace.Record{Arrived: e.Time}, &e)
	}
	minute := at("12:00:00").Unix()
	entry := func(sink millrace.Sink, at int64, o millrace.Outcome, reason string, events, weight int64) millrace.LedgerEntry {
		return millrace.LedgerEntry{Sink: sink, Project: "p", Source: "s", Minute: at, Outcome: o, Reason: reason, Events: events, Weight: weight, Example: "ex " + reason}
	}
	must(t, st.WriteEvents(t.Context(), rows, &millrace.Commit{
		Sink: millrace.SinkEvents,
		Ledger: []millrace.LedgerEntry{
			entry(millrace.SinkEvents, minute, millrace.OutcomeReceived, "", 9, 19),
			entry(millrace.SinkEvents, minute, millrace.OutcomeStored, "", 5, 15),
			entry(millrace.SinkEvents, minute, millrace.OutcomeDuplicate, "", 1, 1),
			entry(millrace.SinkEvents, minute, millrace.OutcomeRejected, "bad_json", 2, 2),
			entry(millrace.SinkEvents, minute, millrace.OutcomeRejected, "too_long", 1, 1),
			entry(millrace.SinkEvents, minute, millrace.OutcomeRefused, "binary", 4, 4),
			entry(millrace.SinkEvents, minute+60, millrace.OutcomeReceived, "", 3, 3),
			entry(millrace.SinkEvents, minute+60, millrace.OutcomeStored, "", 3, 3),
		},
		Gaps:     []millrace.Gap{{Sink: millrace.SinkEvents, From: 5, To: -1, Found: 1e9, Reason: "lost"}},
		SetAside: []millrace.SetAside{{Sink: millrace.SinkEvents, Ordinal: -1, Time: 2e9, Stage: "decode", Reason: "panic", Payload: []byte("abc\xff")}},
	}))
	return New(Deps{Store: st, Now: func() time.Time { return now }}, DefaultOptions())
}

func TestLogs(t *testing.T) {
	s := logService(t)
	r := Range{at("11:00:00"), at("13:00:00")}
	f := func(q string, limit, want int) {
		t.Helper()
		res, err := s.Logs(t.Context(), LogsRequest{Query: q, Range: r, Limit: limit})
		must(t, err)
		if len(res.Events) != want {
			t.Errorf("%q: %d rows, want %d", q, len(res.Events), want)
		}
	}
	f("", 0, 5)
	f(`"timed out"`, 0, 5)
	f("status>=400", 0, 2)
	f("status>=400 OR service:web", 0, 2)
	f("NOT timed", 0, 0)
	f("", 2, 2)
	first, err := s.Logs(t.Context(), LogsRequest{Range: r, Limit: 3})
	must(t, err)
	rest, err := s.Logs(t.Context(), LogsRequest{Range: r, Limit: 3, Cursor: first.Next})
	must(t, err)
	if len(first.Events) != 3 || len(rest.Events) != 2 || !rest.Events[0].Time.Before(first.Events[2].Time) {
		t.Errorf("pages of %d and %d rows", len(first.Events), len(rest.Events))
	}
	for _, bad := range []LogsRequest{
		{Range: r, Limit: MaxLogs + 1}, {Range: r, Limit: -1}, {Range: r, Query: "a AND"}, {Range: Range{r.To, r.From}}, {Range: r, Cursor: "???"},
	} {
		if _, err := s.Logs(t.Context(), bad); millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestHistogram(t *testing.T) {
	s := logService(t)
	h, err := s.Histogram(t.Context(), LogsRequest{Range: Range{at("12:00:00"), at("13:00:00")}}, 2*time.Minute)
	must(t, err)
	b, err := json.Marshal(h)
	must(t, err)
	want := `{"step":120,"points":[{"time":"2026-05-20T12:00:00Z","events":2,"weight":3},{"time":"2026-05-20T12:02:00Z","events":2,"weight":7},{"time":"2026-05-20T12:04:00Z","events":1,"weight":5}]}`
	if string(b) != want {
		t.Errorf("\n got %s\nwant %s", b, want)
	}
	if h, err = s.Histogram(t.Context(), LogsRequest{Range: Range{at("12:00:00"), at("13:00:00")}}, 0); err != nil || h.Step != 60 {
		t.Errorf("step by itself: %v, %v", h, err)
	}
	if _, err = s.Histogram(t.Context(), LogsRequest{Range: Range{at("12:00:00"), at("13:00:00")}}, time.Millisecond); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("a step of a millisecond: %v", err)
	}
}

func TestLedger(t *testing.T) {
	s := logService(t)
	l, err := s.Ledger(t.Context(), LedgerRequest{})
	must(t, err)
	if !l.Balanced || len(l.Accounts) != 1 {
		t.Fatalf("ledger %+v", l)
	}
	a := l.Accounts[0]
	if a.Received != (Count{12, 22}) || a.Stored != (Count{8, 18}) || a.Rejected != (Count{3, 3}) || a.Refused != (Count{4, 4}) || !a.Balanced() {
		t.Errorf("account %+v", a)
	}
	var reasons []string
	for _, r := range a.Reasons {
		reasons = append(reasons, string(r.Outcome)+" "+r.Reason+" "+r.Example)
	}
	if got := strings.Join(reasons, "; "); got != "refused binary ex binary; rejected bad_json ex bad_json; rejected too_long ex too_long" {
		t.Errorf("reasons %s", got)
	}
	// A range takes whole minutes of arrival.
	l, err = s.Ledger(t.Context(), LedgerRequest{Range: Range{at("12:01:30"), at("12:01:40")}})
	must(t, err)
	if l.Accounts[0].Received.Events != 3 {
		t.Errorf("one minute: %+v", l.Accounts[0])
	}
	if _, err := s.Ledger(t.Context(), LedgerRequest{Sink: "x"}); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("unknown sink: %v", err)
	}
	points, err := s.Arrivals(t.Context(), LedgerRequest{Sink: "events"})
	must(t, err)
	if len(points) != 2 || points[0].Stored.Events != 5 || points[1].Stored.Events != 3 || !points[0].Minute.Equal(at("12:00:00")) {
		t.Errorf("arrivals %+v", points)
	}
}

func TestUnbalanced(t *testing.T) {
	st := memory.New()
	must(t, st.WriteEvents(t.Context(), &millrace.EventRows{}, &millrace.Commit{Sink: millrace.SinkEvents, Ledger: []millrace.LedgerEntry{
		{Sink: millrace.SinkEvents, Outcome: millrace.OutcomeReceived, Events: 3, Weight: 5},
		{Sink: millrace.SinkEvents, Outcome: millrace.OutcomeStored, Events: 3, Weight: 4},
	}}))
	l, err := New(Deps{Store: st, Now: func() time.Time { return now }}, DefaultOptions()).Ledger(t.Context(), LedgerRequest{})
	must(t, err)
	if l.Balanced || l.Accounts[0].Difference != (Count{0, 1}) {
		t.Errorf("a missing weight is not seen: %+v", l)
	}
}

func TestGapsAndSetAside(t *testing.T) {
	s := logService(t)
	gaps, err := s.Gaps(t.Context())
	must(t, err)
	if len(gaps) != 1 || gaps[0].To != -1 || gaps[0].Found.Unix() != 1 {
		t.Errorf("gaps %+v", gaps)
	}
	aside, err := s.SetAside(t.Context(), 0)
	must(t, err)
	if len(aside) != 1 || aside[0].Bytes != 4 || aside[0].Example != "abc?" || aside[0].Ordinal != -1 {
		t.Errorf("set aside %+v", aside)
	}
	if _, err := s.SetAside(t.Context(), 1001); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("limit 1001: %v", err)
	}
}

func TestLag(t *testing.T) {
	st := PipelineStatus{Sinks: []SinkStatus{
		{Sink: millrace.SinkEvents, Records: 2, Seconds: 1},
		{Sink: millrace.SinkEvents, Partition: 1, Records: 3, Seconds: 4},
		{Sink: millrace.SinkRollup, Records: 100, Seconds: 50},
	}}
	if n, sec := st.Lag(millrace.SinkEvents); n != 5 || sec != 4 {
		t.Errorf("lag %d records, %v s", n, sec)
	}
}

func TestNiceStep(t *testing.T) {
	f := func(span time.Duration, want time.Duration) {
		t.Helper()
		if got := NiceStep(span, 120); got != want {
			t.Errorf("%s: %s, want %s", span, got, want)
		}
	}
	f(time.Minute, time.Second)
	f(time.Hour, 30*time.Second)
	f(6*time.Hour, 5*time.Minute)
	f(24*time.Hour, 15*time.Minute)
	f(7*24*time.Hour, 2*time.Hour)
	f(365*24*time.Hour, 7*24*time.Hour)
	f(100*365*24*time.Hour, 11*28*24*time.Hour)
}
