package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// gap is what /api/v1/gaps says of one.
type gap struct {
	Sink       string `json:"sink"`
	Partition  int32  `json:"partition"`
	Generation int64  `json:"generation"`
	From       int64  `json:"from"`
	To         int64  `json:"to"` // -1: unknown
	Reason     string `json:"reason"`
}

func (in *instance) gaps() []gap {
	in.t.Helper()
	var answer struct {
		Gaps []gap `json:"gaps"`
	}
	if code, text := in.call("GET", "/api/v1/gaps", nil, nil, &answer); code != 200 {
		in.t.Fatalf("gaps: %d %s", code, text)
	}
	return answer.Gaps
}

// accessBodies makes n requests of some lines each, every line with a path of
// its own, so that a lost or doubled one shows. They are long enough to reach
// all partitions.
func accessBodies(begin, n int) (bodies []string, lines int) {
	const each = 40
	at := time.Now().Add(-time.Hour).Truncate(time.Hour).UTC()
	for i := range n {
		var b strings.Builder
		for j := range each {
			id := begin + i*each + j
			fmt.Fprintf(&b, "10.0.%d.%d - - [%s] \"GET /page/%06d?%s HTTP/1.1\" 200 %d\n", id%7, id%251,
				at.Add(time.Duration(id)*time.Second/4).Format("02/Jan/2006:15:04:05 -0700"), id, strings.Repeat("x", 500), 100+id%1000)
		}
		bodies = append(bodies, b.String())
	}
	return bodies, n * each
}

func (in *instance) postAll(bodies []string) {
	in.t.Helper()
	for _, b := range bodies {
		in.post("source=gaps", b)
	}
}

// waitSink waits until a sink has accounted for n events.
func (in *instance) waitSink(sink string, n int) {
	in.t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		got = in.sqlMap("SELECT sink, coalesce(sum(events), 0) FROM ledger WHERE outcome = 'stored' GROUP BY 1")[sink]
		if got == strconv.Itoa(n) {
			return
		}
	}
	in.t.Fatalf("sink %s stored %s, want %d\n%s", sink, got, n, in.logs)
}

// cutTails takes a fifth off the newest segment of every partition.
func cutTails(t *testing.T, data string) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(data, "queue", "broker", "partitions", "millrace-*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no partitions below %s: %v", data, err)
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.dat"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no segments in %s: %v", dir, err)
		}
		newest := slices.MaxFunc(files, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) }) // named by offset
		st, err := os.Stat(newest)
		if err == nil {
			err = os.Truncate(newest, st.Size()*4/5)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// checkGaps: both sinks show a gap in every partition, with the reason.
func (in *instance) checkGaps(partitions int, reason string) []gap {
	in.t.Helper()
	gaps := in.gaps()
	count := map[string]int{}
	for _, g := range gaps {
		count[g.Sink]++
		if !strings.Contains(g.Reason, reason) {
			in.t.Errorf("gap %+v: the reason lacks %q", g, reason)
		}
		if g.To >= 0 && g.To <= g.From {
			in.t.Errorf("gap %+v is empty", g)
		}
	}
	if count["events"] != partitions || count["rollup"] != partitions {
		in.t.Errorf("gaps per sink %v, want %d of each: %+v", count, partitions, gaps)
	}
	return gaps
}

// stored returns the rows in events, the views in the total of traffic, and
// what each sink says it stored.
func (in *instance) stored() map[string]string {
	in.t.Helper()
	out := in.sqlMap("SELECT sink || ' ' || outcome, sum(events) FROM ledger GROUP BY 1")
	out["rows"] = in.sql("SELECT count(*) FROM events")[0][0]
	out["distinct"] = in.sql("SELECT count(DISTINCT attrs->>'url') FROM events")[0][0]
	out["views"] = in.sql("SELECT coalesce(sum(pv), 0)::BIGINT FROM rollup_traffic WHERE granularity = '1m' AND dimension_set = ''")[0][0]
	out["urls"] = in.sql("SELECT count(DISTINCT url) FROM rollup_traffic WHERE granularity = '1m' AND dimension_set = 'url'")[0][0]
	for _, key := range []string{"rollup stored", "rollup received"} {
		out[key] = cmp.Or(out[key], "0")
	}
	return out
}

// checkStored compares with what each sink must have.
func (in *instance) checkStored(what string, events, rollup int) {
	in.t.Helper()
	equalCounts(in.t, what, in.stored(), map[string]int{
		"rows": events, "distinct": events, "events stored": events, "events received": events,
		"views": rollup, "urls": rollup, "rollup stored": rollup, "rollup received": rollup,
	})
}

// TestTailLostAfterStop: a fifth of the newest segments is gone after a clean
// stop. All of it was folded: the gap is shown, nothing is lost, and what comes
// later, under offsets given out before, counts exactly.
func TestTailLostAfterStop(t *testing.T) {
	in := boot(t, "", "")
	bodies, n := accessBodies(0, 80)
	in.postAll(bodies)
	in.drain(n)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	cutTails(t, in.data)
	in = boot(t, in.data, "")
	in.checkGaps(4, "tail was lost")
	in.checkStored("after the cut", n, n)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.drain(n + more)
	in.checkStored("with later data", n+more, n+more)
	in.checkGaps(4, "tail was lost")
}

// TestTailLostAfterKill: the same after a SIGKILL, with the rollup sink behind.
// What it had not folded below the cut it folds now; what was cut off is lost to
// it, is exactly the range of its gaps, and stays in the raw rows.
func TestTailLostAfterKill(t *testing.T) {
	dir := t.TempDir()
	in := spawn(t, dir, "pipeline: {flush_interval: 50ms, rollup_interval: 1m}\n", "")
	bodies, n := accessBodies(0, 80)
	in.postAll(bodies)
	in.waitSink("events", n)
	if got := in.sqlMap("SELECT sink, sum(events) FROM ledger GROUP BY 1")["rollup"]; got != "" {
		t.Fatalf("the rollup sink is not behind: it stored %s", got)
	}
	in.kill()
	cutTails(t, dir)
	in = boot(t, dir, "")
	lost := in.lostToRollup(in.checkGaps(4, "tail was lost"))
	if lost == 0 || lost > n/2 {
		t.Fatalf("%d of %d lines lost to the rollup sink, want about a fifth", lost, n)
	}
	in.waitSink("rollup", n-lost)
	in.checkStored("after the cut", n, n-lost)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.waitSink("events", n+more)
	in.waitSink("rollup", n+more-lost)
	in.checkStored("with later data", n+more, n+more-lost)
}

// lostToRollup counts the stored rows that lie in the gaps of the rollup sink.
func (in *instance) lostToRollup(gaps []gap) int {
	in.t.Helper()
	lost := 0
	for _, g := range gaps {
		if g.Sink == "rollup" {
			rows := in.sql(fmt.Sprintf(`SELECT count(*) FROM events WHERE "partition" = %d AND "offset" >= %d AND "offset" < %d`, g.Partition, g.From, g.To))
			n, err := strconv.Atoi(rows[0][0])
			if err != nil {
				in.t.Fatal(err)
			}
			lost += n
		}
	}
	return lost
}

// TestTailLostUnread: what was cut off was acknowledged and had been folded by
// no sink. It is lost, and the gaps say so: they are exactly what is missing.
func TestTailLostUnread(t *testing.T) {
	dir := t.TempDir()
	in := spawn(t, dir, "pipeline: {flush_interval: 1m, rollup_interval: 1m}\n", "")
	bodies, n := accessBodies(0, 80)
	in.postAll(bodies)
	in.waitBounds(len(bodies))
	in.kill()
	cutTails(t, dir)
	in = boot(t, dir, "")
	records := 0
	for _, g := range in.checkGaps(4, "tail was lost") {
		if g.Sink == "events" {
			records += int(g.To - g.From)
		}
	}
	lost := records * n / len(bodies)
	if records == 0 || lost > n/2 {
		t.Fatalf("the gaps have %d of %d records, want about a fifth", records, len(bodies))
	}
	in.drain(n - lost)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.drain(n + more - lost)
	in.checkStored("with later data", n+more-lost, n+more-lost)
}

// waitBounds waits until the queue has noted on disk that it holds n records.
func (in *instance) waitBounds(n int) {
	in.t.Helper()
	var text []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, _ = os.ReadFile(filepath.Join(in.data, "queue", "bounds.json")) // it is replaced in one step
		got := 0
		for _, b := range decodeBounds(in.t, text) {
			got += int(b.High)
		}
		if got == n {
			return
		}
	}
	in.t.Fatalf("bounds noted: %s, want %d records", text, n)
}

// TestTopicDeletedWhileRunning: somebody deletes the topic under a running
// server whose rollup sink is behind. The server goes on with a new topic.
func TestTopicDeletedWhileRunning(t *testing.T) {
	addr := freeAddr(t)
	in := spawn(t, t.TempDir(), "queue: {listen: \""+addr+"\"}\npipeline: {flush_interval: 50ms, rollup_interval: 200ms}\n", "")
	bodies, n := accessBodies(0, 40)
	in.postAll(bodies)
	in.drain(n)
	deleteTopic(t, addr)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.drain(n + more)
	in.checkStored("with later data", n+more, n+more)
	in.checkGaps(4, "topic deleted")
}

// TestTopicDeletedBehind: the topic is deleted while the rollup sink has folded
// nothing of it. Its loss is shown; the raw rows and later data are exact.
func TestTopicDeletedBehind(t *testing.T) {
	addr := freeAddr(t)
	dir := t.TempDir()
	in := spawn(t, dir, "queue: {listen: \""+addr+"\"}\npipeline: {flush_interval: 50ms, rollup_interval: 1m}\n", "")
	bodies, n := accessBodies(0, 40)
	in.postAll(bodies)
	in.waitSink("events", n)
	in.waitBounds(len(bodies))
	in.kill()
	if err := os.RemoveAll(filepath.Join(dir, "queue", "broker")); err != nil {
		t.Fatal(err)
	}
	in = boot(t, dir, "")
	gaps := in.checkGaps(4, "topic deleted")
	for _, g := range gaps {
		if g.Sink == "rollup" && g.To < 0 {
			t.Errorf("gap %+v: where the log ended is known, and should be shown", g)
		}
	}
	in.checkStored("without the topic", n, 0)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.waitSink("events", n+more)
	in.waitSink("rollup", more)
	in.checkStored("with later data", n+more, more)
}

// TestTopicDeletedBeforeStart: all was folded when the log's files went away.
func TestTopicDeletedBeforeStart(t *testing.T) {
	in := boot(t, "", "")
	bodies, n := accessBodies(0, 40)
	in.postAll(bodies)
	in.drain(n)
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(in.data, "queue")); err != nil {
		t.Fatal(err)
	}
	in = boot(t, in.data, "")
	in.checkGaps(4, "topic deleted")
	in.checkStored("without the log", n, n)
	bodies, more := accessBodies(n, 80)
	in.postAll(bodies)
	in.drain(n + more)
	in.checkStored("with later data", n+more, n+more)
}

// deleteTopic does what an operator could do with a Kafka tool.
func deleteTopic(t *testing.T, addr string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	answers, err := kadm.NewClient(client).DeleteTopics(ctx, "millrace")
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatalf("delete topic: %v", err)
	}
}

// noted is what bounds.json says of a partition.
type noted struct{ Low, High int64 }

func decodeBounds(t *testing.T, text []byte) map[string]noted {
	t.Helper()
	out := map[string]noted{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
	return out
}
