package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
)

// foreign is another program that fills a topic.
type foreign struct {
	t      testing.TB
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	sent   map[string]bool
}

func newForeign(t testing.TB, addrs []string, topic string, partitions int32, configs map[string]*string) *foreign {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.AlwaysRetryEOF(), kgo.DefaultProduceTopic(topic), kgo.MetadataMinAge(metadataMinAge))
	must(t, err)
	t.Cleanup(client.Close)
	f := &foreign{t: t, client: client, admin: kadm.NewClient(client), topic: topic, sent: map[string]bool{}}
	f.create(partitions, configs)
	return f
}

func (f *foreign) create(partitions int32, configs map[string]*string) {
	f.t.Helper()
	_, err := f.admin.CreateTopic(f.t.Context(), partitions, -1, configs, f.topic)
	must(f.t, err)
}

// send sends n messages that say which they are.
func (f *foreign) send(prefix string, n int) {
	f.t.Helper()
	recs := make([]*kgo.Record, n)
	for i := range recs {
		text := prefix + strconv.Itoa(i)
		f.sent[text] = true
		recs[i] = &kgo.Record{Value: []byte(text), Key: []byte(text)}
	}
	must(f.t, f.client.ProduceSync(f.t.Context(), recs...).FirstErr())
}

// wholeValue makes one event of a message.
func wholeValue(value []byte) ([]*millrace.Record, error) {
	return []*millrace.Record{{Project: "p", Source: "app", Format: "line", Frames: []uint32{uint32(len(value))}, Payload: value}}, nil
}

// folded reads the queue as a sink does, in which a client's sequences are known
// in a window, and returns how often each payload counts.
func folded(t testing.TB, q *Queue) (count map[string]int, refused map[string]int64) {
	t.Helper()
	type key struct {
		client string
		seq    int64
		part   int32
	}
	count, refused = map[string]int{}, map[string]int64{}
	done, newest := map[key]bool{}, map[string]int64{}
	for _, p := range readAll(t, q, lows(t, q)) {
		r := p.Record
		k := key{r.Client, r.Seq, r.Part}
		last, known := newest[r.Client]
		if done[k] || known && r.Seq <= last-ahead {
			continue
		}
		done[k] = true
		newest[r.Client] = max(last, r.Seq)
		if len(r.Payload) > 0 {
			count[string(r.Payload)]++
		}
		for _, x := range r.Refused {
			refused[x.Reason] += x.Events
		}
	}
	return count, refused
}

// wantOnce checks that each message counts once, and nothing else.
func wantOnce(t testing.TB, count map[string]int, sent map[string]bool) {
	t.Helper()
	wrong := 0
	for text := range sent {
		if count[text] != 1 {
			if wrong++; wrong < 10 {
				t.Errorf("%q counts %d times", text, count[text])
			}
		}
	}
	if len(count) != len(sent) || wrong > 0 {
		t.Errorf("%d messages were sent, %d counted, %d of them wrong", len(sent), len(count), wrong)
	}
}

// runFeed runs one until the function returned is called.
func runFeed(t testing.TB, q *Queue, opts FeedOptions) (*Feed, func()) {
	t.Helper()
	if opts.Cut == nil {
		opts.Cut = wholeValue
	}
	opts.Group = "feeders"
	f := q.NewFeed(opts)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { f.Run(ctx) })
	end := sync.OnceFunc(func() { stop(); running.Wait() })
	t.Cleanup(end)
	return f, end
}

// drained waits until a feed has appended n messages' worth of offsets.
func drained(t testing.TB, n int64, feeds ...*Feed) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages are appended", n), func() bool {
		var sum int64
		for _, f := range feeds {
			st, _ := f.Status()
			for _, p := range st {
				sum += p.Next
			}
		}
		return sum >= n
	})
}

// feedQueue is a queue on the broker of another, as far as it can tell.
func feedQueue(t testing.TB) *Queue {
	t.Helper()
	broker := openQueue(t, groupTestOptions(), t.TempDir())
	opts := groupTestOptions()
	opts.Broker, opts.Topic, opts.Replication = broker.Addrs(), "events", 1
	return openQueue(t, opts, "")
}

func TestFeed(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 3, nil)
	src.send("before ", 5000)
	f, stop := runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, 5000, f)
	src.send("during ", 3000)
	drained(t, 8000, f)
	stop()
	src.send("between ", 2000)
	f, stop = runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, 10000, f)
	if st, err := f.Status(); err != nil || len(st) != 3 {
		t.Errorf("status %v, %v", st, err)
	}
	stop()
	if st, _ := f.Status(); len(st) != 0 {
		t.Errorf("after the end it owns %v", st)
	}
	count, refused := folded(t, q)
	wantOnce(t, count, src.sent)
	if len(refused) != 0 {
		t.Errorf("refused %v", refused)
	}
	// A clean stop leaves nothing in doubt.
	if n := len(readAll(t, q, lows(t, q))); n != len(src.sent) {
		t.Errorf("%d records for %d messages", n, len(src.sent))
	}
}

// TestFeedInDoubt lets appends fail that were made, owners change in the middle
// and zombies go on, and counts.
func TestFeedInDoubt(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 3, nil)
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(1, 1))
	lossy := func(ctx context.Context, recs []*millrace.Record) error {
		mu.Lock()
		dice, some := random.IntN(20), random.IntN(len(recs)+1)
		mu.Unlock()
		switch dice {
		case 0: // the answer is lost
			return errors.Join(q.Append(ctx, recs), errors.New("connection reset"))
		case 1: // some were stored
			return errors.Join(q.Append(ctx, recs[:some]), errors.New("connection reset"))
		case 2:
			return errors.New("connection refused")
		}
		return q.Append(ctx, recs)
	}
	total := int64(0)
	for round := range 5 {
		src.send(fmt.Sprint("round ", round, " message "), 3000)
		total += 3000
		a, stopA := runFeed(t, q, FeedOptions{Topic: "app", Append: lossy})
		b, stopB := runFeed(t, q, FeedOptions{Topic: "app", Append: lossy})
		if round%2 == 0 {
			drained(t, total-1500, a, b)
		} else {
			drained(t, total, a, b)
		}
		stopA()
		if round%3 == 0 {
			drained(t, total, b)
		}
		stopB()
		if round%2 == 0 { // as after a kill: what was done last is not noted
			forgetProgress(t, q, src.admin, 700)
		}
	}
	last, _ := runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, total, last)
	count, _ := folded(t, q)
	wantOnce(t, count, src.sent)
	if n := len(readAll(t, q, lows(t, q))); n <= len(src.sent) {
		t.Errorf("%d records for %d messages: nothing was in doubt", n, len(src.sent))
	}
}

// forgetProgress sets the group's offsets back.
func forgetProgress(t testing.TB, q *Queue, admin *kadm.Client, by int64) {
	t.Helper()
	var offsets kadm.Offsets
	eventually(t, "the group is empty", func() bool {
		have, err := admin.FetchOffsets(t.Context(), "feeders")
		must(t, err)
		offsets = kadm.Offsets{}
		have.Each(func(o kadm.OffsetResponse) {
			o.At = max(0, o.At-by)
			o.LeaderEpoch = -1
			offsets.Add(o.Offset)
		})
		_, err = admin.CommitOffsets(t.Context(), "feeders", offsets)
		return err == nil
	})
}

// TestFeedZombie lets a process that is no longer the owner append what it had
// read long ago.
func TestFeedZombie(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 1, nil)
	src.send("old ", 900)
	asleep, wake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	zombie, stop := runFeed(t, q, FeedOptions{Topic: "app", Append: func(ctx context.Context, recs []*millrace.Record) error {
		once.Do(func() { close(asleep) })
		<-wake
		return q.Append(ctx, recs)
	}})
	<-asleep
	// Meanwhile somebody else does the work.
	other := q.NewFeed(FeedOptions{Topic: "app", Group: "others", Cut: wholeValue})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { other.Run(ctx) })
	src.send("new ", 5000)
	drained(t, 5900, other)
	close(wake)
	drained(t, 5900, zombie)
	stop()
	cancel()
	running.Wait()
	count, _ := folded(t, q)
	wantOnce(t, count, src.sent)
}

func TestFeedTopicCreatedAgain(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 1, nil)
	src.send("first life ", 50)
	f, stop := runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, 50, f)
	_, err := src.admin.DeleteTopics(t.Context(), "app")
	must(t, err)
	src.create(1, nil)
	src.client.PurgeTopicsFromProducing("app")
	src.send("second life ", 80)
	eventually(t, "it is consumed", func() bool { count, _ := folded(t, q); return len(count) == 130 })
	stop()
	// And while nobody looks.
	_, err = src.admin.DeleteTopics(t.Context(), "app")
	must(t, err)
	src.create(1, nil)
	src.client.PurgeTopicsFromProducing("app")
	src.send("third life ", 200)
	runFeed(t, q, FeedOptions{Topic: "app"})
	eventually(t, "it is consumed", func() bool { count, _ := folded(t, q); return len(count) == 330 })
	count, _ := folded(t, q)
	wantOnce(t, count, src.sent)
}

func TestFeedGap(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 1, nil)
	src.send("read ", 10)
	f, stop := runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, 10, f)
	stop()
	src.send("lost ", 30)
	for i := range 30 {
		delete(src.sent, "lost "+strconv.Itoa(i))
	}
	o := kadm.Offsets{}
	o.AddOffset("app", 0, 40, -1)
	_, err := src.admin.DeleteRecords(t.Context(), o)
	must(t, err)
	src.send("late ", 5)
	f, _ = runFeed(t, q, FeedOptions{Topic: "app"})
	drained(t, 45, f)
	count, refused := folded(t, q)
	wantOnce(t, count, src.sent)
	if refused[reasonGap] != 30 || len(refused) != 1 {
		t.Errorf("refused %v", refused)
	}
}

func TestFeedUnfitMessages(t *testing.T) {
	t.Parallel()
	q := feedQueue(t)
	src := newForeign(t, q.Addrs(), "app", 1, nil)
	src.send("good ", 3)
	src.send("bad ", 2)
	src.send("huge ", 1)
	src.send("split ", 1)
	must(t, src.client.ProduceSync(t.Context(), &kgo.Record{Key: []byte("tombstone")}).FirstErr())
	src.send("fine ", 3)
	f, _ := runFeed(t, q, FeedOptions{Topic: "app", Cut: func(value []byte) ([]*millrace.Record, error) {
		recs, _ := wholeValue(value)
		switch kind, _, _ := strings.Cut(string(value), " "); kind {
		case "bad":
			return nil, errors.New("no idea what that is")
		case "huge":
			recs[0].Payload = make([]byte, MaxPayload+1)
			recs[0].Frames[0] = MaxPayload + 1
		case "split":
			half := *recs[0]
			half.Payload, half.Frames = []byte("split, other half"), []uint32{17}
			recs = append(recs, &half)
		}
		return recs, nil
	}})
	drained(t, 11, f)
	count, refused := folded(t, q)
	for _, gone := range []string{"bad 0", "bad 1", "huge 0"} {
		delete(src.sent, gone)
	}
	src.sent["split, other half"] = true
	wantOnce(t, count, src.sent)
	if refused[reasonUnfit] != 3 || len(refused) != 1 {
		t.Errorf("refused %v", refused)
	}
}

func TestTogether(t *testing.T) {
	f := func(want int, offsets ...int64) {
		t.Helper()
		msgs := make([]*kgo.Record, len(offsets))
		for i, o := range offsets {
			msgs[i] = &kgo.Record{Offset: o}
		}
		if got := together(msgs); got != want {
			t.Errorf("%v: %d together, want %d", offsets, got, want)
		}
	}
	f(0)
	f(1, 5)
	f(2, 5, 5+ahead-1)
	f(1, 5, 5+ahead)
	f(3, 0, 1, 2, 5000)
}

func BenchmarkFeed(b *testing.B) {
	opts := testOptions()
	opts.Broker, opts.Replication = openQueue(b, testOptions(), b.TempDir()).Addrs(), 1
	opts.Topic = "events"
	q := openQueue(b, opts, "")
	src := newForeign(b, q.Addrs(), "app", 4, nil)
	line := strings.Repeat("x", 300)
	for range b.N/1000 + 1 {
		src.send(line, 1000)
	}
	b.SetBytes(300)
	b.ResetTimer()
	f, stop := runFeed(b, q, FeedOptions{Topic: "app"})
	for started := time.Now(); ; time.Sleep(time.Millisecond) {
		var n int64
		st, _ := f.Status()
		for _, p := range st {
			n += p.Next
		}
		if n >= int64(b.N) {
			break
		}
		if time.Since(started) > time.Minute {
			b.Fatal("slow")
		}
	}
	b.StopTimer()
	stop()
}
