package queue

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// kafkaRecord is what a consumer gets of an encoded one.
func kafkaRecord(v, m, f, value []byte) *kgo.Record {
	return &kgo.Record{
		Partition: 3, Offset: 9, Timestamp: time.UnixMilli(5), Value: value,
		Headers: []kgo.RecordHeader{{Key: "v", Value: v}, {Key: "m", Value: m}, {Key: "f", Value: f}},
	}
}

// TestFormatExample pins the bytes of FORMAT.md.
func TestFormatExample(t *testing.T) {
	r := &millrace.Record{Project: "p", Source: "s", Format: "json", Parts: 1, Frames: []uint32{3}, Payload: []byte("hi\n")}
	k, err := encode(r, "millrace", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"v": "01",
		"m": "0100000000000000" + "00000001" + "0170" + "0173" + "046a736f6e" + "000000000000" + "00",
		"f": "03",
	}
	for _, h := range k.Headers {
		if got := hex.EncodeToString(h.Value); got != want[h.Key] {
			t.Errorf("header %s is %s, want %s", h.Key, got, want[h.Key])
		}
	}
	if len(k.Headers) != len(want) || string(k.Value) != "hi\n" || k.Key != nil {
		t.Errorf("record %+v", k)
	}
}

func TestRecordLimits(t *testing.T) {
	f := func(name string, want millrace.Code, change func(r *millrace.Record)) {
		t.Helper()
		r := record("c", 1, "text")
		change(r)
		_, err := encode(r, "t", 0, 1)
		if got := millrace.ErrorCode(err); got != want {
			t.Errorf("%s: error %v, want code %q", name, err, want)
		}
	}
	f("unchanged", "", func(*millrace.Record) {})
	f("full payload", "", func(r *millrace.Record) {
		r.Payload, r.Frames = make([]byte, MaxPayload), []uint32{MaxPayload}
	})
	f("payload too large", millrace.ErrTooLarge, func(r *millrace.Record) {
		r.Payload, r.Frames = make([]byte, MaxPayload+1), []uint32{MaxPayload + 1}
	})
	f("too many frames", millrace.ErrTooLarge, func(r *millrace.Record) {
		r.Payload, r.Frames = make([]byte, MaxFrames+1), make([]uint32, MaxFrames+1)
		for i := range r.Frames {
			r.Frames[i] = 1
		}
	})
	f("frames do not add up", millrace.ErrInvalid, func(r *millrace.Record) { r.Frames[0]++ })
	f("headers too large", millrace.ErrTooLarge, func(r *millrace.Record) {
		r.Refused = []millrace.Refusal{{Example: strings.Repeat("x", MaxRecord)}}
	})
	f("part beyond parts", millrace.ErrInvalid, func(r *millrace.Record) { r.Part, r.Parts = 2, 2 })
	f("negative part", millrace.ErrInvalid, func(r *millrace.Record) { r.Part = -1 })
	f("negative sequence", millrace.ErrInvalid, func(r *millrace.Record) { r.Seq = -1 })
	f("negative refusal", millrace.ErrInvalid, func(r *millrace.Record) { r.Refused = []millrace.Refusal{{Events: -1}} })
}

// TestForeignRecords: what others wrote is marked, and kept as it is.
func TestForeignRecords(t *testing.T) {
	good, err := encode(record("c", 1, "text"), "t", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	v, m, fr := good.Headers[0].Value, good.Headers[1].Value, good.Headers[2].Value
	f := func(name, want string, k *kgo.Record) {
		t.Helper()
		r, err := decode(k)
		if millrace.ErrorCode(err) != millrace.ErrCorrupt || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
		place := &millrace.Record{Partition: 3, Offset: 9, Arrived: 5e6, Payload: k.Value}
		if !reflect.DeepEqual(r, place) {
			t.Errorf("%s: record %+v", name, r)
		}
	}
	foreign := kafkaRecord(nil, nil, nil, []byte("hello"))
	foreign.Headers = nil
	f("no headers", "another program", foreign)
	f("later version", "version 2", kafkaRecord([]byte{2}, m, fr, good.Value))
	f("long version", "2 bytes", kafkaRecord([]byte{1, 1}, m, fr, good.Value))
	f("no meta", "meta header of 0 bytes", kafkaRecord(v, nil, fr, good.Value))
	f("meta cut", "damaged", kafkaRecord(v, m[:len(m)-1], fr, good.Value))
	f("meta too long", "damaged", kafkaRecord(v, append(bytes.Clone(m), 0), fr, good.Value))
	f("frames cut", "add up", kafkaRecord(v, m, fr[:1], good.Value))
	f("frames end within a number", "within a number", kafkaRecord(v, m, append(bytes.Clone(fr), 0x80), good.Value))
	f("frame too long", "damaged", kafkaRecord(v, m, bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x7f}, 1), good.Value))
	f("no frames", "add up", kafkaRecord(v, m, nil, good.Value))
	f("no payload", "add up", kafkaRecord(v, m, fr, nil))
}

// TestForeignProducer: a record of another program comes out of Poll marked,
// between good ones.
func TestForeignProducer(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	mustAppend(t, q, record("c", 1, "one"))
	p := clientPartition("c", 4)
	foreign := &kgo.Record{Topic: q.opts.Topic, Partition: p, Key: []byte("k"), Value: []byte("raw")}
	if err := q.client.ProduceSync(t.Context(), foreign).FirstErr(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, q, record("c", 2, "two"))
	got := readAll(t, q, lows(t, q))
	if len(got) != 3 || got[0].Err != nil || got[2].Err != nil {
		t.Fatalf("polled %+v", got)
	}
	if f := got[1]; f.Err == nil || string(f.Key) != "k" || string(f.Value) != "raw" ||
		string(f.Record.Payload) != "raw" || f.Record.Offset != 1 || f.Record.Partition != p {
		t.Errorf("foreign record %+v", f)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range []*millrace.Record{
		record("", 0, ""), record("client", 1<<40, "text"),
		{Refused: []millrace.Refusal{{Reason: "bad", Events: 2, Example: "x"}}},
	} {
		k, err := encode(r, "t", 0, 1<<60)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.Headers[0].Value, k.Headers[1].Value, k.Headers[2].Value, k.Value)
	}
	f.Fuzz(func(t *testing.T, v, m, fr, value []byte) {
		r, err := decode(kafkaRecord(v, m, fr, value))
		if r == nil || r.Partition != 3 || r.Offset != 9 || !bytes.Equal(r.Payload, value) {
			t.Fatalf("record %+v", r)
		}
		if err != nil {
			if millrace.ErrorCode(err) != millrace.ErrCorrupt {
				t.Fatal(err)
			}
			return
		}
		// What decodes has a canonical form that decodes to the same.
		k, err := encode(r, "t", 3, r.Arrived)
		if millrace.ErrorCode(err) == millrace.ErrTooLarge {
			return // the fuzzer may write larger headers than we do
		}
		if err != nil {
			t.Fatal(err)
		}
		k.Offset = 9
		again, err := decode(k)
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Fatalf("decoded %+v, again %+v, %v", r, again, err)
		}
	})
}

// TestRecordAllocs is a budget: both directions run once per record, and a
// record may be as small as one line.
func TestRecordAllocs(t *testing.T) {
	r := record("client", 1, "text")
	k, err := encode(r, "t", 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	// The Kafka record, its header slice, one buffer for both headers.
	if n := testing.AllocsPerRun(100, func() { _, _ = encode(r, "t", 0, 1) }); n > 3 {
		t.Errorf("encode allocates %v times", n)
	}
	// The record, one string for all of its strings, the frames.
	if n := testing.AllocsPerRun(100, func() { _, _ = decode(k) }); n > 3 {
		t.Errorf("decode allocates %v times", n)
	}
}
