package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/kafkatest"
)

// TestKafkaCluster runs against three real brokers: one start for all of it.
func TestKafkaCluster(t *testing.T) {
	c := kafkatest.Start(t, 3)
	t.Run("append and read", func(t *testing.T) { testExternal(t, c.Addrs(), 3) })
	t.Run("topic as configured", func(t *testing.T) { testTopicAsConfigured(t, c) })
	t.Run("topics that cannot be used", func(t *testing.T) { testUnfitTopics(t, c) })
	t.Run("members", func(t *testing.T) { testKafkaMembers(t, c) })
	t.Run("deleted records", func(t *testing.T) { testDeletedRecords(t, c) })
	t.Run("topic created again", func(t *testing.T) { testTopicCreatedAgain(t, c) })
	t.Run("leaders die", func(t *testing.T) { testLeadersDie(t, c) })
	t.Run("too few replicas", func(t *testing.T) { testTooFewReplicas(t, c) })
	t.Run("consume", func(t *testing.T) { testConsumeFromKafka(t, c) })
	t.Run("unclean election", func(t *testing.T) { testUncleanElection(t, c) })
}

// kafkaOptions are those of a topic on three brokers.
func kafkaOptions(c *kafkatest.Cluster, topic string) Options {
	o := groupTestOptions()
	o.Broker, o.Topic, o.Replication = c.Addrs(), topic, 3
	o.Timeout = millrace.Duration(60 * time.Second)
	return o
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testTopicAsConfigured(t *testing.T, c *kafkatest.Cluster) {
	q := openQueue(t, kafkaOptions(c, "configured"), "")
	configs, err := q.topicConfigs(t.Context())
	must(t, err)
	for key, want := range map[string]string{
		"min.insync.replicas": "2", "max.message.bytes": fmt.Sprint(batchBytes), "retention.ms": fmt.Sprint(72 * 3600 * 1000),
	} {
		if configs[key] != want {
			t.Errorf("%s is %q, want %s", key, configs[key], want)
		}
	}
	topics, err := c.Admin().ListTopics(t.Context(), "configured")
	must(t, err)
	if d := topics["configured"]; len(d.Partitions) != 6 || d.Partitions.NumReplicas() != 3 {
		t.Errorf("%d partitions of %d replicas", len(d.Partitions), d.Partitions.NumReplicas())
	}
	// A full record fits, however badly it compresses.
	full := &millrace.Record{Project: "p", Source: "s", Frames: []uint32{MaxPayload}, Payload: incompressible(MaxPayload)}
	mustAppend(t, q, full)
}

// incompressible is what no compression makes smaller.
func incompressible(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // it never fails
	return b
}

func testUnfitTopics(t *testing.T, c *kafkatest.Cluster) {
	f := func(name string, configs map[string]string, change func(*Options), wantErr, wantHint string) {
		t.Helper()
		set := map[string]*string{}
		for k, v := range configs {
			set[k] = &v
		}
		if configs != nil {
			_, err := c.Admin().CreateTopic(t.Context(), 1, 1, set, name)
			must(t, err)
		}
		opts := kafkaOptions(c, name)
		change(&opts)
		_, err := Open(t.Context(), opts, "", quiet, time.Now)
		if err == nil || !strings.Contains(err.Error(), wantErr) || !strings.Contains(millrace.ErrorHint(err), wantHint) {
			t.Errorf("%s: error %v, hint %q", name, err, millrace.ErrorHint(err))
		}
	}
	same := func(*Options) {}
	f("small", map[string]string{"max.message.bytes": "1048588"}, same,
		`topic "small" takes batches of 1048588 bytes`, "--add-config max.message.bytes=2097152")
	f("compacted", map[string]string{"cleanup.policy": "compact", "max.message.bytes": "2097152"}, same, "drops records", "cleanup.policy=delete")
	f("replicated", nil, func(o *Options) { o.Replication = 4 }, "there are not as many brokers", "lower queue.replication")
}

func testKafkaMembers(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "members")
	opts.Group.Session = millrace.Duration(6 * time.Second)
	q := openQueue(t, opts, "")
	r := &registry{owner: map[int32]string{}}
	m1, d1 := join(t, q, r, "one")
	m2, d2 := join(t, q, r, "two")
	eventually(t, "two share", func() bool { return divided(6, d1, d2) })
	if _, err := q.admin.UpdatePartitions(t.Context(), 9, opts.Topic); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two share more", func() bool { return divided(9, d1, d2) })
	must(t, m1.Commit(t.Context(), []millrace.Position{{Partition: m1.Owned()[0], Offset: 3}}))
	leave(t, m2)
	eventually(t, "one has all", func() bool { return len(d1.have()) == 9 })

	// The broker that coordinates the group dies.
	desc, err := c.Admin().DescribeGroups(t.Context(), "workers")
	must(t, err)
	coordinator := int(desc["workers"].Coordinator.NodeID)
	must(t, c.Kill(coordinator))
	defer revive(t, c, coordinator)
	_, d3 := join(t, q, r, "three")
	eventually(t, "two share without it", func() bool { return divided(9, d1, d3) })
}

// revive starts a broker again and waits for it.
func revive(t testing.TB, c *kafkatest.Cluster, id int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	must(t, errors.Join(c.Restart(id), c.Ready(ctx)))
}

func testDeletedRecords(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "shortened")
	opts.Partitions = 1
	q := openQueue(t, opts, "")
	for i := range 10 {
		mustAppend(t, q, record("c", int64(i), "text"))
	}
	o := kadm.Offsets{}
	o.AddOffset(opts.Topic, 0, 6, -1)
	_, err := c.Admin().DeleteRecords(t.Context(), o)
	must(t, err)
	wantOffsetError(t, q, 2, Bounds{Low: 6, High: 10})
	if got := readAll(t, q, map[int32]int64{0: 6}); len(got) != 4 || got[0].Record.Seq != 6 {
		t.Errorf("read %d records", len(got))
	}
}

// wantOffsetError checks what reading partition 0 from at says.
func wantOffsetError(t testing.TB, q *Queue, at int64, want Bounds) {
	t.Helper()
	cons, err := q.Consumer(map[int32]int64{0: at})
	must(t, err)
	defer cons.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = cons.Poll(ctx)
	e, ok := errors.AsType[*OffsetError](err)
	if !ok || millrace.ErrorCode(err) != millrace.ErrNotFound || e.Asked != at || e.Low != want.Low || e.High != want.High {
		t.Errorf("poll at %d: %v, want bounds %v", at, err, want)
	}
}

func testTopicCreatedAgain(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "phoenix")
	opts.Partitions = 2
	q := openQueue(t, opts, "")
	for i := range 10 {
		mustAppend(t, q, record("c", int64(i), "text"))
	}
	before := bounds(t, q)
	part := clientPartition("c", 2)
	cons, err := q.Consumer(lows(t, q))
	must(t, err)
	defer cons.Close()
	_, err = c.Admin().DeleteTopics(t.Context(), opts.Topic)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	mustAppend(t, q, record("c", 10, "after")) // creates it
	after := bounds(t, q)
	if after[part].TopicID == before[part].TopicID || after[part].High != 1 {
		t.Errorf("bounds %v, before %v", after[part], before[part])
	}
	for {
		if _, err = cons.Poll(ctx); err != nil {
			break
		}
	}
	if _, ok := errors.AsType[*OffsetError](err); !ok {
		t.Errorf("poll: %v", err)
	}
	if got := readAll(t, q, lows(t, q)); len(got) != 1 || got[0].Record.Seq != 10 {
		t.Errorf("read %d records", len(got))
	}
}

// testLeadersDie appends and reads while one broker after the other is killed,
// and checks that nothing acknowledged is lost and nothing is there twice.
func testLeadersDie(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "load")
	q := openQueue(t, opts, "")
	must(t, c.InSync(t.Context(), opts.Topic, 3))
	ctx, stop := context.WithTimeout(t.Context(), 3*time.Minute)
	defer stop()
	const clients = 8
	acked := make([]int64, clients)
	var work sync.WaitGroup
	done := make(chan struct{})
	for client := range clients {
		work.Go(func() {
			for seq := int64(0); ; seq++ {
				select {
				case <-done:
					acked[client] = seq
					return
				default:
				}
				if err := q.Append(ctx, []*millrace.Record{record(fmt.Sprint("c", client), seq, strings.Repeat("text ", 200))}); err != nil {
					t.Errorf("client %d, sequence %d: %v", client, seq, err)
					acked[client] = seq
					return
				}
			}
		})
	}
	seen := make(map[string]int, 1<<16)
	cons, err := q.Consumer(lows(t, q))
	must(t, err)
	defer cons.Close()
	reading, stopReading := context.WithCancel(ctx)
	var reader sync.WaitGroup
	reader.Go(func() {
		for {
			polled, err := cons.Poll(reading)
			for _, p := range polled {
				seen[fmt.Sprint(p.Record.Client, "/", p.Record.Seq)]++
			}
			if reading.Err() != nil {
				return
			}
			if err != nil {
				t.Error("poll:", err)
				return
			}
		}
	})
	for round := range 2 {
		leader, err := c.Leader(ctx, opts.Topic, int32(round))
		must(t, err)
		must(t, c.Kill(leader))
		time.Sleep(4 * time.Second) // longer than the brokers take to notice
		must(t, errors.Join(c.Restart(leader), c.Ready(ctx), c.InSync(ctx, opts.Topic, 3)))
	}
	close(done)
	work.Wait()
	ends := bounds(t, q)
	eventually(t, "all is read", func() bool { return !behind(cons.Next(), ends) || t.Failed() })
	stopReading()
	reader.Wait()
	want := map[string]int{}
	for client, n := range acked {
		for seq := range n {
			want[fmt.Sprint("c", client, "/", seq)] = 1
		}
	}
	if !maps.Equal(seen, want) {
		t.Errorf("read %d different records, %d were acknowledged", len(seen), len(want))
		for k, n := range seen {
			if n != want[k] {
				t.Logf("%s: read %d times, acknowledged %d", k, n, want[k])
			}
		}
	}
	t.Logf("%d records", len(want))
}

// testTooFewReplicas checks that acks=all means it.
func testTooFewReplicas(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "pair")
	opts.Partitions, opts.Replication, opts.MinInsync = 1, 2, 2
	opts.Timeout = millrace.Duration(8 * time.Second)
	q := openQueue(t, opts, "")
	mustAppend(t, q, record("c", 0, "text"))
	topics, err := c.Admin().ListTopics(t.Context(), opts.Topic)
	must(t, err)
	p := topics[opts.Topic].Partitions[0]
	follower := int(p.Replicas[0])
	if p.Replicas[0] == p.Leader {
		follower = int(p.Replicas[1])
	}
	must(t, c.Kill(follower))
	// Until the leader drops it from the replicas in sync, appends wait for it.
	eventually(t, "the append is refused", func() bool {
		err = q.Append(t.Context(), []*millrace.Record{record("c", 1, "text")})
		return err != nil
	})
	if millrace.ErrorCode(err) != millrace.ErrUnavailable || !strings.Contains(millrace.ErrorHint(err), "has 1 replicas in sync and its min.insync.replicas is 2") {
		t.Errorf("append: %v, hint %q", err, millrace.ErrorHint(err))
	}
	revive(t, c, follower)
	must(t, c.InSync(t.Context(), opts.Topic, 2))
	mustAppend(t, q, record("c", 2, "text"))
}

// testUncleanElection lets a replica become the leader that lacks the end of the
// log. Kafka does so only if it is told to; what is lost must show.
func testUncleanElection(t *testing.T, c *kafkatest.Cluster) {
	yes, one := "true", "1"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, err := c.Admin().CreateTopic(ctx, 1, 2, map[string]*string{
		"unclean.leader.election.enable": &yes, "min.insync.replicas": &one, "max.message.bytes": pointer(fmt.Sprint(batchBytes)),
	}, "unclean")
	must(t, err)
	must(t, c.InSync(ctx, "unclean", 2))
	opts := kafkaOptions(c, "unclean")
	q := openQueue(t, opts, "")
	mustAppend(t, q, record("c", 0, "text"), record("c", 1, "text"))
	cons, err := q.Consumer(lows(t, q))
	must(t, err)
	defer cons.Close()
	topics, err := c.Admin().ListTopics(ctx, opts.Topic)
	must(t, err)
	p := topics[opts.Topic].Partitions[0]
	leader, follower := int(p.Leader), int(p.Replicas[0])
	if follower == leader {
		follower = int(p.Replicas[1])
	}
	must(t, c.Kill(follower))
	for i := range 5 {
		mustAppend(t, q, record("c", int64(2+i), "lost"))
	}
	for cons.Next()[0] < 7 {
		_, err := cons.Poll(ctx)
		must(t, err)
	}
	must(t, c.Kill(leader))
	must(t, c.Restart(follower)) // without it the cluster has no majority
	for {
		now, err := c.Leader(ctx, opts.Topic, 0)
		must(t, err)
		if now == follower {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	must(t, c.Restart(leader))
	must(t, c.Ready(ctx))
	if b := bounds(t, q)[0]; b.High != 2 {
		t.Skipf("the log was not cut: %v", b)
	}
	for i := range 10 { // beyond where the reader stands
		mustAppend(t, q, record("c", int64(100+i), "new"))
	}
	_, err = cons.Poll(ctx)
	e, ok := errors.AsType[*OffsetError](err)
	if !ok || millrace.ErrorCode(err) != millrace.ErrNotFound || e.Lost != (Regression{TopicID: e.TopicID, From: 2, To: 7}) {
		t.Fatalf("poll: %v", err)
	}
}

func pointer(s string) *string { return &s }

// testConsumeFromKafka consumes a topic while a leader of it dies and a
// transaction is aborted.
func testConsumeFromKafka(t *testing.T, c *kafkatest.Cluster) {
	opts := kafkaOptions(c, "sink")
	opts.Group.Session = millrace.Duration(6 * time.Second)
	q := openQueue(t, opts, "")
	src := newForeign(t, c.Addrs(), "app", 2, map[string]*string{"min.insync.replicas": pointer("2")})
	must(t, c.InSync(t.Context(), "app", 3))
	f, stop := runFeed(t, q, FeedOptions{Topic: "app"})
	src.send("before ", 3000)
	drained(t, 3000, f)

	tx, err := kgo.NewClient(kgo.SeedBrokers(c.Addrs()...), kgo.DefaultProduceTopic("app"), kgo.TransactionalID("tx"))
	must(t, err)
	defer tx.Close()
	must(t, tx.BeginTransaction())
	must(t, tx.ProduceSync(t.Context(), kgo.StringRecord("aborted")).FirstErr())
	must(t, tx.EndTransaction(t.Context(), kgo.TryAbort))

	leader, err := c.Leader(t.Context(), "app", 0)
	must(t, err)
	must(t, c.Kill(leader))
	src.send("during ", 3000)
	drained(t, 6000, f)
	revive(t, c, leader)
	stop()
	src.send("after ", 1000)
	_, stop = runFeed(t, q, FeedOptions{Topic: "app"})
	eventually(t, "all is consumed", func() bool { count, _ := folded(t, q); return len(count) >= len(src.sent) })
	stop()
	count, refused := folded(t, q)
	wantOnce(t, count, src.sent)
	if len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
}
