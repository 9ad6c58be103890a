package query

import (
	"time"

	"github.com/millrace/millrace"
)

// PipelineStatus is a snapshot of the running process, for the Pipeline page,
// /api/v1/status and alerts. Rates are per second over the last minute.
type PipelineStatus struct {
	Version string    `json:"version"`
	Started time.Time `json:"started"`

	Received   Rate              `json:"received"` // requests' events appended to the queue
	Partitions []PartitionStatus `json:"partitions"`
	Sinks      []SinkStatus      `json:"sinks"`

	Rollups RollupStatus `json:"rollups"`

	QueueBytes  int64 `json:"queue_bytes"`  // on disk
	DiskFree    int64 `json:"disk_free"`    // of the file system of the data directory
	DiskTotal   int64 `json:"disk_total"`   // of the same
	MemoryBytes int64 `json:"memory_bytes"` // resident
	MemoryLimit int64 `json:"memory_limit"` // the memory setting

	Problems []string       `json:"problems"` // what an operator should look at now, in words
	Listen   []ListenStatus `json:"listen"`   // ports besides that of pages and API
}

// ListenStatus is a port that a node listens on besides that of pages and API.
type ListenStatus struct {
	Protocol string `json:"protocol"` // syslog, memcached, otlp_http, otlp_grpc
	Network  string `json:"network"`  // udp, tcp or tls
	Address  string `json:"address"`  // HOST:PORT
}

// RollupStatus is what the rollup engine of the process holds, in bytes, as of
// the last look. Cells that are being stored have left it.
type RollupStatus struct {
	Bytes        int64 `json:"bytes"`        // of dictionaries and open cells
	Peak         int64 `json:"peak"`         // most since the start
	Limit        int64 `json:"limit"`        // the setting pipeline.rollup_memory
	Dictionaries int64 `json:"dictionaries"` // what is held without open cells
	OpenCells    int64 `json:"open_cells"`
	EarlyFlushes int64 `json:"early_flushes"` // for want of memory, since the start
}

// Rate is a flow.
type Rate struct {
	Events float64 `json:"events"` // per second
	Bytes  float64 `json:"bytes"`  // per second
}

// PartitionStatus is one partition of the queue.
type PartitionStatus struct {
	Partition  int32     `json:"partition"`
	Generation int64     `json:"generation"`
	Start      int64     `json:"start"` // oldest offset that is kept
	End        int64     `json:"end"`   // offset of the next record
	LastAppend time.Time `json:"last_append,omitzero"`
}

// SinkStatus is how far a sink is in one partition.
type SinkStatus struct {
	Sink      millrace.Sink `json:"sink"`
	Partition int32         `json:"partition"`
	Offset    int64         `json:"offset"`
	Records   int64         `json:"lag_records"` // not yet folded
	// Seconds is the age of the oldest record not yet folded, 0 if caught up.
	Seconds   float64   `json:"lag_seconds"`
	LastFlush time.Time `json:"last_flush,omitzero"`
	FlushTime float64   `json:"flush_seconds"` // duration of the last flush
	Rate      Rate      `json:"rate"`
	Error     string    `json:"error,omitempty"` // why the sink stands still, for operators
}

// Lag returns how many records a sink is behind in all partitions, and by how
// many seconds in the worst.
func (p *PipelineStatus) Lag(sink millrace.Sink) (records int64, seconds float64) {
	for _, s := range p.Sinks {
		if s.Sink == sink {
			records += s.Records
			seconds = max(seconds, s.Seconds)
		}
	}
	return records, seconds
}

// Status returns the pipeline's status; ok is false in a process without one.
func (s *Service) Status() (st PipelineStatus, ok bool) {
	if s.deps.Status == nil {
		return PipelineStatus{}, false
	}
	return s.deps.Status(), true
}
