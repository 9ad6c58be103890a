package main

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace/millrace/pipeline"
)

// desc describes a metric of the process. All names begin with millrace_.
func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("millrace_"+name, help, labels, nil)
}

var (
	descStageEvents  = desc("stage_events_total", "Events a stage has worked on.", "stage")
	descStageSeconds = desc("stage_busy_seconds_total", "Time a stage was at work.", "stage")
	descStageFailed  = desc("stage_failures_total", "Transactions that failed and were tried again.", "stage")
	descCommits      = desc("stage_commits_total", "Transactions committed.", "stage")
	descEnd          = desc("queue_end_offset", "Offset of the next record.", "partition")
	descCommitted    = desc("sink_committed_offset", "Offset a sink has committed.", "sink", "partition")
	descLag          = desc("sink_lag_records", "Records a sink has not committed.", "sink", "partition")
	descLagSeconds   = desc("sink_lag_seconds", "Age of the oldest record a sink has not committed.", "sink", "partition")
	descFolded       = desc("rollup_folded_weight_total", "Weight counted under (other) because a dimension or a set is at its cap.", "rollup", "dimension", "set")
	descRollupBytes  = desc("rollup_memory_bytes", "Memory of the rollup engine: held, most since the start, of that held without open cells, and the limit.", "what")
	descOpenCells    = desc("rollup_open_cells", "Cells that are not stored yet.")
	descEarly        = desc("rollup_early_flushes_total", "Flush barriers before their time, for want of memory.")
	descComplete     = desc("complete_until_seconds", "Time up to which rollups are complete, Unix seconds.")
	descReloadOK     = desc("config_reload_ok", "1 unless the last attempt to reload the configuration was refused.")
	descReloadTime   = desc("config_reload_seconds", "When the configuration was last reloaded or refused, Unix seconds; absent if never.")
	descRuleSources  = desc("rules_sources", "Sources that have rules.")
	descFaults       = desc("faults", "Places that do not work at the moment.")
	descQueueBytes   = desc("queue_bytes", "Size of the queue on disk.")
	descDisk         = desc("disk_bytes", "Space of the data directory's disk.", "state")
	descStoreUp      = desc("store_up", "1 if the store answers, else 0.")
	descStoreRows    = desc("store_rows", "Rows in the store.", "table")
	descStoreBytes   = desc("store_bytes", "Size of the store on disk.", "part")
	descSlices       = desc("store_slices_total", "Slices of upkeep (compaction, hours, days) since the start.")
	descLongest      = desc("store_slice_longest_seconds", "Longest time that a slice of upkeep held the writer since the start.")
	descDirty        = desc("store_dirty_hours", "Hours and days to compute again.")
)

// register makes /metrics show the process, the pipeline and the store.
func (r *statusReporter) register() {
	r.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		r,
	)
}

// Describe implements prometheus.Collector: descriptors come with the metrics.
func (r *statusReporter) Describe(ch chan<- *prometheus.Desc) { ch <- descStageEvents }

// Collect implements prometheus.Collector.
func (r *statusReporter) Collect(ch chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	st, snap := r.server.pipeline.Status(), r.snapshot()
	collectStages(st, counter)
	for _, p := range snap.Partitions {
		gauge(descEnd, float64(p.End), label(p.Partition))
	}
	for _, s := range snap.Sinks {
		gauge(descCommitted, float64(s.Offset), string(s.Sink), label(s.Partition))
		gauge(descLag, float64(s.Records), string(s.Sink), label(s.Partition))
		gauge(descLagSeconds, s.Seconds, string(s.Sink), label(s.Partition))
	}
	for _, f := range st.Folded {
		counter(descFolded, float64(f.Weight), f.Rollup, f.Dimension, f.Set)
	}
	gauge(descRollupBytes, float64(snap.Rollups.Bytes), "held")
	gauge(descRollupBytes, float64(snap.Rollups.Peak), "peak")
	gauge(descRollupBytes, float64(snap.Rollups.Dictionaries), "dictionaries")
	gauge(descRollupBytes, float64(snap.Rollups.Limit), "limit")
	gauge(descOpenCells, float64(snap.Rollups.OpenCells))
	counter(descEarly, float64(snap.Rollups.EarlyFlushes))
	collectSamples(st.Samples, counter, gauge)
	if until := r.server.pipeline.CompleteUntil(); !until.IsZero() {
		gauge(descComplete, float64(until.UnixNano())/1e9)
	}
	r.collectConfig(gauge)
	r.collectRules(counter, gauge)
	r.server.collectFeeds(gauge)
	r.server.collectKeys(counter)
	r.server.conns.collect(counter, gauge)
	r.server.node.collect(gauge)
	gauge(descFaults, float64(len(st.Faults)+len(r.server.node.problems())))
	gauge(descQueueBytes, float64(snap.QueueBytes))
	gauge(descDisk, float64(snap.DiskFree), "free")
	gauge(descDisk, float64(snap.DiskTotal), "total")
	r.collectStore(counter, gauge)
}

func (r *statusReporter) collectConfig(gauge func(*prometheus.Desc, float64, ...string)) {
	at, err := r.server.lastReload()
	ok := 1.0
	if err != nil {
		ok = 0
	}
	gauge(descReloadOK, ok)
	if !at.IsZero() {
		gauge(descReloadTime, float64(at.UnixNano())/1e9)
	}
	sources := 0
	for _, v := range r.server.rules.List() {
		if v.Text != "" {
			sources++
		}
	}
	gauge(descRuleSources, float64(sources))
}

func collectStages(st pipeline.Status, counter func(*prometheus.Desc, float64, ...string)) {
	for _, s := range st.Stages {
		counter(descStageEvents, float64(s.Events), s.Name)
		counter(descStageSeconds, s.Busy.Seconds(), s.Name)
		counter(descStageFailed, float64(s.Failed), s.Name)
		counter(descCommits, float64(s.Commits), s.Name)
	}
}

// collectStore asks the store. While it cannot answer its other metrics are
// absent and millrace_store_up is 0.
func (r *statusReporter) collectStore(counter, gauge func(*prometheus.Desc, float64, ...string)) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := r.server.store.Stats(ctx)
	if err != nil {
		r.server.log.Warn("store statistics", "err", err)
		gauge(descStoreUp, 0)
		return
	}
	gauge(descStoreUp, 1)
	gauge(descStoreRows, float64(st.Events), "events")
	gauge(descStoreRows, float64(st.Deltas), "deltas")
	gauge(descStoreRows, float64(st.Cells), "cells")
	gauge(descStoreBytes, float64(st.EventBytes), "events")
	gauge(descStoreBytes, float64(st.RollupBytes), "rollups")
	gauge(descStoreBytes, float64(st.TotalBytes), "total")
	gauge(descDirty, float64(st.DirtyHours))
	counter(descSlices, float64(st.Slices))
	gauge(descLongest, st.LongestSlice.Seconds())
}

func label(partition int32) string { return strconv.Itoa(int(partition)) }
