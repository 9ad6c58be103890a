package ingest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// An array of objects is a body like any other, of any length in one line, in
// chunks or compressed, and cut off.
func TestPostArray(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxLine = 1000; o.MaxLines = 2000 })
	var elements []string
	for i := range 1500 {
		elements = append(elements, fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", i%900)))
	}
	body := []byte("[" + strings.Join(elements, ",\n") + "]")
	for encoding, sent := range map[string][]byte{"": body, "gzip": gzipped(t, body)} {
		want(t, f.do("POST", "/ingest?source=app", sent, "Content-Encoding", encoding, "Content-Type", "text/plain"), 200, `"accepted":1500`, `"rejected":[]`)
		events := f.events(t)
		if len(events) != 1500 {
			t.Fatalf("%d events", len(events))
		}
		for i := range events {
			if v, _ := events[i].Attr("n"); v.String() != fmt.Sprint(i) {
				t.Fatalf("event %d has n %s", i, v.String())
			}
		}
	}
	want(t, f.do("POST", "/ingest?source=app", body[:len(body)-20]), 200, `"accepted":1499`, `"line":1500`, `"reason":"bad_json"`)
	f.take()
	want(t, f.do("POST", "/ingest", []byte(`[{"a":"`+strings.Repeat("x", 1000)+`"},{"b":1}]`)), 200, `"accepted":1`, `"line":1`, `"reason":"line_too_long"`)
	f.take()
	want(t, f.do("POST", "/ingest", []byte("["+strings.Repeat("{},", 2000)+"{}]")), 413, "ingest.max_lines")
	want(t, f.do("POST", "/ingest", []byte(`[{"a":1}]x`+strings.Repeat("\ny", 3000))), 413, "ingest.max_lines")
	want(t, f.do("POST", "/ingest?format=json", []byte(`[{"a":x}]`)), 400)
}

// What is in a field of a form comes out as it went in.
func TestPostForm(t *testing.T) {
	f := setup(t)
	lines := "{\"a\":\"x & y=z+%é\"}\n[\"no\"]\n"
	array := `[{"b":1},{"c":"+"}]`
	form := url.Values{"v": {"3"}, "data": {lines}, "däta": {array}}
	const kind = "application/x-www-form-urlencoded"
	w := f.do("POST", "/ingest?source=app&format=json&field=data", []byte(form.Encode()), "Content-Type", kind)
	want(t, w, 200, `"accepted":1`, `"line":2`)
	if recs := f.take(); len(recs) != 1 || string(recs[0].Payload) != "{\"a\":\"x & y=z+%é\"}\n" {
		t.Errorf("%+v", recs)
	}
	want(t, f.do("POST", "/ingest?field="+url.QueryEscape("däta"), []byte(form.Encode()), "Content-Type", kind), 200, `"accepted":2`)
	f.take()
	want(t, f.do("POST", "/ingest?field=d", []byte("d=%7B%7D&x=1&d=[{}]&d="), "Content-Type", kind), 200, `"accepted":2`)
	f.take()
	want(t, f.do("POST", "/ingest?field=other", []byte(form.Encode())), 400, "no field other")
	want(t, f.do("POST", "/ingest?field=d", []byte("d=%7"), "Content-Type", kind), 400, "hexadecimal")
	want(t, f.do("POST", "/ingest?field=d", []byte("d=1"), "Content-Type", "multipart/form-data; boundary=x"), 400, "multipart")
	// Without field a body is what it is, whatever it is called.
	want(t, f.do("POST", "/ingest", []byte("a=1&b=2\n"), "Content-Type", kind), 200, `"accepted":1`)
}

func FuzzForm(f *testing.F) {
	f.Add("d=1&d=%41+b", "d")
	f.Add("%64=x", "d")
	f.Add("d=1&&&d$%cf&=", "")
	f.Fuzz(func(t *testing.T, body, name string) {
		q := &request{}
		q.formField = name
		q.body.buf = []byte(body)
		r := newFormRequest()
		if q.unform(r) != nil {
			return
		}
		var all []string
		for _, pair := range strings.Split(body, "&") {
			key, value, _ := strings.Cut(pair, "=")
			if k, err := url.QueryUnescape(key); err != nil || k != name || pair == "" {
				continue
			}
			v, err := url.QueryUnescape(value)
			if err != nil {
				t.Fatalf("%q was taken", value)
			}
			all = append(all, v)
		}
		if got, want := string(q.body.buf), strings.Join(all, "\n"); got != want {
			t.Fatalf("%q: %q, want %q", body, got, want)
		}
	})
}

func newFormRequest() *http.Request {
	return httptest.NewRequest(http.MethodPost, "/ingest", http.NoBody)
}
