package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
)

// sunkStore keeps positions and forgets rows and cells.
type sunkStore struct{ *memory.Store }

func (s sunkStore) WriteEvents(ctx context.Context, _ *millrace.EventRows, c *millrace.Commit) error {
	return s.Store.WriteEvents(ctx, &millrace.EventRows{}, c)
}

func (s sunkStore) WriteCells(ctx context.Context, _ []*millrace.CellBatch, c *millrace.Commit) error {
	return s.Store.WriteCells(ctx, nil, c)
}

// BenchmarkPipeline is the worker without its store: a full queue, read, decoded and
// folded to the end. Compare with -cpu 1,2.
func BenchmarkPipeline(b *testing.B) {
	access := func(i int) string { return strings.Repeat(hostileLine(i%50)+"\n", 20) }
	crash := func(i int) string {
		return fmt.Sprintf(`{"level":"error","service":"shop","message":"order failed","stack_trace":%s}`+"\n",
			millrace.AppendJSONString(nil, javaTrace(900, 6, i)))
	}
	for _, c := range []struct {
		name, format string
		size         int
		line         func(i int) string
	}{
		{"access/1MB", "auto", 1 << 20, access},
		{"access/3KB", "auto", 3000, access},
		{"exceptions/1MB", "json", 1 << 20, crash},
		{"exceptions/1KB", "json", 1000, crash},
	} {
		b.Run(c.name, func(b *testing.B) { benchPipeline(b, c.format, c.size, c.line) })
	}
}

func benchPipeline(b *testing.B, format string, size int, line func(int) string) {
	opts := queue.DefaultOptions()
	opts.Durability, opts.MaxBytes = queue.DurabilityOS, 1<<30
	q, err := queue.Open(b.Context(), opts, b.TempDir(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = q.Close() }()
	records, events := min(80<<20/size, 8000), 0
	var recs []*millrace.Record
	for range records {
		rec := &millrace.Record{Project: millrace.DefaultProject, Source: "s", Format: format, Parts: 1}
		for {
			for l := range strings.Lines(line(events)) {
				rec.Payload = append(rec.Payload, l...)
				rec.Frames = append(rec.Frames, uint32(len(l)))
				events++
			}
			if len(rec.Payload)+2000 > size {
				break
			}
		}
		recs = append(recs, rec)
	}
	for len(recs) > 0 {
		n := min(len(recs), 16)
		if err := q.Append(b.Context(), recs[:n]); err != nil {
			b.Fatal(err)
		}
		recs = recs[n:]
	}
	var v millrace.Violations
	var rollups []*rollup.Rollup
	for _, d := range rollup.Defaults() {
		rollups = append(rollups, rollup.Compile(d, d.Name, &v))
	}
	b.ResetTimer()
	before := cpuTime(b)
	for range b.N {
		drainOnce(b, q, rollups, records)
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(events*b.N), "cpu-ns/event")
}

// drainOnce runs a pipeline until both sinks have committed all records.
func drainOnce(b *testing.B, q *queue.Queue, rollups []*rollup.Rollup, records int) {
	store := sunkStore{memory.New()}
	var schemas []millrace.RollupSchema
	for _, d := range rollups {
		schemas = append(schemas, d.RollupSchema)
	}
	if err := store.DefineRollups(b.Context(), schemas); err != nil {
		b.Fatal(err)
	}
	opts := DefaultOptions()
	opts.FlushInterval, opts.RollupInterval = millrace.Duration(100*time.Millisecond), millrace.Duration(100*time.Millisecond)
	p := New(opts, Deps{Queue: q, Store: store, Rollups: rollups, Now: time.Now, Log: slog.New(slog.DiscardHandler), Fingerprint: 2})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	if err := p.Recover(ctx); err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	for committed := int64(0); committed < int64(records); time.Sleep(2 * time.Millisecond) {
		committed = 0
		for _, at := range p.stats.lowest() {
			committed += at
		}
	}
	cancel()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
