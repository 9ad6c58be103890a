package decode

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/millrace/millrace"
)

// TestKeysAreInterned: a key is the same string in all events of a decoder, and
// not one of the payload, so that later stages compare pointers first.
func TestKeysAreInterned(t *testing.T) {
	var d Decoder
	for format, line := range map[string]string{
		"json":   samples["json"],
		"logfmt": `time=2026-03-05T11:59:58.123Z msg="order placed" order=8812 user=alice amount=12.50 took=12ms`,
		"nginx":  samples["nginx"],
	} {
		first := map[string]*byte{}
		for range 3 {
			r, _ := recordOf(t, format, bytes.Repeat([]byte(line+"\n"), 50))
			b := &millrace.Batch{}
			b.Reset(r)
			d.Decode(b)
			for i := range b.Events {
				for _, a := range b.Events[i].Attrs {
					p := unsafe.StringData(a.Key)
					if first[a.Key] == nil {
						first[a.Key] = p
					} else if first[a.Key] != p {
						t.Fatalf("%s: event %d has another copy of the key %q", format, i, a.Key)
					}
				}
			}
		}
		if len(first) < 4 {
			t.Fatalf("%s: only %d keys", format, len(first))
		}
	}
}

// TestHostileKeys: lines with new keys each are decoded as any, and neither keep
// memory nor make a string of every key.
func TestHostileKeys(t *testing.T) {
	const lines = 5000
	for _, format := range []string{"json", "logfmt"} {
		var body bytes.Buffer
		for i := range lines {
			if format == "json" {
				fmt.Fprintf(&body, `{"msg":"m","key%d":"v%d","o":{"k%d":1},"last":%d}`+"\n", i, i, i, i)
			} else {
				fmt.Fprintf(&body, "msg=m key%d=v%d last=%d\n", i, i, i)
			}
		}
		r, _ := recordOf(t, format, body.Bytes())
		b := &millrace.Batch{}
		var d Decoder
		run := func() {
			b.Reset(r)
			d.Decode(b)
		}
		run()
		for i := range b.Events {
			e := &b.Events[i]
			if attr(e, fmt.Sprint("key", i)) != fmt.Sprint("v", i) || attr(e, "last") != fmt.Sprint(i) || e.Message != "m" {
				t.Fatalf("line %d became %+v", i, e)
			}
		}
		if n := testing.AllocsPerRun(5, run); n > lines/4 {
			t.Errorf("%s: %.0f allocations for %d lines", format, n, lines)
		}
	}
}

// TestKeyCacheEvicts: keys that fight for an entry within one object are found
// to be distinct or repeated as they are.
func TestKeyCacheEvicts(t *testing.T) {
	var d Decoder
	for i := range 30 {
		var line strings.Builder
		line.WriteString(`{"msg":"m"`)
		want := map[string]string{}
		for k := range 400 { // more keys than entries
			key, value := fmt.Sprint("k", (i*7+k)%390), fmt.Sprint(k)
			fmt.Fprintf(&line, `,"%s":"%s"`, key, value)
			want[key] = value
		}
		line.WriteString("}")
		b := &millrace.Batch{}
		b.Reset(&millrace.Record{Format: "json", Arrived: arrivedTest})
		d.DecodeFrame(b, 0, []byte(line.String()))
		e := &b.Events[0]
		checkEvent(t, e)
		if len(e.Attrs) != len(want) {
			t.Fatalf("%d attributes, want %d", len(e.Attrs), len(want))
		}
		for key, value := range want {
			if attr(e, key) != value {
				t.Fatalf("%s is %s, want %s", key, attr(e, key), value)
			}
		}
	}
}
