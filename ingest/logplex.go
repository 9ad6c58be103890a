package ingest

import (
	"mime"
	"net/http"
	"strconv"

	"github.com/millrace/millrace"
)

// Heroku's log drains: heroku drains:add 'https://x:KEY@HOST/logplex?source=shop'.
// See decode/logplex.go for the body and docs/protocols/logplex.md for what
// becomes of it.
//
//   - 204 if anything was stored; messages that are refused one by one are in the
//     ledger. Logplex only looks at whether it is a 2xx.
//   - 400, 401, 403, 413, 429 and 503 otherwise: text. Logplex sends a frame again
//     under the same Logplex-Frame-Id when it got no answer, and counts what it has
//     to give up as L10 in the app's log.
//
// Exactly once as far as the memory of IDs goes (docs/protocols/ids.md): a frame
// that comes again is known by its ID.

// maxLogplexName bounds the drain's token and the frame's ID, which are UUIDs with
// a letter before them.
const maxLogplexName = 128

func (h *Handler) logplexRoutes() []Route {
	p := &protocol{
		name: "logplex", format: logplexFormat, extra: logplexExtra,
		answer: func(w http.ResponseWriter, _ *http.Request, _ *request) { w.WriteHeader(http.StatusNoContent) },
		refuse: func(w http.ResponseWriter, _ *http.Request, q *request, err error) { refuseText(w, q, err) },
	}
	return []Route{{"POST /logplex", h.serve(p)}}
}

func logplexFormat(r *http.Request) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/logplex-1" {
		return "", millrace.Errorf(millrace.ErrInvalid, "Content-Type %.100q: a log drain's is application/logplex-1", r.Header.Get("Content-Type"))
	}
	return "logplex", nil
}

// logplexExtra brings the headers to decode.Split.
func logplexExtra(r *http.Request, _ *request) ([]byte, error) {
	extra := []byte{'{'}
	for _, f := range [...]struct{ header, key string }{{"Logplex-Drain-Token", "drain_token"}, {"Logplex-Frame-Id", "frame_id"}} {
		v := r.Header.Get(f.header)
		if v == "" {
			continue
		}
		if _, err := field(f.header, v); err != nil || len(v) > maxLogplexName {
			return nil, millrace.Errorf(millrace.ErrInvalid, "%s: at most %d bytes of UTF-8 without control characters", f.header, maxLogplexName)
		}
		extra = append(millrace.AppendJSONString(append(millrace.AppendJSONString(extra, f.key), ':'), v), ',')
	}
	// A count that is none says nothing; the frame itself is what counts.
	if n, err := strconv.ParseUint(r.Header.Get("Logplex-Msg-Count"), 10, 31); err == nil && n > 0 {
		extra = append(strconv.AppendUint(append(extra, `"count":`...), n, 10), ',')
	}
	if extra[len(extra)-1] == ',' {
		extra = extra[:len(extra)-1]
	}
	return append(extra, '}'), nil
}
