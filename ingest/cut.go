package ingest

import (
	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
)

// CheckSource reports ErrInvalid if Cut would refuse the source or the format.
func CheckSource(source, format string) error {
	if !auth.ValidName(source) {
		return millrace.Errorf(millrace.ErrInvalid, "source %q: must be 1 to 128 of A-Z a-z 0-9 . _ -", millrace.Example([]byte(source)))
	}
	return decode.Known(format)
}

// Cut makes records of a text that came by another way than HTTP, such as a
// message of a topic that others fill: of the default project, stamped with the
// rules of its source, as a request with that body would be. The same text gives
// the same cuts. Nothing in it: no records. Nothing good in it: one record without
// events, which brings what was refused to the ledger. The records own text,
// which is overwritten. Safe for concurrent use.
func (h *Handler) Cut(source, format, sender string, text []byte) ([]*millrace.Record, error) {
	q := request{opts: h.opts.Load()}
	q.project, q.source, q.format, q.sender = millrace.DefaultProject, source, format, sender
	q.rules = h.deps.Rules(q.project, q.source)
	if decode.Structured(format) {
		return h.cutPieces(&q, text)
	}
	if err := decode.Frame(format, text, decode.Limits{MaxLine: q.opts.MaxLine, MaxEvent: maxRecord}, &q.framing); err != nil {
		return nil, err
	}
	q.answer.reasons = refusals(nil, text, q.framing.Refused)
	switch {
	case len(q.framing.Events) > 0:
		q.body.buf = text
		return q.records.build(&q), nil
	case len(q.framing.Refused) > 0:
		return []*millrace.Record{{
			Project: q.project, Source: q.source, Format: q.format, Rules: q.rules, Sender: q.sender,
			Parts: 1, Refused: q.answer.reasons,
		}}, nil
	}
	return nil, nil
}

// cutPieces is Cut for structured formats. The records own memory of their own.
func (h *Handler) cutPieces(q *request, body []byte) ([]*millrace.Record, error) {
	q.body.buf = body
	if err := q.split(nil); err != nil {
		return nil, err
	}
	if len(q.pieces.Events) == 0 {
		if len(q.answer.reasons) == 0 {
			return nil, nil
		}
		return []*millrace.Record{{
			Project: q.project, Source: q.source, Format: q.format, Rules: q.rules, Sender: q.sender,
			Parts: 1, Refused: q.answer.reasons,
		}}, nil
	}
	// A budget of its own: the memory is the caller's from now on.
	var mem budget
	mem.limit.Store(1 << 40)
	recs, err := q.builder.build(q, &mem, nil)
	for _, r := range recs {
		r.Rules = h.deps.Rules(r.Project, r.Source)
	}
	return recs, err
}
