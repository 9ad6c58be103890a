package rollup

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// TestConditionalMetrics folds events into metrics with conditions of their own
// and compares with what the condition says of each event.
func TestConditionalMetrics(t *testing.T) {
	var v millrace.Violations
	r := Compile(Definition{
		Name: "t", Dimensions: []string{"service"}, Sets: [][]string{{}, {"service"}},
		Metrics: []NamedMetric{
			{"pv", "count()"},
			{"errors", "count() where status >= 500"},
			{"slow", `rate() where rt > 1 and service == "web"`},
			{"ok_bytes", "sum(bytes) where status < 400"},
			{"mean", "avg(rt, 3) where status < 400"},
			{"worst", "max(rt) where status >= 500"},
			{"rt", "quantiles(rt, 0.5) where status < 400"},
			{"uv", `uniq(client_ip) where status >= 500`},
			{"error_rate", "errors / pv"},
		},
	}, "t", &v)
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	var events []millrace.Event
	want := struct{ pv, errors, slow, bytes, sum, n int64 }{}
	var hist sketch.Hist
	worst := 0.0
	for i := range int64(500) {
		weight, status, rt := 1+i%3, 200+100*(i%4), float64(i%7)/2
		e := millrace.Event{Time: i * 1e6, Weight: weight, Service: []string{"web", "api"}[i%2]}
		e.Set("status", millrace.IntValue(status))
		e.Set("rt", millrace.FloatValue(rt))
		e.Set("bytes", millrace.IntValue(i))
		e.Set("client_ip", millrace.StringValue(fmt.Sprint(i)))
		events = append(events, e)
		want.pv += weight
		if status >= 500 {
			want.errors += weight
			worst = max(worst, rt)
		}
		if rt > 1 && e.Service == "web" {
			want.slow += weight
		}
		if status < 400 {
			want.bytes += weight * i
			want.sum += weight * int64(rt*1000)
			want.n += weight
			hist.Add(rt, uint64(weight))
		}
	}
	engine := NewEngine([]*Rollup{r}, Limits{Values: 100})
	engine.Fold(0, events)
	for _, b := range engine.Drain().Cells {
		if len(b.Set.Dims) > 0 {
			continue
		}
		got := fmt.Sprint(b.States[0].Ints, b.States[1].Ints, b.States[2].Ints, b.States[3].Ints, b.States[4].Ints, b.States[5].Ints, b.States[6].Floats)
		have := fmt.Sprint([]int64{want.pv}, []int64{want.errors}, []int64{want.slow}, []int64{want.bytes}, []int64{want.sum}, []int64{want.n}, []float64{worst})
		if got != have {
			t.Errorf("got %s, want %s", got, have)
		}
		if string(b.States[7].Blobs[0]) != string(hist.AppendTo(nil)) {
			t.Error("the quantiles differ")
		}
		if n, err := sketch.EstimateOf(b.States[8].Blobs[0]); err != nil || n < 120 || n > 130 {
			t.Errorf("%d distinct of 125: %v", n, err)
		}
	}
	if len(r.Derived) != 1 || r.Derived[0].Expr != "errors / pv" {
		t.Errorf("derived %+v", r.Derived)
	}
}

func TestMetricErrors(t *testing.T) {
	f := func(want string, metrics ...NamedMetric) {
		t.Helper()
		var v millrace.Violations
		Compile(Definition{Name: "t", Sets: [][]string{{}}, Metrics: append(metrics, NamedMetric{"pv", "count()"}, NamedMetric{"rt", "quantiles(rt)"})}, "t", &v)
		if err := v.Err(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", metrics, err, want)
		}
	}
	f(`there is no "views"`, NamedMetric{"x", "views / pv"})
	f("rt is quantiles", NamedMetric{"x", "rt / 2"})
	f("position 5", NamedMetric{"x", "pv /"})
	f(`there is no "y"`, NamedMetric{"x", "y * 2"}, NamedMetric{"y", "pv / 2"})
	f("names none", NamedMetric{"x", "1 + 2"})
	f("a condition", NamedMetric{"x", "count() where status ~ 5"})
	f("a condition", NamedMetric{"x", "count() where"}, NamedMetric{"y", "count() where (("})
	f("one of count", NamedMetric{"x", "median(rt)"})
}

func TestFieldsAndKind(t *testing.T) {
	var v millrace.Violations
	r := Compile(Definition{
		Name: "t", Where: `kind == "access" and (city in ["x"] or not (bot == "true"))`, Dimensions: []string{"service"}, Sets: [][]string{{}},
		Metrics: []NamedMetric{{"n", "count() where status >= 500"}, {"s", "sum(bytes)"}},
	}, "t", &v)
	if got := fmt.Sprint(r.Fields()); got != "[bot bytes city kind service status]" {
		t.Errorf("fields %s", got)
	}
	if k, ok := WhereKind(r.Where); !ok || k != millrace.KindAccess {
		t.Errorf("kind %v %v", k, ok)
	}
	if _, ok := WhereKind(`kind == "access" or status > 1`); ok {
		t.Error("an alternative limits the kind")
	}
}
