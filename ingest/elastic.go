package ingest

import (
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/internal/problem"
)

// What clients of Elasticsearch ask besides _bulk (bulk.go): who is there, its
// licence and health, and whether their templates, policies and pipelines are
// installed. All that is answered as if it were so, since nothing of it is needed:
// there is no mapping that an index could lack. elastic_stubs.go has the answers.
//
// The paths are those of Elasticsearch, whose names of endpoints begin with an
// underscore. "GET /" is also a page, which browsers and everything that is not
// known as a client of Elasticsearch get. Under Prefix everything is
// Elasticsearch's.
//
// Every answer has X-Elastic-Product, without which official clients refuse a
// server. Keys come by Basic or ApiKey.
//
// What clients ask was read in these files, each as of one commit and not of every
// version: of Beats libbeat/esleg/eslegclient/connection.go (GET /, whose
// version.number counts), licenser/elastic_fetcher.go (_license),
// idxmgmt/lifecycle/es_client_handler.go (_ilm/policy), template/load.go (_template
// of 7, _component_template and _index_template later), older ILM code (_xpack) and
// outputs/elasticsearch/client.go; of logstash-output-elasticsearch
// http_client/pool.rb (HEAD and GET /, _license, _nodes/http), http_client.rb,
// template_manager.rb, ilm.rb and license_checker.rb; of Fluent Bit plugins/out_es,
// of Vector src/sinks/elasticsearch, of rsyslog plugins/omelasticsearch. What there
// is of _data_stream, _ingest and the rest follows Elasticsearch's REST API
// reference. Only rsyslog and the official clients for Go and JavaScript are run
// against it (internal/clienttest).

// ElasticPrefix is a path below which everything is Elasticsearch's, for clients
// that take a path with the server's address.
const ElasticPrefix = "/elasticsearch"

// elastic is the state of these endpoints.
type elastic struct {
	h         *Handler
	bulk, one http.Handler
	requests  atomic.Uint64 // of bulk and one, for the _ids of documents
}

// Elastic returns a handler that answers what clients of Elasticsearch ask, and
// leaves all else to next.
func (h *Handler) Elastic(next http.Handler) http.Handler {
	c := &elastic{h: h}
	c.bulk, c.one = h.serve(c.bulkProtocol(false)), h.serve(c.bulkProtocol(true))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := elasticPath(r)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Cache-Control", "no-store")
		c.route(w, r, path)
	})
}

// ForElastic reports whether Elastic answers a request.
func ForElastic(r *http.Request) bool {
	_, ok := elasticPath(r)
	return ok
}

// elasticPath returns the parts of the path, unescaped and without the prefix, if
// the request is meant for Elasticsearch.
func elasticPath(r *http.Request) (parts []string, ok bool) {
	path := r.URL.EscapedPath()
	if rest, has := strings.CutPrefix(path, ElasticPrefix); has && (rest == "" || rest[0] == '/') {
		return splitPath(rest), true
	}
	if path == "/" {
		return nil, isElasticClient(r)
	}
	if !strings.Contains(path, "/_") {
		// Whether an index or alias is there, and to make it.
		if r.Method != http.MethodHead && r.Method != http.MethodPut || strings.Count(path, "/") != 1 {
			return nil, false
		}
		return splitPath(path), isElasticClient(r)
	}
	parts = splitPath(path)
	named := len(parts) > 1 && strings.HasPrefix(parts[1], "_")
	return parts, strings.HasPrefix(parts[0], "_") || named && parts[0] != "api"
}

// splitPath splits an escaped path; a trailing slash does not count.
func splitPath(path string) []string {
	var parts []string
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if text, err := url.PathUnescape(part); err == nil {
			part = text
		}
		parts = append(parts, part)
	}
	if len(parts) == 1 && parts[0] == "" {
		return nil
	}
	return parts
}

// isElasticClient tells clients of Elasticsearch by their name and by what they
// accept from browsers and everything else.
func isElasticClient(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	switch {
	case strings.Contains(accept, "text/html"):
		return false
	case strings.Contains(accept, "vnd.elasticsearch"), r.Header.Get("X-Elastic-Client-Meta") != "":
		return true
	}
	agent := strings.ToLower(r.UserAgent())
	for _, name := range []string{"elastic", "opensearch", "logstash", "beat/", "vector/", "fluent"} {
		if strings.Contains(agent, name) {
			return true
		}
	}
	return false
}

// route answers a request. Documents authorize by themselves.
func (c *elastic) route(w http.ResponseWriter, r *http.Request, path []string) {
	post := r.Method == http.MethodPost || r.Method == http.MethodPut
	switch {
	case len(path) == 1 && path[0] == "_bulk" && post:
		c.bulk.ServeHTTP(w, r)
		return
	case len(path) == 2 && path[1] == "_bulk" && post:
		r.SetPathValue("index", path[0])
		c.bulk.ServeHTTP(w, r)
		return
	case len(path) >= 2 && len(path) <= 3 && (path[1] == "_doc" || path[1] == "_create") && post:
		r.SetPathValue("index", path[0])
		r.SetPathValue("op", path[1])
		if len(path) == 3 {
			r.SetPathValue("id", path[2])
		}
		c.one.ServeHTTP(w, r)
		return
	}
	who, err := c.h.deps.Authorize(r, millrace.ScopeIngest)
	if err != nil {
		writeElasticError(w, r, err)
		return
	}
	if len(path) == 2 && path[0] == "_cat" && r.UserAgent() == "" && c.busy(who) {
		panic(http.ErrAbortHandler) // rsyslog, which asks whether it may go on
	}
	c.stub(w, r, path)
}

// busy reports whether documents would be refused for now.
func (c *elastic) busy(who *auth.Principal) bool {
	return c.h.deps.Door() != nil || c.h.deps.Limits.Admit(who, 0, 0) != nil
}

// elasticTypes are Elasticsearch's names of errors.
var elasticTypes = map[millrace.Code]string{
	millrace.ErrInvalid:      "illegal_argument_exception",
	millrace.ErrUnauthorized: "security_exception",
	millrace.ErrForbidden:    "security_exception",
	millrace.ErrNotFound:     "resource_not_found_exception",
	millrace.ErrConflict:     "version_conflict_engine_exception",
	millrace.ErrTooLarge:     "content_too_large_exception",
	millrace.ErrThrottled:    "es_rejected_execution_exception",
	millrace.ErrUnavailable:  "unavailable_shards_exception",
	millrace.ErrTimeout:      "process_cluster_event_timeout_exception",
}

// writeElasticError answers with err as Elasticsearch does. What the user may see
// of it is the same as in a problem document.
func writeElasticError(w http.ResponseWriter, r *http.Request, err error) {
	setRetryAfter(w, err)
	kind := elasticTypes[millrace.ErrorCode(err)]
	if kind == "" {
		kind = "exception"
	}
	writeElasticFailure(w, r, problem.StatusOf(err), kind, millrace.ErrorMessage(err))
}

func setRetryAfter(w http.ResponseWriter, err error) {
	if d := problem.RetryAfter(err); d > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	}
}

func writeElasticFailure(w http.ResponseWriter, r *http.Request, status int, kind, reason string) {
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="security", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", "ApiKey")
	}
	type cause struct {
		Type   string `json:"type"`
		Reason string `json:"reason"`
	}
	var doc struct {
		Error struct {
			RootCause []cause `json:"root_cause"`
			cause
		} `json:"error"`
		Status int `json:"status"`
	}
	doc.Error.cause = cause{kind, reason}
	doc.Error.RootCause, doc.Status = []cause{doc.Error.cause}, status
	writeElastic(w, r, status, doc)
}

// writeElastic answers with a document.
func writeElastic(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer does not marshal: " + err.Error())
	}
	writeElasticHeader(w, r)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may be gone
	}
}

// writeElasticHeader sets the content type, in the version of the API that the
// client asks for.
func writeElasticHeader(w http.ResponseWriter, r *http.Request) {
	kind := "application/json"
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "vnd.elasticsearch+") {
		kind = "application/vnd.elasticsearch+json"
		if _, version, ok := strings.Cut(accept, "compatible-with="); ok && len(version) > 0 && version[0] >= '7' && version[0] <= '9' {
			kind += ";compatible-with=" + version[:1]
		}
	}
	w.Header().Set("Content-Type", kind)
}
