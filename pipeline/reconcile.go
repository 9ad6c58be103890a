package pipeline

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/queue"
)

// reconcile compares a partition's committed positions with what the log holds
// and corrects the positions: it gives each sink the position to go on from and
// the gap it has to record, if any. Offsets alone are never trusted: a log that
// was re-created or that lost its tail hands out the same numbers again, so the
// positions of all sinks move to a new generation.
//
// lost is what the log is known to have held and lost (its zero value if
// nothing), which may be more than any sink had folded.
//
// Sinks commit their corrections one after the other. A kill in between leaves
// them in different generations: those in the newest have been corrected.
func reconcile(partition int32, b queue.Bounds, lost queue.Regression, sinks []*sink) {
	highest, oldest, generation := int64(-1), int64(math.MaxInt64), int64(0)
	for _, s := range sinks {
		if p := s.positions[partition]; p != nil {
			highest = max(highest, endOf(p))
			oldest, generation = min(oldest, p.Generation), max(generation, p.Generation)
		}
	}
	if lost.TopicID == b.TopicID {
		highest = max(highest, lost.To)
		b.High = min(b.High, lost.From) // what lies there by now is new
	}
	interrupted := oldest < generation
	changed, anew := false, false
	for _, s := range sinks {
		p := s.positions[partition]
		if p == nil {
			continue
		}
		held := highest
		done := interrupted && p.Generation == generation
		if done {
			held = endOf(p)
		}
		if s.adjust(p, b, held, lost) {
			changed, anew = true, anew || done || !interrupted
		}
	}
	if anew {
		generation++
	}
	for _, s := range sinks {
		p := s.positions[partition]
		if p == nil {
			p = &millrace.Position{Partition: partition, Offset: b.Low}
			s.positions[partition] = p
		} else if !changed && !interrupted {
			continue
		}
		p.TopicID, p.Generation = b.TopicID, generation
		s.moved[partition] = true
	}
}

// endOf is the offset after the last record of which p has folded anything.
func endOf(p *millrace.Position) int64 {
	if p.Ordinal > 0 {
		return p.Offset + 1
	}
	return p.Offset
}

// adjust moves a position that the log no longer holds and records the gap.
// highest is the end of what is known to have been in the log.
func (s *sink) adjust(p *millrace.Position, b queue.Bounds, highest int64, lost queue.Regression) bool {
	switch {
	case p.TopicID != b.TopicID:
		to := int64(-1)
		if lost.TopicID == p.TopicID && lost.To > p.Offset {
			to = lost.To
		}
		s.gap(p, to, "topic deleted and created again; what was not yet folded is lost")
		p.Offset, p.Ordinal = b.Low, 0
	case highest > b.High:
		from, to := *p, highest
		from.Offset = max(b.High, p.Offset)
		if from.Offset >= highest {
			to = -1 // this sink had folded all that is known to have been there
		}
		s.gap(&from, to, fmt.Sprintf(
			"the log ends at offset %d and went on to %d before: its tail was lost, and with it what was not yet folded", b.High, highest))
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
