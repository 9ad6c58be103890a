package config

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/queue"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the generated reference")

func TestDefaultsAreValidAndEqualThePackages(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	f := func(name string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the tags say %+v, DefaultOptions %+v", name, got, want)
		}
	}
	f("pipeline", c.Pipeline, pipeline.DefaultOptions())
	f("queue", c.Queue, queue.DefaultOptions())
	f("store", c.Store, duckdb.DefaultOptions())
	f("clickhouse", c.ClickHouse, clickhouse.DefaultOptions())
	f("query", c.Query, query.DefaultOptions())
	f("issues", c.Issues, issue.DefaultOptions())
}

func TestReferenceIsCurrentAndValid(t *testing.T) {
	var b bytes.Buffer
	if err := WriteReference(&b); err != nil {
		t.Fatal(err)
	}
	c, err := Parse(b.Bytes())
	if err != nil {
		t.Fatalf("the reference is no valid configuration: %v\n%s", err, b.String())
	}
	c.file = nil
	// As text, in which a list that is absent and an empty one are the same.
	if got, want := fmt.Sprintf("%+v", c), fmt.Sprintf("%+v", Default()); got != want {
		t.Errorf("the reference differs from the defaults:\n%s\n%s", got, want)
	}
	const path = "../docs/config.yaml"
	if *rewrite {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not current (%v): run go test ./config -rewrite", path, err)
	}
}

// companions are settings without which those below a path are refused.
var companions = map[string]map[string]string{
	"queue.consume":            {"queue.broker": "[kafka:9092]"},
	"queue.tls":                {"queue.broker": "[kafka:9092]", "queue.tls.enabled": "true"},
	"queue.tls.cert_file":      {"queue.tls.key_file": "key.pem"},
	"queue.tls.key_file":       {"queue.tls.cert_file": "cert.pem"},
	"queue.sasl.mechanism":     {"queue.broker": "[kafka:9092]", "queue.sasl.username": "m", "queue.sasl.password": "env:P"},
	"queue.sasl.username":      {"queue.broker": "[kafka:9092]", "queue.sasl.mechanism": "plain", "queue.sasl.password": "env:P"},
	"queue.sasl.password":      {"queue.broker": "[kafka:9092]", "queue.sasl.mechanism": "plain", "queue.sasl.username": "m"},
	"queue.sasl.token":         {"queue.broker": "[kafka:9092]", "queue.sasl.mechanism": "oauthbearer"},
	"queue.sasl.token_url":     clientCredentials,
	"queue.sasl.client_id":     clientCredentials,
	"queue.sasl.client_secret": clientCredentials,
	"queue.sasl.scope":         clientCredentials,

	"tls":                {"tls.cert": "c", "tls.key": "k"},
	"clickhouse.tls":     {"clickhouse.tls.cert": "c", "clickhouse.tls.key": "k"},
	"clickhouse.storage": {"clickhouse.storage.policy": "tiered"},
	"meta.address":       {"clickhouse.address": "clickhouse://h"},
	"node.roles":         {"queue.broker": "[kafka:9092]", "clickhouse.address": "clickhouse://h", "meta.address": "postgres://h"},
}

var clientCredentials = map[string]string{
	"queue.broker": "[kafka:9092]", "queue.sasl.mechanism": "oauthbearer", "queue.sasl.token_url": "https://h/t",
	"queue.sasl.client_id": "m", "queue.sasl.client_secret": "env:S",
}

// nested writes settings named by their paths as YAML.
func nested(settings map[string]string) string {
	var text strings.Builder
	var above []string
	for _, path := range slices.Sorted(maps.Keys(settings)) {
		names := strings.Split(path, ".")
		for depth, name := range names[:len(names)-1] {
			if len(above) <= depth || above[depth] != name {
				text.WriteString(strings.Repeat("  ", depth) + name + ":\n")
				above = append(above[:depth], name)
			}
		}
		above = above[:min(len(above), len(names)-1)]
		text.WriteString(strings.Repeat("  ", len(names)-1) + names[len(names)-1] + ": " + settings[path] + "\n")
	}
	return text.String()
}

// The example of every field must be accepted where it stands.
func TestExamplesAreValid(t *testing.T) {
	var walk func(typ reflect.Type, path []string)
	walk = func(typ reflect.Type, path []string) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			if !tagged(f) || f.Type.Kind() == reflect.Map {
				continue
			}
			at := append(path[:len(path):len(path)], f.Tag.Get("yaml"))
			if f.Tag.Get("doc") == "" {
				t.Errorf("%v has no doc", at)
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, at)
				continue
			}
			if listOfStructs(f.Type) {
				walkItem(t, f.Type.Elem(), at)
				continue
			}
			settings := map[string]string{}
			dotted := strings.Join(at, ".")
			for prefix, more := range companions {
				if dotted == prefix || strings.HasPrefix(dotted, prefix+".") {
					maps.Copy(settings, more)
				}
			}
			settings[dotted] = quoteList(f, f.Tag.Get("example"))
			if _, err := Parse([]byte(nested(settings))); err != nil {
				t.Errorf("example of %v: %v", at, err)
			}
		}
	}
	walk(reflect.TypeFor[Config](), nil)
}

// walkItem tries the examples of a list's items, all of them in one item.
func walkItem(t *testing.T, typ reflect.Type, path []string) {
	t.Helper()
	var item []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Tag.Get("doc") == "" {
			t.Errorf("%v.%s has no doc", path, f.Name)
		}
		item = append(item, f.Tag.Get("yaml")+": "+quoteList(f, f.Tag.Get("example")))
	}
	text := nested(map[string]string{strings.Join(path, "."): "[{" + strings.Join(item, ", ") + "}]"})
	if _, err := Parse([]byte(text)); err != nil {
		t.Errorf("%s: %v", text, err)
	}
}

func TestBadConfigsAreRefused(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		_, err := Parse([]byte(text))
		if err == nil {
			t.Errorf("accepted:\n%s", text)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("error %q lacks %q", err, w)
			}
		}
		if millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("code %s", millrace.ErrorCode(err))
		}
	}
	f("htpp: x", "line 1, column 1: htpp: unknown setting; there are http, data")
	f("queue:\n  retention: soon", "line 2, column 14: queue.retention: ", "soon")
	f("a: [", "line 1")
	f("http: x\n---\nhttp: y", "one document")
	f("pipeline: fast", "line 1, column 11: pipeline: must be settings")
	f("rollups: [a]", "rollups: must be definitions")
	f("http: 1\nhttp: 2", "line 2")
	// All of them, each where it stands.
	f("htpp: x\nmemory: lots\npipeline:\n  flush_rows: many\n  flush_row: 1\nqueue: {partitions: 0}",
		"line 1, column 1: htpp", "line 2, column 9: memory", "line 4, column 15: pipeline.flush_rows",
		"line 5, column 3: pipeline.flush_row: unknown", "line 6, column 21: queue.partitions: 0")
	f("memory: 1KiB\ndisk_high: 120", "line 1, column 9: memory", "line 2, column 12: disk_high: 120: must be between 10 and 99")
	f("pipeline:\n  flush_rows: 0\nstore:\n  threads: 0", "pipeline.flush_rows", "store.threads")
	f("rollups:\n  r:\n    sets: cube(9)\n    dimensions: [a]\n    metrics: {n: count()}", "rollups.r.sets", "N from 0 to 1")
	f("rollups:\n  r:\n    sets: [[a]]\n    metrics: {n: median(x)}", "rollups.r.metrics.n", "rollups.r.sets")
	f("rollups:\n  r:\n    colour: red", "colour")
}

func TestRollups(t *testing.T) {
	c, err := Parse([]byte(`
rollups:
  timings: null
  checkout:
    where: service == "checkout"
    dimensions: [url, status, city]
    sets: {1m: [[], [url]], 1d: cube(2)}
    metrics:
      n: count()
      paid: sum(amount, 2)
`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range c.Compile() {
		names = append(names, r.Name)
		if r.Name != "checkout" {
			continue
		}
		var sets []string
		for _, s := range r.Sets {
			sets = append(sets, r.SetName(s)+" "+strings.Trim(strings.ReplaceAll(yamlText(t, s.Granularities), "\n", ""), "- "))
		}
		if len(sets) != 7 || r.Metrics[1].Scale != 2 {
			t.Errorf("sets %q, metrics %+v", sets, r.Metrics)
		}
	}
	if got := strings.Join(names, " "); got != "checkout exceptions traffic" {
		t.Errorf("rollups %q", got)
	}
}

func yamlText(t *testing.T, v any) string {
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMemoryIsShared(t *testing.T) {
	c, err := Parse([]byte("memory: 3GiB\npipeline: {rollup_memory: 64MiB}"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Store.Memory != 1<<30 || c.Pipeline.RollupMemory != 64<<20 {
		t.Errorf("store %v, rollup %v", c.Store.Memory, c.Pipeline.RollupMemory)
	}
}
