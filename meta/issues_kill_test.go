package meta

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// killKeys is how many keys the workers share.
const killKeys = 7

// seen is step n of a worker: a fingerprint of its own and one that all see.
func seen(worker string, n int) []millrace.Sighting {
	own, all := metatest.Sighting(fmt.Sprintf("%s-%d", worker, n), int64(n)), metatest.Sighting("all", int64(n))
	own.Key = fmt.Sprintf("k%d", n%killKeys)
	return []millrace.Sighting{own, all}
}

// steps returns how many steps of a worker are stored.
func steps(ctx context.Context, m millrace.Issues, worker string) (n int, err error) {
	list, err := m.Fingerprints(ctx, millrace.DefaultProject, nil)
	for _, f := range list {
		if of, i, _ := strings.Cut(f.Fingerprint, "-"); of == worker {
			step, err := strconv.Atoi(i)
			if err != nil {
				return 0, err
			}
			n = max(n, step+1)
		}
	}
	return n, err
}

// seeForEver sees one new fingerprint after the other, and moves keys between
// issues; each step is reported once it is durable. After a fault it says the
// last one again.
func seeForEver(ctx context.Context, m millrace.Issues, worker string) error {
	seed, err := strconv.Atoi(worker)
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(uint64(seed), uint64(time.Now().UnixNano()))) //nolint:gosec // no secret
	for failed := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := seeSession(ctx, m, worker, rnd, func() { failed = time.Now() })
		if code := millrace.ErrorCode(err); code != millrace.ErrUnavailable || time.Since(failed) > 20*time.Second {
			return err
		}
	}
}

func seeSession(ctx context.Context, m millrace.Issues, worker string, rnd *rand.Rand, progress func()) error {
	n, err := steps(ctx, m, worker)
	if err != nil {
		return err
	}
	for n = max(0, n-1); ; n++ {
		if _, missing, err := m.See(ctx, seen(worker, n), time.Unix(1_800_000_000, 0)); err != nil || len(missing) > 0 {
			return fmt.Errorf("missing %v: %w", missing, err)
		}
		fmt.Println("done", n+1)
		progress()
		if n%4 == 0 {
			key := fmt.Sprintf("k%d", rnd.IntN(killKeys))
			to := millrace.IssueID(millrace.DefaultProject, fmt.Sprintf("k%d", rnd.IntN(killKeys)))
			keys, err := m.IssueKeys(ctx, millrace.DefaultProject, []string{key})
			if err != nil {
				return err
			}
			if from := keys[key]; from != "" && from != to {
				if err := metatest.MoveKey(ctx, m, key, from, to); err != nil && millrace.ErrorCode(err) != millrace.ErrConflict {
					return err
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// issueKills has workers see and regroup while one of them is killed at random.
// In the end all that was reported is there, once, and all sums are right.
func issueKills(t *testing.T, kind, where string, times int, also func(i int)) {
	rnd := rand.New(rand.NewPCG(6, 6)) //nolint:gosec // tests repeat
	var workers []*worker
	for i := range 3 {
		w := &worker{spec: fmt.Sprintf("issues %d %s %s", i, kind, where)}
		w.start(t)
		workers = append(workers, w)
	}
	for i := range times {
		w := workers[rnd.IntN(len(workers))]
		w.waitLine(t)
		time.Sleep(time.Duration(rnd.IntN(50)) * time.Millisecond)
		w.kill()
		w.start(t)
		also(i)
	}
	for _, w := range workers {
		w.waitLine(t)
		w.kill()
	}
	ctx := t.Context()
	m, err := openSpec(ctx, kind, where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	metatest.CheckIssues(t, ctx, m)
	most := 0
	for i, w := range workers {
		n, err := steps(ctx, m, strconv.Itoa(i))
		if err != nil || int64(n) < w.reported {
			t.Errorf("worker %d: %d steps, %d reported, %v", i, n, w.reported, err)
		}
		most = max(most, n)
		names := make([]string, n)
		for step := range names {
			names[step] = fmt.Sprintf("%d-%d", i, step)
		}
		if of, err := m.IssuesOf(ctx, millrace.DefaultProject, names); err != nil || len(of) != n {
			t.Errorf("worker %d: %d of %d fingerprints, %v", i, len(of), n, err)
		}
	}
	all, err := m.Issue(ctx, millrace.DefaultProject, millrace.IssueID(millrace.DefaultProject, "key-all"))
	if err != nil || all.FirstSeen != 0 || all.LastSeen != int64(most-1)*1e9 {
		t.Errorf("seen by all: %+v, %v, want up to step %d", all, err, most)
	}
	log, err := m.Activities(ctx, millrace.DefaultProject, "", 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(log, func(a, b millrace.Activity) int { return strings.Compare(a.Issue, b.Issue) })
	if len(log) > killKeys+1 || len(slices.CompactFunc(log, func(a, b millrace.Activity) bool { return a.Issue == b.Issue })) != len(log) {
		t.Errorf("issues were created more than once: %+v", log)
	}
	changes, err := m.Regroupings(ctx, millrace.DefaultProject, "", 0, 100_000)
	if err != nil || len(changes) == 0 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
	t.Logf("%d steps, %d changes of what belongs together", most, len(changes))
}

func TestIssueKills(t *testing.T) {
	issueKills(t, "sqlite", filepath.Join(t.TempDir(), "meta.db"), 15, func(int) {})
}
