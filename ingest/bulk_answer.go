package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// answerBuffer is how much of an answer is made before it is sent: answers of
// large bodies are as long as these.
const answerBuffer = 64 << 10

// itemWriter writes the items of an answer. The hot part of it formats no
// numbers and marshals nothing: there is an item for each event.
type itemWriter struct {
	w         http.ResponseWriter
	filter    *bulkFilter
	buf       []byte
	prefix    idPrefix
	source    string // of items without an index
	throttled error
	any       bool // a field of the answer has been written
	listed    bool // the list of items has begun
	flushed   bool // a part of the answer has been sent

	context []byte // of the item before
	action  decode.BulkAction
}

// idPrefix is what the _ids of a request's documents have in common.
type idPrefix [11]byte

// nextID returns the prefix for a request: the time and a number.
func (c *elastic) nextID() (p idPrefix) {
	binary.BigEndian.PutUint64(p[:], uint64(c.h.deps.Now().UnixNano()))
	n := c.requests.Add(1)
	p[8], p[9], p[10] = byte(n>>16), byte(n>>8), byte(n)
	return p
}

// appendID appends an _id of 20 characters, as Elasticsearch's own have.
func (p *idPrefix) appendID(b []byte, item int) []byte {
	var raw [15]byte
	copy(raw[:], p[:])
	binary.BigEndian.PutUint32(raw[11:], uint32(item))
	return base64.RawURLEncoding.AppendEncode(b, raw[:])
}

// conflicts reports whether an item is a create whose document is known.
func (a *itemWriter) conflicts(q *request) bool {
	for i, known := range q.duplicate {
		if known && a.read(q.pieces.Events[i].Context).Op == "create" {
			return true
		}
	}
	return false
}

// read returns the action of a context.
func (a *itemWriter) read(context []byte) *decode.BulkAction {
	if len(context) == 0 || len(context) != len(a.context) || &context[0] != &a.context[0] {
		a.context, a.action = context, decode.ParseBulkAction(context)
	}
	return &a.action
}

func (a *itemWriter) begin(took int64, failed bool) {
	a.buf = append(a.buf, '{')
	if a.filter.took {
		a.buf = strconv.AppendInt(append(a.buf, `"took":`...), took, 10)
		a.any = true
	}
	if a.filter.errors {
		a.name(&a.any, `"errors":`)
		a.buf = strconv.AppendBool(a.buf, failed)
	}
}

// name appends a field's name, and a comma if another was before it.
func (a *itemWriter) name(another *bool, name string) {
	if *another {
		a.buf = append(a.buf, ',')
	}
	*another = true
	a.buf = append(a.buf, name...)
}

func (a *itemWriter) stored(p *decode.Piece, known bool) {
	action := a.read(p.Context)
	switch {
	case a.throttled != nil:
		a.item(action, p.Index, http.StatusTooManyRequests, "", "es_rejected_execution_exception", millrace.ErrorMessage(a.throttled))
	case known && action.Op == "create":
		a.item(action, p.Index, http.StatusConflict, "", "version_conflict_engine_exception", errConflict.Message)
	case known:
		a.item(action, p.Index, http.StatusOK, `"noop"`, "", "")
	default:
		a.item(action, p.Index, http.StatusCreated, `"created"`, "", "")
	}
}

func (a *itemWriter) refused(p *decode.RefusedPiece) {
	kind, reason := refusedError(p)
	a.item(a.read(p.Context), p.Index, http.StatusBadRequest, "", kind, reason)
}

// item writes an item's answer, unless the filter leaves nothing of it.
func (a *itemWriter) item(action *decode.BulkAction, n, status int, outcome, kind, reason string) {
	want := a.filter.items[action.Op]
	mark := len(a.buf)
	had := a.any
	if !a.listed {
		a.name(&a.any, `"items":[{"`)
	} else {
		a.buf = append(a.buf, `,{"`...)
	}
	a.buf = append(a.buf, action.Op...)
	a.buf = append(a.buf, `":{`...)
	before, some := len(a.buf), false
	if want[fieldIndex] {
		a.name(&some, `"_index":"`)
		a.quoted(action.Index, a.source)
	}
	if want[fieldID] && (len(action.ID) > 0 || outcome != "") {
		a.name(&some, `"_id":"`)
		if len(action.ID) > 0 {
			a.quoted(action.ID, "")
		} else {
			a.buf = append(a.prefix.appendID(a.buf, n), '"')
		}
	}
	if outcome != "" {
		a.outcome(&want, &some, outcome)
	} else {
		a.fault(&want, &some, kind, reason)
	}
	if want[fieldStatus] {
		a.name(&some, `"status":`)
		a.buf = strconv.AppendInt(a.buf, int64(status), 10)
	}
	if len(a.buf) == before {
		a.buf, a.any = a.buf[:mark], had
		return
	}
	a.listed = true
	a.buf = append(a.buf, "}}"...)
	if len(a.buf) > answerBuffer-4096 {
		_, _ = a.w.Write(a.buf) // the client may be gone; it will ask again
		a.buf, a.flushed = a.buf[:0], true
	}
}

// outcome writes the fields of an item that is stored.
func (a *itemWriter) outcome(want *[len(bulkFields)]bool, some *bool, outcome string) {
	if want[fieldVersion] {
		a.name(some, `"_version":1`)
	}
	if want[fieldResult] {
		a.name(some, `"result":`)
		a.buf = append(a.buf, outcome...)
	}
	if want[fieldShardsTotal] || want[fieldShardsSuccessful] || want[fieldShardsFailed] {
		a.name(some, `"_shards":{`)
		inner := false
		for i, text := range [...]string{`"total":1`, `"successful":1`, `"failed":0`} {
			if want[fieldShardsTotal+i] {
				a.name(&inner, text)
			}
		}
		a.buf = append(a.buf, '}')
	}
	if want[fieldSeqNo] {
		a.name(some, `"_seq_no":0`)
	}
	if want[fieldTerm] {
		a.name(some, `"_primary_term":1`)
	}
}

// fault writes the error of an item.
func (a *itemWriter) fault(want *[len(bulkFields)]bool, some *bool, kind, reason string) {
	if !want[fieldErrorType] && !want[fieldErrorReason] {
		return
	}
	a.name(some, `"error":{`)
	inner := false
	if want[fieldErrorType] {
		a.name(&inner, `"type":"`)
		a.buf = append(append(a.buf, kind...), '"')
	}
	if want[fieldErrorReason] {
		a.name(&inner, `"reason":`)
		a.buf = appendJSONString(a.buf, reason)
	}
	a.buf = append(a.buf, '}')
}

// quoted appends the inside of a JSON string, or text, and the closing quote.
func (a *itemWriter) quoted(inside []byte, text string) {
	if len(inside) == 0 {
		a.buf = append(a.buf, text...) // a valid name of a source
	}
	a.buf = append(append(a.buf, inside...), '"')
}

// end writes what is left.
func (a *itemWriter) end() {
	if a.listed {
		a.buf = append(a.buf, ']')
	}
	a.buf = append(a.buf, '}')
	if !a.flushed {
		a.w.Header().Set("Content-Length", strconv.Itoa(len(a.buf)))
	}
	_, _ = a.w.Write(a.buf) // the client may be gone; it will ask again
}

// appendJSONString appends s as JSON.
func appendJSONString(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic("BUG: a string does not marshal: " + err.Error())
	}
	return append(b, text...)
}
