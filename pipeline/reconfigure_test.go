package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

func compiled(t *testing.T, defs ...rollup.Definition) []*rollup.Rollup {
	t.Helper()
	var v millrace.Violations
	var out []*rollup.Rollup
	for _, d := range defs {
		out = append(out, rollup.Compile(d, d.Name, &v))
	}
	if err := v.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func counting(name string, dims ...string) rollup.Definition {
	return rollup.Definition{
		Name: name, Dimensions: dims, Sets: rollup.Cube(dims, len(dims)),
		Metrics: []rollup.NamedMetric{{Name: "n", Expr: "count()"}},
	}
}

// TestReconfigureLosesNothing changes rollups and options while records come in:
// a rollup that stays counts every event once, whatever happens to the others,
// and one that is added counts exactly what came after the change.
func TestReconfigureLosesNothing(t *testing.T) {
	stays := counting("stays", "status")
	r := newRig(t, stays)
	r.start()
	rng := rand.New(rand.NewPCG(1, 1))
	sent := 0
	send := func(records int) {
		for range records {
			lines := accessLines(rng, 1+rng.IntN(20))
			r.send(millrace.Record{}, lines...)
			sent += len(lines)
		}
	}
	for i := range 12 {
		send(20)
		defs := []rollup.Definition{stays}
		if i%2 == 0 {
			defs = append(defs, counting("comes_and_goes", "url"))
		}
		opts := r.opts
		opts.FlushRows = []int{50, 1000, 122_880}[i%3]
		if err := r.p.Reconfigure(t.Context(), opts, compiled(t, defs...)); err != nil {
			t.Fatal(err)
		}
	}
	r.drain()
	before := sent
	late := counting("late")
	if err := r.p.Reconfigure(t.Context(), r.opts, compiled(t, stays, late)); err != nil {
		t.Fatal(err)
	}
	send(30)
	r.drain()
	r.wantCount("stays", sent)
	r.wantCount("late", sent-before)
	if got := r.stored(); got != int64(sent) {
		t.Errorf("%d rows, want %d", got, sent)
	}
	r.wantLedger(fmt.Sprintf("received=%d/%d stored=%d/%d", sent, sent, sent, sent))
}

// wantCount compares the total of a rollup's metric n.
func (r *rig) wantCount(name string, want int) {
	r.t.Helper()
	cells, err := r.store.Cells(r.t.Context(), millrace.CellQuery{
		Rollup: name, Granularity: millrace.Minute, States: []int{0}, From: 0, To: 1 << 40,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	got := int64(0)
	for i := range cells.Len() {
		got += cells.States[0].Ints[i]
	}
	if got != int64(want) {
		r.t.Errorf("rollup %s counts %d, want %d", name, got, want)
	}
}

// A change that the store cannot make leaves everything as it is; one that waits
// for a store that is down is given up.
func TestReconfigureRefused(t *testing.T) {
	stays := counting("stays")
	r := newRig(t, stays)
	r.start()
	other := stays
	other.Metrics = []rollup.NamedMetric{{Name: "n", Expr: "sum(bytes)"}}
	err := r.p.Reconfigure(t.Context(), r.opts, compiled(t, other))
	if millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("another function under the same name: %v", err)
	}
	r.send(millrace.Record{}, "a line")
	r.drain()
	r.wantCount("stays", 1)

	r.store.mu.Lock()
	r.store.before = func(millrace.Sink, *millrace.EventRows) error {
		return millrace.Errorf(millrace.ErrUnavailable, "down")
	}
	r.store.mu.Unlock()
	r.send(millrace.Record{}, "a line")
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := r.p.Reconfigure(ctx, r.opts, compiled(t, stays, counting("late"))); millrace.ErrorCode(err) != millrace.ErrTimeout {
		t.Errorf("while the store is down: %v", err)
	}
	r.store.mu.Lock()
	r.store.before = nil
	r.store.mu.Unlock()
	r.send(millrace.Record{}, "a line")
	r.drain()
	r.wantCount("stays", 3)
	if schema := r.p.deps.Rollups; len(schema) != 1 {
		t.Errorf("%d rollups, want the old one", len(schema))
	}
}
