package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// sampleGroup is a fingerprint's events of one minute, for the oracle.
type sampleGroup struct {
	project, fingerprint string
	minute               int64
}

// choice is what exception.Reservoir chooses of events, by place.
func choice(group sampleGroup, rows []keptRow, size int) map[exception.Place]bool {
	r := exception.NewReservoir[int](exception.SampleSeed(exception.FingerprintHash(group.project, group.fingerprint), group.minute*60e9), size)
	for _, e := range rows {
		r.Offer(e.place, e.time, 0)
	}
	oldest, newest, random, ok := r.Samples()
	out := map[exception.Place]bool{}
	if ok {
		out[oldest.Place], out[newest.Place] = true, true
	}
	for _, s := range random {
		out[s.Place] = true
	}
	return out
}

func groups(rows []keptRow) map[sampleGroup][]keptRow {
	out := map[sampleGroup][]keptRow{}
	for _, e := range rows {
		if e.kind == millrace.KindException {
			g := sampleGroup{e.project, e.fingerprint, exception.SampleMinute(e.time)}
			out[g] = append(out[g], e)
		}
	}
	return out
}

// sampleStream is a random log: records of two partitions with exceptions of few
// fingerprints among lines, at times that run forward, backward or anyhow.
type sampleStream struct {
	records [2][][]millrace.Event
	all     []keptRow
	sum     tally
}

func newSampleStream(rng *rand.Rand, base int64) *sampleStream {
	s := &sampleStream{}
	for range 30 + rng.IntN(60) {
		part := rng.IntN(2)
		offset := len(s.records[part])
		events := make([]millrace.Event, 1+rng.IntN(40))
		for i := range events {
			at := base
			switch rng.IntN(3) {
			case 0:
				at += int64(offset)*1e9 + int64(i)*1e6
			case 1:
				at += 100e9 - int64(offset)*1e9
			default:
				at += rng.Int64N(120e9)
			}
			e := thrown("f"+strconv.Itoa(min(rng.IntN(4), rng.IntN(4))), at, 1+rng.Int64N(3))
			if rng.IntN(4) == 0 {
				e.Kind = millrace.KindLog
			}
			if rng.IntN(5) == 0 {
				e.Project = "other"
			}
			events[i] = e
			s.sum.add(e.Weight)
			s.all = append(s.all, keptRow{
				project: e.Project, fingerprint: e.TraceID, time: e.Time, weight: e.Weight, kind: e.Kind,
				place: exception.Place{Partition: int32(part), Offset: int64(offset), Ordinal: int32(i)},
			})
		}
		s.records[part] = append(s.records[part], events)
	}
	return s
}

// play feeds the log to a sink that is killed now and then: before a flush, with a
// flush under way, or after one of which it did not hear.
func (s *sampleStream) play(r *sampleRig, rng *rand.Rand) {
	ctx := context.Background()
	for {
		part := rng.IntN(2)
		at := r.s.positions[int32(part)].Offset
		if at >= int64(len(s.records[part])) {
			part = 1 - part
			if at = r.s.positions[int32(part)].Offset; at >= int64(len(s.records[part])) {
				r.flush()
				return
			}
		}
		events := slices.Clone(s.records[part][at])
		r.fold(int32(part), at, events)
		for i := range events { // the unit is used again
			events[i] = millrace.Event{Message: "overwritten"}
		}
		switch rng.IntN(12) {
		case 0:
			r.pass(time.Duration(rng.IntN(40)) * time.Second)
		case 1, 2, 3:
			r.check(r.s.flush(ctx))
		case 4:
			r.check(r.s.flush(ctx))
			_ = r.s.wait()
			r.open()
		case 5:
			_ = r.s.wait() // a kill before the flush
			r.open()
		}
	}
}

// TestSamplesAgainstOracle: whatever the order of times, the size of flushes and the
// kills, each event is accounted for exactly once, rows are stored once, lines all, and
// of exceptions at least what the fair choice of all events holds, from which a reader
// chooses the same.
func TestSamplesAgainstOracle(t *testing.T) {
	fewer := 0
	for seed := range uint64(120) {
		rng := rand.New(rand.NewPCG(seed, 7))
		opts := DefaultOptions()
		opts.Exceptions.Samples = 1 + rng.IntN(6)
		opts.FlushRows = []int{1, 3, 17, 122_880}[rng.IntN(4)]
		r := newSampleRig(t, opts, nil)
		if r.tidy = seed%2 > 0; r.tidy {
			r.open()
		}
		stream := newSampleStream(rng, r.clock.Load())
		stream.play(r, rng)

		seen := map[exception.Place]bool{}
		var stored tally
		for _, row := range r.store.rows {
			if seen[row.place] {
				t.Fatalf("seed %d: %v is stored twice", seed, row.place)
			}
			seen[row.place] = true
			stored.add(row.weight)
		}
		sums := r.sums()
		if sums["received"] != stream.sum || sums["stored"] != stored {
			t.Fatalf("seed %d: accounts %v; sent %v, stored %v", seed, sums, stream.sum, stored)
		}
		if left := sums[sampledKey]; left.events != stream.sum.events-stored.events || left.weight != stream.sum.weight-stored.weight {
			t.Fatalf("seed %d: sampled %v of %v, stored %v", seed, left, stream.sum, stored)
		}
		for _, e := range stream.all {
			if e.kind != millrace.KindException && !seen[e.place] {
				t.Fatalf("seed %d: line %v is not stored", seed, e.place)
			}
		}
		kept := groups(r.store.rows)
		for g, all := range groups(stream.all) {
			want := choice(g, all, opts.Exceptions.Samples)
			for p := range want {
				if !seen[p] {
					t.Fatalf("seed %d: %v of %v is in the choice, and not stored", seed, p, g)
				}
			}
			if got := choice(g, kept[g], opts.Exceptions.Samples); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d: of what is stored a reader chooses %v, want %v", seed, got, want)
			}
			if len(kept[g]) < len(all) {
				fewer++
			}
		}
	}
	if fewer < 200 {
		t.Errorf("only %d groups of events were sampled: the test shows little", fewer)
	}
}

// TestSamplesTidy: rows of exceptions that were displaced before their flush do not fill
// the memory until then, and all events are accounted for.
func TestSamplesTidy(t *testing.T) {
	const size, records, perRecord = 20_000, 1000, 5
	opts := DefaultOptions()
	opts.Exceptions.DetailBytes = 1 << 40
	r := newSampleRig(t, opts, nil)
	content := strings.Repeat("x", size)
	peak := 0
	for offset := range int64(records) {
		events := make([]millrace.Event, perRecord)
		for i := range events {
			events[i] = thrown("f"+strconv.Itoa(i%5), r.clock.Load()+offset*1e6+int64(i), 1)
			events[i].Message = content
		}
		r.fold(0, offset, events)
		peak = max(peak, cap(r.s.rows.Message.Data))
	}
	if peak > 3*tidyBytes {
		t.Errorf("rows took %d bytes, want about %d", peak, tidyBytes)
	}
	r.flush()
	stored := r.sums()["stored"].events
	if sampled := r.sums()[sampledKey].events; stored < 5*20 || stored > 5*22 || stored+sampled != records*perRecord {
		t.Errorf("%d events stored, %d sampled, of %d", stored, sampled, records*perRecord)
	}
}

// TestSamplesAreFair: over 10,000 fingerprints each of 40 events, which come in any
// number of flushes, is as likely to be a reader's sample as any other, by chi-square.
func TestSamplesAreFair(t *testing.T) {
	const runs, n, k = 10_000, 40, 5
	opts := DefaultOptions()
	opts.Exceptions.Samples = k
	opts.Exceptions.DetailBytes = 1 << 40 // all come at once
	r := newSampleRig(t, opts, nil)
	base := r.clock.Load()
	rng := rand.New(rand.NewPCG(8, 9))
	offset, events := int64(0), []millrace.Event(nil)
	for i := range n { // event i of all fingerprints
		for run := range runs {
			e := thrown("f"+strconv.Itoa(run), base+int64(i)*1e9, 1)
			events = append(events, e)
			if len(events) == 1000 {
				r.fold(0, offset, events)
				offset, events = offset+1, nil
				if rng.IntN(30) == 0 {
					r.flush()
				}
			}
		}
	}
	r.flush()
	counts := [n]float64{}
	kept := groups(r.store.rows)
	for g, rows := range kept {
		res := exception.NewReservoir[int64](exception.SampleSeed(exception.FingerprintHash(g.project, g.fingerprint), g.minute*60e9), k)
		for _, row := range rows {
			res.Offer(row.place, row.time, (row.time-base)/1e9)
		}
		_, _, random, _ := res.Samples()
		if len(random) != k {
			t.Fatalf("%d samples of %v", len(random), g)
		}
		for _, s := range random {
			counts[s.Detail]++
		}
	}
	if len(kept) != runs || len(r.store.rows) >= runs*n*3/4 {
		t.Errorf("%d fingerprints, %d rows of %d events", len(kept), len(r.store.rows), runs*n)
	}
	chi, want := 0.0, float64(runs*k)/n
	for _, c := range counts {
		chi += (c - want) * (c - want) / want
	}
	// Choices without replacement vary less than independent ones; 72.1 is the 99.9th
	// percentile for 39 degrees of freedom.
	if chi *= float64(n-1) / float64(n-k); chi > 72.1 {
		t.Errorf("chi-square is %.1f: %v", chi, counts)
	}
	t.Logf("chi-square %.1f for %d degrees of freedom, %d of %d events stored", chi, n-1, len(r.store.rows), runs*n)
}

// TestDetailBudget: as the budget of a minute is used up, only the oldest and newest
// are stored, then one of a fingerprint, then nothing; the next minute has its own.
func TestDetailBudget(t *testing.T) {
	opts := DefaultOptions()
	opts.Exceptions.DetailBytes = 1 << 20
	r := newSampleRig(t, opts, nil)
	r.s.samples.budget.period, r.s.samples.budget.limit = int64(time.Minute), 1<<20
	offset := int64(0)
	pad := string(make([]byte, 1000))
	send := func(fingerprint string, n int) (stored int) {
		t.Helper()
		before := len(r.store.rows)
		events := make([]millrace.Event, n)
		for i := range events {
			events[i] = thrown(fingerprint, r.clock.Load()+int64(i), 1)
			events[i].Message = pad
		}
		r.fold(0, offset, events)
		offset++
		r.flush()
		return len(r.store.rows) - before
	}
	level := func() budgetLevel { return r.s.samples.budget.level(r.clock.Load()) }
	f := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %d stored, want %d", what, got, want)
		}
	}
	if n := send("free", 100); n < 20 || n > 22 {
		t.Errorf("free: %d stored", n)
	}
	fill := func(until budgetLevel) {
		for i := 0; level() < until; i++ {
			if i > 3000 {
				t.Fatalf("level %d is never reached", until)
			}
			send(fmt.Sprint("fill", until, "-", i), 30)
		}
	}
	fill(budgetThrifty)
	send("hot", 100)
	calm := 0
	for range 5 { // each flush has a newest one
		r.pass(time.Second)
		calm += send("hot", 1) // which is chosen at random now and then
	}
	if calm > 3 {
		t.Errorf("thrifty: %d of 5 newest stored", calm)
	}
	r.pass(11 * time.Second)
	f("thrifty, 10 s later", send("hot", 1), 1)
	fill(budgetTight)
	f("tight", send("tight", 100), 2)
	f("tight again", send("tight", 1), 0)
	r.pass(11 * time.Second)
	f("tight, 10 s later", send("tight", 1), 1)
	fill(budgetLast)
	f("last", send("last", 100), 1)
	f("last again", send("last", 100), 0)
	fill(budgetSpent)
	f("spent", send("spent", 100), 0)
	if st := r.p.Status().Samples; st.DetailBytes < st.DetailLimit || st.DetailBytes > st.DetailLimit+2000 || st.DetailLimit != 1<<20 {
		t.Errorf("status %+v", st)
	}
	r.pass(time.Minute)
	if n := send("spent", 100); n < 20 || n > 22 {
		t.Errorf("another minute: %d stored", n)
	}
	if s := r.sums(); s["received"].events != s["stored"].events+s[sampledKey].events || s["stored"].events != int64(len(r.store.rows)) {
		t.Errorf("accounts %v, %d rows", s, len(r.store.rows))
	}
}

// TestDetailBudgetForgets: the minutes kept are bounded, and one that is older than
// all does not get its budget anew.
func TestDetailBudgetForgets(t *testing.T) {
	b := detailBudget{limit: 1000, period: int64(time.Minute)}
	for m := range int64(1000) {
		b.add((1000+m)*60e9, 999)
		b.add((1000+m)*60e9, -1)
		b.add((1000+m)*60e9, 3)
		if len(b.used) > budgetPeriods {
			t.Fatalf("%d periods", len(b.used))
		}
	}
	if minute, used := b.newest(); b.level(1999*60e9) != budgetSpent || used != 1001 || minute != 1999 {
		t.Errorf("level %d, minute %d, %d used", b.level(1999*60e9), minute, used)
	}
	if b.level(60e9) != budgetSpent || b.level(3000*60e9) != budgetFree {
		t.Error("a minute of long ago has a budget, or a new one has none")
	}
}

// TestReservoirsAreBounded: fingerprints beyond the cap share a choice per project and
// minute, and minutes beyond that share one; those that nothing touches make room.
func TestReservoirsAreBounded(t *testing.T) {
	opts := DefaultOptions()
	opts.Exceptions.Reservoirs, opts.Exceptions.Samples = 160, 3
	r := newSampleRig(t, opts, nil)
	held := func() int { return len(r.s.samples.current) + len(r.s.samples.before) }
	offset := int64(0)
	send := func(fingerprints int, at time.Time) int {
		t.Helper()
		before := len(r.store.rows)
		events := make([]millrace.Event, fingerprints)
		for i := range events {
			events[i] = thrown(fmt.Sprint(offset, "-", i), at.UnixNano()+int64(i), 1)
		}
		r.fold(0, offset, events)
		offset++
		r.flush()
		if most := 160 + 10 + 1; held() > most {
			t.Fatalf("%d reservoirs, want at most %d", held(), most)
		}
		return len(r.store.rows) - before
	}
	if n := send(5000, r.now()); n < 160+3 || n > 160+5 {
		t.Errorf("%d stored of 5000 fingerprints", n)
	}
	total := 0
	for m := range 100 {
		total += send(100, r.now().Add(time.Duration(m)*time.Minute))
	}
	if total < 10*3+3 || total > 10*5+5+100*2 {
		t.Errorf("%d stored of 100 minutes", total)
	}
	r.pass(sampleAgeFull)
	send(1, r.now())
	r.pass(sampleAgeFull)
	if n := send(100, r.now()); n != 100 {
		t.Errorf("after a while %d stored of 100 fingerprints", n)
	}
	r.pass(3 * sampleAge)
	if send(1, r.now()); held() != 1 {
		t.Errorf("%d reservoirs after all were idle", held())
	}
	if s := r.sums(); s["received"].events != s["stored"].events+s[sampledKey].events {
		t.Errorf("accounts %v", s)
	}
}

// TestPaceCountsSampledEvents: what is counted and not stored does not slow the worker.
func TestPaceCountsSampledEvents(t *testing.T) {
	r := newSampleRig(t, DefaultOptions(), nil)
	r.p.pace.free = false
	r.store.before = func(*millrace.EventRows) error {
		r.pass(2 * time.Second)
		return nil
	}
	events := make([]millrace.Event, 10_000)
	for i := range events {
		events[i] = thrown("f", r.clock.Load()+int64(i), 1)
	}
	r.fold(0, 0, events)
	r.flush()
	if rate, _ := r.p.pace.rate(); rate != 5000 {
		t.Errorf("%v events a second, want those folded", rate)
	}
}
