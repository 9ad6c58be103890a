package clickhouse_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/chtest"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/storetest"
)

// counter writes events and the cells that count them, and knows how many there
// must be.
type counter struct {
	t      *testing.T
	db     *clickhouse.DB
	def    millrace.RollupSchema
	now    time.Time
	total  int64
	offset int64
	failed int // operations that returned an error
}

func newCounter(t *testing.T, db *clickhouse.DB) *counter {
	c := &counter{t: t, db: db, now: storetest.Base.Add(80 * time.Hour), def: millrace.RollupSchema{
		Name: "f", Dimensions: []string{"service"},
		Sets:    []millrace.DimensionSet{{Dims: []int{0}, Granularities: []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}}},
		Metrics: []millrace.Metric{{Name: "pv", Func: millrace.FuncCount}},
	}}
	c.until("define", func() error { return db.DefineRollups(t.Context(), []millrace.RollupSchema{c.def}) })
	return c
}

// until does something that may fail until it does not.
func (c *counter) until(what string, f func() error) {
	c.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; c.failed++ {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("%s fails for ever: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// write stores 20 events of three days and their cells.
func (c *counter) write() {
	c.t.Helper()
	const n = 20
	rows := &millrace.EventRows{}
	cells := c.batch()
	for i := range int64(n) {
		at := storetest.Base.Unix() + (c.offset*n+i)*7*60%(72*3600)
		rec := &millrace.Record{Offset: c.offset, Arrived: c.now.UnixNano()}
		rows.Append(rec, &millrace.Event{Time: at * 1e9, Weight: 1, Ordinal: int32(i), Service: "s"})
		add(cells, at, 1)
	}
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		from := []millrace.Position{{}}
		if c.offset > 0 {
			from[0].TopicID, from[0].Offset = "t", c.offset
		}
		commit := &millrace.Commit{
			Sink: sink, From: from, Positions: []millrace.Position{{TopicID: "t", Offset: c.offset + 1}},
			Ledger: []millrace.LedgerEntry{{Sink: sink, Project: "p", Source: "s", Minute: c.now.Unix(), Outcome: millrace.OutcomeReceived, Events: n, Weight: n}},
		}
		c.until("write", func() error {
			state, err := c.db.Load(c.t.Context(), sink)
			if err != nil || len(state.Positions) > 0 && state.Positions[0].Offset > c.offset {
				return err // committed, and only the answer was lost
			}
			if sink == millrace.SinkEvents {
				return c.db.WriteEvents(c.t.Context(), rows, commit)
			}
			return c.db.WriteCells(c.t.Context(), []*millrace.CellBatch{cells}, commit)
		})
	}
	c.offset++
	c.total += n
}

func (c *counter) batch() *millrace.CellBatch {
	return &millrace.CellBatch{Rollup: "f", Set: c.def.Sets[0], Dims: make([][]string, 1), States: []millrace.StateColumn{{Kind: millrace.StateSum}}}
}

func add(b *millrace.CellBatch, at, n int64) {
	b.Bucket, b.Dims[0] = append(b.Bucket, millrace.Minute.Floor(at)), append(b.Dims[0], "s")
	b.States[0].Ints = append(b.States[0].Ints, n)
}

// counting is a Refolder that counts events.
type counting struct{ batch *millrace.CellBatch }

func (f *counting) Fold(events []millrace.Event) error {
	for i := range events {
		add(f.batch, events[i].Time/1e9, events[i].Weight)
	}
	return nil
}

func (f *counting) Drain() ([]*millrace.CellBatch, error) { return []*millrace.CellBatch{f.batch}, nil }

// refold folds a part of the three days again, which changes nothing.
func (c *counter) refold(from, to time.Duration) {
	c.t.Helper()
	c.until("refold", func() error {
		_, err := c.db.Refold(c.t.Context(), millrace.RefoldQuery{
			Rollup: c.def, From: storetest.Base.Add(from).Unix(), To: storetest.Base.Add(to).Unix(),
		}, &counting{c.batch()})
		return err
	})
}

// settle does all upkeep of the next day.
func (c *counter) settle() {
	c.t.Helper()
	c.now = c.now.Add(25 * time.Hour)
	for more := true; more; {
		c.until("upkeep", func() (err error) {
			more, err = c.db.Maintain(c.t.Context(), c.now)
			return err
		})
	}
}

func (c *counter) check(after string) {
	c.t.Helper()
	for _, g := range c.def.Sets[0].Granularities {
		var got int64
		c.until("read", func() error {
			cells, err := c.db.Cells(c.t.Context(), millrace.CellQuery{
				Rollup: "f", Granularity: g, Set: c.def.Sets[0], From: storetest.Base.Unix(), To: storetest.Base.Unix() + 90*86400, States: []int{0},
			})
			if err == nil && cells.Len() == 1 {
				got = cells.States[0].Ints[0]
			}
			return err
		})
		if got != c.total {
			c.t.Fatalf("%s: %d at %s, want %d", after, got, g, c.total)
		}
	}
}

// lasting options keep cells for as long as a test takes by its own clock.
func lasting(opt clickhouse.Options) clickhouse.Options {
	century := millrace.Duration(100 * 365 * 24 * time.Hour)
	opt.Retention = clickhouse.Retention{Events: century, MinuteCells: century, HourCells: century, DayCells: century, Ledger: century}
	return opt
}

// TestCellFaults cuts each statement of settling and refolding in each way, has
// Commits fail before and after the switch, and stops between them.
func TestCellFaults(t *testing.T) {
	s := server(t)
	direct := database(t, s)
	p := faultproxy.Start(t, s.Addr)
	commits := committest.New(clock)
	var broken atomic.Pointer[string]
	commits.Fault = func(where string) error {
		if b := broken.Load(); b != nil && *b == where && broken.CompareAndSwap(b, nil) {
			return fmt.Errorf("broken: %s", where)
		}
		return nil
	}
	c := newCounter(t, open(t, lasting(impatient(through(direct, s, p))), commits))
	defer c.db.Close()
	for _, table := range []string{"cell_periods", "minutes_f", "hours_f", "days_f"} {
		for _, kind := range cuts {
			c.write()
			struck := p.Inject(faultproxy.Fault{Kind: kind, Match: "." + "`" + table + "` (", Skip: 0})
			c.settle()
			c.check(fmt.Sprintf("settling, cut %v of an insertion into %s", kind, table))
			select {
			case <-struck:
			default:
				t.Errorf("%s, %v: no connection was cut", table, kind)
			}
			p.Calm()
		}
	}
	for _, where := range []string{"settle", "settle.after", "begin", "begin.after", "cut", "state"} {
		c.write()
		broken.Store(&where)
		c.settle()
		c.check("settling, Commits fails at " + where)
		c.write()
		broken.Store(&where)
		c.refold(5*time.Hour+3*time.Minute, 31*time.Hour+40*time.Minute)
		c.check("refolding, Commits fails at " + where)
	}
	for _, point := range []string{"settle", "settle.after", "refold", "refold.after", "forget"} {
		c.write()
		if err := failpoint.Set(point + "=error"); err != nil {
			t.Fatal(err)
		}
		c.settle()
		c.refold(2*time.Hour, 50*time.Hour+time.Minute)
		c.check("stopped at " + point)
		if err := failpoint.Set(""); err != nil {
			t.Fatal(err)
		}
	}
	for _, table := range []string{"deltas_f", "cell_periods", "minutes_f", "hours_f", "days_f"} {
		match := "`" + table + "` ("
		if table == "deltas_f" { // rows are sent, and the statement is in the address
			match = table
		}
		for _, kind := range []faultproxy.Kind{faultproxy.InRequest, faultproxy.BeforeAnswer} {
			c.write()
			struck := p.Inject(faultproxy.Fault{Kind: kind, Match: match, Skip: map[bool]int{true: 3}[table == "deltas_f"]})
			c.refold(time.Hour+40*time.Minute, 25*time.Hour)
			c.check(fmt.Sprintf("refolding, cut %v of an insertion into %s", kind, table))
			select {
			case <-struck:
			default:
				t.Errorf("%s, %v: no connection was cut", table, kind)
			}
			p.Calm()
		}
		c.settle()
		c.check("settled after it")
	}
	t.Logf("%d events, %d operations failed", c.total, c.failed)
}

// TestCellsKilledServer kills the engine at random while cells are written,
// settled, folded again and read.
func TestCellsKilledServer(t *testing.T) {
	server(t) // skips
	s := chtest.Start(t, t.TempDir())
	c := newCounter(t, open(t, lasting(impatient(database(t, s))), committest.New(clock)))
	defer c.db.Close()
	const kills = 6
	rng := rand.New(rand.NewPCG(7, 8))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range kills {
			time.Sleep(time.Duration(100+rng.IntN(600)) * time.Millisecond)
			s.Kill()
			if err := s.Restart(); err != nil {
				t.Error(err)
			}
		}
	}()
	for round := 0; ; round++ {
		c.write()
		switch round % 3 {
		case 1:
			c.settle()
		case 2:
			c.refold(time.Duration(round%50)*time.Hour+7*time.Minute, 60*time.Hour)
		}
		c.check(fmt.Sprint("round ", round))
		select {
		case <-done:
			c.settle()
			c.check("at the end")
			t.Logf("%d events in %d rounds, %d operations failed", c.total, round, c.failed)
			return
		default:
		}
	}
}
