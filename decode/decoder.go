package decode

import (
	"bytes"

	"github.com/millrace/millrace"
)

// Decoder turns the frames of a record into events. One per goroutine, reused;
// the zero value is ready. What it remembers between records makes it faster and
// changes no result, so that replay gives the same events.
//
// Ownership: strings of the decoded events point into the record's payload, or
// where a string had to be unescaped into memory of the batch. They are valid
// until the batch is reset and as long as nobody writes to the payload.
type Decoder struct {
	b     *millrace.Batch
	seen  map[string]int // keys of an event with very many attributes
	key   []byte         // dotted name of a nested field
	js    jsonEvent
	shape shape // of the JSON lines before
	// keys of JSON, and those of nested objects and of logfmt, made when needed
	keys         keyCache
	inner, pairs *keyCache
	// minute is that of the last time in RFC 3339
	minute minute
	clf    clfMinute // that of the last time of an access line
	// sentryState is made when needed
	sentryState *sentryState
	// distinct tells that the event's attributes are known to have distinct keys,
	// which spares finish the check; parsers that know say so.
	distinct bool
	loki     lokiStream // whose entries were read last
	bulks    *bulkState // of _bulk items, made when needed
	otlp     *otlpState // of OTLP, made when needed
	// nestedText is a nested value that is being written as JSON.
	nestedText []byte
}

// Decode decodes b.Record into b.Events and b.Rejects, which it expects empty
// (Batch.Reset). Every frame ends as exactly one event or one reject with the
// frame's index as ordinal. A frame that goes beyond the payload is rejected
// as "bad_frame", so is every frame of a record whose format is unknown.
func (d *Decoder) Decode(b *millrace.Batch) {
	d.loki.forget()
	payload, at := b.Record.Payload, 0
	payload = payload[:len(payload):len(payload)] // frames may be read beyond their end, see words.go
	f, err := lookupFormat(b.Record.Format)
	for i, n := range b.Record.Frames {
		end := at + int(n)
		switch {
		case end > len(payload):
			b.Reject(int32(i), ReasonBadFrame, "the frame ends beyond the payload", payload[min(at, len(payload)):])
		case err != nil:
			b.Reject(int32(i), ReasonUnknownFormat, millrace.ErrorMessage(err), payload[at:end])
		default:
			d.frame(b, f, int32(i), payload[at:end])
		}
		at = end
	}
	d.b = nil
}

// DecodeFrame decodes a single frame of b.Record and appends one event or one
// reject to b. The frame must stay unchanged as long as b is in use.
func (d *Decoder) DecodeFrame(b *millrace.Batch, ordinal int32, frame []byte) {
	d.loki.follow(b.Record, ordinal)
	f, err := lookupFormat(b.Record.Format)
	if err != nil {
		b.Reject(ordinal, ReasonUnknownFormat, millrace.ErrorMessage(err), frame)
		return
	}
	d.frame(b, f, ordinal, frame[:len(frame):len(frame)])
	d.b = nil
}

// Reasons of rejects. Those for a format are "not_" and its name.
const (
	ReasonBadFrame      = "bad_frame"
	ReasonUnknownFormat = "unknown_format"
	ReasonEmpty         = "empty"
	ReasonNotNginx      = "not_nginx"
	ReasonNotApache     = "not_apache"
	ReasonNotJSON       = "not_json"
	ReasonNotLogfmt     = "not_logfmt"
	ReasonNotSyslog     = "not_syslog"
)

func (d *Decoder) frame(b *millrace.Batch, f *format, ordinal int32, frame []byte) {
	if f.piece != nil {
		d.piece(b, f, ordinal, frame)
		return
	}
	frame = trimEnd(frame)
	if blank(frame) {
		b.Reject(ordinal, ReasonEmpty, "the frame is blank", frame)
		return
	}
	d.b, d.distinct = b, false
	n := len(b.Events)
	f.frame(d, ordinal, frame)
	if len(b.Events) > n {
		finish(d, &b.Events[n])
	}
}

// auto detects the format of one frame. It rejects nothing: what fits no
// format is a log event of its own text.
func (d *Decoder) auto(ordinal int32, frame []byte) { d.anyLine(d.b.Add(ordinal), frame) }

// anyLine is auto for a line that is (part of) an event already; it is not blank.
func (d *Decoder) anyLine(e *millrace.Event, frame []byte) {
	object := frame[0] == '{' && likelyJSON(frame)
	if object && d.parseJSON(e, frame) {
		return
	}
	if bytes.IndexByte(frame, '\n') >= 0 {
		// Joined lines are an application's, perhaps behind a syslog header, or
		// a JSON object.
		if !object && frame[0] == '{' && d.parseJSON(e, frame) || d.parseSyslog(e, frame) {
			return
		}
	} else if d.structured(e, frame) {
		return
	}
	d.textInto(e, frame)
}

// structured reports whether the line is an access log, syslog, a container's
// line or logfmt, in this order, which it then makes e. It is not JSON.
func (d *Decoder) structured(e *millrace.Event, line []byte) bool {
	if line[0] != '{' && (d.parseAccess(e, line) || d.parseSyslog(e, line) || d.parseCRI(e, line)) {
		return true
	}
	return d.parseLogfmt(e, line)
}

// undo makes an event again as Batch.Add returned it, after a parser gave up
// half-way.
func (d *Decoder) undo(e *millrace.Event) {
	clear(e.Attrs)
	r := d.b.Record
	*e = millrace.Event{
		Time: r.Arrived, Weight: 1, Ordinal: e.Ordinal,
		Project: r.Project, Source: r.Source, Service: r.Service,
		Host: r.Host, Env: r.Env, Release: r.Release, Attrs: e.Attrs[:0],
	}
}

// explicit runs the parser of an explicit format and rejects what does not fit.
func (d *Decoder) explicit(ordinal int32, frame []byte, parse func(*Decoder, *millrace.Event, []byte) bool, reason, want string) {
	if parse(d, d.b.Add(ordinal), frame) {
		return
	}
	d.b.Drop()
	d.b.Reject(ordinal, reason, "expected "+want, frame)
}

func (d *Decoder) nginx(ordinal int32, frame []byte) {
	d.explicit(ordinal, frame, (*Decoder).parseAccessLog, ReasonNotNginx,
		"an access log line such as nginx writes by default (combined)")
}

func (d *Decoder) apache(ordinal int32, frame []byte) {
	d.explicit(ordinal, frame, (*Decoder).parseAccessLog, ReasonNotApache,
		"an access log line in common or combined format")
}

func (d *Decoder) json(ordinal int32, frame []byte) {
	if d.parseJSON(d.b.Add(ordinal), frame) {
		return
	}
	d.b.Drop()
	pos, _ := checkJSON(frame)
	d.b.Reject(ordinal, ReasonNotJSON, describeJSON(frame, pos), frame)
}

func (d *Decoder) logfmt(ordinal int32, frame []byte) {
	d.explicit(ordinal, frame, (*Decoder).parseLogfmtStrict, ReasonNotLogfmt, "key=value pairs")
}

func (d *Decoder) syslog(ordinal int32, frame []byte) {
	d.explicit(ordinal, frame, (*Decoder).parseSyslog, ReasonNotSyslog, "a syslog header (RFC 5424 or RFC 3164)")
}

func (d *Decoder) text(ordinal int32, frame []byte) { d.textInto(d.b.Add(ordinal), frame) }

// line makes each line an event as it is, without looking into it.
func (d *Decoder) line(ordinal int32, frame []byte) {
	d.b.Add(ordinal).Message = borrow(frame)
}
