package pipeline

import (
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// watermark knows up to when the rollups are complete: the minimum over
// partitions of the largest min(event time, append time) committed, minus the
// allowed lateness, where a partition known to be caught up at T counts as T.
// Safe for concurrent use.
type watermark struct {
	mu       sync.Mutex
	lateness time.Duration
	parts    map[int32]*partitionMark
}

type partitionMark struct {
	committed int64 // offset of the rollup sink
	maxTime   int64 // ns
	caughtUp  int64 // ns; latest time at which the log was known to end at committed
	high      int64 // end of the log when last looked, and when that was
	looked    int64
}

func newWatermark(lateness time.Duration) *watermark {
	return &watermark{lateness: lateness, parts: map[int32]*partitionMark{}}
}

func (w *watermark) setLateness(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lateness = d
}

func (w *watermark) part(p int32) *partitionMark {
	m := w.parts[p]
	if m == nil {
		m = &partitionMark{high: -1}
		w.parts[p] = m
	}
	return m
}

// commit notes positions the rollup sink has committed.
func (w *watermark) commit(positions []millrace.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range positions {
		m := w.part(p.Partition)
		m.committed, m.maxTime = p.Offset, max(m.maxTime, p.MaxTime)
		m.update()
	}
}

// look notes that at a time (ns) the log of a partition ended at high.
func (w *watermark) look(partition int32, high, at int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.part(partition)
	m.high, m.looked = high, at
	m.update()
}

func (m *partitionMark) update() {
	if m.high >= 0 && m.committed >= m.high {
		m.caughtUp = max(m.caughtUp, m.looked)
	}
}

// completeUntil returns the watermark; zero while a partition has seen nothing.
func (w *watermark) completeUntil() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	least := int64(0)
	for _, m := range w.parts {
		t := max(m.maxTime, m.caughtUp)
		if t == 0 {
			return time.Time{}
		}
		if least == 0 || t < least {
			least = t
		}
	}
	if least == 0 {
		return time.Time{}
	}
	return time.Unix(0, least).Add(-w.lateness).UTC()
}
