package queue

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// fullDisk tells the re-executed test binary to run out of room: a limit on
// the size of files makes writes fail half way, as a full disk does.
const fullDisk = "MILLRACE_TEST_FULL_DISK_DIR"

func fullDiskChild(dir string) error {
	signal.Ignore(syscall.SIGXFSZ)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	q, err := Open(context.Background(), testOptions(), dir, quiet, time.Now)
	if err != nil {
		return err
	}
	seq := int64(0)
	add := func() error {
		err := q.Append(context.Background(), []*millrace.Record{record("c", seq, noise(uint64(seq)))})
		if err == nil {
			fmt.Println("acked", seq)
		}
		seq++
		return err
	}
	small := limit
	small.Cur = 100_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		return err
	}
	for err == nil && seq < 1000 {
		err = add()
	}
	for range 5 {
		if err := add(); err == nil {
			return fmt.Errorf("append %d succeeded on a full disk", seq-1)
		}
	}
	fmt.Println("code", millrace.ErrorCode(err))
	fmt.Println("hint", millrace.ErrorHint(err))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for range 20 {
		if err := add(); err != nil {
			return fmt.Errorf("append %d with room again: %w", seq-1, err)
		}
	}
	return q.Close()
}

// TestFullDisk: appends fail with a clear error while there is no room and
// succeed when there is again; nothing acknowledged is lost or doubled.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), fullDisk+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	acked := map[string]bool{}
	var rest []string
	for line := range strings.Lines(string(out)) {
		if seq, ok := strings.CutPrefix(line, "acked "); ok {
			acked[strings.TrimSpace(seq)] = true
		} else {
			rest = append(rest, strings.TrimSpace(line))
		}
	}
	if len(rest) != 2 || rest[0] != "code unavailable" || !strings.Contains(rest[1], dir) {
		t.Errorf("child said %q", rest)
	}
	q := openQueue(t, testOptions(), dir)
	seen := map[string]int{}
	for _, p := range readAll(t, q, lows(t, q)) {
		if p.Err != nil {
			t.Fatal(p.Err)
		}
		seen[fmt.Sprint(p.Record.Seq)]++
	}
	for seq := range acked {
		if seen[seq] != 1 {
			t.Errorf("acknowledged record %s is there %d times", seq, seen[seq])
		}
	}
	if len(acked) < 25 || len(seen) != len(acked) {
		t.Errorf("%d acknowledged, %d stored", len(acked), len(seen))
	}
}

// TestSyncFailure: after a failed sync nothing is acknowledged any more.
func TestSyncFailure(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	mustAppend(t, q, record("c", 1, "one"))
	if err := q.Healthy(); err != nil {
		t.Fatal(err)
	}
	p := clientPartition("c", 4)
	if err := q.syncer.parts[p].file.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		err := q.Append(t.Context(), []*millrace.Record{record("c", int64(2+i), "two")})
		if millrace.ErrorCode(err) != millrace.ErrUnavailable || millrace.ErrorHint(err) == "" {
			t.Errorf("append: %v", err)
		}
	}
	if millrace.ErrorCode(q.Healthy()) != millrace.ErrUnavailable {
		t.Errorf("healthy: %v", q.Healthy())
	}
}

// TestUnwritable: a directory that is a file, as seen by any user.
func TestUnwritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), testOptions(), dir, quiet, time.Now)
	if millrace.ErrorCode(err) != millrace.ErrUnavailable || !bytes.Contains([]byte(millrace.ErrorHint(err)), []byte(dir)) {
		t.Errorf("open: %v", err)
	}
}

func TestListenTaken(t *testing.T) {
	q := openQueue(t, testOptions(), t.TempDir())
	opts := testOptions()
	opts.Listen = q.Addrs()[0]
	_, err := Open(t.Context(), opts, t.TempDir(), quiet, time.Now)
	if millrace.ErrorCode(err) != millrace.ErrUnavailable || !strings.Contains(err.Error(), opts.Listen) {
		t.Errorf("open: %v", err)
	}
}

// TestHealthProbe: the probe notices, and is not repeated at every call.
func TestHealthProbe(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, testOptions(), dir)
	now := time.Unix(1000, 0)
	q.now = func() time.Time { return now }
	if err := q.Healthy(); err != nil {
		t.Fatal(err)
	}
	// A directory in place of the probe's file makes it fail for root too.
	if err := os.Mkdir(filepath.Join(dir, "probe"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := q.Healthy(); err != nil {
		t.Errorf("probed again at once: %v", err)
	}
	now = now.Add(probeEvery)
	if err := q.Healthy(); millrace.ErrorCode(err) != millrace.ErrUnavailable {
		t.Errorf("healthy: %v", err)
	}
}
