package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/internal/gen"
)

// killPoints are the operations that must be atomic. The server is killed before
// each takes effect, within the milliseconds in which it does, and right after.
var killPoints = []string{
	"queue.append=kill", "queue.append=soon", "queue.append.after=kill",
	"events.commit=kill", "events.commit=soon", "events.commit.after=kill",
	"rollup.commit=kill", "rollup.commit=soon", "rollup.commit.after=kill",
	"compaction.commit=kill", "compaction.commit=soon", "compaction.commit.after=kill",
	"hours.commit=kill", "hours.commit=soon", "hours.commit.after=kill",
	"checkpoint=kill", "checkpoint=soon", "checkpoint.after=kill",
}

// TestKills streams lines whose times span three days, kills server and importer
// again and again, and compares every row count, cell and account with the
// oracle: those of the default rollups, of all lines, and of a rollup with 100
// sets, of some. MILLRACE_SOAK=1 makes it 1,000,000 lines and 144 kills.
func TestKills(t *testing.T) {
	lines, kills := 150_000, len(killPoints)
	if os.Getenv("MILLRACE_SOAK") != "" {
		lines, kills = 1_000_000, 8*len(killPoints)
	} else if testing.Short() {
		t.Skip("kills are slow")
	}
	t.Setenv("MILLRACE_TEST_CLOCK", fmt.Sprint(time.Now().Unix()))
	k := &killer{
		t: t, rng: rand.New(rand.NewPCG(1, 2)), dir: t.TempDir(), state: t.TempDir(),
		addr:  freeAddr(t),
		input: filepath.Join(t.TempDir(), "access.log"), tally: map[string]int{},
	}
	data := threeDays(lines)
	for i := range kills {
		k.grow(data[len(data)*i/kills : len(data)*(i+1)/kills])
		k.round(killPoints[i%len(killPoints)], i)
	}
	k.finish(lines)
	want := newOracle(t, hundredSets(), k.input, "kills", time.Now)
	k.compare(want)
	for _, p := range slices.Sorted(maps.Keys(k.tally)) {
		t.Logf("killed %2d times: %s", k.tally[p], p)
	}
}

// threeDays returns lines with times over the last three days, in order but for
// late ones. Most are lines of an access log, evenly spread ones are JSON.
func threeDays(n int) [][]byte {
	g := gen.New(7, gen.Options{Clients: 3000, URLs: 300})
	begin := time.Now().Add(-72 * time.Hour).Truncate(time.Hour)
	lines := make([][]byte, n)
	for i := range lines {
		at := begin.Add(time.Duration(float64(71*time.Hour) * float64(i) / float64(n)))
		if at = at.Add(-g.Lateness()); i%(n/hundredSetsLines) == 0 {
			lines[i] = g.AppendJSON(nil, at)
		} else {
			lines[i] = g.AppendAccess(nil, at)
		}
	}
	return lines
}

// freeAddr returns an address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// killer runs rounds of server and importer over one data directory.
type killer struct {
	t          *testing.T
	rng        *rand.Rand
	dir, state string
	addr       string // fixed: the importer's state belongs to a server's URL
	input      string
	tally      map[string]int
}

// killConfig makes everything that can be killed happen often: small
// transactions, frequent maintenance and a small write-ahead log.
const killConfig = `
pipeline: {flush_rows: 4096, flush_interval: 50ms, rollup_interval: 100ms, maintenance_interval: 100ms}
store: {checkpoint: 16MiB}
`

// hundredSetsLines is how many lines the rollup with 100 sets takes: each one
// makes 300 cells, and the oracle holds them all in memory.
const hundredSetsLines = 2500

// hundredSets is the configuration of a rollup with 100 sets, of the JSON lines.
func hundredSets() string {
	var sets []string
	for _, s := range gen.Sets(100) {
		sets = append(sets, "["+strings.Join(s, ", ")+"]")
	}
	return `
rollups:
  hundred:
    where: device != ""
    dimensions: [` + strings.Join(gen.Dimensions(), ", ") + `]
    sets: [` + strings.Join(sets, ", ") + `]
    metrics: {n: count(), bytes: sum(bytes), rt: quantiles(rt), uv: uniq(client_ip)}
`
}

// grow appends lines to the file that is imported, so that every round has
// something to do.
func (k *killer) grow(lines [][]byte) {
	f, err := os.OpenFile(k.input, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	if _, err := f.Write(bytes.Join(lines, nil)); err != nil {
		k.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		k.t.Fatal(err)
	}
}

// round starts a server that kills itself at the n-th time it passes a point,
// and an importer; if the point is not reached in a while, both are killed from
// outside at a random moment.
func (k *killer) round(point string, n int) {
	t := k.t
	spec := fmt.Sprintf("%s:%d", point, 1+k.rng.IntN(2))
	if strings.HasPrefix(point, "checkpoint") || strings.HasPrefix(point, "compaction") {
		spec = point // seldom comes a second one in the time of a round
	}
	in, err := trySpawn(t, k.dir, killConfig+hundredSets(), spec, "--http", k.addr)
	if err == nil {
		imp := k.importer(in.url)
		limit := time.After(time.Duration(5000+k.rng.IntN(3000)) * time.Millisecond)
		exited := make(chan struct{})
		go func() { _ = in.stop(); close(exited) }()
		select {
		case <-exited:
			k.tally["at "+point]++
		case <-limit:
			in.kill()
			k.tally["at a random moment, waiting for "+point]++
		}
		if n%2 == 0 {
			k.tally["importer"]++
			_ = imp.Process.Kill()
		} else {
			_ = imp.Process.Signal(os.Interrupt)
		}
		_ = imp.Wait()
		return
	}
	if !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v\n%s", err, in.logs)
	}
	k.tally["at "+point+" during recovery"]++
}

// importer starts an import of the input, which goes on where the last stopped.
func (k *killer) importer(url string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "import", "--server", url, "--source", "kills", "--state", k.state, k.input)
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_MAIN=1", "MILLRACE_FAILPOINTS=")
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	return cmd
}

// finish lets the import end and the sinks drain, and stops the server.
func (k *killer) finish(lines int) {
	t := k.t
	in := spawn(t, k.dir, killConfig+hundredSets(), "", "--http", k.addr)
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0], "import", "--server", in.url, "--source", "kills", "--state", k.state, k.input)
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_MAIN=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("import: %v\n%s", err, out.String())
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got := in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome = 'stored' GROUP BY sink")
		if got["events"] == fmt.Sprint(lines) && got["rollup"] == fmt.Sprint(lines) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("stored %v, want %d\n%s", got, lines, in.logs)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = in.stop()
}

// compare opens the store that was killed so often and compares it with the oracle.
func (k *killer) compare(want *oracle) {
	t := k.t
	db, err := duckdb.Open(t.Context(), duckdb.DefaultOptions(), filepath.Join(k.dir, "millrace.duckdb"), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var wg sync.WaitGroup
	var got, expected []string
	wg.Go(func() { got = dumpCells(t, db, want.rollups) })
	wg.Go(func() { expected = dumpCells(t, want.store, want.rollups) })
	wg.Wait()
	equalLines(t, got, expected)
	hundred := 0
	for _, line := range expected {
		if strings.HasPrefix(line, "hundred ") {
			hundred++
		}
	}
	if hundred < 50*hundredSetsLines {
		t.Errorf("only %d cells of the rollup with 100 sets", hundred)
	}
	t.Logf("%d cells compared, %d of the rollup with 100 sets", len(got), hundred)
	var accounts []string
	for _, line := range summed(t, db) {
		if !strings.Contains(line, " received ") && !strings.Contains(line, " duplicate ") {
			accounts = append(accounts, line) // retries are received once more, as duplicates
		}
	}
	var wanted []string
	for _, line := range summed(t, want.store) {
		if !strings.Contains(line, " received ") {
			wanted = append(wanted, line)
		}
	}
	if !slices.Equal(accounts, wanted) {
		t.Errorf("accounts:\n%s\nwant:\n%s", strings.Join(accounts, "\n"), strings.Join(wanted, "\n"))
	}
}
