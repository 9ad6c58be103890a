package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// demo runs the command against a server until it has sent its history.
func demo(t *testing.T, in *instance) string {
	t.Helper()
	out := &lockedBuffer{}
	m := &Main{Stdin: strings.NewReader(""), Stdout: out, Stderr: out, Now: time.Now}
	if err := m.ParseFlags([]string{"demo", "--server", in.url, "--rate", "40", "--history", "1h"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	for !strings.Contains(out.String(), "live from here on") {
		select {
		case err := <-done:
			t.Fatalf("demo: %v\n%s", err, out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("demo ended with %v", err)
	}
	return out.String()
}

// TestDemoFillsThePages feeds an hour of the made-up shop and looks for what
// the pages are to show; a second run must not send that hour again.
func TestDemoFillsThePages(t *testing.T) {
	in := boot(t, "", "")
	out := demo(t, in)
	if !strings.Contains(out, "Open "+in.url) || strings.Count(out, "\n") != 2 {
		t.Errorf("it says:\n%s", out)
	}
	count := func() int {
		rows := in.sql("SELECT coalesce(sum(events), 0) FROM ledger WHERE sink = 'events' AND outcome = 'received'")
		n, err := strconv.Atoi(rows[0][0])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	settle := func() int { // until no more arrives
		for n, same := count(), 0; ; {
			time.Sleep(100 * time.Millisecond)
			now := count()
			if same++; now != n {
				n, same = now, 0
			}
			if same == 10 {
				in.drain(n)
				return n
			}
		}
	}
	first := settle()
	if first < 40*3600/3 {
		t.Errorf("only %d events in an hour", first)
	}
	kinds := in.sqlMap("SELECT kind, count(*) FROM events GROUP BY kind")
	for _, k := range []string{"access", "log", "exception", "metric"} {
		if kinds[k] == "" {
			t.Errorf("no events of kind %s", k)
		}
	}
	if rows := in.sql("SELECT count(*) FROM ledger WHERE outcome IN ('rejected', 'refused')"); rows[0][0] != "0" {
		t.Errorf("%s accounts of rejected lines", rows[0][0])
	}
	if n := in.sql("SELECT sum(pv) FROM rollup_traffic WHERE granularity = '1m' AND dimension_set = ''")[0][0]; n != kinds["access"] {
		t.Errorf("the rollup counts %s of %s accesses", n, kinds["access"])
	}
	languages := map[string]bool{}
	for name := range in.issueIDs(number(t, in.sql("SELECT sum(count) FROM rollup_exceptions WHERE granularity = '1m' AND dimension_set = 'fingerprint'")[0][0])) {
		for language, part := range map[string]string{"java": "java.", "python": "KeyError", "go": "runtime error", "node": "TypeError"} {
			languages[language] = languages[language] || strings.Contains(name, part)
		}
	}
	if out := in.issuesCLI("", "list", "--state", "regressed,resolved"); len(languages) != 4 || !strings.Contains(out, "(1 row)") {
		t.Errorf("issues of %v; resolved:\n%s", languages, out)
	}
	demo(t, in)
	if second := settle(); second > first+first/2 {
		t.Errorf("the second run sent %s events after %d", fmt.Sprint(second-first), first)
	}
}
