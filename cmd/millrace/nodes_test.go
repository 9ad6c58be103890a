package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/query"
)

var jsonBody = http.Header{"Content-Type": {"application/json"}}

// cluster asks a node for all.
func (in *instance) cluster() (c query.Cluster) {
	in.t.Helper()
	if code, text := in.call("GET", "/api/v1/cluster", nil, nil, &c); code != http.StatusOK {
		in.t.Fatalf("cluster: %d %s", code, text)
	}
	return c
}

// plan changes what nodes do.
func (in *instance) plan(body string, want int) string {
	in.t.Helper()
	code, text := in.call("POST", "/api/v1/cluster", strings.NewReader(body), jsonBody, nil)
	if code != want {
		in.t.Fatalf("%s: %d %s, want %d", body, code, text, want)
	}
	return text
}

// soon waits for a condition.
func soon(t *testing.T, what string, within time.Duration, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !cond(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// TestOneNode: a server alone is a cluster of one, which can be paused, bounded
// and drained.
func TestOneNode(t *testing.T) {
	in := boot(t, "", "pipeline: {flush_interval: 50ms, rollup_interval: 100ms}\n", "--node", "solo")
	soon(t, "announced with its partitions", 10*time.Second, func() bool {
		c := in.cluster()
		return len(c.Nodes) == 1 && len(c.Nodes[0].Partitions) == 4
	})
	c := in.cluster()
	n := c.Nodes[0]
	if c.Node != "solo" || n.Name != "solo" || n.State != query.NodeRunning || n.URL != in.url || n.MemoryBytes == 0 ||
		!reflect.DeepEqual(n.Roles, []string{"ingest", "worker", "query"}) || time.Since(n.Started) > time.Minute || n.Version != version() {
		t.Errorf("%+v", n)
	}
	for _, p := range c.Partitions {
		if p.Owner != "solo" || len(p.Sinks) != 2 {
			t.Errorf("%+v", p)
		}
	}
	ready := func() bool { code, _ := in.call("GET", "/readyz", nil, nil, nil); return code == http.StatusOK }
	soon(t, "ready", 10*time.Second, ready)

	in.plan(`{"pause": true, "flush_rows": 2}`, 200)
	in.post("source=s", "one\ntwo\nthree\n")
	time.Sleep(300 * time.Millisecond)
	if got := in.all("SELECT count(*) FROM events"); got != 0 {
		t.Errorf("%d rows while paused", got)
	}
	soon(t, "shown as paused", 5*time.Second, func() bool { return in.cluster().Nodes[0].State == query.NodePaused })
	in.plan(`{"version": 7, "pause": false}`, 409)
	in.plan(`{"version": 1, "pause": false}`, 200)
	soon(t, "rows after the pause", 10*time.Second, func() bool { return in.all("SELECT count(*) FROM events") == 3 })

	text := in.plan(`{"drain": ["solo", "sol0"]}`, 400)
	if !strings.Contains(text, `no node \"sol0\"; there are solo`) {
		t.Error(text)
	}
	in.plan(`{"drain": ["solo"]}`, 200)
	if code, text := in.send("source=s", strings.NewReader("four\n"), ""); code != http.StatusServiceUnavailable || !strings.Contains(text, "drained") {
		t.Errorf("a drained node answers %d %s", code, text)
	}
	if code, text := in.call("GET", "/readyz", nil, nil, nil); code != 503 || !strings.Contains(text, "node solo is drained") {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, _ := in.call("GET", "/healthz", nil, nil, nil); code != http.StatusOK {
		t.Errorf("healthz: %d", code)
	}
	soon(t, "shown as drained", 5*time.Second, func() bool { return in.cluster().Nodes[0].State == query.NodeDrained })
	in.plan(`{"drain": []}`, 200)
	soon(t, "ready again", 5*time.Second, ready)
	in.post("source=s", "four\n")
	soon(t, "rows after the drain", 10*time.Second, func() bool { return in.all("SELECT count(*) FROM events") == 4 })
	_, metrics := in.call("GET", "/metrics", nil, nil, nil)
	for _, want := range []string{"millrace_worker_owned_partitions 4", `millrace_cluster_nodes{role="query"} 1`} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// TestPlanOutlastsARestart: a paused server starts paused. The command line shows
// and changes the plan.
func TestPlanOutlastsARestart(t *testing.T) {
	dir := t.TempDir()
	in := boot(t, dir, "", "--node", "solo")
	cli := func(args ...string) string {
		t.Helper()
		code, out, errs := runCLI(t, append(append([]string{"cluster"}, args...), "--server", in.url)...)
		if code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		return out
	}
	soon(t, "announced", 5*time.Second, func() bool { return len(in.cluster().Nodes) == 1 })
	out := cli("--pause", "--max-rate", "5000", "--drain", "solo")
	if !strings.Contains(out, "plan, version 1: flush_rows 0, max_rate 5000, pause true, drain [solo]") {
		t.Error(out)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	in = boot(t, dir, "", "--node", "solo")
	soon(t, "announced", 5*time.Second, func() bool { return len(in.cluster().Nodes) == 1 })
	if c := in.cluster(); !c.Plan.Pause || c.Version != 1 || !slices.Equal(c.Plan.Drain, []string{"solo"}) {
		t.Errorf("%+v", c)
	}
	out = cli("--resume", "--undrain", "solo")
	if !strings.Contains(out, "version 2: flush_rows 0, max_rate 5000, pause false, drain []") || !strings.Contains(out, "ingest,worker,query") {
		t.Error(out)
	}
	if out := cli("--json"); !strings.Contains(out, fmt.Sprintf(`"url":%q`, in.url)) {
		t.Error(out)
	}
}

// TestMemoryAboveTheMachine: the server does not start.
func TestMemoryAboveTheMachine(t *testing.T) {
	total, _ := machineMemory(os.ReadFile)
	in, err := trySpawn(t, t.TempDir(), fmt.Sprintf("memory: %dMiB\n", total>>20*9/10), "")
	if err == nil || !strings.Contains(in.logs.String(), "must be at most") || !strings.Contains(in.logs.String(), "limits.memory (80%)") {
		t.Errorf("%v\n%s", err, in.logs)
	}
}

// TestLagIsBounded: a server that starts again behind its bound takes nothing
// until the workers have caught up.
func TestLagIsBounded(t *testing.T) {
	dir := t.TempDir()
	in := boot(t, dir, "lag_high: 1s\n", "--node", "solo")
	soon(t, "announced", 5*time.Second, func() bool { return len(in.cluster().Nodes) == 1 })
	in.plan(`{"pause": true}`, 200)
	in.post("source=s", "old\n")
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	in = boot(t, dir, "lag_high: 1s\n", "--node", "solo")
	if code, text := in.send("source=s", strings.NewReader("new\n"), ""); code != http.StatusTooManyRequests || !strings.Contains(text, "arrived 1s ago are not stored") {
		t.Errorf("%d %s", code, text)
	}
	in.plan(`{"pause": false}`, 200)
	soon(t, "taken again", 20*time.Second, func() bool {
		code, _ := in.send("source=s", strings.NewReader("new\n"), "")
		return code == http.StatusOK
	})
}

// runCLI runs a command of this program.
func runCLI(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now}
	err := m.ParseFlags(args)
	if err == nil {
		err = m.Run(t.Context())
	}
	return m.report(err), stdout.String(), stderr.String()
}
