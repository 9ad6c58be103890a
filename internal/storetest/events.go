package storetest

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// ev is an event of the suite; fields left out are empty.
type ev struct {
	time, arrived            int64 // ns; arrived is Base if 0
	kind                     millrace.Kind
	project, service, status string
	message                  string
	weight                   int64 // 1 if 0
	partition                int32
	offset                   int64
	ordinal                  int32
	attrs                    []millrace.Attr
}

func eventRows(all []ev) *millrace.EventRows {
	rows := &millrace.EventRows{}
	for _, e := range all {
		rec := &millrace.Record{Partition: e.partition, Offset: e.offset, Arrived: e.arrived}
		if rec.Arrived == 0 {
			rec.Arrived = Base.UnixNano()
		}
		attrs := e.attrs
		if e.status != "" {
			attrs = append(attrs, millrace.Attr{Key: "status", Value: millrace.StringValue(e.status)})
		}
		rows.Append(rec, &millrace.Event{
			Time: e.time, Weight: max(e.weight, 1), Kind: e.kind, Ordinal: e.ordinal,
			Project: e.project, Service: e.service, Message: e.message, Attrs: attrs,
		})
	}
	return rows
}

func allEvents() millrace.EventQuery {
	return millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 10_000}
}

func writeEvents(t *testing.T, s millrace.Store, all []ev) {
	t.Helper()
	check(t, s.WriteEvents(t.Context(), eventRows(all), &millrace.Commit{Sink: millrace.SinkEvents}))
}

func readEvents(t *testing.T, s millrace.Store, q millrace.EventQuery) []millrace.StoredEvent {
	t.Helper()
	page, err := s.Events(t.Context(), q)
	check(t, err)
	if page.Next != "" {
		t.Fatalf("a page of %d of at most %d events has a successor", len(page.Events), q.Limit)
	}
	return page.Events
}

func testEventRoundTrip(t *testing.T, s millrace.Store) {
	odd := []string{"", "plain", "quote ' \" \\", "zero \x00 byte", "snow ☃ 🚀", "exactly-12-b", "thirteen byte", strings.Repeat("long ", 3000)}
	rec := &millrace.Record{Partition: 7, Offset: 1 << 40, Arrived: Base.UnixNano() + 123}
	rows := &millrace.EventRows{}
	var want []millrace.StoredEvent
	for i, text := range odd {
		e := &millrace.Event{
			Time: Base.UnixNano() - int64(i), Weight: int64(i + 1), Kind: millrace.Kind(i % 5), Ordinal: int32(i),
			Project: text, Source: text, Service: text, Host: text, Env: text, Release: text,
			Level: text, TraceID: text, Message: text,
			Attrs: []millrace.Attr{
				{Key: "text", Value: millrace.StringValue(text)},
				{Key: "int", Value: millrace.IntValue(math.MinInt64)},
				{Key: "float", Value: millrace.NumberValue(1.1, "1.10")},
				{Key: "bool", Value: millrace.BoolValue(true)},
				{Key: "a.b \"c\"", Value: millrace.JSONValue(`{"x":[1,2]}`)},
			},
		}
		rows.Append(rec, e)
		want = append(want, millrace.StoredEvent{
			Time: time.Unix(0, e.Time).UTC(), Arrived: time.Unix(0, rec.Arrived).UTC(),
			Project: text, Source: text, Kind: e.Kind.String(), Service: text, Host: text, Env: text,
			Release: text, Level: text, TraceID: text, Message: text, Weight: e.Weight,
			Attrs:     json.RawMessage(millrace.AppendAttrs(nil, e.Attrs)),
			Partition: 7, Offset: 1 << 40, Ordinal: int32(i),
		})
	}
	check(t, s.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	got := readEvents(t, s, allEvents())
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		got[i].Attrs, want[i].Attrs = inOrder(t, got[i].Attrs), inOrder(t, want[i].Attrs)
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("event %d\n got %.400s\nwant %.400s", i, fmt.Sprintf("%+v", got[i]), fmt.Sprintf("%+v", want[i]))
		}
	}
	st, err := s.Stats(t.Context())
	check(t, err)
	if st.Events != int64(len(odd)) {
		t.Errorf("stats count %d events, want %d", st.Events, len(odd))
	}
}

// inOrder returns a JSON object with its members sorted by name and each value
// as it was written: the order of attributes is a Store's own.
func inOrder(t *testing.T, attrs json.RawMessage) json.RawMessage {
	t.Helper()
	var members map[string]json.RawMessage
	check(t, json.Unmarshal(attrs, &members))
	out, err := json.Marshal(members)
	check(t, err)
	return out
}

// testWellKnownAttrs writes every kind of value, odd spellings and values that
// stand for "none" included, to the attributes that a Store may treat specially.
func testWellKnownAttrs(t *testing.T, s millrace.Store) {
	var all []ev
	var want []string
	for i, attrs := range wellKnown() {
		all = append(all, ev{time: Base.UnixNano() - int64(i), message: fmt.Sprint(i), attrs: attrs})
		want = append(want, string(inOrder(t, millrace.AppendAttrs(nil, attrs))))
	}
	writeEvents(t, s, all)
	got := readEvents(t, s, allEvents())
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range want {
		if have := string(inOrder(t, got[i].Attrs)); have != want[i] {
			t.Errorf("event %d: got attributes %s, want %s", i, have, want[i])
		}
	}
}

// wellKnown returns the attributes of events, each value of a list once for
// each name, some with an attribute of another name.
func wellKnown() [][]millrace.Attr {
	names := []string{
		millrace.AttrURL, millrace.AttrMethod, millrace.AttrStatus, millrace.AttrBytes, millrace.AttrRT,
		millrace.AttrRTBackend, millrace.AttrClientIP, millrace.AttrUserAgent, millrace.AttrReferer,
	}
	values := []millrace.Value{
		millrace.StringValue(""), millrace.StringValue("GET"), millrace.StringValue("brew"), millrace.StringValue("200"), millrace.StringValue("-1"),
		millrace.StringValue("10.0.0.1"), millrace.StringValue("0.0.0.0"), millrace.StringValue("255.255.255.255"), millrace.StringValue("2001:db8::1"),
		millrace.StringValue("/a \"b\" \\ grün \x00 \u2028"), millrace.StringValue("\ufdd0"),
		millrace.IntValue(0), millrace.IntValue(200), millrace.IntValue(-1), millrace.IntValue(math.MaxInt64), millrace.IntValue(math.MinInt64),
		millrace.NumberValue(0.15, "0.150000"), millrace.NumberValue(0, "0.000"), millrace.NumberValue(1e3, "1e3"), millrace.NumberValue(-0.5, "-0.5"),
		millrace.NumberValue(123456789012345678, "123456789012345678.5"), millrace.NumberValue(12.0625, "12.0625"), millrace.FloatValue(0.25),
		millrace.BoolValue(true), millrace.JSONValue(`{"x":[1,"y"]}`),
	}
	out := [][]millrace.Attr{nil}
	for i, v := range values {
		var whole []millrace.Attr
		for j, name := range names {
			whole = append(whole, millrace.Attr{Key: name, Value: values[(i+j)%len(values)]})
			one := []millrace.Attr{{Key: name, Value: v}}
			if (i+j)%3 == 0 {
				one = append(one, millrace.Attr{Key: "city", Value: millrace.StringValue("oslo")})
			}
			out = append(out, one)
		}
		out = append(out, whole)
	}
	return out
}

func testExtremeTimes(t *testing.T, s millrace.Store) {
	const second = int64(time.Second)
	times := []int64{math.MaxInt64 - second, Base.UnixNano(), 1, 0, -1, math.MinInt64 + 48*3600*second}
	var all []ev
	for i, at := range times {
		all = append(all, ev{time: at, offset: int64(i)})
	}
	writeEvents(t, s, all)
	got := readEvents(t, s, allEvents())
	for i, at := range times {
		if i >= len(got) || got[i].Time.UnixNano() != at {
			t.Fatalf("event %d of %d does not have time %d", i, len(got), at)
		}
	}
	q := allEvents()
	q.From, q.To = -1, 1
	if got := readEvents(t, s, q); len(got) != 2 {
		t.Fatalf("%d events in [-1, 1), want 2", len(got))
	}
	counts, err := s.CountEvents(t.Context(), allEvents(), 24*3600*second)
	check(t, err)
	if len(counts) != 5 || counts[1].Time != -24*3600*second || counts[2].Events != 2 {
		t.Fatalf("counts by day: %v", counts)
	}
}

func testPages(t *testing.T, s millrace.Store) {
	var all []ev
	for i := range 53 {
		all = append(all, ev{
			time: Base.UnixNano() + int64(i/10), arrived: Base.UnixNano() + int64(i%2)*int64(time.Hour)*24,
			partition: int32(i % 3), offset: int64(i % 5), ordinal: int32(i), message: fmt.Sprint(i),
		})
	}
	writeEvents(t, s, all[:20])
	writeEvents(t, s, all[20:])
	whole := readEvents(t, s, allEvents())
	for i := 1; i < len(whole); i++ {
		if !before(&whole[i-1], &whole[i]) {
			t.Fatalf("event %d is not before event %d:\n%+v\n%+v", i-1, i, whole[i-1], whole[i])
		}
	}
	for _, limit := range []int{1, 7, 52, 53, 54} {
		var got []millrace.StoredEvent
		q := allEvents()
		for q.Limit = limit; ; {
			page, err := s.Events(t.Context(), q)
			check(t, err)
			got = append(got, page.Events...)
			if q.Cursor = page.Next; q.Cursor == "" {
				break
			}
			if len(page.Events) != limit {
				t.Fatalf("a page of %d events with a successor, want %d", len(page.Events), limit)
			}
		}
		if !reflect.DeepEqual(got, whole) {
			t.Fatalf("pages of %d hold %d events, not the %d of one page", limit, len(got), len(whole))
		}
	}
}

// before is the order of events: newest first by event time, then by place in
// the queue.
func before(a, b *millrace.StoredEvent) bool {
	key := func(e *millrace.StoredEvent) [4]int64 {
		return [4]int64{e.Time.UnixNano(), int64(e.Partition), e.Offset, int64(e.Ordinal)}
	}
	x, y := key(a), key(b)
	for i := range x {
		if x[i] != y[i] {
			return x[i] > y[i]
		}
	}
	return false
}

func testCounts(t *testing.T, s millrace.Store) {
	sec := int64(time.Second)
	start := Base.UnixNano()
	writeEvents(t, s, []ev{
		{time: start, weight: 5, project: "p"},
		{time: start + 59*sec, project: "p"},
		{time: start + 60*sec, arrived: start + 26*3600*sec},
		{time: start + 600*sec},
		{time: start - 1},
	})
	f := func(q millrace.EventQuery, step int64, want ...millrace.TimeCount) {
		t.Helper()
		got, err := s.CountEvents(t.Context(), q, step)
		check(t, err)
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: got %v, want %v", step, got, want)
		}
	}
	q := millrace.EventQuery{From: start, To: start + 600*sec}
	f(q, 60*sec, millrace.TimeCount{Time: start, Events: 2, Weight: 6}, millrace.TimeCount{Time: start + 60*sec, Events: 1, Weight: 1})
	f(q, 0, millrace.TimeCount{Events: 3, Weight: 7})
	q.Project = "p"
	f(q, 0, millrace.TimeCount{Events: 2, Weight: 6})
	q.Project = "none"
	f(q, 0)
	f(q, 60*sec)
}

func testInvalidEventQueries(t *testing.T, s millrace.Store) {
	for _, limit := range []int{-1, 0, 10_001} {
		_, err := s.Events(t.Context(), millrace.EventQuery{To: 1, Limit: limit})
		wantCode(t, err, millrace.ErrInvalid)
	}
	_, err := s.Events(t.Context(), millrace.EventQuery{To: 1, Limit: 1, Cursor: "not'a cursor"})
	wantCode(t, err, millrace.ErrInvalid)
	_, err = s.CountEvents(t.Context(), millrace.EventQuery{To: 1}, -1)
	wantCode(t, err, millrace.ErrInvalid)
}

func testEventRetention(t *testing.T, s millrace.Store) {
	day := 24 * time.Hour
	writeEvents(t, s, []ev{
		{time: 0, arrived: Base.UnixNano(), message: "old"},
		{time: Base.Add(40 * day).UnixNano(), arrived: Base.Add(40 * day).UnixNano(), message: "new"},
	})
	f := func(after time.Duration, want int) {
		t.Helper()
		settle(t, s, Base.Add(after))
		if got := readEvents(t, s, allEvents()); len(got) != want {
			t.Fatalf("%v after the first arrival there are %d events, want %d", after, len(got), want)
		}
	}
	f(41*day, 2)
	f(89*day, 2)
	f(92*day, 1)
	f(132*day, 0)
}
