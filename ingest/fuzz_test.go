package ingest

import (
	"encoding/json"
	"testing"

	"github.com/millrace/millrace/decode"
)

// FuzzBody checks that no body makes the handler panic, that every line framed
// is accepted or rejected, and that records hold exactly the accepted events.
func FuzzBody(f *testing.F) {
	formats := decode.Formats()
	f.Add([]byte("{\"a\":1}\n\nnot json\n"), "", uint8(0))
	f.Add([]byte("a\r\nb\n\tat x\nc"), "", uint8(0))
	f.Add(gzipped(f, []byte("hello\nworld")), "gzip", uint8(6))
	f.Add(zstded(f, []byte("{\"a\":\n")), "zstd", uint8(4))
	f.Add([]byte("\xEF\xBB\xBF\xff\xfe\x00\n"), "", uint8(7))
	f.Fuzz(func(t *testing.T, body []byte, encoding string, format uint8) {
		fx := setup(t, func(o *Options) { o.MaxBody, o.MaxCompressed, o.MaxLine = 64<<10, 64<<10, 256 })
		name := formats[int(format)%len(formats)]
		switch encoding {
		case "", "gzip", "zstd":
		default:
			encoding = ""
		}
		w := fx.do("POST", "/ingest?format="+name, body, "Content-Encoding", encoding)
		var answer struct {
			Accepted int
			Rejected int `json:"rejected_total"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("answer %d %q: %v", w.Code, w.Body, err)
		}
		stored, refused := 0, 0
		for _, r := range fx.take() {
			sum := 0
			for _, n := range r.Frames {
				sum += int(n)
			}
			if sum != len(r.Payload) || sum == 0 {
				t.Fatalf("frames of %d bytes for a payload of %d", sum, len(r.Payload))
			}
			stored += len(r.Frames)
			for _, x := range r.Refused {
				refused += int(x.Events)
			}
		}
		if w.Code == 200 && (stored != answer.Accepted || refused != answer.Rejected) {
			t.Fatalf("stored %d and refused %d, answered %+v", stored, refused, answer)
		}
		if w.Code != 200 && stored != 0 {
			t.Fatalf("answered %d, stored %d", w.Code, stored)
		}
		if encoding != "" || w.Code == 413 {
			return
		}
		var res decode.Framing
		if err := decode.Frame(name, body, decode.Limits{MaxLine: 256, MaxEvent: maxRecord}, &res); err != nil {
			t.Fatal(err)
		}
		if answer.Accepted != len(res.Events) || answer.Rejected != len(res.Refused) {
			t.Fatalf("answered %+v, framed %d and refused %d", answer, len(res.Events), len(res.Refused))
		}
	})
}
