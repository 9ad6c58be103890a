package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/kafkatest"
	"github.com/millrace/millrace/query"
)

// TestClusterAPI: nodes see each other, hand over and come back as the plan says,
// and see who went silent.
func TestClusterAPI(t *testing.T) {
	kafkatest.Need(t)
	c := newCluster(t, 1)
	door := c.node("door", "ingest")
	one := c.node("one", "worker", "query")
	two := c.node("two", "worker")

	owners := func() map[string]int {
		out := map[string]int{}
		for _, p := range door.cluster().Partitions {
			out[p.Owner]++
		}
		return out
	}
	states := func() map[string]string {
		out := map[string]string{}
		for _, n := range door.cluster().Nodes {
			out[n.Name] = n.State
		}
		return out
	}
	ready := func(in *instance) bool {
		code, _ := in.call("GET", "/readyz", nil, nil, nil)
		return code == http.StatusOK
	}
	rows := func() int { return one.all("SELECT count(*) FROM events") }
	soon(t, "the workers share the partitions", 30*time.Second, func() bool { return maps.Equal(owners(), map[string]int{"one": 3, "two": 3}) })
	for _, in := range []*instance{door, one, two} {
		soon(t, "all are ready", 10*time.Second, func() bool { return ready(in) })
	}
	for _, n := range one.cluster().Nodes {
		if want := map[string]string{"door": "ingest", "one": "worker,query", "two": "worker"}[n.Name]; strings.Join(n.Roles, ",") != want {
			t.Errorf("%s has the roles %v", n.Name, n.Roles)
		}
	}
	if locks := lockHolders(door); len(locks) != 1 {
		t.Errorf("who maintains: %v", locks)
	}

	// A drained worker hands over; what is sent meanwhile counts.
	began := time.Now()
	door.plan(`{"drain": ["two"]}`, 200)
	soon(t, "the other worker has all", 15*time.Second, func() bool { return maps.Equal(owners(), map[string]int{"one": 6}) })
	t.Logf("drained and taken over in %v", time.Since(began).Round(10*time.Millisecond))
	soon(t, "drained", 5*time.Second, func() bool { return states()["two"] == query.NodeDrained && !ready(two) })
	door.post("source=s", "one\ntwo\nthree\n")
	soon(t, "three rows", 15*time.Second, func() bool { return rows() == 3 })
	if holders := lockHolders(door); slices.Contains(holders, "two") {
		t.Errorf("a drained node maintains: %v", holders)
	}
	door.plan(`{"drain": ["door"]}`, 200)
	soon(t, "they share again", 15*time.Second, func() bool { return maps.Equal(owners(), map[string]int{"one": 3, "two": 3}) && ready(two) })
	if code, text := door.send("source=s", strings.NewReader("no\n"), ""); code != http.StatusServiceUnavailable || ready(door) {
		t.Errorf("a drained door answers %d %s", code, text)
	}

	// A pause reaches all workers within a second.
	two.plan(`{"drain": [], "pause": true}`, 200)
	time.Sleep(time.Second)
	door.post("source=s", "four\n")
	time.Sleep(1500 * time.Millisecond)
	if n := rows(); n != 3 {
		t.Errorf("%d rows while paused", n)
	}
	one.plan(`{"pause": false, "max_rate": 100000, "flush_rows": 500}`, 200)
	soon(t, "four rows", 15*time.Second, func() bool { return rows() == 4 })

	// Rules that one node takes are in force at another.
	if code, text := one.call("PUT", "/api/v1/rules/s", strings.NewReader(`{"rules": "steps:\n  - drop: message startsWith \"noise\"\n"}`), jsonBody, nil); code != http.StatusOK {
		t.Fatalf("rules: %d %s", code, text)
	}
	soon(t, "the door knows them", 10*time.Second, func() bool {
		_, text := door.call("GET", "/api/v1/rules", nil, nil, nil)
		return strings.Contains(text, "noise")
	})

	two.kill()
	soon(t, "silent", 20*time.Second, func() bool { return states()["two"] == query.NodeSilent })
	soon(t, "its partitions have an owner", 20*time.Second, func() bool { return maps.Equal(owners(), map[string]int{"one": 6}) })
	for _, want := range []string{"millrace_worker_owned_partitions 6", `millrace_cluster_nodes{role="worker"} 1`, `millrace_cluster_nodes{role="ingest"} 1`} {
		soon(t, "the metrics have "+want, 10*time.Second, func() bool { // they are as of the last announcement
			_, metrics := one.call("GET", "/metrics", nil, nil, nil)
			return strings.Contains(metrics, want)
		})
	}
	if t.Failed() {
		c.report()
	}
}

// lockHolders are the nodes that do something for all.
func lockHolders(in *instance) (out []string) {
	for _, n := range in.cluster().Nodes {
		if slices.Contains(n.Locks, "maintain") && n.State != query.NodeSilent {
			out = append(out, n.Name)
		}
	}
	return out
}
