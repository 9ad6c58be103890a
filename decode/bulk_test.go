package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

var bulkSeeds = []string{
	`{"create":{"_index":"logs-shop-default"}}` + "\n" + `{"@timestamp":"2026-03-05T11:59:58.123Z","message":"order placed","log":{"level":"warn"},"_id":"x"}` + "\n" +
		`{"index":{"_index":"shop-2026.03.05","_id":"a\u0031","routing":"r","pipeline":"p","version":7}}` + "\r\n" + `{"message":"m"}`,
	`{"delete":{"_index":"a","_id":"1"}}` + "\n" + `{"update":{"_id":"1"}}` + "\n" + `{"doc":{}}` + "\n\n" + `{"index":{}}` + "\n" + `{"a":1}` + "\n",
	`{"index":{}}` + "\n" + `{"error":{"type":"java.io.IOException","stack_trace":"java.io.IOException: x\n\tat a.B.c(B.java:1)\n"}}`,
	`{"index":` + "\n" + `{"a":1}` + "\n" + `{"index":{}}` + "\n" + `{`, `{"index":{"_id":""}}` + "\n{}\n", "\xEF\xBB\xBF" + `{ "index" : { } , "x":1}`, "{}", "[]", "\n\n",
}

func init() { structuredSeeds["bulk"] = bulkSeeds }

func FuzzBulk(f *testing.F) {
	for _, body := range bulkSeeds {
		f.Add([]byte(body), []byte(nil))
		f.Add([]byte(body), []byte(`{"_index":"path","pipeline":"p","one_source":true}`))
		f.Add([]byte(body), []byte(`{"_index":"path","single":"create","_id":"7"}`))
	}
	f.Fuzz(func(t *testing.T, body, extra []byte) {
		checkStructured(t, "bulk", extra, body)
		var p Pieces
		if Split("bulk", extra, body, Limits{}, &p) != nil {
			return
		}
		// Each item is an event or refused, once; an ID can be found again.
		seen := map[int]bool{}
		for _, e := range p.Events {
			if seen[e.Index] || e.Index < 1 {
				t.Fatalf("item %d twice", e.Index)
			}
			seen[e.Index] = true
			if id := bulkID(e.Context, e.Item); id != e.ID {
				t.Fatalf("ID %x, and %x when read again", e.ID, id)
			}
			if a := ParseBulkAction(e.Context); a.Op != "index" && a.Op != "create" {
				t.Fatalf("an event by %q", a.Op)
			}
		}
		for _, r := range p.Refused {
			if seen[r.Index] || r.Reason == "" {
				t.Fatalf("item %d twice, or refused without a reason", r.Index)
			}
			seen[r.Index] = true
		}
		for i := range len(seen) {
			if !seen[i+1] {
				t.Fatalf("item %d of %d is missing", i+1, len(seen))
			}
		}
	})
}

func TestSourceOfIndex(t *testing.T) {
	for index, want := range map[string]string{
		"filebeat-8.15.0-2026.11.22-000001":               "filebeat-8.15.0",
		"filebeat-8.15.0":                                 "filebeat-8.15.0",
		".ds-logs-nginx.access-default-2026.11.22-000007": "logs-nginx.access-default",
		"partial-.ds-metrics-x-2026.11.22-000007":         "metrics-x",
		"logs-nginx.access-default":                       "logs-nginx.access-default",
		"logstash-2026.11.22":                             "logstash",
		"logstash-2026.11.22.13":                          "logstash",
		"logstash-2026.w47":                               "logstash",
		"logstash-2026-11-22":                             "logstash",
		"logstash-20261122":                               "logstash",
		"logstash-202611":                                 "logstash",
		"shop_2026_11":                                    "shop",
		"shop-2026":                                       "shop",
		"shop-000001":                                     "shop",
		"<logstash-{now/d}>":                              "logstash",
		"<logstash-{now/d{yyyy.MM.dd|+12:00}}-000001>":    "logstash",
		"2026.11.22":                                      "2026.11.22",
		"app-12":                                          "app-12",
		"app-8080":                                        "app-8080",
		"app-123456789":                                   "app-123456789",
		"v2.01":                                           "v2.01",
		"naïve index":                                     "na--ve-index",
		"-":                                               "-",
		strings.Repeat("a", 300):                          strings.Repeat("a", 128),
	} {
		if got := sourceOfIndex(index); got != want {
			t.Errorf("%s: got %q, want %q", index, got, want)
		}
	}
}

// describePieces renders what Split made of a body.
func describePieces(p *Pieces) string {
	var out []string
	for _, e := range p.Events {
		id := ""
		if e.ID != ([16]byte{}) {
			id = " id"
		}
		out = append(out, fmt.Sprintf("%d %s%s %s | %s", e.Index, e.Source, id, e.Context, e.Item))
	}
	for _, r := range p.Refused {
		out = append(out, fmt.Sprintf("%d refused %s: %s", r.Index, r.Reason, r.Detail))
	}
	return strings.Join(out, "\n")
}

func TestSplitBulk(t *testing.T) {
	f := func(extra, body, want string) {
		t.Helper()
		var p Pieces
		err := Split("bulk", []byte(extra), []byte(body), Limits{MaxEvent: 200}, &p)
		got := describePieces(&p)
		if err != nil {
			got = "error: " + millrace.ErrorMessage(err)
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
	const act, doc = `{"index":{"_index":"a-2026.01.02","_id":"7"}}`, `{"m":1}`
	f("", act+"\n"+doc+"\n", `1 a id `+act+` | `+doc)
	f("", act+"\r\n"+doc, `1 a id `+act+` | `+doc)
	f("", "\n \n"+act+"\n"+doc+"\n\n"+`{"create":{}}`+"\n"+doc, `1 a id `+act+` | `+doc+"\n"+`2  {"create":{}} | `+doc)
	f(`{"_index":"p","pipeline":"x"}`, `{"create":{}}`+"\n"+doc, `1 p {"_index":"p","pipeline":"x"}`+"\n"+`{"create":{}} | `+doc)
	f(`{"_index":"p"}`, act+"\n"+doc, `1 a id {"_index":"p"}`+"\n"+act+` | `+doc)
	f(`{"_index":"p","one_source":true}`, act+"\n"+doc, `1  id {"_index":"p"}`+"\n"+act+` | `+doc)
	f(`{"_index":"p-2026","single":"create","_id":"x\ny"}`, "\n{\n \"m\":1}\n", `1 p id {"create":{"_index":"p-2026","_id":"x\ny"}} | {`+"\n "+`"m":1}`)
	f(`{"_index":"p","single":"index"}`, "nothing", `1 refused bad_json: line 1: column 1: not a JSON object`)

	f("", "", "error: the body is empty; a _bulk body is lines of JSON, an action and its document")
	f("", "x\ny", `error: the body has no action that can be read: line 1: expected an action such as {"create":{}}; column 1: not a JSON object`)
	f(`{"_index":7}`, "", "error: what the request says about all items: json: cannot unmarshal number into Go struct field BulkExtra._index of type string")
	// What is wrong costs its own item only.
	good := `{"index":{}}` + "\n" + doc + "\n"
	bad := func(lines, want string) {
		t.Helper()
		f("", good+lines+"\n"+good, "1  "+`{"index":{}} | `+doc+"\n3  "+`{"index":{}} | `+doc+"\n2 refused "+want)
	}
	bad(`{"index":}`+"\n"+doc, `bulk_action: line 3: expected an action such as {"create":{}}; column 10: unexpected '}'`)
	bad(`{"make":{}}`+"\n"+doc, `bulk_action: line 3: unknown action "make"; known are index, create, update and delete`)
	bad(`{"index":1}`+"\n"+doc, `bulk_action: line 3: index: expected an object`)
	bad(`{"index":{},"create":{}}`+"\n"+doc, `bulk_action: line 3: the action has more than one name; expected one such as {"create":{}}`)
	bad(`{"index":{"_id":""}}`+"\n"+doc, `bulk_action: line 3: _id: must not be empty if it is given`)
	bad(`{"index":{"_id":"`+strings.Repeat("x", 513)+`"}}`+"\n"+doc, `bulk_action: line 3: _id: 513 bytes, the limit is 512`)
	bad(`{"index":{"if_seq_no":1}}`+"\n"+doc, `bulk_action: line 3: if_seq_no is not supported: events have no versions that could be compared`)
	bad(`{"index":{"colour":1}}`+"\n"+doc, `bulk_action: line 3: the action has an unknown parameter "colour"`)
	bad(`{"index":{"_index":["a"]}}`+"\n"+doc, `bulk_action: line 3: _index: expected a string`)
	bad("{\"index\":{\"_id\":\"\xff\"}}\n"+doc, `bulk_action: line 3: the action has invalid UTF-8 in column 18`)
	bad("{}\n"+doc, `bulk_action: line 3: the action is an empty object; expected one such as {"create":{}}`)
	bad(`{"delete":{"_id":"1"}}`, `bulk_update: delete is not supported: events are deleted by retention only`)
	bad(`{"update":{"_id":"1"}}`+"\n"+`{"doc":{}}`, `bulk_update: update is not supported: events are not changed once they are stored; use index or create`)
	bad(`{"index":{}}`+"\n"+`{"m":`, `bad_json: line 4: column 6: the JSON object ends too early`)
	bad(`{"index":{}}`+"\n"+`[1]`, `bad_json: line 4: column 1: not a JSON object`)
	bad(`{"index":{}}`+"\n", `bad_json: line 4: a blank line where a document is expected`)
	bad(`{"index":{}}`+"\n{\"a\":\"\xff\"}", `bad_utf8: line 4: invalid UTF-8 in column 7`)
	bad(`{"index":{}}`+"\n"+`{"a":"`+strings.Repeat("x", 200)+`"}`, `event_too_large: the document has 208 bytes, the limit is 200`)
	f("", good+`{"index":{}}`, "1  "+`{"index":{}} | `+doc+"\n"+`2 refused bulk_no_document: line 3: the body ends before the document of this action`)
}

// Actions that are the same have the same context, which is stored once.
func TestBulkSharesContexts(t *testing.T) {
	line := `{"create":{"_index":"logs-a"}}` + "\n" + `{"m":1}` + "\n"
	for _, extra := range []string{"", `{"_index":"b"}`} {
		var p Pieces
		if err := Split("bulk", []byte(extra), []byte(strings.Repeat(line, 5)), Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		for i := 1; i < 5; i++ {
			if !SameContext(&p.Events[0], &p.Events[i]) {
				t.Fatalf("item %d has another context", i+1)
			}
		}
	}
}

// An ID is of the index and the _id, however they are written, and of no more.
func TestBulkID(t *testing.T) {
	id := func(extra, action string) [16]byte {
		t.Helper()
		var p Pieces
		if err := Split("bulk", []byte(extra), []byte(action+"\n{}"), Limits{}, &p); err != nil || len(p.Events) != 1 {
			t.Fatal(action, err, p.Refused)
		}
		return p.Events[0].ID
	}
	want := id("", `{"create":{"_index":"a","_id":"1"}}`)
	for _, same := range [][2]string{
		{"", `{"index":{"_id":1,"_index":"a"}}`},
		{"", `{"index":{"_id":"\u0031","_index":"\u0061","routing":"x"}}`},
		{`{"_index":"a"}`, `{"create":{"_id":"1"}}`},
		{`{"_index":"b","one_source":true}`, `{"create":{"_index":"a","_id":"1"}}`},
		{`{"_index":"a","single":"index","_id":"1"}`, ``},
	} {
		if got := id(same[0], same[1]); got != want {
			t.Errorf("%s %s: another ID", same[0], same[1])
		}
	}
	for _, other := range []string{
		`{"create":{"_index":"a","_id":"2"}}`, `{"create":{"_index":"b","_id":"1"}}`, `{"create":{"_index":"a1","_id":"x"}}`, `{"create":{"_id":"1"}}`,
	} {
		if got := id("", other); got == want || got == ([16]byte{}) {
			t.Errorf("%s: ID %x", other, got)
		}
	}
	if id("", `{"create":{"_index":"a"}}`) != ([16]byte{}) {
		t.Error("an ID without _id")
	}
}

// decodeBulk splits and decodes a body whose items are all good.
func decodeBulk(t testing.TB, extra, body string) *millrace.Batch {
	t.Helper()
	b := &millrace.Batch{}
	b.Reset(splitRecord(t, "bulk", []byte(extra), []byte(body)))
	new(Decoder).Decode(b)
	checkBatch(t, b)
	return b
}

func TestDecodeBulk(t *testing.T) {
	f := func(extra, action, doc, want string) {
		t.Helper()
		b := decodeBulk(t, extra, action+"\n"+doc+"\n")
		if len(b.Events) != 1 {
			t.Fatalf("%s: %d events, %+v", doc, len(b.Events), b.Rejects)
		}
		if got := describeEvent(&b.Events[0], doc); got != want {
			t.Errorf("%s\n got %s\nwant %s", doc, got, want)
		}
	}
	f("", `{"index":{"_index":"src"}}`, `{"message":"m"}`, `log message=m`)
	f("", `{"index":{"_index":"src-2026.01.02","_id":"a\"b","routing":"r","pipeline":"p","version":3}}`, `{"message":"m","n":1}`,
		`log message=m`+"\n  n=1\n"+`  _index="src-2026.01.02"`+"\n"+`  _id="a\"b"`+"\n"+`  _routing="r"`+"\n"+`  _pipeline="p"`+"\n"+`  _version="3"`)
	f(`{"_index":"b","pipeline":"q"}`, `{"create":{}}`, `{"message":"m"}`, `log message=m`+"\n"+`  _index="b"`+"\n"+`  _pipeline="q"`)
	f("", `{"index":{"_index":"b"}}`, `{"message":"m","_index":"own"}`, `log message=m`+"\n"+`  _index="own"`)
	f("", `{"create":{}}`, `{"@timestamp":"2026-03-05T11:59:58.123Z","message":"m","log":{"level":"WARN"},"service":{"name":"s","version":"1.2","environment":"e"},"host":{"name":"h"},"trace":{"id":"t"}}`,
		`log time=2026-03-05T11:59:58.123Z service=s host=h env=e release=1.2 level=warn trace=t message=m`+"\n"+`  log={"level":"WARN"}`+"\n"+
			`  service={"name":"s","version":"1.2","environment":"e"}`+"\n"+`  host={"name":"h"}`+"\n"+`  trace={"id":"t"}`)
	f("", `{"create":{}}`, `{"message":"m","url":{"path":"/a","extension":"b"},"http":{"response":{"status_code":200}}}`, `access message=m`+"\n"+`  url_fields={"path":"/a","extension":"b"}`+"\n"+
		`  http={"response":{"status_code":200}}`+"\n"+`  url="/a"`+"\n"+`  status=200`)
	f("", `{"create":{}}`, `{"message":"m","agent":{"type":"filebeat"},"user_agent":{"original":"curl","name":"c"},"url":{"path":"/a"},"http":{"response":{"status_code":200}}}`,
		`access message=m`+"\n"+`  agent={"type":"filebeat"}`+"\n"+`  user_agent_fields={"original":"curl","name":"c"}`+"\n"+`  url_fields={"path":"/a"}`+"\n"+
			`  http={"response":{"status_code":200}}`+"\n"+`  url="/a"`+"\n"+`  status=200`+"\n"+`  user_agent="curl"`)
	f("", `{"create":{}}`, `{"message":"m","error.stack_trace":"java.lang.Error: x"}`, `log multiline message=m`+"\n"+`  error.stack_trace="java.lang.Error: x"`)
}

// TestBulkPayloads sends the documents that Beats' modules make of real logs, flat
// as they are in the files and nested as Beats send them, and looks for each of
// their fields.
func TestBulkPayloads(t *testing.T) {
	files, docs, fields := 0, 0, 0
	for _, folder := range []string{"app-logs", "access-logs"} {
		err := filepath.WalkDir(testdata.Shared(t, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "-expected.json") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var list []map[string]any
			if err := unmarshal(text, &list); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			files++
			for _, doc := range list {
				docs++
				fields += checkDocument(t, path, doc)
				fields += checkDocument(t, path, nest(doc))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d documents, %d fields", files, docs, fields)
	if files < 50 || fields < 5000 {
		t.Errorf("only %d files with %d fields", files, fields)
	}
}

// checkDocument decodes a document and returns how many fields it has.
func checkDocument(t *testing.T, path string, doc map[string]any) int {
	t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	b := decodeBulk(t, "", `{"create":{"_index":"filebeat-8.15.0"}}`+"\n"+string(text)+"\n")
	if len(b.Events) != 1 {
		t.Fatalf("%s: %d events of %s: %+v", path, len(b.Events), text, b.Rejects)
	}
	places := placesOf(t, &b.Events[0])
	n, whole := 0, b.Events[0].Message == string(text)
	walk("", doc, func(key, value string) {
		n++
		if whole && (strings.HasPrefix(key, "url.") || strings.HasPrefix(key, "user_agent.")) {
			return // objects that give way to the text in them, see json.go
		}
		if at, err := time.Parse(time.RFC3339Nano, value); err == nil && at.UnixNano() == b.Events[0].Time {
			return
		}
		if standard, _, _ := Level(value); key == "log.level" && standard == b.Events[0].Level {
			return
		}
		if value != "" && value != "-" && !places[key+"\x00"+value] && !places[value] {
			t.Errorf("%s: %s = %q is lost: %s", path, key, value, describeEvent(&b.Events[0], ""))
		}
	})
	return n
}

// placesOf returns the texts of all columns, and those of attributes with their
// names.
func placesOf(t *testing.T, e *millrace.Event) map[string]bool {
	t.Helper()
	places := map[string]bool{}
	for _, s := range []string{e.Service, e.Host, e.Env, e.Release, e.TraceID, e.Level, strings.ToUpper(e.Level), e.Message, e.Message + "\n"} {
		places[s] = true
	}
	var attrs map[string]any
	if err := unmarshal(millrace.AppendAttrs(nil, e.Attrs), &attrs); err != nil {
		t.Fatal(err)
	}
	walk("", attrs, func(key, value string) { places[strings.Replace(key, "_fields.", ".", 1)+"\x00"+value] = true })
	// What an access log's fields are called.
	for _, name := range []string{"method", "status", "bytes", "client_ip", "user_agent", "referer", "http_version", "remote_user", "url", millrace.AttrTimeOriginal, attrLevelOriginal} {
		if v := attr(e, name); v != "" {
			places[v], places[strings.ToUpper(v)], places[strings.Title(v)] = true, true, true //nolint:staticcheck // of ASCII
		}
	}
	if q := attr(e, "query"); q != "" {
		places[attr(e, "url")+"?"+q] = true
	}
	return places
}

// unmarshal keeps numbers as they are written.
func unmarshal(text []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(into)
}

// walk calls f for every leaf of a document with its dotted name.
func walk(name string, v any, f func(key, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, sub := range v {
			if name != "" {
				k = name + "." + k
			}
			walk(k, sub, f)
		}
	case []any:
		for i, sub := range v {
			walk(fmt.Sprintf("%s[%d]", name, i), sub, f)
		}
	case nil:
	case string:
		f(name, v)
	default:
		f(name, fmt.Sprint(v))
	}
}

// nest makes {"a":{"b":1}} of {"a.b":1}, as far as no name is both a field's and
// an object's.
func nest(flat map[string]any) map[string]any {
	out := map[string]any{}
next:
	for key, v := range flat {
		parts, at := strings.Split(key, "."), out
		for i := 1; i < len(parts); i++ {
			if _, is := flat[strings.Join(parts[:i], ".")]; is {
				out[key] = v
				continue next
			}
		}
		for _, p := range parts[:len(parts)-1] {
			if at[p] == nil {
				at[p] = map[string]any{}
			}
			at = at[p].(map[string]any)
		}
		at[parts[len(parts)-1]] = v
	}
	return out
}
