package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// accessLine is a line of combined format at a minute of a fixed day.
func accessLine(rng *rand.Rand) string {
	return fmt.Sprintf(`10.0.0.%d - - [01/Mar/2026:%02d:%02d:%02d +0000] "GET /p/%d HTTP/1.1" %d %d "-" "agent" 0.%03d`,
		rng.IntN(40), rng.IntN(3), rng.IntN(60), rng.IntN(60), rng.IntN(12), []int{200, 404, 500}[rng.IntN(3)], rng.IntN(5000), rng.IntN(1000))
}

func accessLines(rng *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = accessLine(rng)
	}
	return out
}

// TestRestartsChangeNothing: the same records, once folded in one go and once
// with restarts, failing transactions and lost answers all the time, must give
// equal cells, rows and accounts.
func TestRestartsChangeNothing(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			calm, rough := newRig(t), newRig(t)
			rough.opts.FlushRows = 37 // flushes in the middle of records
			rng := rand.New(rand.NewPCG(seed, 3))
			rough.store.before = func(millrace.Sink, *millrace.EventRows) error {
				if rng.IntN(4) == 0 {
					return millrace.Errorf(millrace.ErrUnavailable, "before")
				}
				return nil
			}
			rough.store.after = func(millrace.Sink) error {
				if rng.IntN(4) == 0 {
					return errors.New("answer lost")
				}
				return nil
			}
			calm.start()
			rough.start()
			data := rand.New(rand.NewPCG(seed, 4))
			for seq := range int64(60) {
				lines := accessLines(data, 1+data.IntN(50))
				rec := millrace.Record{Client: fmt.Sprint("client", seq%3), Seq: seq / 3, Source: fmt.Sprint("s", seq%2)}
				calm.send(rec, lines...)
				for range 1 + data.IntN(3) { // the client retries
					rough.send(rec, lines...)
				}
				if data.IntN(6) == 0 {
					rough.halt()
					rough.start()
				}
			}
			calm.drain()
			rough.drain()
			if got, want := dump(t, rough.store, rough.rollups), dump(t, calm.store, calm.rollups); got != want || got == "" {
				t.Errorf("cells differ: %d bytes, want %d", len(got), len(want))
			}
			if got, want := rough.stored(), calm.stored(); got != want {
				t.Errorf("%d rows, want %d", got, want)
			}
			if e, r := rough.ledger(millrace.SinkEvents), rough.ledger(millrace.SinkRollup); e != r {
				t.Errorf("accounts of the sinks differ:\n%s\n%s", e, r)
			}
		})
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	r := newRig(t)
	r.start()
	lines := accessLines(rand.New(rand.NewPCG(1, 1)), 10)
	for range 3 {
		r.send(millrace.Record{Client: "client-1", Seq: 5}, lines...)
	}
	r.send(millrace.Record{}, lines[:2]...)
	r.drain()
	r.wantLedger("duplicate=20/20 received=32/32 stored=12/12")
}

func TestRefusalsAndRejectsAreAccounted(t *testing.T) {
	r := newRig(t)
	r.start()
	r.send(millrace.Record{
		Format: "nginx", Refused: []millrace.Refusal{{Reason: "line_too_long", Events: 3, Example: "aaa"}},
	}, accessLine(rand.New(rand.NewPCG(1, 1))), "this is no access line")
	r.drain()
	r.wantLedger("received=2/2 refused/line_too_long=3/3 rejected/not_nginx=1/1 stored=1/1")
}

// TestPoisonIsSetAside: a decoder that panics on one event loses that event, one
// that hangs loses its record; all else goes on, also after a restart.
func TestPoisonIsSetAside(t *testing.T) {
	good := accessLine(rand.New(rand.NewPCG(1, 1)))
	pill := "log line with " + string(poisonPill)
	f := func(action, want string) {
		t.Helper()
		t.Cleanup(func() { _ = failpoint.Set("") })
		if err := failpoint.Set("decode.poison=" + action); err != nil {
			t.Fatal(err)
		}
		r := newRig(t)
		r.opts.StageDeadline = millrace.Duration(150 * time.Millisecond)
		r.start()
		r.send(millrace.Record{}, good, pill, good)
		r.send(millrace.Record{}, good)
		r.drain()
		r.halt()
		r.start()
		r.send(millrace.Record{}, good)
		r.drain()
		r.wantLedger(want)
		aside, err := r.store.SetAside(t.Context(), 10)
		if err != nil || len(aside) != 2 || !strings.Contains(string(aside[0].Payload), pill) {
			t.Fatalf("set aside: %+v, %v", aside, err)
		}
	}
	f("panic:1+", "received=5/5 rejected/set_aside=1/1 stored=4/4")
	f("hang:1+", "received=5/5 rejected/set_aside=3/3 stored=2/2")
}

// TestBadRowIsIsolated: a store that refuses one row for good gets all others.
func TestBadRowIsIsolated(t *testing.T) {
	r := newRig(t)
	r.store.before = func(sink millrace.Sink, rows *millrace.EventRows) error {
		if rows != nil && strings.Contains(string(rows.Message.Data), "refuse me") {
			return millrace.Errorf(millrace.ErrInvalid, "a row no store can take")
		}
		return nil
	}
	for range 5 {
		r.send(millrace.Record{}, accessLines(rand.New(rand.NewPCG(1, 1)), 30)...)
	}
	r.send(millrace.Record{}, "before", "please refuse me", "after")
	r.start()
	r.drain()
	if got := r.stored(); got != 152 {
		t.Errorf("%d rows stored, want 152", got)
	}
	if got := r.ledger(millrace.SinkEvents); !strings.Contains(got, "rejected/set_aside=1/1") || !strings.Contains(got, "stored=152/152") {
		t.Errorf("ledger: %s", got)
	}
	r.send(millrace.Record{}, "life goes on")
	r.drain()
}

// TestForeignRecordIsSetAside: what another program writes into the topic stops
// nothing.
func TestForeignRecordIsSetAside(t *testing.T) {
	r := newRig(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.queue.Addrs()...), kgo.DefaultProduceTopic("millrace"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("what is this?")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.send(millrace.Record{}, "a good line")
	r.drain()
	r.wantLedger("received=1/1 received=1/1 rejected/set_aside=1/1 stored=1/1")
}

// TestLostTail: the log loses its newest records after a stop. The gap is shown,
// what was stored stays, later data counts.
func TestLostTail(t *testing.T) {
	r := newRig(t)
	r.start()
	rng := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		r.send(millrace.Record{Client: "one-client"}, accessLines(rng, 3)...)
		r.send(millrace.Record{}, accessLines(rng, 3)...)
	}
	r.drain()
	r.halt()
	before := r.stored()
	if err := r.queue.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	r.openQueue()
	r.start()
	r.send(millrace.Record{}, accessLines(rng, 7)...)
	r.drain()
	if got := r.stored(); got != before+7 {
		t.Errorf("%d rows, want %d", got, before+7)
	}
	gaps, err := r.store.Gaps(context.Background())
	if err != nil || len(gaps) == 0 {
		t.Errorf("gaps %v, %v", gaps, err)
	}
}

// TestWatermark: caught up counts as now; behind, the newest event time decides.
func TestWatermark(t *testing.T) {
	w := newWatermark(30 * time.Second)
	if !w.completeUntil().IsZero() {
		t.Fatal("complete before anything is known")
	}
	at := func(s int64) int64 { return s * 1e9 }
	f := func(want int64) {
		t.Helper()
		if got := w.completeUntil().Unix(); got != want-30 {
			t.Errorf("complete until %d, want %d", got+30, want)
		}
	}
	w.look(0, 0, at(1000))
	f(1000) // an empty partition is caught up
	w.look(1, 5, at(1000))
	if !w.completeUntil().IsZero() {
		t.Error("partition 1 has seen nothing")
	}
	w.commit([]millrace.Position{{Partition: 1, Offset: 3, MaxTime: at(900)}})
	f(900)
	w.commit([]millrace.Position{{Partition: 1, Offset: 5, MaxTime: at(950)}})
	f(1000) // caught up with what was there at 1000
	w.look(1, 9, at(1100))
	f(1000)
	w.commit([]millrace.Position{{Partition: 1, Offset: 7, MaxTime: at(1050)}})
	w.look(0, 0, at(1200))
	f(1050)
}
