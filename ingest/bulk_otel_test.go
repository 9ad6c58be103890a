package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// collectorBulk sends documents as the elasticsearch exporter of the OpenTelemetry
// Collector does (collector-contrib 0.149; go-docappender 2, bulk_indexer.go:
// newBulkIndexRequest and writeMeta), byte for byte but for the compressed form. The
// exporter itself is not at hand: its module is not to be had where this is built.
func (f *fixture) collectorBulk(t *testing.T, docs []string) *httptest.ResponseRecorder {
	t.Helper()
	var body strings.Builder
	for i, doc := range docs {
		meta := `{"create":{"_index":"logs-generic.otel-default"}}`
		if i == 1 { // elasticsearch.document_id and document_pipeline
			meta = `{"create":{"_id":"own","_index":"logs-generic.otel-default","pipeline":"p"}}`
		}
		body.WriteString(meta + "\n" + doc + "\n")
	}
	return f.es("POST", "/_bulk?filter_path=items.%2A._index%2Citems.%2A.status%2Citems.%2A.failure_store%2Citems.%2A.error.type%2Citems.%2A.error.reason&require_data_stream=true",
		string(gzipped(t, []byte(body.String()))), "User-Agent", "OpenTelemetry Collector Contrib/0.149.0 (linux/amd64)", "Authorization", "ApiKey mr_ingest_a",
		"Content-Type", "application/json", "Content-Encoding", "gzip", "X-Elastic-Event-Count", strconv.Itoa(len(docs)), "X-Elastic-Uncompressed-Request-Length", strconv.Itoa(body.Len()))
}

func collectorDocument(n int) string {
	return fmt.Sprintf(`{"@timestamp":"1772711998%03d.0","observed_timestamp":"1772711999000.0","data_stream":{"type":"logs","dataset":"generic.otel","namespace":"default"},`+
		`"severity_text":"WARN","severity_number":13,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7","attributes":{"order":%d},`+
		`"resource":{"attributes":{"service.name":"checkout","host.name":"web-07"}},"scope":{},"body":{"text":"order %d placed"}}`, n, n, n)
}

// TestCollectorElasticsearch: what the exporter reads of an answer is there, its
// documents become events with the fields of their records, and what it sends again
// after a 429, of an item or of the whole, is stored once.
func TestCollectorElasticsearch(t *testing.T) {
	f := setup(t)
	f.now = time.Unix(1772712000, 0)
	docs := make([]string, 5)
	for i := range docs {
		docs[i] = collectorDocument(i)
	}
	docs[3] = "{broken" // what it never does
	f.deps.Limits = throttle{}
	// As (*BulkIndexer).Flush: a whole 429 is sent again by the transport, items by it.
	statuses := map[int]int{}
	for attempt := range 4 {
		if attempt == 1 {
			f.deps.Limits, f.pressure = noLimits{}, millrace.Errorf(millrace.ErrThrottled, "full")
		}
		if attempt == 2 {
			f.pressure = nil
		}
		w := f.collectorBulk(t, docs)
		if attempt == 1 {
			want(t, w, http.StatusTooManyRequests, `"type":"es_rejected_execution_exception"`)
			continue
		}
		var reply struct {
			Items []map[string]struct {
				Index  string `json:"_index"`
				Status int    `json:"status"`
				Error  struct{ Type, Reason string }
			} `json:"items"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &reply); w.Code != 200 || err != nil || len(reply.Items) != len(docs) {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		var again []string
		for i, item := range reply.Items {
			r := item["create"]
			statuses[r.Status]++
			if r.Index != "logs-generic.otel-default" || (r.Status > 201) != (r.Error.Type != "") {
				t.Errorf("item %d: %+v", i, r)
			}
			if r.Status == http.StatusTooManyRequests {
				again = append(again, docs[i])
			}
		}
		if docs = again; len(docs) == 0 {
			break
		}
	}
	if fmt.Sprint(statuses) != "map[201:4 400:1 429:4]" {
		t.Errorf("statuses %v", statuses)
	}
	events := f.events(t)
	if len(events) != 4 {
		t.Fatalf("%d events", len(events))
	}
	for i, n := range []int{0, 1, 2, 4} {
		e := &events[i]
		order, _ := e.Attr("order")
		span, _ := e.Attr("span_id")
		if e.Source != "logs-generic.otel-default" || e.Message != fmt.Sprintf("order %d placed", n) || e.Level != "warn" || e.Service != "checkout" || e.Host != "web-07" ||
			e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.Time != (1772711998000+int64(n))*1e6 || order != millrace.IntValue(int64(n)) || span.String() != "00f067aa0ba902b7" {
			t.Errorf("%+v", e)
		}
	}
	if id, _ := events[1].Attr("_id"); id.String() != "own" {
		t.Errorf("%+v", events[1].Attrs)
	}
}

// Node discovery (discover.on_start) finds this server and nothing else.
func TestCollectorDiscovery(t *testing.T) {
	f := setup(t)
	w := f.es("GET", "/_nodes/http", "", "User-Agent", "OpenTelemetry Collector Contrib/0.149.0 (linux/amd64)")
	want(t, w, 200, `"nodes":{`, `"publish_address":"example.com"`)
	if w.Header().Get("X-Elastic-Product") != "Elasticsearch" {
		t.Error("the product is not named")
	}
}
