package millrace

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
)

// nastyValues are values of every kind around what the columns take.
var nastyValues = []Value{
	StringValue(""), StringValue("GET"), StringValue("PURGE"), StringValue("get"), StringValue("BREW"), StringValue("200"), StringValue("/a?b=\"c\""),
	StringValue("1.2.3.4"), StringValue("255.255.255.255"), StringValue("0.0.0.0"), StringValue("0.0.0.1"), StringValue("1.2.3.256"),
	StringValue("01.2.3.4"), StringValue("1.2.3"), StringValue("1.2.3.4.5"), StringValue("::1"), StringValue("1.2.3."), StringValue("grün\n"),
	IntValue(0), IntValue(200), IntValue(-1), IntValue(math.MaxInt32), IntValue(math.MaxInt32 + 1), IntValue(math.MaxInt64), IntValue(math.MinInt64),
	IntValue(1<<53 - 1), IntValue(1 << 53),
	FloatValue(0), FloatValue(0.25), FloatValue(1e-7), FloatValue(1e21), FloatValue(math.Inf(1)), FloatValue(math.NaN()), FloatValue(math.Copysign(0, -1)),
	NumberValue(0.15, "0.150000"), NumberValue(1, "1.0"), NumberValue(0, "0.0000000000000000000001"), NumberValue(0, "0.00000000000000000000001"),
	NumberValue(100, "1e2"), NumberValue(9007199254740991, "9007199254740991"), NumberValue(9007199254740992, "9007199254740992.0"),
	NumberValue(-1.5, "-1.5"), NumberValue(12345.678, "12345.678"),
	BoolValue(true), JSONValue(`{"a":[1,"b"]}`), JSONValue("null"),
}

// TestAttrColumnsLoseNothing takes random events to columns and back.
func TestAttrColumnsLoseNothing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	keys := []string{
		AttrURL, AttrMethod, AttrStatus, AttrBytes, AttrRT, AttrRTBackend, AttrClientIP, AttrUserAgent, AttrReferer, "a \"b\"", "",
	}
	var rows, again EventRows
	var want []string
	for range 5000 {
		var e Event
		for _, i := range rng.Perm(len(keys))[:rng.IntN(len(keys)+1)] {
			e.Set(keys[i], nastyValues[rng.IntN(len(nastyValues))])
		}
		rows.Append(&Record{}, &e)
		want = append(want, string(AppendAttrs(nil, e.Attrs)))
	}
	taken := 0
	for i := range want {
		got := rows.AppendAttrs([]byte("x"), i)[1:]
		if !reflect.DeepEqual(members(t, got), members(t, []byte(want[i]))) {
			t.Fatalf("event %d: got %s, want %s", i, got, want[i])
		}
		if len(rows.Attrs.At(i)) < len(want[i]) {
			taken++
		}
		again.AttrColumns.AppendRow(&rows.AttrColumns, i)
	}
	if taken < len(want)/2 {
		t.Errorf("only %d of %d events have a value in a column", taken, len(want))
	}
	if !reflect.DeepEqual(again.AttrColumns, rows.AttrColumns) {
		t.Error("copied row by row, the columns differ")
	}
	rows.Reset()
	if n := len(rows.Method) + len(rows.Status) + len(rows.BodyBytes) + len(rows.RT) + len(rows.RTBackend) + len(rows.ClientIP) +
		rows.URL.Len() + rows.UserAgent.Len() + len(rows.InAttrs) + rows.Bytes(); n != 0 {
		t.Errorf("%d values left after Reset", n)
	}
}

// members is a JSON object with its values as they are written.
func members(t *testing.T, object []byte) map[string]string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(object, &m); err != nil {
		t.Fatalf("%s: %v", object, err)
	}
	out := map[string]string{}
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

func TestAttrColumnsSayWhatIsElsewhere(t *testing.T) {
	var rows EventRows
	rows.Append(&Record{}, &Event{Attrs: []Attr{{AttrStatus, IntValue(404)}, {AttrURL, BoolValue(true)}, {"other", IntValue(1)}}})
	rows.Append(&Record{}, &Event{Attrs: []Attr{{AttrStatus, StringValue("404")}, {AttrRT, NumberValue(0.1, "0.10")}}})
	got := fmt.Sprint(rows.Status, rows.InAttrs, rows.RT, rows.BodyBytes, string(rows.Attrs.Data))
	if want := fmt.Sprint([]int32{404, -1}, []AttrSet{InURL, InStatus}, []Decimal{NoDecimal, 10<<5 | 2}, []int64{-1, -1},
		`{"url":true,"other":1}{"status":"404"}`); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	e := Event{Service: "shop", Attrs: []Attr{
		{AttrMethod, StringValue("GET")},
		{AttrURL, StringValue("/cart")},
		{AttrStatus, IntValue(200)},
		{AttrRT, NumberValue(0.15, "0.150000")},
		{AttrRTBackend, FloatValue(0.125)},
		{AttrClientIP, StringValue("203.0.113.7")},
		{"city", StringValue("oslo")},
	}}
	var rows EventRows
	rec := &Record{}
	fill := func() {
		rows.Reset()
		for range 100 {
			rows.Append(rec, &e)
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n != 0 {
		t.Errorf("%v allocations for 100 rows", n)
	}
}

func TestIPv4(t *testing.T) {
	for ip := uint32(1); ip != 0 && ip < math.MaxUint32-9_999_991; ip += 9_999_991 {
		if s := string(appendIPv4(nil, ip)); ParseIPv4(s) != ip {
			t.Fatalf("%d is written %s and read %d", ip, s, ParseIPv4(s))
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"0", "0.150000", "00", "1.", ".5", "123456789012345.6", "9007199254740991", "0.0000000000000000000001", "-1", "1e3", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := ParseDecimal(s)
		if d == NoDecimal {
			return
		}
		if back := string(d.Append(nil)); back != s {
			t.Fatalf("%q became %q", s, back)
		}
		want, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(d>>decimalScaleBits) / math.Pow10(int(d&(1<<decimalScaleBits-1))); got != want {
			t.Fatalf("%q is %v as decimal, %v as number", s, got, want)
		}
	})
}

func FuzzIPv4(f *testing.F) {
	f.Add("203.0.113.7")
	f.Add("0.0.0.0")
	f.Add("1.02.3.4")
	f.Fuzz(func(t *testing.T, s string) {
		if ip := ParseIPv4(s); ip != 0 && string(appendIPv4(nil, ip)) != s {
			t.Fatalf("%q became %s", s, appendIPv4(nil, ip))
		}
	})
}
