package queue

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// Limits of one record.
const (
	// MaxPayload is what ingest may put into one record.
	MaxPayload = 1 << 20
	// MaxFrames bounds the events of one record: four bytes an event in a full
	// payload. It keeps the frame header below a quarter of the record limit.
	MaxFrames = 1 << 18
	// MaxRecord bounds a record with its headers. A batch of one record must
	// fit batchBytes; 1 KiB is ample for the batch's and record's own fields.
	MaxRecord = batchBytes - 1<<10

	batchBytes = 2 << 20 // of the topic (max.message.bytes) and the producer
)

// Header keys and the format version; see FORMAT.md.
const (
	headerVersion = "v"
	headerMeta    = "m"
	headerFrames  = "f"
	formatVersion = 1
)

var versionValue = []byte{formatVersion}

// encode returns r as a Kafka record for the partition, stamped with arrived
// (ns). The value is r.Payload itself, not a copy.
func encode(r *millrace.Record, topic string, partition int32, arrived int64) (*kgo.Record, error) {
	if err := check(r); err != nil {
		return nil, err
	}
	// One buffer for both headers: an allocation less per record.
	buf := make([]byte, 0, metaSize(r)+framesSize(r.Frames))
	buf = appendMeta(buf, r, arrived)
	cut := len(buf)
	for _, n := range r.Frames {
		buf = binary.AppendUvarint(buf, uint64(n))
	}
	if size := len(buf) + len(r.Payload); size > MaxRecord {
		return nil, millrace.Errorf(millrace.ErrTooLarge,
			"a queue record of %d bytes with its headers is over the limit of %d", size, MaxRecord)
	}
	return &kgo.Record{
		Topic: topic, Partition: partition,
		Timestamp: time.Unix(0, arrived),
		Value:     r.Payload,
		Headers: []kgo.RecordHeader{
			{Key: headerVersion, Value: versionValue},
			{Key: headerMeta, Value: buf[:cut:cut]},
			{Key: headerFrames, Value: buf[cut:]},
		},
	}, nil
}

// check reports what decode would refuse.
func check(r *millrace.Record) error {
	if len(r.Payload) > MaxPayload {
		return millrace.Errorf(millrace.ErrTooLarge,
			"a queue record's payload of %d bytes is over the limit of %d", len(r.Payload), MaxPayload)
	}
	if len(r.Frames) > MaxFrames {
		return millrace.Errorf(millrace.ErrTooLarge,
			"a queue record of %d events is over the limit of %d", len(r.Frames), MaxFrames)
	}
	var sum int64
	for _, n := range r.Frames {
		sum += int64(n)
	}
	if sum != int64(len(r.Payload)) {
		return millrace.Errorf(millrace.ErrInvalid,
			"the events of a queue record add up to %d bytes, its payload has %d", sum, len(r.Payload))
	}
	if r.Rules < 0 || r.Seq < 0 || r.Part < 0 || r.Parts < 0 || r.Part > 0 && r.Part >= r.Parts {
		return millrace.Errorf(millrace.ErrInvalid,
			"queue record with rules %d, sequence %d, part %d of %d", r.Rules, r.Seq, r.Part, r.Parts)
	}
	for i := range r.Refused {
		if r.Refused[i].Events < 0 {
			return millrace.Errorf(millrace.ErrInvalid, "queue record with %d refused events", r.Refused[i].Events)
		}
	}
	return nil
}

// metaStrings lists the strings of the meta header in their order on disk.
func metaStrings(r *millrace.Record) [9]*string {
	return [...]*string{
		&r.Project, &r.Source, &r.Format, &r.Service, &r.Host, &r.Env, &r.Release, &r.Sender, &r.Client,
	}
}

func appendMeta(b []byte, r *millrace.Record, arrived int64) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(arrived))
	b = binary.AppendUvarint(b, uint64(r.Rules))
	b = binary.AppendUvarint(b, uint64(r.Seq))
	b = binary.AppendUvarint(b, uint64(r.Part))
	b = binary.AppendUvarint(b, uint64(r.Parts))
	for _, s := range metaStrings(r) {
		b = appendString(b, *s)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Refused)))
	for i := range r.Refused {
		f := &r.Refused[i]
		b = appendString(b, f.Reason)
		b = binary.AppendUvarint(b, uint64(f.Events))
		b = appendString(b, f.Example)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// metaSize is an upper bound: every number at its longest that matters.
func metaSize(r *millrace.Record) int {
	n := 8 + 4*binary.MaxVarintLen64 + 3
	for _, s := range metaStrings(r) {
		n += 3 + len(*s)
	}
	for i := range r.Refused {
		n += 3 + binary.MaxVarintLen64 + 3 + len(r.Refused[i].Reason) + len(r.Refused[i].Example)
	}
	return n
}

func framesSize(frames []uint32) int {
	n := 0
	for _, f := range frames {
		n++
		for ; f >= 1<<7; f >>= 7 {
			n++
		}
	}
	return n
}

// corrupt is the error of a record that this version cannot read.
func corrupt(format string, args ...any) error {
	return &millrace.Error{
		Code: millrace.ErrCorrupt, Op: "decode queue record", Message: fmt.Sprintf(format, args...),
		Hint: "the record was written by another program or version, or is damaged; it is set aside",
	}
}

// decode reads a polled Kafka record. The payload aliases k.Value. On error
// the record still has its place, its time (from Kafka's timestamp) and its
// payload, so that it can be set aside.
func decode(k *kgo.Record) (*millrace.Record, error) {
	r := &millrace.Record{
		Partition: k.Partition, Offset: k.Offset,
		Arrived: k.Timestamp.UnixNano(), Payload: k.Value,
	}
	arrived := r.Arrived
	if err := decodeInto(r, k.Headers); err != nil {
		return &millrace.Record{Partition: k.Partition, Offset: k.Offset, Arrived: arrived, Payload: k.Value}, err
	}
	return r, nil
}

func decodeInto(r *millrace.Record, headers []kgo.RecordHeader) error {
	var version, meta, frames []byte
	for _, h := range headers {
		switch h.Key {
		case headerVersion:
			version = h.Value
		case headerMeta:
			meta = h.Value
		case headerFrames:
			frames = h.Value
		}
	}
	switch {
	case version == nil:
		return corrupt("no version header: written by another program")
	case len(version) != 1:
		return corrupt("version header of %d bytes", len(version))
	case version[0] != formatVersion:
		return corrupt("format version %d; this program reads version %d", version[0], formatVersion)
	}
	if err := decodeMeta(r, meta); err != nil {
		return err
	}
	if err := decodeFrames(r, frames); err != nil {
		return err
	}
	if err := check(r); err != nil {
		return corrupt("%s", millrace.ErrorMessage(err))
	}
	return nil
}

// reader takes the meta header apart. Strings are substrings of one copy of
// the header, so a record costs one allocation for all of them.
type reader struct {
	b   []byte
	s   string // same bytes as b
	bad bool
}

func (d *reader) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.bad = true
		d.b, d.s = nil, ""
		return 0
	}
	d.b, d.s = d.b[n:], d.s[n:]
	return v
}

func (d *reader) string() string {
	n := d.uvarint(math.MaxInt32)
	if n > uint64(len(d.b)) {
		d.bad = true
		d.b, d.s = nil, ""
		return ""
	}
	out := d.s[:n]
	d.b, d.s = d.b[n:], d.s[n:]
	return out
}

func decodeMeta(r *millrace.Record, meta []byte) error {
	if len(meta) < 8 {
		return corrupt("meta header of %d bytes", len(meta))
	}
	r.Arrived = int64(binary.LittleEndian.Uint64(meta))
	d := reader{b: meta[8:], s: string(meta[8:])}
	r.Rules = int64(d.uvarint(math.MaxInt64))
	r.Seq = int64(d.uvarint(math.MaxInt64))
	r.Part = int32(d.uvarint(math.MaxInt32))
	r.Parts = int32(d.uvarint(math.MaxInt32))
	for _, s := range metaStrings(r) {
		*s = d.string()
	}
	// A refusal takes at least three bytes, which bounds the allocation.
	if n := d.uvarint(uint64(len(d.b) / 3)); n > 0 {
		r.Refused = make([]millrace.Refusal, n)
		for i := range r.Refused {
			r.Refused[i] = millrace.Refusal{
				Reason: d.string(), Events: int64(d.uvarint(math.MaxInt64)), Example: d.string(),
			}
		}
	}
	if d.bad || len(d.b) != 0 {
		return corrupt("meta header of %d bytes is damaged", len(meta))
	}
	return nil
}

func decodeFrames(r *millrace.Record, b []byte) error {
	n := 0
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	if n == 0 && len(b) == 0 {
		return nil
	}
	if n > MaxFrames {
		return corrupt("%d events; the limit is %d", n, MaxFrames)
	}
	r.Frames = make([]uint32, n)
	for i := range r.Frames {
		v, size := binary.Uvarint(b)
		if size <= 0 || v > math.MaxUint32 {
			return corrupt("the length of event %d is damaged", i)
		}
		r.Frames[i] = uint32(v)
		b = b[size:]
	}
	if len(b) != 0 {
		return corrupt("frame header ends within a number")
	}
	return nil
}
