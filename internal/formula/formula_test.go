package formula

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

var values = map[string]float64{"a": 6, "b": 3, "zero": 0, "none": math.NaN(), "rt_p99.9": 0.5, "big": 1e300}

func get(name string) float64 {
	if v, ok := values[name]; ok {
		return v
	}
	return math.NaN()
}

func TestNumber(t *testing.T) {
	f := func(src string, want float64) {
		t.Helper()
		e, err := Number(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			return
		}
		got := e.Value(get, 60)
		if got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s = %v, want %v", src, got, want)
		}
	}
	none := math.NaN()
	f("a", 6)
	f("a/b", 2)
	f("a + b * 2", 12)
	f("(a + b) * 2", 18)
	f("a - b - 1", 2)
	f("a / b / 2", 1)
	f("-a + -(-b)", -3)
	f("100 * b / a", 50)
	f("1e2 + .5 + 1.5e-1", 100.65)
	f("rate(a)", 0.1)
	f("rate(a + b) * 60", 9)
	f("rate", none) // a name
	f("rt_p99.9 * 2", 1)
	f("a / zero", none)
	f("zero / zero", none)
	f("none + 1", none)
	f("big * big", none)
}

func TestCondition(t *testing.T) {
	f := func(src string, want bool) {
		t.Helper()
		e, err := Condition(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
		} else if got := e.Holds(get, 60); got != want {
			t.Errorf("%s: %v", src, got)
		}
	}
	f("a > 5", true)
	f("a > 5 and b > 5", false)
	f("a > 5 && b < 5", true)
	f("a < 5 or b = 3", true)
	f("a < 5 or b == 3 and a > 100", false)
	f("(a < 5 or b == 3) and a > 5", true)
	f("not a > 5", false)
	f("not (a > 5 and b > 5)", true)
	f("!(a > 5) || not not b >= 3", true)
	f("a / b >= 2 and a != b", true)
	f("a*2 > b + 1", true)
	f("none > 0", false)
	f("none <= 0", false)
	f("none != 1", false)
	f("a / zero > 0", false)
}

func TestErrors(t *testing.T) {
	f := func(parse func(string) (*Expr, error), src string, pos int, want string) {
		t.Helper()
		_, err := parse(src)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Pos != pos || !strings.Contains(e.Msg, want) {
			t.Errorf("%s: %v, want position %d: %s", src, err, pos, want)
		}
	}
	f(Number, "", 1, "ends where")
	f(Number, "a +", 4, "ends where")
	f(Number, "a b", 3, "should end")
	f(Number, "(a", 3, `")" is missing`)
	f(Number, "a)", 2, "should end")
	f(Number, "a > 1", 1, "not a comparison")
	f(Number, "sum(a)", 1, "no function")
	f(Number, "1.2.3", 1, "no number")
	f(Number, "a % b", 3, "should end")
	f(Number, "$", 1, "must stand")
	f(Number, strings.Repeat("(", 100), MaxDepth+1, "levels")
	f(Number, strings.Repeat("a", MaxBytes+1), 1, "over 1024")
	f(Condition, "a", 1, "a comparison such as")
	f(Condition, "a > 1 + (b > 2)", 7, "takes values")
	f(Condition, "a > 1 and b", 7, "joins comparisons")
	f(Condition, "1 < a < 3", 7, "joined by and")
	f(Condition, "-(a > 1) > 2", 1, "does not fit")
	f(Condition, "not a", 1, "does not fit")
}

func TestNamesAndSQL(t *testing.T) {
	e, err := Number("100 * (errors - bots) / rate(pv) + -errors")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(e.Names()); got != "[errors bots pv]" {
		t.Errorf("names %s", got)
	}
	want := `(((100::DOUBLE * ((s_errors)::DOUBLE - (s_bots)::DOUBLE)) / nullif(((s_pv)::DOUBLE / 60.0::DOUBLE), 0)) + (-(s_errors)::DOUBLE))`
	if got := e.SQL(func(n string) string { return "s_" + n }, 60); got != want {
		t.Errorf("SQL %s", got)
	}
}

func TestSplit(t *testing.T) {
	f := func(src string, want ...string) {
		t.Helper()
		if got := Split(src); !slices.Equal(got, want) {
			t.Errorf("%s: %q", src, got)
		}
	}
	f("")
	f(" , ,")
	f("a,b , c", "a", "b", "c")
	f("q=quantiles(rt, 0.5, 0.9),pv", "q=quantiles(rt, 0.5, 0.9)", "pv")
	f(`count() where url == "a,b", pv`, `count() where url == "a,b"`, "pv")
	f("count() where status in [1,2],x", "count() where status in [1,2]", "x")
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a / b", "rate(x)*2", "a > 1 and not (b < 2 or c = 3)", "1e", "((", "- -1", "rt_p99.9", "!!a>1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, parse := range []func(string) (*Expr, error){Number, Condition} {
			e, err := parse(src)
			if err != nil {
				if pe, ok := errors.AsType[*Error](err); !ok || pe.Pos < 1 || pe.Pos > len(src)+1 {
					t.Fatalf("%q: %v", src, err)
				}
				continue
			}
			one := func(string) float64 { return 1 }
			if e.root.logic {
				e.Holds(one, 60)
			} else {
				e.Value(one, 60)
				e.SQL(func(string) string { return "x" }, 60)
			}
		}
		Split(src)
	})
}
