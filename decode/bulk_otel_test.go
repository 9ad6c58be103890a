package decode

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/millrace/millrace"
)

// What the Collector's elasticsearch exporter writes in each of its mapping modes,
// for the record that the first one tells (collector-contrib 0.149,
// otelserializer/logs.go, internal/encoder/log; "then" are older versions).
const (
	otelDocument = `{"@timestamp":"1772711998123.4567","observed_timestamp":"1772711999000.0","data_stream":{"type":"logs","dataset":"generic.otel","namespace":"default"},` +
		`"severity_text":"WARN","severity_number":13,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7",` +
		`"attributes":{"order":7,"ratio":1.0,"express":true,"empty":null,"list":[1,"a"],"map":{"a.b":"c"},"thread.name":"main"},"dropped_attributes_count":2,` +
		`"resource":{"schema_url":"https://opentelemetry.io/schemas/1.37.0","attributes":{"service.name":"checkout","service.version":"1.2.3","host.name":"web-07","deployment.environment.name":"prod","k8s.pod.name":"pod-1"}},` +
		`"scope":{"name":"shop","version":"0.1","attributes":{"a":"b"}},"body":{"text":"order 7 placed"}}`
	otelDocumentThen = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","attributes":{"express":true,"list":[1,"a"],"map":{"a.b":"c"},"order":7,"ratio":1.0,"thread.name":"main"},"body":{"text":"order 7 placed"},` +
		`"data_stream":{"dataset":"generic.otel","namespace":"default","type":"logs"},"dropped_attributes_count":2,"observed_timestamp":"2026-03-05T11:59:59.000000000Z",` +
		`"resource":{"attributes":{"deployment.environment.name":"prod","host.name":"web-07","k8s.pod.name":"pod-1","service.name":"checkout","service.version":"1.2.3"},"dropped_attributes_count":0,"schema_url":"https://opentelemetry.io/schemas/1.37.0"},` +
		`"scope":{"attributes":{"a":"b"},"dropped_attributes_count":0,"name":"shop","version":"0.1"},"severity_number":13,"severity_text":"WARN","span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}`
	otelDocumentNone = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","Attributes.order":7,"Attributes.thread.name":"main","Body":"order 7 placed","Resource.deployment.environment":"prod","Resource.host.name":"web-07","Resource.k8s.pod.name":"pod-1",` +
		`"Resource.service.name":"checkout","Resource.service.version":"1.2.3","Scope.name":"shop","Scope.version":"0.1","SeverityNumber":13,"SeverityText":"WARN","SpanId":"00f067aa0ba902b7","TraceFlags":1,"TraceId":"4bf92f3577b34da6a3ce929d0e0e4736"}`
	otelDocumentNoneThen = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","Attributes":{"order":7,"thread":{"name":"main"}},"Body":"order 7 placed","Resource":{"deployment":{"environment":"prod"},"host":{"name":"web-07"},` +
		`"service":{"name":"checkout","version":"1.2.3"}},"Scope":{"name":"shop","version":"0.1"},"SeverityNumber":13,"SeverityText":"WARN","SpanId":"00f067aa0ba902b7","TraceFlags":1,"TraceId":"4bf92f3577b34da6a3ce929d0e0e4736"}`
	otelDocumentRaw = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","Body":"order 7 placed","Resource.deployment.environment":"prod","Resource.host.name":"web-07","Resource.service.name":"checkout","Resource.service.version":"1.2.3",` +
		`"Scope.name":"shop","Scope.version":"0.1","SeverityNumber":13,"SeverityText":"WARN","SpanId":"00f067aa0ba902b7","TraceFlags":1,"TraceId":"4bf92f3577b34da6a3ce929d0e0e4736","order":7,"thread.name":"main"}`
	otelDocumentECS = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","agent":{"name":"otlp"},"data_stream":{"dataset":"generic","namespace":"default","type":"logs"},"event":{"severity":13},"host":{"hostname":"web-07","name":"web-07"},` +
		`"kubernetes":{"pod":{"name":"pod-1"}},"log":{"level":"WARN"},"message":"order 7 placed","order":7,"service":{"environment":"prod","name":"checkout","version":"1.2.3"},"span":{"id":"00f067aa0ba902b7"},"thread":{"name":"main"},"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"}}`
	otelDocumentBodyMap = `{"@timestamp":"2026-03-05T11:59:58.123004567Z","message":"order 7 placed","level":"warn","service.name":"checkout","service.version":"1.2.3","host.name":"web-07","env":"prod","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","order":7}`
)

func init() {
	for _, doc := range []string{otelDocument, otelDocumentThen, otelDocumentNone, otelDocumentNoneThen, otelDocumentRaw, otelDocumentECS} {
		structuredSeeds["bulk"] = append(structuredSeeds["bulk"], bulkOf(doc))
	}
	for _, doc := range otelOddDocuments {
		structuredSeeds["bulk"] = append(structuredSeeds["bulk"], bulkOf(doc))
	}
}

// otelOddDocuments have members of other types than their own.
var otelOddDocuments = []string{
	`{"observed_timestamp":"x","resource":{},"scope":{},"severity_text":5,"severity_number":"high","trace_id":7,"body":"text","attributes":[1],"@timestamp":true}`,
	`{"observed_timestamp":0,"resource":[],"scope":{"name":3,"version":null,"dropped_attributes_count":"2","attributes":"none","more":1},"body":{"text":"a","more":"b"}}`,
	`{"observed_timestamp":"0.0","@timestamp":"0.0","resource":{},"scope":{},"body":{"text":"127.0.0.1 - - [05/Mar/2026:11:59:58 +0000] \"GET /a HTTP/1.1\" 200 12"}}`,
	`{"observed_timestamp":"1.5","resource":{"a\u0031":2,"attributes":{"":1,"service.name":""}},"scope":{"attributes":{"service.name":"x"}},"body":{"structured":7}}`,
}

func bulkOf(doc string) string {
	return `{"create":{"_index":"logs-generic.otel-default"}}` + "\n" + doc + "\n"
}

func otelEvent(t *testing.T, format, body string) *millrace.Event {
	t.Helper()
	b := &millrace.Batch{}
	b.Reset(splitRecord(t, format, nil, []byte(body)))
	if new(Decoder).Decode(b); len(b.Events) != 1 || len(b.Rejects) > 0 {
		t.Fatalf("%d events, %+v", len(b.Events), b.Rejects)
	}
	return &b.Events[0]
}

// Every mode gives the columns, and every field is in a column or an attribute.
func TestOTelExporterModes(t *testing.T) {
	for mode, c := range map[string]struct{ doc, attrs string }{
		"otel": {otelDocument, `{"_index":"logs-generic.otel-default","observed_time_unix_nano":1772711999000000000,"data_stream":{"type":"logs","dataset":"generic.otel","namespace":"default"},"span_id":"00f067aa0ba902b7",
			"order":7,"ratio":1.0,"express":true,"list":[1,"a"],"map":{"a.b":"c"},"thread.name":"main","otel.dropped_attributes_count":2,"otel.resource.schema_url":"https://opentelemetry.io/schemas/1.37.0",
			"k8s.pod.name":"pod-1","otel.scope.name":"shop","otel.scope.version":"0.1","a":"b"}`},
		"otel, then": {otelDocumentThen, `{"_index":"logs-generic.otel-default","observed_time_unix_nano":1772711999000000000,"data_stream":{"type":"logs","dataset":"generic.otel","namespace":"default"},"span_id":"00f067aa0ba902b7",
			"order":7,"ratio":1.0,"express":true,"list":[1,"a"],"map":{"a.b":"c"},"thread.name":"main","otel.dropped_attributes_count":2,"otel.resource.schema_url":"https://opentelemetry.io/schemas/1.37.0",
			"k8s.pod.name":"pod-1","otel.scope.name":"shop","otel.scope.version":"0.1","a":"b"}`},
		"none": {otelDocumentNone, `{"_index":"logs-generic.otel-default","Attributes.order":7,"Attributes.thread.name":"main","Resource.k8s.pod.name":"pod-1","Scope.name":"shop","Scope.version":"0.1","SeverityNumber":13,"SpanId":"00f067aa0ba902b7","TraceFlags":1}`},
		"none, then": {otelDocumentNoneThen, `{"_index":"logs-generic.otel-default","Attributes":{"order":7,"thread":{"name":"main"}},"Resource":{"deployment":{"environment":"prod"},"host":{"name":"web-07"},"service":{"name":"checkout","version":"1.2.3"}},
			"Scope":{"name":"shop","version":"0.1"},"SeverityNumber":13,"SpanId":"00f067aa0ba902b7","TraceFlags":1}`},
		"raw": {otelDocumentRaw, `{"_index":"logs-generic.otel-default","Scope.name":"shop","Scope.version":"0.1","SeverityNumber":13,"SpanId":"00f067aa0ba902b7","TraceFlags":1,"order":7,"thread.name":"main"}`},
		"ecs": {otelDocumentECS, `{"_index":"logs-generic.otel-default","agent":{"name":"otlp"},"data_stream":{"dataset":"generic","namespace":"default","type":"logs"},"event":{"severity":13},"host":{"hostname":"web-07","name":"web-07"},
			"kubernetes":{"pod":{"name":"pod-1"}},"log":{"level":"WARN"},"order":7,"service":{"environment":"prod","name":"checkout","version":"1.2.3"},"span":{"id":"00f067aa0ba902b7"},"thread":{"name":"main"},"trace":{"id":"4bf92f3577b34da6a3ce929d0e0e4736"}}`},
		"bodymap": {otelDocumentBodyMap, `{"_index":"logs-generic.otel-default","order":7}`},
	} {
		e := otelEvent(t, "bulk", bulkOf(c.doc))
		const when = 1772711998123004567
		at := int64(when)
		if mode == "otel" {
			at = 1772711998123456700 // a fraction is one, as Elasticsearch reads it
		}
		if e.Message != "order 7 placed" || e.Level != "warn" || e.Service != "checkout" || e.Host != "web-07" || e.Env != "prod" || e.Release != "1.2.3" ||
			e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.Time != at || !e.HasTime || e.Kind != millrace.KindLog {
			t.Errorf("%s: %+v", mode, e)
		}
		if got, want := attrsOf(t, e), jsonMap(t, c.attrs); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", mode, got, want)
		}
	}
}

// A record gives the same event by the elasticsearch exporter as by otlphttp.
func TestOTelDocumentsAreRecords(t *testing.T) {
	const resource = `{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"checkout"}},{"key":"x","value":{"stringValue":"resource"}}]},"scopeLogs":[{"scope":{"name":"shop"},"logRecords":[`
	const shared = `"resource":{"attributes":{"service.name":"checkout","x":"resource"}},"scope":{"name":"shop"}`
	for name, c := range map[string]struct{ record, doc string }{
		"text":      {`{"timeUnixNano":"1772711998000000000","severityNumber":9,"body":{"stringValue":"a\nb"}}`, `{"@timestamp":"1772711998000.0","observed_timestamp":"0.0","severity_number":9,` + shared + `,"body":{"text":"a\nb"}}`},
		"map":       {`{"timeUnixNano":"1772711998000000000","body":{"kvlistValue":{"values":[{"key":"msg","value":{"stringValue":"m"}},{"key":"n","value":{"intValue":"3"}}]}}}`, `{"@timestamp":"1772711998000.0","observed_timestamp":"0.0",` + shared + `,"body":{"structured":{"msg":"m","n":3}}}`},
		"flattened": {`{"timeUnixNano":"1772711998000000000","body":{"kvlistValue":{"values":[{"key":"msg","value":{"stringValue":"m"}}]}}}`, `{"@timestamp":"1772711998000.0","observed_timestamp":"0.0",` + shared + `,"body":{"flattened":{"msg":"m"}}}`},
		"number":    {`{"timeUnixNano":"1772711998000000000","body":{"intValue":"5"}}`, `{"@timestamp":"1772711998000.0","observed_timestamp":"0.0",` + shared + `,"body":{"text":5}}`},
		"event":     {`{"timeUnixNano":"1772711998000000000","eventName":"placed","attributes":[{"key":"x","value":{"stringValue":"record"}}]}`, `{"@timestamp":"1772711998000.0","observed_timestamp":"0.0","event_name":"placed","attributes":{"x":"record"},` + shared + `}`},
		"line": {
			`{"observedTimeUnixNano":"1772711998000000000","body":{"stringValue":"127.0.0.1 - - [05/Mar/2026:11:59:58 +0000] \"GET /a HTTP/1.1\" 200 12"}}`,
			`{"@timestamp":"1772711998000.0","observed_timestamp":"1772711998000.0",` + shared + `,"body":{"text":"127.0.0.1 - - [05/Mar/2026:11:59:58 +0000] \"GET /a HTTP/1.1\" 200 12"}}`,
		},
		"access": {
			`{"timeUnixNano":"1772711998000000000","body":{"stringValue":"GET /a"},"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}},{"key":"url.path","value":{"stringValue":"/a"}},{"key":"http.response.status_code","value":{"intValue":"200"}}]}`,
			`{"@timestamp":"1772711998000.0","observed_timestamp":"0.0","attributes":{"http.request.method":"GET","url.path":"/a","http.response.status_code":200},` + shared + `,"body":{"text":"GET /a"}}`,
		},
		"exception": {
			`{"timeUnixNano":"1772711998000000000","severityNumber":17,"attributes":[{"key":"exception.type","value":{"stringValue":"java.io.IOException"}},{"key":"exception.message","value":{"stringValue":"closed"}},{"key":"exception.stacktrace","value":{"stringValue":"java.io.IOException: closed\n\tat a.B.c(B.java:1)"}}]}`,
			`{"@timestamp":"1772711998000.0","observed_timestamp":"0.0","severity_number":17,"attributes":{"exception.type":"java.io.IOException","exception.message":"closed","exception.stacktrace":"java.io.IOException: closed\n\tat a.B.c(B.java:1)"},` + shared + `}`,
		},
	} {
		want := otelEvent(t, "otlp-json", `{"resourceLogs":[`+resource+c.record+`]}]}]}`)
		got := otelEvent(t, "bulk", bulkOf(c.doc))
		attrs := attrsOf(t, got)
		delete(attrs, "_index")
		if wanted := attrsOf(t, want); !reflect.DeepEqual(attrs, wanted) {
			t.Errorf("%s:\n got %v\nwant %v", name, attrs, wanted)
		}
		got.Attrs, want.Attrs = nil, nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
}

// What is of another type than its own is an attribute, not lost.
func TestOTelOddDocuments(t *testing.T) {
	for i, want := range []string{
		`{"_index":"logs-generic.otel-default","observed_timestamp":"x","severity_text":5,"severity_number":"high","trace_id":7,"body":"text","attributes":[1],"@timestamp":true}`,
		`{"_index":"logs-generic.otel-default","resource":[],"scope.name":3,"scope.dropped_attributes_count":"2","scope.attributes":"none","scope.more":1,"body":{"text":"a","more":"b"}}`,
		`{"_index":"logs-generic.otel-default","http_version":"1.1","method":"GET","url":"/a","status":200,"bytes":12,"client_ip":"127.0.0.1"}`,
		`{"_index":"logs-generic.otel-default","resource.a1":2,"":1,"service.name":"","scope.service.name":"x","body":{"structured":7}}`,
	} {
		e := otelEvent(t, "bulk", bulkOf(otelOddDocuments[i]))
		got := attrsOf(t, e)
		if w := jsonMap(t, want); !reflect.DeepEqual(got, w) {
			t.Errorf("%d:\n got %v\nwant %v", i, got, w)
		}
	}
}

func jsonMap(t *testing.T, text string) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}
