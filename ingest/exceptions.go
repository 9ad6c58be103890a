package ingest

import (
	"errors"
	"net/http"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// Exceptions that an agent counted before it sent them: POST /api/v1/exceptions,
// one object or an array of them. See decode/preagg.go for the body and
// docs/protocols/exceptions.md for what becomes of it.
//
// The answer is that of /ingest, "line" being the number of the object within the
// body and "accepted" how many objects were taken; so are errors. What /ingest
// takes as parameters and headers is taken here, too: X-Millrace-Client and
// X-Millrace-Seq make a request that is sent again count once.

func (h *Handler) exceptionRoutes() []Route {
	p := &protocol{
		name:   "exceptions",
		format: func(*http.Request) (string, error) { return "exceptions", nil },
		answer: func(w http.ResponseWriter, r *http.Request, q *request) {
			allowOrigin(w, r)
			q.answer.accepted = objects(q)
			q.answer.write(w)
		},
		refuse: func(w http.ResponseWriter, r *http.Request, q *request, err error) {
			allowOrigin(w, r)
			refuseObjects(w, q, err)
		},
	}
	return []Route{{"POST /api/v1/exceptions", h.serve(p)}, {"OPTIONS /api/v1/exceptions", http.HandlerFunc(preflight)}}
}

// objects returns how many objects of the body have events. Those of one object
// stand together.
func objects(q *request) int {
	n, last := 0, 0
	for i := range q.pieces.Events {
		if at := q.pieces.Events[i].Index; at != last {
			n, last = n+1, at
		}
	}
	return n
}

func refuseObjects(w http.ResponseWriter, q *request, err error) {
	if !errors.Is(err, errNothingGood) {
		problem.Write(w, err, nil)
		return
	}
	problem.Write(w, millrace.Errorf(millrace.ErrInvalid, "none of the %d objects can be taken; the first: object %d: %s",
		q.answer.rejectedTotal, q.answer.rejected[0].Line, q.answer.rejected[0].Error),
		map[string]any{"accepted": 0, "rejected": q.answer.rejected, "rejected_total": q.answer.rejectedTotal})
}
