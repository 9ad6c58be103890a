package config

import (
	"strings"
	"testing"
)

// TestClustersThatWouldCountTwice: nodes share the work only if they share the
// queue, the store and the positions.
func TestClustersThatWouldCountTwice(t *testing.T) {
	const kafka, click, postgres = "queue: {broker: ['k:9092']}\n", "clickhouse: {address: 'clickhouse://h'}\n", "meta: {address: 'postgres://u:secret@h/d'}\n"
	for text, want := range map[string]string{
		"":                            "",
		kafka:                         "",
		click:                         "", // one node, with the embedded queue
		kafka + click:                 "meta.address: is needed",
		kafka + postgres:              "clickhouse.address: is needed",
		postgres:                      "clickhouse.address: is needed",
		kafka + click + postgres:      "",
		"node: {roles: [worker]}\n":   "without the role ingest",
		"node: {roles: [alerting]}\n": "node.roles: alerting: must be ingest, worker or query",
		kafka + click + "node: {roles: [worker]}\n":            "without the role ingest",
		kafka + click + postgres + "node: {roles: [query]}\n":  "",
		kafka + click + postgres + "node: {group: ''}\n":       "node.group",
		"node: {roles: [ingest, worker, query], name: 'n1'}\n": "",
	} {
		_, err := Parse([]byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestSecretsAreNotShown: that a password changed is said without it.
func TestSecretsAreNotShown(t *testing.T) {
	parse := func(password string) *Config {
		c, err := Parse([]byte("queue: {broker: ['k:9092']}\nclickhouse: {address: 'clickhouse://u:" + password + "@h'}\nmeta: {address: 'postgres://u:" + password + "@h/d'}\n"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	err := parse("hunter1").CheckReload(parse("hunter2"))
	if err == nil || strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "meta.address: changed") ||
		!strings.Contains(err.Error(), "clickhouse.address: changed") {
		t.Error(err)
	}
}
