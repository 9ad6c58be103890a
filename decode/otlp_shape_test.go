package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/testdata"
)

func init() {
	for _, seed := range []uint64{3, 5, 8} {
		body, err := proto.Marshal(newOTLPGen(seed).request())
		if err != nil {
			panic(err)
		}
		structuredSeeds["otlp"] = append(structuredSeeds["otlp"], string(body))
	}
	structuredSeeds["otlp"] = append(structuredSeeds["otlp"],
		otlpField(1, otlpField(1, strings.Repeat(otlpField(1, otlpField(1, "a")+otlpField(2, "\x18\x01")), 60))+otlpField(2, strings.Repeat(otlpField(2, ""), 200))),
		otlpField(1, strings.Repeat(otlpField(2, otlpField(2, otlpField(5, otlpField(1, `{"msg":"x","a":1}`)))), 20)),
		otlpField(1, otlpField(2, otlpField(2, otlpField(5, deepOTLP(100))))))
	structuredSeeds["otlp-json"] = []string{
		`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"s"}}]},"scopeLogs":[{"scope":{"name":"n"},"logRecords":[` +
			`{"timeUnixNano":"1544712660300000000","severityNumber":10,"traceId":"5B8EFFF798038103D269B633813FC60C","body":{"stringValue":"x"},"attributes":[` +
			`{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},{"kvlistValue":{"values":[{"key":"k","value":{"doubleValue":"NaN"}}]}}]}}}]},{}]}]}]}`,
		`{"resource_logs":[{"scope_logs":[{"log_records":[{"body":"GET / HTTP/1.1","attributes":{"a":1},"severityNumber":"SEVERITY_NUMBER_WARN2","x":[1],"traceId":7}]}]}]}` + "\n{}",
		`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"\u0041\ud800"},"attributes":[{"key":"\u0061","value":{"bytesValue":"AA=="}},1,{}],"eventName":"e"}]}]}]}`,
		`{"resourceLogs":[null,{"scopeLogs":null},{"scopeLogs":[{"logRecords":[{"body":` + strings.Repeat(`{"arrayValue":{"values":[`, 40) + strings.Repeat("]}}", 40) + `}]}]}]}`,
	}
}

func FuzzOTLP(f *testing.F) {
	for _, name := range []string{"otlp", "otlp-json"} {
		for _, body := range structuredSeeds[name] {
			f.Add([]byte(body), name == "otlp")
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, protobuf bool) {
		if !protobuf {
			checkStructured(t, "otlp-json", nil, body)
			return
		}
		checkStructured(t, "otlp", nil, body)
		// What the generated code takes, and has records, is taken here, too.
		var data logspb.LogsData
		if proto.Unmarshal(body, &data) != nil || len(data.ProtoReflect().GetUnknown()) > 0 {
			return
		}
		var p Pieces
		if err := Split("otlp", nil, body, Limits{}, &p); err != nil {
			return // of another type, which the generated code takes for unknown
		}
		n := 0
		for _, rl := range data.ResourceLogs {
			for _, sl := range rl.ScopeLogs {
				n += len(sl.LogRecords)
			}
		}
		if got := len(p.Events) + len(p.Refused); got != n {
			t.Fatalf("%d records, want %d", got, n)
		}
	})
}

func kv(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: str(value)}
}

func str(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

func num(key string, n int64) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}}
}

// otlpEvent decodes one record from both encodings.
func otlpEvent(t *testing.T, resource []*commonpb.KeyValue, r *logspb.LogRecord) millrace.Event {
	t.Helper()
	data := &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{
		Resource:  &resourcepb.Resource{Attributes: resource},
		ScopeLogs: []*logspb.ScopeLogs{{LogRecords: []*logspb.LogRecord{r}}},
	}}}
	body, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	b := decodeOTLP(t, "otlp", body)
	compareOTLP(t, 0, b.Events, decodeOTLP(t, "otlp-json", otlpToJSON(t, data)).Events)
	return b.Events[0]
}

// Records of the kinds that are more than a log line.
func TestOTLPShapes(t *testing.T) {
	for name, c := range map[string]struct {
		resource []*commonpb.KeyValue
		record   *logspb.LogRecord
		want     string // columns and attributes
	}{
		"exception": {
			[]*commonpb.KeyValue{kv("service.name", "shop"), kv("service.version", "1.2"), kv("deployment.environment.name", "prod"), kv("host.name", "web-1")},
			&logspb.LogRecord{SeverityNumber: 17, SeverityText: "ERROR", Body: str("order failed"), Attributes: []*commonpb.KeyValue{
				kv("exception.type", "java.lang.IllegalStateException"), kv("exception.message", "no"), kv("exception.stacktrace", "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)"), kv("type", "mine"),
			}},
			`exception shop web-1 prod 1.2 error "order failed" multiline {"exception.message":"no","exception.stacktrace":"java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)","attributes.type":"mine","type":"java.lang.IllegalStateException"}`,
		},
		"access": {
			[]*commonpb.KeyValue{kv("service.name", "shop"), kv("url", "resource's")},
			&logspb.LogRecord{SeverityNumber: 9, Body: str("GET /cart"), Attributes: []*commonpb.KeyValue{
				kv("http.request.method", "GET"), kv("url.path", "/cart"), kv("url.query", "x=1"), num("http.response.status_code", 404), kv("client.address", "10.1.2.3"), kv("user_agent.original", "curl"),
			}},
			`access shop 10.9.8.7   info "GET /cart" {"method":"GET","url":"/cart","query":"x=1","status":404,"client_ip":"10.1.2.3","user_agent":"curl","resource.url":"resource's"}`,
		},
		"line of an access log": {
			[]*commonpb.KeyValue{kv("host.name", "web-1")},
			&logspb.LogRecord{ObservedTimeUnixNano: uint64(arrivedTest), Body: str(samples["nginx"]), Attributes: []*commonpb.KeyValue{kv("log.file.name", "access.log"), kv("status", "x")}},
			`access src web-1    "203.0.113.195 - - [05/Mar/2026:11:59:58 +0000] \"GET /api/v1/products/1234/reviews?page=2 HTTP/1.1\" 200 18234 \"https://shop.example.com/products\" \"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0\" 0.042 0.039"` +
				` {"client_ip":"203.0.113.195","method":"GET","url":"/api/v1/products/1234/reviews","query":"page=2","http_version":"1.1","status":200,"bytes":18234,"referer":"https://shop.example.com/products","user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0","rt":0.042,"rt_backend":0.039,"log.file.name":"access.log","attributes.status":"x","observed_time_unix_nano":` + fmt.Sprint(arrivedTest) + `}`,
		},
		"line of JSON": {
			[]*commonpb.KeyValue{kv("service.name", "resource"), kv("a", "resource")},
			&logspb.LogRecord{ObservedTimeUnixNano: uint64(arrivedTest), Body: str(`{"msg":"hello","level":"warn","service":"line","a":1}` + "\n")},
			`log line 10.9.8.7   warn "hello" {"a":1,"service.name":"resource","resource.a":"resource"}`,
		},
		"text": {
			nil,
			&logspb.LogRecord{Body: str("2026-03-05 11:59:58,123 ERROR [main] shop - failed"), SeverityNumber: 9},
			`log src 10.9.8.7   info "2026-03-05 11:59:58,123 ERROR [main] shop - failed" {}`,
		},
		"map": {
			nil,
			&logspb.LogRecord{Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{kv("event", "e"), kv("MESSAGE", "journal"), num("n", 3)}}}}},
			`log src 10.9.8.7    "journal" {"body":{"event":"e","MESSAGE":"journal","n":3}}`,
		},
		"list": {
			nil,
			&logspb.LogRecord{Body: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str("a"), {}}}}}, Attributes: []*commonpb.KeyValue{kv("body", "attribute")}},
			`log src 10.9.8.7    "[\"a\",null]" {"body":["a",null],"attributes.body":"attribute"}`,
		},
		"columns of the record": {
			[]*commonpb.KeyValue{kv("deployment.environment", "old"), kv("deployment.environment.name", "new")},
			&logspb.LogRecord{Body: str("x"), SeverityNumber: 1, TraceId: make([]byte, 16), Attributes: []*commonpb.KeyValue{kv("service.name", "mine"), kv("deployment.environment", "mine")}},
			`log mine 10.9.8.7 new  trace "x" {"deployment.environment":"mine","resource.deployment.environment":"old"}`,
		},
		"only a text for the level": {nil, &logspb.LogRecord{Body: str("x"), SeverityText: "Notice"}, `log src 10.9.8.7   info "x" {"level_original":"notice"}`},
	} {
		e := otlpEvent(t, c.resource, c.record)
		got := fmt.Sprintf("%s %s %s %s %s %s %s", e.Kind, e.Service, e.Host, e.Env, e.Release, e.Level, millrace.AppendJSONString(nil, e.Message))
		if e.MultiLine {
			got += " multiline"
		}
		if got += " " + string(millrace.AppendAttrs(nil, e.Attrs)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

// What JSON allows beside protobuf's mapping, and what clients get wrong.
func TestOTLPJSONForms(t *testing.T) {
	record := `{"time_unix_nano":1544712660300000000,"severity_number":"SEVERITY_NUMBER_WARN2","body":"plain","traceId":"W47/95gDgQPSabYzgTx8DA==","spanId":"7uGbfsPBsXQ=",` +
		`"attributes":[{"key":"a","value":5},{"key":"b","value":{"intValue":"6"}},{"key":"n","value":null},{"key":"o","value":{"x":{"y":1}}}],"flags":"1","vendor":{"k":[1]},"eventName":7,"droppedAttributesCount":null}`
	b := decodeOTLP(t, "otlp-json", []byte(`{"resource_logs":[{"scope_logs":[{"log_records":[`+record+`]}]}]}{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}`))
	e := &b.Events[0]
	if e.Time != 1544712660300000000 || e.Level != "warn" || e.Message != "plain" || e.TraceID != "5b8efff798038103d269b633813c7c0c" {
		t.Errorf("%+v", e)
	}
	want := `{"a":5,"b":6,"o":{"x":{"y":1}},"vendor":{"k":[1]},"eventName":7,"severity_number":14,"span_id":"eee19b7ec3c1b174","trace_flags":1}`
	if got := string(millrace.AppendAttrs(nil, e.Attrs)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(b.Events) != 2 || b.Events[1].Message != "{}" {
		t.Errorf("the second object: %+v", b.Events)
	}
}

// The examples of the specification and of real clients: every leaf is found.
func TestOTLPSharedData(t *testing.T) {
	root := testdata.Shared(t, "otlp")
	records := 0
	for _, name := range []string{"opentelemetry-proto/logs.json", "opentelemetry-rust/logs.json", "essential-opentelemetry/collector-example_1.json", "lnav/logfile_otel_collector.jsonl"} {
		body, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		b := decodeOTLP(t, "otlp-json", body)
		i := 0
		for dec := json.NewDecoder(strings.NewReader(string(body))); dec.More(); {
			var tree map[string]any
			if err := dec.Decode(&tree); err != nil {
				t.Fatal(err)
			}
			for _, rl := range list(tree["resourceLogs"]) {
				for _, sl := range list(rl["scopeLogs"]) {
					for _, r := range list(sl["logRecords"]) {
						e := &b.Events[i]
						i++
						findLeaves(t, name, e, attrsOf(t, e), rl["resource"])
						findLeaves(t, name, e, attrsOf(t, e), sl["scope"])
						findLeaves(t, name, e, attrsOf(t, e), r)
					}
				}
			}
		}
		if i == 0 || i != len(b.Events) {
			t.Errorf("%s: %d events, want %d", name, len(b.Events), i)
		}
		records += i
	}
	t.Logf("%d records", records)
}

func list(v any) (out []map[string]any) {
	items, _ := v.([]any)
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// findLeaves looks for every attribute, by key and value, and for every other
// member, by value.
func findLeaves(t *testing.T, file string, e *millrace.Event, attrs map[string]any, v any) {
	t.Helper()
	m, _ := v.(map[string]any)
	columns := []string{e.Service, e.Host, e.Env, e.Release, e.Level, e.TraceID, e.Message, fmt.Sprint(e.Time)}
	for name, x := range m {
		if name == "attributes" {
			for _, a := range list(x) {
				key := a["key"].(string)
				want := anyValueJSON(a["value"])
				column := otlpColumns[key] != "" && strings.Contains(strings.Join(columns, "\n"), fmt.Sprint(want))
				if key == "exception.type" {
					key = "type"
				}
				if !column && !reflect.DeepEqual(attrs[key], want) {
					t.Errorf("%s: %s is %#v, want %#v", file, key, attrs[key], want)
				}
			}
			continue
		}
		text := fmt.Sprint(anyValueJSON(x))
		if name == "severityNumber" || text == "" || text == "0" || strings.Trim(text, "0") == "" {
			continue
		}
		found := false
		for _, c := range columns {
			found = found || strings.EqualFold(c, text)
		}
		for _, a := range attrs {
			if f, ok := a.(float64); ok {
				n, err := strconv.ParseFloat(text, 64)
				found = found || err == nil && n == f
			}
			found = found || strings.EqualFold(fmt.Sprint(a), text)
		}
		if _, _, known := Level(text); !found && (name != "severityText" || !known) {
			t.Errorf("%s: %s %s is not in %+v", file, name, text, e)
		}
	}
}

// anyValueJSON is the plain value of an AnyValue; other values are themselves.
func anyValueJSON(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	for name, x := range m {
		switch name {
		case "stringValue", "boolValue", "doubleValue", "bytesValue":
			return x
		case "intValue":
			var f float64
			if _, err := fmt.Sscan(fmt.Sprint(x), &f); err != nil {
				return err
			}
			return f
		case "arrayValue":
			values := []any{}
			for _, e := range list(x.(map[string]any)["values"]) {
				values = append(values, anyValueJSON(e))
			}
			return values
		case "kvlistValue":
			values := map[string]any{}
			for _, e := range list(x.(map[string]any)["values"]) {
				values[e["key"].(string)] = anyValueJSON(e["value"])
			}
			return values
		}
	}
	return nil
}

// What quickRecord takes, otlpCheck takes: it only saves time.
func FuzzOTLPQuick(f *testing.F) {
	body, err := proto.Marshal(otlpTypical(1))
	if err != nil {
		f.Fatal(err)
	}
	var p Pieces
	if err := Split("otlp", nil, body, Limits{}, &p); err != nil {
		f.Fatal(err)
	}
	record := p.Events[0].Item
	if !quickRecord(record) {
		f.Fatal("the typical record is not quick")
	}
	f.Add(record)
	for i := range record { // each byte damaged, and each cut
		f.Add(append(append(bytes.Clone(record[:i]), record[i]^0x80), record[i+1:]...))
		f.Add(append(append(bytes.Clone(record[:i]), record[i]^0x07), record[i+1:]...))
		f.Add(bytes.Clone(record[:i]))
	}
	f.Add([]byte("2\x0a\x0a\x01a\x12\x05\x18\xff\xff\xff\x7f")) // an int of several bytes
	f.Add([]byte("2\x09\x0a\x01\xc3\x12\x04\x0a\x02\xa9a"))
	f.Add([]byte("*\x05\x0a\x03a\xc3\xa9\x1a\x02\xc3\xa9"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := otlpCheck{whole: b}
		if c.record(b); quickRecord(b) && c.reason != "" {
			t.Fatalf("%q was taken: %s", b, c.describe())
		}
	})
}
