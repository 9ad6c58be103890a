package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// TestFolded: what exceeds the caps of dimensions and sets shows with its exact
// weight wherever an operator may look, and totals have everything.
func TestFolded(t *testing.T) {
	in := boot(t, "", "pipeline: {flush_interval: 50ms, rollup_interval: 100ms, dimension_values: 5, set_cells: 4}\n")
	var lines strings.Builder
	for i := range 12 {
		fmt.Fprintf(&lines, `{"time":"2026-03-01T00:00:01Z","kind":"access","service":"shop","url":"/p/%d","status":200}`+"\n", i)
	}
	in.post("source=web", lines.String())
	in.drain(12)
	const pv = "SELECT coalesce(url, ''), pv FROM rollup_traffic WHERE granularity = '1m' AND dimension_set = "
	if got := in.sql(pv + "''"); len(got) != 1 || got[0][1] != "12" {
		t.Errorf("total %v, want 12", got)
	}
	if got := in.sqlMap(pv + "'url'")["(other)"]; got != "8" {
		t.Errorf("%s under (other), want 8: seven beyond the values, one beyond the cells", got)
	}
	folded := in.sqlMap("SELECT reason, sum(weight) FROM ledger WHERE outcome = 'folded' GROUP BY 1")
	if folded["traffic.url"] != "7" || folded["traffic [url]"] != "1" {
		t.Errorf("ledger %v, want 7 and 1", folded)
	}
	contains := func(what, text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s lacks %q:\n%.3000s", what, w, text)
			}
		}
	}
	_, metrics := in.call("GET", "/metrics", nil, nil, nil)
	contains("/metrics", metrics,
		`millrace_rollup_folded_weight_total{dimension="url",rollup="traffic",set=""} 7`,
		`millrace_rollup_folded_weight_total{dimension="",rollup="traffic",set="url"} 1`,
		"millrace_rollup_early_flushes_total 0", `millrace_rollup_memory_bytes{what="held"}`, "millrace_rollup_open_cells 0")
	_, page := in.call("GET", "/pipeline", nil, nil, nil)
	contains("/pipeline", page, "traffic.url", "pipeline.dimension_values", "traffic [url]", "pipeline.set_cells")
	var out bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: io.Discard, Now: time.Now}
	if err := m.ParseFlags([]string{"ledger", "--server", in.url}); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	contains("millrace ledger", out.String(), "counted under (other)", "traffic.url")
}
