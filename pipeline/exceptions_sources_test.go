package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

const plainTrace = "java.lang.IllegalStateException: no stock of 12\n\tat shop.Orders.find(Orders.java:42)\n\tat shop.Main.main(Main.java:7)\n" +
	"Caused by: java.sql.SQLException: closed\n\tat shop.Db.ask(Db.java:9)\n\t... 2 more\n"

// The same exception has the same fingerprint, type, message, cause and frames
// wherever it comes from.
func TestSourcesAgree(t *testing.T) {
	quoted := string(millrace.AppendJSONString(nil, plainTrace))
	list := `["` + strings.Join(strings.Split(strings.ReplaceAll(strings.TrimSpace(plainTrace), "\t", ""), "\n"), `","`) + `"]`
	otlp := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1800000000000000000","body":{"stringValue":"order failed"},"attributes":[` +
		`{"key":"exception.type","value":{"stringValue":"java.lang.IllegalStateException"}},{"key":"exception.message","value":{"stringValue":"no stock of 12"}},` +
		`{"key":"exception.stacktrace","value":{"stringValue":` + quoted + `}}]}]}]}]}`
	sentry := `{"platform":"java","exception":{"values":[{"type":"SQLException","module":"java.sql","value":"closed","stacktrace":{"frames":[` +
		`{"module":"shop.Main","function":"main","filename":"Main.java","lineno":7,"in_app":true},{"module":"shop.Orders","function":"find","filename":"Orders.java","lineno":42,"in_app":true},` +
		`{"module":"shop.Db","function":"ask","filename":"Db.java","lineno":9,"in_app":true}]}},` +
		`{"type":"IllegalStateException","module":"java.lang","value":"no stock of 12","mechanism":{"type":"generic","handled":false},"stacktrace":{"frames":[` +
		`{"module":"shop.Main","function":"main","filename":"Main.java","lineno":7,"in_app":true},{"module":"shop.Orders","function":"find","filename":"Orders.java","lineno":42,"in_app":true}]}}]}}`
	want := ""
	for _, c := range []struct{ name, format, body string }{
		{"text", "text", plainTrace},
		{"text behind a log line", "text", "2026-11-22 12:00:00,000 ERROR [main] shop.Main - order failed\n" + plainTrace},
		{"auto", "auto", "2026-11-22 12:00:00,000 ERROR [main] shop.Main - order failed\n" + plainTrace},
		{"stack_trace", "json", `{"message":"order failed","stack_trace":` + quoted + `}`},
		{"stackTrace", "json", `{"message":"order failed","stackTrace":` + quoted + `}`},
		{"error.stack_trace", "json", `{"message":"order failed","error":{"type":"x","stack_trace":` + quoted + `}}`},
		{"err.stack", "json", `{"msg":"order failed","err":{"stack":` + quoted + `}}`},
		{"a list of lines", "json", `{"message":"order failed","stacktrace":` + list + `}`},
		{"thrown", "json", `{"message":"order failed","thrown":{"name":"java.lang.IllegalStateException","extendedStackTrace":` + quoted + `}}`},
		{"the message of JSON", "json", `{"level":"error","message":` + quoted + `}`},
		{"OTLP", "otlp-json", otlp},
		{"counted", "exceptions", `{"host":"h","appCode":"shop","exType":"java.lang.IllegalStateException","count":1,"details":[{"content":"order failed","stackTrace":` + quoted + `}]}`},
		{"Sentry", "sentry-event", sentry},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, version := range []int{1, 2} {
				d := &decoding{exceptions: exceptions{version: version}}
				for range 3 {
					events := through(t, d, c.format, "", c.body)
					e := &events[len(events)-1]
					r, err := exception.ParseReport([]byte(attrOf(e, millrace.AttrReport)))
					if err != nil || e.Kind != millrace.KindException {
						t.Fatalf("%v: %s", err, said(e))
					}
					got := fmt.Sprint(attrOf(e, millrace.AttrType), attrOf(e, attrMessage), attrOf(e, attrCause), r.Language, r.Exception.Frames, r.Exception.Cause.Message,
						r.Exception.Cause.Frames[0], e.Level, exception.FingerprintOf(2, &r), strings.HasPrefix(attrOf(e, millrace.AttrFingerprint), fmt.Sprint(version, ":")))
					if want == "" {
						want = got
					}
					if got != want {
						t.Errorf("%s\nwant %s", got, want)
					}
					if f := attrOf(e, millrace.AttrFingerprint); f != exception.FingerprintOf(version, &r) {
						t.Errorf("fingerprint %s, of the report %s", f, exception.FingerprintOf(version, &r))
					}
				}
			}
		})
	}
}

// An exception that only the rules of a source bring to light is one like others.
func TestRulesRevealExceptions(t *testing.T) {
	quoted := string(millrace.AppendJSONString(nil, plainTrace))
	line := `{"kind":"log","payload":` + string(millrace.AppendJSONString(nil, `{"stack_trace":`+quoted+`}`)) + `,"message":"m"}`
	for name, c := range map[string]struct{ rules, body string }{
		"a field within a field": {"steps: [{extract: {from: payload, json: {stack_trace: stack_trace}}}]", line},
		"a message":              {"steps: [{set: {message: \"trace\"}}]", `{"message":"m","trace":` + quoted + `}`},
		"by name":                {"steps: [{set: {kind: '\"exception\"', type: '\"Broken\"'}}]", `{"message":"it broke"}`},
	} {
		t.Run(name, func(t *testing.T) {
			e := through(t, &decoding{exceptions: exceptions{version: 2}}, "json", c.rules, c.body)[0]
			if e.Kind != millrace.KindException || attrOf(&e, millrace.AttrType) == "" || !strings.HasPrefix(attrOf(&e, millrace.AttrFingerprint), "2:") || attrOf(&e, millrace.AttrReport) == "" {
				t.Errorf("%s %s", e.Kind, said(&e))
			}
		})
	}
	// What a rule sets stays.
	e := through(t, &decoding{}, "text", "steps: [{set: {fingerprint: '\"mine\"', error_class: '\"business\"'}}]", plainTrace)[0]
	if attrOf(&e, millrace.AttrFingerprint) != "mine" || attrOf(&e, millrace.AttrErrorClass) != "business" || attrOf(&e, millrace.AttrType) != "java.lang.IllegalStateException" {
		t.Error(said(&e))
	}
	// What a rule takes away stays away.
	e = through(t, &decoding{}, "text", "steps: [{remove: [exception_report]}]", plainTrace)[0]
	if _, ok := e.Attr(millrace.AttrReport); ok {
		t.Error(said(&e))
	}
}

// A client's own fingerprint counts, with the default one where it says so.
func TestClientFingerprint(t *testing.T) {
	of := func(fingerprint, value string) string {
		e := reported(t, nil, `{`+fingerprint+`"transaction":"/pay","exception":{"values":[{"type":"E","value":"`+value+`","stacktrace":{"frames":[{"function":"f","in_app":true}]}}]}}`)
		return attrOf(e, millrace.AttrFingerprint)
	}
	own := of("", "a")
	for fingerprint, want := range map[string]string{
		`"fingerprint":["{{ default }}"],`:                          own,
		`"fingerprint":[],`:                                         own,
		`"fingerprint":"no list",`:                                  own,
		`"fingerprint":["a","b"],`:                                  exception.CustomFingerprint([]string{"a", "b"}, own),
		`"fingerprint":["{{default}}",7],`:                          exception.CustomFingerprint([]string{"{{ default }}", "7"}, own),
		`"fingerprint":["{{ error.type }}","{{ transaction }}"],`:   exception.CustomFingerprint([]string{"E", "/pay"}, own),
		`"fingerprint":["{{ value }}","{{ stack.abs_path }}"],`:     exception.CustomFingerprint([]string{"a", "{{ stack.abs_path }}"}, own),
		`"fingerprint":[true,null,"x",["nested"],{"no":"object"}],`: exception.CustomFingerprint([]string{"True", "x"}, own),
	} {
		if got := of(fingerprint, "a"); got != want {
			t.Errorf("%s gives %s, want %s", fingerprint, got, want)
		}
	}
}

// Who was affected: the first field that tells.
func TestExceptionUser(t *testing.T) {
	for fields, want := range map[string]string{
		``: "", `"user.id":"7","user.email":"a@b",`: "7", `"user.email":"a@b","uid":8,`: "8", `"client_ip":"192.0.2.1",`: "192.0.2.1",
		`"user_id":"","userId":"u",`: "u", `"user":"bob","user.id":7,`: "bob", `"user":{"email":"x@y","id":9},`: "9", `"user":{"name":{}},"user_id":3,`: "3",
		`"user":{"name":"n"},"client_ip":"192.0.2.1",`: "n", `"user_id":{"a":1},"username":"n",`: "n",
	} {
		e := through(t, &decoding{}, "json", "", `{`+fields+`"message":"m","stack_trace":`+string(millrace.AppendJSONString(nil, plainTrace))+`}`)[0]
		if got := attrOf(&e, millrace.AttrUser); got != want {
			t.Errorf("%s is %q, want %q", fields, got, want)
		}
		if strings.Contains(fields, `"user":{`) && attrOf(&e, "user_fields") == "" {
			t.Errorf("%s is lost", fields)
		}
	}
	if e := through(t, &decoding{}, "json", "", `{"user":{"id":1},"message":"no exception"}`)[0]; attrOf(&e, millrace.AttrUser) != `{"id":1}` {
		t.Error(said(&e))
	}
}

// An export that is read again gives the same exceptions.
func TestReportComesBack(t *testing.T) {
	a := through(t, &decoding{exceptions: exceptions{version: 2}}, "text", "", plainTrace)[0]
	line := append([]byte(`{"kind":"exception","message":"m",`), millrace.AppendAttrs(nil, a.Attrs)[1:]...)
	b := through(t, &decoding{}, "json", "", string(line))[0] // by another version
	for _, key := range []string{millrace.AttrType, attrMessage, attrCause, millrace.AttrFingerprint, millrace.AttrReport} {
		if x, y := attrOf(&a, key), attrOf(&b, key); x != y || x == "" {
			t.Errorf("%s was %q, is %q", key, x, y)
		}
	}
	forged := through(t, &decoding{}, "json", "", `{"kind":"exception","type":"E","message":"m","exception_report":{"v":9}}`)[0]
	if r, err := exception.ParseReport([]byte(attrOf(&forged, millrace.AttrReport))); err != nil || r.Exception.Type != "E" {
		t.Error(err, said(&forged))
	}
}

// What is remembered of texts is what would be computed.
func TestMemo(t *testing.T) {
	texts := make([]string, 40)
	for i := range texts {
		texts[i] = fmt.Sprintf("a.OddException: number %d\n\tat a.B.m%d(B.java:%d)\n", i, i%7, i)
	}
	texts = append(texts, "TypeError\n    at f (/app/a.js:1:2)\n", "f@http://x/a.js:1:2\ng@http://x/a.js:2:3\n")
	d := &decoding{exceptions: exceptions{version: 2}}
	for i := range 2000 {
		text := string(millrace.AppendJSONString(nil, texts[i*11%len(texts)]))
		kind := []string{"log", "exception"}[i/3%2]
		extra := []string{"", `"type":"T","exception.message":"given",`, `"exception.escaped":true,`, `"exception.message":"given",`}[i/7%4]
		body := `{"kind":"` + kind + `","message":"m",` + extra + `"stack":` + text + `}`
		got, want := said(&through(t, d, "json", "", body)[0]), said(&through(t, &decoding{exceptions: exceptions{version: 2}}, "json", "", body)[0])
		if got != want {
			t.Fatalf("%s\ngives %s\n want %s", body, got, want)
		}
	}
	full := 0
	for _, r := range d.exceptions.memo.slots {
		if r != nil {
			full++
		}
	}
	if full < 25 {
		t.Errorf("only %d texts are remembered", full)
	}
}

// A flood of distinct texts does not fill memory.
func TestMemoIsBounded(t *testing.T) {
	var m memo
	k := known{report: strings.Repeat("r", 10<<10)}
	for i := range 3000 {
		text := fmt.Sprint(strings.Repeat("x", 50<<10), i)
		for range 2 {
			if _, h := m.get(2, text); m.size <= maxMemo {
				m.put(h, text, &k)
			}
		}
		if m.size > maxMemo || m.size < 0 {
			t.Fatalf("%d bytes", m.size)
		}
	}
	if got, _ := m.get(2, fmt.Sprint(strings.Repeat("x", 50<<10), 2999)); got == nil || got.report != k.report {
		t.Error("the last one is forgotten")
	}
	if got, _ := m.get(1, fmt.Sprint(strings.Repeat("x", 50<<10), 2999)); got != nil {
		t.Error("remembered for another version")
	}
}
