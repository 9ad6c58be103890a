package decode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// hardLines are lines that exercise the corners of the parsers.
var hardLines = []string{
	`example.com:80 "10.5.102.222, 199.96.1.1" 10.2.1.185 - - [22/Jan/2016:13:18:29 +0000] "GET /a?q=100 HTTP/1.1" 200 25507 "-" "x" 0/1234`,
	`1.2.3.4 - john smith [22/Jan/2016:13:18:29 +0000] "\x16\x03" 400 - "-" "-" rt=0.1 uct="0.0, 0.1" urt="0.1, 0.2 : 0.3" host=a.b`,
	`[10/Aug/2018:09:45:56 +0200] 172.30.0.119 TLSv1.2 ECDHE "GET /n HTTP/1.1" 1375`,
	`1.2.3.4 - - [22/Jan/2016:13:18:29 +0000] "GET http://u@h:80?x HTTP/1.1" 200 1 "-" "q\"q" 1 0.1 [a] [] 1:1, 2:2 1, 2 0.1, 0.2 : 0.3 200, 200 id`,
	`{"time":1.7e9,"msg":"\ud83d\ude00\ud800","log":{"level":"x"},"http":{"response":{"status_code":2}},"url":{"path":"/x"},"a":1e999,"b":-0,"a":[1,{}],"t":{"$date":"2020-01-01T00:00:00Z"}}`,
	`{"status":"200","request":"GET /x?y HTTP/1.1","upstream_response_time":"0.1, 0.2","remote_addr":"1.1.1.1, 2.2.2.2","http_referer":"-"}`,
	`at=info method=GET path="/x?y=1" host=a.com service=18ms status=200 bytes=13 q="un\xterminated" flag "x=`,
	`<34>1 2003-10-11T22:14:15.003Z host app - ID47 [a@1 b="c\"\]" d="e"][f] ` + "\xEF\xBB\xBF" + `{"msg":"x"}`,
	`<13>Feb 29 22:14:15 host tag[12]: k=v a=b`, `<191>Jan  1 00:00:00 su: x`, `<0>`, `<0> `, `<999>x`,
	`Feb 21 21:54:44 localhost com.apple.x[1] (a.b[2]): hello`,
	`2024-01-01T00:00:00.000000+01:00 host sshd[1]: msg`,
	`2025-12-31T17:37:40.493035218+01:00 stdout F {"a":1}`,
	`{"host":{"name":"h"},"service":{"name":"s","id":1},"user":{"name":"u"},"name":"n","http":{"request":{"method":"GET"},"method":"x"}}`,
	"ERROR x\njava.lang.Error: y\n\tat a.b(C.java:1)", "[", "{", `"`, "<", "=", "a=", "-", "\x00",
}

func FuzzDecodeFrame(f *testing.F) {
	for i, line := range hardLines {
		f.Add([]byte(line), uint8(i))
		f.Add([]byte(line), uint8(0))
	}
	eachShape(func(format, _, line string) {
		f.Add([]byte(line), uint8(slices.Index(Formats(), format)))
	})
	f.Fuzz(func(t *testing.T, frame []byte, n uint8) {
		if !utf8.Valid(frame) {
			return // refused at the door
		}
		r := &millrace.Record{
			Arrived: arrivedTest, Source: "src", Sender: "10.9.8.7", Format: Formats()[int(n)%len(Formats())],
			Payload: frame, Frames: []uint32{uint32(len(frame))},
		}
		keep := bytes.Clone(frame)
		b, again := &millrace.Batch{}, &millrace.Batch{}
		b.Reset(r)
		var d Decoder
		d.Decode(b)
		checkBatch(t, b)
		if r.Format == "auto" && len(b.Rejects) > 0 && b.Rejects[0].Reason != ReasonEmpty {
			t.Fatalf("auto rejected: %+v", b.Rejects)
		}
		for i := range b.Events {
			if attrs := millrace.AppendAttrs(nil, b.Events[i].Attrs); !json.Valid(attrs) {
				t.Fatalf("attributes are no JSON: %s", attrs)
			}
		}
		// The same decoder gives the same again, also after lines with other
		// fields, and the payload is not touched.
		other := &millrace.Batch{}
		for _, line := range hardLines {
			other.Reset(r)
			d.DecodeFrame(other, 0, []byte(line))
		}
		again.Reset(r)
		d.DecodeFrame(again, 0, frame)
		if !reflect.DeepEqual(b.Events, again.Events) || !reflect.DeepEqual(b.Rejects, again.Rejects) {
			t.Fatalf("not deterministic:\n%+v\n%+v", b.Events, again.Events)
		}
		if !bytes.Equal(keep, frame) {
			t.Fatal("the payload was written to")
		}
		checkEmbedded(t, &d, r, b)
	})
}

// checkEmbedded decodes the frame of r again in the midst of a payload, where
// the scanners read beyond its end, and wants what b has.
func checkEmbedded(t *testing.T, d *Decoder, r *millrace.Record, b *millrace.Batch) {
	t.Helper()
	for _, behind := range []string{
		"\n" + samples["json"], `"}` + samples["json"], "0123456789.0123456789" + samples["nginx"], strings.Repeat(" ", 100), "",
	} {
		in := *r
		in.Payload = append(bytes.Clone(r.Payload), behind...)
		in.Frames = append([]uint32(nil), r.Frames...)
		for range 2 { // cold and warm
			got := &millrace.Batch{}
			got.Reset(&in)
			d.Decode(got)
			if !reflect.DeepEqual(b.Events, got.Events) || !reflect.DeepEqual(b.Rejects, got.Rejects) {
				t.Fatalf("not the same before %q:\n%+v\n%+v\n%+v\n%+v", behind, b.Events, got.Events, b.Rejects, got.Rejects)
			}
		}
	}
}

// FuzzJSONScan compares the scanner with encoding/json.
func FuzzJSONScan(f *testing.F) {
	for _, line := range hardLines {
		f.Add([]byte(line))
	}
	for _, s := range []string{`{"a":[1,2,{"b":null}],"c":true,"d":-0.5e+7}`, `{"a":01}`, `{"a":"\u12g4"}`, `{"a" : [ ] , "b":{ } } `, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, ok := checkJSON(b)
		trimmed := bytes.TrimLeft(b, " \t\r\n")
		want := json.Valid(b) && len(trimmed) > 0 && trimmed[0] == '{'
		if ok != want && bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < maxDepth {
			t.Fatalf("%q: got %v, want %v", b, ok, want)
		}
		// The cache of keys changes no answer, cold or warm or after other keys.
		cached := &keyCache{}
		for _, line := range [][]byte{b, b, []byte(samples["json"]), b} {
			gotPos, gotOK := cached.check(line)
			wantPos, wantOK := checkJSON(line)
			if gotPos != wantPos || gotOK != wantOK {
				t.Fatalf("%q: got %d %v, want %d %v", line, gotPos, gotOK, wantPos, wantOK)
			}
			for _, behind := range []string{`"}`, "0123456789.0123456789", " \"a\":1}"} { // readable beyond the line
				behind += samples["json"]
				long := append(bytes.Clone(line), behind...)
				gotPos, gotOK := cached.check(long[:len(line)])
				if gotPos != wantPos || gotOK != wantOK {
					t.Fatalf("%q before %q: got %d %v, want %d %v", line, behind, gotPos, gotOK, wantPos, wantOK)
				}
			}
		}
		if !ok || !utf8.Valid(b) {
			return
		}
		// What encoding/json makes of the fields must be found in the event.
		var m map[string]any
		if json.Unmarshal(b, &m) != nil {
			return
		}
		batch := &millrace.Batch{}
		batch.Reset(&millrace.Record{Arrived: arrivedTest, Format: "json"})
		new(Decoder).DecodeFrame(batch, 0, b)
		if len(batch.Events) != 1 {
			t.Fatalf("%q: %d events, %+v", b, len(batch.Events), batch.Rejects)
		}
		e := &batch.Events[0]
		for k, v := range m {
			s, isString := v.(string)
			got, has := e.Attr(k)
			if slot, _ := jsonField(k); slot == slotNone && isString && (!has || got.String() != s) {
				t.Fatalf("%q: attribute %q is %q, want %q", b, k, got.String(), s)
			}
		}
	})
}
