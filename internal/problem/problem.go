// Package problem answers HTTP requests with errors as RFC 9457 problem
// documents, the same from every handler.
package problem

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/millrace/millrace"
)

// Status returns the HTTP status of an error code, 500 for unknown ones.
func Status(code millrace.Code) int {
	switch code {
	case millrace.ErrInvalid:
		return http.StatusBadRequest
	case millrace.ErrUnauthorized:
		return http.StatusUnauthorized
	case millrace.ErrForbidden:
		return http.StatusForbidden
	case millrace.ErrNotFound:
		return http.StatusNotFound
	case millrace.ErrConflict:
		return http.StatusConflict
	case millrace.ErrTooLarge:
		return http.StatusRequestEntityTooLarge
	case millrace.ErrThrottled:
		return http.StatusTooManyRequests
	case millrace.ErrTimeout:
		return http.StatusGatewayTimeout
	case millrace.ErrUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Document is a problem document. Type is left out, which means "about:blank":
// Code tells the problems apart.
type Document struct {
	Title  string        `json:"title"` // of the status
	Status int           `json:"status"`
	Detail string        `json:"detail"` // what, where and the limit
	Code   millrace.Code `json:"code"`
}

// retrier is implemented by errors that know when to come back.
type retrier interface{ RetryAfter() time.Duration }

// statuser is implemented by errors that one status fits better than their
// code's.
type statuser interface{ HTTPStatus() int }

// Detailed is implemented by errors with more to tell than a sentence: their
// fields are added to the document.
type Detailed interface{ ProblemFields() map[string]any }

// Default waits, in the absence of a RetryAfter: throttling passes as soon as
// the pipeline catches up, an unavailable dependency takes longer.
const (
	retryThrottled   = time.Second
	retryUnavailable = 5 * time.Second
)

// Write answers with err. What the user may see of it is the Message of the
// first millrace.Error in its chain; the hint and causes are for the log.
// The fields of extra are added to the document, unless it has them.
func Write(w http.ResponseWriter, err error, extra map[string]any) {
	code := millrace.ErrorCode(err)
	status := statusOf(err)
	h := w.Header()
	if d := retryAfter(code, err); d > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="millrace"`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Del("Content-Length")
	var detailed Detailed
	if errors.As(err, &detailed) && extra == nil {
		extra = detailed.ProblemFields()
	}
	body, merr := marshal(Document{http.StatusText(status), status, millrace.ErrorMessage(err), code}, extra)
	if merr != nil { // extra holds what JSON cannot: a bug of the caller, still an answer
		body, _ = marshal(Document{http.StatusText(status), status, millrace.ErrorMessage(err), code}, nil)
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client may be gone: nobody left to tell
}

func statusOf(err error) int {
	var s statuser
	if errors.As(err, &s) {
		return s.HTTPStatus()
	}
	return Status(millrace.ErrorCode(err))
}

// StatusOf returns the HTTP status of an error, for protocols with answers of
// their own.
func StatusOf(err error) int { return statusOf(err) }

// RetryAfter returns after what time a request that got the error may come
// again; 0 if the error is not one that passes.
func RetryAfter(err error) time.Duration { return retryAfter(millrace.ErrorCode(err), err) }

func retryAfter(code millrace.Code, err error) time.Duration {
	var r retrier
	if errors.As(err, &r) {
		return r.RetryAfter()
	}
	switch code {
	case millrace.ErrThrottled:
		return retryThrottled
	case millrace.ErrUnavailable:
		return retryUnavailable
	}
	return 0
}

func marshal(doc Document, extra map[string]any) ([]byte, error) {
	if len(extra) == 0 {
		return json.Marshal(doc)
	}
	all := make(map[string]any, len(extra)+4)
	for k, v := range extra {
		all[k] = v
	}
	all["title"], all["status"], all["detail"], all["code"] = doc.Title, doc.Status, doc.Detail, doc.Code
	return json.Marshal(all)
}

// Throttled is a 429 that says when to come back.
type Throttled struct {
	After time.Duration
	Err   *millrace.Error
}

// Error implements error.
func (t *Throttled) Error() string { return t.Err.Error() }

// Unwrap returns the millrace.Error.
func (t *Throttled) Unwrap() error { return t.Err }

// RetryAfter is the value of the header.
func (t *Throttled) RetryAfter() time.Duration { return t.After }
