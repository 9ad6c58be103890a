package ingest

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// Elasticsearch's way to bring documents, for clients of 6.8 to 9.x (REST API
// reference, "Bulk API", "Index API"):
//
//	POST|PUT /_bulk, /{index}/_bulk
//	POST     /{index}/_doc
//	PUT|POST /{index}/_doc/{id}, /{index}/_create/{id}
//
// decode/bulk.go says what a body is and how its documents become events,
// elastic.go what else clients ask before they send.
//
//   - Every item has its result, in order. 200 means that all items with 200 or
//     201 are durable. A body none of whose actions can be read is 400.
//   - A document with an _id that is stored already is not stored again: create
//     answers 409 version_conflict_engine_exception as Elasticsearch does, index
//     200 with the result noop, since nothing was changed. Both count as
//     duplicate_id. How far back names are known: see ids.go.
//   - A document without an _id gets one in the answer, because clients expect
//     it. It names nothing: retries of such documents are stored again, if the
//     answer was lost.
//   - _version, _seq_no, _primary_term and _shards are constants.
//   - ?source, ?project, ?service, ?host, ?env and ?release as for /ingest;
//     ?pipeline and ?routing are kept as attributes, no pipeline is run;
//     ?filter_path is obeyed; refresh, timeout, wait_for_active_shards and the
//     like have no effect.
//
// Too much at a time: a request that is above the limits of its key has 429 for each
// item, which is what Elasticsearch does when a queue is full and what most clients
// retry. If nothing is left of the limits, or the server has no room, the request is
// 429 (or 503) as a whole, before its body is read. Some clients lose documents by
// the one or by the other: Vector, Fluent Bit and Go's official client know a 429 of
// the whole only, the helper of elasticsearch-js one of items only, and each gets
// what it knows. rsyslog takes any answer in JSON for an end of the matter, so its
// connection is closed, after which it tries again.

// bulkProtocol is how documents come. single tells that a body is one.
func (c *elastic) bulkProtocol(single bool) *protocol {
	p := &protocol{
		name:   "elasticsearch",
		format: func(*http.Request) (string, error) { return "bulk", nil },
		extra:  func(r *http.Request, _ *request) ([]byte, error) { return bulkExtra(r, single) },
		answer: func(w http.ResponseWriter, r *http.Request, q *request) { c.answerBulk(w, r, q, nil) },
		refuse: c.refuseBulk,
	}
	if single {
		p.answer, p.refuse = c.answerDocument, c.refuseDocument
	}
	return p
}

// bulkExtra is what a request says about its items beside the body.
func bulkExtra(r *http.Request, single bool) ([]byte, error) {
	query := r.URL.Query()
	x := decode.BulkExtra{
		Index: r.PathValue("index"), Pipeline: query.Get("pipeline"), Routing: query.Get("routing"),
		OneSource: query.Get("source") != "",
	}
	if single {
		x.ID, x.Single = r.PathValue("id"), "index"
		if r.PathValue("op") == "_create" || query.Get("op_type") == "create" {
			x.Single = "create"
		}
	}
	if x == (decode.BulkExtra{}) {
		return nil, nil
	}
	return json.Marshal(x)
}

// refuseBulk answers a request of which nothing was stored.
func (c *elastic) refuseBulk(w http.ResponseWriter, r *http.Request, q *request, err error) {
	switch {
	case errors.Is(err, errNothingGood):
		c.answerBulk(w, r, q, nil)
	case retryable(err) && isRsyslog(r):
		panic(http.ErrAbortHandler) // see above
	case millrace.ErrorCode(err) == millrace.ErrThrottled && !wantsWhole(r) && c.hasItems(w, r, q):
		setRetryAfter(w, err)
		c.answerBulk(w, r, q, err)
	default:
		writeElasticError(w, r, err)
	}
}

func retryable(err error) bool {
	switch millrace.ErrorCode(err) {
	case millrace.ErrThrottled, millrace.ErrUnavailable, millrace.ErrTimeout, millrace.ErrInternal:
		return true
	}
	return false
}

// isRsyslog recognises omelasticsearch, which has no name but this content type.
func isRsyslog(r *http.Request) bool {
	return r.UserAgent() == "" && r.Header.Get("Content-Type") == "application/json; charset=utf-8"
}

// wantsWhole tells which clients send a request again if it is refused whole,
// and lose items that are refused one by one.
func wantsWhole(r *http.Request) bool {
	agent := r.UserAgent()
	for _, name := range []string{"Vector", "Fluent", "go-elasticsearch"} {
		if strings.HasPrefix(agent, name) {
			return true
		}
	}
	return false
}

// hasItems reports whether a request that is refused for now has items to refuse.
// It reads the body of a client that loses it otherwise.
func (c *elastic) hasItems(w http.ResponseWriter, r *http.Request, q *request) bool {
	if len(q.pieces.Events) > 0 {
		return true
	}
	if !strings.HasPrefix(r.UserAgent(), "elasticsearch-js") || q.body.wire.r != nil {
		return false // or it has been read as far as it could
	}
	q.body.whole = true
	if q.body.share.mem == nil {
		q.body.share.open(&c.h.mem, q.keyID(), q.sender)
	}
	if q.body.read(http.NewResponseController(w), r, q.opts, &c.h.mem, c.h.deps.Now) != nil {
		return false // the first error is the answer
	}
	extra, err := bulkExtra(r, false)
	return err == nil && q.split(extra) == nil && len(q.pieces.Events) > 0
}

// answerBulk writes the result of each item. throttled is not nil if all that are
// good are refused for now.
func (c *elastic) answerBulk(w http.ResponseWriter, r *http.Request, q *request, throttled error) {
	a := &itemWriter{w: w, filter: bulkFilterOf(r.URL.Query()), buf: getBuffer(answerBuffer)}
	defer func() { putBuffer(a.buf) }()
	a.prefix = c.nextID()
	a.source, a.throttled = q.source, throttled
	writeElasticHeader(w, r)
	refused := q.pieces.Refused
	if !slices.IsSortedFunc(refused, byIndex) {
		slices.SortFunc(refused, byIndex)
	}
	took := max(0, c.h.deps.Now().Sub(q.body.wire.started).Milliseconds())
	a.begin(took, len(refused) > 0 || throttled != nil || a.conflicts(q))
	for i := range q.pieces.Events {
		p := &q.pieces.Events[i]
		for len(refused) > 0 && refused[0].Index < p.Index {
			a.refused(&refused[0])
			refused = refused[1:]
		}
		a.stored(p, q.duplicate != nil && q.duplicate[i])
	}
	for i := range refused {
		a.refused(&refused[i])
	}
	a.end()
}

func byIndex(a, b decode.RefusedPiece) int { return a.Index - b.Index }

// documentResult is the answer for a single document.
type documentResult struct {
	Index   string `json:"_index"`
	ID      string `json:"_id"`
	Version int    `json:"_version"`
	Result  string `json:"result"`
	Shards  struct {
		Total      int `json:"total"`
		Successful int `json:"successful"`
		Failed     int `json:"failed"`
	} `json:"_shards"`
	SeqNo       int `json:"_seq_no"`
	PrimaryTerm int `json:"_primary_term"`
}

func (c *elastic) answerDocument(w http.ResponseWriter, r *http.Request, q *request) {
	res := documentResult{Index: r.PathValue("index"), ID: r.PathValue("id"), Version: 1, Result: "created", PrimaryTerm: 1}
	res.Shards.Total, res.Shards.Successful = 1, 1
	if res.ID == "" {
		prefix := c.nextID()
		res.ID = string(prefix.appendID(nil, 0))
	}
	status := http.StatusCreated
	if q.duplicate != nil {
		action := decode.ParseBulkAction(q.pieces.Events[0].Context)
		if action.Op == "create" {
			writeElasticError(w, r, errConflict)
			return
		}
		res.Result, status = "noop", http.StatusOK
	}
	writeElastic(w, r, status, res)
}

// errConflict is of a create whose _id is stored.
var errConflict = millrace.Errorf(millrace.ErrConflict, "a document of this _id is stored already")

func (c *elastic) refuseDocument(w http.ResponseWriter, r *http.Request, q *request, err error) {
	if errors.Is(err, errNothingGood) {
		refused := &q.pieces.Refused[0]
		kind, reason := refusedError(refused)
		writeElasticFailure(w, r, http.StatusBadRequest, kind, reason)
		return
	}
	if retryable(err) && isRsyslog(r) {
		panic(http.ErrAbortHandler)
	}
	writeElasticError(w, r, err)
}

// refusedError returns Elasticsearch's type of the error of an item, and the
// reason.
func refusedError(p *decode.RefusedPiece) (kind, reason string) {
	kind, reason = "illegal_argument_exception", p.Detail
	switch p.Reason {
	case decode.ReasonBadJSON, decode.ReasonBadUTF8:
		kind = "mapper_parsing_exception"
	}
	if reason == "" { // one of very many
		reason = "refused: " + p.Reason
	}
	return kind, reason
}
