package ingest

import (
	"net/http"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// A protocol of structured bodies has a file of its own: <name>.go here, with
// its endpoints and answers, and <name>.go in decode, with what a body and an
// event look like. What all have in common is here.

// protocol is how one protocol differs from the others on the way in.
type protocol struct {
	name string // in metrics and logs; the source of requests that name none
	// format names the body's format for decode, by the content type perhaps.
	format func(r *http.Request) (string, error)
	// key returns the key that the request carries where only this protocol's
	// clients put one; nil and "" leave it to the places of auth.Guard.
	key func(r *http.Request) string
	// project returns the project that the path names; nil for none.
	project func(r *http.Request) string
	// extra is what decode.Split is told beside the body; nil for nothing.
	extra func(r *http.Request, q *request) ([]byte, error)
	// snappy tells that a body without Content-Encoding is one snappy block.
	snappy func(r *http.Request) bool
	// answer and refuse write the answer in the protocol's own way.
	answer func(w http.ResponseWriter, r *http.Request, q *request)
	refuse func(w http.ResponseWriter, r *http.Request, q *request, err error)
}

// Route is an endpoint of the handler.
type Route struct {
	Pattern string // of http.ServeMux
	Handler http.Handler
}

// Routes returns all endpoints, Path included.
func (h *Handler) Routes() []Route {
	routes := []Route{{Path, h}}
	for _, more := range protocolRoutes {
		routes = append(routes, more(h)...)
	}
	return routes
}

// protocolRoutes has the routes of each protocol.
var protocolRoutes = []func(*Handler) []Route{
	(*Handler).sentryRoutes, (*Handler).lokiRoutes, (*Handler).logplexRoutes, (*Handler).exceptionRoutes,
	(*Handler).otlpRoutes,
}

// serve returns the endpoint of a protocol.
func (h *Handler) serve(p *protocol) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := h.request()
		defer h.release(q)
		q.protocol = p
		if err := h.acceptPieces(w, r, q, p); err != nil {
			h.countRefused(q, err)
			p.refuse(w, r, q, err)
			return
		}
		h.done(q)
		p.answer(w, r, q)
	})
}

// acceptPieces does all of a request but the answer: who sends it, its limits,
// the body, the pieces, the queue. After nil everything that is good is durable
// and q.answer and q.pieces tell the rest; a request of which nothing is good is
// errNothingGood only if it held anything.
func (h *Handler) acceptPieces(w http.ResponseWriter, r *http.Request, q *request, p *protocol) error {
	if err := h.admitProtocol(r, q, p); err != nil {
		return err
	}
	release, err := h.seqs.admit(q.client, q.seq)
	if err != nil {
		return err
	}
	defer release()
	q.body.whole = true
	q.body.snappy = p.snappy != nil && p.snappy(r)
	if err := q.body.read(http.NewResponseController(w), r, q.opts, &h.mem, h.deps.Now); err != nil {
		return err
	}
	var extra []byte
	if p.extra != nil {
		if extra, err = p.extra(r, q); err != nil {
			return err
		}
	}
	return h.storePieces(r, q, extra)
}

// storePieces splits the body that was read and appends what is good.
func (h *Handler) storePieces(r *http.Request, q *request, extra []byte) error {
	if err := q.split(extra); err != nil {
		return err
	}
	if len(q.pieces.Events) == 0 {
		if len(q.pieces.Refused) == 0 {
			h.tally.addAll(q.project, q.source, q.answer.reasons) // what was skipped
			return nil
		}
		return errNothingGood
	}
	if err := h.admitEvents(q, len(q.pieces.Events)); err != nil {
		return err
	}
	return h.appendPieces(r.Context(), q)
}

// admitProtocol does what needs no look at the body.
func (h *Handler) admitProtocol(r *http.Request, q *request, p *protocol) error {
	var who *auth.Principal
	var err error
	secret := ""
	if p.key != nil {
		secret = p.key(r)
	}
	if secret != "" {
		who, err = h.deps.AuthorizeKey(r.Context(), secret, millrace.ScopeIngest)
	} else {
		who, err = h.deps.Authorize(r, millrace.ScopeIngest)
	}
	if err != nil {
		return err
	}
	q.principal, q.defaultSource = who, p.name
	if p.project != nil {
		q.pathProject = p.project(r)
	}
	if err := q.parse(r, who, q.opts); err != nil {
		return err
	}
	if q.format, err = p.format(r); err != nil {
		return err
	}
	return h.open(q)
}
