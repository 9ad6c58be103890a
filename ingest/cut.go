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
	return decode.Frame(format, nil, decode.Limits{}, &decode.Framing{})
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
