package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
)

// Status is a snapshot for metrics and the Pipeline page.
type Status struct {
	Partitions []PartitionStatus
	Stages     []StageStatus
	Faults     map[string]string // latest fault per place, until it works again
	Folded     []rollup.Folded   // weight counted under "(other)" since the start
	Rollups    RollupStatus
	Samples    SampleStatus
	Pace       []PaceStatus // of a worker in a group
	Owned      []int32      // partitions of a worker in a group
	Outside    error        // why a worker with a group is no member; nil if it is one
	Paused     bool         // told to read nothing
	Drained    bool         // told to be idle, and has stored and handed over all it had
}

// RollupStatus is what the rollup engine holds. Cells that are being stored
// have left it: they take as much again at most.
type RollupStatus struct {
	Bytes        int64 // held, at the last look
	PeakBytes    int64 // most at any look since the start
	Dictionaries int64 // of Bytes, what is held without open cells
	OpenCells    int64
	EarlyFlushes int64 // barriers before their time, for want of memory, since the start
}

// PartitionStatus says how far the sinks are in one partition.
type PartitionStatus struct {
	Partition  int32
	Generation int64
	Low, High  int64 // bounds of the log when last looked at
	Committed  map[millrace.Sink]int64
}

// StageStatus counts a stage's work since the start. Busy is wall time, summed over
// its goroutines, so Busy/Events bounds its CPU per event from above.
type StageStatus struct {
	Name    string
	Records int64
	Events  int64
	Bytes   int64 // of payload; decode only
	Busy    time.Duration
	Commits int64
	Failed  int64

	LastCommit time.Time
	LastTook   time.Duration
}

// stats is safe for concurrent use. It also recycles units.
type stats struct {
	stopping atomic.Bool
	free     chan *unit

	mu        sync.Mutex
	stages    map[string]*StageStatus
	faults    map[string]string
	committed map[millrace.Sink]map[int32]int64
	bounds    map[int32]queue.Bounds
	gens      map[int32]int64
	other     map[rollup.Folded]int64 // Weight is 0 in the key
	rollups   RollupStatus
	samples   SampleStatus
}

func newStats() *stats {
	return &stats{
		free:   make(chan *unit, 2*unitsAhead),
		stages: map[string]*StageStatus{}, faults: map[string]string{},
		committed: map[millrace.Sink]map[int32]int64{millrace.SinkEvents: {}, millrace.SinkRollup: {}},
		bounds:    map[int32]queue.Bounds{}, gens: map[int32]int64{}, other: map[rollup.Folded]int64{},
	}
}

// unit returns an empty unit, a used one if there is any.
func (s *stats) unit() *unit {
	select {
	case u := <-s.free:
		u.clear()
		return u
	default:
		return &unit{}
	}
}

// release gives a unit back; the second sink to do so recycles it.
func (s *stats) release(u *unit) {
	if u.refs.Add(-1) > 0 {
		return
	}
	select {
	case s.free <- u:
	default:
	}
}

func (s *stats) stage(name string) *StageStatus {
	st := s.stages[name]
	if st == nil {
		st = &StageStatus{Name: name}
		s.stages[name] = st
	}
	return st
}

func (s *stats) decoded(u *unit, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stage("decode")
	st.Records++
	st.Events += int64(len(u.batch.Events))
	st.Bytes += int64(len(u.rec.Payload))
	st.Busy += took
}

func (s *stats) stored(c *millrace.Commit, at time.Time, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stage("store " + string(c.Sink))
	st.Busy += took
	if err != nil {
		st.Failed++
		s.faults["store "+string(c.Sink)] = err.Error()
		return
	}
	delete(s.faults, "store "+string(c.Sink))
	st.Commits++
	st.LastCommit, st.LastTook = at, took
	for _, e := range c.Ledger {
		if e.Outcome == millrace.OutcomeReceived {
			st.Events += e.Events
		}
	}
	for _, p := range c.Positions {
		s.committed[c.Sink][p.Partition] = p.Offset
		s.gens[p.Partition] = p.Generation
	}
}

// begin takes over the positions a session starts from.
func (s *stats) begin(sinks ...*sink) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range sinks {
		for part, p := range k.positions {
			s.committed[k.name][part] = p.Offset
			s.gens[part] = p.Generation
		}
	}
}

// observed notes what all workers have committed.
func (s *stats) observed(stored map[millrace.Sink][]millrace.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sink, list := range stored {
		for _, p := range list {
			if of := s.committed[sink]; of != nil {
				of[p.Partition], s.gens[p.Partition] = p.Offset, p.Generation
			}
		}
	}
}

func (s *stats) fault(place string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.faults, place)
		return
	}
	s.faults[place] = err.Error()
}

func (s *stats) looked(partition int32, b queue.Bounds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bounds[partition] = b
}

// lowest returns the least committed offset per partition, below which the
// queue may delete.
func (s *stats) lowest() map[int32]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int32]int64{}
	for part, at := range s.committed[millrace.SinkEvents] {
		if r, ok := s.committed[millrace.SinkRollup][part]; ok {
			out[part] = min(at, r)
		}
	}
	return out
}

// foldedOther notes weight that is committed under "(other)".
func (s *stats) foldedOther(folded []rollup.Folded) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range folded {
		key := f
		key.Weight = 0
		s.other[key] += f.Weight
	}
}

// engine notes what the rollup engine holds.
func (s *stats) engine(size, floor int64, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rollups.Bytes, s.rollups.Dictionaries, s.rollups.OpenCells = size, floor, int64(rows)
	s.rollups.PeakBytes = max(s.rollups.PeakBytes, size)
}

func (s *stats) flushedEarly() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rollups.EarlyFlushes++
}

// Status returns a snapshot.
func (p *Pipeline) Status() Status {
	s := p.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Faults: map[string]string{}, Rollups: s.rollups, Samples: s.samples, Pace: p.pace.status(), Owned: p.own.partitions()}
	out.Paused, out.Drained = p.orders.state()
	if p.own != nil {
		out.Outside = p.own.outside()
	}
	for part, b := range s.bounds {
		out.Partitions = append(out.Partitions, PartitionStatus{
			Partition: part, Generation: s.gens[part], Low: b.Low, High: b.High, Committed: map[millrace.Sink]int64{
				millrace.SinkEvents: s.committed[millrace.SinkEvents][part],
				millrace.SinkRollup: s.committed[millrace.SinkRollup][part],
			},
		})
	}
	for _, st := range s.stages {
		out.Stages = append(out.Stages, *st)
	}
	for place, err := range s.faults {
		out.Faults[place] = err
	}
	for k, w := range s.other {
		k.Weight = w
		out.Folded = append(out.Folded, k)
	}
	return out
}
