package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/internal/gen"
)

// The rollup before, and after sets, dimensions, one of them an attribute that
// nobody declared, and metrics joined it.
const (
	backfillBefore = `
rollups:
  shop:
    where: kind == "access"
    dimensions: [service]
    sets: [[], [service]]
    metrics: {n: count()}
`
	backfillAfter = `
rollups:
  shop:
    where: kind == "access"
    dimensions: [service, city, device, status]
    sets: [[], [service], [city], [service, device], [city, status]]
    metrics: {n: count(), bytes: sum(bytes), rt: quantiles(rt), uv: uniq(client_ip)}
`
)

// backfillPoints are where the server is killed: with an hour folded but not
// replaced, in the commit, and right after.
var backfillPoints = []string{"refold=kill:3", "refold.commit=kill:2", "refold.commit=soon:4", "refold.commit.after=kill:5", "refold.commit.after=kill:1"}

// TestBackfillKills lets sets and metrics join a rollup that has seen lines of
// three days, and backfills them while lines arrive and the server is killed five
// times. All cells must equal those of a server that had them from the start.
// MILLRACE_SOAK=1 makes it 5,000,000 lines.
func TestBackfillKills(t *testing.T) {
	lines := 60_000
	if os.Getenv("MILLRACE_SOAK") != "" {
		lines = 5_000_000
	} else if testing.Short() {
		t.Skip("kills are slow")
	}
	k := &killer{
		t: t, rng: rand.New(rand.NewPCG(1, 2)), dir: t.TempDir(), state: t.TempDir(), addr: freeAddr(t),
		input: filepath.Join(t.TempDir(), "shop.log"), tally: map[string]int{},
	}
	data := shopDays(lines)
	k.grow(data[:lines/2])
	in := spawn(t, k.dir, killConfig+backfillBefore, "", "--http", k.addr)
	k.imported(in, lines/2)
	k.interrupt(in)
	for i, point := range backfillPoints {
		k.grow(data[lines/2+lines/4*i/5 : lines/2+lines/4*(i+1)/5])
		k.backfillRound(point)
	}
	in = spawn(t, k.dir, killConfig+backfillAfter, "", "--http", k.addr)
	k.grow(data[lines*3/4:])
	imp := k.importer(in.url)
	said := in.command("backfill", "--server", in.url, "--rollup", "shop")
	t.Logf("%s", said)
	again := in.command("backfill", "--server", in.url, "--rollup", "shop", "--from", "-50h", "--to", "-10h")
	if !strings.Contains(again, " rows of ") {
		t.Errorf("a second backfill says %q", again)
	}
	if err := imp.Wait(); err != nil {
		t.Errorf("import: %v", err)
	}
	k.imported(in, lines)
	k.interrupt(in)

	plain := t.TempDir()
	in = spawn(t, plain, backfillAfter, "")
	other := &killer{t: t, dir: plain, state: t.TempDir(), input: k.input}
	other.imported(in, lines)
	k.interrupt(in)
	got, want := k.cells(k.dir), k.cells(plain)
	equalLines(t, got, want)
	t.Logf("%d cells compared; %v", len(want), k.tally)
	if k.tally["killed"] < len(backfillPoints)-1 {
		t.Errorf("only %d kills at their points", k.tally["killed"])
	}
}

// shopDays returns JSON lines of three days, one in fifty late.
func shopDays(n int) [][]byte {
	g := gen.New(11, gen.Options{Clients: 2000, URLs: 100})
	begin := time.Now().Add(-72 * time.Hour).Truncate(time.Hour)
	lines := make([][]byte, n)
	for i := range lines {
		at := begin.Add(time.Duration(float64(71*time.Hour) * float64(i) / float64(n)))
		if i%50 == 0 {
			at = begin.Add(time.Duration(i%4096) * time.Minute)
		}
		lines[i] = g.AppendJSON(nil, at)
	}
	return lines
}

// imported runs an import to its end and waits until both sinks have n lines.
func (k *killer) imported(in *instance, n int) {
	k.t.Helper()
	var out bytes.Buffer
	cmd := k.importer(in.url)
	if err := cmd.Wait(); err != nil {
		k.t.Fatalf("import: %v\n%s", err, out.String())
	}
	deadline := time.Now().Add(10 * time.Minute)
	for {
		got := in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome = 'stored' GROUP BY sink")
		if got["events"] == fmt.Sprint(n) && got["rollup"] == fmt.Sprint(n) {
			return
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("stored %v, want %d\n%s", got, n, in.logs)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// interrupt stops a server as a user would.
func (k *killer) interrupt(in *instance) {
	k.t.Helper()
	if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
		k.t.Fatal(err)
	}
	_ = in.stop()
}

// backfillRound starts a server that kills itself at a point of the backfill that
// is asked for, while lines come in.
func (k *killer) backfillRound(point string) {
	t := k.t
	in := spawn(t, k.dir, killConfig+backfillAfter, point, "--http", k.addr)
	imp := k.importer(in.url)
	cli := exec.Command(os.Args[0], "backfill", "--server", in.url, "--rollup", "shop")
	cli.Env = append(os.Environ(), "MILLRACE_TEST_MAIN=1", "MILLRACE_FAILPOINTS=")
	var out bytes.Buffer
	cli.Stdout, cli.Stderr = &out, &out
	if err := cli.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = in.stop(); close(exited) }()
	select {
	case <-exited:
		k.tally["killed"]++
	case <-time.After(20 * time.Second):
		k.tally["from outside, waiting for "+point]++
		in.kill()
	}
	if err := cli.Wait(); err == nil {
		t.Errorf("the backfill ended although the server was killed at %s: %s", point, out.String())
	}
	_ = imp.Process.Signal(os.Interrupt)
	_ = imp.Wait()
}

// cells returns all cells of a store that nobody uses.
func (k *killer) cells(dir string) []string {
	k.t.Helper()
	cfg, err := config.Parse([]byte(backfillAfter))
	if err != nil {
		k.t.Fatal(err)
	}
	db, err := duckdb.Open(k.t.Context(), duckdb.DefaultOptions(), filepath.Join(dir, "millrace.duckdb"), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		k.t.Fatal(err)
	}
	defer db.Close()
	return dumpCells(k.t, db, cfg.Compile())
}
