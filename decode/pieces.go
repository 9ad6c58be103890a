package decode

import (
	"encoding/binary"
	"unsafe"

	"github.com/millrace/millrace"
)

// Bodies of structured protocols (OTLP, _bulk, Loki, Sentry, …) are no lines:
// what several events share is said once, before them. Split takes such a body
// apart into pieces, one per event, and checks each cheaply; a queue record then
// holds pieces as the client wrote them, and a Decoder reads them.
//
// A frame of such a record is
//
//	uvarint back
//	uvarint n, n bytes of context    if back is 0
//	the item                         the rest of the frame
//
// back tells how many bytes before the frame's first another frame of the same
// record begins, whose context (it has back 0) is this one's too. An event's
// context is what it shares with those around it: resource and scope, the labels
// of a stream, an envelope's header.

// Piece is one event of a structured body.
type Piece struct {
	// Source is where the event belongs by its own word, such as the index of a
	// _bulk item; "" is the request's source. It is a valid name.
	Source string
	// Context is what the event shares with others. Pieces with the same context
	// have the same slice, not only the same bytes: it is stored once.
	Context []byte
	Item    []byte
	Index   int // its place in the request, from 1, for answers
	// ID is the client's own name of the event, or a hash of it; all zero if it
	// has none. A piece whose ID was seen is a duplicate.
	ID [16]byte
}

// RefusedPiece is a part of a structured body that became no event.
type RefusedPiece struct {
	Index          int // its place in the request, from 1
	Reason, Detail string
	Example        string
	Context        []byte // that of its piece if it is known, for answers
}

// Pieces is the result of Split. Reuse it: Split keeps its memory. It borrows
// from the body. Not safe for concurrent use.
type Pieces struct {
	Events  []Piece
	Refused []RefusedPiece
	// Skipped counts what the body carries besides events, such as a session of
	// an app, by kind: it is no fault, and not stored.
	Skipped []millrace.Refusal

	text []byte
	bulk *bulkMemory
}

// Reset empties p and keeps its memory, unless that is very large.
func (p *Pieces) Reset() {
	const keep = 1 << 16
	if cap(p.Events) > keep || cap(p.text) > 1<<20 {
		*p = Pieces{bulk: p.bulk}
		return
	}
	clear(p.Events)
	clear(p.Refused)
	clear(p.Skipped)
	p.Events, p.Refused, p.Skipped, p.text = p.Events[:0], p.Refused[:0], p.Skipped[:0], p.text[:0]
}

// Text returns a slice of length zero and capacity n that lives as long as the
// pieces, for contexts and items that are not in the body as they are.
func (p *Pieces) Text(n int) []byte {
	if cap(p.text)-len(p.text) < n {
		p.text = make([]byte, 0, max(4096, 2*cap(p.text), n))
	}
	i := len(p.text)
	p.text = p.text[:i+n]
	return p.text[i : i : i+n]
}

// refuse notes a part of the body that cannot become an event. The details of
// more than maxDetails are left out: nobody reads them.
func (p *Pieces) refuse(index int, reason, detail string, part []byte) {
	r := RefusedPiece{Index: index, Reason: reason}
	if len(p.Refused) < maxDetails {
		r.Detail, r.Example = detail, millrace.Example(part)
	}
	p.Refused = append(p.Refused, r)
}

// skip counts n parts of a kind that are no events.
func (p *Pieces) skip(reason string, n int64, example []byte) {
	for i := range p.Skipped {
		if p.Skipped[i].Reason == reason {
			p.Skipped[i].Events += n
			return
		}
	}
	p.Skipped = append(p.Skipped, millrace.Refusal{Reason: reason, Events: n, Example: millrace.Example(example)})
}

// Structured reports whether a format's bodies are split into pieces instead of
// lines.
func Structured(name string) bool {
	f, err := lookupFormat(name)
	return err == nil && f.split != nil
}

// Known returns ErrInvalid, with the formats there are, if name is none.
func Known(name string) error {
	_, err := lookupFormat(name)
	return err
}

// Split splits a body of a structured format (see Structured). extra is what
// the request says about all events beside the body, a JSON object or nil; which
// formats look at it they say. What Split finds fault with in single events is
// in res.Refused. An error means that nothing of the body can be used: ErrInvalid
// says what is wrong and where. res is overwritten. lim.MaxLine does not apply.
func Split(name string, extra, body []byte, lim Limits, res *Pieces) error {
	res.Reset()
	f, err := lookupFormat(name)
	if err != nil {
		return err
	}
	if f.split == nil {
		return millrace.Errorf(millrace.ErrInvalid, "format %q is of lines", name)
	}
	if lim.MaxEvent <= 0 {
		lim.MaxEvent = DefaultMaxEvent
	}
	return f.split(res, extra, body[:len(body):len(body)], lim)
}

// AppendPiece appends a frame of a structured record. back is how many bytes
// before the frame's first the frame begins that holds its context; 0 writes
// the context into this one.
func AppendPiece(dst []byte, back int, p *Piece) []byte {
	dst = binary.AppendUvarint(dst, uint64(back))
	if back == 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.Context)))
		dst = append(dst, p.Context...)
	}
	return append(dst, p.Item...)
}

// PieceSize is what AppendPiece appends at most if the context is (not) shared.
func PieceSize(p *Piece, shared bool) int {
	if shared {
		return binary.MaxVarintLen32 + len(p.Item)
	}
	return 1 + binary.MaxVarintLen32 + len(p.Context) + len(p.Item)
}

// splitPiece takes the frame at payload[at:end] apart. ok is false if it is
// damaged.
func splitPiece(payload []byte, at, end int) (context, item []byte, ok bool) {
	if at < 0 || end > len(payload) || at > end {
		return nil, nil, false
	}
	frame := payload[at:end:end]
	back, n := binary.Uvarint(frame)
	if n <= 0 {
		return nil, nil, false
	}
	if back == 0 {
		context, item, ok = inlineContext(frame[n:])
		return context, withRest(payload, item, end), ok
	}
	if back > uint64(at) {
		return nil, nil, false
	}
	origin := payload[at-int(back) : at]
	if len(origin) == 0 || origin[0] != 0 {
		return nil, nil, false
	}
	context, _, ok = inlineContext(origin[1:])
	return context, withRest(payload, frame[n:], end), ok
}

// withRest gives an item that ends at end the capacity of its payload, whose
// bytes behind it may be read, see words.go.
func withRest(payload, item []byte, end int) []byte { return payload[end-len(item) : end] }

func inlineContext(b []byte) (context, item []byte, ok bool) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return nil, nil, false
	}
	b = b[n:]
	return b[:size:size], b[size:], true
}

// piece decodes a frame of a structured record. The frame lies within the
// record's payload; if it does not, it must hold its own context.
func (d *Decoder) piece(b *millrace.Batch, f *format, ordinal int32, frame []byte) {
	payload, at := b.Record.Payload, offsetIn(b.Record.Payload, frame)
	if at < 0 {
		payload, at = frame, 0
	}
	context, item, ok := splitPiece(payload, at, at+len(frame))
	if !ok {
		b.Reject(ordinal, ReasonBadFrame, "the frame's context is not in the record", frame)
		return
	}
	d.b, d.distinct = b, false
	n := len(b.Events)
	f.piece(d, ordinal, context, item)
	if len(b.Events) > n {
		finish(d, &b.Events[n])
	}
}

// offsetIn returns where part begins in whole, -1 if it lies elsewhere.
func offsetIn(whole, part []byte) int {
	if len(whole) == 0 || len(part) == 0 {
		return -1
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(part))) - uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	if at > uintptr(len(whole)) || uintptr(len(part)) > uintptr(len(whole))-at {
		return -1
	}
	return int(at)
}

// SameContext reports whether two pieces share their context.
func SameContext(a, b *Piece) bool {
	return len(a.Context) == len(b.Context) && (len(a.Context) == 0 || unsafe.SliceData(a.Context) == unsafe.SliceData(b.Context))
}

// IDs calls f with the ID of each frame of a record whose client named its
// events, as Split found it; formats without IDs have none. It is how a restarted
// server learns what it has.
func IDs(r *millrace.Record, f func(id [16]byte)) {
	format, err := lookupFormat(r.Format)
	if err != nil || format.id == nil {
		return
	}
	at := 0
	for _, n := range r.Frames {
		end := at + int(n)
		if context, item, ok := splitPiece(r.Payload, at, min(end, len(r.Payload))); ok {
			if id := format.id(context, item); id != ([16]byte{}) {
				f(id)
			}
		}
		at = end
	}
}
