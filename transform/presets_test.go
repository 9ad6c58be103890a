package transform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/testdata"
)

// frames decodes a body as the server does.
func frames(t testing.TB, format string, body []byte) *millrace.Batch {
	t.Helper()
	var fr decode.Framing
	if err := decode.Frame(format, body, decode.Limits{}, &fr); err != nil {
		t.Fatal(err)
	}
	r := &millrace.Record{Arrived: arrived, Project: "default", Source: "src", Format: format, Sender: "10.9.8.7"}
	for _, s := range fr.Events {
		r.Payload = append(r.Payload, body[s.Start:s.End]...)
		r.Frames = append(r.Frames, uint32(s.End-s.Start))
	}
	b := &millrace.Batch{}
	b.Reset(r)
	new(decode.Decoder).Decode(b)
	return b
}

// module says which preset reads the samples of a Filebeat module and what its
// expected fields (Elastic Common Schema) are called here, as an expression.
type module struct {
	folder string // in the shared data
	format string
	preset string
	files  string // glob
	fields map[string]string
}

// everywhere are the names of fields that mean the same in every module.
var everywhere = map[string]string{
	"log.level": "level_original ?? level",
}

// elsewhere are expected fields that no rule sets: what Filebeat adds to any
// event, and what user agents, countries and lookups are made of, which has steps
// and tests of its own.
var elsewhere = []string{
	"event.kind", "event.category", "event.type", "event.dataset", "event.module", "event.outcome", "event.timezone", "event.original", "http.request.mime_type", "elasticsearch.server.gc", "elasticsearch.server.stacktrace", "fileset.", "input.", "related.", "service.type", "log.flags", "log.offset", "log.file", "host.id",
	"source.geo", "source.as", "source.address", "source.domain", "destination.", "url.extension", "url.domain", "user_agent.device",
	"user_agent.name", "user_agent.os", "user_agent.version", "tls.", "@timestamp",
}

// deviations are fields in which Filebeat is not followed, with the first word
// of what it expects and the reason.
var deviations = map[string]string{
	"kafka.log.component delete":               "a word in brackets from the middle of the message",
	"process.name com.apple.xpc.launchd[1]":    "the program is com.apple.xpc.launchd; what it started is in parentheses behind",
	"process.name com.apple.WebKit.Networking": "as above",
}

var accessFields = map[string]string{
	"source.ip": "client_ip", "http.request.method": "method", "http.response.status_code": "status",
	"http.response.body.bytes": "bytes", "http.version": "http_version", "user.name": `user ?? "-"`,
	"url.original": `query == nil ? url : url + "?" + query`, "url.path": "url", "url.query": "query",
	"http.request.referrer": `referer ?? "-"`, "user_agent.original": `user_agent ?? "-"`,
	"apache.access.ssl.protocol": "tls_protocol", "apache.access.ssl.cipher": "tls_cipher",
	"nginx.access.remote_ip_list": `"[" + (x_forwarded_for ?? client_ip) + "]"`,
}

func ingressFields() map[string]string {
	m := maps.Clone(accessFields)
	maps.Copy(m, map[string]string{
		"http.request.id":                                             "request_id",
		"nginx.ingress_controller.remote_ip_list":                     `"[" + client_ip + "]"`,
		"nginx.ingress_controller.http.request.id":                    "request_id",
		"nginx.ingress_controller.http.request.length":                "request_length",
		"nginx.ingress_controller.http.request.time":                  "rt",
		"nginx.ingress_controller.upstream.name":                      "upstream",
		"nginx.ingress_controller.upstream.alternative_name":          "upstream_alternative ?? \"\"",
		"nginx.ingress_controller.upstream.ip":                        `part(part(upstream_addr, ", ", -1), ":", 0)`,
		"nginx.ingress_controller.upstream.port":                      `part(part(upstream_addr, ", ", -1), ":", 1)`,
		"nginx.ingress_controller.upstream_address_list":              `"[" + upstream_addr + "]"`,
		"nginx.ingress_controller.upstream.response.time":             "rt_backend",
		"nginx.ingress_controller.upstream.response.time_list":        `"[" + rt_backends + "]"`,
		"nginx.ingress_controller.upstream.response.length":           `part(upstream_bytes, ", ", -1)`,
		"nginx.ingress_controller.upstream.response.length_list":      `"[" + upstream_bytes + "]"`,
		"nginx.ingress_controller.upstream.response.status_code":      `part(upstream_status, ", ", -1)`,
		"nginx.ingress_controller.upstream.response.status_code_list": `"[" + upstream_status + "]"`,
	})
	return m
}

func with(base, more map[string]string) map[string]string {
	m := maps.Clone(base)
	maps.Copy(m, more)
	return m
}

var auditFields = with(elasticFields, map[string]string{
	"message": "message", "elasticsearch.audit.layer": "layer", "elasticsearch.audit.event_type": "action_taken",
	"event.action": "action_taken", "elasticsearch.audit.origin.type": "origin_type",
	"elasticsearch.audit.realm": "realm", "elasticsearch.audit.request.id": "request_id", "http.request.id": "request_id",
	"elasticsearch.audit.request.name": "request_name", "elasticsearch.audit.action": "action",
	"elasticsearch.audit.indices": `"[" + trim(string(indices), "[]") + "]"`, "elasticsearch.audit.user.realm": "user_realm",
	"elasticsearch.audit.user.roles": `"[" + trim(string(roles), "[]") + "]"`, "elasticsearch.audit.url.params": "params ?? query",
	"elasticsearch.audit.message": "message", "elasticsearch.audit.component": "component",
	"elasticsearch.audit.user.run_as.name": `attrs["user.run_as.name"]`, "elasticsearch.audit.user.run_as.realm": `attrs["user.run_as.realm"]`,
	"elasticsearch.audit.invalidate.apikeys.owned_by_authenticated_user": "owned_by_user",
	"source.ip": "client_ip", "source.port": "client_port", "user.name": "user",
	"user.effective.name": `attrs["user.run_as.name"]`, "user.email": "email", "user.full_name": "full_name",
	"url.original": `query == nil ? url : url + "?" + query`, "http.request.method": "method", "http.request.body.content": "request_body",
})

var slowlogFields = with(elasticFields, map[string]string{
	"message":                  "index", // Filebeat keeps the line, of which this is a part
	"elasticsearch.slowlog.id": "id", "elasticsearch.slowlog.logger": "logger", "elasticsearch.slowlog.routing": `routing ?? ""`,
	"elasticsearch.slowlog.source_query": "query", "elasticsearch.slowlog.source": "query", "elasticsearch.slowlog.took": "took",
	"elasticsearch.slowlog.type": "types", "elasticsearch.slowlog.types": `types ?? ""`, "elasticsearch.slowlog.stats": `"[" + trim(string(stats ?? ""), "[]") + "]"`,
	"elasticsearch.slowlog.search_type": "search_type", "elasticsearch.slowlog.total_hits": "total_hits",
	"elasticsearch.slowlog.total_shards": "total_shards", "event.duration": "round(duration * 1000000000)",
})

var logstashFields = map[string]string{
	"message": "text", "logstash.log.module": "logger", "logstash.log.thread": "thread", "logstash.log.pipeline_id": "pipeline",
	"logstash.log.log_event.action": "action", "logstash.log.log_event.running_pipelines": "running_pipelines", "logstash.log.log_event.count": "count",
	"logstash.log.log_event.pipeline_id": "pipeline", "logstash.log.log_event.port": "port",
	"logstash.log.log_event.status": "status", "logstash.log.log_event.thread": "event_thread",
	"logstash.slowlog.event": "event", "logstash.slowlog.module": "logger", "logstash.slowlog.plugin_name": "plugin",
	"logstash.slowlog.plugin_type": "plugin_type", "logstash.slowlog.plugin_params": "plugin_params", "logstash.slowlog.thread": "thread",
	"logstash.slowlog.took_in_millis": "took_millis", "event.duration": "round(duration * 1000000000)",
	"logstash.slowlog.plugin_params_object.code": "plugin_params", "logstash.slowlog.plugin_params_object.id": "plugin_params",
}

var elasticFields = map[string]string{
	"message": "text ?? message", "elasticsearch.component": "component", "elasticsearch.node.name": "node_name ?? \"\"",
	"elasticsearch.node.id": "node_id", "elasticsearch.cluster.name": "cluster", "elasticsearch.cluster.uuid": "cluster_id",
	"elasticsearch.index.name": "index", "elasticsearch.index.id": "index_id", "elasticsearch.shard.id": "shard",
	"log.logger": "logger", "process.thread.name": "thread", "service.name": "service",
}

var postgresFields = map[string]string{
	// Where Filebeat takes a query out, its message is the line, or the query.
	"message": `text`, "log.level": "severity", "postgresql.log.timestamp": "timestamp", "process.pid": "pid",
	"user.name": "user", "postgresql.log.database": "database", "postgresql.log.query": "query",
	"postgresql.log.query_name": "query_name", "postgresql.log.query_step": "query_step",
	"postgresql.log.sql_state_code": "sql_state", "postgresql.log.session_line_number": "session_line",
	"postgresql.log.application_name": "application", "postgresql.log.backend_type": "backend_type",
	"postgresql.log.client_addr": "client_ip", "postgresql.log.client_port": "client_port",
	"postgresql.log.command_tag": "command", "postgresql.log.detail": "detail", "postgresql.log.session_id": "session_id",
	"postgresql.log.session_start_time": "session_start", "postgresql.log.transaction_id": "transaction",
	"postgresql.log.virtual_transaction_id": "virtual_transaction",
	"event.duration":                        "round(duration * 1000000000)",
}

var systemFields = map[string]string{
	"message": "text ?? message", "host.hostname": "host", "process.name": "service", "process.pid": "pid",
	"user.name": "user", "event.action": `ssh_event == nil ? "" : "ssh_login"`, "user.effective.name": "effective_user", "user.id": "uid", "group.id": "gid", "group.name": "group ?? user",
	"source.ip": "client_ip ?? ssh_dropped_ip", "source.port": "client_port",
	"system.auth.ssh.event": "ssh_event", "system.auth.ssh.method": "ssh_method", "system.auth.ssh.signature": "ssh_signature",
	"system.auth.ssh.dropped_ip": "ssh_dropped_ip", "system.auth.sudo.command": "command", "system.auth.sudo.pwd": "pwd",
	"system.auth.sudo.tty": "tty", "system.auth.sudo.user": "effective_user", "system.auth.sudo.error": "sudo_error",
	"system.auth.useradd.home": "home", "system.auth.useradd.shell": "shell",
}

var modules = []module{
	{"access-logs/filebeat-modules/nginx/access", "auto", "nginx-access", "*.log", accessFields},
	{"access-logs/filebeat-modules/apache/access", "auto", "apache-access", "*.log", accessFields},
	{"access-logs/filebeat-modules/nginx/error", "auto", "nginx-error", "*.log", map[string]string{
		"message": "text", "process.pid": "pid", "process.thread.id": "thread", "nginx.error.connection_id": "connection",
	}},
	{"access-logs/filebeat-modules/nginx/ingress_controller", "auto", "nginx-ingress", "*.log", ingressFields()},
	{"access-logs/filebeat-modules/apache/error", "auto", "apache-error", "*.log", map[string]string{
		"message": "text", "process.pid": "pid", "process.thread.id": "thread", "apache.error.module": "module",
		"source.ip": "client_ip", "source.port": "client_port", "file.path": "path", "http.request.referrer": "referer",
	}},
	{"app-logs/filebeat-modules/kafka/log", "auto", "kafka", "*.log", map[string]string{
		"message": "text", "kafka.log.class": "logger", "kafka.log.component": `component ?? "unknown"`, "kafka.log.thread": "thread",
		"kafka.log.trace.class": "type", "kafka.log.trace.message": "error",
	}},
	{"app-logs/filebeat-modules/postgresql/log", "text", "postgresql", "*[^v].log", postgresFields},
	{"app-logs/filebeat-modules/postgresql/log", "text", "postgresql-csv", "*.csv.log", postgresFields},
	{"app-logs/filebeat-modules/elasticsearch/server", "auto", "elasticsearch", "*.log", elasticFields},
	{"app-logs/filebeat-modules/elasticsearch/deprecation", "auto", "elasticsearch", "*.log", elasticFields},
	{"app-logs/filebeat-modules/elasticsearch/slowlog", "auto", "elasticsearch-slowlog", "*.log", slowlogFields},
	{"app-logs/filebeat-modules/elasticsearch/audit", "auto", "elasticsearch-audit", "*.log", auditFields},
	{"app-logs/filebeat-modules/logstash/log", "auto", "logstash", "*.log", logstashFields},
	{"app-logs/filebeat-modules/logstash/slowlog", "auto", "logstash", "*.log", logstashFields},
	{"app-logs/filebeat-modules/system/syslog", "auto", "system-syslog", "*.log", systemFields},
	{"app-logs/filebeat-modules/system/auth", "auto", "system-auth", "*.log", systemFields},
}

func presetProgram(t testing.TB, name string) *Program {
	t.Helper()
	text, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return mustCompile(t, string(text))
}

// TestPresetsReadFilebeatSamples runs every preset on the samples of Filebeat's
// modules (Apache License 2.0) and compares with the fields that Filebeat expects.
func TestPresetsReadFilebeatSamples(t *testing.T) {
	for _, m := range modules {
		t.Run(strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(m.folder, "access-logs/filebeat-modules/"), "app-logs/filebeat-modules/")+" "+m.preset, "/", " "), func(t *testing.T) {
			p := presetProgram(t, m.preset)
			files, err := filepath.Glob(filepath.Join(testdata.Shared(t, filepath.FromSlash(m.folder)), m.files))
			if err != nil || len(files) == 0 {
				t.Fatalf("no samples: %v", err)
			}
			var sum tally
			for _, name := range files {
				sum.file(t, p, &m, name)
			}
			t.Logf("%d files, %d events, %d fields compared, %d events joined otherwise", len(files), sum.events, sum.fields, sum.otherwise)
			if sum.fields == 0 {
				t.Error("nothing was compared")
			}
		})
	}
}

type tally struct{ events, fields, otherwise int }

func (sum *tally) file(t *testing.T, p *Program, m *module, name string) {
	body, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	expectedText, err := os.ReadFile(name + "-expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected []map[string]any
	dec := json.NewDecoder(bytes.NewReader(expectedText))
	dec.UseNumber()
	if err := dec.Decode(&expected); err != nil {
		t.Fatal(err)
	}
	b := frames(t, m.format, body)
	at := offsets(t, m.format, body)
	s := &Scratch{}
	for i := range b.Events {
		e := &b.Events[i]
		want, end := eventAt(expected, at[e.Ordinal].Start)
		if want == nil || end > 0 && end != at[e.Ordinal].End || want["log.flags"] != nil && !strings.Contains(e.Message, "\n") {
			sum.otherwise++
			continue
		}
		p.Apply(b, e, s)
		sum.events++
		sum.event(t, m, filepath.Base(name), s, b, e, want)
	}
}

// offsets returns where the events of a body are.
func offsets(t *testing.T, format string, body []byte) []decode.Span {
	var fr decode.Framing
	if err := decode.Frame(format, body, decode.Limits{}, &fr); err != nil {
		t.Fatal(err)
	}
	return fr.Events
}

// eventAt returns what is expected of the event that starts there, and where the
// next one starts, 0 if none is known.
func eventAt(expected []map[string]any, offset int) (want map[string]any, end int) {
	for i, e := range expected {
		if number(e["log.offset"]) != offset {
			continue
		}
		if i+1 < len(expected) {
			end = number(expected[i+1]["log.offset"])
		}
		return e, end
	}
	return nil, 0
}

func number(v any) int {
	n, _ := v.(json.Number)
	i, err := n.Int64()
	if err != nil {
		return -1
	}
	return int(i)
}

func (sum *tally) event(t *testing.T, m *module, file string, s *Scratch, b *millrace.Batch, e *millrace.Event, want map[string]any) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		expr, ok := m.fields[key]
		if !ok {
			if expr, ok = everywhere[key]; !ok {
				if !slices.ContainsFunc(elsewhere, func(p string) bool { return strings.HasPrefix(key, p) }) {
					t.Errorf("%s: %s has no counterpart in the table", file, key)
				}
				continue
			}
		}
		f, err := compileExpr(expr)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		s.begin(s.p, b, e)
		got, ok := s.render(f(s))
		sum.fields++
		if w := wanted(want[key]); deviations[key+" "+strings.Split(w, " ")[0]] == "" && (!ok || !sameField(key, got, w)) {
			t.Errorf("%s: %s is %q, expected %q\n%s", file, key, got, w, e.Message)
		}
	}
	if ts, ok := want["@timestamp"].(string); ok {
		checkTime(t, file, e, ts, want["event.timezone"])
	}
}

func wanted(v any) string {
	if list, ok := v.([]any); ok {
		var parts []string
		for _, p := range list {
			parts = append(parts, fmt.Sprint(p))
		}
		slices.Sort(parts) // Filebeat's generator sorted some of them
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// sameField compares as far as both mean the same: Filebeat keeps paths without
// their escapes, durations as a float32, and times in its own spelling.
func sameField(key, got, want string) bool {
	if strings.TrimRight(got, " \n") == strings.TrimRight(want, " \n") {
		return true
	}
	switch key {
	case "message": // one of both has in fields what the other has in the text
		return got != "" && (strings.Contains(want, got) || strings.Contains(got, want))
	case "nginx.access.remote_ip_list": // Filebeat adds the peer
		for _, ip := range strings.Split(strings.Trim(got, "[]"), ", ") {
			if !strings.Contains(want, ip) {
				return false
			}
		}
		return true
	case "log.level":
		return strings.EqualFold(got, want)
	case "url.path", "url.query":
		plain, err := url.PathUnescape(got)
		return err == nil && plain == want
	case "event.duration":
		a, _ := strconv.ParseFloat(got, 64)
		b, _ := strconv.ParseFloat(want, 64)
		return math.Abs(a-b) <= 1e-6*b
	case "postgresql.log.session_start_time":
		a, n, ok := decode.ParseTime([]byte(got), arrived)
		b, err := time.Parse(time.RFC3339Nano, want)
		return ok && n == len(got) && err == nil && a == b.UnixNano()
	}
	if got == "[]" && want == "" { // an empty list
		return true
	}
	if strings.HasPrefix(got, "{") || strings.HasPrefix(got, "[{") || strings.HasPrefix(got, `["update"`) {
		return sameNested(got, want)
	}
	a, aErr := strconv.ParseFloat(got, 64)
	b, bErr := strconv.ParseFloat(want, 64)
	if aErr == nil && bErr == nil {
		return a == b
	}
	if strings.HasPrefix(got, "[") && strings.HasPrefix(want, "[") {
		parts := strings.Split(strings.NewReplacer(`"`, "", ", ", ",").Replace(strings.Trim(got, "[]")), ",")
		slices.Sort(parts)
		return "["+strings.Join(parts, ", ")+"]" == want
	}
	return false
}

// sameNested compares JSON with how Filebeat's fields print: a word of the one is
// one of the other.
func sameNested(got, want string) bool {
	for _, word := range regexp.MustCompile(`[\w.-]{3,}`).FindAllString(want, -1) {
		if !strings.Contains(got, word) && word != "map" {
			return false
		}
	}
	return true
}

// checkTime compares times; where the line states no zone, Filebeat took -02:00
// and millrace takes UTC.
func checkTime(t *testing.T, file string, e *millrace.Event, want string, zone any) {
	t.Helper()
	at, err := time.Parse(time.RFC3339Nano, want)
	if err != nil {
		t.Fatal(err)
	}
	got := time.Unix(0, e.Time).Truncate(time.Millisecond) // which is all that Filebeat keeps
	if zone == "EST" && got.Equal(at.Add(time.Hour)) {
		return // Filebeat lets EST follow the summer time
	}
	if !e.HasTime || !got.Equal(at) && (zone != "-02:00" || !got.Equal(at.Add(-2*time.Hour))) {
		t.Errorf("%s: time %s, expected %s\n%s", file, got.UTC(), want, e.Message)
	}
}
