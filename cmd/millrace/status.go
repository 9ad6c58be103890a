package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/query"
)

// statusReporter puts together what the Pipeline page, /api/v1/status and
// /metrics show. It looks at everything once a second, so that showing it costs
// nothing. Safe for concurrent use.
type statusReporter struct {
	server   *server
	schemas  []millrace.RollupSchema
	registry *prometheus.Registry
	started  time.Time

	mu      sync.Mutex
	last    query.PipelineStatus
	samples []sample // one per second, at most a minute of them
	reached map[string][]reach
	rules   rulesShown
}

// sample is a point from which rates are computed.
type sample struct {
	at     time.Time
	events map[string]int64 // per stage
	bytes  int64            // decoded
}

// reach says when a partition's end was first seen, to turn a lag in records
// into seconds.
type reach struct {
	offset int64
	at     time.Time
}

func newStatusReporter(s *server, schemas []millrace.RollupSchema) *statusReporter {
	r := &statusReporter{
		server: s, schemas: schemas, started: s.now(), registry: prometheus.NewRegistry(),
		reached: map[string][]reach{},
	}
	r.register()
	return r
}

// run refreshes the snapshot until ctx ends.
func (r *statusReporter) run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := r.server.disk.look(); err != nil {
			r.server.log.Error("disk guard", "err", err)
		}
		r.server.memory.look()
		r.refresh()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// snapshot returns the latest status.
func (r *statusReporter) snapshot() query.PipelineStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

func (r *statusReporter) refresh() {
	st, now := r.server.pipeline.Status(), r.server.now()
	size, _ := r.server.queue.Size() // a fault of the queue shows in Healthy
	usage := r.server.disk.usage.Load()
	out := query.PipelineStatus{
		Version: version(), Started: r.started, QueueBytes: size,
		DiskFree: usage.free, DiskTotal: usage.total,
		MemoryBytes: residentBytes(), MemoryLimit: int64(r.server.cfg.Memory),
		Problems: r.problems(st), Listen: r.server.listening(),
		Rollups: query.RollupStatus{
			Bytes: st.Rollups.Bytes, Peak: st.Rollups.PeakBytes, Limit: int64(r.server.live.Load().Pipeline.RollupMemory),
			Dictionaries: st.Rollups.Dictionaries, OpenCells: st.Rollups.OpenCells, EarlyFlushes: st.Rollups.EarlyFlushes,
		},
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Received = query.Rate{Events: r.rate(st, "decode", now), Bytes: r.byteRate(st, now)}
	slices.SortFunc(st.Partitions, func(a, b pipeline.PartitionStatus) int { return int(a.Partition - b.Partition) })
	for _, p := range st.Partitions {
		out.Partitions = append(out.Partitions, query.PartitionStatus{
			Partition: p.Partition, Generation: p.Generation, Start: p.Low, End: p.High,
		})
		for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			stage := stageOf(st, "store "+string(sink))
			out.Sinks = append(out.Sinks, query.SinkStatus{
				Sink: sink, Partition: p.Partition, Offset: p.Committed[sink],
				Records: max(0, p.High-p.Committed[sink]), Seconds: r.lagSeconds(p, sink, now),
				LastFlush: stage.LastCommit, FlushTime: stage.LastTook.Seconds(),
				Rate: query.Rate{Events: r.rate(st, stage.Name, now)}, Error: st.Faults[stage.Name],
			})
		}
	}
	r.remember(st, now)
	r.last = out
}

func stageOf(st pipeline.Status, name string) pipeline.StageStatus {
	for _, s := range st.Stages {
		if s.Name == name {
			return s
		}
	}
	return pipeline.StageStatus{Name: name}
}

// problems says in words what an operator should look at.
func (r *statusReporter) problems(st pipeline.Status) []string {
	var out []string
	for place, fault := range st.Faults {
		out = append(out, place+": "+fault)
	}
	out = append(out, r.server.node.problems()...)
	for _, err := range []error{r.server.pressure(), r.server.queue.Healthy()} {
		if err != nil {
			out = append(out, err.Error())
		}
	}
	if at, err := r.server.lastReload(); err != nil {
		out = append(out, fmt.Sprintf("configuration: refused at %s, the one before stays: %v", at.UTC().Format(time.RFC3339), err))
	}
	for _, f := range st.Folded {
		where := pipeline.FoldedAt(f)
		out = append(out, fmt.Sprintf("rollup %s: weight %d counted under (other): %s", where, f.Weight, query.FoldedHint(where)))
	}
	if limit := int64(r.server.live.Load().Pipeline.RollupMemory); st.Rollups.Dictionaries > limit*7/8 {
		out = append(out, fmt.Sprintf("rollups: dictionaries take %s of pipeline.rollup_memory, %s, and leave too little for cells: raise it, or lower pipeline.dimension_values",
			millrace.Bytes(st.Rollups.Dictionaries), millrace.Bytes(limit)))
	}
	if s := samplesProblem(st.Samples, r.server.now()); s != "" {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// rate is the events per second of a stage over the samples kept, up to a minute.
func (r *statusReporter) rate(st pipeline.Status, stage string, now time.Time) float64 {
	first := r.first(now)
	return float64(stageOf(st, stage).Events-first.events[stage]) / now.Sub(first.at).Seconds()
}

// byteRate is the bytes per second decoded.
func (r *statusReporter) byteRate(st pipeline.Status, now time.Time) float64 {
	first := r.first(now)
	return float64(stageOf(st, "decode").Bytes-first.bytes) / now.Sub(first.at).Seconds()
}

// first returns the oldest sample that rates count from; before there is one,
// the start.
func (r *statusReporter) first(now time.Time) sample {
	if len(r.samples) > 0 && r.samples[0].at.Before(now) {
		return r.samples[0]
	}
	return sample{at: r.started.Add(-time.Second)}
}

const samplesKept = 60

func (r *statusReporter) remember(st pipeline.Status, now time.Time) {
	s := sample{at: now, events: map[string]int64{}}
	for _, stage := range st.Stages {
		s.events[stage.Name] = stage.Events
		s.bytes += stage.Bytes
	}
	r.samples = append(r.samples, s)
	if len(r.samples) > samplesKept {
		r.samples = slices.Delete(r.samples, 0, len(r.samples)-samplesKept)
	}
}

// lagSeconds is the age of the oldest record a sink has not committed, known to
// the second from when each end of the log was first seen.
func (r *statusReporter) lagSeconds(p pipeline.PartitionStatus, sink millrace.Sink, now time.Time) float64 {
	key := string(sink) + strconv.Itoa(int(p.Partition))
	seen := r.reached[key]
	if n := len(seen); n == 0 || seen[n-1].offset != p.High {
		seen = append(seen, reach{p.High, now})
	}
	for len(seen) > 0 && seen[0].offset <= p.Committed[sink] {
		seen = seen[1:]
	}
	r.reached[key] = seen
	if len(seen) == 0 {
		return 0
	}
	return now.Sub(seen[0].at).Seconds()
}

// residentBytes reads the process's memory from the kernel; 0 where there is no
// /proc.
func residentBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
