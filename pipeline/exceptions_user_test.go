package pipeline

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// nestedUserSlow is nestedUser as it was, with encoding/json. It is the oracle of the
// fast one.
func nestedUserSlow(object string) (millrace.Value, bool) {
	var members map[string]json.RawMessage
	if json.Unmarshal([]byte(object), &members) != nil {
		return millrace.Value{}, false
	}
	for _, key := range nestedUserFields {
		raw := members[key]
		var text string
		var number json.Number
		switch {
		case len(raw) == 0:
		case raw[0] == '"' && json.Unmarshal(raw, &text) == nil && text != "":
			return millrace.StringValue(text), true
		case raw[0] != '"' && json.Unmarshal(raw, &number) == nil && number != "":
			return millrace.StringValue(number.String()), true
		}
	}
	return millrace.Value{}, false
}

var userObjects = []string{
	`{"id":"u7"}`, `{"id":7}`, `{"id":-0}`, `{"id":1.50}`, `{"id":1e999}`, `{"id":123456789012345678901234567890}`, `{"id":"7"}`,
	` { "id" : "u7" , "x":[1,{"id":"no"}]} `, `{"ip":"::1","email":"a@b"}`, `{"email":"a@b","id":"last"}`,
	`{"id":"first","id":"last"}`, `{"id":"first","id":null,"uid":3}`, `{"id":"first","id":{"a":1},"name":"n"}`, `{"id":"","uid":"u"}`,
	`{"\u0069d":"escaped","uid":"u"}`, `{"id":"plain","\u0069\u0064":"escaped"}`, `{"id":"a\"b\\c\/\u00e9\ud83d\ude00\ud800x"}`, `{"ID":"other case"}`,
	`{"id":true}`, `{"id":[1]}`, `{"id":false,"ip_address":"192.0.2.1"}`, `{}`, ` {} `, ``, `null`, `[]`, `[{"id":1}]`, `"id"`, `7`,
	`{"id":"u7"`, `{"id":"u7"}x`, `{"id":"u7",}`, `{"id":"u7" "uid":1}`, `{"id":01}`, `{"id":"\x"}`, `{"id":1,"a":tru}`, `{id:1}`, "{\"id\":\"a\nb\"}",
	`{"` + strings.Repeat(`\u0069`, 40) + `":1,"id":2}`, `{"id":"\u0000"}`, `{"":1,"name":"é"}`,
}

func compareNestedUser(t *testing.T, object string) {
	t.Helper()
	if !utf8.ValidString(object) || strings.Count(object, "[")+strings.Count(object, "{") > 100 {
		t.Skip("no such attribute comes out of a decoder")
	}
	got, ok := nestedUser(&millrace.Batch{}, object)
	if want, wantOK := nestedUserSlow(object); got != want || ok != wantOK {
		t.Fatalf("%q: got %q %t, want %q %t", object, got.String(), ok, want.String(), wantOK)
	}
}

func TestNestedUser(t *testing.T) {
	for _, object := range userObjects {
		compareNestedUser(t, object)
	}
}

func FuzzNestedUser(f *testing.F) {
	for _, object := range userObjects {
		f.Add(object)
	}
	f.Fuzz(compareNestedUser)
}

func TestNestedUserAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	b := &millrace.Batch{}
	for _, object := range []string{`{"id":"u7"}`, `{"email":"a@b","name":"n","ids":[1,2],"uid":7}`, `{"\u0069d":"u\u0037"}`} {
		nestedUser(b, object) // the batch's memory
		if n := testing.AllocsPerRun(100, func() { b.Reset(nil); nestedUser(b, object) }); n > 0 {
			t.Errorf("%s: %v allocations", object, n)
		}
	}
}

func BenchmarkNestedUser(b *testing.B) {
	const object = `{"id":"u7"}`
	batch := &millrace.Batch{}
	b.Run("scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			nestedUser(batch, object)
		}
	})
	b.Run("unmarshal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			nestedUserSlow(object)
		}
	})
}
