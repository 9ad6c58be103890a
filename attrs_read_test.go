package millrace

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// randomAttrs returns attributes of every kind, with distinct keys.
func randomAttrs(rng *rand.Rand, text string) []Attr {
	var out []Attr
	for i := range rng.IntN(8) {
		v := [...]Value{
			StringValue(text), IntValue(int64(rng.Uint64())), IntValue(int64(rng.IntN(1000))), BoolValue(rng.IntN(2) == 0),
			NumberValue(0.15, "0.150"), FloatValue(rng.NormFloat64()), NumberValue(1e5, "1e5"),
			JSONValue(`{"a":["}",{"b":"\"]"}],"c":1}`), JSONValue("[]"), StringValue(`"\`), FloatValue(math.Copysign(0, -1)),
		}[rng.IntN(11)]
		out = append(out, Attr{text + strconv.Itoa(i), v})
	}
	return out
}

func checkAttrsRead(t *testing.T, attrs []Attr) {
	t.Helper()
	object := AppendAttrs(nil, attrs)
	n := 0
	whole := EachAttr(object, func(key, raw []byte) bool {
		// What was not valid UTF-8 was replaced when it was written.
		if want := AppendJSONString(nil, attrs[n].Key); string(AppendJSONString(nil, string(key))) != string(want) {
			t.Fatalf("%s: key %d is %q, want %s", object, n, key, want)
		}
		got, want := ParseAttr(raw), attrs[n].Value
		if string(got.AppendJSON(nil)) != string(want.AppendJSON(nil)) {
			t.Fatalf("%s: value %d is %s, want %s", object, n, got.AppendJSON(nil), want.AppendJSON(nil))
		}
		a, aok := got.Float()
		b, bok := want.Float()
		if a != b || aok != bok {
			t.Fatalf("%s: value %d is %v, want %v", object, n, a, b)
		}
		n++
		return true
	})
	if !whole || n != len(attrs) {
		t.Fatalf("%s: read %d of %d attributes, to the end: %t", object, n, len(attrs), whole)
	}
}

func TestEachAttr(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, text := range []string{"", "city", `a"b\c`, "Zürich\n", "}{][,:", "\u2028\x00", "\xff"} {
		for range 200 {
			checkAttrsRead(t, randomAttrs(rng, text))
		}
	}
	stopped := 0
	EachAttr([]byte(`{"a":1,"b":2}`), func(_, _ []byte) bool { stopped++; return false })
	if stopped != 1 {
		t.Errorf("called %d times after false", stopped)
	}
}

// FuzzEachAttr: any bytes end, without panic; what is an object of our own is
// read like encoding/json does.
func FuzzEachAttr(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":[1,{"c":"\""}],"d":"x"}`), "text")
	f.Add([]byte(`{"a`), `q"`)
	f.Fuzz(func(t *testing.T, object []byte, text string) {
		EachAttr(object, func(_, raw []byte) bool { ParseAttr(raw); return true })
		attrs := randomAttrs(rand.New(rand.NewPCG(uint64(len(object)), 7)), text)
		checkAttrsRead(t, attrs)
		var m map[string]json.RawMessage
		if err := json.Unmarshal(AppendAttrs(nil, attrs), &m); err != nil || len(m) != len(attrs) {
			t.Fatalf("%q: %v, %d members of %d", text, err, len(m), len(attrs))
		}
	})
}

func BenchmarkEachAttr(b *testing.B) {
	object := AppendAttrs(nil, []Attr{
		{"city", StringValue("Reykjavik")},
		{"device", StringValue("phone")},
		{"region", StringValue("eu-north-1")},
		{"cart", IntValue(12)},
		{"price", NumberValue(129.5, "129.50")},
		{"experiment", StringValue("checkout-button-blue")},
	})
	b.SetBytes(int64(len(object)))
	b.ReportAllocs()
	for b.Loop() {
		EachAttr(object, func(_, raw []byte) bool { return true })
	}
}
