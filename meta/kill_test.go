package meta

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// childEnv holds what a child of the tests does and on which database.
const childEnv = "MILLRACE_META_CHILD"

// TestMain turns the test binary into a child of the tests below.
func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		if err := child(spec); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// database is what the tests need of either.
type database interface {
	millrace.Commits
	millrace.Locks
	millrace.Issues
	io.Closer
}

// openSpec opens "sqlite PATH" or "postgres URL".
func openSpec(ctx context.Context, kind, where string) (database, error) {
	if kind == "sqlite" {
		return Open(ctx, where)
	}
	return OpenPostgres(ctx, where)
}

// child does "commit PARTITION KIND WHERE", "issues WORKER KIND WHERE" or "lock
// NAME KIND WHERE" until it is killed.
func child(spec string) error {
	ctx := context.Background()
	f := strings.SplitN(spec, " ", 4)
	var m database
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if m, err = openSpec(ctx, f[2], f[3]); err == nil {
			break
		}
		if time.Now().After(end) {
			return err
		}
	}
	if f[0] == "lock" {
		if _, err := m.Lock(ctx, f[1]); err != nil {
			return err
		}
		fmt.Println("held")
		time.Sleep(time.Hour)
	}
	if f[0] == "issues" {
		return seeForEver(ctx, m, f[1])
	}
	partition, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	return commitForEver(ctx, m, int32(partition))
}

// commitForEver commits one step of a partition after the other, as a worker
// does: after a refusal or a fault it claims the partition and begins where the
// positions say. Each step leaves its offset in a gap and in a client window, and
// is reported once it is durable.
func commitForEver(ctx context.Context, m millrace.Commits, partition int32) error {
	var failed time.Time
	for {
		err := session(ctx, m, partition, func() { failed = time.Time{} })
		code := millrace.ErrorCode(err)
		if code != millrace.ErrConflict && code != millrace.ErrUnavailable {
			return err
		}
		if failed.IsZero() {
			failed = time.Now()
		}
		if time.Since(failed) > 20*time.Second {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func session(ctx context.Context, m millrace.Commits, partition int32, progress func()) error {
	if err := m.Claim(ctx, millrace.SinkEvents, []int32{partition}); err != nil {
		return err
	}
	st, err := m.Load(ctx, millrace.SinkEvents)
	if err != nil {
		return err
	}
	at := millrace.Position{Partition: partition}
	for _, p := range st.Positions {
		if p.Partition == partition {
			at = p
		}
	}
	for {
		f, err := m.Begin(ctx, millrace.SinkEvents, []int32{partition}, "child")
		if err != nil {
			return err
		}
		if f.ID%16 == 0 { // a store that failed
			if err := m.Abandon(ctx, f.ID); err != nil {
				return err
			}
			continue
		}
		to := at
		to.Offset, to.TopicID = at.Offset+1, "t"
		if err := m.Commit(ctx, f.ID, step(at, to)); err != nil {
			return err
		}
		fmt.Println("done", to.Offset)
		progress()
		at = to
		time.Sleep(time.Millisecond) // SQLite lets others in only between
	}
}

func step(at, to millrace.Position) *millrace.Commit {
	return &millrace.Commit{
		Sink: millrace.SinkEvents, From: []millrace.Position{at}, Positions: []millrace.Position{to},
		Clients: []millrace.ClientWindow{{
			Client: "client-" + strconv.Itoa(int(at.Partition)), Updated: time.Now().UnixNano(), State: binary.BigEndian.AppendUint64(nil, uint64(to.Offset)),
		}},
		Gaps: []millrace.Gap{{Sink: millrace.SinkEvents, Partition: at.Partition, From: at.Offset, To: to.Offset, Found: time.Now().UnixNano()}},
	}
}

// worker is a child process with the offset that it reported last.
type worker struct {
	spec string
	cmd  *exec.Cmd
	done sync.WaitGroup

	mu       sync.Mutex
	reported int64
	lines    int
	failure  string
}

func (w *worker) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd = exec.CommandContext(t.Context(), self)
	w.cmd.Env = append(os.Environ(), childEnv+"="+w.spec)
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	w.cmd.Stderr = os.Stderr
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.done.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.mu.Lock()
			w.lines++
			if n, ok := strings.CutPrefix(lines.Text(), "done "); ok {
				offset, _ := strconv.ParseInt(n, 10, 64)
				w.reported = max(w.reported, offset)
			} else if strings.HasPrefix(lines.Text(), "error") {
				w.failure = lines.Text()
			}
			w.mu.Unlock()
		}
	})
}

// waitLine waits until the child has reported something since it was started.
func (w *worker) waitLine(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		lines, failure := w.lines, w.failure
		w.mu.Unlock()
		if lines > 0 && failure == "" {
			return
		}
		if failure != "" || time.Now().After(end) {
			t.Fatalf("child %q: %s", w.spec, failure)
		}
	}
}

func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	w.done.Wait()
	_ = w.cmd.Wait() // "signal: killed"
	w.mu.Lock()
	w.lines = 0
	w.mu.Unlock()
}

// kills has workers commit while one of them is killed at random, times times;
// also is called in between. Two of them believe that they own partition 0.
func kills(t *testing.T, kind, where string, times int, also func(i int)) {
	rnd := rand.New(rand.NewPCG(5, 5)) //nolint:gosec // tests repeat
	var workers []*worker
	for _, partition := range []string{"0", "0", "1"} {
		w := &worker{spec: "commit " + partition + " " + kind + " " + where}
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
	m, err := openSpec(t.Context(), kind, where)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	reported := map[int32]int64{
		0: max(workers[0].reported, workers[1].reported), 1: workers[2].reported,
	}
	checkSteps(t, m, reported)
}

// checkSteps compares positions with what each step left.
func checkSteps(t *testing.T, m millrace.Commits, reported map[int32]int64) {
	t.Helper()
	st, err := m.Load(t.Context(), millrace.SinkEvents)
	gaps, err2 := m.Gaps(t.Context())
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	steps := map[int32]map[int64]int{0: {}, 1: {}}
	for _, g := range gaps {
		steps[g.Partition][g.From]++
	}
	if len(st.Positions) != 2 || len(st.Clients) != 2 {
		t.Fatalf("state %+v", st)
	}
	for i, p := range st.Positions {
		t.Logf("partition %d: %d steps, %d reported", p.Partition, p.Offset, reported[p.Partition])
		if p.Offset < reported[p.Partition] {
			t.Errorf("partition %d is at %d, but %d was reported as durable", p.Partition, p.Offset, reported[p.Partition])
		}
		if n := int64(binary.BigEndian.Uint64(st.Clients[i].State)); n != p.Offset {
			t.Errorf("partition %d is at %d, its client at %d", p.Partition, p.Offset, n)
		}
		for from := range p.Offset {
			if n := steps[p.Partition][from]; n != 1 {
				t.Errorf("partition %d: step %d was committed %d times", p.Partition, from, n)
			}
		}
		if len(steps[p.Partition]) != int(p.Offset) {
			t.Errorf("partition %d is at %d after %d steps", p.Partition, p.Offset, len(steps[p.Partition]))
		}
	}
}

func TestKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	kills(t, "sqlite", path, 20, func(int) {})
	m := open(t, path)
	defer func() { _ = m.Close() }()
	var committed, offsets int64
	err := m.read.QueryRow("SELECT (SELECT count(*) FROM flushes WHERE state = 1), (SELECT sum(record_offset) FROM positions)").Scan(&committed, &offsets)
	if err != nil || committed != offsets {
		t.Errorf("%d flushes committed, positions moved by %d, %v", committed, offsets, err)
	}
}
