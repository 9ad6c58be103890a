package ingest

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// TestElasticHandshakes sends what clients send before and around _bulk, and looks
// at what they look at, as far as that was read in their sources (elastic.go names
// the files). It is no recording: programs that can be run here, internal/clienttest
// runs.
func TestElasticHandshakes(t *testing.T) {
	type step struct{ method, path, wants string }
	const status = `{"errors":false,"items":[{"create":{"status":201}}]}`
	for _, client := range []struct {
		agent, accept string
		steps         []step
	}{
		// libbeat: esleg/eslegclient/connection.go (Ping), licenser/elastic_fetcher.go,
		// idxmgmt/lifecycle/es_client_handler.go, template/load.go and
		// outputs/elasticsearch/client.go. _xpack is of ILM in older versions; the data
		// stream and the pipelines are from the API's reference.
		{"Elastic-filebeat/8.15.0 (linux; amd64; x; 2024-08-01)", "application/json", []step{
			{"GET", "/", `"number":"8.15.0"`},
			{"GET", "/_license?human=false", `"status":"active"`},
			{"GET", "/_xpack", `"ilm":{"available":true,"enabled":true}`},
			{"GET", "/_ilm/policy/filebeat", `"filebeat":{`},
			{"HEAD", "/_index_template/filebeat-8.15.0", ``},
			{"GET", "/_index_template/filebeat-8.15.0", `"index_templates":[{`},
			{"PUT", "/_index_template/filebeat-8.15.0", `"acknowledged":true`},
			{"GET", "/_data_stream/filebeat-8.15.0", `"name":"filebeat-8.15.0"`},
			{"PUT", "/_data_stream/filebeat-8.15.0", `"acknowledged":true`},
			{"GET", "/_ingest/pipeline/filebeat-8.15.0-nginx-access-pipeline", `"processors":[]`},
			{"PUT", "/_ingest/pipeline/filebeat-8.15.0-nginx-access-pipeline", `"acknowledged":true`},
			{"POST", "/_bulk?filter_path=errors%2Citems.%2A.error%2Citems.%2A.status", status},
		}},
		// logstash-output-elasticsearch: http_client.rb, http_client/pool.rb,
		// template_manager.rb, ilm.rb, license_checker.rb.
		{"logstash/8.13.2 (OS=Linux; JVM=17) logstash-output-elasticsearch/11.22.5", "", []step{
			{"HEAD", "/", ``},
			{"GET", "/", `"number":"8.13.2"`},
			{"GET", "/_license", `"license":{`},
			{"HEAD", "/_index_template/ecs-logstash", ``},
			{"PUT", "/_index_template/ecs-logstash", `"acknowledged":true`},
			{"HEAD", "/ecs-logstash", ``},
			{"PUT", "/%3Cecs-logstash-%7Bnow%2Fd%7D-000001%3E", `"acknowledged":true`},
			{"HEAD", "/_ilm/policy/logstash-policy", ``},
			{"GET", "/_nodes/http", `"publish_address":"example.com"`},
			{"POST", "/_bulk?filter_path=errors,items.*.error,items.*.status", status},
		}},
		// Fluent Bit: plugins/out_es/es.c, which asks nothing first.
		{"Fluent-Bit", "", []step{{"POST", "/_bulk?filter_path=errors,items.*.error,items.*.status", status}}},
		// Vector: src/sinks/elasticsearch/common.rs and service.rs.
		{"Vector/0.40.0 (x86_64-unknown-linux-gnu)", "", []step{
			{"GET", "/_cluster/health", `"status":"green"`},
			{"GET", "/", `"number":"8.19.0"`},
			{"POST", "/_bulk?timeout=60s&filter_path=errors,items.*.status", status},
		}},
		// rsyslog: plugins/omelasticsearch/omelasticsearch.c (checkConn).
		{"", "", []step{{"GET", "/_cat/health", `green`}, {"POST", "/_bulk?filter_path=errors,items.*.status", status}}},
		// Clients of 7 look at version, flavour and tagline as well.
		{"elasticsearch-py/7.17.9 (Python 3.11)", "application/json", []step{
			{"GET", "/", `"number":"7.17.9"`}, {"GET", "/", `"build_flavor":"default"`}, {"GET", "/", `"tagline":"You Know, for Search"`},
		}},
		{"elasticsearch-js/9.5.1 (linux 6.1; Node.js 22)", "application/vnd.elasticsearch+json; compatible-with=9", []step{
			{"GET", "/", `"number":"9.5.1"`}, {"POST", "/idx/_refresh", `"failed":0`},
		}},
	} {
		f := setup(t)
		for _, s := range client.steps {
			body := ""
			if strings.Contains(s.path, "_bulk") {
				body = `{"create":{"_index":"x"}}` + "\n{}\n"
			}
			header := []string{"User-Agent", client.agent}
			if client.accept != "" {
				header = append(header, "Accept", client.accept)
			}
			w := f.es(s.method, s.path, body, header...)
			want(t, w, 200, s.wants)
			if w.Header().Get("X-Elastic-Product") != "Elasticsearch" {
				t.Errorf("%s: %s %s does not name the product", client.agent, s.method, s.path)
			}
			kind := w.Header().Get("Content-Type")
			if strings.Contains(client.accept, "vnd.") && kind != "application/vnd.elasticsearch+json;compatible-with=9" {
				t.Errorf("%s: %s %s is %q", client.agent, s.method, s.path, kind)
			}
			if strings.HasSuffix(kind, "json") && s.method != "HEAD" && !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %s %s is no JSON: %s", client.agent, s.method, s.path, w.Body)
			}
			if s.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("%s: HEAD %s has a body", client.agent, s.path)
			}
		}
	}
}

// The start page is a browser's and whoever's is not known.
func TestRootIsAPageToo(t *testing.T) {
	f := setup(t)
	page := func(agent, accept string, isPage bool) {
		t.Helper()
		w := f.es("GET", "/", "", "User-Agent", agent, "Accept", accept)
		if got := w.Code == http.StatusNotFound; got != isPage {
			t.Errorf("%q, %q: page %v, want %v", agent, accept, got, isPage)
		}
	}
	page("Mozilla/5.0 (X11; Linux x86_64)", "text/html,application/xhtml+xml,*/*;q=0.8", true)
	page("curl/8.5.0", "*/*", true)
	page("", "", true)
	page("Go-http-client/1.1", "", true)
	page("Elastic-metricbeat/8.1.0", "application/json", false)
	page("anything", "application/vnd.elasticsearch+json;compatible-with=8", false)
	page("Vector/0.40.0", "*/*", false)
	want(t, f.es("GET", "/elasticsearch/", "", "User-Agent", "curl/8.5.0"), 200, `"tagline"`)
	want(t, f.es("GET", "/elasticsearch", "", "User-Agent", "curl/8.5.0"), 200, `"tagline"`)
}

func TestElasticVersion(t *testing.T) {
	for agent, want := range map[string]string{
		"Elastic-filebeat/8.15.0 (linux)": "8.15.0", "Filebeat/7.17.3": "7.17.3", "logstash/9.1.0 (x) logstash-output-elasticsearch/12.0.1": "9.1.0",
		"go-elasticsearch/8.19.7 (linux amd64)": "8.19.7", "elasticsearch-py/6.8.2": "6.8.0", "Vector/0.40.0": defaultElasticVersion, "": defaultElasticVersion,
		"elastic-transport-python/8.13": defaultElasticVersion,
	} {
		r, _ := http.NewRequest("GET", "/", nil)
		r.Header.Set("User-Agent", agent)
		if got := elasticVersion(r); got != want {
			t.Errorf("%q: %s, want %s", agent, got, want)
		}
	}
}

// What is not there is said, in Elasticsearch's way.
func TestElasticUnknown(t *testing.T) {
	f := setup(t)
	for _, path := range []string{"/_search", "/idx/_search", "/_cat/indices", "/elasticsearch/a/b/c"} {
		want(t, f.es("GET", path, ""), 404, `"type":"resource_not_found_exception"`)
	}
}
