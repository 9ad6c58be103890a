package ingest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/problem"
)

// Sentry's ingest endpoints, protocol version 7, for its SDKs: POST
// /api/{project}/envelope/ (everything that SDKs of since 2020 send),
// /api/{project}/store/ and /api/store/ (one event, older ones), with and without
// the slash at the end. See decode/sentry.go for bodies and docs/protocols/sentry.md
// for what becomes of them.
//
//   - The key is the user of the SDK's DSN. It comes as sentry_key in the header
//     X-Sentry-Auth (or Authorization: Sentry …) or in the query, and in the
//     envelope's dsn. All that are given must agree; a request without any is
//     refused with 403 where keys are needed. What is none of our keys (another
//     prefix) counts as none, since an SDK cannot do without: servers on loopback
//     take http://public@127.0.0.1:8080/1.
//   - The project in the path is the key's, by its name or its number
//     (auth.ProjectNumber); 0 and 1 stand for it, too. Another one is 403. Without
//     a key numbers are the default project, names the project itself.
//   - Any Content-Type; identity, gzip, deflate, br and zstd. Pages of other
//     origins may send (CORS).
//   - 200 {"id": …} when everything good is durable, also if items were skipped or
//     single ones refused: the header X-Sentry-Error tells, the ledger counts.
//     Errors are {"detail", "causes"}: 400, 403, 413; 429 and 503 with Retry-After
//     and X-Sentry-Rate-Limits, without which SDKs are silent for a minute.
//   - Events are known by event_id: what comes twice is stored once (ids.go).
//   - Minidumps, Unreal crashes and security reports: 404.
//
// Exactly once it is not: SDKs do not repeat what was not answered or refused
// with 429 and 5xx, but drop it and count that in a client report. Those with a
// cache on disk (Cocoa, Android, browser with the offline transport) send it
// again, which event_id makes harmless.

const (
	sentryFormatEnvelope = "sentry"
	sentryFormatEvent    = "sentry-event"
	// maxSentryHead is how far into a body the envelope's header may reach that
	// has the request's only key, compressed and not.
	maxSentryHead = 16 << 10
)

// sentryLimited are the categories that X-Sentry-Rate-Limits names: what would
// be stored (develop.sentry.dev, "Rate Limiting").
const sentryLimited = "default;error;log_item;log_byte"

func (h *Handler) sentryRoutes() []Route {
	envelope, store := h.sentryEndpoint(sentryFormatEnvelope), h.sentryEndpoint(sentryFormatEvent)
	routes := []Route{{"/api/store/{$}", store}, {"/api/store", store}}
	for path, handler := range map[string]http.Handler{
		"envelope": envelope, "store": store,
		"minidump": sentryMissing("minidumps are not taken yet"),
		"unreal":   sentryMissing("Unreal Engine's crashes are not taken"),
		"security": sentryMissing("security reports are not taken"),
	} {
		routes = append(routes, Route{"/api/{project}/" + path + "/{$}", handler}, Route{"/api/{project}/" + path, handler})
	}
	return routes
}

func (h *Handler) sentryEndpoint(format string) http.Handler {
	p := &protocol{
		name: "sentry", key: sentryKey, project: sentryProject,
		format: func(r *http.Request) (string, error) { return format, sentryAgree(r, "") },
		extra: func(r *http.Request, q *request) ([]byte, error) {
			if format == sentryFormatEvent {
				return nil, nil
			}
			dsn, _ := decode.SentryHeader(q.body.buf)
			return nil, sentryAgree(r, dsn)
		},
		answer: sentryAnswer, refuse: sentryRefuse,
	}
	serve := h.serve(p)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !sentryCORS(w, r) {
			return
		}
		if format == sentryFormatEnvelope && len(sentryKeys(r)) == 0 {
			h.sentryPeek(w, r)
		}
		serve.ServeHTTP(w, r)
	})
}

// sentryCORS answers all but POST. Any page may send, and read the answer.
func sentryCORS(w http.ResponseWriter, r *http.Request) (post bool) {
	header := w.Header()
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Expose-Headers", "X-Sentry-Error, X-Sentry-Rate-Limits, Retry-After")
	switch r.Method {
	case http.MethodPost:
		return true
	case http.MethodOptions:
		header.Set("Access-Control-Allow-Methods", "POST")
		header.Set("Access-Control-Allow-Headers", "X-Sentry-Auth, X-Requested-With, Origin, Accept, Content-Type, Content-Encoding, Authentication, Authorization, Sentry-Trace, Baggage, Traceparent, X-Millrace-Key")
		header.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	default:
		header.Set("Allow", "POST, OPTIONS")
		sentryError(w, http.StatusMethodNotAllowed, "only POST", nil)
	}
	return false
}

func sentryMissing(detail string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sentryCORS(w, r) {
			sentryError(w, http.StatusNotFound, detail, nil)
		}
	})
}

// sentryKeys returns the keys in the headers and the query that look like ours.
func sentryKeys(r *http.Request) (keys []string) {
	add := func(key string) {
		if ours(key) && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, name := range []string{"X-Sentry-Auth", "Authorization"} {
		for _, value := range r.Header.Values(name) {
			add(sentryAuth(value))
		}
	}
	if strings.Contains(r.URL.RawQuery, "sentry_key=") {
		add(r.URL.Query().Get("sentry_key"))
	}
	return keys
}

// ours reports whether a key can be one of millrace.
func ours(key string) bool { return strings.HasPrefix(key, "mr_") }

// sentryAuth returns the sentry_key of a header like
//
//	Sentry sentry_version=7, sentry_client=a/1, sentry_key=mr_…
func sentryAuth(value string) string {
	scheme, list, _ := strings.Cut(strings.TrimSpace(value), " ")
	if !strings.EqualFold(scheme, "Sentry") {
		return ""
	}
	for _, pair := range strings.Split(list, ",") {
		if key, value, _ := strings.Cut(strings.TrimSpace(pair), "="); key == "sentry_key" {
			return strings.Trim(value, `" `)
		}
	}
	return ""
}

func sentryKey(r *http.Request) string {
	if keys := sentryKeys(r); len(keys) > 0 {
		return keys[0]
	}
	return ""
}

// sentryAgree returns ErrForbidden unless all keys that r and the envelope's dsn
// give are the same.
func sentryAgree(r *http.Request, dsn string) error {
	keys := sentryKeys(r)
	if key := dsnKey(dsn); ours(key) && !slices.Contains(keys, key) {
		keys = append(keys, key)
	}
	if len(keys) > 1 {
		return millrace.Errorf(millrace.ErrForbidden, "the keys in X-Sentry-Auth, sentry_key and the envelope's dsn are not the same")
	}
	return nil
}

func dsnKey(dsn string) string {
	if dsn == "" {
		return ""
	}
	u, err := url.Parse(dsn)
	if err != nil || u.User == nil {
		return ""
	}
	return u.User.Username()
}

// sentryPeek looks for the key in the envelope's header, where SDKs behind a
// tunnel have it alone, and puts it where it is looked for. The body is left
// unread.
func (h *Handler) sentryPeek(w http.ResponseWriter, r *http.Request) {
	// The time limits of bodies begin later.
	_ = http.NewResponseController(w).SetReadDeadline(h.deps.Now().Add(h.opts.Load().SlowGrace.Std()))
	buffered := bufio.NewReaderSize(r.Body, maxSentryHead)
	zipped := strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip")
	var head []byte
	for n := 512; ; n = min(2*n, maxSentryHead) {
		var err error
		if head, err = buffered.Peek(n); err != nil || n == maxSentryHead || !zipped && bytes.IndexByte(head, '\n') >= 0 {
			break
		}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{buffered, r.Body}
	if zipped {
		head = gunzipHead(head)
	}
	if dsn, _ := decode.SentryHeader(head); ours(dsnKey(dsn)) {
		r.Header.Set("X-Sentry-Auth", "Sentry sentry_key="+dsnKey(dsn))
	}
}

// gunzipHead decompresses the beginning of a body.
func gunzipHead(head []byte) []byte {
	gz, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	out := make([]byte, maxSentryHead)
	n, _ := io.ReadFull(gz, out) // it ends early: the head is cut off
	return out[:n]
}

// sentryProject returns the project that the path names, "" for the key's or the
// default one.
func sentryProject(r *http.Request) string {
	project := r.PathValue("project")
	n, err := strconv.ParseUint(project, 10, 64)
	if err == nil && (n < 2 || sentryKey(r) == "") {
		return ""
	}
	return project
}

func sentryAnswer(w http.ResponseWriter, r *http.Request, q *request) {
	body := map[string]string{}
	if id := sentryEventID(q); id != "" {
		body["id"] = id
	}
	if n := q.answer.rejectedTotal; n > 0 {
		w.Header().Set("X-Sentry-Error", headerText(strconv.Itoa(n)+" items refused; the first: "+q.answer.rejected[0].Error))
	}
	// The SDK for browsers reads no answer, and to Chromium a request whose answer
	// nobody has read is one under way: it is refused with others, of its
	// keepalive fetches, beyond 64 KiB, ten errors. So pages get no body to read.
	if r.Header.Get("Sec-Fetch-Mode") != "" {
		w.Header().Set("Content-Length", "0")
		return
	}
	sentryWrite(w, http.StatusOK, body)
}

// sentryEventID is the ID that the envelope is answered with: its first event's,
// or its own.
func sentryEventID(q *request) string {
	for i := range q.pieces.Events {
		if id := q.pieces.Events[i].ID; id != ([16]byte{}) {
			return hex.EncodeToString(id[:])
		}
	}
	if q.format == sentryFormatEvent {
		return ""
	}
	_, id := decode.SentryHeader(q.body.buf)
	return id
}

func sentryRefuse(w http.ResponseWriter, _ *http.Request, q *request, err error) {
	status, detail, causes := problem.StatusOf(err), millrace.ErrorMessage(err), []string(nil)
	if errors.Is(err, errNothingGood) {
		status, detail = http.StatusBadRequest, "nothing of this can be taken"
		tooLarge := len(q.answer.rejected) > 0
		for _, r := range q.answer.rejected {
			causes = append(causes, r.Error)
			tooLarge = tooLarge && r.Reason == decode.ReasonEventTooLarge
		}
		if tooLarge {
			status, detail = http.StatusRequestEntityTooLarge, "the event is too large"
		}
	}
	switch status {
	case http.StatusUnauthorized:
		status = http.StatusForbidden // as Sentry has it; SDKs do not tell them apart
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds := strconv.Itoa(int(math.Ceil(max(1, problem.RetryAfter(err).Seconds()))))
		w.Header().Set("Retry-After", seconds)
		w.Header().Set("X-Sentry-Rate-Limits", seconds+":"+sentryLimited+":key:"+string(millrace.ErrorCode(err)))
	}
	sentryError(w, status, detail, causes)
}

func sentryError(w http.ResponseWriter, status int, detail string, causes []string) {
	body := map[string]any{"detail": detail}
	if len(causes) > 0 {
		body["causes"] = causes
		detail += ": " + causes[0]
	}
	w.Header().Set("X-Sentry-Error", headerText(detail))
	sentryWrite(w, status, body)
}

func sentryWrite(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic("BUG: an answer does not marshal: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client may be gone
}

// headerText makes a text one for a header: printable ASCII, not long.
func headerText(s string) string {
	out := make([]byte, 0, len(s))
	for i := range min(len(s), millrace.MaxExample) {
		if c := s[i]; c < ' ' || c > '~' {
			out = append(out, '?')
		} else {
			out = append(out, c)
		}
	}
	return string(out)
}
