package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/problem"
)

// Deps is what a Handler works with. Append, Authorize and Now are required.
type Deps struct {
	// Append stores records durably. It must not use a record or its payload
	// after it returned: their memory is used again.
	Append func(ctx context.Context, recs []*millrace.Record) error
	// Pressure returns ErrThrottled while nothing should be appended.
	Pressure func() error
	// Door returns why no request is taken now: pressure, or what else turns
	// senders away. nil is Pressure.
	Door func() error
	// Authorize says who sends a request (auth.Guard.Authorize).
	Authorize func(r *http.Request, scope millrace.Scope) (*auth.Principal, error)
	// AuthorizeKey says whose a key is that came by a protocol's own way
	// (auth.Guard.AuthorizeKey); "" is no key, which is enough where none is needed.
	AuthorizeKey func(ctx context.Context, secret string, scope millrace.Scope) (*auth.Principal, error)
	// Limits holds keys to their limits and counts what was done with them
	// (auth.Limits); nil is neither.
	Limits Limits
	// Rules returns the version of a source's rules that its records are
	// stamped with; nil or 0 is no rules. The version must be durable.
	Rules func(project, source string) int64
	Now   func() time.Time
	// Tick paces the flushing of the tally of refused requests; nil leaves it
	// to Flush and Close.
	Tick    <-chan time.Time
	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Limits is what Deps.Limits has to do; see auth.Limits.
type Limits interface {
	// Admit takes events and bytes off what a key may bring, all or none, and
	// counts them. Without events it asks whether there is anything left.
	// ErrThrottled with RetryAfter.
	Admit(p *auth.Principal, events int, bytes int64) error
	// Refund gives back what Admit took.
	Refund(p *auth.Principal, events int, bytes int64)
	// Refused counts what was refused, by the ID of the key, "" for none.
	Refused(key, reason string, requests, events, bytes int64)
}

// noLimits is the absence of Limits.
type noLimits struct{}

func (noLimits) Admit(*auth.Principal, int, int64) error     { return nil }
func (noLimits) Refund(*auth.Principal, int, int64)          {}
func (noLimits) Refused(string, string, int64, int64, int64) {}

// Handler serves /ingest. Create it with New. Safe for concurrent use.
type Handler struct {
	opts    atomic.Pointer[Options] // a request uses those it began with
	deps    Deps
	mem     budget
	seqs    sequences
	ids     ids
	tally   tally
	metrics *metrics
	listen  *listenMetrics
	states  sync.Pool // of *request
	stop    chan struct{}
	stopped sync.WaitGroup
}

// Path is where a Handler is mounted.
const Path = "/ingest"

// New returns a handler. Close it after the server has stopped.
func New(opts Options, deps Deps) *Handler {
	if deps.Pressure == nil {
		deps.Pressure = func() error { return nil }
	}
	if deps.Door == nil {
		deps.Door = deps.Pressure
	}
	if deps.Rules == nil {
		deps.Rules = func(string, string) int64 { return 0 }
	}
	if deps.Limits == nil {
		deps.Limits = noLimits{}
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{deps: deps, stop: make(chan struct{})}
	h.SetOptions(opts)
	h.metrics = newMetrics(deps.Metrics, h)
	h.listen = newListenMetrics(deps.Metrics)
	h.states.New = func() any { return &request{} }
	if deps.Tick != nil {
		h.stopped.Go(h.flushLoop)
	}
	return h
}

// SetOptions changes the limits for requests that begin from now on. opts must
// be valid.
func (h *Handler) SetOptions(opts Options) {
	h.opts.Store(&opts)
	h.mem.limit.Store(int64(opts.Memory))
}

// ServeHTTP serves POST (a body of lines), GET (one event as parameters, see
// beacon.go) and OPTIONS (browsers ask before they send).
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	allowOrigin(w, r)
	switch r.Method {
	case http.MethodPost:
		h.post(w, r)
	case http.MethodGet:
		h.beacon(w, r)
	default:
		w.Header().Set("Allow", "POST, GET, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// request is the state of one request, pooled with all its memory.
type request struct {
	params
	opts      *Options
	principal *auth.Principal // who sends it, nil before that is known
	protocol  *protocol       // nil for /ingest
	admitted  int             // events that the key's limits were asked for
	body      body
	answer    answer

	framing decode.Framing // of a body of lines
	records recordBuilder

	pieces    decode.Pieces // of a structured body
	builder   pieceBuilder
	duplicate []bool // pieces whose IDs were known, nil for none
}

// keepLines bounds what a pooled request keeps, so that one large body does not
// occupy its memory for long: 2 MB of spans.
const keepLines = 65536

func (q *request) reset() {
	q.params, q.opts, q.principal, q.protocol, q.admitted, q.duplicate = params{}, nil, nil, nil, 0, nil
	q.builder.release()
	q.pieces.Reset()
	q.body.release()
	q.records.reset()
	q.answer.reset()
	if cap(q.framing.Events) > keepLines || cap(q.framing.Refused) > keepLines {
		q.framing = decode.Framing{}
		q.records = recordBuilder{}
	}
}

// request returns an empty state, with the options of this moment.
func (h *Handler) request() *request {
	q := h.states.Get().(*request)
	q.opts = h.opts.Load()
	return q
}

func (h *Handler) release(q *request) {
	q.reset()
	h.states.Put(q)
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	q := h.request()
	defer h.release(q)
	if err := h.accept(w, r, q); err != nil {
		h.refuse(w, q, err)
		return
	}
	h.done(q)
	q.answer.write(w)
}

// errNothingGood is a request of which every line was refused.
var errNothingGood = errors.New("nothing good")

// accept does all of a POST but the answer, which is in q.answer after nil.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := h.admit(r, q); err != nil {
		return err
	}
	release, err := h.seqs.admit(q.client, q.seq)
	if err != nil {
		return err
	}
	defer release()
	rc := http.NewResponseController(w)
	structured := decode.Structured(q.format)
	q.body.whole, q.body.arrays = structured || q.formField != "", decode.MayBeArray(q.format)
	if err := q.body.read(rc, r, q.opts, &h.mem, h.deps.Now); err != nil {
		return err
	}
	if q.formField != "" {
		if err := q.unform(r); err != nil {
			return err
		}
	}
	if structured {
		return h.storePieces(r, q, nil)
	}
	if err := q.body.takeLines(q.opts); err != nil {
		return err
	}
	lim := decode.Limits{MaxLine: q.opts.MaxLine, MaxEvent: maxRecord, MaxEvents: q.opts.MaxLines}
	if err := decode.Frame(q.format, q.body.buf, lim, &q.framing); err != nil {
		return err
	}
	q.answer.fill(q)
	if len(q.framing.Events) == 0 {
		if len(q.framing.Refused) == 0 {
			return nil // nothing was sent, all of it is stored
		}
		return errNothingGood
	}
	if err := h.admitEvents(q, len(q.framing.Events)); err != nil {
		return err
	}
	return h.appendRequest(r.Context(), q)
}

// admit does what needs no look at the body.
func (h *Handler) admit(r *http.Request, q *request) error {
	p, err := h.deps.Authorize(r, millrace.ScopeIngest)
	if err != nil {
		return err
	}
	q.principal = p
	if err := q.parse(r, p, q.opts); err != nil {
		return err
	}
	return h.open(q)
}

// open asks whether anything may come now, at the least cost for a request that
// may not, and opens its client's share of the memory.
func (h *Handler) open(q *request) error {
	if err := h.deps.Door(); err != nil {
		return err
	}
	if err := h.deps.Limits.Admit(q.principal, 0, 0); err != nil {
		return err
	}
	q.body.share.open(&h.mem, q.keyID(), q.sender)
	return nil
}

// keyID returns the ID of the request's key, "" if it has none.
func (q *request) keyID() string {
	if q.principal == nil || q.principal.Key == nil {
		return ""
	}
	return q.principal.Key.ID
}

// admitEvents asks the key's limits for the events of the body. ErrThrottled
// with the time to wait.
func (h *Handler) admitEvents(q *request, events int) error {
	if err := h.deps.Limits.Admit(q.principal, events, q.body.size); err != nil {
		return err
	}
	q.admitted = events
	return nil
}

// appendRequest cuts a framed request into records, stamps them with the rules
// that are current now, and waits for the queue.
func (h *Handler) appendRequest(ctx context.Context, q *request) error {
	q.rules = h.deps.Rules(q.project, q.source)
	return h.append(ctx, q.records.build(q))
}

// append waits for the queue. The client's departure does not cancel it: the
// records are on their way, and cancelling would only hide where they went.
func (h *Handler) append(ctx context.Context, recs []*millrace.Record) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.Load().AppendTimeout.Std())
	defer cancel()
	begun := h.deps.Now()
	err := h.deps.Append(ctx, recs)
	h.metrics.append.Observe(h.deps.Now().Sub(begun).Seconds())
	return err
}

// refuse answers with an error and counts it at the door.
func (h *Handler) refuse(w http.ResponseWriter, q *request, err error) {
	h.countRefused(q, err)
	if !errors.Is(err, errNothingGood) {
		problem.Write(w, err, nil)
		return
	}
	problem.Write(w, millrace.Errorf(millrace.ErrInvalid, "none of the %d lines can be taken; the first: line %d: %s",
		q.answer.rejectedTotal, q.answer.rejected[0].Line, q.answer.rejected[0].Error),
		map[string]any{"accepted": 0, "rejected": q.answer.rejected, "rejected_total": q.answer.rejectedTotal})
}

// countRefused counts a request that is refused whole.
func (h *Handler) countRefused(q *request, err error) {
	h.deps.Limits.Refund(q.principal, q.admitted, q.body.size)
	if errors.Is(err, errNothingGood) {
		h.metrics.refusedWhole(millrace.ErrInvalid)
		h.tally.addAll(q.project, q.source, q.answer.reasons)
		h.countParts(q, 1)
		return
	}
	key := q.keyID()
	if key == "" {
		key = auth.KeyOf(err)
	}
	h.deps.Limits.Refused(key, auth.ReasonOf(err), 1, int64(max(len(q.framing.Events), len(q.pieces.Events))), q.body.size)
	code := millrace.ErrorCode(err)
	h.metrics.refusedWhole(code)
	h.tally.add(q.project, q.source, millrace.Refusal{Reason: "request_" + string(code), Events: 1, Example: millrace.ErrorMessage(err)})
	if code == millrace.ErrInternal || code == millrace.ErrUnavailable || code == millrace.ErrCorrupt {
		h.deps.Log.Error("ingest request failed", "source", q.source, "err", err, "hint", millrace.ErrorHint(err))
	}
}

// done counts a request of which something was taken.
func (h *Handler) done(q *request) {
	h.metrics.done(q)
	h.countParts(q, 0)
}

// countParts counts, for the key, the parts of a request that were refused.
func (h *Handler) countParts(q *request, requests int64) {
	for _, r := range q.answer.reasons {
		h.deps.Limits.Refused(q.keyID(), r.Reason, requests, r.Events, 0)
		requests = 0
	}
}

// SeedClients tells the newest sequence per client that is stored, as the sinks
// had committed it. Call it before serving.
func (h *Handler) SeedClients(newest map[string]int64) { h.seqs.seed(newest) }
