//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of some megabytes, with a directory for data in
// it, and takes it away when the test ends.
func smallDisk(t *testing.T, megabytes int) (mount, data string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk (tmpfs) needs root")
	}
	mount = t.TempDir()
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", megabytes), "millrace-test", mount).CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount a small disk (tmpfs): %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", mount).Run(); err != nil { // a child may not be quite gone
			if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", mount, err)
			}
		}
	})
	return mount, filepath.Join(mount, "data")
}

// ballast takes n bytes of a disk at once, all there are if n is negative, and
// returns what frees them.
func ballast(t *testing.T, mount string, n int64) (free func()) {
	t.Helper()
	f, err := os.CreateTemp(mount, "ballast-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	take := func(from, n int64) {
		if err := syscall.Fallocate(int(f.Fd()), 0, from, n); err != nil && !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if n > 0 {
		take(0, n)
	}
	for from := int64(0); n < 0; { // others may take some at the same time
		rest := toFill(t, mount, 100)
		if rest == 0 {
			break
		}
		take(from, rest)
		from += rest
	}
	return func() {
		if err := os.Remove(f.Name()); err != nil {
			t.Error(err)
		}
	}
}

// toFill is how many bytes more make a disk so many percent full.
func toFill(t *testing.T, mount string, percent int64) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(mount, &st); err != nil {
		t.Fatal(err)
	}
	return max(0, int64(st.Bsize)*(int64(st.Blocks)*percent/100-int64(st.Blocks-st.Bfree)))
}

// noiseLines makes n lines of about half a kilobyte that do not compress, each
// with a number of its own.
func noiseLines(rng *rand.Rand, from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"message":"line %d","level":"info","n":%d,"noise":"`, from+i, from+i)
		for range 28 {
			fmt.Fprintf(&b, "%016x", rng.Uint64())
		}
		b.WriteString("\"}\n")
	}
	return b.String()
}

// feeder sends noise and remembers how much of it was accepted.
type feeder struct {
	in       *instance
	rng      *rand.Rand
	next     int // number of the next line
	accepted int
}

// refusal is an answer other than 200.
type refusal struct {
	code       int
	retryAfter string
	detail     string
}

// send sends n lines; nil if they were accepted.
func (f *feeder) send(n int) *refusal {
	f.in.t.Helper()
	return f.sendBody(noiseLines(f.rng, f.next, n), n)
}

// sendBody sends the next n lines.
func (f *feeder) sendBody(body string, n int) *refusal {
	t := f.in.t
	t.Helper()
	resp, err := http.Post(f.in.url+"/ingest?source=disk", "", strings.NewReader(body))
	if err != nil {
		t.Fatalf("ingest: %v\n%s", err, f.in.logs)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusOK {
		f.accepted += n
		f.next += n
		return nil
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(text, &problem); err != nil {
		t.Fatalf("ingest: %d %s", resp.StatusCode, text)
	}
	f.next += n // whether any of it was stored must not matter: numbers stay distinct
	return &refusal{resp.StatusCode, resp.Header.Get("Retry-After"), problem.Detail}
}

// check: a refusal tells a machine when to come back and a person what is wrong.
func (r *refusal) check(t *testing.T, want string) {
	t.Helper()
	seconds, err := strconv.Atoi(r.retryAfter)
	if err != nil || seconds < 1 {
		t.Errorf("refused without a useful Retry-After: %+v", r)
	}
	switch r.code {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
	default:
		t.Errorf("refused with %+v, want 429, 503 or 507", r)
	}
	if !strings.Contains(r.detail, want) {
		t.Errorf("refused with %+v, want a message with %q", r, want)
	}
}

// untilRefused sends until the answer says that the disk is full. A queue that
// is full because the sinks are slower is waited for.
func (f *feeder) untilRefused() *refusal {
	f.in.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		r := f.send(1000)
		if r == nil {
			continue
		}
		if strings.Contains(r.detail, "disk") {
			return r
		}
		r.check(f.in.t, "full")
		time.Sleep(20 * time.Millisecond)
	}
	f.in.t.Fatalf("never refused after %d lines\n%s", f.accepted, f.in.logs)
	return nil
}

// untilAccepted sends a little until it is taken again.
func (f *feeder) untilAccepted() {
	f.in.t.Helper()
	var last *refusal
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if last = f.send(10); last == nil {
			return
		}
	}
	f.in.t.Fatalf("still refused with space again: %+v\n%s", last, f.in.logs)
}

// checkAll: every line that was answered 200 is stored once, in rows and
// accounts of both sinks, and nothing else is.
func (f *feeder) checkAll() {
	in, t := f.in, f.in.t
	t.Helper()
	in.drain(f.accepted)
	row := in.sql("SELECT count(*), count(DISTINCT attrs->>'n') FROM events")[0]
	if want := fmt.Sprint(f.accepted); row[0] != want || row[1] != want {
		t.Errorf("%s rows, %s distinct, want the %s that were accepted", row[0], row[1], want)
	}
	equalCounts(t, "stored", in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome = 'stored' GROUP BY 1"),
		map[string]int{"events": f.accepted, "rollup": f.accepted})
	if gaps := in.gaps(); len(gaps) > 0 {
		t.Errorf("gaps: %+v", gaps)
	}
}

const smallDiskConfig = "store: {checkpoint: 16MiB}\n"

// TestFullDiskGuard: with the disk at disk_high ingest is told to wait while
// everything accepted still finds room; with space again it goes on by itself.
func TestFullDiskGuard(t *testing.T) {
	mount, data := smallDisk(t, 128)
	free := ballast(t, mount, 48<<20)
	in := spawn(t, data, smallDiskConfig+"disk_high: 85\n", "")
	f := &feeder{in: in, rng: rand.New(rand.NewPCG(8, 5))}
	for deadline := time.Now().Add(time.Minute); ; {
		r := f.untilRefused()
		r.check(t, "over 85% full")
		f.checkAll() // all that was accepted finds room, whatever else fills the disk
		if strings.Contains(r.detail, "is over") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the disk never fills: %+v", r)
		}
	}
	if logs := in.logs.String(); strings.Contains(logs, "space") || strings.Contains(logs, "level=ERROR") {
		t.Errorf("the guard let the disk run full: %s", logs)
	}
	freeRest := ballast(t, mount, toFill(t, mount, 93)) // a checkpoint may have made room again
	f.untilRefused().check(t, "is over 85% full")
	if code, text := in.call("GET", "/healthz", nil, nil, nil); code != 200 {
		t.Errorf("healthz: %d %s", code, text)
	}
	if code, text := in.call("GET", "/readyz", nil, nil, nil); code != 503 && code != 429 || !strings.Contains(text, "disk") {
		t.Errorf("readyz: %d %s", code, text)
	}
	free()
	freeRest()
	f.untilAccepted()
	f.mustSend(5000)
	f.checkAll()
	in.kill()
	f.in = spawn(t, data, smallDiskConfig+"disk_high: 85\n", "")
	f.checkAll()
}

// TestFullDiskForReal: somebody else fills the disk while accepted lines wait to
// be stored: to the last byte, or so that some is stored until a checkpoint or a
// later write finds no room. Requests are refused and the server stays up. With
// space again all that was accepted is there, also after a restart and after a
// kill on the full disk.
func TestFullDiskForReal(t *testing.T) {
	f := func(name string, left int64, killed bool) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they mostly wait
			fullDiskForReal(t, left, killed)
		})
	}
	f("full", 0, false)
	f("full and killed", 0, true)
	f("nearly full", 8<<20, false)
	f("nearly full and killed", 8<<20, true)
}

func fullDiskForReal(t *testing.T, left int64, killed bool) {
	mount, data := smallDisk(t, 128)
	const config = smallDiskConfig + "pipeline: {flush_interval: 2s, rollup_interval: 2s, maintenance_interval: 1h}\n"
	in := spawn(t, data, config, "")
	f := &feeder{in: in, rng: rand.New(rand.NewPCG(9, 6))}
	free := f.untilStoreFails(mount, left)
	freeRest := ballast(t, mount, -1)
	f.untilRefused().check(t, "disk")
	for range 5 {
		if r := f.send(1000); r == nil {
			t.Error("accepted on a full disk")
		} else {
			r.check(t, "disk")
		}
	}
	if code, text := in.call("GET", "/api/v1/ledger", nil, nil, nil); code != 200 && (code != 503 || !strings.Contains(text, "disk is full")) {
		t.Errorf("a question on a full disk: %d %s", code, text)
	}
	if killed {
		in.kill()
		if again, err := trySpawn(t, data, config, ""); err == nil {
			f.in = again
			f.untilRefused().check(t, "disk")
			again.kill()
		} else if got := again.logs.String(); !strings.Contains(got, "space") && !strings.Contains(got, "full") {
			t.Errorf("start on a full disk: %v\n%s", err, got)
		}
	}
	free()
	freeRest()
	if killed {
		f.in = spawn(t, data, config, "")
	}
	f.untilAccepted()
	f.mustSend(1000)
	f.checkAll()
	f.restart(data, config)
	f.checkAll()
}

// untilStoreFails sends lines and, before they are stored, fills the disk but
// for so many bytes; fewer each time until the store has met the end of the disk.
func (f *feeder) untilStoreFails(mount string, left int64) (free func()) {
	in, t := f.in, f.in.t
	t.Helper()
	for range 12 {
		f.mustSend(8000)
		free = ballast(t, mount, max(0, toFill(t, mount, 100)-left))
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if strings.Contains(in.logs.String(), "No space left") {
				return free
			}
			if in.all("SELECT count(*) FROM events") == f.accepted {
				break
			}
		}
		free()
		left = max(0, left-2<<20)
	}
	t.Fatalf("the store never met the end of the disk:\n%s", in.logs)
	return nil
}

// all is the number that a statement returns; -1 while the store cannot answer.
func (in *instance) all(sql string) int {
	in.t.Helper()
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		in.t.Fatal(err)
	}
	var answer struct{ Rows [][]int }
	code, _ := in.call("POST", "/api/v1/sql", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}, &answer)
	if code != http.StatusOK {
		return -1
	}
	return answer.Rows[0][0]
}

// mustSend sends n lines in requests of a thousand, as quickly as it can.
func (f *feeder) mustSend(n int) {
	f.in.t.Helper()
	bodies := make([]string, n/1000)
	for i := range bodies {
		bodies[i] = noiseLines(f.rng, f.next+1000*i, 1000)
	}
	for _, body := range bodies {
		if r := f.sendBody(body, 1000); r != nil {
			f.in.t.Fatalf("refused with space: %+v\n%s", r, f.in.logs)
		}
	}
}

// restart stops the server as an operator would and starts it again.
func (f *feeder) restart(data, config string) {
	t := f.in.t
	t.Helper()
	if err := f.in.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := f.in.stop(); err != nil {
		t.Errorf("stop: %v\n%s", err, f.in.logs)
	}
	f.in = spawn(t, data, config, "")
}
