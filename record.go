package millrace

// Record is one record of the queue: up to 1 MiB of whole events as received,
// with what is needed to decode them again in exactly the same way.
type Record struct {
	// Where it lies. Filled in by the queue when polled.
	Partition int32
	Offset    int64
	Arrived   int64 // append time, ns

	Project, Source string
	Format          string // as decode names it; never "auto" for binary payloads
	Rules           int64  // version of the source's rules; 0 is "no rules"

	// Defaults for fields the lines lack, from the request's parameters, and
	// the sender's address.
	Service, Host, Env, Release string
	Sender                      string

	// The client's name for the request this record is a part of. Client is
	// empty if the client gave none; then nothing is deduplicated.
	Client string
	Seq    int64 // position of the request in the client's sequence, from 0
	Part   int32 // index of the record within the request
	Parts  int32 // how many records the request was split into

	// Frames holds the length in bytes of each event in Payload; their sum is
	// len(Payload). Framing is fixed at append, so that a later version with
	// other rules for joining lines replays the same ordinals.
	Frames  []uint32
	Refused []Refusal // what was refused at the door with this request; on the last part
	Payload []byte
}

// Refusal counts events refused at the door, before the queue.
type Refusal struct {
	Reason  string // a short stable identifier such as "bad_json" or "line_too_long"
	Events  int64
	Example string // the beginning of one of them, at most MaxExample bytes of valid UTF-8
}

// MaxExample bounds the example kept per reason, so that a ledger row stays small.
const MaxExample = 300

// Batch is the decoded form of one record. It is reused: Reset keeps capacity,
// and what the record before left beyond the events of this one is cleared at
// the Reset after, so that a batch holds on to two payloads at most.
type Batch struct {
	Record  *Record
	Events  []Event  // ascending ordinals
	Rejects []Reject // ascending ordinals

	// attrs is the arena of attributes: those of one event behind those of the
	// other, the last event's from window on. Beyond its length lies what the
	// record before left, up to usedAttrs; so it is with Events and usedEvents.
	attrs                 []Attr
	window                int
	usedEvents, usedAttrs int
	text                  []byte
}

// Reject is a frame that could not become an event.
type Reject struct {
	Ordinal int32
	Reason  string // short stable identifier
	Detail  string // for people
	Example string // at most MaxExample bytes
}

// Reset empties the batch for another record.
func (b *Batch) Reset(r *Record) {
	b.Record = r
	b.seal()
	// Add sets every field and decoders every attribute they hand out, so only
	// what the last record did not overwrite needs clearing.
	n := len(b.Events)
	// One more than were used, for an event that was cut off.
	if used := min(max(b.usedEvents, n+1), cap(b.Events)); n < used {
		clear(b.Events[n:used])
	}
	if k := len(b.attrs); k < b.usedAttrs {
		clear(b.attrs[k:b.usedAttrs])
	}
	b.usedEvents, b.usedAttrs = n, len(b.attrs)
	b.Events = b.Events[:0]
	clear(b.Rejects)
	b.Rejects = b.Rejects[:0]
	b.attrs, b.window = b.attrs[:0], 0
	b.text = b.text[:0]
}

// Add appends an event preset from the record and returns it. The pointer is
// valid until the next Add. Its Attrs have the room that is left in the batch's
// arena until then; later they have no room, so that appending copies them.
func (b *Batch) Add(ordinal int32) *Event {
	b.seal()
	n := len(b.Events)
	if n < cap(b.Events) {
		b.Events = b.Events[:n+1]
	} else {
		b.Events = append(b.Events, Event{})
	}
	// Field by field: a literal would be built aside and copied.
	e, r := &b.Events[n], b.Record
	e.Time, e.Weight = r.Arrived, 1
	e.Kind, e.Ordinal = KindLog, ordinal
	e.Project, e.Source = r.Project, r.Source
	e.Service, e.Host, e.Env, e.Release = r.Service, r.Host, r.Env, r.Release
	e.Level, e.TraceID, e.Message = "", "", ""
	e.Report, e.HasTime, e.MultiLine = nil, false, false
	if cap(b.attrs)-len(b.attrs) < attrsPerEvent {
		b.attrs = make([]Attr, 0, max(4096, 2*cap(b.attrs)))
		b.usedAttrs = 0
	}
	b.window = len(b.attrs)
	e.Attrs = b.attrs[b.window:b.window:cap(b.attrs)]
	return e
}

// Drop takes back the event added last, with the memory for its attributes. For
// decoders that try one format after the other.
func (b *Batch) Drop() {
	n := len(b.Events) - 1
	clear(b.Events[n].Attrs)
	b.Events[n] = Event{}
	b.Events = b.Events[:n]
	b.attrs = b.attrs[:b.window]
}

// attrsPerEvent is the room in the arena that an event's Attrs have at least.
// What most lines have fits; append moves the others out of the arena.
const attrsPerEvent = 64

// seal ends the room of the event added last. If that event is gone, or its
// attributes outgrew the arena, the room is free again.
func (b *Batch) seal() {
	used := b.window
	if n := len(b.Events); n > 0 {
		e := &b.Events[n-1]
		if cap(e.Attrs) > 0 && cap(e.Attrs) == cap(b.attrs)-b.window && &e.Attrs[:1][0] == &b.attrs[:b.window+1][b.window] {
			used += len(e.Attrs)
			e.Attrs = e.Attrs[:len(e.Attrs):len(e.Attrs)]
		}
	}
	b.attrs = b.attrs[:used]
	b.window = used
}

// Grow makes room for n more attributes of e, an event of b, in the batch's
// arena; without it an event that others were added behind would leave the
// arena with the first one appended.
func (b *Batch) Grow(e *Event, n int) {
	if cap(e.Attrs)-len(e.Attrs) >= n {
		return
	}
	b.seal()
	need := len(e.Attrs) + n
	if cap(b.attrs)-len(b.attrs) < need {
		b.attrs = make([]Attr, 0, max(4096, 2*cap(b.attrs), need))
		b.usedAttrs = 0
	}
	at := len(b.attrs)
	b.attrs = b.attrs[:at+need]
	b.window = at + need
	e.Attrs = append(b.attrs[at:at:at+need], e.Attrs...)
}

// Text returns a slice of length zero and capacity n that lives as long as the
// batch's events, for strings that are not in the payload as they are, such as
// unescaped ones. Memory handed out before stays valid.
func (b *Batch) Text(n int) []byte {
	if cap(b.text)-len(b.text) < n {
		b.text = make([]byte, 0, max(4096, 2*cap(b.text), n))
	}
	i := len(b.text)
	b.text = b.text[:i+n]
	return b.text[i : i : i+n]
}

// Reject records that a frame could not be decoded.
func (b *Batch) Reject(ordinal int32, reason, detail string, frame []byte) {
	b.Rejects = append(b.Rejects, Reject{ordinal, reason, detail, Example(frame)})
}
