package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/duckdb"
)

// TestExceptionsUnderKills streams exceptions in three forms, with weights, retries
// and late ones, while issues are merged, parted and regrouped and the server is
// killed. Every set of the rollup must have the oracle's counts, every issue the sum
// over its fingerprints; taking all changes back gives the first answer again; what
// comes again after it was resolved is regressed. MILLRACE_SOAK=1 makes it 5,000,000
// exceptions and 20 kills.
func TestExceptionsUnderKills(t *testing.T) {
	total, kills := int64(50_000), 3
	if os.Getenv("MILLRACE_SOAK") != "" {
		total, kills = 5_000_000, 20
	} else if testing.Short() {
		t.Skip("kills are slow")
	}
	s := &soak{
		t: t, rng: rand.New(rand.NewPCG(7, 1)), dir: t.TempDir(), addr: freeAddr(t), oracle: newSoakOracle(), total: total,
		begin: time.Now().Add(-48 * time.Hour).Truncate(time.Hour), batch: int(min(2000, total/250)),
	}
	wait := s.stream()
	for k := range kills {
		in := s.spawn()
		for s.sent.Load() < total*int64(k+1)/int64(kills+1) {
			time.Sleep(10 * time.Millisecond)
		}
		s.change(in, 3)
		time.Sleep(time.Duration(s.rng.IntN(700)) * time.Millisecond)
		in.kill()
	}
	in := s.spawn()
	s.change(in, 6)
	wait()
	s.settle(in)
	s.learn(in)
	s.compareIssues(in)
	s.takeBack(in)
	in = s.regress(in)
	s.compareIssues(in)
	if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = in.stop()
	cells := s.compareCells()
	t.Logf("%d events, %d occurrences, %d kills, %d changes of the grouping made (%d refused or unanswered), %d fingerprints, %d cells compared",
		s.oracle.events, s.oracle.weight, kills, s.changed, s.refused, len(s.fingerprint), cells)
	if s.changed < kills {
		t.Errorf("only %d changes of the grouping", s.changed)
	}
}

// soak is the state of TestExceptionsUnderKills.
type soak struct {
	t      *testing.T
	rng    *rand.Rand
	dir    string
	addr   string
	begin  time.Time
	total  int64
	batch  int
	oracle *soakOracle
	sent   atomic.Int64

	changed, refused int
	fingerprint      map[soakFault]string
}

// soakConfig is that of killConfig, with rules that give each exception its class.
const soakConfig = killConfig + "sources:\n  '*':" + soakRules

func (s *soak) spawn() *instance { return spawn(s.t, s.dir, soakConfig, "", "--http", s.addr) }

// stream starts the clients and returns what waits for their end.
func (s *soak) stream() (wait func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	start := func(seed uint64, f form, share int64) {
		m := &soakMaker{rng: rand.New(rand.NewPCG(seed, 9)), form: f, begin: s.begin, total: s.total * share / 100, name: fmt.Sprintf("soak-client-%d", seed)}
		clients.Go(func() { s.client(ctx, m) })
	}
	start(1, formJSON, 40)
	start(2, formJSON, 38)
	start(3, formCounted, 21)
	start(4, formSentry, 1)
	s.t.Cleanup(func() { cancel(); clients.Wait() })
	return clients.Wait
}

// client sends all events of a maker, each request until it is answered, and some
// again.
func (s *soak) client(ctx context.Context, m *soakMaker) {
	var before []func() // requests that may be sent again
	for seq := 0; m.made < m.total && ctx.Err() == nil; seq++ {
		batches := map[string][]byte{} // by project
		n := int64(0)
		for m.made < m.total && n < int64(s.batch) {
			e := m.next()
			s.oracle.add(&e)
			n++
			if m.form == formSentry {
				batches[e.project] = append([]byte(`{"event_id":"`+fmt.Sprintf("%032x", e.n+1)+`"}`+"\n"+`{"type":"event"}`+"\n"), e.append(nil)...)
				break
			}
			batches[e.project] = e.append(batches[e.project])
		}
		send := func() {
			for project, body := range batches {
				s.post(ctx, m, project, seq, body)
			}
		}
		send()
		s.sent.Add(n)
		before = append(before, send)
		if len(before) > 20 {
			before = before[1:]
		}
		if m.rng.IntN(25) == 0 {
			before[m.rng.IntN(len(before))]()
		}
	}
}

// post sends a body until the server has taken it.
func (s *soak) post(ctx context.Context, m *soakMaker, project string, seq int, body []byte) {
	path := map[form]string{
		formJSON: "/ingest?source=app&project=" + project, formCounted: "/api/v1/exceptions?source=agent&project=" + project,
		formSentry: "/api/" + project + "/envelope/",
	}[m.form]
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+path, bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if m.form == formSentry {
			req.Header.Set("Content-Type", "application/x-sentry-envelope")
			req.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7, sentry_key=public")
		} else {
			req.Header.Set("X-Millrace-Client", m.name+"-"+project)
			req.Header.Set("X-Millrace-Seq", fmt.Sprint(seq))
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			text, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err == nil && res.StatusCode == http.StatusOK {
				return
			}
			if res.StatusCode >= 400 && res.StatusCode < 429 {
				s.t.Errorf("POST %s: %d %s", path, res.StatusCode, text)
				return
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// soakIssue is what is compared of an issue.
type soakIssue struct {
	ID, State, Phase string
	Count            int64
	FirstSeen        time.Time `json:"first_seen"`
	LastSeen         time.Time `json:"last_seen"`
	Fingerprints     []string
}

// issues lists all issues of a project.
func (s *soak) issues(in *instance, project, env string) []soakIssue {
	s.t.Helper()
	var page struct {
		Issues         []soakIssue
		Other, Unknown int64
	}
	params := url.Values{"project": {project}, "env": {env}, "from": {s.begin.Add(-time.Hour).UTC().Format(time.RFC3339)}, "to": {"+1h"}, "limit": {"1000"}, "silent": {"true"}}
	code, text := in.call(http.MethodGet, "/api/v1/issues?"+params.Encode(), nil, nil, &page)
	if code != http.StatusOK {
		s.t.Fatalf("issues: %d %s", code, text)
	}
	if page.Other != 0 {
		s.t.Errorf("%d occurrences of (other)", page.Other)
	}
	return page.Issues
}

// try posts a change and reports whether it was made.
func (s *soak) try(in *instance, path string, body any) bool {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, in.url+path, bytes.NewReader(must(json.Marshal(body))))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 500 && res.StatusCode != http.StatusServiceUnavailable {
		s.t.Errorf("POST %s: %d %s", path, res.StatusCode, text)
	}
	return err == nil && res.StatusCode == http.StatusOK
}

// change makes up to n random changes of the grouping.
func (s *soak) change(in *instance, n int) {
	for range n {
		list := s.issues(in, "default", "all")
		if len(list) < 3 {
			continue
		}
		a, b := list[s.rng.IntN(len(list))], list[s.rng.IntN(len(list))]
		done := false
		switch s.rng.IntN(5) {
		case 0, 1:
			done = a.ID != b.ID && s.try(in, "/api/v1/issues/"+a.ID+"/merge", map[string]any{"ids": []string{b.ID}, "note": "soak"})
		case 2:
			if i := slices.IndexFunc(list, func(i soakIssue) bool { return len(i.Fingerprints) > 1 }); i >= 0 {
				done = s.try(in, "/api/v1/issues/"+list[i].ID+"/unmerge", map[string]any{"fingerprints": list[i].Fingerprints[:1]})
			}
		case 3:
			rule := map[string]any{
				"name": "soak", "fingerprint": "of {{type}}",
				"match": []any{map[string]any{"field": "type", "pattern": fmt.Sprintf("app.T%dError", s.rng.IntN(13))}},
			}
			done = s.try(in, "/api/v1/issues/regroup", map[string]any{"grouping": map[string]any{"version": s.rng.IntN(3), "rules": []any{rule}}})
		case 4:
			if open := s.open(in); len(open) > 0 {
				done = s.try(in, fmt.Sprintf("/api/v1/issues/changes/%d/undo", open[0]), struct{}{})
			}
		}
		if done {
			s.changed++
		} else {
			s.refused++
		}
	}
}

// open returns the changes that were not taken back, newest first.
func (s *soak) open(in *instance) (ids []int64) {
	s.t.Helper()
	var all struct{ Changes []issueChange }
	if code, text := in.call(http.MethodGet, "/api/v1/issues/changes?limit=1000", nil, nil, &all); code != http.StatusOK {
		s.t.Fatalf("changes: %d %s", code, text)
	}
	for _, c := range all.Changes {
		if c.UndoneBy == 0 && c.Undoes == 0 {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// settle waits until both sinks have accounted for every event, once.
func (s *soak) settle(in *instance) {
	t := s.t
	t.Helper()
	want := fmt.Sprint(s.oracle.events)
	var got map[string]string
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		got = in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome IN ('stored', 'sampled') GROUP BY sink")
		if got["events"] == want && got["rollup"] == want {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("accounted %v, want %s\n%s", got, want, in.logs)
		}
	}
	for _, sink := range []string{"events", "rollup"} {
		if got := in.sqlMap("SELECT 'w', sum(weight) FROM ledger WHERE outcome IN ('stored', 'sampled') AND sink = '" + sink + "'")["w"]; got != fmt.Sprint(s.oracle.weight) {
			t.Errorf("%s accounts for a weight of %s, want %d", sink, got, s.oracle.weight)
		}
	}
	var ledger struct{ Balanced bool }
	if in.call(http.MethodGet, "/api/v1/ledger", nil, nil, &ledger); !ledger.Balanced {
		t.Error("the ledger does not add up")
	}
	if rows := in.sqlMap("SELECT outcome, sum(events) FROM ledger WHERE sink = 'events' GROUP BY outcome"); rows["sampled"] == "" || rows["duplicate"] == "" || rows["rejected"] != "" {
		t.Errorf("accounts %v: too few to show anything, or too much", rows)
	}
}

// learn reads which fingerprint each fault has: exactly one of its own.
func (s *soak) learn(in *instance) {
	t := s.t
	t.Helper()
	s.fingerprint = map[soakFault]string{}
	owner := map[string]int{}
	for _, r := range in.sql("SELECT DISTINCT project, coalesce(attrs->>'fault', attrs->>'tags.fault'), fingerprint FROM exceptions") {
		key := soakFault{project: r[0]}
		if _, err := fmt.Sscan(r[1], &key.fault); err != nil {
			t.Fatalf("row %v: %v", r, err)
		}
		if old, ok := s.fingerprint[key]; ok && old != r[2] {
			t.Errorf("fault %v has the fingerprints %s and %s", key, old, r[2])
		}
		if old, ok := owner[r[2]]; ok && old != key.fault {
			t.Errorf("faults %d and %d have one fingerprint", old, key.fault)
		}
		s.fingerprint[key], owner[r[2]] = r[2], key.fault
	}
	if len(s.fingerprint) != len(s.oracle.faults) {
		t.Errorf("%d faults have rows, %d were sent", len(s.fingerprint), len(s.oracle.faults))
	}
}

// compareIssues compares every issue with the sums over its fingerprints.
func (s *soak) compareIssues(in *instance) {
	t := s.t
	t.Helper()
	for _, project := range []string{"default", "other"} {
		stats := map[string]*soakStats{}
		for key, f := range s.oracle.faults {
			if key.project == project {
				stats[s.fingerprint[key]] = f
			}
		}
		seen := map[string]bool{}
		for _, env := range []string{"all", "production"} {
			for _, i := range s.issues(in, project, env) {
				want := soakStats{}
				for _, f := range i.Fingerprints {
					st := stats[f]
					if st == nil || env == "all" && seen[f] {
						t.Fatalf("%s: fingerprint %s of issue %s is unknown, or of two issues", project, f, i.ID)
					}
					seen[f] = true
					want.add(st, env)
				}
				if i.Count != want.count || !i.FirstSeen.Equal(want.first) || !i.LastSeen.Equal(want.last) {
					t.Errorf("%s, %s: issue %s of %v: %d from %s to %s; want %d from %s to %s", project, env, i.ID, i.Fingerprints,
						i.Count, i.FirstSeen, i.LastSeen, want.count, want.first, want.last)
				}
			}
		}
		if len(seen) != len(stats) {
			t.Errorf("%s: issues have %d of %d fingerprints", project, len(seen), len(stats))
		}
	}
}

// add sums up what is counted in an environment; first and last are of all.
func (s *soakStats) add(o *soakStats, env string) {
	if env == "all" {
		s.count += o.count
	} else {
		s.count += o.production
	}
	if s.first.IsZero() || o.first.Before(s.first) {
		s.first = o.first
	}
	if o.last.After(s.last) {
		s.last = o.last
	}
}

// takeBack undoes all changes, newest first: each fingerprint is then the issue that
// it would be by itself, and regrouping and taking that back changes nothing.
func (s *soak) takeBack(in *instance) {
	t := s.t
	t.Helper()
	for _, id := range s.open(in) {
		if !s.try(in, fmt.Sprintf("/api/v1/issues/changes/%d/undo", id), struct{}{}) {
			t.Fatalf("change %d is not taken back", id)
		}
	}
	for _, i := range s.issues(in, "default", "all") {
		if len(i.Fingerprints) != 1 || i.ID != millrace.IssueID("default", i.Fingerprints[0]) {
			t.Errorf("with all changes taken back issue %s has %v", i.ID, i.Fingerprints)
		}
	}
	s.compareIssues(in)
	before := fmt.Sprint(s.issues(in, "default", "all"))
	for range 3 {
		s.change(in, 4)
	}
	s.compareIssues(in)
	for _, id := range s.open(in) {
		if !s.try(in, fmt.Sprintf("/api/v1/issues/changes/%d/undo", id), struct{}{}) {
			t.Fatalf("change %d is not taken back", id)
		}
	}
	if after := fmt.Sprint(s.issues(in, "default", "all")); after != before {
		t.Errorf("issues after all changes were taken back\n%s\nwant\n%s", after, before)
	}
}

// regress resolves three issues: of one an event comes afterwards, of one a late
// one, of the third none. The server is killed in between.
func (s *soak) regress(in *instance) *instance {
	t := s.t
	t.Helper()
	ids := [3]string{}
	faults := [3]int{0, 1, 2} // JSON
	for i, f := range faults {
		ids[i] = millrace.IssueID("default", s.fingerprint[soakFault{"default", f}])
		if !s.try(in, "/api/v1/issues/"+ids[i]+"/resolve", struct{}{}) {
			t.Fatalf("issue %s is not resolved", ids[i])
		}
	}
	in.kill()
	in = s.spawn()
	m := &soakMaker{form: formJSON, name: "soak-client-last", rng: s.rng}
	for i, at := range []time.Time{time.Now(), s.begin} {
		e := soakEvent{weight: 1, at: at.Truncate(time.Microsecond), n: int64(i)}
		e.fault = faults[i]
		e.describe(rand.New(rand.NewPCG(2, 2)))
		e.project, e.env = "default", "prod"
		s.oracle.add(&e)
		s.post(t.Context(), m, "default", i, e.append(nil))
	}
	s.settle(in)
	for _, i := range s.issues(in, "default", "all") {
		switch at := slices.Index(ids[:], i.ID); {
		case at == 0 && i.State != "regressed", at > 0 && i.State != "resolved", at < 0 && i.State != "open":
			t.Errorf("issue %s (%d of those resolved) is %s", i.ID, at, i.State)
		}
	}
	return in
}

// compareCells compares every set of the rollup at every granularity with the
// oracle, and returns how many cells there are.
func (s *soak) compareCells() int {
	t := s.t
	t.Helper()
	cfg, err := config.Parse([]byte(soakConfig))
	if err != nil {
		t.Fatal(err)
	}
	db, err := duckdb.Open(t.Context(), duckdb.DefaultOptions(), filepath.Join(s.dir, "millrace.duckdb"), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	compared := 0
	for _, r := range cfg.Compile() {
		if r.Name != "exceptions" {
			continue
		}
		for _, set := range r.Sets {
			names := strings.Split(r.SetName(set), ",")
			if r.SetName(set) == "" {
				names = nil
			}
			for _, g := range set.Granularities {
				cells, err := db.Cells(t.Context(), millrace.CellQuery{
					Rollup: r.Name, Granularity: g, Set: set, By: set.Dims, States: []int{0}, From: 0, To: 1<<31 - 1, Step: int64(g),
				})
				if err != nil {
					t.Fatal(err)
				}
				got := map[string]int64{}
				for i := range cells.Len() {
					key := fmt.Sprint(cells.Bucket[i])
					for _, d := range cells.Dims {
						key += "|" + d[i]
					}
					got[key] += cells.States[0].Ints[i]
				}
				want := map[string]int64{}
				for m, n := range s.oracle.cells {
					key := fmt.Sprint(m.minute / int64(g) * int64(g))
					for _, name := range names {
						key += "|" + s.value(&m.tuple, name)
					}
					want[key] += n
				}
				s.equalCells(fmt.Sprintf("[%s] at %v", r.SetName(set), g), got, want)
				compared += len(want)
			}
		}
	}
	return compared
}

func (s *soak) value(m *soakTuple, name string) string {
	switch name {
	case "project":
		return m.project
	case "service":
		return m.service
	case "env":
		return m.env
	case "release":
		return m.release
	case "error_class":
		return m.class
	case "type":
		return m.typ
	case "host":
		return m.host
	case "fingerprint":
		return s.fingerprint[soakFault{m.project, m.fault}]
	}
	s.t.Fatalf("no dimension %q in the oracle", name)
	return ""
}

func (s *soak) equalCells(where string, got, want map[string]int64) {
	s.t.Helper()
	shown := 0
	for key, n := range want {
		if got[key] != n && shown < 3 {
			s.t.Errorf("%s, cell %s: %d, want %d", where, key, got[key], n)
			shown++
		}
	}
	if len(got) != len(want) {
		s.t.Errorf("%s: %d cells, want %d", where, len(got), len(want))
	}
}
