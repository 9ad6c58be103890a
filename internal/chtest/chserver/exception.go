package main

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// exception is an error of ClickHouse: its number, and its text as a server
// sends it, "Code: 60. DB::Exception: ... (UNKNOWN_TABLE)".
type exception struct {
	code int
	text string
}

func (e *exception) Error() string { return e.text }

// Codes that this server itself gives.
const (
	codeSyntaxError          = 62
	codeUnknownFormat        = 73
	codeCannotReadAllData    = 33
	codeTooManyBytes         = 307
	codeSessionNotFound      = 372
	codeSessionIsLocked      = 373
	codeAuthenticationFailed = 516
	codeUnknownException     = 1002
)

var exceptionCode = regexp.MustCompile(`Code: (\d+)\. `)

// newException finds the number in an error of the engine.
func newException(message string) *exception {
	message = strings.TrimSpace(message)
	if m := exceptionCode.FindStringSubmatchIndex(message); m != nil {
		if code, err := strconv.Atoi(message[m[2]:m[3]]); err == nil {
			return &exception{code: code, text: message[m[0]:]}
		}
	}
	return raise(codeUnknownException, message, "UNKNOWN_EXCEPTION")
}

// raise builds an exception of this server in the form of the engine's.
func raise(code int, message, name string) *exception {
	return &exception{code: code, text: "Code: " + strconv.Itoa(code) + ". DB::Exception: " + message + " (" + name + ")"}
}

// httpStatus is the status that a server answers with an exception: see
// exceptionCodeToHTTPStatus in ClickHouse.
func (e *exception) httpStatus() int {
	switch e.code {
	case 194: // REQUIRED_PASSWORD
		return http.StatusUnauthorized
	case 192, 193, 497, codeAuthenticationFailed:
		return http.StatusForbidden
	case 6, 26, 27, 38, 41, 43, 44, 46, 47, 53, codeSyntaxError, 70, 72:
		return http.StatusBadRequest
	case 60, 81, 16, 115, 255, codeSessionNotFound:
		return http.StatusNotFound
	case codeTooManyBytes:
		return http.StatusRequestEntityTooLarge
	case 48:
		return http.StatusNotImplemented
	case 209, 439:
		return http.StatusServiceUnavailable
	case 159:
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}
