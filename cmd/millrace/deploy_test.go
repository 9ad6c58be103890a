package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/millrace/millrace/config"
)

// TestDeployFilesNameWhatThereIs: metrics, flags and settings in the files of
// deploy exist.
func TestDeployFilesNameWhatThereIs(t *testing.T) {
	s := boot(t, "", "")
	have := map[string]bool{"process_resident_memory_bytes": true}
	var metrics string
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(metrics, "millrace_sink_lag_seconds"); time.Sleep(50 * time.Millisecond) {
		if _, metrics = s.call(http.MethodGet, "/metrics", nil, nil, nil); time.Now().After(deadline) {
			t.Fatalf("the first look at the pipeline does not come:\n%s", metrics)
		}
	}
	for _, line := range strings.Split(metrics, "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			have[name], have[name+"_bucket"] = true, true
		}
	}
	// Those that appear only once something happened.
	for _, name := range []string{"millrace_rollup_folded_weight_total", "millrace_ingest_rejected_lines_total", "millrace_complete_until_seconds", "millrace_worker_pace_rate"} {
		have[name] = true
	}
	metric := regexp.MustCompile(`\bmillrace_[a-z_]+`)
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		used := metric.FindAllString(deployFile(t, "prometheus", name), -1)
		if len(used) < 8 {
			t.Errorf("%s uses %d metrics", name, len(used))
		}
		for _, m := range used {
			if !have[m] {
				t.Errorf("%s uses %s, which /metrics does not have", name, m)
			}
		}
	}
	for _, name := range []string{"compose.yaml", "kubernetes/millrace.yaml"} {
		deployArgs(t, name)
	}
	secret := regexp.MustCompile(`(?s)config\.yaml: \|\n(.*?)\n---`).FindStringSubmatch(deployFile(t, "kubernetes", "millrace.yaml"))
	if secret == nil {
		t.Fatal("the manifests have no configuration")
	}
	text := strings.ReplaceAll(secret[1], "\n    ", "\n")
	if _, err := config.Parse([]byte(strings.TrimPrefix(text, "    "))); err != nil {
		t.Errorf("configuration of the manifests: %v", err)
	}
}

// deployArgs parses all command lines of serve in a YAML file.
func deployArgs(t *testing.T, name string) {
	t.Helper()
	found := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, e := range v {
				walk(e)
			}
		case []any:
			if len(v) > 0 && v[0] == "serve" {
				found++
				args := make([]string, len(v))
				for i := range v {
					args[i] = strings.ReplaceAll(v[i].(string), "/etc/millrace/config.yaml", filepath.Join("..", "..", "docs", "config.yaml"))
				}
				if err := (&Main{Stdout: os.Stderr, Stderr: os.Stderr}).ParseFlags(args); err != nil {
					t.Errorf("%s: %v: %v", name, args, err)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	for _, doc := range strings.Split(deployFile(t, name), "\n---\n") {
		var v any
		if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		walk(v)
	}
	if found < 3 {
		t.Errorf("%s starts %d servers", name, found)
	}
}

func deployFile(t *testing.T, name ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"..", "..", "deploy"}, name...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
