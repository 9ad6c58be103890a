package duckdb

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestMain turns the test binary into a child of the tests below.
func TestMain(m *testing.M) {
	if path := os.Getenv("MILLRACE_TEST_CHILD"); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child writes batches of random sizes from where the last one stopped, until
// it is killed; sometimes it checkpoints. It prints each offset it was told is
// durable. Offsets count events.
func child(path string) error {
	ctx := context.Background()
	opt := DefaultOptions()
	opt.Checkpoint = 16 << 20 // so that checkpoints happen while it lives
	db, err := Open(ctx, opt, path, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	s, err := db.Load(ctx, millrace.SinkEvents)
	if err != nil {
		return err
	}
	offset := int64(0)
	if len(s.Positions) > 0 {
		offset = s.Positions[0].Offset
	}
	fmt.Println("open", offset)
	rng := rand.New(rand.NewPCG(uint64(offset), 1))
	for i := 0; ; i++ {
		n := []int{1, 100, 1000, 6000}[rng.IntN(4)]
		rows := accessRows(n, offset, uint64(offset))
		offset += int64(n)
		c := &millrace.Commit{
			Sink:      millrace.SinkEvents,
			Positions: []millrace.Position{{Offset: offset}},
			Clients:   []millrace.ClientWindow{{Client: "c", Updated: 1_790_000_000_000_000_000, State: []byte(strconv.FormatInt(offset, 10))}},
			Ledger:    []millrace.LedgerEntry{{Sink: millrace.SinkEvents, Minute: 1_790_000_040, Outcome: millrace.OutcomeStored, Events: int64(n), Weight: int64(n)}},
		}
		if err := db.WriteEvents(ctx, rows, c); err != nil {
			return err
		}
		fmt.Println("done", offset)
		if i%5 == 4 {
			if _, err := db.Maintain(ctx, time.Unix(0, 1_790_000_000_000_000_000).Add(time.Duration(i)*time.Minute)); err != nil {
				return err
			}
		}
	}
}

// TestKills kills the writer at random moments, and by failpoints in each
// phase of a commit and a checkpoint. Each time rows, position, ledger and
// client window must agree and nothing that was acknowledged may be missing.
func TestKills(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/kill.duckdb"
	rng := rand.New(rand.NewPCG(1, 2))
	last, tally := int64(0), map[string]int{}
	for kill := range 20 {
		point := []string{"", "", "events.commit", "events.commit.after", "checkpoint", "checkpoint.after"}[kill%6]
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "MILLRACE_TEST_CHILD="+path)
		if point != "" {
			n := 1 + rng.IntN(4)
			if strings.HasPrefix(point, "checkpoint") {
				n = 1
			}
			cmd.Env = append(cmd.Env, fmt.Sprintf("MILLRACE_FAILPOINTS=%s=kill:%d", point, n))
		}
		acked := runChild(t, cmd, point == "", time.Duration(50+rng.IntN(800))*time.Millisecond)
		tally[point]++
		last = max(last, acked)
		last = checkAfterKill(t, path, last)
	}
	t.Logf("kills by failpoint: %v; %d rows", tally, last)
}

// runChild runs the child until it dies and returns the last offset it printed.
func runChild(t *testing.T, cmd *exec.Cmd, kill bool, after time.Duration) (acked int64) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := 60 * time.Second // for a failpoint that is never reached
	sc := bufio.NewScanner(out)
	for first := true; sc.Scan(); first = false {
		word, n, _ := strings.Cut(sc.Text(), " ")
		if word == "done" {
			if acked, err = strconv.ParseInt(n, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		if first {
			if kill {
				limit = after
			}
			timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
			defer timer.Stop()
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
	return acked
}

// checkAfterKill opens the store as a restart does and returns its position.
func checkAfterKill(t *testing.T, path string, acked int64) int64 {
	t.Helper()
	db, err := Open(t.Context(), DefaultOptions(), path, time.Now, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	s, err := db.Load(t.Context(), millrace.SinkEvents)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Positions) == 0 {
		if acked > 0 {
			t.Fatalf("nothing stored, %d acknowledged", acked)
		}
		return 0
	}
	pos := s.Positions[0].Offset
	l, err := db.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	row := query(t, db, `SELECT count(*), (count(DISTINCT trace_uuid)), (SELECT sum("rows")::BIGINT FROM segments) FROM events`).Rows[0]
	if row[0] != pos || row[1] != pos || row[2] != pos || l[0].Events != pos || string(s.Clients[0].State) != strconv.FormatInt(pos, 10) {
		t.Fatalf("position %d, rows, distinct rows and catalog %v, ledger %d, window %s", pos, row, l[0].Events, s.Clients[0].State)
	}
	if pos < acked {
		t.Fatalf("position %d, but %d was acknowledged", pos, acked)
	}
	return pos
}

// TestSecondProcess: the child holds the file.
func TestSecondProcess(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/two.duckdb"
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_CHILD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), DefaultOptions(), path, time.Now, discard)
	if err == nil {
		_ = db.Close()
	}
	if millrace.ErrorCode(err) != millrace.ErrConflict || millrace.ErrorHint(err) == "" {
		t.Errorf("got %v", err)
	}
}
