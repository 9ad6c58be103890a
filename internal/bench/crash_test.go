package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// crashFake counts exceptions as the server does; of each second one it keeps no
// details.
type crashFake struct {
	fake
	occurrences int64
	traces      map[string]bool
	watched     int
}

func (f *crashFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch r.URL.Path {
	case "/ingest", "/api/v1/exceptions":
		f.take(w, r)
	case "/api/v1/ledger":
		fmt.Fprintf(w, `{"balanced":true,"accounts":[{"sink":"events","received":{"events":%d},"stored":{"events":%d},"sampled":{"events":%d}},
			{"sink":"rollup","received":{"events":%d},"stored":{"events":%d}}]}`, f.count, f.count-f.count/2, f.count/2, f.count, f.count)
	case "/api/v1/sql":
		fmt.Fprintf(w, `{"columns":["count"],"rows":[[%d]]}`, f.count-f.count/2)
	case "/api/v1/rollups/exceptions":
		fmt.Fprintf(w, `{"columns":["count"],"rows":[[%d]]}`, f.occurrences-f.lose)
	case "/api/v1/logs":
		_, id, _ := strings.Cut(r.FormValue("q"), ":")
		if !f.traces[id] {
			fmt.Fprint(w, `{"events":[]}`)
			return
		}
		fmt.Fprint(w, `{"events":[{}]}`)
	case "/api/v1/issues":
		fmt.Fprintf(w, `{"issues":[{"type":%q,"count":%d}]}`, crashType, f.watched)
	default:
		http.NotFound(w, r)
	}
}

func (f *crashFake) take(w http.ResponseWriter, r *http.Request) {
	if f.slow > 0 && r.URL.Query().Get("source") == "bench" {
		f.slow--
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	n := int64(0)
	for line := range bytes.Lines(body) {
		var o struct {
			Count   int64
			Details []any
			TraceID string `json:"trace_id"`
			Service string
		}
		if err := json.Unmarshal(line, &o); err != nil {
			panic(err)
		}
		n++
		f.occurrences += max(1, o.Count)
		f.count++
		if len(o.Details) > 0 && int(o.Count) > len(o.Details) {
			f.count++ // what the samples do not stand for
		}
		if o.Service == "watched" {
			f.watched++
			f.traces[o.TraceID] = true
		}
	}
	fmt.Fprintf(w, `{"accepted":%d,"rejected":[]}`, n)
}

func TestRunCrashes(t *testing.T) {
	for _, form := range []gen.CrashForm{gen.CrashJSON, gen.CrashCounted} {
		f := &crashFake{traces: map[string]bool{}}
		f.slow = 1
		s := start(t, &f.fake)
		s.URL = serve(t, f)
		load := CrashLoad{Rate: 2000, For: 1500 * time.Millisecond, Batch: 50, CrashOptions: gen.CrashOptions{Form: form, Faults: 20, Frames: 5, Bytes: 800, Pool: 400}}
		r, err := RunCrashes(t.Context(), s, CrashJob{Load: load, Probes: true})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sent.Exceptions < 2000 || r.Sent.Exceptions > 3200 || r.Sent.Events < r.Sent.Exceptions || r.Sent.Throttled != 1 {
			t.Errorf("%+v", r.Sent)
		}
		if p := r.Probes; p.Sent != 2 || p.Missing != 0 || p.Events.N != 2 || p.Issue.N != 2 || p.Issue.Max > 5*time.Second {
			t.Errorf("probes %+v", p)
		}
		var out strings.Builder
		r.Write(&out, "title", "machine")
		for _, want := range []string{fmt.Sprintf("| %d of ", r.Sent.Exceptions), "(50.0%) sampled", "2 sent, 0 never seen"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the report lacks %q:\n%s", want, &out)
			}
		}
		f.lose = 1
		if err := r.check(t.Context(), newClient(t, s.URL), r.Sent.Events+2); err == nil || !strings.Contains(err.Error(), "the rollup counts") {
			t.Errorf("with one exception lost: %v", err)
		}
	}
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

func newClient(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
