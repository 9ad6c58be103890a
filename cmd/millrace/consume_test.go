package main

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/queue"
)

// TestConsume kills a server that reads a topic which others fill, and counts.
func TestConsume(t *testing.T) {
	kafka, err := queue.Open(t.Context(), queue.DefaultOptions(), t.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kafka.Close() })
	addr := kafka.Addrs()[0]
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("checkout"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), 3, 1, nil, "checkout"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	args := []string{"--broker", addr, "--consume", "checkout=json"}
	extra := "queue: {topic: events, replication: 1, group: {session_timeout: 1s, heartbeat: 100ms}}\n"
	const perRound, rounds = 4000, 3
	for round := range rounds {
		in := spawn(t, dir, extra, fmt.Sprintf("queue.append.after=kill:%d", 3+2*round), args...)
		var recs []*kgo.Record
		for i := range perRound {
			recs = append(recs, &kgo.Record{Value: fmt.Appendf(nil, `{"message":"m","n":%d}`, round*perRound+i)})
		}
		if err := client.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := in.cmd.Wait(); err == nil {
			t.Fatal("it was to be killed")
		}
	}
	if err := client.ProduceSync(t.Context(), &kgo.Record{Value: []byte("{no json")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	in := boot(t, dir, extra, args...)
	ledger := map[string]string{}
	want := fmt.Sprint(perRound * rounds)
	for end := time.Now().Add(time.Minute); ledger["stored"] != want || ledger["refused"] != "1"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the rollup sink has %v\n%s", ledger, in.logs)
		}
		ledger = in.sqlMap("SELECT outcome, sum(events) FROM ledger WHERE sink = 'rollup' GROUP BY outcome")
	}
	for in.sql("SELECT count(*) FROM ledger WHERE sink = 'events' AND outcome = 'refused'")[0][0] == "0" {
		time.Sleep(20 * time.Millisecond)
	}
	const n = `json_extract(attrs, '$.n')`
	got := in.sql("SELECT count(*), count(DISTINCT CAST(" + n + " AS BIGINT)) FROM events WHERE source = 'checkout'")
	if got[0][0] != want || got[0][1] != want {
		t.Errorf("stored %v, want %s", got[0], want)
	}
	if ledger["duplicate"] == "0" || ledger["duplicate"] == "" {
		t.Errorf("ledger %v: nothing was in doubt", ledger)
	}
}
