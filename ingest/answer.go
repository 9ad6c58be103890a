package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// maxRejected bounds the refused lines an answer lists: enough to see what is
// wrong, while a bad file of a million lines does not echo back.
const maxRejected = 100

// rejectedLine is one refused line of an answer.
type rejectedLine struct {
	Line   int    `json:"line"`  // from 1, within the body
	Error  string `json:"error"` // what is wrong, for people
	Reason string `json:"reason"`
}

// answer is what a request gets back.
type answer struct {
	accepted      int
	rejected      []rejectedLine // the first maxRejected
	rejectedTotal int
	reasons       []millrace.Refusal // the same by reason, for the ledger
}

// reset keeps no memory of reasons: a record that was appended may be in a
// test's hands, and refused lines are rare.
func (a *answer) reset() {
	clear(a.rejected)
	*a = answer{rejected: a.rejected[:0]}
}

// fill takes the outcome of framing. It runs before the body is overwritten.
func (a *answer) fill(q *request) {
	refused := q.framing.Refused
	a.accepted, a.rejectedTotal = len(q.framing.Events), len(refused)
	if len(refused) == 0 {
		return
	}
	a.reasons = refusals(nil, q.body.buf, refused)
	for _, l := range refused[:min(len(refused), maxRejected)] {
		a.rejected = append(a.rejected, rejectedLine{l.Line, describe(q, l), l.Reason})
	}
}

// fillPieces takes the outcome of splitting.
func (a *answer) fillPieces(q *request) {
	refused := q.pieces.Refused
	a.accepted, a.rejectedTotal = len(q.pieces.Events), len(refused)
	for _, p := range refused {
		a.reasons = addRefusal(a.reasons, p.Reason, 1, p.Example)
	}
	for _, s := range q.pieces.Skipped {
		a.reasons = addRefusal(a.reasons, s.Reason, s.Events, s.Example)
	}
	for _, p := range refused[:min(len(refused), maxRejected)] {
		a.rejected = append(a.rejected, rejectedLine{p.Index, p.Detail, p.Reason})
	}
}

// duplicates notes the pieces that were stored before.
func (a *answer) duplicates(c *claim) {
	if c.duplicates > 0 {
		a.reasons = addRefusal(a.reasons, reasonDuplicateID, int64(c.duplicates), "")
	}
}

// reasonDuplicateID is of events that their client named, and had sent before.
const reasonDuplicateID = "duplicate_id"

func addRefusal(into []millrace.Refusal, reason string, events int64, example string) []millrace.Refusal {
	for i := range into {
		if into[i].Reason == reason {
			into[i].Events += events
			return into
		}
	}
	return append(into, millrace.Refusal{Reason: reason, Events: events, Example: example})
}

// describe returns the detail of a refused line. Framing saw a shortened line
// where it was far too long; the sender wants to know how long it was.
func describe(q *request, l decode.RefusedLine) string {
	if removed := q.body.cut.Removed(l.Start); removed > 0 {
		return fmt.Sprintf("%d bytes, the limit is %d", int64(q.body.cut.Max)+2+removed, q.body.cut.Max)
	}
	return l.Detail
}

func (a *answer) write(w http.ResponseWriter) {
	body := append(make([]byte, 0, 64), `{"accepted":`...)
	body = strconv.AppendInt(body, int64(a.accepted), 10)
	body = append(body, `,"rejected":`...)
	if len(a.rejected) == 0 {
		body = append(body, '[', ']')
	} else {
		list, err := json.Marshal(a.rejected)
		if err != nil {
			panic("BUG: rejected lines do not marshal: " + err.Error())
		}
		body = append(body, list...)
	}
	if a.rejectedTotal > 0 {
		body = append(body, `,"rejected_total":`...)
		body = strconv.AppendInt(body, int64(a.rejectedTotal), 10)
	}
	body = append(body, '}', '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone; it will ask again
}
