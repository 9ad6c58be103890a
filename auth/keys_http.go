package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// KeysPath is where KeysHandler must be mounted, together with KeysPath + "/".
const KeysPath = "/api/v1/keys"

// ProjectsPath is where KeysHandler must be mounted, too.
const ProjectsPath = "/api/v1/projects"

// maxKeyBody bounds the body that creates or changes a key: a few short strings
// and numbers.
const maxKeyBody = 4 << 10

// KeyDocument is a key as the API shows it.
type KeyDocument struct {
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	Project string           `json:"project"`
	Scopes  []millrace.Scope `json:"scopes"`
	Created time.Time        `json:"created"`
	Revoked *time.Time       `json:"revoked,omitempty"`
	Expires *time.Time       `json:"expires,omitempty"`
	Limits  LimitDocument    `json:"limits"`
	Today   []UsageDocument  `json:"today,omitempty"` // in lists: what was done with it today, UTC
	Key     string           `json:"key,omitempty"`   // the secret; only in the answer that creates it
	DSN     string           `json:"dsn,omitempty"`   // with it, for Sentry's SDKs; only there, of ingest keys
}

// LimitDocument shows limits; what is left out is none.
type LimitDocument struct {
	EventRate  int64 `json:"event_rate,omitempty"` // per second
	ByteRate   int64 `json:"byte_rate,omitempty"`
	EventBurst int64 `json:"event_burst,omitempty"`
	ByteBurst  int64 `json:"byte_burst,omitempty"`
	DayEvents  int64 `json:"day_events,omitempty"`
	DayBytes   int64 `json:"day_bytes,omitempty"`
}

// UsageDocument shows what was done with a key on a day.
type UsageDocument struct {
	Day      string `json:"day"`              // UTC, as 2026-01-31
	Reason   string `json:"reason,omitempty"` // why it was refused; none: it was taken
	Requests int64  `json:"requests"`
	Events   int64  `json:"events"`
	Bytes    int64  `json:"bytes"`
}

// Document returns k as the API shows it, with its rows of usage.
func Document(k *millrace.Key, usage []millrace.KeyUsage) KeyDocument {
	d := KeyDocument{ID: k.ID, Name: k.Name, Project: k.Project, Scopes: k.Scopes, Created: k.Created, Limits: LimitDocument(k.Limits)}
	if !k.Revoked.IsZero() {
		d.Revoked = &k.Revoked
	}
	if !k.Expires.IsZero() {
		d.Expires = &k.Expires
	}
	d.Today = usageOf(k.ID, usage)
	return d
}

// usageOf returns the rows of a key, by day and reason.
func usageOf(id string, usage []millrace.KeyUsage) (out []UsageDocument) {
	for _, u := range usage {
		if u.Key == id {
			day := time.Unix(u.Day*24*60*60, 0).UTC().Format(time.DateOnly)
			out = append(out, UsageDocument{day, u.Reason, u.Requests, u.Events, u.Bytes})
		}
	}
	slices.SortFunc(out, func(a, b UsageDocument) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// NewKeyRequest is the body that creates a key.
type NewKeyRequest struct {
	Name    string         `json:"name"`
	Project string         `json:"project"` // default "default"
	Scope   millrace.Scope `json:"scope"`   // default "ingest"
	LimitChange
}

// KeysHandler serves the keys to holders of an admin token:
//
//	GET    /api/v1/keys             {"keys": […]}, newest first, with today's usage
//	POST   /api/v1/keys             creates one; 201 with the secret, shown only here
//	PATCH  /api/v1/keys/{id}        changes when it expires and its limits
//	DELETE /api/v1/keys/{id}        revokes it at once; 204
//	GET    /api/v1/keys/{id}/usage  {"usage": […]}, by day and reason; of the id "unknown"
//	                                what came without a key that anybody knows
//	GET    /api/v1/projects         {"projects": […]}, those that have keys, by name
func KeysHandler(g *Guard, limits *Limits) http.Handler {
	h := keysHandler{g, limits}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+KeysPath, answer(http.StatusOK, h.list))
	mux.HandleFunc("POST "+KeysPath, answer(http.StatusCreated, h.create))
	mux.HandleFunc("PATCH "+KeysPath+"/{id}", answer(http.StatusOK, h.change))
	mux.HandleFunc("DELETE "+KeysPath+"/{id}", g.revokeKey)
	mux.HandleFunc("GET "+KeysPath+"/{id}/usage", answer(http.StatusOK, h.usage))
	mux.HandleFunc("GET "+ProjectsPath, answer(http.StatusOK, h.projects))
	return g.Require(millrace.ScopeAdmin, mux)
}

type keysHandler struct {
	*Guard
	limits *Limits
}

// answer makes a handler of a function that returns a document.
func answer(status int, f func(w http.ResponseWriter, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		doc, err := f(w, r)
		if err != nil {
			problem.Write(w, err, nil)
			return
		}
		writeJSON(w, status, doc)
	}
}

func (h keysHandler) list(_ http.ResponseWriter, r *http.Request) (any, error) {
	keys, err := h.meta.Keys(r.Context())
	if err != nil {
		return nil, err
	}
	docs, usage := make([]KeyDocument, len(keys)), h.limits.Today()
	for i, k := range keys {
		docs[i] = Document(k, usage)
	}
	return map[string]any{"keys": docs}, nil
}

// decodeKeyBody reads a small JSON document without unknown fields.
func decodeKeyBody(w http.ResponseWriter, r *http.Request, want string, into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxKeyBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return &millrace.Error{
			Code: millrace.ErrInvalid, Err: err,
			Message: "body: want " + want + " of at most 4 KiB: " + err.Error(),
		}
	}
	return nil
}

func (h keysHandler) create(w http.ResponseWriter, r *http.Request) (any, error) {
	var req NewKeyRequest
	if err := decodeKeyBody(w, r, `{"name": "…", "project": "…", "scope": "ingest", "expires": "90d", "event_rate": 1000}`, &req); err != nil {
		return nil, err
	}
	secret, key, err := req.New(h.now())
	if err == nil {
		err = h.meta.CreateKey(r.Context(), key)
	}
	if err != nil {
		return nil, err
	}
	return NewDocument(secret, key, baseURL(r)), nil
}

// NewDocument returns a new key with its secret. base is the server's URL, nil if
// that is not known.
func NewDocument(secret string, k *millrace.Key, base *url.URL) KeyDocument {
	d := Document(k, nil)
	d.Key = secret
	if base != nil && slices.Contains(k.Scopes, millrace.ScopeIngest) {
		d.DSN = DSN(base, secret, k.Project)
	}
	return d
}

// baseURL is the server as the sender of r knows it.
func baseURL(r *http.Request) *url.URL {
	u := &url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		u.Scheme = "https"
	}
	return u
}

func (h keysHandler) change(w http.ResponseWriter, r *http.Request) (any, error) {
	var req LimitChange
	if err := decodeKeyBody(w, r, `{"expires": "90d", "event_rate": 1000, "day_events": 0}`, &req); err != nil {
		return nil, err
	}
	key, err := req.Change(r.Context(), h.meta, r.PathValue("id"), h.now())
	h.Forget() // also after an error: it may have been stored
	if err != nil {
		return nil, err
	}
	return Document(key, h.limits.Today()), nil
}

// Change changes a key in meta and returns it as it is then. ErrNotFound,
// ErrInvalid.
func (c *LimitChange) Change(ctx context.Context, meta millrace.Meta, id string, now time.Time) (*millrace.Key, error) {
	keys, err := meta.Keys(ctx)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.ID != id {
			continue
		}
		if err := c.Apply(k, now); err != nil {
			return nil, err
		}
		return k, meta.ChangeKey(ctx, id, k.Expires, k.Limits)
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "no key with id %q", id)
}

// unknownKey is the ID under which usage of no key is asked for.
const unknownKey = "unknown"

func (h keysHandler) usage(_ http.ResponseWriter, r *http.Request) (any, error) {
	if err := h.limits.Sync(r.Context()); err != nil {
		return nil, err
	}
	list, err := h.meta.Usage(r.Context(), 0, 0)
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	if id == unknownKey {
		id = ""
	}
	docs := usageOf(id, list)
	if docs == nil {
		docs = []UsageDocument{}
	}
	return map[string]any{"usage": docs}, nil
}

// projects lists the projects that have a key, and the default. A project comes
// into being by its first key; an admin may send to any.
func (h keysHandler) projects(_ http.ResponseWriter, r *http.Request) (any, error) {
	keys, err := h.meta.Keys(r.Context())
	if err != nil {
		return nil, err
	}
	type project struct {
		Name string `json:"name"`
		Keys int    `json:"keys"` // that are neither revoked nor expired
	}
	count := map[string]int{millrace.DefaultProject: 0}
	for _, k := range keys {
		n := 0
		if k.Revoked.IsZero() && !k.Expired(h.now()) {
			n = 1
		}
		count[k.Project] += n
	}
	docs := make([]project, 0, len(count))
	for _, name := range slices.Sorted(maps.Keys(count)) {
		docs = append(docs, project{name, count[name]})
	}
	return map[string]any{"projects": docs}, nil
}

// New makes the key with the defaults filled in.
func (q NewKeyRequest) New(now time.Time) (string, *millrace.Key, error) {
	if q.Project == "" {
		q.Project = millrace.DefaultProject
	}
	if q.Scope == "" {
		q.Scope = millrace.ScopeIngest
	}
	secret, key, err := NewKey(q.Name, q.Project, q.Scope, now)
	if err != nil {
		return "", nil, err
	}
	return secret, key, q.Apply(key, now)
}

func (g *Guard) revokeKey(w http.ResponseWriter, r *http.Request) {
	err := g.meta.RevokeKey(r.Context(), r.PathValue("id"), g.now())
	g.Forget() // also after an error: it may have been stored
	if err != nil {
		problem.Write(w, err, nil)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client is gone
}
