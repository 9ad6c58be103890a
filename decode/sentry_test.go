package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

func init() {
	structuredSeeds["sentry"] = []string{
		sentryEnvelope(`{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"https://mr_ingest_k@h/1","sdk":{"name":"a"},"trace":{"trace_id":"b","public_key":"mr_ingest_k"}}`,
			`{"type":"event"}`, sentrySample),
		sentryEnvelope(`{}`, `{"type":"log","item_count":2}`, `{"items":[{"timestamp":1.5e9,"level":"warn","body":"x","attributes":{"a":{"value":1,"type":"integer","unit":"s"}}},{"body":"y"}]}`),
		sentryEnvelope(`{"sdk":{}}`, `{"type":"session"}`, `{"sid":"1"}`, `{"type":"attachment"}`, "a\nb\n\xff", `{"type":"event"}`, `{"message":"m","tags":[["a","b"]]}`),
		"{}\n{\"type\":\"event\"}\n{\"message\":\"to the end of the line\"}\n\n{\"type\":\"event\",\"length\":2}\n{}",
		"{}\n{\"type\":\"event\",\"length\":5}\n{}", "{}\n{\"type\":\"event\",\"length\":1}\n{}\n", "{}\n{}\n", "{}\n[1]", "x",
	}
	structuredSeeds["sentry-event"] = []string{
		sentrySample, `{}`, `{"message":null,"exception":{"values":[null,{}]},"contexts":{"a":1,"trace":{"trace_id":7}},"tags":[["a"],1,null]}`,
		`{"exception":[{"type":"A","value":{"x":1},"stacktrace":{"frames":null}}],"user":1,"extra":[],"request":"x","sdk":null}`,
		`{"logentry":{"message":"%s {} {1} %(a)s {a}","params":["x",2]},"threads":{"values":[{"crashed":true,"stacktrace":{"frames":[{"instruction_addr":"0x10"}]}}]}}`,
		`{"message":{"message":"%(a)s","params":{"a":1}},"threads":[{"current":true,"stacktrace":{"frames":[{}]}}],"stacktrace":{"frames":[{}]},"debug_meta":{"images":[{"image_addr":"0x1","image_size":100,"debug_id":"A-B"}]}}`,
		`{"exception":{"values":[{"mechanism":{"exception_id":1,"parent_id":1}},{"mechanism":{"exception_id":0,"parent_id":1}}]}}`,
	}
}

const sentrySample = `{"event_id":"9ec79c33-ec99-42ab-8353-589fcb2e04dc","timestamp":1752575400.25,"platform":"python","level":"warning",` +
	`"environment":"prod","release":"shop@1.2","server_name":"web-1","exception":{"values":[{"type":"KeyError","value":"'id'","module":"builtins"},` +
	`{"type":"Lost","value":"no order","module":"shop.orders","mechanism":{"type":"generic","handled":false},"stacktrace":{"frames":[` +
	`{"module":"shop.app","function":"main","filename":"shop/app.py","abs_path":"/srv/shop/app.py","lineno":7,"in_app":true,"vars":{"x":"1"}},` +
	`{"module":"shop.orders","function":"find","filename":"shop/orders.py","lineno":42,"colno":3,"in_app":true},null]}}]},` +
	`"tags":{"a\tb":"c","n":1},"user":{"id":7,"geo":{"city":"Bei\u006aing"}},"request":{"url":"https:\/\/x\/y","method":"GET"},` +
	`"contexts":{"trace":{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"},"os":{"name":"Linux"}},` +
	`"breadcrumbs":{"values":[{"message":"one"}]},"fingerprint":["{{ default }}","x"],"extra":{"k":[1,2]},"type":"error","sdk":{"name":"sentry.python"}}`

// sentryEnvelope builds an envelope; items are headers and payloads in turn. The
// headers get the length.
func sentryEnvelope(head string, items ...string) string {
	out := head + "\n"
	for i := 0; i+1 < len(items); i += 2 {
		out += strings.TrimSuffix(items[i], "}") + fmt.Sprintf(`,"length":%d}`, len(items[i+1])) + "\n" + items[i+1] + "\n"
	}
	return out
}

// decodeOne decodes a body of one event.
func decodeOne(t testing.TB, format, body string) *millrace.Event {
	t.Helper()
	b := &millrace.Batch{}
	b.Reset(splitRecord(t, format, nil, []byte(body)))
	new(Decoder).Decode(b)
	if len(b.Events) != 1 || len(b.Rejects) != 0 {
		t.Fatalf("%d events, rejects %+v of %.300s", len(b.Events), b.Rejects, body)
	}
	return &b.Events[0]
}

func TestSentryEvent(t *testing.T) {
	e := decodeOne(t, "sentry-event", sentrySample)
	if want := time.Date(2025, 7, 15, 10, 30, 0, 250e6, time.UTC).UnixNano(); e.Time != want || !e.HasTime {
		t.Errorf("time %d, want %d", e.Time, want)
	}
	got := []string{e.Kind.String(), e.Level, e.Env, e.Release, e.Host, e.Service, e.TraceID, e.Message}
	want := []string{"exception", "warn", "prod", "shop@1.2", "web-1", "shop", "0af7651916cd43dd8448eb211c80319c", "shop.orders.Lost: no order"}
	if !slices.Equal(got, want) {
		t.Errorf("columns\n%q, want\n%q", got, want)
	}
	for key, value := range map[string]string{
		"event_id": "9ec79c33-ec99-42ab-8353-589fcb2e04dc", "platform": "python", "tags.a\tb": "c", "tags.n": "1", "user.id": "7",
		"user.geo": `{"city":"Bei\u006aing"}`, "request.url": "https://x/y", "request.method": "GET", "contexts.trace.span_id": "b7ad6b7169203331",
		"contexts.os.name": "Linux", "breadcrumbs": `{"values":[{"message":"one"}]}`, "sentry.fingerprint": `["{{ default }}","x"]`,
		"extra.k": "[1,2]", "sentry.type": "error", "sdk.name": "sentry.python",
	} {
		if v, ok := e.Attr(key); !ok || v.String() != value {
			t.Errorf("attribute %s is %q, want %q", key, v.String(), value)
		}
	}
	if _, ok := e.Attr("exception"); !ok || len(e.Attrs) != 16 {
		t.Errorf("%d attributes: %s", len(e.Attrs), millrace.AppendAttrs(nil, e.Attrs))
	}
	handled := false
	report := &millrace.Report{Language: "python", Mechanism: "generic", Handled: &handled, Exception: &millrace.Exception{
		Type: "shop.orders.Lost", Message: "no order", Frames: []millrace.Frame{
			{Module: "shop.orders", Function: "find", File: "shop/orders.py", Line: 42, Column: 3, InApp: true},
			{Module: "shop.app", Function: "main", File: "shop/app.py", Line: 7, InApp: true},
		}, Cause: &millrace.Exception{Type: "KeyError", Message: "'id'"},
	}}
	if !reflect.DeepEqual(e.Report, report) {
		t.Errorf("report\n%s, want\n%s", asJSON(e.Report), asJSON(report))
	}
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestSentryMessages(t *testing.T) {
	f := func(event, message, level string) {
		t.Helper()
		e := decodeOne(t, "sentry-event", event)
		if e.Kind != millrace.KindLog || e.Message != message || e.Level != level {
			t.Errorf("%s: %s %q, level %s, want log %q, level %s", event, e.Kind, e.Message, e.Level, message, level)
		}
	}
	f(`{"message":"plain","level":"info"}`, "plain", "info")
	f(`{"logentry":{"message":"a %s","params":["b"],"formatted":"a b"}}`, "a b", "error")
	f(`{"logentry":{"message":"a %s of %d, %s","params":["b",2]}}`, "a b of 2, %s", "error")
	f(`{"logentry":{"message":"a {} of {}, 100%","params":["b",2.50]}}`, "a b of 2.50, 100%", "error")
	f(`{"logentry":{"message":"{1} {0} {2}","params":["b",2]}}`, "2 b {2}", "error")
	f(`{"logentry":{"message":"%(x)s {y} %(z)s","params":{"x":"\u0041","y":true}}}`, "A true %(z)s", "error")
	f(`{"message":{"message":"m","params":null},"level":"fatal"}`, "m", "fatal")
	f(`{"logentry":"a string","level":"warning"}`, "a string", "warn")
	f(`{"platform":"java","level":"error"}`, "<unlabeled event>", "error")
	f(`{"message":"x","threads":{"values":[{"current":true,"stacktrace":{"frames":[{"function":"f"}]}}]}}`, "x", "error")
	// Nothing that is not the message is lost.
	e := decodeOne(t, "sentry-event", `{"logentry":"one","message":"two"}`)
	if v, _ := e.Attr("sentry.message"); v.String() != "two" {
		t.Errorf("the second message is lost: %s", millrace.AppendAttrs(nil, e.Attrs))
	}
}

func TestSentryService(t *testing.T) {
	f := func(event, given, want string) {
		t.Helper()
		r := splitRecord(t, "sentry-event", nil, []byte(event))
		r.Service = given
		b := &millrace.Batch{}
		b.Reset(r)
		new(Decoder).Decode(b)
		if got := b.Events[0].Service; got != want {
			t.Errorf("%s: service %q, want %q", event, got, want)
		}
	}
	f(`{}`, "", "src")
	f(`{}`, "given", "given")
	f(`{"release":"app@1"}`, "", "app")
	f(`{"release":"1.0"}`, "", "src")
	f(`{"release":"app@1"}`, "given", "given")
	f(`{"release":"app@1","contexts":{"app":{"app_name":"My App"}}}`, "", "My App")
	f(`{"tags":{"service_name":"c","service":"a","service.name":"b"}}`, "given", "a")
	f(`{"tags":[["service.name","b"]]}`, "", "b")
}

// Causes, groups, threads and images.
func TestSentryExceptions(t *testing.T) {
	f := func(event, want string) {
		t.Helper()
		e := decodeOne(t, "sentry-event", event)
		if got := asJSON(e.Report); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", event, got, want)
		}
	}
	f(`{"platform":"java","exception":[{"type":"A","module":"a.b","value":"1"},{"type":"B","module":"c","value":"2"}]}`,
		`{"language":"java","exception":{"type":"c.B","message":"2","cause":{"type":"a.b.A","message":"1"}}}`)
	f(`{"exception":{"type":"A","value":"1"}}`, `{"exception":{"type":"A","message":"1"}}`)
	f(`{"exception":{"values":[{"type":"T","mechanism":{"exception_id":2,"parent_id":0,"source":"exceptions[1]"}},`+
		`{"type":"V","mechanism":{"exception_id":1,"parent_id":0,"source":"exceptions[0]"}},{"type":"C","mechanism":{"exception_id":3,"parent_id":0,"source":"__cause__"}},`+
		`{"type":"G","mechanism":{"exception_id":0,"is_exception_group":true,"type":"excepthook"}}]}}`,
		`{"mechanism":"excepthook","exception":{"type":"G","cause":{"type":"C"},"members":[{"type":"V"},{"type":"T"}]}}`)
	f(`{"platform":"native","exception":{"values":[{"type":"SIGSEGV"}]},"threads":{"values":[{"current":true,"stacktrace":{"frames":[{"function":"no"}]}},`+
		`{"crashed":true,"stacktrace":{"frames":[{"instruction_addr":"0x10f0","package":"/usr/lib/libx.so"},{"instruction_addr":"0x2004"}]}}]},`+
		`"debug_meta":{"images":[{"image_addr":"0x2000","image_size":16,"debug_id":"AB-CD","code_file":"/bin/app"},{"image_addr":"0x1000","image_size":4096,"code_id":"ef01"}]}}`,
		`{"language":"native","exception":{"type":"SIGSEGV","frames":[{"module":"/bin/app","build":"abcd","address":8196,"offset":4,"in_app":false},`+
			`{"module":"/usr/lib/libx.so","build":"ef01","address":4336,"offset":240,"in_app":false}]},"threads":[{"frames":[{"function":"no","in_app":false}]},{"crashed":true}]}`)
	f(`{"threads":[{"crashed":true,"stacktrace":{"frames":[{"raw_function":"f"}]}}]}`, `{"exception":{"frames":[{"function":"f","in_app":false}]},"threads":[{"crashed":true}]}`)
	f(`{"exception":{"values":[{"type":"E"}]},"threads":{"values":[{"id":7,"name":"main","current":true,"state":"RUNNABLE","stacktrace":{"frames":[{"function":"a"},{"function":"b"}]}},`+
		`{"id":"8","stacktrace":{"frames":[{"function":"c"},{"function":"d"}]}},null,{"id":9}]}}`,
		`{"exception":{"type":"E","frames":[{"function":"b","in_app":false},{"function":"a","in_app":false}]},"threads":[{"id":"7","name":"main","state":"RUNNABLE"},`+
			`{"id":"8","frames":[{"function":"d","in_app":false},{"function":"c","in_app":false}]},{"id":"9"}]}`)
	f(`{"threads":[{"current":true,"stacktrace":{"frames":[{"raw_function":"f"}]}}]}`, `null`)
	f(`{"exception":{"values":[null]}}`, `null`)
}

func TestSentryEnvelope(t *testing.T) {
	f := func(body string, events, refused, skipped string) {
		t.Helper()
		var p Pieces
		if err := Split("sentry", nil, []byte(body), Limits{MaxEvent: 1000}, &p); err != nil {
			t.Fatal(err)
		}
		var got [3][]string
		for _, e := range p.Events {
			got[0] = append(got[0], string(e.Item))
		}
		for _, r := range p.Refused {
			got[1] = append(got[1], fmt.Sprintf("%d %s: %s", r.Index, r.Reason, r.Detail))
		}
		for _, s := range p.Skipped {
			got[2] = append(got[2], fmt.Sprintf("%s %d", s.Reason, s.Events))
		}
		for i, want := range []string{events, refused, skipped} {
			if text := strings.Join(got[i], "|"); text != want {
				t.Errorf("%.300s:\ngot  %s\nwant %s", body, text, want)
			}
		}
	}
	f(sentryEnvelope(`{}`, `{"type":"session"}`, "{}", `{"type":"event"}`, `{"a":1}`, `{"type":"session"}`, "{}", `{"type":"my"}`, "\xff"),
		`{"a":1}`, "", "sentry_session 2|sentry_other 1")
	f("{}\n{\"type\":\"event\"}\r\n{\"a\":1}\n\n{\"type\":\"event\"}\n{\"a\":2}", `{"a":1}|{"a":2}`, "", "")
	f("{}\n{\"type\":\"event\",\"length\":3}\n{\"a\":1}\n{\"type\":\"session\"}\n{}", `{"a":1}`, "", "sentry_session 1")
	f("{}\n{\"type\":\"event\",\"length\":3}\n{\"a\":1\n", "", "1 bad_envelope: item 1 does not end after 3 bytes, the length in its headers", "")
	f("{}\n{\"type\":\"attachment\",\"length\":3}\n{\"a\":1}\n", "", "1 bad_envelope: item 1 does not end after 3 bytes, the length in its headers", "")
	f("{}\n{\"type\":\"event\",\"length\":30}\n{\"a\":1\n", "", "1 bad_envelope: item 1 of 30 bytes is cut off after 7", "")
	f("{}\n{\"type\":\"event\",\"length\":-3}\n{\"a\":1}\n", "", "1 bad_envelope: the headers of item 1: length must be a number of bytes", "")
	f("{}\n{\"type\":\"event\"}\n{\"a\":1}\n{\"length\":1}\n1\n", `{"a":1}`, "2 bad_envelope: the headers of item 2: type is missing", "")
	f("{}\n{\"type\":\"event\"}\n{\"a\":}\n{\"type\":\"event\"}\n{\"a\":2}\n", `{"a":2}`, `1 bad_json: column 6: unexpected '}'`, "")
	f("{}\n{\"type\":\"event\"}\n{\"a\":\"\xff\"}\n", "", `1 bad_utf8: column 7: invalid UTF-8`, "")
	f(sentryEnvelope(`{}`, `{"type":"event"}`, `{"a":"`+strings.Repeat("x", 1000)+`"}`), "", "1 event_too_large: 1008 bytes, the limit is 1000", "")
	f(sentryEnvelope(`{}`, `{"type":"log"}`, `{"items":[{"body":"a"}, {"body":"b"},3]}`), `{"body":"a"}|{"body":"b"}`, `3 bad_json: column 1: not a JSON object`, "")
	f(sentryEnvelope(`{}`, `{"type":"log"}`, `{"body":"a"}`), "", `1 bad_envelope: item 1: a log item must be an object with items`, "")
	f("", "", "", "")
	f("{}", "", "", "")
	var p Pieces
	for body, want := range map[string]string{
		"x":      "line 1, the envelope's headers: column 1: not a JSON object",
		"{}{}\n": "line 1, the envelope's headers: column 3: unexpected '{', or nested deeper than 128",
		"\n{}\n": "line 1, the envelope's headers: column 1: the JSON object ends too early",
	} {
		if err := Split("sentry", nil, []byte(body), Limits{}, &p); millrace.ErrorCode(err) != millrace.ErrInvalid || millrace.ErrorMessage(err) != want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}

// Many items cost no more than few.
func TestSentryTooManyItems(t *testing.T) {
	var p Pieces
	if err := Split("sentry", nil, []byte(sentryEnvelope(`{}`, `{"type":"log"}`, `{"items":[`+strings.Repeat("{},", 2*maxSentryItems)+`{}]}`)), Limits{}, &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Events) != maxSentryItems || p.Skipped[0].Events != maxSentryItems+1 {
		t.Errorf("%d events, %+v skipped", len(p.Events), p.Skipped)
	}
	if err := Split("sentry", nil, []byte("{}\n"+strings.Repeat("{\"type\":\"session\"}\n{}\n", 2*maxSentryItems)), Limits{}, &p); err != nil {
		t.Fatal(err)
	}
	if p.Skipped[0].Events != maxSentryItems || p.Skipped[1].Reason != reasonTooMany {
		t.Errorf("%+v skipped", p.Skipped)
	}
}

// No key gets into what is stored, and the ID is the event's, or the envelope's.
func TestSentryHeaders(t *testing.T) {
	const head = `{"dsn":"https:\/\/mr_ingest_secret@h/1","d\u0073n":"mr_ingest_secret","event_id":"9ec79c33ec9942ab8353589fcb2e04dc","sdk":{"name":"s"},` +
		`"sent_at":"2025-01-01T00:00:00Z","trace":{"public_key":"mr_ingest_secret","public\u005fkey":"mr_ingest_secret","trace_id":"abc"}}`
	body := sentryEnvelope(head, `{"type":"event","x":1}`, `{"message":"a"}`, `{"type":"event"}`, `{"message":"b"}`, `{"type":"event"}`, `{"sdk":{"name":"s"},"event_id":"1ec79c33-ec99-42ab-8353-589fcb2e04dc"}`)
	var p Pieces
	if err := Split("sentry", nil, []byte(body), Limits{}, &p); err != nil {
		t.Fatal(err)
	}
	r := pieceRecord("sentry", &p)
	if bytes.Contains(r.Payload, []byte("secret")) {
		t.Errorf("the key is in the record: %s", r.Payload)
	}
	var ids []string
	for _, e := range p.Events {
		ids = append(ids, fmt.Sprintf("%x", e.ID))
	}
	if want := []string{"9ec79c33ec9942ab8353589fcb2e04dc", strings.Repeat("0", 32), "1ec79c33ec9942ab8353589fcb2e04dc"}; !slices.Equal(ids, want) {
		t.Errorf("IDs %q, want %q", ids, want)
	}
	seeded := map[[16]byte]bool{}
	IDs(r, func(id [16]byte) { seeded[id] = true })
	if !seeded[p.Events[0].ID] || !seeded[p.Events[2].ID] || len(seeded) != 2 {
		t.Errorf("IDs of the record: %v", seeded)
	}
	if dsn, id := SentryHeader([]byte(body)); dsn != "https://mr_ingest_secret@h/1" || id != "9ec79c33ec9942ab8353589fcb2e04dc" {
		t.Errorf("header %q %q", dsn, id)
	}
	b := &millrace.Batch{}
	b.Reset(r)
	new(Decoder).Decode(b)
	if got, want := string(millrace.AppendAttrs(nil, b.Events[0].Attrs)), `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","envelope.sdk":{"name":"s"},"envelope.sent_at":"2025-01-01T00:00:00Z","envelope.trace":{"trace_id":"abc"},"envelope.item":{"x":1}}`; b.Events[0].TraceID != "abc" || got != want {
		t.Errorf("trace %q, attributes\n%s, want\n%s", b.Events[0].TraceID, got, want)
	}
	if _, ok := b.Events[2].Attr("envelope.sdk"); ok {
		t.Error("the same sdk is stored twice")
	}
}

func TestSentryLogs(t *testing.T) {
	e := decodeOne(t, "sentry", sentryEnvelope(`{"sdk":{"name":"s"}}`, `{"type":"log"}`, `{"items":[{"timestamp":1544719860.5,"trace_id":"5b8efff798038103d269b633813fc60c","level":"warn","body":"User \u0041","severity_number":13,`+
		`"span_id":"b0e6f15b45c36b12","attributes":{"sentry.environment":{"value":"prod","type":"string"},"sentry.release":{"value":"1","type":"string"},"server.address":{"value":"h","type":"string"},`+
		`"service.name":{"value":"shop","type":"string"},"n":{"value":1.50,"type":"double","unit":"second"},"kind":{"value":"k"},"list":{"type":"array","value":["a"]},"odd":3}}]}`))
	got := []string{e.Kind.String(), e.Level, e.Env, e.Release, e.Host, e.Service, e.TraceID, e.Message, strconv.FormatInt(e.Time, 10)}
	want := []string{"log", "warn", "prod", "1", "h", "shop", "5b8efff798038103d269b633813fc60c", "User A", "1544719860500000000"}
	if !slices.Equal(got, want) {
		t.Errorf("columns\n%q, want\n%q", got, want)
	}
	if got, want := string(millrace.AppendAttrs(nil, e.Attrs)), `{"severity_number":13,"span_id":"b0e6f15b45c36b12","n":1.50,"n.unit":"second","sentry.kind":"k","list":["a"],"odd":3,"envelope.sdk":{"name":"s"}}`; got != want {
		t.Errorf("attributes\n%s, want\n%s", got, want)
	}
}

// Every leaf of every event in the shared data is found again, and its frames
// are those sent.
func TestSentryKeepsAll(t *testing.T) {
	root := testdata.Shared(t, "exceptions")
	events, leaves, frames := 0, 0, 0
	for _, dir := range []string{"sentry-events", "bugsink-events", "glitchtip-events", "sentry-cocoa-events", "sentry-java-protocol"} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, ok := readJSON(text)
			if !ok {
				continue // no object
			}
			e := decodeOne(t, "sentry-event", string(text))
			events++
			leaves += checkLeaves(t, file, e, in)
			frames += checkFrames(t, file, e, in)
		}
	}
	files, err := filepath.Glob(filepath.Join(root, "sentry-java-envelopes", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		checkEnvelopeFile(t, file)
	}
	t.Logf("%d events, %d leaves, %d frames", events, leaves, frames)
}

// readJSON keeps numbers as they are written.
func readJSON(text []byte) (object map[string]any, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return object, json.Valid(text) && dec.Decode(&object) == nil && object != nil
}

// checkLeaves walks an event as encoding/json reads it. A leaf may be in a column
// instead of its attribute if that is what the column is for.
func checkLeaves(t *testing.T, file string, e *millrace.Event, in map[string]any) (leaves int) {
	t.Helper()
	out, ok := readJSON(millrace.AppendAttrs(nil, e.Attrs))
	if !ok {
		t.Fatal("attributes are no JSON")
	}
	have := map[string]bool{}
	eachLeaf("", out, func(path, value string) { have[path+"="+value] = true })
	eachLeaf("", in, func(path, value string) {
		leaves++
		first, rest, _ := strings.Cut(path, ".")
		switch path {
		case "timestamp":
			if e.HasTime && sameTime(e, value) || have["time_original="+value] {
				return
			}
		case "level":
			if want, _, _ := Level(value); e.Level == want {
				return
			}
		case "environment":
			if e.Env == value {
				return
			}
		case "release":
			if e.Release == value {
				return
			}
		case "server_name":
			if e.Host == value {
				return
			}
		case "contexts.trace.trace_id":
			if e.TraceID == value {
				return
			}
		case "message", "logentry":
			if e.Message == value {
				return
			}
		}
		if !have[path+"="+value] && !have["sentry."+path+"="+value] {
			t.Errorf("%s: %s %s is lost (%s)", filepath.Base(file), path, value, first+rest)
		}
	})
	return leaves
}

func sameTime(e *millrace.Event, value string) bool {
	if want, ok := epochNumber([]byte(value)); ok {
		return e.Time == want
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if at, err := time.Parse(layout, value); err == nil {
			return e.Time == at.UnixNano()
		}
	}
	return false
}

// eachLeaf calls f with every scalar but null. Dots in names and nesting look the
// same, as they do in attributes.
func eachLeaf(path string, v any, f func(path, value string)) {
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for k, m := range v {
			eachLeaf(strings.TrimPrefix(path+"."+k, "."), m, f)
		}
	case []any:
		if pairs, ok := tagPairs(path, v); ok {
			eachLeaf(path, pairs, f)
			return
		}
		for i, m := range v {
			eachLeaf(path+"["+strconv.Itoa(i)+"]", m, f)
		}
	default:
		f(path, fmt.Sprint(v))
	}
}

func tagPairs(path string, list []any) (map[string]any, bool) {
	out := map[string]any{}
	for _, m := range list {
		pair, ok := m.([]any)
		if !ok || len(pair) != 2 || path != "tags" {
			return nil, false
		}
		out[fmt.Sprint(pair[0])] = pair[1]
	}
	return out, true
}

// checkFrames compares the frames of the exceptions, in order, with those sent.
func checkFrames(t *testing.T, file string, e *millrace.Event, in map[string]any) (frames int) {
	t.Helper()
	values, _ := in["exception"].([]any)
	if m, ok := in["exception"].(map[string]any); ok {
		values, _ = m["values"].([]any)
	}
	var want [][]string
	for _, v := range values {
		x, ok := v.(map[string]any)
		if !ok {
			continue
		}
		stack, _ := x["stacktrace"].(map[string]any)
		list, _ := stack["frames"].([]any)
		var one []string
		for _, f := range list {
			if m, ok := f.(map[string]any); ok {
				one = append(one, wantFrame(m))
			}
		}
		slices.Reverse(one)
		want = append(want, one)
	}
	if len(want) == 0 {
		return 0
	}
	if e.Kind != millrace.KindException || e.Report == nil {
		t.Errorf("%s: kind %s", file, e.Kind)
		return 0
	}
	got := map[string]int{}
	var walk func(x *millrace.Exception)
	walk = func(x *millrace.Exception) {
		var one []string
		for _, f := range x.Frames {
			one = append(one, fmt.Sprintf("%s|%s|%d|%d|%v", f.Function, f.File, f.Line, f.Column, f.InApp))
			frames++
		}
		got[strings.Join(one, "\n")]++
		for _, m := range slices.Concat([]*millrace.Exception{x.Cause}, x.Related, x.Members) {
			if m != nil {
				walk(m)
			}
		}
	}
	walk(e.Report.Exception)
	threads := false
	for _, one := range want {
		text := strings.Join(one, "\n")
		if len(one) == 0 && got[text] == 0 {
			threads = true // it has those of a thread
			continue
		}
		if got[text]--; got[text] < 0 {
			t.Errorf("%s: frames are not as sent:\n%s\nhave\n%v", file, text, got)
		}
	}
	if threads && in["threads"] == nil {
		t.Errorf("%s: frames from nowhere", file)
	}
	return frames
}

func wantFrame(m map[string]any) string {
	text := func(keys ...string) string {
		for _, k := range keys {
			if s, _ := m[k].(string); s != "" {
				return s
			}
		}
		return ""
	}
	number := func(key string) int {
		n, _ := m[key].(json.Number)
		i, _ := n.Int64()
		return max(int(i), 0)
	}
	return fmt.Sprintf("%s|%s|%d|%d|%v", text("function", "raw_function"), text("filename", "abs_path"), number("lineno"), number("colno"), m["in_app"] == true)
}

// checkEnvelopeFile: every item of an envelope is an event, refused, or counted.
func checkEnvelopeFile(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var p Pieces
	if err := Split("sentry", nil, text, Limits{}, &p); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	n := len(p.Events) + len(p.Refused)
	for _, s := range p.Skipped {
		n += int(s.Events)
	}
	if want := bytes.Count(text, []byte(`"type":"`)) - bytes.Count(text, []byte(`"type":"default"`)); n == 0 || n > want {
		t.Errorf("%s: %d items of %d", file, n, want)
	}
	if len(p.Refused) > 0 {
		t.Logf("%s: %+v", filepath.Base(file), p.Refused)
	}
}

func FuzzSentry(f *testing.F) {
	for _, s := range structuredSeeds["sentry"] {
		f.Add([]byte(s), false)
	}
	for _, s := range structuredSeeds["sentry-event"] {
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, body []byte, event bool) {
		if event {
			checkStructured(t, "sentry-event", nil, body)
			return
		}
		checkStructured(t, "sentry", nil, body)
		SentryHeader(body)
	})
}
