package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/internal/testdata"
)

const (
	senders   = 8
	copies    = 3    // how often each chunk is sent
	seqWindow = 1024 // sequences per client that the server remembers
	rowsLimit = "query: {sql_rows: 100000}\n"
)

// sourceFile is a log and the source it is sent as.
type sourceFile struct {
	source, path string
	lines        []string
}

// realAccessLogs are the 50,000 lines, the compressed one unpacked for import.
func realAccessLogs(t *testing.T) []sourceFile {
	t.Helper()
	files := []sourceFile{
		{source: "nasa", path: testdata.Shared(t, "access-logs/nasa-http/nasa_jul95_lines_1-40000.log.gz")},
		{source: "apache", path: testdata.Shared(t, "access-logs/elastic-apache/apache_logs.log")},
	}
	for i := range files {
		files[i].lines = readLines(t, files[i].path)
	}
	return files
}

// chunk is a body that a sender sends under one sequence number.
type chunk struct {
	seq    int64
	source string
	body   string
	lines  int
}

// sender is one client with its chunks.
type sender struct {
	in     *instance
	client string
	chunks []chunk
	rng    *rand.Rand

	mu     sync.Mutex
	events int // accepted, all copies together
	fails  []string
}

// deal shuffles the lines of each file and deals them to senders in chunks of
// uneven size, one of them larger than a record of the queue.
func deal(in *instance, files []sourceFile) []*sender {
	rng, largest := rand.New(rand.NewPCG(3, 14)), 0
	list := make([]*sender, senders)
	for i := range list {
		list[i] = &sender{in: in, client: fmt.Sprintf("sender-%08d", i), rng: rand.New(rand.NewPCG(15, uint64(i)))}
	}
	for _, f := range files {
		lines := slices.Clone(f.lines)
		rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		for n := 0; len(lines) > 0; n++ {
			size := min(len(lines), 40+rng.IntN(300))
			if n == 7 {
				size = min(len(lines), 14_000) // of the larger file: several parts
			}
			body := strings.Join(lines[:size], "\n") + "\n"
			largest = max(largest, len(body))
			s := list[n%senders]
			s.chunks = append(s.chunks, chunk{int64(len(s.chunks)), f.source, body, size})
			lines = lines[size:]
		}
	}
	if largest <= 1<<20 {
		in.t.Fatalf("the largest chunk has %d bytes, which is one record", largest)
	}
	return list
}

// run sends the chunks in order, some twice at the same time. From half way on
// another round sends the copies left over, shuffled, while the first goes on.
func (s *sender) run() {
	var late []chunk
	var rounds sync.WaitGroup
	for i, c := range s.chunks {
		var now sync.WaitGroup
		n := 1 + s.rng.IntN(copies)
		for range n {
			now.Go(func() { s.send(c) })
		}
		now.Wait()
		for range copies - n {
			late = append(late, c)
		}
		if i == len(s.chunks)/2 {
			rounds.Go(s.resend(late))
			late = nil
		}
	}
	rounds.Go(s.resend(late))
	rounds.Wait()
}

func (s *sender) resend(late []chunk) func() {
	s.rng.Shuffle(len(late), func(i, j int) { late[i], late[j] = late[j], late[i] })
	return func() {
		for _, c := range late {
			s.send(c)
		}
	}
}

func (s *sender) send(c chunk) {
	code, answer, err := s.in.sendSeq(s.client, c.seq, c.source, c.body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events += c.lines
	if want := fmt.Sprintf(`"accepted":%d,"rejected":[]`, c.lines); err != nil || code != http.StatusOK || !strings.Contains(answer, want) {
		s.fails = append(s.fails, fmt.Sprintf("%s %d: %d %s %v, want 200 %s", s.client, c.seq, code, answer, err, want))
	}
}

// sendSeq posts a body as a client's request. It may be called from any goroutine.
func (in *instance) sendSeq(client string, seq int64, source, body string) (int, string, error) {
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodPost, in.url+"/ingest?source="+source, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("X-Millrace-Client", client)
	req.Header.Set("X-Millrace-Seq", fmt.Sprint(seq))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// TestSenders: the real access logs, shuffled and sent three times over by eight
// concurrent senders, give the rows, cells and accounts of a plain import.
func TestSenders(t *testing.T) {
	files := realAccessLogs(t)
	plain, shuffled := boot(t, "", rowsLimit), boot(t, "", rowsLimit)
	total := 0
	for _, f := range files {
		plain.importFile(f)
		total += len(f.lines)
	}
	list := deal(shuffled, files)
	var work sync.WaitGroup
	for _, s := range list {
		work.Go(s.run)
	}
	work.Wait()
	sent := 0
	for _, s := range list {
		sent += s.events
		for _, f := range s.fails[:min(3, len(s.fails))] {
			t.Error(f)
		}
	}
	if sent != copies*total {
		t.Fatalf("%d lines sent, want %d times %d", sent, copies, total)
	}
	plain.drain(total)
	shuffled.drain(sent)
	plain.equalRows(files)
	shuffled.equalRows(files)
	compareAnswers(t, plain, shuffled)
	checkSenderLedgers(t, plain, shuffled, files)
	compareStores(t, plain, shuffled)
}

// importFile runs the real import of one file.
func (in *instance) importFile(f sourceFile) {
	in.t.Helper()
	in.command("import", "--server", in.url, "--source", f.source, "--state", in.t.TempDir(), f.path)
}

// command runs one of millrace's commands in this process and returns what it
// prints.
func (in *instance) command(args ...string) string {
	in.t.Helper()
	var out, errs bytes.Buffer
	m := &Main{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now}
	if err := m.ParseFlags(args); err != nil {
		in.t.Fatalf("%v: %v", args, err)
	}
	if err := m.Run(in.t.Context()); err != nil {
		in.t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// equalRows: each line is stored as often as it is in its file.
func (in *instance) equalRows(files []sourceFile) {
	in.t.Helper()
	for _, f := range files {
		want := map[string]int{}
		for _, l := range f.lines {
			want[l]++
		}
		equalCounts(in.t, "rows of "+f.source, in.sqlMap("SELECT message, count(*) FROM events WHERE source = '"+f.source+"' GROUP BY 1"), want)
	}
}

// compareAnswers: every set of traffic, at each granularity, has the same
// canonical answer of "millrace rollup --json", apart from the watermark.
func compareAnswers(t *testing.T, a, b *instance) {
	t.Helper()
	rows := 0
	for _, set := range []string{"", "service", "url", "status", "service,url", "service,status"} {
		for _, step := range []string{"1m", "1h", "1d"} {
			ask := func(in *instance) []byte {
				args := []string{"rollup", "traffic", "--json", "--server", in.url, "--from", "1995-01-01T00:00:00Z", "--to", "2016-01-01T00:00:00Z", "--step", step, "--limit", "100000"}
				if set != "" {
					args = append(args, "--by", set)
				}
				return withoutWatermark(t, in.command(args...))
			}
			x, y := ask(a), ask(b)
			if !bytes.Equal(x, y) {
				t.Errorf("set (%s) at %s differs: %s", set, step, firstDifference(x, y))
			}
			rows += bytes.Count(x, []byte("],["))
		}
	}
	if rows < 100_000 {
		t.Errorf("only %d rows compared", rows)
	}
	t.Logf("%d rows of answers compared", rows)
}

// withoutWatermark removes complete_until, which depends on when one asks.
func withoutWatermark(t *testing.T, answer string) []byte {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(answer), &fields); err != nil {
		t.Fatalf("%v in %.300s", err, answer)
	}
	delete(fields, "complete_until")
	out, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func firstDifference(a, b []byte) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	part := func(s []byte) []byte { return s[max(0, i-80):min(len(s), i+80)] }
	return fmt.Sprintf("%d and %d bytes, at %d\n%s\n%s", len(a), len(b), i, part(a), part(b))
}

// checkSenderLedgers: both servers stored the same, and what was sent again was
// counted as duplicate.
func checkSenderLedgers(t *testing.T, plain, shuffled *instance, files []sourceFile) {
	t.Helper()
	for _, f := range files {
		for _, sink := range []string{"events", "rollup"} {
			account := func(in *instance) map[string]string {
				return in.sqlMap(fmt.Sprintf("SELECT outcome, sum(events) FROM ledger WHERE source = '%s' AND sink = '%s' GROUP BY 1", f.source, sink))
			}
			n := len(f.lines)
			equalCounts(t, "plain "+f.source+" "+sink, account(plain), map[string]int{"received": n, "stored": n})
			equalCounts(t, "shuffled "+f.source+" "+sink, account(shuffled), map[string]int{"received": copies * n, "stored": n, "duplicate": (copies - 1) * n})
		}
	}
}

// compareStores stops both servers and compares every state of every cell, the
// sketches byte by byte.
func compareStores(t *testing.T, a, b *instance) {
	t.Helper()
	cfg, err := config.Parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	dump := func(in *instance) []string {
		if err := in.stop(); err != nil {
			t.Fatal(err)
		}
		db, err := duckdb.Open(t.Context(), duckdb.DefaultOptions(), filepath.Join(in.data, "millrace.duckdb"), time.Now, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		return dumpCells(t, db, cfg.Compile())
	}
	want := dump(a)
	equalLines(t, dump(b), want)
	if len(want) < 100_000 {
		t.Errorf("only %d cells compared", len(want))
	}
	t.Logf("%d cells compared", len(want))
}

// TestOldSequence: a sequence older than the window is answered 409, before and
// after a restart, since nobody knows any more whether it was stored. One
// within the window is a duplicate.
func TestOldSequence(t *testing.T) {
	dir := t.TempDir()
	in := boot(t, dir, "")
	f := func(in *instance, seq int64, code int, want string) {
		t.Helper()
		got, text, err := in.sendSeq("old-sequences", seq, "x", "line\n")
		if err != nil || got != code || !strings.Contains(text, want) {
			t.Errorf("sequence %d: %d %s %v, want %d %s", seq, got, text, err, code, want)
		}
	}
	f(in, 0, 200, `"accepted":1`)
	f(in, seqWindow, 200, `"accepted":1`)
	f(in, 0, 409, "older than the last 1024")
	f(in, 1, 200, `"accepted":1`) // the oldest that is remembered, never sent before
	f(in, seqWindow, 200, `"accepted":1`)
	in.drain(4)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	in = boot(t, dir, "")
	f(in, 0, 409, "older than the last 1024")
	f(in, 1, 200, `"accepted":1`)
	in.drain(5)
	equalCounts(t, "ledger", in.sqlMap("SELECT outcome, sum(events) FROM ledger WHERE sink = 'events' AND outcome <> 'refused' GROUP BY 1"),
		map[string]int{"received": 5, "stored": 3, "duplicate": 2})
	if got := in.sql("SELECT count(*) FROM events")[0][0]; got != "3" {
		t.Errorf("%s rows, want 3", got)
	}
}
