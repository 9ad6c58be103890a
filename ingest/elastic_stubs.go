package ingest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/millrace/millrace"
)

// defaultElasticVersion is what a server says it is to clients that do not say
// what they are. Clients of 7.14 and later, 8 and 9 accept it.
const defaultElasticVersion = "8.19.0"

// oldestElasticVersion is what older clients are told, whose requests are the
// same but who know no newer number.
const oldestElasticVersion = "6.8.0"

// clientVersion finds the version of a client in its name:
// Elastic-filebeat/8.15.0, logstash/8.13.2, elasticsearch-js/9.5.1.
var clientVersion = regexp.MustCompile(`(?i)(?:beat|logstash|elastic[a-z-]*|agent)/([5-9]|[1-9][0-9])\.([0-9]{1,3})\.([0-9]{1,3})`)

// elasticVersion returns the version to be for a client: its own. Beats and
// Logstash refuse to work with a server older than they are, and complain of one
// much newer.
func elasticVersion(r *http.Request) string {
	m := clientVersion.FindStringSubmatch(r.UserAgent())
	switch {
	case m == nil:
		return defaultElasticVersion
	case m[1] == "5" || m[1] == "6":
		return oldestElasticVersion
	}
	return m[1] + "." + m[2] + "." + m[3]
}

type object map[string]any

// Names and ids that say what this is without pretending to be another.
const (
	clusterName = "millrace"
	clusterID   = "bWlsbHJhY2UtY2x1c3Rlcg"
	nodeID      = "bWlsbHJhY2Utbm9kZS0wMQ"
)

// stub answers what has no effect.
func (c *elastic) stub(w http.ResponseWriter, r *http.Request, path []string) {
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch {
	case len(path) == 0 && reading:
		writeElastic(w, r, http.StatusOK, rootInfo(r))
	case len(path) > 0 && strings.HasPrefix(path[0], "_") && reading:
		c.read(w, r, path)
	case len(path) > 0 && installs[path[0]]:
		writeElastic(w, r, http.StatusOK, object{"acknowledged": true})
	case len(path) > 0 && (path[len(path)-1] == "_refresh" || path[len(path)-1] == "_flush"):
		writeElastic(w, r, http.StatusOK, object{"_shards": object{"total": 1, "successful": 1, "failed": 0}})
	case len(path) == 1 && !strings.HasPrefix(path[0], "_") && r.Method == http.MethodHead:
		writeElastic(w, r, http.StatusOK, object{}) // an index or alias: it is there as soon as something comes
	case len(path) == 1 && !strings.HasPrefix(path[0], "_") && r.Method == http.MethodPut:
		writeElastic(w, r, http.StatusOK, object{"acknowledged": true, "shards_acknowledged": true, "index": path[0]})
	case len(path) == 2 && (path[1] == "_alias" || path[1] == "_mapping" || path[1] == "_settings"):
		c.index(w, r, path)
	default:
		writeElasticError(w, r, millrace.Errorf(millrace.ErrNotFound,
			"there is no %s %s: of Elasticsearch's API there is what brings documents; see docs/protocols/elasticsearch.md", r.Method, r.URL.Path))
	}
}

// installs are the kinds of things that clients install.
var installs = map[string]bool{
	"_index_template": true, "_component_template": true, "_template": true, "_ilm": true, "_slm": true, "_data_stream": true,
	"_ingest": true, "_alias": true, "_aliases": true, "_scripts": true, "_cluster": true, "_logstash": true,
}

// rootInfo is the answer to GET /.
func rootInfo(r *http.Request) object {
	return object{
		"name": "millrace", "cluster_name": clusterName, "cluster_uuid": clusterID,
		"version": object{
			"number": elasticVersion(r), "build_flavor": "default", "build_type": "millrace",
			"lucene_version": "9.12.0", "minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0",
		},
		"tagline": "You Know, for Search", // which clients of 7 look for
	}
}

// read answers a GET or HEAD of a path that begins with an underscore.
func (c *elastic) read(w http.ResponseWriter, r *http.Request, path []string) {
	last := path[len(path)-1]
	switch path[0] {
	case "_license":
		writeElastic(w, r, http.StatusOK, object{"license": license()})
	case "_xpack":
		writeElastic(w, r, http.StatusOK, object{
			"license":  object{"uid": clusterID, "type": "basic", "mode": "basic", "status": "active"},
			"features": object{"ilm": object{"available": true, "enabled": true}, "security": object{"available": true, "enabled": true}},
		})
	case "_nodes":
		writeElastic(w, r, http.StatusOK, nodes(r))
	case "_cluster":
		c.cluster(w, r, last)
	case "_cat":
		c.cat(w, r, last)
	case "_index_template":
		writeElastic(w, r, http.StatusOK, object{"index_templates": []object{{
			"name": last, "index_template": object{"index_patterns": []string{last + "*"}, "template": object{}, "composed_of": []string{}},
		}}})
	case "_component_template":
		writeElastic(w, r, http.StatusOK, object{"component_templates": []object{{"name": last, "component_template": object{"template": object{}}}}})
	case "_template":
		writeElastic(w, r, http.StatusOK, object{last: object{"order": 0, "index_patterns": []string{last + "*"}, "settings": object{}, "mappings": object{}, "aliases": object{}}})
	case "_ilm":
		if last == "status" {
			writeElastic(w, r, http.StatusOK, object{"operation_mode": "RUNNING"})
			return
		}
		writeElastic(w, r, http.StatusOK, object{last: object{"version": 1, "policy": object{"phases": object{}}}})
	case "_data_stream":
		writeElastic(w, r, http.StatusOK, object{"data_streams": []object{{
			"name": last, "timestamp_field": object{"name": "@timestamp"}, "indices": []object{}, "generation": 1, "status": "GREEN", "template": last,
		}}})
	case "_ingest":
		writeElastic(w, r, http.StatusOK, object{last: object{"processors": []object{}}})
	case "_alias":
		writeElastic(w, r, http.StatusOK, object{last: object{"aliases": object{last: object{"is_write_index": true}}}})
	case "_resolve":
		writeElastic(w, r, http.StatusOK, object{"indices": []object{}, "aliases": []object{}, "data_streams": []object{}})
	case "_logstash":
		writeElastic(w, r, http.StatusOK, object{}) // no pipelines are managed here
	default:
		writeElasticError(w, r, millrace.Errorf(millrace.ErrNotFound,
			"there is no %s: of Elasticsearch's API there is what brings documents; see docs/protocols/elasticsearch.md", r.URL.Path))
	}
}

func license() object {
	return object{
		"status": "active", "uid": clusterID, "type": "basic", "issue_date": "2026-01-01T00:00:00.000Z",
		"issue_date_in_millis": 1767225600000, "max_nodes": 1000, "issued_to": clusterName, "issuer": clusterName, "start_date_in_millis": -1,
	}
}

// nodes says that there is one node, at the address that the client knows.
func nodes(r *http.Request) object {
	host, _, _ := strings.Cut(r.Host, ":")
	version := elasticVersion(r)
	return object{
		"_nodes": object{"total": 1, "successful": 1, "failed": 0}, "cluster_name": clusterName,
		"nodes": object{nodeID: object{
			"name": "millrace", "transport_address": r.Host, "host": host, "ip": host, "version": version,
			"roles": []string{"data", "ingest"}, "http": object{"bound_address": []string{r.Host}, "publish_address": r.Host, "max_content_length_in_bytes": 64 << 20},
		}},
	}
}

func (c *elastic) cluster(w http.ResponseWriter, r *http.Request, last string) {
	switch last {
	case "settings":
		writeElastic(w, r, http.StatusOK, object{"persistent": object{}, "transient": object{}, "defaults": object{}})
	case "health", "_cluster":
		writeElastic(w, r, http.StatusOK, object{
			"cluster_name": clusterName, "status": "green", "timed_out": false, "number_of_nodes": 1, "number_of_data_nodes": 1,
			"active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0, "initializing_shards": 0, "unassigned_shards": 0,
			"delayed_unassigned_shards": 0, "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0,
			"active_shards_percent_as_number": 100.0,
		})
	default: // health of an index, state, stats
		writeElastic(w, r, http.StatusOK, object{"cluster_name": clusterName, "status": "green", "timed_out": false})
	}
}

func (c *elastic) cat(w http.ResponseWriter, r *http.Request, last string) {
	if last != "health" {
		writeElasticError(w, r, millrace.Errorf(millrace.ErrNotFound, "there is no %s", r.URL.Path))
		return
	}
	now := c.h.deps.Now().UTC()
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	_, _ = w.Write(append(now.AppendFormat(nil, "15:04:05 "), clusterName+" green 1 1 1 1 0 0 0 0 - 100.0%\n"...)) // the client may be gone
}

// index answers what is asked about an index or alias.
func (c *elastic) index(w http.ResponseWriter, r *http.Request, path []string) {
	if r.Method == http.MethodPut || r.Method == http.MethodPost {
		writeElastic(w, r, http.StatusOK, object{"acknowledged": true})
		return
	}
	writeElastic(w, r, http.StatusOK, object{path[0]: object{"aliases": object{}, "mappings": object{}, "settings": object{}}})
}
