package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/meta"
	"github.com/millrace/millrace/queue"
)

// TestChangesUnderKills changes rules, URL templates, caps and rollups under
// load, by the API and by reloads, while the server learns URL templates and is
// killed. Then it reads the queue: what became of each event must be what the
// version of its record says, in raw rows, cells and accounts alike.
// MILLRACE_SOAK=1 makes it 60 changes and 24 kills.
func TestChangesUnderKills(t *testing.T) {
	changesUnderKills(t, "", "attrs->>'i', attrs->>'v', attrs->>'url'")
}

// TestChangesUnderKillsOnClickHouse is the same over the other store.
func TestChangesUnderKillsOnClickHouse(t *testing.T) {
	s := chtest.Start(t, t.TempDir())
	changesUnderKills(t, fmt.Sprintf("clickhouse: {address: 'clickhouse://%s/default?protocol=http'}\n", s.Addr),
		"JSONExtractRaw(attrs, 'i'), if(JSONHas(attrs, 'v'), JSONExtractString(attrs, 'v'), NULL), JSONExtractString(attrs, 'url')")
}

// changesUnderKills does so with a store, given as a part of the configuration,
// and columns, the attributes of a row as its SQL has them.
func changesUnderKills(t *testing.T, store, columns string) {
	t.Helper()
	changes, kills := 14, 5
	if os.Getenv("MILLRACE_SOAK") != "" {
		changes, kills = 60, 24
	} else if testing.Short() {
		t.Skip("kills are slow")
	}
	c := &changer{t: t, rng: rand.New(rand.NewPCG(4, 2)), dir: t.TempDir(), addr: freeAddr(t), store: store, columns: columns}
	c.file, c.values = c.rules(), 100_000
	stop := c.feed()
	for i := range kills {
		if i == kills/2 {
			in := spawn(t, c.dir, c.config(), "", "--http", c.addr)
			c.lesson(in)
			in.kill()
			c.killed++
		}
		c.round(killPoints[(7*i)%len(killPoints)], (changes+kills-1)/kills)
	}
	in := spawn(t, c.dir, c.config(), "", "--http", c.addr)
	for c.done < changes {
		c.change(in)
	}
	c.lesson(in)
	stop()
	want := c.settle(in)
	c.late(in, want)
	if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = in.stop()
	t.Logf("%d changes, %d kills, %d events, %d versions in the queue, %d of them learned, %d events folded by {*} and %d as {other}",
		c.done, c.killed, len(want.rows), len(want.versions), want.learned, want.starred, want.other)
	if c.killed <= kills || len(want.versions) < changes/3 || want.learned < 4 || want.starred == 0 || want.other == 0 {
		t.Errorf("%d kills, %d versions, %d learned: too few to show anything", c.killed, len(want.versions), want.learned)
	}
}

// changer is a server over one data directory, its clients and its configuration.
type changer struct {
	t            *testing.T
	rng          *rand.Rand
	dir, addr    string
	done, killed int
	next         atomic.Int64 // number of the next line
	store        string       // part of the configuration
	columns      string       // SQL of a row's attributes i, v and url

	// The configuration.
	file   string // rules of the source that the file owns
	values int    // cap of values per dimension
	flip   bool   // a rollup that comes and goes
	wide   bool   // with a set more
	lateOn bool
}

// rules returns rules that differ from all before: some lines are dropped, the
// others get a number, and paths become templates in most of them: without a
// change of that step, so that what was learned stays, or with another cap.
func (c *changer) rules() string {
	text := fmt.Sprintf("steps:\n  - {drop: 'i %% 7 == %d', reason: seventh}\n  - {set: {v: '%d'}}\n", c.rng.IntN(7), c.rng.IntN(1_000_000))
	if n := c.rng.IntN(4); n > 0 {
		text += fmt.Sprintf("  - {url_template: {cap: %d}}\n", []int{0, 6, 1000, 1000}[n])
	}
	return text
}

func (c *changer) config() string {
	rows := 512
	if c.store != "" {
		rows = 16384 // each transaction of a server takes as long as thousands of rows
	}
	text := fmt.Sprintf("pipeline: {flush_rows: %d, flush_interval: 50ms, rollup_interval: 100ms, maintenance_interval: 100ms, learn_interval: 60ms, dimension_values: %d}\n", rows, c.values) +
		"store: {checkpoint: 16MiB}\nquery: {sql_rows: 1000000}\nrollups:\n" +
		"  byv: {dimensions: [v, url], sets: [[v], [v, url]], metrics: {n: count(), si: sum(i)}}\n" +
		"  capped: {dimensions: [i], sets: [[], [i]], metrics: {n: count()}}\n"
	if c.flip {
		sets := "[[v]]"
		if c.wide {
			sets = "[[v], [url]]"
		}
		text += "  flip: {dimensions: [v, url], sets: " + sets + ", metrics: {n: count()}}\n"
	}
	if c.lateOn {
		text += "  late: {sets: [[]], metrics: {n: count()}}\n"
	}
	return text + c.store + "sources:\n  file:\n    rules:\n      " + strings.ReplaceAll(c.file, "\n", "\n      ") + "\n"
}

// feed has two clients send lines to two sources until they are told to stop;
// what is not answered they send again.
func (c *changer) feed() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var stopping atomic.Bool
	var clients sync.WaitGroup
	for _, source := range []string{"api", "file"} {
		cl, err := client.New("http://"+c.addr, client.Options{
			Source: source, ClientID: "client-" + source, Attempts: 1, Compression: client.CompressNone,
		})
		if err != nil {
			c.t.Fatal(err)
		}
		clients.Go(func() {
			for seq := int64(0); !stopping.Load() && ctx.Err() == nil; seq++ {
				body := c.lines(40)
				for ctx.Err() == nil {
					if _, err := cl.Send(ctx, seq, body); err == nil {
						break
					}
					time.Sleep(20 * time.Millisecond)
				}
				time.Sleep(4 * time.Millisecond)
			}
		})
	}
	c.t.Cleanup(func() { cancel(); clients.Wait() })
	return func() { stopping.Store(true); clients.Wait() }
}

func (c *changer) lines(n int) []byte {
	var b strings.Builder
	for range n {
		i := c.next.Add(1)
		fmt.Fprintf(&b, `{"i":%d,"url":%q,"message":"line"}`+"\n", i, pathOf(i))
	}
	return []byte(b.String())
}

// pathOf returns paths with numbers, with one of 306 words, and of 10 pages: fewer
// than the least cap of values.
func pathOf(i int64) string {
	switch k := i / 3 * 7919 % 3001; i % 3 {
	case 0:
		return fmt.Sprintf("/p/%d", k%1000)
	case 1:
		return fmt.Sprintf("/tags/%s", []byte{'t', byte('a' + k/17%18), 'a', byte('a' + k%17)})
	default:
		return fmt.Sprintf("/page/%c", 'a'+k%10)
	}
}

// lesson gives the API's source rules with templates and a small cap, and waits
// until something was learned of both kinds.
func (c *changer) lesson(in *instance) {
	t := c.t
	t.Helper()
	for _, bound := range []int{6, 1000} {
		text := fmt.Sprintf("steps: [{set: {v: '%d'}}, {url_template: {cap: %d}}]", c.rng.IntN(1_000_000), bound)
		if code, answer := in.rulesAPI("PUT", "rules/api", map[string]string{"rules": text}); code != http.StatusOK {
			t.Fatalf("%d %v", code, answer)
		}
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, v := in.rulesAPI("GET", "rules/api", nil); v["author"] == millrace.AuthorLearned {
				break
			} else if time.Now().After(deadline) {
				t.Fatalf("nothing is learned with a cap of %d\n%s", bound, in.logs)
			}
		}
		time.Sleep(100 * time.Millisecond) // some records by that version
	}
}

// round runs a server, changes things, and has it killed at a point or, if that
// is not reached, from outside.
func (c *changer) round(point string, changes int) {
	in, err := trySpawn(c.t, c.dir, c.config(), point+":"+strconv.Itoa(3+c.rng.IntN(20)), "--http", c.addr)
	c.killed++
	if err != nil {
		if !strings.Contains(err.Error(), "killed") {
			c.t.Fatalf("%v\n%s", err, in.logs)
		}
		return
	}
	for range changes {
		time.Sleep(time.Duration(20+c.rng.IntN(150)) * time.Millisecond)
		c.change(in)
	}
	in.kill()
}

// change makes one change. If the server dies meanwhile nobody knows whether it
// was made; the queue and meta do.
func (c *changer) change(in *instance) {
	path, body := "/api/v1/config/reload", ""
	switch c.rng.IntN(5) {
	case 0, 1:
		text, err := json.Marshal(map[string]string{"rules": c.rules()})
		if err != nil {
			c.t.Fatal(err)
		}
		path, body = "/api/v1/rules/api", string(text)
	case 2:
		c.file = c.rules()
	case 3:
		c.values = 2000 + 98_000*c.rng.IntN(2)
		c.file = c.rules()
	case 4:
		c.flip, c.wide = !c.flip, c.rng.IntN(2) == 0
	}
	writeConfig(c.t, in.conf, c.config())
	method := http.MethodPost
	if body != "" {
		method = http.MethodPut
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, in.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s\n%s", method, path, resp.StatusCode, text, in.logs)
	}
	c.done++
}

// expected is what should have become of all events.
type expected struct {
	rows     []string         // "i v url", sorted
	cells    map[string]int64 // "v url" to n
	sums     map[string]int64 // "v" to the sum of i
	filtered int
	versions map[int64]bool

	learned, starred, other int // versions; events
}

var (
	dropRE = regexp.MustCompile(`i % 7 == (\d)`)
	setRE  = regexp.MustCompile(`v: '(\d+)'`)
)

// settle waits until the sinks are done and compares what they stored with what
// the records of the queue say.
func (c *changer) settle(in *instance) *expected {
	t := c.t
	t.Helper()
	time.Sleep(300 * time.Millisecond)
	if err := in.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = in.stop() // a stop commits; what was not read yet is read at the next start
	want := c.expect()
	*in = *spawn(t, c.dir, c.config(), "", "--http", c.addr)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		got := in.sqlMap("SELECT sink, sum(events) FROM ledger WHERE outcome IN ('stored', 'filtered') GROUP BY sink")
		if n := fmt.Sprint(len(want.rows) + want.filtered); got["events"] == n && got["rollup"] == n {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("accounted %v, want %s\n%s", got, n, in.logs)
		}
	}
	c.compare(in, want)
	return want
}

// expect reads the queue and applies to each record the version it carries, by
// a reading of the rules of its own.
func (c *changer) expect() *expected {
	t := c.t
	m, err := meta.Open(t.Context(), filepath.Join(c.dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	want := &expected{cells: map[string]int64{}, sums: map[string]int64{}, versions: map[int64]bool{}}
	seen := map[string]bool{}
	for _, rec := range c.records() {
		name := fmt.Sprint(rec.Client, " ", rec.Seq, " ", rec.Part)
		if rec.Client != "" && seen[name] {
			continue
		}
		seen[name] = true
		v := &millrace.RuleVersion{}
		if rec.Rules > 0 {
			if v, err = m.Rules(t.Context(), rec.Rules); err != nil {
				t.Fatal(err)
			}
			if v.Source != rec.Source {
				t.Fatalf("a record of %s carries rules of %s", rec.Source, v.Source)
			}
			if v.Author == millrace.AuthorLearned && !want.versions[rec.Rules] {
				want.learned++
			}
			want.versions[rec.Rules] = true
		}
		want.add(t, string(rec.Payload), v.Text, lessonOf(t, v))
	}
	slices.Sort(want.rows)
	return want
}

// lesson is what a version has learned, as it is stored.
type lesson struct {
	Learned, Known []string
	Closed         bool
}

func lessonOf(t *testing.T, v *millrace.RuleVersion) (l lesson) {
	t.Helper()
	if v.Learned != "" {
		if err := json.Unmarshal([]byte(v.Learned), &l); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// template folds one of our paths.
func (l *lesson) template(path string) string {
	if strings.HasPrefix(path, "/p/") {
		path = "/p/{id}"
	}
	path = l.star(path)
	if l.Closed && !slices.ContainsFunc(l.Known, func(k string) bool { return l.star(k) == path }) {
		return "{other}"
	}
	return path
}

// star folds what was learned. All of our paths have two segments.
func (l *lesson) star(path string) string {
	if parent, _ := filepath.Split(path); slices.Contains(l.Learned, parent+"{*}") && !slices.Contains(l.Learned, path) {
		return parent + "{*}"
	}
	return path
}

func (w *expected) add(t *testing.T, payload, rules string, l lesson) {
	for line := range strings.Lines(payload) {
		var e struct {
			I   int64
			URL string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		v := "<nil>"
		if m := setRE.FindStringSubmatch(rules); m != nil {
			v = m[1]
		}
		if m := dropRE.FindStringSubmatch(rules); m != nil && fmt.Sprint(e.I%7) == m[1] {
			w.filtered++
			continue
		}
		if strings.Contains(rules, "url_template") {
			e.URL = l.template(e.URL)
		}
		switch e.URL {
		case "/tags/{*}":
			w.starred++
		case "{other}":
			w.other++
		}
		w.rows = append(w.rows, fmt.Sprint(e.I, " ", v, " ", e.URL))
		w.cells[v+" "+e.URL]++
		w.sums[v] += e.I
	}
}

// records returns all records of the queue, in the order of their partitions.
func (c *changer) records() []*millrace.Record {
	t := c.t
	q, err := queue.Open(t.Context(), queue.DefaultOptions(), filepath.Join(c.dir, "queue"), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	bounds, err := q.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	start, left := map[int32]int64{}, int64(0)
	for p, b := range bounds {
		start[p] = b.Low
		left += b.High - b.Low
	}
	cons, err := q.Consumer(start)
	if err != nil {
		t.Fatal(err)
	}
	defer cons.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*millrace.Record
	for left > 0 {
		polled, err := cons.Poll(ctx)
		if err != nil {
			t.Fatal(errors.Join(err, ctx.Err()))
		}
		for i := range polled {
			if polled[i].Err != nil {
				t.Fatal(polled[i].Err)
			}
			out = append(out, polled[i].Record)
			left--
		}
	}
	slices.SortStableFunc(out, func(a, b *millrace.Record) int { return int(a.Partition - b.Partition) })
	return out
}

// compare looks at rows, cells and accounts.
func (c *changer) compare(in *instance, want *expected) {
	t := c.t
	t.Helper()
	var rows []string
	for _, r := range in.sql("SELECT " + c.columns + " FROM events") {
		rows = append(rows, strings.Join(r, " "))
	}
	slices.Sort(rows)
	equalLines(t, rows, want.rows)
	cells := map[string]int64{}
	for _, r := range in.sql("SELECT v, url, sum(n) FROM rollup_byv WHERE granularity = '1m' AND dimension_set = 'v,url' GROUP BY ALL") {
		cells[orNil(r[0])+" "+r[1]] = number(t, r[2])
	}
	if !maps.Equal(cells, want.cells) {
		t.Errorf("cells %v\nwant %v", cells, want.cells)
	}
	sums := map[string]int64{}
	for _, r := range in.sql("SELECT v, sum(si) FROM rollup_byv WHERE granularity = '1m' AND dimension_set = 'v' GROUP BY ALL") {
		sums[orNil(r[0])] = number(t, r[1])
	}
	if !maps.Equal(sums, want.sums) {
		t.Errorf("sums %v\nwant %v", sums, want.sums)
	}
	for _, set := range []string{"", "i"} { // the cap folds values, and loses none
		got := in.sql("SELECT sum(n) FROM rollup_capped WHERE granularity = '1m' AND dimension_set = '" + set + "'")
		if number(t, got[0][0]) != int64(len(want.rows)) {
			t.Errorf("set [%s] of the capped rollup counts %v, want %d", set, got, len(want.rows))
		}
	}
	for _, sink := range []string{"events", "rollup"} {
		got := in.sqlMap("SELECT outcome, sum(events) FROM ledger WHERE sink = '" + sink + "' GROUP BY outcome")
		if got["stored"] != fmt.Sprint(len(want.rows)) || got["filtered"] != fmt.Sprint(want.filtered) || got["rejected"] != "" {
			t.Errorf("accounts of %s: %v, want %d stored and %d filtered", sink, got, len(want.rows), want.filtered)
		}
	}
}

// late adds a rollup to a server that has nothing left to do: it counts what
// comes afterwards and nothing else.
func (c *changer) late(in *instance, want *expected) {
	t := c.t
	t.Helper()
	c.lateOn = true
	writeConfig(t, in.conf, c.config())
	if code, text := in.reload(); code != http.StatusOK {
		t.Fatalf("reload: %d %s", code, text)
	}
	in.post("source=plain", string(c.lines(1000)))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		got := in.sql("SELECT sum(n) FROM rollup_late WHERE granularity = '1m'")
		if got[0][0] == "1000" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the late rollup counts %v, want 1000", got)
		}
	}
	total := in.sql("SELECT sum(n) FROM rollup_capped WHERE granularity = '1m' AND dimension_set = ''")
	if number(t, total[0][0]) != int64(len(want.rows)+1000) {
		t.Errorf("all %v, want %d", total, len(want.rows)+1000)
	}
}

func orNil(s string) string {
	if s == "" {
		return "<nil>"
	}
	return s
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
