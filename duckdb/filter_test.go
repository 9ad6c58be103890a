package duckdb

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

var (
	filterFields = []string{
		"project", "source", "kind", "service", "host", "env", "release", "level", "trace_id", "message", "weight",
		"status", "url", "rt", "a.b", `q"uote`, "sl/ash~", "nested", "flag", "nope", "time",
	}
	filterValues = []string{
		"", "0", "1", "404", "500", "-3", "0.25", "1e3", "shop", "Shop", "web-01", "/a/b", "/a%b_c", "*", "/a/*", "*b", "*a*",
		"/*b*c", "true", "error", "ÜBER grün", "grün", `back\slash`, `say "hi"`, "nul\x00byte", "tab\there", "x*y*z",
		"0af7651916cd43dd8448eb211c80319c", "0AF7651916CD43DD8448EB211C80319C", "trace", "access", "log", " 7", "1_0", "７",
	}
)

func randomEvent(rng *rand.Rand, i int) millrace.Event {
	pick := func() string { return filterValues[rng.IntN(len(filterValues))] }
	e := millrace.Event{
		Time: int64(rng.IntN(100)) * 1e9, Weight: rng.Int64N(600), Kind: millrace.Kind(rng.IntN(5)), Ordinal: int32(i),
		Project: "default", Source: pick(), Service: pick(), Host: pick(), Env: pick(), Release: pick(),
		Level: pick(), TraceID: pick(), Message: pick() + " " + pick(),
	}
	for _, k := range []string{"status", "url", "rt", "a.b", `q"uote`, "sl/ash~", "nested", "flag"} {
		switch rng.IntN(6) {
		case 0:
		case 1:
			e.Set(k, millrace.IntValue(rng.Int64N(600)-3))
		case 2:
			e.Set(k, millrace.FloatValue(float64(rng.IntN(4000))/16))
		case 3:
			e.Set(k, millrace.BoolValue(rng.IntN(2) == 0))
		case 4:
			e.Set(k, millrace.JSONValue(`{"x":[1,"y"]}`))
		default:
			e.Set(k, millrace.StringValue(pick()))
		}
	}
	return e
}

func randomFilter(rng *rand.Rand, depth int) *millrace.Filter {
	op := millrace.FilterOp(rng.IntN(int(millrace.FilterGlob) + 1))
	if depth == 0 && op <= millrace.FilterNot {
		op = millrace.FilterEq
	}
	f := &millrace.Filter{Op: op}
	switch op {
	case millrace.FilterNot:
		f.Sub = []*millrace.Filter{randomFilter(rng, depth-1)}
	case millrace.FilterAnd, millrace.FilterOr:
		for range rng.IntN(4) {
			f.Sub = append(f.Sub, randomFilter(rng, depth-1))
		}
	default:
		f.Field = filterFields[rng.IntN(len(filterFields))]
		f.Value = filterValues[rng.IntN(len(filterValues))]
		if f.Op == millrace.FilterText {
			f.Field = ""
		}
	}
	return f
}

func describe(f *millrace.Filter) string {
	s := fmt.Sprintf("{%d %q %q", f.Op, f.Field, f.Value)
	for _, sub := range f.Sub {
		s += " " + describe(sub)
	}
	return s + "}"
}

// TestFilterMatchesReference compares the SQL of random filters with
// Filter.Match on random events that are as nasty as the values above.
func TestFilterMatchesReference(t *testing.T) {
	db := openTest(t)
	rng := rand.New(rand.NewPCG(7, 7))
	rows := &millrace.EventRows{}
	var events []millrace.Event
	for i := range 400 {
		e := randomEvent(rng, i)
		events = append(events, e)
		rows.Append(&millrace.Record{Arrived: 1e18}, &e)
	}
	if err := db.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
	matched := 0
	for range 600 {
		f := randomFilter(rng, 3)
		var want []int32
		for i := range events {
			if f.Match(func(name string) string { v, _ := events[i].Field(name); return v.String() }) {
				want = append(want, events[i].Ordinal)
			}
		}
		page, err := db.Events(t.Context(), millrace.EventQuery{To: 1e18, Filter: f, Limit: 10000})
		if err != nil {
			t.Fatalf("%s: %v", describe(f), err)
		}
		var got []int32
		for _, e := range page.Events {
			got = append(got, e.Ordinal)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			for i := range events {
				if slices.Contains(got, int32(i)) != slices.Contains(want, int32(i)) {
					t.Logf("event %d: %+v", i, events[i])
					break
				}
			}
			t.Fatalf("%s: got %d events, want %d", describe(f), len(got), len(want))
		}
		if len(want) > 0 && len(want) < len(events) {
			matched++
		}
	}
	if matched < 200 {
		t.Errorf("only %d of 600 filters told events apart", matched)
	}
}
