package queue

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// crashDir tells the re-executed test binary to be the process that is killed.
const crashDir = "MILLRACE_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir, os.Getenv("MILLRACE_TEST_CRASH_ROUND"))
	}
	if dir := os.Getenv(fullDisk); dir != "" {
		if err := fullDiskChild(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashChild appends from eight goroutines for ever, and prints a line for
// each record acknowledged.
func crashChild(dir, round string) {
	opts := testOptions()
	opts.MaxBytes = minMaxBytes * 8 // small segments, so that some are rolled
	q, err := Open(context.Background(), opts, dir, quiet, time.Now)
	if err != nil {
		fmt.Println("open:", err)
		os.Exit(1)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			client := fmt.Sprintf("%s-%d", round, g)
			for seq := int64(0); ; seq++ {
				if err := q.Append(context.Background(), []*millrace.Record{record(client, seq, crashText(client, seq))}); err != nil {
					fmt.Println("append:", err)
					os.Exit(1)
				}
				fmt.Println("acked", client, seq) // one write: lines do not mix
			}
		})
	}
	wg.Wait()
}

// crashText is incompressible enough to fill segments: up to 64 KiB.
func crashText(client string, seq int64) string {
	var b strings.Builder
	for i := range 1 + seq%1500 {
		fmt.Fprintf(&b, "%s %d %x;", client, seq, uint64(i+1)*uint64(seq+1)*0x9e3779b97f4a7c15)
	}
	return b.String()
}

// killChild runs crashChild and kills it after so many acknowledgements, or
// lets a failpoint do it. It returns the acknowledged records.
func killChild(t *testing.T, dir, round, failpoints string, after int) map[string]bool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir, "MILLRACE_TEST_CRASH_ROUND="+round, "MILLRACE_FAILPOINTS="+failpoints)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acked := map[string]bool{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		key, ok := strings.CutPrefix(lines.Text(), "acked ")
		if !ok {
			t.Errorf("child: %s", lines.Text())
		}
		acked[key] = true
		if len(acked) == after {
			_ = cmd.Process.Kill() // it may be dead already
		}
	}
	err = cmd.Wait()
	if err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("child was not killed: %v", err)
	}
	return acked
}

func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	for i, r := range []struct {
		failpoints string
		after      int
	}{
		{"", 1},
		{"", 500},
		{"queue.append=kill:300", 0},
		{"queue.append.after=kill:777", 0},
		{"", 1500},
	} {
		round := fmt.Sprint(i)
		for key := range killChild(t, dir, round, r.failpoints, r.after) {
			acked[key] = true
		}
		opts := testOptions()
		opts.MaxBytes = minMaxBytes * 8
		q := openQueue(t, opts, dir)
		seen := map[string]int{}
		for _, p := range readAll(t, q, lows(t, q)) {
			if p.Err != nil {
				t.Fatal(p.Err)
			}
			if want := crashText(p.Record.Client, p.Record.Seq) + "\n"; string(p.Record.Payload) != want {
				t.Fatalf("record %s %d has another payload", p.Record.Client, p.Record.Seq)
			}
			seen[fmt.Sprint(p.Record.Client, " ", p.Record.Seq)]++
		}
		for key := range acked {
			if seen[key] == 0 {
				t.Errorf("round %d: acknowledged record %s is lost", i, key)
			}
		}
		for key, n := range seen {
			if n != 1 {
				t.Errorf("round %d: record %s is there %d times", i, key, n)
			}
		}
		if r := q.Regressions(); len(r) != 0 {
			t.Errorf("round %d: regressions %v", i, r)
		}
		size, _ := q.Size()
		t.Logf("round %d: %d acknowledged in all, %d read, %d bytes", i, len(acked), len(seen), size)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
