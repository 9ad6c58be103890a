package auth

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// KeysPath is where KeysHandler must be mounted, together with KeysPath + "/".
const KeysPath = "/api/v1/keys"

// maxKeyBody bounds the body that creates a key: three short strings.
const maxKeyBody = 4 << 10

// KeyDocument is a key as the API shows it.
type KeyDocument struct {
	ID      string           `json:"id"`
	Name    string           `json:"name"`
	Project string           `json:"project"`
	Scopes  []millrace.Scope `json:"scopes"`
	Created time.Time        `json:"created"`
	Revoked *time.Time       `json:"revoked,omitempty"`
	Key     string           `json:"key,omitempty"` // the secret; only in the answer that creates it
}

// Document returns k as the API shows it.
func Document(k *millrace.Key) KeyDocument {
	d := KeyDocument{ID: k.ID, Name: k.Name, Project: k.Project, Scopes: k.Scopes, Created: k.Created}
	if !k.Revoked.IsZero() {
		d.Revoked = &k.Revoked
	}
	return d
}

// NewKeyRequest is the body that creates a key.
type NewKeyRequest struct {
	Name    string         `json:"name"`
	Project string         `json:"project"` // default "default"
	Scope   millrace.Scope `json:"scope"`   // default "ingest"
}

// KeysHandler serves the keys to holders of an admin token:
//
//	GET    /api/v1/keys        {"keys": […]}, newest first
//	POST   /api/v1/keys        creates one; 201 with the secret, shown only here
//	DELETE /api/v1/keys/{id}   revokes it at once; 204
func KeysHandler(g *Guard) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+KeysPath, g.listKeys)
	mux.HandleFunc("POST "+KeysPath, g.createKey)
	mux.HandleFunc("DELETE "+KeysPath+"/{id}", g.revokeKey)
	return g.Require(millrace.ScopeAdmin, mux)
}

func (g *Guard) listKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := g.meta.Keys(r.Context())
	if err != nil {
		problem.Write(w, err, nil)
		return
	}
	docs := make([]KeyDocument, len(keys))
	for i, k := range keys {
		docs[i] = Document(k)
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": docs})
}

func (g *Guard) createKey(w http.ResponseWriter, r *http.Request) {
	var req NewKeyRequest
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxKeyBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&req); err != nil {
		problem.Write(w, &millrace.Error{
			Code: millrace.ErrInvalid, Err: err,
			Message: `body: want {"name": "…", "project": "…", "scope": "ingest"} of at most 4 KiB: ` + err.Error(),
		}, nil)
		return
	}
	secret, key, err := req.New(g.now())
	if err == nil {
		err = g.meta.CreateKey(r.Context(), key)
	}
	if err != nil {
		problem.Write(w, err, nil)
		return
	}
	doc := Document(key)
	doc.Key = secret
	writeJSON(w, http.StatusCreated, doc)
}

// New makes the key with the defaults filled in.
func (q NewKeyRequest) New(now time.Time) (string, *millrace.Key, error) {
	if q.Project == "" {
		q.Project = millrace.DefaultProject
	}
	if q.Scope == "" {
		q.Scope = millrace.ScopeIngest
	}
	return NewKey(q.Name, q.Project, q.Scope, now)
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
