package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/query"
)

// fakeCluster is two nodes, one of which is silent.
type fakeCluster struct {
	nodes   int
	plan    millrace.Plan
	version int64
}

func (f *fakeCluster) Cluster(context.Context) (*query.Cluster, error) {
	c := &query.Cluster{Node: "worker-1", Version: f.version, Plan: f.plan, Nodes: []query.ClusterNode{
		{Name: "worker-1", Age: 0.4, NodeInfo: query.NodeInfo{
			State: query.NodeRunning, Roles: []string{"worker", "query"}, Version: "v1.2.3", URL: "http://worker-1:8080", Started: fixedNow.Add(-3 * time.Hour),
			Plan: f.version, Partitions: []int32{0, 1, 2}, Received: query.Rate{Events: 41_000}, MemoryBytes: 700 << 20, Locks: []string{"maintain"},
			Pace: []query.NodePace{{Sink: millrace.SinkEvents, Rate: 52_000}, {Sink: millrace.SinkRollup}},
		}},
		{Name: "worker-2", Age: 31, NodeInfo: query.NodeInfo{State: query.NodeSilent, Roles: []string{"worker"}, Faults: []string{"store events: <cut>"}}},
	}}
	c.Nodes = c.Nodes[:f.nodes]
	return c, nil
}

func (f *fakeCluster) Change(_ context.Context, c query.PlanChange) (millrace.Plan, int64, error) {
	next := c.Apply(f.plan)
	var v millrace.Violations
	if next.Validate(&v); v.Err() != nil {
		return millrace.Plan{}, 0, v.Err()
	}
	f.plan, f.version = next, f.version+1
	return f.plan, f.version, nil
}

func clusterServer(t *testing.T, nodes int) (*fixture, *fakeCluster) {
	t.Helper()
	f, c := newFixture(t, setting{now: fixedNow, lines: 1}), &fakeCluster{nodes: nodes}
	h, err := New(Deps{
		Query: f.query, Now: func() time.Time { return fixedNow }, Cluster: c,
		Guard: auth.NewGuard(auth.Options{Require: auth.RequireAuto}, true, nil, time.Now),
	})
	must(t, err)
	f.Server = httptest.NewServer(h)
	t.Cleanup(f.Close)
	return f, c
}

func TestClusterAPI(t *testing.T) {
	f, c := clusterServer(t, 2)
	got := get[query.Cluster](t, f, "/api/v1/cluster")
	want, _ := c.Cluster(t.Context())
	if !reflect.DeepEqual(got.Nodes, want.Nodes) || got.Node != want.Node {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	post := func(body, wantBody string, status int) {
		t.Helper()
		res, text := f.do(t, http.MethodPost, "/api/v1/cluster", body, "Content-Type", "application/json")
		if res.StatusCode != status || !strings.Contains(text, wantBody) {
			t.Errorf("%s: %d %s", body, res.StatusCode, text)
		}
	}
	post(`{"pause": true, "flush_rows": 100}`, `"flush_rows":100,"max_rate":0,"pause":true`, 200)
	post(`{"drain": ["b", "a", "b"]}`, `"drain":["a","b"]`, 200)
	post(`{"pauze": true}`, "pauze", 400)
	post(`{"max_rate": 99}`, "max_rate: 99: must be between 100 and", 400)
	post(`{"max_rate": "fast"}`, "max_rate", 400)
	post(`{"flush_rows": 2000000}`, "flush_rows: 2000000: must be between 1 and 1048576", 400)
	post(`{"drain": [""]}`, "drain", 400)
	post(`{} {}`, "after the JSON", 400)
	if want := (millrace.Plan{FlushRows: 100, Pause: true, Drain: []string{"a", "b"}}); !reflect.DeepEqual(c.plan, want) || c.version != 2 {
		t.Errorf("version %d: %+v, want %+v", c.version, c.plan, want)
	}
	if res, _ := f.do(t, http.MethodPost, "/api/v1/cluster", "pause=true", "Content-Type", "text/plain"); res.StatusCode != 400 {
		t.Errorf("a form changes the plan: %d", res.StatusCode)
	}
}

func TestClusterOperationsAgreeWithRoutes(t *testing.T) {
	s := &Server{Deps: Deps{Cluster: &fakeCluster{}}}
	var methods []string
	for _, op := range s.clusterOperations() {
		methods = append(methods, strings.ToUpper(op.method))
	}
	if routes := s.clusterRoutes(s.answer); len(routes) != 1 || !slices.Equal(methods, strings.Split(routes[0].methods, ",")) {
		t.Errorf("routes %v, documented %v", routes, methods)
	}
}

func TestNodesOnThePipelinePage(t *testing.T) {
	f, c := clusterServer(t, 2)
	c.plan = millrace.Plan{Pause: true, MaxRate: 5000, Drain: []string{"worker-1"}}
	_, body := f.do(t, "GET", "/pipeline", "", "Accept", "text/html")
	for _, want := range []string{"worker-1", "worker-2", "silent", "does for all: maintain", "52.0k/s", "0 1 2", "workers are paused", "drained: worker-1", "store events: &lt;cut&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	f, _ = clusterServer(t, 1)
	if _, body := f.do(t, "GET", "/pipeline", "", "Accept", "text/html"); strings.Contains(body, "Processes that share") {
		t.Error("one node is listed")
	}
}
