package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/transform"
)

// poolRecords returns records of several formats, some of which are carried by rules.
func poolRecords(t *testing.T, rng *rand.Rand, n int) (recs []*millrace.Record, rules []*transform.Program) {
	t.Helper()
	program, err := transform.Load([]byte("masks: [{fields: [\"*\"], replace: {pattern: '[a-z]+@[a-z.]+', with: x}}]\nsteps: [{drop: 'status == 404', reason: missing}, {set: {shop: '\"yes\"'}}]\n"), RulesOptions([]byte("a key of the test's own, 32 bytes"), nil))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var rec *millrace.Record
		var p *transform.Program
		switch rng.IntN(4) {
		case 0:
			rec = recordOf(t, "nginx", strings.Join(accessLines(rng, 1+rng.IntN(9)), "\n"))
			p = program
		case 1:
			rec = recordOf(t, "text", "2026-11-22 12:00:00,000 ERROR [main] shop.Main - order failed\n"+javaTrace(900, 6, rng.IntN(3)))
		case 2:
			rec = recordOf(t, "json", fmt.Sprintf(`{"message":"from a@b.example","n":%d}`+"\n", i))
			rec.Payload, rec.Frames = append(rec.Payload, `{"a":`...), append(rec.Frames, 5)
			p = program
		default:
			rec = recordOf(t, "json", strings.Repeat(fmt.Sprintf(`{"message":"n","url":"/p/%d"}`+"\n", i), 20))
		}
		rec.Partition, rec.Offset = int32(i%3), int64(i)
		recs, rules = append(recs, rec), append(rules, p)
	}
	return recs, rules
}

// show is all that the sinks see of a unit.
func show(u *unit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d drops %+v until %d rejects %+v", u.rec.Partition, u.rec.Offset, u.filtered, u.droppedUntil, u.batch.Rejects)
	for i := range u.batch.Events {
		e := u.batch.Events[i]
		fmt.Fprintf(&b, "\n%d %d %s %s %s %q", e.Ordinal, e.Time, e.Kind, e.Level, e.Service, e.Message)
		for _, a := range e.Attrs {
			fmt.Fprintf(&b, " %s=%s", a.Key, a.Value.String())
		}
	}
	for _, a := range u.setAside {
		fmt.Fprintf(&b, "\naside %d %s %q", a.Ordinal, a.Reason, a.Payload)
	}
	return b.String()
}

// TestPoolEqualsSequence: however long records take, they come out in order, and as
// one goroutine decodes them.
func TestPoolEqualsSequence(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 1))
		recs, rules := poolRecords(t, rng, 300)
		sup := &supervisor{deadline: time.Minute, now: time.Now, truncate: seed%2 == 1, fingerprint: 2}
		var want []string
		d := sup.decoding()
		for i, rec := range recs {
			u := &unit{rec: rec, rules: rules[i]}
			if err := decodeUnit(&d, u); err != nil {
				t.Fatal(err)
			}
			want = append(want, show(u))
		}
		ctx, end := context.WithCancel(t.Context())
		pool := newDecodePool(ctx, sup, int(1+seed), func(d *decoding, u *unit) error {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
			return decodeUnit(d, u)
		})
		stats := newStats()
		go func() {
			for i, rec := range recs {
				u := stats.unit()
				u.rec, u.rules = rec, rules[i]
				pool.put(u, 0)
			}
			pool.close()
		}()
		for i := range recs {
			u, _, ok := pool.next()
			if !ok {
				t.Fatalf("%d of %d records came out", i, len(recs))
			}
			if got := show(u); got != want[i] {
				t.Fatalf("record %d with %d workers is\n%s\nwant\n%s", i, 1+seed, got, want[i])
			}
			u.refs.Store(1)
			stats.release(u) // used again for another record
		}
		if _, _, ok := pool.next(); ok {
			t.Error("more came out than went in")
		}
		end()
	}
}

// TestPoolSurvives: records that panic and hang, on all workers at once, cost
// nothing but what is set aside of them.
func TestPoolSurvives(t *testing.T) {
	t.Cleanup(func() { _ = failpoint.Set("") })
	if err := failpoint.Set("decode.poison=panic:1+"); err != nil {
		t.Fatal(err)
	}
	const workers, deadline = 3, 200 * time.Millisecond
	sup := &supervisor{deadline: deadline, now: time.Now, known: map[verdict]millrace.SetAside{{0, 7, 5, -1}: {Ordinal: -1, Reason: "known"}}}
	hang := make(chan struct{})
	begun := make(chan struct{}, 100)
	ctx, end := context.WithCancel(t.Context())
	pool := newDecodePool(ctx, sup, workers, func(d *decoding, u *unit) error {
		begun <- struct{}{}
		if strings.Contains(string(u.rec.Payload), "hang") {
			<-hang
		}
		return decodeUnit(d, u)
	})
	pill := "a line with " + string(poisonPill)
	lines := []string{"fine", "hang", "hang", "hang", pill, "known", "hang " + pill, pill, pill, pill, "fine", "hang", "fine"}
	go func() {
		for i, line := range lines {
			rec := recordOf(t, "text", "good\n"+line)
			rec.Frames, rec.Offset = []uint32{5, uint32(len(line))}, int64(i)
			pool.put(&unit{rec: rec}, 7)
		}
	}()
	for i, line := range lines {
		began := time.Now()
		u, took, ok := pool.next()
		if !ok || u.rec.Offset != int64(i) {
			t.Fatalf("record %d: %v %v", i, u, ok)
		}
		events, aside := 2, ""
		switch {
		case strings.HasPrefix(line, "hang"):
			events, aside = 0, "-1 decoding took longer than 200ms"
		case line == pill:
			events, aside = 1, "1 panic: failpoint decode.poison"
		case line == "known":
			events, aside = 0, "-1 known"
		}
		got := ""
		for _, a := range u.setAside {
			got += fmt.Sprint(a.Ordinal, " ", a.Reason)
		}
		if len(u.batch.Events) != events || !strings.HasPrefix(got, aside) || aside == "" && got != "" {
			t.Errorf("record %d (%s): %d events, set aside %q", i, line, len(u.batch.Events), got)
		}
		if i == 2 && (time.Since(began) > deadline/2 || took < deadline) {
			t.Errorf("record 2 hung beside record 1, and was waited for %v more", time.Since(began))
		}
	}
	close(hang)
	end()
	if pool.put(&unit{rec: recordOf(t, "text", "late")}, 7) {
		for pool.put(&unit{rec: recordOf(t, "text", "late")}, 7) { // the FIFO has room for a few
		}
	}
	if _, _, ok := pool.next(); ok && ctx.Err() == nil {
		t.Error("goes on after the session")
	}
	pool.close()
}
