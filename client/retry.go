package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Error is a refusal by the server: a problem document (RFC 9457).
type Error struct {
	Status int    `json:"status"`
	Code   string `json:"code"`   // for programs, such as "invalid" or "throttled"
	Detail string `json:"detail"` // for people

	retryAfter time.Duration
	rejected   Answer
}

// Error implements error.
func (e *Error) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return fmt.Sprintf("the server answered %d: %s", e.Status, e.Detail)
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// maxRetryAfter bounds what a Retry-After makes us wait.
const maxRetryAfter = 5 * time.Minute

// maxAnswer bounds an answer read into memory, in bytes.
const maxAnswer = 256 << 20

// retry makes the request until it succeeds, fails for good, or the attempts
// are used up; then the last error is returned. The answer is decoded into v.
func (c *Client) retry(ctx context.Context, request func() (*http.Request, error), v any) error {
	wait := c.opts.MinBackoff
	for attempt := 1; ; attempt++ {
		r, err := request()
		if err != nil {
			return err
		}
		err = c.once(r, v)
		refusal, refused := err.(*Error) //nolint:errorlint // once returns it as it is
		if err == nil || ctx.Err() != nil || (refused && !refusal.Temporary()) || attempt == c.opts.Attempts {
			return err
		}
		pause := min(wait, c.opts.MaxBackoff)
		pause = pause/2 + time.Duration(c.opts.Jitter()*float64(pause))
		if refused {
			pause = max(pause, min(refusal.retryAfter, maxRetryAfter))
		}
		if c.opts.Retrying != nil {
			c.opts.Retrying(err, pause)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-c.opts.After(pause):
		}
		wait = min(2*wait, c.opts.MaxBackoff)
	}
}

// once makes one request. The error is an *Error if the server refused.
func (c *Client) once(r *http.Request, v any) error {
	if c.opts.Key != "" {
		r.Header.Set("Authorization", "Bearer "+c.opts.Key)
	}
	r.Header.Set("Accept", "application/json")
	res, err := c.opts.HTTP.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if res.StatusCode >= 300 {
		return refusal(res, body)
	}
	if v == nil || len(body) == 0 {
		return nil
	}
	if err := unmarshal(body, v); err != nil {
		return fmt.Errorf("%s %s: the answer is not from a millrace server: %w", r.Method, r.URL.Redacted(), err)
	}
	return nil
}

func refusal(res *http.Response, body []byte) *Error {
	e := &Error{}
	_ = json.Unmarshal(body, e) // what is in between may answer anything
	e.Status = res.StatusCode
	_ = json.Unmarshal(body, &e.rejected)
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && s > 0 {
		e.retryAfter = time.Duration(s) * time.Second
	}
	return e
}
