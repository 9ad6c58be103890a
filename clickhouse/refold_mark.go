package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// mark is a place in the queue, per partition: what of it a Refold has.
type mark map[int32]markAt

// markAt is a position, and when the partition's generation began.
type markAt struct {
	millrace.Position
	began int64 // ns; offsets of rows that arrived before are of an older log
}

// loadMark returns up to where both sinks have committed at one moment, and
// whether that is all that the rollup sink has.
func (db *DB) loadMark(ctx context.Context) (*millrace.Cut, mark, bool, error) {
	cut, err := db.commits.Cut(ctx)
	if err != nil {
		return nil, nil, false, fmt.Errorf("look how far the sinks are: %w", err)
	}
	began, err := db.loadBegan(ctx)
	if err != nil {
		return nil, nil, false, err
	}
	events := map[int32]millrace.Position{}
	for _, p := range cut.Positions[millrace.SinkEvents] {
		events[p.Partition] = p
	}
	m, ready := mark{}, true
	for _, p := range cut.Positions[millrace.SinkRollup] {
		e, known := events[p.Partition]
		if !known || e.Generation != p.Generation { // they agree soon after a start
			ready = false
			continue
		}
		if before(e, p) {
			p, ready = e, false
		}
		m[p.Partition] = markAt{p, began[generation{p.Partition, p.Generation}]}
	}
	return cut, m, ready, nil
}

func before(a, b millrace.Position) bool {
	return a.Offset < b.Offset || a.Offset == b.Offset && a.Ordinal < b.Ordinal
}

type generation struct {
	partition int32
	number    int64
}

// loadBegan returns when generations began: when the gap that ended the one
// before was found, which is before anything is appended to the new one.
func (db *DB) loadBegan(ctx context.Context) (map[generation]int64, error) {
	gaps, err := db.commits.Gaps(ctx)
	if err != nil {
		return nil, fmt.Errorf("read gaps: %w", err)
	}
	out := map[generation]int64{}
	for _, g := range gaps {
		key := generation{g.Partition, g.Generation + 1}
		out[key] = max(out[key], g.Found)
	}
	return out, nil
}

// continues reports whether m can go on from where old is: a partition's log was
// not replaced in between.
func (m mark) continues(old mark) bool {
	for p, at := range old {
		if now, known := m[p]; known && now.Generation != at.Generation {
			return false
		}
	}
	return true
}

// below returns the condition that a row lies below the mark. Rows of older
// generations do, whatever their offsets.
func (m mark) below() string {
	if len(m) == 0 {
		return "false"
	}
	var parts []string
	for p, at := range m {
		parts = append(parts, fmt.Sprintf("(partition = %d AND (arrived < %s OR offset < %d OR offset = %d AND ordinal < %d))",
			p, instant(at.began), at.Offset, at.Offset, at.Ordinal))
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

func utc(sec int64) string { return time.Unix(sec, 0).UTC().Format(time.RFC3339) }
