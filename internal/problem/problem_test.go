package problem

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func TestWrite(t *testing.T) {
	f := func(err error, extra map[string]any, status int, body, retry string) {
		t.Helper()
		w := httptest.NewRecorder()
		Write(w, err, extra)
		if w.Code != status || w.Body.String() != body+"\n" || w.Header().Get("Retry-After") != retry {
			t.Errorf("%v:\n got %d %s (Retry-After %q)\nwant %d %s (Retry-After %q)",
				err, w.Code, w.Body, w.Header().Get("Retry-After"), status, body, retry)
		}
		if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
			t.Errorf("content type %q", got)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Error("the body is no JSON")
		}
	}
	f(millrace.Errorf(millrace.ErrInvalid, "no such format %q", "x"), nil, 400,
		`{"title":"Bad Request","status":400,"detail":"no such format \"x\"","code":"invalid"}`, "")
	f(fmt.Errorf("append: %w", &millrace.Error{Code: millrace.ErrUnavailable, Message: "down", Hint: "secret"}), nil, 503,
		`{"title":"Service Unavailable","status":503,"detail":"down","code":"unavailable"}`, "5")
	f(errors.New("password is 123"), nil, 500,
		`{"title":"Internal Server Error","status":500,"detail":"internal error","code":"internal"}`, "")
	f(&Throttled{1500 * time.Millisecond, millrace.Errorf(millrace.ErrThrottled, "later")}, map[string]any{"limit": 7, "status": 200}, 429,
		`{"code":"throttled","detail":"later","limit":7,"status":429,"title":"Too Many Requests"}`, "2")
	f(millrace.Errorf(millrace.ErrInvalid, "x"), map[string]any{"f": func() {}}, 400,
		`{"title":"Bad Request","status":400,"detail":"x","code":"invalid"}`, "")
}

func TestStatusOfEveryCode(t *testing.T) {
	want := map[millrace.Code]int{
		millrace.ErrInvalid: 400, millrace.ErrUnauthorized: 401, millrace.ErrForbidden: 403,
		millrace.ErrNotFound: 404, millrace.ErrConflict: 409, millrace.ErrTooLarge: 413,
		millrace.ErrThrottled: 429, millrace.ErrTimeout: 504, millrace.ErrUnavailable: 503,
		millrace.ErrCorrupt: 500, millrace.ErrInternal: 500,
	}
	for code, status := range want {
		if got := Status(code); got != status {
			t.Errorf("Status(%s) = %d, want %d", code, got, status)
		}
	}
}
