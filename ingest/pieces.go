package ingest

import (
	"context"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// pieceBuilder makes records of the pieces of a structured body: those of one
// source together, in the order in which they came, up to maxRecord bytes each.
// Its memory is used again.
type pieceBuilder struct {
	sources []string // in order of first appearance
	frames  []uint32
	records []millrace.Record
	list    []*millrace.Record
	buf     []byte
	taken   int64
	mem     *budget
	share   *share
}

func (b *pieceBuilder) release() {
	clear(b.sources)
	clear(b.records)
	clear(b.list)
	b.sources, b.frames, b.records, b.list = b.sources[:0], b.frames[:0], b.records[:0], b.list[:0]
	if b.buf != nil {
		putBuffer(b.buf)
		b.buf = nil
	}
	if b.mem != nil {
		b.mem.giveFor(b.share, b.taken)
		b.mem, b.share, b.taken = nil, nil, 0
	}
}

// build returns the records of q's pieces, at least one of them; those that
// skip holds at are left out. What was refused is on the last record. The cuts
// depend on the pieces only. ErrThrottled: there is no memory for them now.
func (b *pieceBuilder) build(q *request, mem *budget, skip []bool) ([]*millrace.Record, error) {
	pieces := q.pieces.Events
	if err := b.reserve(q, mem); err != nil {
		return nil, err
	}
	b.order(pieces)
	for _, source := range b.sources {
		b.source(q, source, pieces, skip)
	}
	for i := range b.records {
		b.list = append(b.list, &b.records[i])
	}
	if n := len(b.records); n > 0 {
		b.records[n-1].Refused = q.answer.reasons
		b.number()
	}
	return b.list, nil
}

// number names the records within their request.
func (b *pieceBuilder) number() {
	for i := range b.records {
		b.records[i].Part, b.records[i].Parts = int32(i), int32(len(b.records))
	}
}

// reserve gets the memory for all records. The bound does not know where they
// will be cut: a context is counted whenever it may have to be written again.
func (b *pieceBuilder) reserve(q *request, mem *budget) error {
	pieces, size, largest := q.pieces.Events, 0, 0
	for i := range pieces {
		p := &pieces[i]
		shared := i > 0 && decode.SameContext(p, &pieces[i-1]) && p.Source == pieces[i-1].Source
		size += decode.PieceSize(p, shared)
		largest = max(largest, len(p.Context))
	}
	size += (size/(maxRecord/2) + 1) * (largest + 16)
	n := int64(1) << bufferBits(int64(size))
	if err := mem.takeFor(&q.body.share, n); err != nil {
		return err
	}
	b.mem, b.share, b.taken = mem, &q.body.share, n
	b.buf = getBuffer(int64(size))
	return nil
}

func (b *pieceBuilder) order(pieces []decode.Piece) {
next:
	for i := range pieces {
		if i > 0 && pieces[i].Source == pieces[i-1].Source {
			continue
		}
		for _, s := range b.sources {
			if s == pieces[i].Source {
				continue next
			}
		}
		b.sources = append(b.sources, pieces[i].Source)
	}
}

// source makes the records of one source's pieces.
func (b *pieceBuilder) source(q *request, source string, pieces []decode.Piece, skip []bool) {
	from, first := len(b.buf), len(b.frames) // of the record that is being filled
	var last *decode.Piece                   // whose context is at origin
	origin := 0
	for i := range pieces {
		p := &pieces[i]
		if p.Source != source || (skip != nil && skip[i]) {
			continue
		}
		shared := last != nil && decode.SameContext(p, last)
		if used := len(b.buf) - from; used > 0 && used+decode.PieceSize(p, shared) > maxRecord {
			b.add(q, source, from, first)
			from, first, shared = len(b.buf), len(b.frames), false
		}
		at, back := len(b.buf), 0
		if shared {
			back = at - origin
		} else {
			last, origin = p, at
		}
		b.buf = decode.AppendPiece(b.buf, back, p)
		b.frames = append(b.frames, uint32(len(b.buf)-at))
	}
	if len(b.buf) > from {
		b.add(q, source, from, first)
	}
}

func (b *pieceBuilder) add(q *request, source string, from, first int) {
	p := &q.params
	if source == "" {
		source = p.source
	}
	b.records = append(b.records, millrace.Record{
		Project: p.project, Source: source, Format: p.format,
		Service: p.service, Host: p.host, Env: p.env, Release: p.release, Sender: p.sender,
		Client: p.client, Seq: p.seq,
		Frames: b.frames[first:len(b.frames):len(b.frames)], Payload: b.buf[from:len(b.buf):len(b.buf)],
	})
}

// split takes the request's body apart and fills the answer. extra is for
// decode.Split.
func (q *request) split(extra []byte) error {
	lim := decode.Limits{MaxEvent: maxRecord - maxContext, MaxEvents: q.opts.MaxLines}
	if err := decode.Split(q.format, extra, q.body.buf, lim, &q.pieces); err != nil {
		return err
	}
	pieces := q.pieces.Events[:0]
	for _, p := range q.pieces.Events {
		if n := decode.PieceSize(&p, false); n > maxRecord {
			q.pieces.Refused = append(q.pieces.Refused, tooLarge(p, n))
			continue
		}
		pieces = append(pieces, p)
	}
	q.pieces.Events = pieces
	q.answer.fillPieces(q)
	return nil
}

// maxContext is the room that a record has for a context besides the largest
// event. Larger contexts leave less for their events.
const maxContext = 4 << 10

func tooLarge(p decode.Piece, n int) decode.RefusedPiece {
	return decode.RefusedPiece{
		Index: p.Index, Reason: reasonEventTooLarge, Example: millrace.Example(p.Item),
		Detail: millrace.Bytes(n).String() + " with what it shares with others; the limit is " + millrace.Bytes(maxRecord).String(),
	}
}

const reasonEventTooLarge = "event_too_large"

// appendPieces makes the pieces of q durable, but those whose IDs are known
// already: duplicates come back as skipped and count as accepted.
func (h *Handler) appendPieces(ctx context.Context, q *request) error {
	claim, err := h.ids.claim(q.project, q.pieces.Events)
	if err != nil {
		return err
	}
	defer claim.release()
	q.duplicate = claim.known
	q.answer.duplicates(claim)
	if len(q.pieces.Events) == claim.duplicates && len(q.answer.reasons) == 0 {
		return nil
	}
	recs, err := q.builder.build(q, &h.mem, claim.known)
	if err != nil {
		return err
	}
	if len(recs) == 0 { // all are known: what was refused still counts
		h.tally.addAll(q.project, q.source, q.answer.reasons)
		return nil
	}
	for _, r := range recs {
		r.Rules = h.deps.Rules(r.Project, r.Source)
	}
	if err := h.append(ctx, recs); err != nil {
		return err
	}
	claim.stored()
	return nil
}
