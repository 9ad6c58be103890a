package millrace

import (
	"errors"
	"fmt"
)

// Code classifies an error for the machine that receives it. Codes are part of
// the API: they appear in problem documents and in the CLI's exit codes.
type Code string

// The error codes and the HTTP status each is answered with.
const (
	ErrInvalid      Code = "invalid"      // 400: the input is wrong; retrying cannot help
	ErrUnauthorized Code = "unauthorized" // 401: no or unknown key
	ErrForbidden    Code = "forbidden"    // 403: the key lacks the scope
	ErrNotFound     Code = "not_found"    // 404
	ErrConflict     Code = "conflict"     // 409: for instance a sequence older than the window
	ErrTooLarge     Code = "too_large"    // 413: over a documented limit
	ErrThrottled    Code = "throttled"    // 429: later, see RetryAfter
	ErrTimeout      Code = "timeout"      // 504: over a time limit
	ErrUnavailable  Code = "unavailable"  // 503: a dependency is down; retrying helps
	ErrCorrupt      Code = "corrupt"      // 500: stored data cannot be read
	ErrInternal     Code = "internal"     // 500: a bug or an unexpected fault
)

// Error carries what a user needs (Code, Message) and what an operator needs
// (Op, Hint, Err). Message names what, where and the limit; it never contains
// secrets or stack traces.
type Error struct {
	Code    Code
	Op      string // the operation, for instance "open segment"
	Message string
	Hint    string // what to do about it; for operators
	Err     error  // the cause, if any
}

// Error implements error as "op: message: cause".
func (e *Error) Error() string {
	s := e.Message
	if s == "" {
		s = string(e.Code)
	}
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error with a code and a formatted message for users.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorCode returns the code of the first Error in err's chain, ErrInternal if
// there is none, and "" for nil.
func ErrorCode(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ErrInternal
}

// ErrorMessage returns what a user may see of err: the message of the first
// Error in its chain, or a generic sentence for anything else.
func ErrorMessage(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Message == "" && e.Err != nil {
			return e.Err.Error()
		}
		return e.Message
	}
	return "internal error"
}

// ErrorHint returns the first non-empty hint in err's chain.
func ErrorHint(err error) string {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}
