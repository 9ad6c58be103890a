package transform

import (
	"testing"

	"github.com/millrace/millrace"
)

// A pattern finds in JSON what escapes stand for, and leaves JSON behind.
func TestMaskEscapes(t *testing.T) {
	p, err := Load([]byte(`masks: [{fields: ["*"], replace: {pattern: 'pin:\s+\d+|"name":"[^"]*"|say "no"', with: '<"-">'}}]`), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for json, want := range map[string]string{
		`{"a":"pin:\n 99","b":["x\ty","\u0070in:\t1"]}`: `{"a":"<\"-\">","b":["x\ty","<\"-\">"]}`,
		`{"a":"pin: 99"}`:                 `{"a":"<"-">"}`, // as it is spelled; no JSON any more, so a text
		`{"a":"\\ pin\n:\n99 \" \u00e9"}`: `{"a":"\\ pin\n:\n99 \" \u00e9"}`,
		`{"pin:\n1":"say \"no\"!"}`:       `{"<\"-\">":"<\"-\">!"}`,
		`[]`:                              `[]`,
	} {
		var b millrace.Batch
		b.Reset(&millrace.Record{})
		e := b.Add(0)
		e.Set("j", millrace.JSONValue(json))
		p.Apply(&b, e, &Scratch{})
		if v, _ := e.Attr("j"); v.String() != want {
			t.Errorf("%s becomes %s, want %s", json, v.String(), want)
		}
	}
}
