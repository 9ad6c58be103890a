package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake answers like a server that stores at once, or that forgets.
type fake struct {
	mu     sync.Mutex
	lines  map[string]bool
	count  int64
	probes []string
	lose   int64 // lines that are not counted
	slow   int   // requests to answer 429 first
	seqs   map[string]bool
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.count - f.lose
	switch path := r.URL.Path; {
	case path == "/ingest":
		f.ingest(w, r)
	case path == "/metrics":
		fmt.Fprintf(w, "# HELP x y\nmillrace_queue_bytes 1e+06\nmillrace_store_bytes{part=\"events\"} %d\nmillrace_stage_busy_seconds_total{stage=\"decode\"} 2\n", 50*n)
	case path == "/api/v1/ledger":
		fmt.Fprintf(w, `{"accounts":[{"sink":"events","stored":{"events":%d}},{"sink":"rollup","stored":{"events":%d}}]}`, f.count, f.count)
	case path == "/api/v1/sql":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		if bytes.Contains(body, []byte("probe")) {
			f.answerProbes(w)
			return
		}
		fmt.Fprintf(w, `{"columns":["count"],"rows":[[%d]]}`, n)
	case path == "/api/v1/rollups/traffic" && r.FormValue("by") == "service" && r.FormValue("where") != "":
		f.answerProbes(w)
	case path == "/api/v1/rollups/traffic":
		fmt.Fprintf(w, `{"columns":["pv"],"rows":[[%d]]}`, n)
	case path == "/api/v1/logs":
		fmt.Fprint(w, `{"events":[]}`)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) ingest(w http.ResponseWriter, r *http.Request) {
	if f.slow > 0 {
		f.slow--
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	f.seqs[r.Header.Get("X-Millrace-Client")+r.Header.Get("X-Millrace-Seq")] = true
	n := 0
	for line := range bytes.Lines(body) {
		f.lines[string(line)] = true
		n++
		var o struct{ Service string }
		if err := json.Unmarshal(line, &o); err != nil {
			panic(err)
		}
		if strings.HasPrefix(o.Service, "probe-") {
			f.probes = append(f.probes, o.Service)
		}
	}
	f.count += int64(n)
	fmt.Fprintf(w, `{"accepted":%d,"rejected":[]}`, n)
}

func (f *fake) answerProbes(w io.Writer) {
	rows := [][]any{}
	for _, p := range f.probes {
		rows = append(rows, []any{p, 1})
	}
	if err := json.NewEncoder(w).Encode(map[string]any{"columns": []string{"service", "pv"}, "rows": rows}); err != nil {
		panic(err)
	}
}

// start runs a fake server in this process, whose usage stands for the child's.
func start(t *testing.T, f *fake) *Server {
	t.Helper()
	f.lines, f.seqs = map[string]bool{}, map[string]bool{}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	p, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{URL: srv.URL, Data: t.TempDir()}
	s.cmd = &exec.Cmd{Process: p}
	return s
}

func TestRunReportsWhatWasSent(t *testing.T) {
	f := &fake{slow: 1}
	s := start(t, f)
	r, err := Run(t.Context(), s, Job{
		Load: Load{For: 1200 * time.Millisecond, Rate: 5000, PoolSize: 3000, Lines: 500}, Questions: Questions(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent.Lines != f.count || r.Sent.Lines < 3000 || int(r.Sent.Requests) != len(f.seqs) || r.Sent.Throttled != 1 {
		t.Errorf("%+v; the server got %d lines in %d requests", r.Sent, f.count, len(f.seqs))
	}
	if int64(len(f.lines)) != r.Sent.Lines || r.Sent.Bytes != 415*r.Sent.Lines {
		t.Errorf("%d distinct lines of %d, %d bytes", len(f.lines), r.Sent.Lines, r.Sent.Bytes)
	}
	for _, a := range r.Answers {
		if a.Failed > 0 || a.Took.N == 0 {
			t.Errorf("%s: %d answers, %d failed: %v", a.Name, a.Took.N, a.Failed, a.Err)
		}
	}
	r.Stages = map[string]time.Duration{"decode": time.Millisecond}
	r.Disk = map[string]int64{"queue": 2e6}
	var out strings.Builder
	r.Write(&out, "title", "machine")
	for _, want := range []string{
		fmt.Sprintf("%d of 415 bytes", r.Sent.Lines), "stored and counted", "raw rows (estimated by the store)",
		"after the stop: queue", "told to wait", "1 times", "decode",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the report:\n%s", want, out.String())
		}
	}
}

func TestRunFindsLostLines(t *testing.T) {
	_, err := Run(t.Context(), start(t, &fake{lose: 3}), Job{Load: Load{For: 200 * time.Millisecond, Rate: 5000, PoolSize: 1000}})
	if err == nil || !strings.Contains(err.Error(), "must be equal") {
		t.Errorf("three lines are missing: %v", err)
	}
}

func TestFresh(t *testing.T) {
	s := start(t, &fake{})
	ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
	defer cancel()
	f, err := Fresh(ctx, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if f.Missing != 0 || f.Raw.N < 3 || f.Rollup.N != f.Raw.N || f.Raw.P99 > 5*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestQuantiles(t *testing.T) {
	var times []time.Duration
	for i := 200; i > 0; i-- {
		times = append(times, time.Duration(i))
	}
	if q := NewQuantiles(times); q != (Quantiles{N: 200, P50: 100, P99: 198, Max: 200}) {
		t.Errorf("%+v", q)
	}
	if q := NewQuantiles([]time.Duration{7}); q != (Quantiles{N: 1, P50: 7, P99: 7, Max: 7}) {
		t.Errorf("%+v", q)
	}
	if q := NewQuantiles(nil); q != (Quantiles{}) {
		t.Errorf("%+v", q)
	}
}

func TestDiskUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "queue", "0"), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"queue/0/log": 100_000, "queue/index": 50_000, "db": 10_000} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := DiskUse(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["queue"] < 150_000 || got["queue"] > 300_000 || got["db"] < 10_000 {
		t.Errorf("%v", got)
	}
}

func TestParseTraces(t *testing.T) {
	got, err := parseTraces([]byte(`File: millrace
Type: cpu
Duration: 3s, Total samples = 90ms
-----------+-------------------------------------------------------
   30000us   runtime.cgocall
             github.com/millrace/millrace/duckdb.(*DB).WriteEvents
             github.com/millrace/millrace/pipeline.(*sink).flush
-----------+-------------------------------------------------------
   20000us   runtime.memmove
             github.com/millrace/millrace/decode.(*Decoder).json
             github.com/millrace/millrace/pipeline.(*Pipeline).decode
-----------+-------------------------------------------------------
   10000us   runtime.futex
             runtime.schedule
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]time.Duration{"store: raw rows": 30e6, "decode": 20e6, otherStage: 10e6}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s, want %s", k, got[k], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%v", got)
	}
}

func TestStages(t *testing.T) {
	const m = "github.com/millrace/millrace/"
	for want, stack := range map[string][]string{
		"store: raw rows":              {"runtime.cgocall", m + "duckdb.(*DB).WriteEvents"},
		"store: hours and days":        {m + "duckdb.(*DB).write", m + "duckdb.(*DB).computePeriods", m + "duckdb.(*DB).Maintain"},
		"store: other maintenance":     {m + "duckdb.(*DB).write", m + "duckdb.(*DB).Maintain"},
		"store: goroutines of its own": {m + "duckdb.someWriter"},
		"queries":                      {m + "duckdb.(*DB).Events", m + "query.(*Service).Logs", m + "web.(*Server).logs"},
		"ledger and status":            {m + "duckdb.(*DB).read", m + "duckdb.(*DB).Ledger"},
		"queue: compression":           {"github.com/klauspost/compress/s2.encodeSnappyBlockAsm", m + "queue.compressPieces", "github.com/twmb/franz-go/pkg/kgo.(*broker).handleReqs"},
		"rollup: encode":               {m + "rollup.(*encoder).block", m + "rollup.(*Engine).Fold", m + "pipeline.(*rollupSink).fold"},
		"rollup: sketches":             {m + "sketch.(*Hists).AddRun", m + "rollup.(*table).feed"},
		"rollup: derive and emit":      {m + "sketch.(*Hists).Merge", m + "rollup.(*table).derive", m + "rollup.(*workers).run"},
		"rollup: cells":                {m + "rollup.(*table).locate", m + "rollup.(*workers).run"},
		"pipeline: rows and accounts":  {"runtime.memmove", m + "pipeline.(*eventsSink).fold"},
		otherStage:                     {"runtime.futex"},
	} {
		if got := stageOf(stack); got != want {
			t.Errorf("%q is %q, want %q", stack, got, want)
		}
	}
}
