package ingest

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// Loki's push API, for Promtail, Grafana Alloy, Fluent Bit, Vector, Docker's
// driver and the libraries: POST /loki/api/v1/push, and /api/prom/push as clients
// of Loki 0.x call it. See decode/loki.go for the body and docs/protocols/loki.md
// for what becomes of it.
//
//   - Bodies are JSON (Content-Type application/json; gzip and zstd allowed), else
//     protobuf, one snappy block as Loki wants it, or gzip or zstd instead.
//   - Keys: Basic auth (the key is the password), Authorization: Bearer, or as in
//     /ingest. source, service and the like may be parameters of the URL.
//   - X-Scope-OrgID is no project, since the key says that: it is kept as the
//     label __tenant_id__ unless it is the project's name.
//   - 204 if anything was stored or nothing was sent; entries that are refused one
//     by one are in the ledger, and their number in X-Millrace-Rejected. Loki
//     answers 400 then, and drops what it has if it comes again; here it would be
//     counted again by clients that put back the whole batch (winston-loki).
//   - 400 if nothing can be taken, 413, 429 and 503 with Retry-After: text.
//
// Exactly once it is not: a push has no name, so that one whose answer was lost
// is sent again and counted again. Loki drops entries that are equal in labels,
// time and line; but equal lines within a second are what access logs are made
// of.

// lokiTenantHeader names the tenant.
const lokiTenantHeader = "X-Scope-OrgID"

func (h *Handler) lokiRoutes() []Route {
	p := &protocol{
		name: "loki", format: lokiFormat, extra: lokiExtra,
		snappy: func(r *http.Request) bool { return !lokiIsJSON(r) },
		answer: func(w http.ResponseWriter, _ *http.Request, q *request) {
			if n := q.answer.rejectedTotal; n > 0 {
				w.Header().Set("X-Millrace-Rejected", strconv.Itoa(n))
			}
			w.WriteHeader(http.StatusNoContent)
		},
		refuse: func(w http.ResponseWriter, _ *http.Request, q *request, err error) { refuseText(w, q, err) },
	}
	serve := h.serve(p)
	return []Route{{"POST /loki/api/v1/push", serve}, {"POST /api/prom/push", serve}}
}

func lokiIsJSON(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/json"
}

func lokiFormat(r *http.Request) (string, error) {
	if lokiIsJSON(r) {
		return "loki-json", nil
	}
	return "loki", nil
}

// lokiExtra brings the tenant to decode.Split.
func lokiExtra(r *http.Request, q *request) ([]byte, error) {
	tenant := r.Header.Get(lokiTenantHeader)
	if tenant == "" || tenant == q.project {
		return nil, nil
	}
	if len(tenant) > 150 || strings.ContainsFunc(tenant, notInTenant) {
		return nil, millrace.Errorf(millrace.ErrInvalid, "%s: at most 150 of A-Z a-z 0-9 ! - _ . * ' ( )", lokiTenantHeader)
	}
	return append(millrace.AppendJSONString([]byte(`{"tenant":`), tenant), '}'), nil
}

// notInTenant reports whether Loki allows no c in the ID of a tenant.
func notInTenant(c rune) bool {
	return (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!-_.*'()", c)
}
