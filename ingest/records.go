package ingest

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// recordBuilder cuts a framed body into records. Its memory is used again.
type recordBuilder struct {
	frames  []uint32
	records []millrace.Record
	list    []*millrace.Record
}

func (b *recordBuilder) reset() {
	clear(b.records)
	clear(b.list)
	b.frames, b.records, b.list = b.frames[:0], b.records[:0], b.list[:0]
}

// build returns the records of q, at least one event each, in order. They
// borrow from q. The body is overwritten: events move together over what was
// refused between them, so that a payload is one piece without a copy of its
// own. Cuts depend on the lengths of the events only.
func (b *recordBuilder) build(q *request) []*millrace.Record {
	body, events := q.body.buf, q.framing.Events
	b.frames = grow(b.frames, len(events))
	to := events[0].Start
	from, first := to, 0 // of the record that is being filled
	for i, e := range events {
		n := e.End - e.Start
		if to-from+n > maxRecord && to > from {
			b.add(&q.params, body[from:to], b.frames[first:i])
			from, first = to, i
		}
		if e.Start != to {
			copy(body[to:], body[e.Start:e.End])
		}
		b.frames[i] = uint32(n)
		to += n
	}
	b.add(&q.params, body[from:to], b.frames[first:])
	for i := range b.records {
		b.records[i].Part, b.records[i].Parts = int32(i), int32(len(b.records))
		b.list = append(b.list, &b.records[i])
	}
	b.records[len(b.records)-1].Refused = q.answer.reasons
	return b.list
}

func (b *recordBuilder) add(p *params, payload []byte, frames []uint32) {
	b.records = append(b.records, millrace.Record{
		Project: p.project, Source: p.source, Format: p.format, Rules: p.rules,
		Service: p.service, Host: p.host, Env: p.env, Release: p.release, Sender: p.sender,
		Client: p.client, Seq: p.seq,
		Frames: frames, Payload: payload,
	})
}

func grow(s []uint32, n int) []uint32 {
	if cap(s) < n {
		return make([]uint32, n, n+n/4)
	}
	return s[:n]
}

// refusals adds up what framing refused, per reason, in order of first
// appearance: the order must not depend on chance, since it is stored.
func refusals(into []millrace.Refusal, body []byte, refused []decode.RefusedLine) []millrace.Refusal {
	for i := range refused {
		n := len(into)
		if into = addRefusal(into, refused[i].Reason, 1, ""); len(into) > n {
			into[n].Example = millrace.Example(body[refused[i].Start:refused[i].End])
		}
	}
	return into
}
