package pipeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

// reconcile compares a partition's committed positions with what the log holds
// and corrects the positions: it gives each sink the position to go on from and
// the gap it has to record, if any. Offsets alone are never trusted: a log that
// was re-created or that lost its tail hands out the same numbers again, so the
// positions of all sinks move to a new generation.
func reconcile(partition int32, b queue.Bounds, sinks []*sink) {
	highest, generation := int64(-1), int64(0)
	for _, s := range sinks {
		if p := s.positions[partition]; p != nil {
			end := p.Offset
			if p.Ordinal > 0 {
				end++
			}
			highest, generation = max(highest, end), max(generation, p.Generation)
		}
	}
	changed := false
	for _, s := range sinks {
		if p := s.positions[partition]; p != nil && s.adjust(p, b, highest) {
			changed = true
		}
	}
	if changed {
		generation++
	}
	for _, s := range sinks {
		p := s.positions[partition]
		if p == nil {
			p = &millrace.Position{Partition: partition, Offset: b.Low}
			s.positions[partition] = p
		} else if !changed {
			continue
		}
		p.TopicID, p.Generation = b.TopicID, generation
		s.moved[partition] = true
	}
}

// adjust moves a position that the log no longer holds and records the gap.
// highest is the end of what any sink has folded, so of what once was in the log.
func (s *sink) adjust(p *millrace.Position, b queue.Bounds, highest int64) bool {
	switch {
	case p.TopicID != b.TopicID:
		s.gap(p, -1, "topic deleted and created again; what was not yet folded is lost")
		p.Offset, p.Ordinal = b.Low, 0
	case highest > b.High:
		lost, to := *p, highest
		lost.Offset = max(b.High, p.Offset)
		if lost.Offset >= highest {
			to = -1 // this sink had folded all that any sink had seen
		}
		s.gap(&lost, to, fmt.Sprintf(
			"the log ends at offset %d but %d was folded: its tail was lost, and with it what was not yet folded", b.High, highest))
		if p.Offset >= b.High {
			p.Offset, p.Ordinal = b.High, 0
		}
	case p.Offset < b.Low:
		s.gap(p, b.Low, fmt.Sprintf("the log begins at offset %d: retention deleted what was not yet folded", b.Low))
		p.Offset, p.Ordinal = b.Low, 0
	default:
		return false
	}
	return true
}

// startOffsets returns where to poll each partition from: the least position.
func startOffsets(sinks []*sink) map[int32]int64 {
	start := map[int32]int64{}
	for _, s := range sinks {
		for part, p := range s.positions {
			if at, ok := start[part]; !ok || p.Offset < at {
				start[part] = p.Offset
			}
		}
	}
	return start
}

func sortedPartitions(bounds map[int32]queue.Bounds) []int32 {
	return slices.Sorted(maps.Keys(bounds))
}
