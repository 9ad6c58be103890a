package ingest

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// OTLP/gRPC (gRPC over HTTP/2, PROTOCOL-HTTP2.md): LogsService/Export on every port
// of HTTP, with TLS or without (h2c), told from other requests by its path.
//
// A unary call over HTTP/2 is a body of one message behind five bytes, and a
// status in the trailers. That is done here, on net/http, instead of by gRPC's
// server: that one reads a whole message before anybody can say what it may cost,
// while here keys come first, the memory of all bodies is bounded together, and
// slow clients are cut off as they are everywhere else.
//
//   - Messages are plain, gzip, zstd or deflate; limits are those of other bodies.
//   - Keys: the metadata authorization (Bearer) or x-millrace-key; parameters as
//     metadata x-millrace-source and the like.
//   - Statuses: RESOURCE_EXHAUSTED with RetryInfo above a limit, UNAVAILABLE with
//     RetryInfo while something is down, both of which clients try again;
//     INVALID_ARGUMENT (also for what is too large), UNAUTHENTICATED,
//     PERMISSION_DENIED and UNIMPLEMENTED (traces, metrics, other encodings), which
//     they do not.
//
// Deviations: grpc-timeout is not looked at, since an append that has begun goes
// on; other services than OTLP's are answered 404, which clients take for
// UNIMPLEMENTED; no reflection, no health service.

const grpcAccepts = "identity,gzip,zstd,deflate"

// grpcPath returns the path of a service's Export.
func grpcPath(signal, service string) string {
	return "/opentelemetry.proto.collector." + signal + ".v1." + service + "/Export"
}

// grpcUnary takes the message out of a call and passes it on as a request whose
// body it is. What next answers with must be grpcAnswer or grpcRefuse.
func (h *Handler) grpcUnary(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind := r.Header.Get("Content-Type"); r.ProtoMajor < 2 || !strings.HasPrefix(kind, "application/grpc") {
			http.Error(w, "gRPC needs HTTP/2 and Content-Type application/grpc", http.StatusUnsupportedMediaType)
			return
		}
		header := w.Header()
		header["Trailer"] = []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin"}
		header.Set("Content-Type", "application/grpc+proto")
		header.Set("Grpc-Accept-Encoding", grpcAccepts)
		rc := http.NewResponseController(w)
		_ = rc.SetReadDeadline(h.deps.Now().Add(h.opts.Load().SlowGrace.Std())) // for the prefix; then body.read's
		message, err := grpcMessage(withHeaderParams(r))
		if err != nil {
			h.metrics.refusedWhole(millrace.ErrorCode(err))
			code := grpcErrorCode(err)
			w.WriteHeader(http.StatusOK)
			grpcStatus(w, code, millrace.ErrorMessage(err), otlpRetryAfter(code, err))
			return
		}
		next.ServeHTTP(w, message)
	})
}

// errGRPCEncoding is answered UNIMPLEMENTED, as gRPC wants it.
var errGRPCEncoding = millrace.Errorf(millrace.ErrInvalid, "grpc-encoding: supported are %s", grpcAccepts)

func grpcErrorCode(err error) int {
	switch {
	case errors.Is(err, errGRPCEncoding):
		return rpcUnimplemented
	case millrace.ErrorCode(err) == millrace.ErrTimeout:
		return rpcUnavailable
	}
	return rpcInvalidArgument
}

// grpcMessage returns a request whose body is the message of r.
func grpcMessage(r *http.Request) (*http.Request, error) {
	var prefix [5]byte
	if _, err := io.ReadFull(r.Body, prefix[:]); err != nil {
		code := millrace.ErrInvalid
		if errors.Is(err, os.ErrDeadlineExceeded) {
			code = millrace.ErrTimeout
		}
		return nil, &millrace.Error{Code: code, Op: "read gRPC message", Message: "the call ended, or waited too long, before its message", Err: err}
	}
	size := int64(binary.BigEndian.Uint32(prefix[1:]))
	out := r.Clone(r.Context())
	out.Header.Del("Content-Encoding")
	switch encoding := r.Header.Get("Grpc-Encoding"); {
	case prefix[0] == 0:
	case prefix[0] != 1:
		return nil, millrace.Errorf(millrace.ErrInvalid, "the message begins with 0x%02x, which is no flag of gRPC", prefix[0])
	case encoding == "gzip" || encoding == "zstd" || encoding == "deflate":
		out.Header.Set("Content-Encoding", encoding)
	default:
		return nil, errGRPCEncoding
	}
	out.Body = &grpcBody{r.Body, size}
	out.ContentLength = size
	return out, nil
}

// grpcBody is the message of a call.
type grpcBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader. A call that ends within its message is cut off.
func (b *grpcBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		err = nil // what follows the message does not matter
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func grpcAnswer(w http.ResponseWriter, _ *http.Request, q *request) {
	message := appendPartial(make([]byte, 5, 64), &q.answer)
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(message) // the client may be gone; it will ask again
	grpcStatus(w, 0, "", 0)
}

func grpcRefuse(w http.ResponseWriter, _ *http.Request, q *request, err error) {
	_, code, message := otlpStatus(q, err)
	w.WriteHeader(http.StatusOK)
	grpcStatus(w, code, message, otlpRetryAfter(code, err))
}

// grpcStatus sets the trailers.
func grpcStatus(w http.ResponseWriter, code int, message string, retryAfter int) {
	h := w.Header()
	h.Set("Grpc-Status", strconv.Itoa(code))
	if message != "" {
		h.Set("Grpc-Message", percentEncode(message))
	}
	if retryAfter > 0 {
		h.Set("Grpc-Status-Details-Bin", base64.RawStdEncoding.EncodeToString(appendStatus(nil, code, message, retryAfter)))
	}
}

// percentEncode writes a message as Grpc-Message wants it: ASCII without control
// characters and '%'.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c < 0x7F && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
