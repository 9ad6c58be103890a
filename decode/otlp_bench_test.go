package decode

import (
	"fmt"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace"
)

// otlpTypical has n records of ten attributes, in scopes of 100, as services
// with the SDKs send them through a collector.
func otlpTypical(n int) *logspb.LogsData {
	rl := &logspb.ResourceLogs{SchemaUrl: "https://opentelemetry.io/schemas/1.37.0", Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{
		kv("service.name", "checkout"), kv("service.version", "1.14.2"), kv("service.namespace", "shop"), kv("host.name", "web-07.eu-1.example.com"),
		kv("deployment.environment.name", "prod"), kv("k8s.pod.name", "checkout-5d9c7bd4c4-x2x7q"), kv("telemetry.sdk.language", "go"), kv("telemetry.sdk.version", "1.38.0"),
	}}}
	for i := range n {
		if i%100 == 0 {
			rl.ScopeLogs = append(rl.ScopeLogs, &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: fmt.Sprintf("github.com/example/shop/checkout%d", i/100)}})
		}
		sl := rl.ScopeLogs[len(rl.ScopeLogs)-1]
		at := uint64(arrivedTest) - uint64(i)*1e6
		sl.LogRecords = append(sl.LogRecords, &logspb.LogRecord{
			TimeUnixNano: at, ObservedTimeUnixNano: at, SeverityNumber: 9, SeverityText: "INFO", Body: str("order placed by customer, payment is pending"),
			TraceId: []byte("0123456789abcdef"), SpanId: []byte("01234567"), Flags: 1,
			Attributes: []*commonpb.KeyValue{
				kv("order.id", fmt.Sprintf("8812-%d", i)), kv("customer.tier", "gold"), num("order.items", int64(i%7)), num("thread.id", 41), kv("thread.name", "http-nio-8080-exec-3"),
				kv("code.function.name", "com.example.shop.OrderService.place"), num("code.line.number", 118), kv("code.file.path", "OrderService.java"),
				kv("url.template", "/api/v1/orders/{id}"),
				{Key: "order.express", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: true}}},
			},
		})
	}
	return &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{rl}}
}

// BenchmarkOTLP is Split and the decoding of each piece.
func BenchmarkOTLP(b *testing.B) {
	const n = 1000
	data := otlpTypical(n)
	for _, format := range []string{"otlp", "otlp-json"} {
		body, err := proto.Marshal(data)
		if format == "otlp-json" {
			body = otlpToJSON(b, data)
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Run(format, func(b *testing.B) {
			var p Pieces
			var d Decoder
			batch := &millrace.Batch{}
			record := splitRecord(b, format, nil, body)
			b.SetBytes(int64(len(body)) / n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				if err := Split(format, nil, body, Limits{}, &p); err != nil || len(p.Events) != n {
					b.Fatal(err, len(p.Events))
				}
				batch.Reset(record)
				d.Decode(batch)
				if len(batch.Events) != n {
					b.Fatal(len(batch.Events))
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// TestOTLPAllocations holds the budget: once all has grown, splitting and
// decoding allocate nothing.
func TestOTLPAllocations(t *testing.T) {
	data := otlpTypical(200)
	body, err := proto.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	for format, body := range map[string][]byte{"otlp": body, "otlp-json": otlpToJSON(t, data)} {
		var p Pieces
		var d Decoder
		batch := &millrace.Batch{}
		record := splitRecord(t, format, nil, body)
		run := func() {
			if err := Split(format, nil, body, Limits{}, &p); err != nil {
				t.Fatal(err)
			}
			batch.Reset(record)
			if d.Decode(batch); len(batch.Events) != 200 {
				t.Fatal(len(batch.Events))
			}
		}
		run()
		run()
		if n := testing.AllocsPerRun(20, run); n > 0 {
			t.Errorf("%s: %.1f allocations per body of 200 records", format, n)
		}
	}
}
