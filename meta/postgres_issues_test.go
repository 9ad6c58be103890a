//go:build linux

package meta

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/metatest"
	"github.com/millrace/millrace/internal/pgtest"
)

// testIssueAnswersLost cuts connections at every place of calls that tell of
// exceptions and change issues: what is seen is stored all the same, a change has
// happened in whole or not at all, and is never repeated by itself.
func testIssueAnswersLost(t *testing.T, s *pgtest.Server) {
	ctx, direct := t.Context(), schema(t, s)
	proxy := faultproxy.Start(t, s.Addr())
	p := openPostgres(t, behind(t, proxy, direct))
	kinds := []faultproxy.Kind{faultproxy.BeforeRequest, faultproxy.InRequest, faultproxy.BeforeAnswer, faultproxy.InAnswer}
	const commit = "commit\x00" // and not of a connection that is made
	for i, kind := range append(kinds, kinds...) {
		place := []string{commit, "the-fingerprint"}[i/len(kinds)]
		v := metatest.Sighting(fmt.Sprintf("the-fingerprint-%d", i), int64(i))
		cut := proxy.Inject(faultproxy.Fault{Kind: kind, Match: place})
		if _, missing, err := p.See(ctx, []millrace.Sighting{v}, time.Unix(1_800_000_000, 0)); err != nil || len(missing) > 0 {
			t.Fatalf("%s of %q: missing %v, %v", kind, place, missing, err)
		}
		<-cut
		id := millrace.IssueID(millrace.DefaultProject, v.Key)
		issue, err := p.Issue(ctx, millrace.DefaultProject, id)
		if err != nil || issue.Fingerprints != 1 {
			t.Fatalf("%+v, %v", issue, err)
		}
		cut = proxy.Inject(faultproxy.Fault{Kind: kind, Match: commit})
		err = p.ChangeIssue(ctx, issue, millrace.Activity{Kind: "assigned"})
		<-cut
		if millrace.ErrorCode(err) != millrace.ErrUnavailable {
			t.Fatalf("%d %s: %v", i, kind, err)
		}
		now, err := p.Issue(ctx, millrace.DefaultProject, id)
		if err != nil {
			t.Fatal(err)
		}
		log, err := p.Activities(ctx, millrace.DefaultProject, id, 0, 10)
		if err != nil || len(log) != 1+int(now.Version) || now.Version != map[bool]int64{true: 1}[kind == faultproxy.BeforeAnswer || kind == faultproxy.InAnswer] {
			t.Errorf("%s: version %d, activities %+v, %v", kind, now.Version, log, err)
		}
	}
	metatest.CheckIssues(t, ctx, p)
	testRulesAnswerLost(t, proxy, p)
}

// testRulesAnswerLost has the answer lost that rules were added: they are not
// added again, which would be a conflict with themselves.
func testRulesAnswerLost(t *testing.T, proxy *faultproxy.Proxy, p *Postgres) {
	cut := proxy.Inject(faultproxy.Fault{Kind: faultproxy.BeforeAnswer, Match: "commit\x00"})
	err := p.AddRules(t.Context(), metatest.Rules(1, "nginx"), 0)
	<-cut
	if millrace.ErrorCode(err) != millrace.ErrUnavailable {
		t.Error(err)
	}
	if list, err := p.CurrentRules(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%d rules, %v", len(list), err)
	}
}

// testIssueDeadlocks has nodes see and regroup the same in different orders: none
// waits for another that waits for it.
func testIssueDeadlocks(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	deadlocks := func() (n int) {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			err = conn.QueryRow(ctx, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
			_ = conn.Close(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := deadlocks()
	var wg sync.WaitGroup
	for w := range uint64(5) {
		p := openPostgres(t, address)
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(7, w)) //nolint:gosec // tests repeat
			for round := range 12 {
				if w == 0 {
					key, to := fmt.Sprintf("k%d", rnd.IntN(10)), millrace.IssueID(millrace.DefaultProject, fmt.Sprintf("k%d", rnd.IntN(10)))
					keys, err := p.IssueKeys(ctx, millrace.DefaultProject, []string{key})
					if err == nil && keys[key] != "" && keys[key] != to {
						err = metatest.MoveKey(ctx, p, key, keys[key], to)
					}
					if err != nil {
						t.Error(err)
					}
					continue
				}
				var list []millrace.Sighting
				for range 60 {
					v := metatest.Sighting(fmt.Sprint(rnd.IntN(10*(round+1))), rnd.Int64N(1000))
					v.Key, v.LastRelease = "k"+v.Fingerprint[len(v.Fingerprint)-1:], fmt.Sprint(rnd.IntN(9))
					list = append(list, v)
				}
				if _, missing, err := p.See(ctx, list, time.Unix(1_800_000_000, 0)); err != nil || len(missing) > 0 {
					t.Error(missing, err)
				}
			}
		})
	}
	wg.Wait()
	metatest.CheckIssues(t, ctx, openPostgres(t, address))
	time.Sleep(50 * time.Millisecond)
	if n := deadlocks() - before; n != 0 {
		t.Errorf("%d deadlocks", n)
	}
}

// testBigReports tells of more than one statement takes.
func testBigReports(t *testing.T, s *pgtest.Server) {
	p := openPostgres(t, schema(t, s))
	var list []millrace.Sighting
	for i := range bulkPart/millrace.MaxReportBytes + 20 {
		v := metatest.Sighting(fmt.Sprint(i), 1)
		v.Report = []byte(strings.Repeat(string(rune('a'+i%26)), millrace.MaxReportBytes))
		list = append(list, v)
	}
	seen, _, err := p.See(t.Context(), list, time.Unix(1_800_000_000, 0))
	if err != nil || len(seen) != len(list) {
		t.Fatalf("%d issues, %v", len(seen), err)
	}
	for _, v := range list {
		got, err := p.FingerprintReports(t.Context(), millrace.DefaultProject, []string{v.Fingerprint})
		if err != nil || string(got[v.Fingerprint]) != string(v.Report) {
			t.Fatalf("report %s: %d bytes, %v", v.Fingerprint, len(got[v.Fingerprint]), err)
		}
	}
}

// testIssuesBesideVersionBefore has a node of the version before, which has no
// issues, work while they come.
func testIssuesBesideVersionBefore(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	p := openPostgres(t, address)
	runSQL(t, address, `DROP TABLE issues, issue_fingerprints, issue_reports, issue_keys, issue_sights, issue_releases,
		issue_activities, issue_regroupings, issue_regrouped, issue_settings`)
	before := p // it prepared nothing of issues, and goes on
	works := func(n int) {
		t.Helper()
		if err := before.CreateKey(ctx, metatest.Key(n, millrace.ScopeIngest)); err != nil {
			t.Fatal(err)
		}
		if _, err := before.Begin(ctx, millrace.SinkEvents, []int32{0}, "before"); err != nil {
			t.Fatal(err)
		}
	}
	works(1)
	for n := range 2 { // the second finds all there
		now := openPostgres(t, address)
		works(2 + n)
		if seen, _, err := now.See(ctx, []millrace.Sighting{metatest.Sighting("a", 1)}, time.Unix(1_800_000_000, 0)); err != nil || len(seen) != 1-n {
			t.Errorf("seen %+v, %v", seen, err)
		}
	}
	var version int
	if err := p.pool.QueryRow(ctx, "SELECT max(version_id) FROM millrace_schema").Scan(&version); err != nil || version != 2 {
		t.Errorf("schema version %d, %v: the version before knows 2", version, err)
	}
}
