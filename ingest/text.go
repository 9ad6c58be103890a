package ingest

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// Clients of Loki and Heroku's log drains read a status and, for their own log, a
// line of text.

// refuseText answers with an error as text: its status, Retry-After where it
// passes, and what is wrong.
func refuseText(w http.ResponseWriter, q *request, err error) {
	status, text := http.StatusBadRequest, q.answer.text()
	if !errors.Is(err, errNothingGood) {
		status, text = problem.StatusOf(err), millrace.ErrorMessage(err)
	}
	h := w.Header()
	if after := problem.RetryAfter(err); after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="millrace"`)
	}
	h.Set("Cache-Control", "no-store")
	http.Error(w, text, status)
}

// maxTextRejected is how many refused parts a text names: it ends up in a line of
// the client's log.
const maxTextRejected = 5

// text tells what of a request was refused.
func (a *answer) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d events refused", a.rejectedTotal, a.rejectedTotal+a.accepted)
	for i, r := range a.rejected[:min(len(a.rejected), maxTextRejected)] {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%sevent %d: %s", sep, r.Line, r.Error)
	}
	if more := a.rejectedTotal - maxTextRejected; more > 0 {
		fmt.Fprintf(&b, "; and %d more", more)
	}
	return b.String()
}
