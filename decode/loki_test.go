package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func init() {
	for _, streams := range lokiSeeds {
		structuredSeeds["loki"] = append(structuredSeeds["loki"], string(lokiProto(streams)))
		structuredSeeds["loki-json"] = append(structuredSeeds["loki-json"], string(lokiJSON(streams)))
	}
	structuredSeeds["loki-json"] = append(structuredSeeds["loki-json"],
		`{"streams":[{"labels":"{job=\"x\", a=\"q\\\"\\n\"}","entries":[{"ts":"2026-01-02T03:04:05.5Z","line":"old"}]}]}`,
		`{"streams":[{"values":[["1","a"]],"stream":{"n":1,"b":true,"o":{"x":[]},"z":null}},5,{"stream":7,"values":[["1","b"]]}]}`,
		`{"x":{"streams":1},"streams":[{"stream":{},"values":[["x","a"],[],["1"],["1","\ud800"],["2","a",{"k":"v"},3]]}]}`)
}

// lokiTestStream is a stream as a test writes it down.
type lokiTestStream struct {
	labels  [][2]string
	entries []lokiTestEntry
}

type lokiTestEntry struct {
	ns   int64
	line string
	meta [][2]string
}

var lokiSeeds = [][]lokiTestStream{
	{{labels: [][2]string{{"app", "shop"}, {"env", "prod"}}, entries: []lokiTestEntry{
		{1767323045000000001, "plain text", nil},
		{1767323045000000002, `{"level":"warn","msg":"low","stock":3,"app":"other"}`, [][2]string{{"trace_id", "abc"}, {"stock", "3"}, {"x", "\"\\\n"}}},
		{1767323045000000003, "", [][2]string{{"detected_level", "error"}}},
	}}},
	{{labels: [][2]string{{"service_name", "a\"b\\c\nd"}, {"job", "j"}, {"level", "INFO"}}, entries: []lokiTestEntry{
		{1767323045000000004, `level=debug msg="x y" status=200 path=/a method=GET`, nil},
		{1767323045000000005, "java.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n", nil},
	}}, {entries: []lokiTestEntry{{1767323045000000006, "no labels", nil}}}},
}

func protoBytes(dst []byte, num int, b []byte) []byte {
	dst = appendUvarint(dst, uint64(num)<<3|2)
	return append(appendUvarint(dst, uint64(len(b))), b...)
}

func protoInt(dst []byte, num int, v int64) []byte {
	return appendUvarint(appendUvarint(dst, uint64(num)<<3), uint64(v))
}

func appendUvarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// lokiLabelString writes labels as Loki's clients do.
func lokiLabelString(labels [][2]string) []byte {
	if labels == nil {
		return nil
	}
	var out []byte
	for i, l := range labels {
		if i > 0 {
			out = append(out, ", "...)
		}
		out = strconv.AppendQuote(append(append(out, l[0]...), '='), l[1])
	}
	return append(append([]byte{'{'}, out...), '}')
}

func lokiProto(streams []lokiTestStream) []byte {
	var out []byte
	for _, s := range streams {
		var st []byte
		if s.labels != nil {
			st = protoBytes(st, 1, lokiLabelString(s.labels))
		}
		for _, e := range s.entries {
			var en []byte
			en = protoBytes(en, 1, protoInt(protoInt(nil, 1, e.ns/1e9), 2, e.ns%1e9))
			en = protoBytes(en, 2, []byte(e.line))
			for _, m := range e.meta {
				en = protoBytes(en, 3, protoBytes(protoBytes(nil, 1, []byte(m[0])), 2, []byte(m[1])))
			}
			st = protoBytes(st, 2, en)
		}
		st = protoInt(st, 3, 12345) // hash
		out = protoBytes(out, 1, st)
	}
	return out
}

func lokiJSON(streams []lokiTestStream) []byte {
	object := func(pairs [][2]string) []byte {
		out := []byte{'{'}
		for i, p := range pairs {
			if i > 0 {
				out = append(out, ',')
			}
			out = millrace.AppendJSONString(append(millrace.AppendJSONString(out, p[0]), ':'), p[1])
		}
		return append(out, '}')
	}
	out := []byte(`{"streams": [`)
	for i, s := range streams {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, ` {"stream": `...)
		out = append(out, object(s.labels)...)
		out = append(out, `, "values": [`...)
		for k, e := range s.entries {
			if k > 0 {
				out = append(out, ", "...)
			}
			out = append(strconv.AppendInt(append(out, `["`...), e.ns, 10), `", `...)
			out = millrace.AppendJSONString(out, e.line)
			if e.meta != nil {
				out = append(append(out, ", "...), object(e.meta)...)
			}
			out = append(out, ']')
		}
		out = append(out, "]}"...)
	}
	return append(out, "]}"...)
}

// piecesEvents splits and decodes a body, all of whose parts must be taken.
func piecesEvents(t testing.TB, format string, extra, body []byte) []millrace.Event {
	t.Helper()
	var p Pieces
	if err := Split(format, extra, body, Limits{}, &p); err != nil || len(p.Refused) > 0 {
		t.Fatalf("%s: %v %+v", body, err, p.Refused)
	}
	var b millrace.Batch
	b.Reset(pieceRecord(format, &p))
	new(Decoder).Decode(&b)
	if len(b.Rejects) > 0 || len(b.Events) != len(p.Events) {
		t.Fatalf("%d pieces, %d events, rejects %+v", len(p.Events), len(b.Events), b.Rejects)
	}
	return b.Events
}

func eventLine(e *millrace.Event) string {
	return fmt.Sprintf("%s %d service=%s host=%s env=%s release=%s level=%s trace=%s attrs=%s: %s",
		e.Kind, e.Time, e.Service, e.Host, e.Env, e.Release, e.Level, e.TraceID, millrace.AppendAttrs(nil, e.Attrs), e.Message)
}

func TestLokiEvents(t *testing.T) {
	const ns = 1767323045000000001
	type pairs = [][2]string
	for _, c := range []struct {
		name   string
		labels pairs
		line   string
		meta   pairs
		want   string
	}{
		{
			"columns from labels",
			pairs{{"service_name", "shop"}, {"app", "a"}, {"job", "j"}, {"host", "h1"}, {"instance", "i:1"}, {"env", "prod"}, {"service_version", "1.2"}, {"level", "WARN"}, {"city", "x"}},
			"hello", nil,
			`log 1767323045000000001 service=shop host=h1 env=prod release=1.2 level=warn trace= attrs={"app":"a","job":"j","instance":"i:1","city":"x"}: hello`,
		},
		{
			"next best names stay",
			pairs{{"job", "j"}, {"container", "c"}, {"instance", "i:1"}},
			"hello",
			pairs{{"traceID", "t1"}, {"span", "s"}},
			`log 1767323045000000001 service=c host=i:1 env= release= level= trace=t1 attrs={"job":"j","container":"c","instance":"i:1","span":"s"}: hello`,
		},
		{
			"JSON line",
			pairs{{"app", "a"}, {"stock", "3"}, {"price", "2"}},
			`{"time":"2026-01-02T03:04:06Z","level":"error","service":"own","stock":3,"price":5,"msg":"low","trace_id":"t"}`,
			pairs{{"detected_level", "warn"}},
			`log 1767323045000000001 service=own host=10.9.8.7 env= release= level=error trace=t attrs={"stock":3,"price_extracted":5,"time_extracted":"2026-01-02T03:04:06Z","app":"a","price":"2","detected_level":"warn"}: low`,
		},
		{
			"label wins over line",
			pairs{{"service", "label"}, {"level", "info"}},
			`{"service":"own","level":"error","msg":"m"}`, nil,
			`log 1767323045000000001 service=label host=10.9.8.7 env= release= level=info trace= attrs={"service_extracted":"own","level_extracted":"error"}: m`,
		},
		{
			"detected level fills in", nil, "hello",
			pairs{{"detected_level", "error"}},
			`log 1767323045000000001 service=src host=10.9.8.7 env= release= level=error trace= attrs={"detected_level":"error"}: hello`,
		},
		{
			"unknown detected level", nil, "hello",
			pairs{{"detected_level", "unknown"}},
			`log 1767323045000000001 service=src host=10.9.8.7 env= release= level= trace= attrs={"detected_level":"unknown"}: hello`,
		},
		{
			"access line",
			pairs{{"job", "nginx"}},
			`192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8"`, nil,
			`access 1767323045000000001 service=nginx host=10.9.8.7 env= release= level= trace= attrs={"client_ip":"192.0.2.1","method":"GET","url":"/a","query":"b=c","http_version":"1.1","status":200,"bytes":12,"user_agent":"curl/8","job":"nginx"}: 192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b=c HTTP/1.1" 200 12 "-" "curl/8"`,
		},
		{
			"escapes, metadata over labels",
			pairs{{"x", "a\"b\\c\nd"}, {"env", "one"}},
			"two\nlines",
			pairs{{"x", "é"}, {"env", "two"}},
			"log 1767323045000000001 service=src host=10.9.8.7 env=two release= level= trace= attrs={\"x\":\"é\",\"env\":\"one\"}: two\nlines",
		},
		{
			"blank line",
			pairs{{"app", "a"}},
			" \n", nil,
			`log 1767323045000000001 service=a host=10.9.8.7 env= release= level= trace= attrs={"app":"a"}: (empty)`,
		},
	} {
		streams := []lokiTestStream{{c.labels, []lokiTestEntry{{ns, c.line, c.meta}}}}
		for format, body := range map[string][]byte{"loki": lokiProto(streams), "loki-json": lokiJSON(streams)} {
			events := piecesEvents(t, format, nil, body)
			if got := eventLine(&events[0]); got != c.want {
				t.Errorf("%s, %s:\n got %s\nwant %s", c.name, format, got, c.want)
			}
		}
	}
}

// randomStreams makes streams of lines of all sorts, with labels and metadata
// that collide with each other and with the lines.
func randomStreams(rng *rand.Rand) []lokiTestStream {
	names := []string{"app", "service", "level", "host", "job", "status", "x", "msg", "trace_id", "a_b", "detected_level", "env"}
	values := []string{"", "a", "200", "info", "ERROR", "q\"\\\n", "é😀", "30", "x y", "true"}
	pairs := func(n int) [][2]string {
		var out [][2]string
		for range rng.IntN(n + 1) {
			out = append(out, [2]string{names[rng.IntN(len(names))], values[rng.IntN(len(values))]})
		}
		return out
	}
	lines := []string{
		"plain", "", "ERROR two\n\tat x", `{"status":200,"x":"a","level":"info","msg":"m"}`, `level=warn status=200 x=q path=/`,
		`192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET / HTTP/1.1" 200 12`, "<13>Jan  2 03:04:05 h app[1]: hi", `{"broken`,
		"2026-01-02T03:04:05.123456789Z stdout F hello", `{"message":"a\nb","trace_id":"t","time":"2026-01-02T03:04:05Z"}`,
	}
	var out []lokiTestStream
	for range 1 + rng.IntN(4) {
		s := lokiTestStream{labels: pairs(5)}
		if s.labels == nil {
			s.labels = [][2]string{}
		}
		for range rng.IntN(5) {
			s.entries = append(s.entries, lokiTestEntry{1767323045000000000 + rng.Int64N(1e9), lines[rng.IntN(len(lines))], pairs(4)})
		}
		out = append(out, s)
	}
	return out
}

// Both forms of the same streams are the same events, and every label, every
// pair of metadata, the time and the line are found again.
func TestLokiFormsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		streams := randomStreams(rng)
		fromProto := piecesEvents(t, "loki", nil, lokiProto(streams))
		fromJSON := piecesEvents(t, "loki-json", nil, lokiJSON(streams))
		i := 0
		for _, s := range streams {
			for _, en := range s.entries {
				a, b := &fromProto[i], &fromJSON[i]
				if eventLine(a) != eventLine(b) {
					t.Fatalf("%+v:\n%s\n%s", s, eventLine(a), eventLine(b))
				}
				i++
				if a.Time != en.ns || !a.HasTime {
					t.Fatalf("time %d, want %d", a.Time, en.ns)
				}
				pairs := map[string]string{}
				for _, p := range append(append([][2]string{}, s.labels...), en.meta...) {
					pairs[p[0]] = p[1] // the last one wins
				}
				for name, value := range pairs {
					if !hasField(a, name, value) {
						t.Fatalf("%s=%q of %+v %+v is lost: %s", name, value, s.labels, en, eventLine(a))
					}
				}
			}
		}
		if i != len(fromProto) || i != len(fromJSON) {
			t.Fatal(i, len(fromProto), len(fromJSON))
		}
	}
}

// hasField reports whether a label is in an attribute or its column.
func hasField(e *millrace.Event, name, value string) bool {
	if v, ok := e.Attr(name); ok && v.String() == value {
		return true
	}
	switch col, _ := lokiField(name); col {
	case lokiService:
		return e.Service == value
	case lokiHost:
		return e.Host == value
	case lokiEnv:
		return e.Env == value
	case lokiTrace:
		return e.TraceID == value
	case lokiLevel:
		want, _, ok := normalLevel(value)
		switch {
		case value == "30":
			want = levelInfo // as pino counts
		case !ok:
			want = strings.ToLower(value)
		}
		return e.Level == want
	}
	return false
}

func TestLokiRefused(t *testing.T) {
	entry := func(fields ...[]byte) []byte { return bytes.Join(fields, nil) }
	at := protoBytes(nil, 1, protoInt(nil, 1, 1767323045))
	good := entry(at, protoBytes(nil, 2, []byte("good")))
	stream := func(labels string, entries ...[]byte) []byte {
		out := protoBytes(nil, 1, []byte(labels))
		for _, e := range entries {
			out = protoBytes(out, 2, e)
		}
		return protoBytes(nil, 1, out)
	}
	json := func(values string) []byte {
		return []byte(`{"streams":[{"stream":{"a":"b"},"values":[` + values + `]}]}`)
	}
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		format, reason string
		body           []byte
		good, bad      int
	}{
		"labels":             {"loki", ReasonBadLabels, append(stream(`{a=b}`, good, good), stream(`{a="b"}`, good)...), 1, 2},
		"no braces":          {"loki", ReasonBadLabels, stream(`a="b"`, good), 0, 1},
		"UTF-8 in labels":    {"loki", ReasonBadLabels, stream("{a=\"\xff\"}", good), 0, 1},
		"escape in labels":   {"loki", ReasonBadLabels, stream(`{a="\z"}`, good), 0, 1},
		"behind the brace":   {"loki", ReasonBadLabels, stream(`{a="b"} x}`, good), 0, 1},
		"line":               {"loki", ReasonBadUTF8, stream(`{a="b"}`, entry(at, protoBytes(nil, 2, []byte("a\xff"))), good), 1, 1},
		"time":               {"loki", ReasonBadTime, stream(`{a="b"}`, entry(protoBytes(nil, 1, protoInt(nil, 1, 1<<50))), good), 1, 1},
		"nanoseconds":        {"loki", ReasonBadTime, stream(`{a="b"}`, entry(protoBytes(nil, 1, protoInt(nil, 2, 1e9))), good), 1, 1},
		"entry":              {"loki", ReasonBadProtobuf, stream(`{a="b"}`, []byte{0x0A, 0x7F}, good), 1, 1},
		"stream":             {"loki", ReasonBadProtobuf, append(protoBytes(nil, 1, []byte{0x0A, 0x7F}), stream(``, good)...), 1, 1},
		"large":              {"loki", ReasonTooLarge, stream(`{a="b"}`, entry(at, protoBytes(nil, 2, []byte(big))), good), 1, 1},
		"JSON time":          {"loki-json", ReasonBadTime, json(`["x","a"],["1","b"],["99999999999999999999","c"]`), 1, 2},
		"JSON shape":         {"loki-json", ReasonBadJSON, json(`["1"],[],{"ts":"1"},7,["1",2],["1","b",3],["1","b",{},4],["1","good",{"a":1}]`), 1, 7},
		"JSON UTF-8":         {"loki-json", ReasonBadUTF8, json("[\"1\",\"a\xff\"],[\"1\",\"b\"]"), 1, 1},
		"JSON large":         {"loki-json", ReasonTooLarge, json(`["1","` + big + `"],["1","b"]`), 1, 1},
		"JSON labels":        {"loki-json", ReasonBadLabels, []byte(`{"streams":[{"stream":[1],"values":[["1","a"]]},{"labels":"{a}","entries":[{"ts":"1","line":"x"}]}]}`), 0, 2},
		"JSON entries, kind": {"loki-json", ReasonBadJSON, []byte(`{"streams":[{"stream":{},"values":{}},3]}`), 0, 2},
	} {
		var p Pieces
		if err := Split(c.format, nil, c.body, Limits{}, &p); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p.Events) != c.good || len(p.Refused) != c.bad {
			t.Errorf("%s: %d good, %d refused: %+v", name, len(p.Events), len(p.Refused), p.Refused)
			continue
		}
		seen := map[int]bool{}
		for _, r := range p.Refused {
			if r.Reason != c.reason || r.Detail == "" || r.Index < 1 || seen[r.Index] {
				t.Errorf("%s: %+v", name, r)
			}
			seen[r.Index] = true
		}
		for _, e := range p.Events {
			if seen[e.Index] {
				t.Errorf("%s: index %d twice", name, e.Index)
			}
		}
	}
}

func TestLokiBodyRefused(t *testing.T) {
	for format, bodies := range map[string][]string{
		"loki": {"\x0a", "\x0a\x05ab", "hello world", "\x08\x01", "{}"},
		"loki-json": {
			"[]", "{", `{"streams":[}`, `{"streams":[{"stream":{},"values":[["1","a"]]}]} x`, `{"streams":[{"stream":{},"values":[["1","a"]`, "\x0a",
		},
	} {
		for _, body := range bodies {
			var p Pieces
			if err := Split(format, nil, []byte(body), Limits{}, &p); millrace.ErrorCode(err) != millrace.ErrInvalid {
				t.Errorf("%s %q: %v, %+v", format, body, err, p)
			}
		}
	}
}

// The tenant is a label, however the labels are written.
func TestLokiTenant(t *testing.T) {
	extra := []byte(`{"tenant":"team-a"}`)
	en := []lokiTestEntry{{1767323045000000001, "x", nil}}
	for _, labels := range [][][2]string{nil, {}, {{"a", "b"}}, {{"a", "}\""}, {"c", "d"}}} {
		streams := []lokiTestStream{{labels, en}}
		for format, body := range map[string][]byte{"loki": lokiProto(streams), "loki-json": lokiJSON(streams)} {
			e := piecesEvents(t, format, extra, body)[0]
			if v, ok := e.Attr("__tenant_id__"); !ok || v.String() != "team-a" || len(e.Attrs) != len(labels)+1 {
				t.Errorf("%s %v: %s", format, labels, eventLine(&e))
			}
		}
	}
	old := []byte(`{"streams":[{"labels":"{a=\"}\\\"\",}","entries":[{"ts":"2026-01-02T03:04:05.5Z","line":"old"}]}]}`)
	e := piecesEvents(t, "loki-json", extra, old)[0]
	if want := `attrs={"a":"}\"","__tenant_id__":"team-a"}: old`; !strings.HasSuffix(eventLine(&e), want) || e.Time != 1767323045500000000 {
		t.Error(eventLine(&e))
	}
}

// A frame decoded by itself is as in its record, in any order.
func TestLokiFrames(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		var p Pieces
		if err := Split("loki", nil, lokiProto(randomStreams(rng)), Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		r := pieceRecord("loki", &p)
		var all, one millrace.Batch
		all.Reset(r)
		var d Decoder
		d.Decode(&all)
		starts := []int{0}
		for _, n := range r.Frames {
			starts = append(starts, starts[len(starts)-1]+int(n))
		}
		for range 2 * len(r.Frames) {
			i := rng.IntN(len(r.Frames))
			one.Reset(r)
			d.DecodeFrame(&one, int32(i), r.Payload[starts[i]:starts[i+1]])
			if a, b := eventLine(&all.Events[i]), eventLine(&one.Events[0]); a != b {
				t.Fatalf("%s\n%s", a, b)
			}
		}
	}
}

// Labels and lines with very many fields cost no more than their bytes.
func TestLokiManyFields(t *testing.T) {
	line, labels := map[string]int{}, [][2]string{}
	for i := range 20000 {
		line[fmt.Sprint("k", i)] = i
		labels = append(labels, [2]string{fmt.Sprint("k", i), fmt.Sprint(i + i%2)})
	}
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	e := piecesEvents(t, "loki", nil, lokiProto([]lokiTestStream{{labels, []lokiTestEntry{{1, string(text), nil}}}}))[0]
	if took := time.Since(begun); len(e.Attrs) != 30000 || took > 10*time.Second {
		t.Fatalf("%d attributes in %v", len(e.Attrs), took)
	}
}

func FuzzLoki(f *testing.F) {
	for format, tenant := range map[string]string{"loki": "", "loki-json": `{"tenant":"t"}`} {
		for _, s := range structuredSeeds[format] {
			f.Add([]byte(s), []byte(tenant), format == "loki")
		}
	}
	f.Fuzz(func(t *testing.T, body, extra []byte, proto bool) {
		if string(extra) != `{"tenant":"t"}` {
			extra = nil
		}
		format := "loki-json"
		if proto {
			format = "loki"
		}
		checkStructured(t, format, extra, body)
	})
}

// lokiBench are streams as a shipper of containers' logs sends them: half of the
// lines are JSON, with metadata.
func lokiBench(n int) []lokiTestStream {
	var out []lokiTestStream
	for s := range max(1, n/100) {
		st := lokiTestStream{labels: [][2]string{
			{"app", "checkout"}, {"container", "checkout"}, {"env", "prod"}, {"instance", fmt.Sprint("10.0.0.", s)}, {"job", "shop/checkout"}, {"namespace", "shop"},
		}}
		for i := range min(n, 100) {
			e := lokiTestEntry{ns: 1767323045000000000 + int64(i)*1e6}
			if i%2 == 0 {
				e.line = fmt.Sprintf(`{"level":"info","msg":"order accepted","order_id":%d,"amount":%d.50,"user":"u-%d"}`, i*7919, i, i%17)
				e.meta = [][2]string{{"trace_id", fmt.Sprintf("%032x", i*104729)}, {"pod", "checkout-7f9c"}}
			} else {
				e.line = fmt.Sprintf("2026-01-02 03:04:05.%03d INFO [worker-%d] c.s.Checkout - order %d accepted in %d ms", i, i%8, i*7919, i%300)
			}
			st.entries = append(st.entries, e)
		}
		out = append(out, st)
	}
	return out
}

func benchStructured(b *testing.B, format string, body []byte, n int) {
	var p Pieces
	var batch millrace.Batch
	var d Decoder
	var payload []byte
	var r millrace.Record
	run := func() {
		if err := Split(format, nil, body, Limits{}, &p); err != nil || len(p.Events) != n {
			b.Fatal(err, len(p.Events))
		}
		payload, r.Frames = payload[:0], r.Frames[:0]
		origin := 0
		for i := range p.Events {
			at, back := len(payload), 0
			if i > 0 && SameContext(&p.Events[i], &p.Events[i-1]) {
				back = at - origin
			} else {
				origin = at
			}
			payload = AppendPiece(payload, back, &p.Events[i])
			r.Frames = append(r.Frames, uint32(len(payload)-at))
		}
		r.Arrived, r.Project, r.Source, r.Format, r.Payload = arrivedTest, "default", "src", format, payload
		batch.Reset(&r)
		d.Decode(&batch)
		if len(batch.Events) != n {
			b.Fatal(batch.Rejects)
		}
	}
	run()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		run()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkLoki(b *testing.B) {
	for format, body := range map[string][]byte{"loki": lokiProto(lokiBench(2000)), "loki-json": lokiJSON(lokiBench(2000))} {
		b.Run(format, func(b *testing.B) { benchStructured(b, format, body, 2000) })
	}
}

// structuredAllocs holds Split and Decode of a body to a number of allocations,
// once their memory has its size.
func structuredAllocs(t *testing.T, format string, body []byte, budget float64) {
	t.Helper()
	var p Pieces
	var batch millrace.Batch
	var d Decoder
	if err := Split(format, nil, body, Limits{}, &p); err != nil {
		t.Fatal(err)
	}
	r := pieceRecord(format, &p)
	got := testing.AllocsPerRun(20, func() {
		if err := Split(format, nil, body, Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		batch.Reset(r)
		d.Decode(&batch)
	})
	if got > budget {
		t.Errorf("%s: %.0f allocations for %d events, the budget is %.0f", format, got, len(p.Events), budget)
	}
}

// Entries cost no allocation, their 20 streams a few.
func TestLokiAllocs(t *testing.T) {
	structuredAllocs(t, "loki", lokiProto(lokiBench(2000)), 60)
	structuredAllocs(t, "loki-json", lokiJSON(lokiBench(2000)), 60)
}
