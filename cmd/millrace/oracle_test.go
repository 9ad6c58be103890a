package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
)

// oracle is the in-memory store fed with the same input once, in order, without
// anything going wrong.
type oracle struct {
	store   millrace.Store
	rollups []*rollup.Rollup
	events  int
}

// newOracle reads a file of lines as the importer would and folds it with the
// pipeline into the memory store. rollups is that part of the configuration.
func newOracle(t *testing.T, rollups, path, source string, now func() time.Time) *oracle {
	t.Helper()
	cfg, err := config.Parse([]byte("queue: {durability: os}\n" + rollups))
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{store: memory.New(), rollups: cfg.Compile()}
	var schemas []millrace.RollupSchema
	for _, r := range o.rollups {
		schemas = append(schemas, r.RollupSchema)
	}
	if err := o.store.DefineRollups(t.Context(), schemas); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	q, err := queue.Open(t.Context(), cfg.Queue, t.TempDir(), log, now)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	p := pipeline.New(cfg.Pipeline, pipeline.Deps{Queue: q, Store: o.store, Rollups: o.rollups, Fingerprint: exception.LatestVersion, Now: now, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	o.feed(t, q, path, source)
	for o.accounted(t) < 2*o.events {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *oracle) accounted(t *testing.T) int {
	t.Helper()
	entries, err := o.store.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.Outcome == millrace.OutcomeReceived {
			n += int(e.Events)
		}
	}
	return n
}

// feed appends whole lines in records of about half a mebibyte. The test's lines
// are events of one line each, so any cut is good.
func (o *oracle) feed(t *testing.T, q *queue.Queue, path, source string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewReader(f)
	var framing decode.Framing
	for {
		chunk, err := io.ReadAll(io.LimitReader(in, 512<<10))
		if err != nil {
			t.Fatal(err)
		}
		rest, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if chunk = append(chunk, rest...); len(chunk) == 0 {
			return
		}
		if err := decode.Frame("auto", chunk, decode.Limits{}, &framing); err != nil {
			t.Fatal(err)
		}
		rec := &millrace.Record{Project: millrace.DefaultProject, Source: source, Format: "auto", Sender: "127.0.0.1", Parts: 1}
		for _, e := range framing.Events {
			rec.Payload = append(rec.Payload, chunk[e.Start:e.End]...)
			rec.Frames = append(rec.Frames, uint32(e.End-e.Start))
		}
		o.events += len(rec.Frames)
		if err := q.Append(t.Context(), []*millrace.Record{rec}); err != nil {
			t.Fatal(err)
		}
	}
}

// dumpCells returns every cell of every rollup, set and granularity, a line each.
func dumpCells(t *testing.T, store millrace.Store, rollups []*rollup.Rollup) []string {
	t.Helper()
	var lines []string
	for _, r := range rollups {
		states := make([]int, len(r.States()))
		for i := range states {
			states[i] = i
		}
		for _, set := range r.Sets {
			for _, g := range set.Granularities {
				cells, err := store.Cells(t.Context(), millrace.CellQuery{
					Rollup: r.Name, Granularity: g, Set: set, By: set.Dims, States: states,
					From: 0, To: math.MaxInt32, Step: int64(g),
				})
				if err != nil {
					t.Fatal(err)
				}
				prefix := fmt.Sprintf("%s %s [%s]", r.Name, g, r.SetName(set))
				lines = appendCells(lines, prefix, cells)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func appendCells(lines []string, prefix string, cells *millrace.CellBatch) []string {
	for i := range cells.Len() {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %d", prefix, cells.Bucket[i])
		for _, d := range cells.Dims {
			fmt.Fprintf(&b, " %q", d[i])
		}
		for _, s := range cells.States {
			switch s.Kind {
			case millrace.StateSum:
				fmt.Fprintf(&b, " %d", s.Ints[i])
			case millrace.StateMin, millrace.StateMax:
				fmt.Fprintf(&b, " %g", s.Floats[i])
			default:
				fmt.Fprintf(&b, " %x", s.Blobs[i])
			}
		}
		lines = append(lines, b.String())
	}
	return lines
}

// equalLines reports the first differences of two sorted dumps.
func equalLines(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	t.Errorf("%d cells, want %d", len(got), len(want))
	shown := 0
	for i := 0; i < max(len(got), len(want)) && shown < 5; i++ {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("cell %d:\n got %.300s\nwant %.300s", i, g, w)
			shown++
		}
	}
}

// summed returns a store's accounts over all time, a line each.
func summed(t *testing.T, store millrace.Store) []string {
	t.Helper()
	entries, err := store.Ledger(t.Context(), millrace.LedgerQuery{})
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string][2]int64{}
	for _, e := range entries {
		key := fmt.Sprint(e.Sink, " ", e.Project, " ", e.Source, " ", e.Outcome, " ", e.Reason)
		s := sums[key]
		sums[key] = [2]int64{s[0] + e.Events, s[1] + e.Weight}
	}
	var lines []string
	for k, s := range sums {
		lines = append(lines, fmt.Sprintf("%s %d %d", k, s[0], s[1]))
	}
	slices.Sort(lines)
	return lines
}
