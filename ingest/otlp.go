package ingest

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// OTLP/HTTP (OpenTelemetry Protocol 1.x), logs: POST /v1/logs. gRPC is in
// otlp_grpc.go; see decode/otlp.go for the body and docs/protocols/otlp.md for what
// becomes of it.
//
//   - Bodies are protobuf (application/x-protobuf) or JSON (application/json),
//     plain, gzip or zstd. Answers are in the request's format.
//   - Keys: Authorization: Bearer, X-Millrace-Key, or as in /ingest. What /ingest
//     takes as parameters may be headers, too, since exporters drop a query:
//     X-Millrace-Source, -Project, -Service, -Host, -Env, -Release.
//   - 200 with an empty ExportLogsServiceResponse if all records were taken; with
//     partial_success if some were refused, which the client must not send again.
//   - Errors are google.rpc.Status: 400 if nothing can be taken, 401, 403, 413,
//     415, and with Retry-After 429, 503 and 504, which clients try again.
//
// Deviations: 500 and 408 are answered 503, since clients drop what they have at
// any other code. /v1/traces and /v1/metrics are answered 501, which no client
// tries again: there is no place for what they bring, and accepting it would look
// like success. They are in the ledger as otlp_traces and otlp_metrics, one per
// request.
//
// Exactly once it is not: a request has no name, so that one whose answer was
// lost is sent again and counted again.

const (
	typeJSON     = "application/json"
	typeProtobuf = "application/x-protobuf"
)

func (h *Handler) otlpRoutes() []Route {
	protobuf := func(*http.Request) (string, error) { return "otlp", nil }
	logs := h.serve(&protocol{name: "otlp", format: otlpFormat, answer: otlpAnswer, refuse: otlpRefuse})
	rpc := h.serve(&protocol{name: "otlp", format: protobuf, answer: grpcAnswer, refuse: grpcRefuse})
	options := http.HandlerFunc(preflight)
	routes := []Route{
		{"POST /v1/logs", otlpHTTP(logs)},
		{"OPTIONS /v1/logs", options},
		{"POST " + grpcPath("logs", "LogsService"), h.grpcUnary(rpc)},
	}
	for _, other := range []struct{ signal, service string }{{"traces", "trace.v1.TraceService"}, {"metrics", "metrics.v1.MetricsService"}} {
		refuse := &protocol{name: "otlp", format: protobuf, refuse: otlpRefuse}
		refuseRPC := &protocol{name: "otlp", format: protobuf, refuse: grpcRefuse}
		signal, service, _ := strings.Cut(other.service, ".v1.")
		routes = append(routes,
			Route{"POST /v1/" + other.signal, otlpHTTP(h.otlpOther(refuse, other.signal))},
			Route{"OPTIONS /v1/" + other.signal, options},
			Route{"POST " + grpcPath(signal, service), h.grpcUnary(h.otlpOther(refuseRPC, other.signal))})
	}
	return routes
}

// otlpHTTP does what all endpoints of OTLP/HTTP have in common.
func otlpHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allowOrigin(w, r)
		next.ServeHTTP(w, withHeaderParams(r))
	})
}

// headerParams are the parameters of a request that may be headers instead.
var headerParams = []string{"source", "project", "service", "host", "env", "release"}

// withHeaderParams returns r with the parameters that its headers bring.
func withHeaderParams(r *http.Request) *http.Request {
	var out *http.Request
	for _, name := range headerParams {
		value := r.Header.Get("X-Millrace-" + name)
		if value == "" {
			continue
		}
		if out == nil {
			out = r.Clone(r.Context())
		}
		values := out.URL.Query()
		if !values.Has(name) {
			values.Set(name, value)
			out.URL.RawQuery = values.Encode()
		}
	}
	if out == nil {
		return r
	}
	return out
}

func otlpIsJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == typeJSON
}

func otlpFormat(r *http.Request) (string, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case typeJSON:
		return "otlp-json", nil
	case typeProtobuf, "application/protobuf":
		return "otlp", nil
	}
	return "", &mediaError{millrace.Errorf(millrace.ErrInvalid, "Content-Type %q: OTLP is %s or %s",
		millrace.Example([]byte(r.Header.Get("Content-Type"))), typeProtobuf, typeJSON)}
}

// mediaError is answered 415.
type mediaError struct{ err *millrace.Error }

func (e *mediaError) Error() string   { return e.err.Error() }
func (e *mediaError) Unwrap() error   { return e.err }
func (e *mediaError) HTTPStatus() int { return http.StatusUnsupportedMediaType }

// otlpOther answers the signals that there is no place for.
func (h *Handler) otlpOther(p *protocol, signal string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := h.request()
		defer h.release(q)
		q.protocol = p
		if err := h.admitProtocol(r, q, p); err != nil {
			h.countRefused(q, err)
			p.refuse(w, r, q, err)
			return
		}
		// Whoever is still sending would take the answer for a broken connection, and
		// try again.
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(h.deps.Now().Add(q.opts.SlowGrace.Std())) // tests without a connection have none
		_, _ = io.CopyN(io.Discard, r.Body, int64(q.opts.MaxCompressed))
		h.tally.add(q.project, q.source, millrace.Refusal{Reason: "otlp_" + signal, Events: 1})
		p.refuse(w, r, q, errOtherSignal{signal})
	})
}

// errOtherSignal is of traces and metrics.
type errOtherSignal struct{ signal string }

func (e errOtherSignal) Error() string   { return e.signal + " are not taken" }
func (e errOtherSignal) HTTPStatus() int { return http.StatusNotImplemented }

// Codes of google.rpc.Status.
const (
	rpcInvalidArgument    = 3
	rpcPermissionDenied   = 7
	rpcResourceExhausted  = 8
	rpcFailedPrecondition = 9
	rpcUnimplemented      = 12
	rpcUnavailable        = 14
	rpcUnauthenticated    = 16
)

// otlpStatus returns what an error is answered with. Only what passes by itself
// may be a status that clients try again.
func otlpStatus(q *request, err error) (status, code int, message string) {
	var other errOtherSignal
	switch {
	case errors.Is(err, errNothingGood):
		return http.StatusBadRequest, rpcInvalidArgument, q.answer.text()
	case errors.As(err, &other):
		return http.StatusNotImplemented, rpcUnimplemented, other.signal + " are not taken: millrace is for logs (/v1/logs); take this endpoint out of the exporters of " + other.signal
	}
	status, message = problem.StatusOf(err), millrace.ErrorMessage(err)
	switch status {
	case http.StatusUnauthorized:
		code = rpcUnauthenticated
	case http.StatusForbidden:
		code = rpcPermissionDenied
	case http.StatusTooManyRequests:
		code = rpcResourceExhausted
	case http.StatusConflict:
		code = rpcFailedPrecondition
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		code = rpcUnavailable
	case http.StatusInternalServerError, http.StatusRequestTimeout:
		status, code = http.StatusServiceUnavailable, rpcUnavailable
	default:
		code = rpcInvalidArgument
	}
	return status, code, message
}

// otlpRetryAfter returns in how many seconds to come back, 0 for never.
func otlpRetryAfter(code int, err error) int {
	if code != rpcResourceExhausted && code != rpcUnavailable {
		return 0
	}
	return max(1, int(math.Ceil(problem.RetryAfter(err).Seconds())))
}

func otlpAnswer(w http.ResponseWriter, r *http.Request, q *request) {
	if otlpIsJSON(r) {
		otlpWrite(w, typeJSON, http.StatusOK, appendPartialJSON(nil, &q.answer))
		return
	}
	otlpWrite(w, typeProtobuf, http.StatusOK, appendPartial(nil, &q.answer))
}

func otlpRefuse(w http.ResponseWriter, r *http.Request, q *request, err error) {
	status, code, message := otlpStatus(q, err)
	if after := otlpRetryAfter(code, err); after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(after))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="millrace"`)
	}
	if otlpIsJSON(r) {
		body := strconv.AppendInt([]byte(`{"code":`), int64(code), 10)
		body = append(millrace.AppendJSONString(append(body, `,"message":`...), message), '}')
		otlpWrite(w, typeJSON, status, body)
		return
	}
	otlpWrite(w, typeProtobuf, status, appendStatus(nil, code, message, 0))
}

func otlpWrite(w http.ResponseWriter, kind string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; it will ask again
}

// appendPartial appends an ExportLogsServiceResponse.
func appendPartial(dst []byte, a *answer) []byte {
	if a.rejectedTotal == 0 {
		return dst
	}
	partial := binary.AppendUvarint([]byte{1 << 3}, uint64(a.rejectedTotal))
	return appendBytes(dst, 1, appendBytes(partial, 2, []byte(a.text())))
}

func appendPartialJSON(dst []byte, a *answer) []byte {
	if a.rejectedTotal == 0 {
		return append(dst, "{}"...)
	}
	dst = strconv.AppendInt(append(dst, `{"partialSuccess":{"rejectedLogRecords":"`...), int64(a.rejectedTotal), 10)
	return append(millrace.AppendJSONString(append(dst, `","errorMessage":`...), a.text()), "}}"...)
}

// appendStatus appends a google.rpc.Status, with a google.rpc.RetryInfo if
// retryAfter, in seconds, is not 0.
func appendStatus(dst []byte, code int, message string, retryAfter int) []byte {
	dst = binary.AppendUvarint(append(dst, 1<<3), uint64(code))
	dst = appendBytes(dst, 2, []byte(message))
	if retryAfter == 0 {
		return dst
	}
	duration := binary.AppendUvarint([]byte{1 << 3}, uint64(retryAfter))
	detail := appendBytes(nil, 1, []byte("type.googleapis.com/google.rpc.RetryInfo"))
	return appendBytes(dst, 3, appendBytes(detail, 2, appendBytes(nil, 1, duration)))
}

// appendBytes appends a length-delimited field of a protobuf message.
func appendBytes(dst []byte, number byte, content []byte) []byte {
	dst = binary.AppendUvarint(append(dst, number<<3|2), uint64(len(content)))
	return append(dst, content...)
}
