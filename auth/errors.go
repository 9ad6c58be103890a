package auth

import (
	"errors"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// refusal is an error that says more for the tally of refused requests: whose
// key it was, and a short word for the reason.
type refusal struct {
	err    error
	key    string // its ID; "" if nobody knows the key
	reason string
}

// Error implements error.
func (r *refusal) Error() string { return r.err.Error() }

// Unwrap returns what is told to the sender.
func (r *refusal) Unwrap() error { return r.err }

// KeyOf returns the ID of the key that a request was refused with, "" if there
// was none or nobody knows it.
func KeyOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.key
	}
	return ""
}

// ReasonOf returns why a request was refused in a word, such as event_quota or
// revoked; if err is none of this package its code.
func ReasonOf(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.reason
	}
	return string(millrace.ErrorCode(err))
}

func refuse(key, reason string, code millrace.Code, message string) error {
	return &refusal{millrace.Errorf(code, "%s", message), key, reason}
}

func throttled(after time.Duration, reason, format string, args ...any) error {
	return &refusal{
		err:    &problem.Throttled{After: after, Err: millrace.Errorf(millrace.ErrThrottled, format+"; send again later", args...)},
		reason: reason,
	}
}
