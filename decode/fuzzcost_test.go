package decode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// What a body of at most costBody bytes may cost at most, from the body to its
// events: a client that sends many small ones must not be able to occupy the
// server with them.
const (
	costBody  = 1 << 10
	costAlloc = 10 << 20 // bytes
	costTime  = 100 * time.Millisecond
)

// fuzzCost splits or frames body and decodes it, both with new state, and fails
// if a body of at most costBody bytes costs more than costAlloc or costTime.
// extra is for Split. It returns what was decoded.
func fuzzCost(t testing.TB, format string, extra, body []byte) *millrace.Batch {
	t.Helper()
	var b *millrace.Batch
	run := func() {
		b = &millrace.Batch{}
		if Structured(format) {
			b.Reset(splitRecord(t, format, extra, body))
		} else {
			r, _ := recordOf(t, format, body)
			b.Reset(r)
		}
		new(Decoder).Decode(b)
	}
	if len(body) > costBody {
		run()
		return b
	}
	boundCost(t, run)
	return b
}

// boundCost runs f and fails if it allocates more than costAlloc bytes or takes
// longer than costTime in each of a few tries: other processes take time, and
// other tests allocate.
func boundCost(t testing.TB, f func()) {
	t.Helper()
	var alloc uint64
	var took time.Duration
	for range 5 {
		before, begun := allocated(), time.Now()
		f()
		took, alloc = time.Since(begun), allocated()-before
		if took <= costTime && alloc <= costAlloc {
			return
		}
	}
	t.Fatalf("%d bytes allocated in %s, the limits are %d and %s", alloc, took, costAlloc, costTime)
}

// allocated returns how many bytes the process has ever allocated. Large objects
// count at once, small ones soon; it does not stop the world.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// splitRecord splits a body of a structured format and makes one record of its
// pieces, as ingest does. A body that Split refuses gives an empty one.
func splitRecord(t testing.TB, format string, extra, body []byte) *millrace.Record {
	t.Helper()
	var p Pieces
	if err := Split(format, extra, body, Limits{}, &p); err != nil {
		if code := millrace.ErrorCode(err); code != millrace.ErrInvalid && code != millrace.ErrTooLarge {
			t.Fatalf("Split returned %s: %v", code, err)
		}
		p.Reset()
	}
	return pieceRecord(format, &p)
}

// pieceRecord makes one record of pieces. Its payload is a copy.
func pieceRecord(format string, p *Pieces) *millrace.Record {
	r := &millrace.Record{
		Arrived: arrivedTest, Project: "default", Source: "src", Format: format, Sender: "10.9.8.7",
	}
	origin := 0
	for i := range p.Events {
		at, back := len(r.Payload), 0
		if i > 0 && SameContext(&p.Events[i], &p.Events[i-1]) {
			back = at - origin
		} else {
			origin = at
		}
		r.Payload = AppendPiece(r.Payload, back, &p.Events[i])
		r.Frames = append(r.Frames, uint32(len(r.Payload)-at))
	}
	return r
}

// FuzzStructured holds what is true of every structured format: no panic, each
// piece is one event or one reject, attributes are JSON, decoding again gives
// the same whatever was decoded in between, nothing is written to, and the cost
// is bounded.
func FuzzStructured(f *testing.F) {
	for i, name := range StructuredFormats() {
		for _, body := range structuredSeeds[name] {
			f.Add([]byte(body), []byte(nil), uint8(i))
			f.Add([]byte(body), []byte(`{"a":"b"}`), uint8(i))
		}
		f.Add([]byte("{}\n"), []byte(nil), uint8(i))
		f.Add([]byte{}, []byte(nil), uint8(i))
	}
	f.Fuzz(func(t *testing.T, body, extra []byte, n uint8) {
		names := StructuredFormats()
		if len(names) == 0 {
			t.Skip("there is none")
		}
		if !json.Valid(extra) || extra[0] != '{' {
			extra = nil
		}
		checkStructured(t, names[int(n)%len(names)], extra, body)
	})
}

// structuredSeeds has small bodies by format. Each format's own tests add theirs
// in an init function.
var structuredSeeds = map[string][]string{}

// checkStructured is FuzzStructured for one body; fuzz targets of a single
// format use it, too.
func checkStructured(t *testing.T, format string, extra, body []byte) {
	t.Helper()
	keep := bytes.Clone(body)
	b := fuzzCost(t, format, extra, body)
	if !bytes.Equal(keep, body) {
		t.Fatal("the body was written to")
	}
	checkBatch(t, b)
	for i := range b.Events {
		if attrs := millrace.AppendAttrs(nil, b.Events[i].Attrs); !json.Valid(attrs) {
			t.Fatalf("attributes are no JSON: %s", attrs)
		}
	}
	// A decoder that has seen other records gives the same, twice.
	var d Decoder
	other, again := &millrace.Batch{}, &millrace.Batch{}
	for range 2 {
		for _, seed := range structuredSeeds[format] {
			other.Reset(splitRecord(t, format, nil, []byte(seed)))
			d.Decode(other)
		}
		again.Reset(splitRecord(t, format, extra, body))
		d.Decode(again)
		if !reflect.DeepEqual(b.Events, again.Events) || !reflect.DeepEqual(b.Rejects, again.Rejects) {
			t.Fatalf("not deterministic:\n%+v\n%+v", b.Events, again.Events)
		}
	}
}

// TestCostIsBounded: each format's seeds stay within what a small body may cost.
func TestCostIsBounded(t *testing.T) {
	for _, line := range hardLines {
		for _, format := range Formats() {
			fuzzCost(t, format, nil, []byte(line))
		}
	}
	for format, seeds := range structuredSeeds {
		for _, body := range seeds {
			fuzzCost(t, format, nil, []byte(body))
		}
	}
}
