package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/rollup"
)

// throwing is an application's log entry with a stack, of one of a few faults.
func throwing(rng *rand.Rand) string {
	f := min(rng.IntN(6), rng.IntN(6))
	return fmt.Sprintf("2026-03-01 00:%02d:%02d ERROR order %d failed\njava.lang.IllegalStateException: order %d\n\tat com.acme.Shop.step%d(Shop.java:%d)",
		rng.IntN(2), rng.IntN(60), rng.IntN(1000), rng.IntN(1000), f, rng.IntN(500))
}

// mixedLines returns entries of which most are exceptions.
func mixedLines(rng *rand.Rand, n int) []string {
	out := make([]string, n)
	for i := range out {
		if out[i] = throwing(rng); rng.IntN(5) == 0 {
			out[i] = accessLine(rng)
		}
	}
	return out
}

// exceptions returns the stored rows that are exceptions, and how many are not.
func (r *rig) exceptions() (out []keptRow, others int) {
	r.t.Helper()
	page, err := r.store.Events(r.t.Context(), millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 10_000})
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range page.Events {
		e := &page.Events[i]
		if e.Kind != millrace.KindException.String() {
			others++
			continue
		}
		var attrs struct{ Fingerprint string }
		if err := json.Unmarshal(e.Attrs, &attrs); err != nil {
			r.t.Fatal(err)
		}
		out = append(out, keptRow{
			project: e.Project, fingerprint: attrs.Fingerprint, time: e.Time.UnixNano(), weight: e.Weight, kind: millrace.KindException,
			place: exception.Place{Partition: e.Partition, Offset: e.Offset, Ordinal: e.Ordinal},
		})
	}
	return out, others
}

// accountOf returns the events of one outcome in a ledger as rig.ledger prints it, of
// all sources.
func accountOf(ledger, outcome string) (events int64) {
	for _, f := range strings.Fields(ledger) {
		rest, ok := strings.CutPrefix(f, outcome+"=")
		if !ok {
			continue
		}
		count, _, _ := strings.Cut(rest, "/")
		n, err := strconv.ParseInt(count, 10, 64)
		if err != nil {
			panic(err)
		}
		events += n
	}
	return events
}

// wantReconciled checks that both sinks account for the same events: what the one
// stored, the other stored or sampled.
func (r *rig) wantReconciled(sent int64) {
	r.t.Helper()
	events, cells := r.ledger(millrace.SinkEvents), r.ledger(millrace.SinkRollup)
	stored, sampled := accountOf(events, "stored"), accountOf(events, sampledKey)
	if stored+sampled != sent || accountOf(cells, "stored") != sent || stored != r.stored() || sampled == 0 {
		r.t.Errorf("sent %d, %d rows; accounts\n%s\n%s", sent, r.stored(), events, cells)
	}
	for _, outcome := range []string{"received", "duplicate"} {
		if accountOf(events, outcome) != accountOf(cells, outcome) {
			r.t.Errorf("%s differs:\n%s\n%s", outcome, events, cells)
		}
	}
}

// TestSamplesReplay: exceptions folded with restarts, failing transactions, kills at the
// commit, lost answers, retries of clients and an unreachable register of issues all the
// time are counted as in a calm run, told of as in it, and stored at least as the fair
// choice of all wants.
func TestSamplesReplay(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Cleanup(func() { _ = failpoint.Set("") })
			calm, rough := newRig(t), newRig(t)
			calmTold, roughTold := &toldSightings{}, &toldSightings{}
			calm.told, rough.told = calmTold, roughTold
			calm.opts.Exceptions.Samples, rough.opts.Exceptions.Samples = 100_000, 2
			rough.opts.FlushRows = 37
			rng := rand.New(rand.NewPCG(seed, 3))
			rough.store.before = func(millrace.Sink, *millrace.EventRows) error {
				if rng.IntN(8) == 0 {
					return millrace.Errorf(millrace.ErrUnavailable, "before")
				}
				return nil
			}
			rough.store.after = func(millrace.Sink) error {
				if rng.IntN(8) == 0 {
					return errors.New("answer lost")
				}
				return nil
			}
			away := rand.New(rand.NewPCG(seed, 5))
			roughTold.before = func([]millrace.Sighting) error {
				if away.IntN(8) == 0 {
					return millrace.Errorf(millrace.ErrUnavailable, "meta is away")
				}
				return nil
			}
			calm.start()
			rough.start()
			data, sent := rand.New(rand.NewPCG(seed, 4)), int64(0)
			for seq := range int64(60) {
				lines := mixedLines(data, 1+data.IntN(50))
				sent += int64(len(lines))
				rec := millrace.Record{Client: fmt.Sprint("client", seq%3), Seq: seq / 3, Source: fmt.Sprint("s", seq%2)}
				calm.send(rec, lines...)
				for range 1 + data.IntN(3) { // the client retries
					rough.send(rec, lines...)
				}
				switch data.IntN(8) {
				case 0:
					rough.halt()
					rough.start()
				case 1:
					if err := failpoint.Set([]string{"events.commit=error", "events.commit.after=error"}[data.IntN(2)]); err != nil {
						t.Fatal(err)
					}
				}
			}
			calm.drain()
			rough.drain()
			if got, want := dump(t, rough.store, rough.rollups), dump(t, calm.store, calm.rollups); got != want || got == "" {
				t.Errorf("cells differ: %d bytes, want %d", len(got), len(want))
			}
			if got := calm.stored(); got != sent {
				t.Fatalf("the calm run stored %d of %d", got, sent)
			}
			rough.wantReconciled(sent)
			wantSuperset(t, calm, rough)
			if len(calmTold.all) == 0 || len(calmTold.all) != len(roughTold.all) {
				t.Errorf("told of %d, want %d", len(roughTold.all), len(calmTold.all))
			}
			for key, want := range calmTold.all {
				if got := roughTold.all[key]; got.First != want.First || got.Last != want.Last {
					t.Errorf("told of %v from %d to %d, want %d to %d", key, got.First, got.Last, want.First, want.Last)
				}
			}
		})
	}
}

// wantSuperset checks that all rows that are no exceptions are stored, and of the
// exceptions as many as a fair choice of all would take, of each fingerprint and minute
// at least. Both logs have the records at other places, so that choices are not compared
// by place; TestSamplesAgainstOracle does that.
func wantSuperset(t *testing.T, all, some *rig) {
	t.Helper()
	allRows, allOthers := all.exceptions()
	rows, others := some.exceptions()
	if others != allOthers {
		t.Errorf("%d lines stored, want %d", others, allOthers)
	}
	kept := groups(rows)
	for g, events := range groups(allRows) {
		have := kept[g]
		if len(have) < min(len(events), some.opts.Exceptions.Samples) || len(have) > len(events) {
			t.Errorf("%v: %d of %d stored", g, len(have), len(events))
			continue
		}
		byTime := func(a, b keptRow) int { return int(a.time - b.time) }
		if slices.MinFunc(have, byTime).time != slices.MinFunc(events, byTime).time || slices.MaxFunc(have, byTime).time != slices.MaxFunc(events, byTime).time {
			t.Errorf("%v: the oldest or the newest is not stored", g)
		}
	}
}

// TestBadExceptionIsIsolated: an exception that no store can take is set aside, although
// others before and behind it are sampled; accounts still agree.
func TestBadExceptionIsIsolated(t *testing.T) {
	r := newRig(t)
	r.opts.Exceptions.Samples = 1
	r.store.before = func(sink millrace.Sink, rows *millrace.EventRows) error {
		if rows != nil && strings.Contains(string(rows.Message.Data), "refuse me") {
			return millrace.Errorf(millrace.ErrInvalid, "a row no store can take")
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(1, 1))
	sent := int64(0)
	for i := range 8 {
		lines := mixedLines(rng, 30)
		if i == 4 {
			lines[20] = "2026-03-01 00:00:00 ERROR please refuse me\njava.lang.Refused: x\n\tat com.acme.Shop.refused(Shop.java:1)"
		}
		r.send(millrace.Record{}, lines...)
		sent += 30
	}
	r.start()
	r.drain()
	events := r.ledger(millrace.SinkEvents)
	stored, sampled, aside := accountOf(events, "stored"), accountOf(events, sampledKey), accountOf(events, "rejected/set_aside")
	if aside != 1 || stored+sampled+aside != sent || sampled == 0 || stored != r.stored() || accountOf(events, "received") != sent {
		t.Errorf("sent %d, %d rows: %s", sent, r.stored(), events)
	}
	r.send(millrace.Record{}, "life goes on")
	r.drain()
	if st := r.p.Status().Samples; st.Stored == 0 || st.Sampled == 0 || st.Reservoirs == 0 || st.DetailBytes == 0 {
		t.Errorf("status %+v", st)
	}
}

// TestBackfillBesideSamples: a rollup that takes no exceptions is folded again although
// exceptions were sampled; one that may is refused.
func TestBackfillBesideSamples(t *testing.T) {
	r := newRig(t)
	r.opts.Exceptions.Samples = 1
	r.start()
	r.send(millrace.Record{}, mixedLines(rand.New(rand.NewPCG(2, 2)), 200)...)
	r.drain()
	if accountOf(r.ledger(millrace.SinkEvents), sampledKey) == 0 {
		t.Fatal("nothing was sampled")
	}
	fills := NewBackfills(r.store, func() (Options, []*rollup.Rollup) { return r.opts, r.rollups })
	defer fills.Close()
	f := func(name string, want millrace.Code) {
		t.Helper()
		at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		if _, err := fills.Start(t.Context(), millrace.BackfillQuery{Rollup: name, From: at, To: at.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		for range 500 {
			p, err := fills.Progress(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Done {
				if code := millrace.ErrorCode(p.Err); p.Err != nil && code != want || p.Err == nil && want != "" {
					t.Errorf("backfill of %s: %v, want code %q", name, p.Err, want)
				}
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("backfill of %s does not end", name)
	}
	f("traffic", "")
	f("exceptions", millrace.ErrConflict)
}
