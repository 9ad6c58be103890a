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

// Batch is the decoded form of one record. It is reused: Reset keeps capacity.
type Batch struct {
	Record  *Record
	Events  []Event  // ascending ordinals
	Rejects []Reject // ascending ordinals
	attrs   []Attr
	text    []byte
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
	clear(b.Events)
	b.Events = b.Events[:0]
	b.Rejects = b.Rejects[:0]
	clear(b.attrs)
	b.attrs = b.attrs[:0]
	b.text = b.text[:0]
}

// Add appends an event preset from the record and returns it. The pointer is
// valid until the next Add. Its Attrs have capacity in the batch's arena.
func (b *Batch) Add(ordinal int32) *Event {
	r := b.Record
	b.Events = append(b.Events, Event{
		Time: r.Arrived, Weight: 1, Ordinal: ordinal,
		Project: r.Project, Source: r.Source, Service: r.Service,
		Host: r.Host, Env: r.Env, Release: r.Release,
	})
	e := &b.Events[len(b.Events)-1]
	e.Attrs = b.arena(attrsPerEvent)
	return e
}

// Drop takes back the event added last, with the memory for its attributes
// unless they outgrew it. For decoders that try one format after the other.
func (b *Batch) Drop() {
	n := len(b.Events) - 1
	attrs := b.Events[n].Attrs[:1]
	b.Events = b.Events[:n]
	if i := len(b.attrs) - attrsPerEvent; i >= 0 && &b.attrs[i] == &attrs[0] {
		b.attrs = b.attrs[:i]
	}
}

// attrsPerEvent is the capacity an event's Attrs start with: access lines have
// about twelve, and append grows the rest.
const attrsPerEvent = 16

// arena hands out a zero-length slice of capacity n from one backing array, so
// that a batch of thousands of events allocates a few times, not thousands.
func (b *Batch) arena(n int) []Attr {
	if cap(b.attrs)-len(b.attrs) < n {
		b.attrs = make([]Attr, 0, max(4096, 2*cap(b.attrs)))
	}
	i := len(b.attrs)
	b.attrs = b.attrs[:i+n]
	return b.attrs[i : i : i+n]
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
