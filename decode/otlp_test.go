package decode

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/millrace/millrace"
)

// otlpGen makes random requests with the generated code of OpenTelemetry.
type otlpGen struct {
	rng  *rand.Rand
	text func() string
}

func newOTLPGen(seed uint64) *otlpGen {
	g := &otlpGen{rng: rand.New(rand.NewPCG(seed, 77))}
	words := []string{"a", "order placed", "ünïcödé ☃", "two\nlines", `"quoted" \ text`, "tab\there", "", strings.Repeat("long ", 60), "{\"x\":1}", "\x00\x1f"}
	g.text = func() string { return words[g.rng.IntN(len(words))] }
	return g
}

// otlpTestKeys clash between resource, scope, record and the decoder's own.
var otlpTestKeys = []string{
	"service.name", "service.version", "host.name", "deployment.environment", "deployment.environment.name",
	"a", "b", "k8s.pod.name", "thread.id", "code.function.name", "span_id", "body", "event_name", "type", "message", "time", "level",
	"resource.a", "scope.a", "otel.scope.name", "exception.message", "exception.type", "weight", "kind", "",
	"a.key.that.is.longer.than.the.cache.of.keys.takes.it",
}

func (g *otlpGen) value(depth int) *commonpb.AnyValue {
	switch g.rng.IntN(9) {
	case 0:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: g.rng.IntN(2) == 0}}
	case 1:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: int64(g.rng.Uint64() >> g.rng.IntN(64))}}
	case 2:
		f := []float64{0, 1.5, -2.25e-8, 1e300, math.NaN(), math.Inf(1), 12345678.9}[g.rng.IntN(7)]
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
	case 3:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: randomBytes(g.rng, g.rng.IntN(20))}}
	case 4:
		if depth < 3 {
			list := &commonpb.ArrayValue{}
			for range g.rng.IntN(4) {
				list.Values = append(list.Values, g.value(depth+1))
			}
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
		}
	case 5:
		if depth < 3 {
			list := &commonpb.KeyValueList{Values: g.attrs(4, depth+1)}
			return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: list}}
		}
	case 6:
		if depth > 0 {
			return &commonpb.AnyValue{}
		}
	}
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: g.text()}}
}

func (g *otlpGen) attrs(most, depth int) []*commonpb.KeyValue {
	var out []*commonpb.KeyValue
	seen := map[string]bool{}
	for range g.rng.IntN(most + 1) {
		key := otlpTestKeys[g.rng.IntN(len(otlpTestKeys))]
		if g.rng.IntN(8) == 0 {
			key = fmt.Sprintf("key%d", g.rng.IntN(500))
		}
		if !seen[key] {
			seen[key] = true
			out = append(out, &commonpb.KeyValue{Key: key, Value: g.value(depth)})
		}
	}
	return out
}

func (g *otlpGen) record() *logspb.LogRecord {
	r := &logspb.LogRecord{Attributes: g.attrs(12, 0)}
	if g.rng.IntN(20) == 0 {
		r.Attributes = append(r.Attributes, g.attrs(200, 0)...)
		seen := map[string]bool{}
		kept := r.Attributes[:0]
		for _, a := range r.Attributes {
			if !seen[a.Key] {
				seen[a.Key] = true
				kept = append(kept, a)
			}
		}
		r.Attributes = kept
	}
	r.SeverityNumber = logspb.SeverityNumber(1 + g.rng.IntN(24)) // without one the body may be a line
	if g.rng.IntN(2) == 0 {
		r.SeverityText = []string{"INFO", "Information", "Warning", "notice", "Critical", "odd"}[g.rng.IntN(6)]
	}
	if g.rng.IntN(4) > 0 {
		r.TimeUnixNano = uint64(arrivedTest) - g.rng.Uint64N(1e15)
	}
	if g.rng.IntN(2) == 0 {
		r.ObservedTimeUnixNano = uint64(arrivedTest) - g.rng.Uint64N(1e9)
	}
	if g.rng.IntN(8) > 0 {
		r.Body = g.value(0)
	}
	if g.rng.IntN(2) == 0 {
		r.TraceId, r.SpanId, r.Flags = randomBytes(g.rng, 16), randomBytes(g.rng, 8), g.rng.Uint32()
	}
	if g.rng.IntN(4) == 0 {
		r.EventName, r.DroppedAttributesCount = "session.start", g.rng.Uint32N(5)
	}
	return r
}

func (g *otlpGen) request() *logspb.LogsData {
	data := &logspb.LogsData{}
	for range 1 + g.rng.IntN(3) {
		rl := &logspb.ResourceLogs{SchemaUrl: g.url()}
		if g.rng.IntN(8) > 0 {
			rl.Resource = &resourcepb.Resource{Attributes: g.attrs(8, 0), DroppedAttributesCount: g.rng.Uint32N(3)}
		}
		for range g.rng.IntN(4) {
			sl := &logspb.ScopeLogs{SchemaUrl: g.url()}
			if g.rng.IntN(4) > 0 {
				sl.Scope = &commonpb.InstrumentationScope{Name: g.text(), Version: "1.2", Attributes: g.attrs(4, 0), DroppedAttributesCount: g.rng.Uint32N(3)}
			}
			for range g.rng.IntN(6) {
				sl.LogRecords = append(sl.LogRecords, g.record())
			}
			rl.ScopeLogs = append(rl.ScopeLogs, sl)
		}
		data.ResourceLogs = append(data.ResourceLogs, rl)
	}
	return data
}

func (g *otlpGen) url() string {
	if g.rng.IntN(2) == 0 {
		return ""
	}
	return "https://opentelemetry.io/schemas/1.37.0"
}

// plainOTLP is a value as encoding/json would have it.
func plainOTLP(v *commonpb.AnyValue) any {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return x.BoolValue
	case *commonpb.AnyValue_IntValue:
		return float64(x.IntValue)
	case *commonpb.AnyValue_DoubleValue:
		if f := x.DoubleValue; math.IsNaN(f) || math.IsInf(f, 0) {
			return millrace.FloatValue(f).String()
		}
		return x.DoubleValue
	case *commonpb.AnyValue_BytesValue:
		return base64.StdEncoding.EncodeToString(x.BytesValue)
	case *commonpb.AnyValue_ArrayValue:
		list := []any{}
		for _, e := range x.ArrayValue.GetValues() {
			list = append(list, plainOTLP(e))
		}
		return list
	case *commonpb.AnyValue_KvlistValue:
		m := map[string]any{}
		for _, e := range x.KvlistValue.GetValues() {
			m[e.GetKey()] = plainOTLP(e.GetValue())
		}
		return m
	}
	return nil
}

// attrsOf returns an event's attributes as encoding/json reads them.
func attrsOf(t *testing.T, e *millrace.Event) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := json.Unmarshal(millrace.AppendAttrs(nil, e.Attrs), &m); err != nil {
		t.Fatal(err)
	}
	if len(m) != len(e.Attrs) {
		t.Fatalf("keys come twice: %+v", e.Attrs)
	}
	return m
}

// otlpWant fails the test unless a value is in one of the attributes or columns.
func otlpWant(t *testing.T, e *millrace.Event, attrs map[string]any, what string, want any, names ...string) {
	t.Helper()
	if want == nil {
		return // absent
	}
	for _, name := range names {
		if column, ok := strings.CutPrefix(name, "column "); ok {
			if v, _ := e.Field(column); v.String() == want {
				return
			}
		} else if reflect.DeepEqual(attrs[name], want) {
			return
		}
	}
	t.Fatalf("%s %#v is in none of %q: %+v", what, want, names, e)
}

var otlpColumns = map[string]string{
	"service.name": "service", "host.name": "host", "service.version": "release",
	"deployment.environment": "env", "deployment.environment.name": "env",
}

func checkOTLPAttrs(t *testing.T, e *millrace.Event, attrs map[string]any, prefix string, list []*commonpb.KeyValue) {
	t.Helper()
	for _, a := range list {
		names := []string{a.Key, prefix + a.Key, prefix + prefix + a.Key, prefix + prefix + prefix + a.Key}
		if c := otlpColumns[a.Key]; c != "" && prefix != "scope." {
			names = append(names, "column "+c)
		}
		if a.Key == "exception.type" && prefix == "attributes." {
			names = append(names, "type")
		}
		otlpWant(t, e, attrs, prefix+a.Key, plainOTLP(a.Value), names...)
	}
}

// checkOTLPEvent walks everything that a record, its scope and resource say.
func checkOTLPEvent(t *testing.T, e *millrace.Event, rl *logspb.ResourceLogs, sl *logspb.ScopeLogs, r *logspb.LogRecord) {
	t.Helper()
	attrs := attrsOf(t, e)
	checkOTLPAttrs(t, e, attrs, "attributes.", r.Attributes)
	checkOTLPAttrs(t, e, attrs, "scope.", sl.GetScope().GetAttributes())
	checkOTLPAttrs(t, e, attrs, "resource.", rl.GetResource().GetAttributes())
	own := func(name string, want any, zero any) {
		if want != zero {
			otlpWant(t, e, attrs, name, want, name, "otlp."+name)
		}
	}
	own("otel.scope.name", sl.GetScope().GetName(), "")
	own("otel.scope.version", sl.GetScope().GetVersion(), "")
	own("otel.resource.schema_url", rl.SchemaUrl, "")
	own("otel.scope.schema_url", sl.SchemaUrl, "")
	own("otel.resource.dropped_attributes_count", float64(rl.GetResource().GetDroppedAttributesCount()), 0.0)
	own("otel.scope.dropped_attributes_count", float64(sl.GetScope().GetDroppedAttributesCount()), 0.0)
	own("otel.dropped_attributes_count", float64(r.DroppedAttributesCount), 0.0)
	own("event_name", r.EventName, "")
	own("span_id", hex.EncodeToString(r.SpanId), "")
	own("trace_flags", float64(r.Flags), 0.0)
	if e.TraceID != hex.EncodeToString(r.TraceId) {
		t.Fatalf("trace id %q, want %x", e.TraceID, r.TraceId)
	}
	checkOTLPTimeAndLevel(t, e, attrs, r)
	switch body := plainOTLP(r.Body).(type) {
	case nil:
	case string:
		if e.Message != strings.TrimRight(body, "\r\n") && body != "" {
			t.Fatalf("message %q, want %q", e.Message, body)
		}
	case map[string]any, []any:
		otlpWant(t, e, attrs, "body", body, "body")
	default:
		if e.Message != fmt.Sprint(body) && e.Message != fmt.Sprint(r.Body.GetIntValue()) && e.Message != millrace.FloatValue(r.Body.GetDoubleValue()).String() {
			t.Fatalf("message %q, want %v", e.Message, body)
		}
	}
}

func checkOTLPTimeAndLevel(t *testing.T, e *millrace.Event, attrs map[string]any, r *logspb.LogRecord) {
	t.Helper()
	want := int64(r.TimeUnixNano)
	if want == 0 {
		want = int64(r.ObservedTimeUnixNano)
	}
	if want == 0 {
		want = arrivedTest
	}
	if e.Time != want {
		t.Fatalf("time %d, want %d", e.Time, want)
	}
	if o := r.ObservedTimeUnixNano; o != 0 && int64(o) != want {
		otlpWant(t, e, attrs, "observed time", float64(o), "observed_time_unix_nano", "otlp.observed_time_unix_nano")
	}
	level := []string{"trace", "debug", "info", "warn", "error", "fatal"}[(r.SeverityNumber-1)/4]
	if e.Level != level {
		t.Fatalf("level %s, want %s", e.Level, level)
	}
	if r.SeverityNumber%4 != 1 {
		otlpWant(t, e, attrs, "severity number", float64(r.SeverityNumber), "severity_number")
	}
	if s := r.SeverityText; s != "" && !strings.HasPrefix(strings.ToLower(s), level) {
		otlpWant(t, e, attrs, "severity text", s, "severity_text")
	}
}

func decodeOTLP(t *testing.T, format string, body []byte) *millrace.Batch {
	t.Helper()
	b := &millrace.Batch{}
	b.Reset(splitRecord(t, format, nil, body))
	new(Decoder).Decode(b)
	if len(b.Rejects) > 0 {
		t.Fatalf("rejected: %+v", b.Rejects)
	}
	return b
}

// Everything in random requests is found again, the same from both encodings.
func TestOTLPLosesNothing(t *testing.T) {
	for seed := range uint64(150) {
		data := newOTLPGen(seed).request()
		body, err := proto.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		b := decodeOTLP(t, "otlp", body)
		n := 0
		for _, rl := range data.ResourceLogs {
			for _, sl := range rl.ScopeLogs {
				for _, r := range sl.LogRecords {
					if n == len(b.Events) {
						t.Fatalf("seed %d: %d events only", seed, n)
					}
					checkOTLPEvent(t, &b.Events[n], rl, sl, r)
					n++
				}
			}
		}
		if n != len(b.Events) {
			t.Fatalf("seed %d: %d events, want %d", seed, len(b.Events), n)
		}
		j := decodeOTLP(t, "otlp-json", otlpToJSON(t, data))
		compareOTLP(t, seed, b.Events, j.Events)
	}
}

// otlpToJSON writes OTLP/JSON: protojson's but for ids.
func otlpToJSON(t testing.TB, data *logspb.LogsData) []byte {
	t.Helper()
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case []any:
			for _, e := range x {
				walk(e)
			}
		case map[string]any:
			for _, key := range []string{"traceId", "spanId"} {
				if id, ok := x[key].(string); ok {
					raw, err := base64.StdEncoding.DecodeString(id)
					if err != nil {
						t.Fatal(err)
					}
					x[key] = hex.EncodeToString(raw)
				}
			}
			for _, e := range x {
				walk(e)
			}
		}
	}
	walk(tree)
	out, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func compareOTLP(t *testing.T, seed uint64, a, b []millrace.Event) {
	t.Helper()
	if len(a) != len(b) {
		t.Fatalf("seed %d: %d events from protobuf, %d from JSON", seed, len(a), len(b))
	}
	for i := range a {
		x, y := attrsOf(t, &a[i]), attrsOf(t, &b[i])
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("seed %d: attributes from protobuf and JSON:\n%v\n%v", seed, x, y)
		}
		p, q := a[i], b[i]
		p.Attrs, q.Attrs = nil, nil
		if strings.HasPrefix(p.Message, "{") || strings.HasPrefix(p.Message, "[") || p.Message != "" && strings.Trim(p.Message, "0123456789.+-eNaInf") == "" {
			p.Message, q.Message = "", "" // numbers and escapes may be written otherwise
		}
		if !reflect.DeepEqual(p, q) {
			t.Fatalf("seed %d: from protobuf and JSON:\n%+v\n%+v", seed, p, q)
		}
	}
}

// A record that is wrong is refused by itself, one that cannot be found refuses
// the body.
func TestOTLPRefuses(t *testing.T) {
	record := func(fields ...string) string { return otlpField(2, strings.Join(fields, "")) }
	body := func(records ...string) string {
		return otlpField(1, otlpField(1, "")+otlpField(2, strings.Join(records, "")))
	}
	good := record(otlpField(5, otlpField(1, "ok")))
	for name, c := range map[string]struct{ body, reason, detail string }{
		"utf8 body":     {body(good, record(otlpField(5, otlpField(1, "a\xff")))), ReasonBadUTF8, "invalid UTF-8 in a value"},
		"utf8 key":      {body(good, record(otlpField(6, otlpField(1, "\xff")))), ReasonBadUTF8, "an attribute's key"},
		"wrong type":    {body(good, record(otlpField(1, "soon"))), ReasonBadProtobuf, "LogRecord"},
		"cut value":     {body(good, record(otlpField(5, "\x0a\x09short"))), ReasonBadProtobuf, "byte 2 of 9"},
		"string as int": {body(good, record(otlpField(5, otlpField(3, "1")))), ReasonBadProtobuf, "AnyValue"},
		"group":         {body(good, record("\x7b")), ReasonBadProtobuf, "byte 0 of 1"},
		"deep":          {body(good, record(otlpField(5, deepOTLP(200)))), ReasonBadProtobuf, "nested too deeply"},
	} {
		var p Pieces
		if err := Split("otlp", nil, []byte(c.body), Limits{}, &p); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p.Events) != 1 || len(p.Refused) != 1 || p.Refused[0].Reason != c.reason || p.Refused[0].Index != 2 || !strings.Contains(p.Refused[0].Detail, c.detail) {
			t.Errorf("%s: %d events, %+v", name, len(p.Events), p.Refused)
		}
	}
	whole := body(good, good)
	for name, c := range map[string]struct{ format, body, want string }{
		"cut":       {"otlp", whole[:len(whole)-1], "byte 0 of"},
		"JSON":      {"otlp", `{"resourceLogs":[]}`, "byte 0 of 19 is no field of ExportLogsServiceRequest"},
		"inside":    {"otlp", otlpField(1, otlpField(2, "\x12\x7f")), "byte 4 of 6 is no field of ScopeLogs"},
		"protobuf":  {"otlp-json", whole, "column 2: control character"},
		"cut JSON":  {"otlp-json", `{"resourceLogs":[{]`, "unexpected ']'"},
		"no list":   {"otlp-json", `{"resourceLogs":{}}`, "column 17: resourceLogs is no list"},
		"many":      {"otlp", body(strings.Repeat(record(), 11)), "limit of 10"},
		"many JSON": {"otlp-json", `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}` + strings.Repeat(",{}", 10) + `]}]}]}`, "limit of 10"},
	} {
		var p Pieces
		err := Split(c.format, nil, []byte(c.body), Limits{MaxEvents: 10}, &p)
		if err == nil || !strings.Contains(millrace.ErrorMessage(err), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// otlpField is a length-delimited field.
func otlpField(number int, content string) string {
	return string(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number)<<3|wireBytes), uint64(len(content)))) + content
}

func deepOTLP(n int) string {
	v := otlpField(1, "x")
	for range n {
		v = otlpField(5, otlpField(1, v))
	}
	return v
}

// What all records share is bounded, since each event has it.
func TestOTLPContextLimits(t *testing.T) {
	attr := func(key, value string) string {
		return otlpField(1, otlpField(1, key)+otlpField(2, otlpField(1, value)))
	}
	var many strings.Builder
	for i := range maxOTLPShared + 1 {
		many.WriteString(attr(fmt.Sprint(i), "x"))
	}
	scope := otlpField(2, otlpField(2, ""))
	for name, resource := range map[string]string{"bytes": attr("a", strings.Repeat("x", maxOTLPContext)), "attributes": many.String()} {
		var p Pieces
		if err := Split("otlp", nil, []byte(otlpField(1, otlpField(1, resource)+scope)), Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		if len(p.Events) != 0 || len(p.Refused) != 1 || p.Refused[0].Reason != ReasonContextTooLarge || !strings.Contains(p.Refused[0].Detail, name) && name == "attributes" {
			t.Errorf("%s: %+v", name, p.Refused)
		}
	}
	// A resource repeated for many scopes does not multiply the body.
	big := otlpField(1, attr("a", strings.Repeat("x", maxOTLPContext/2)))
	var p Pieces
	err := Split("otlp", nil, []byte(otlpField(1, big+strings.Repeat(scope, 2000))), Limits{}, &p)
	if millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("2000 scopes: %v", err)
	}
}
