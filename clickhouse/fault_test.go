package clickhouse_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/storetest"
)

// worker stores the events with offsets 0 to end of one partition, a few at a
// time, as the pipeline does: after an error it asks how far it came.
type worker struct {
	t         *testing.T
	db        *clickhouse.DB
	partition int32
	end       int64
	failed    int // writes that returned an error
}

const perFlush = 25

func (w *worker) run() {
	ctx := w.t.Context()
	claimed := false
	for deadline := time.Now().Add(90 * time.Second); ; {
		if time.Now().After(deadline) {
			w.t.Errorf("partition %d: not done in time", w.partition)
			return
		}
		var state *millrace.SinkState
		var err error
		if claimed {
			state, err = w.db.Load(ctx, millrace.SinkEvents)
		} else {
			state, err = w.db.Claim(ctx, millrace.SinkEvents, []int32{w.partition})
		}
		if err != nil {
			w.failed++
			time.Sleep(10 * time.Millisecond)
			continue
		}
		claimed = true
		from := millrace.Position{Partition: w.partition}
		for _, p := range state.Positions {
			if p.Partition == w.partition {
				from = p
			}
		}
		if from.Offset >= w.end {
			return
		}
		switch err := w.write(from); {
		case err == nil:
		case millrace.ErrorCode(err) == millrace.ErrConflict:
			claimed = false
			w.failed++
		default:
			w.failed++
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func (w *worker) write(from millrace.Position) error {
	rows := &millrace.EventRows{}
	var n int64
	for o := from.Offset; o < min(from.Offset+perFlush, w.end); o++ {
		e := &millrace.Event{Time: storetest.Base.UnixNano() + o, Weight: 1, Project: "p", Source: "s", Message: fmt.Sprint(o)}
		rows.Append(&millrace.Record{Partition: w.partition, Offset: o, Arrived: storetest.Base.UnixNano()}, e)
		n++
	}
	return w.db.WriteEvents(w.t.Context(), rows, &millrace.Commit{
		Sink: millrace.SinkEvents, From: []millrace.Position{from},
		Positions: []millrace.Position{{Partition: w.partition, TopicID: "t", Offset: from.Offset + n}},
		Ledger: []millrace.LedgerEntry{{
			Sink: millrace.SinkEvents, Project: "p", Source: "s", Minute: storetest.Base.Unix(), Outcome: millrace.OutcomeStored, Events: n, Weight: n,
		}},
	})
}

// exactlyOnce checks that every event of the partitions is there once, and that the
// accounts say so.
func exactlyOnce(t *testing.T, db *clickhouse.DB, partitions int32, end int64) {
	t.Helper()
	seen := map[[2]int64]int{}
	q := millrace.EventQuery{From: 0, To: 1<<63 - 1, Limit: 10_000}
	for {
		page, err := db.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			seen[[2]int64{int64(e.Partition), e.Offset}]++
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for p := range partitions {
		for o := range end {
			if n := seen[[2]int64{int64(p), o}]; n != 1 {
				t.Errorf("partition %d, offset %d: %d times", p, o, n)
			}
		}
	}
	want := int64(partitions) * end
	if int64(len(seen)) != want {
		t.Errorf("%d different events, want %d", len(seen), want)
	}
	counts, err := db.CountEvents(t.Context(), q, 0)
	if err != nil || len(counts) != 1 || counts[0].Events != want {
		t.Errorf("counts %v (%v), want %d", counts, err, want)
	}
	ledger, err := db.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil || len(ledger) != 1 || ledger[0].Events != want {
		t.Errorf("accounts %+v (%v), want %d", ledger, err, want)
	}
}

// impatient options give up soon, so that many faults fit into a test.
func impatient(opt clickhouse.Options) clickhouse.Options {
	opt.Timeout, opt.Retry, opt.Connect = millrace.Duration(3*time.Second), millrace.Duration(time.Second), millrace.Duration(time.Second)
	return opt
}

// through returns options that reach the server through a proxy.
func through(opt clickhouse.Options, s *chtest.Server, p *faultproxy.Proxy) clickhouse.Options {
	opt.Address = strings.Replace(opt.Address, s.Addr, p.Addr, 1)
	return opt
}

var cuts = []faultproxy.Kind{faultproxy.BeforeRequest, faultproxy.InRequest, faultproxy.BeforeAnswer, faultproxy.InAnswer}

// TestCutConnections cuts each request of a write in each way.
func TestCutConnections(t *testing.T) {
	s := server(t)
	direct := database(t, s)
	p := faultproxy.Start(t, s.Addr)
	commits := committest.New(clock)
	var end int64
	for _, table := range []string{"events_rows", "ledger_rows", "hidden_flushes"} {
		for _, kind := range cuts {
			for skip := range 2 { // the question for the columns, and the insertion
				// A store that has not yet asked what columns there are.
				db := open(t, impatient(through(direct, s, p)), commits)
				if table == "hidden_flushes" { // for there to be something to hide
					p.Inject(faultproxy.Fault{Kind: faultproxy.BeforeAnswer, Match: "ledger_rows", Skip: 1})
				}
				struck := p.Inject(faultproxy.Fault{Kind: kind, Match: table, Skip: skip})
				end += perFlush
				w := &worker{t: t, db: db, end: end}
				w.run()
				select {
				case <-struck:
				default:
					t.Errorf("%s, %v, %d: no connection was cut", table, kind, skip)
				}
				p.Calm()
				db.Close()
			}
		}
	}
	db := open(t, direct, commits)
	defer db.Close()
	exactlyOnce(t, db, 1, end)
	if t.Failed() {
		return
	}
	hidden, err := db.Stats(t.Context())
	if err != nil || hidden.Events != end {
		t.Errorf("stats %+v (%v)", hidden, err)
	}
}

// TestChaos cuts connections at random, and has Commits fail before and after it
// has done what it was asked.
func TestChaos(t *testing.T) {
	s := server(t)
	p := faultproxy.Start(t, s.Addr)
	commits := committest.New(clock)
	opt := database(t, s)
	db := open(t, impatient(through(opt, s, p)), commits)
	defer db.Close()
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(7, 11))
	var calm atomic.Bool
	commits.Fault = func(where string) error {
		mu.Lock()
		defer mu.Unlock()
		if !calm.Load() && rng.IntN(12) == 0 {
			return fmt.Errorf("%s: the connection to the database was lost", where)
		}
		return nil
	}
	p.Chaos(3, 8, cuts...)
	const end = 20 * perFlush
	var wg sync.WaitGroup
	workers := make([]*worker, 3)
	for i := range workers {
		workers[i] = &worker{t: t, db: db, partition: int32(i), end: end}
		wg.Go(workers[i].run)
	}
	wg.Wait()
	calm.Store(true)
	p.Calm()
	exactlyOnce(t, db, int32(len(workers)), end)
	failed := 0
	for _, w := range workers {
		failed += w.failed
	}
	t.Logf("%d writes failed, %+v", failed, p.Stats())
	if failed < 5 {
		t.Errorf("only %d writes failed", failed)
	}
}

// TestKilledServer kills the engine while rows are written.
func TestKilledServer(t *testing.T) {
	server(t) // skips
	s := chtest.Start(t, t.TempDir())
	opt := impatient(database(t, s))
	db := open(t, opt, committest.New(clock))
	defer db.Close()
	const kills, end = 6, 1 << 40
	rng := rand.New(rand.NewPCG(1, 2))
	w := &worker{t: t, db: db, end: end}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range kills {
			time.Sleep(time.Duration(50+rng.IntN(300)) * time.Millisecond)
			s.Kill()
			if err := s.Restart(); err != nil {
				t.Error(err)
			}
		}
	}()
	var reached int64
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		reached += perFlush
		w.end = reached
		w.run()
	}
	exactlyOnce(t, db, 1, reached)
	t.Logf("%d events, %d failed writes", reached, w.failed)
}

// TestTwoWorkers: both believe that the partition is theirs.
func TestTwoWorkers(t *testing.T) {
	opt := database(t, server(t))
	commits := committest.New(clock)
	const end = 8 * perFlush
	var wg sync.WaitGroup
	workers := make([]*worker, 2)
	for i := range workers {
		db := open(t, opt, commits)
		defer db.Close()
		workers[i] = &worker{t: t, db: db, end: end}
		wg.Go(workers[i].run)
	}
	wg.Wait()
	exactlyOnce(t, workers[0].db, 1, end)
	t.Logf("%d and %d writes failed", workers[0].failed, workers[1].failed)
}

// TestZombie: a worker sleeps between its insertion and its commit, another takes
// over, and the first wakes up.
func TestZombie(t *testing.T) {
	opt := database(t, server(t))
	commits := committest.New(clock)
	a, b := open(t, opt, commits), open(t, opt, commits)
	defer a.Close()
	defer b.Close()
	asleep, awake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	commits.Fault = func(where string) error {
		if where == "commit" {
			first := false
			once.Do(func() { first = true })
			if first {
				close(asleep)
				<-awake
			}
		}
		return nil
	}
	zombie := make(chan error)
	go func() {
		w := &worker{t: t, db: a, end: perFlush}
		zombie <- w.write(millrace.Position{})
	}()
	<-asleep
	(&worker{t: t, db: b, end: perFlush}).run()
	exactlyOnce(t, b, 1, perFlush)
	close(awake)
	if err := <-zombie; millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("the commit of a worker that was overtaken: %v", err)
	}
	exactlyOnce(t, b, 1, perFlush)
}

// TestBrokenCommits: rows are stored, and nothing answers any more when they should
// count. They do not count until that is settled, and then once.
func TestBrokenCommits(t *testing.T) {
	opt := database(t, server(t))
	commits := committest.New(clock)
	db := open(t, opt, commits)
	defer db.Close()
	var down atomic.Bool
	commits.Fault = func(where string) error {
		if where == "commit" || where == "commit.after" || down.Load() {
			down.Store(true)
			return errors.New("gone")
		}
		return nil
	}
	w := &worker{t: t, db: db, end: perFlush}
	for range 3 {
		if w.write(millrace.Position{}) == nil {
			t.Fatal("a write succeeded without Commits")
		}
	}
	down.Store(false)
	commits.Fault = nil
	w.run()
	exactlyOnce(t, db, 1, perFlush)
}
