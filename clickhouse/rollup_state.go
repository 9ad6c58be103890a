package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// What nodes agree on about rollups are two states in Commits. That of
// definitions has all by which events are folded: flushes of cells name its
// version (Commit.Expect), so that none that was folded by other definitions
// counts. That of levels says which rows of the tables count; upkeep changes it
// every few minutes.
const (
	definitionsState = "rollups"
	levelsState      = "cells"
)

// definitions is the value of definitionsState. A change of its form needs a new
// Format, and code that still reads the one before.
type definitions struct {
	Format  int                    `json:"format"`
	Rollups map[string]*definition `json:"rollups"`
}

// levelSets is the value of levelsState.
type levelSets struct {
	Format  int                `json:"format"`
	Rollups map[string]*levels `json:"rollups"`
}

// stateFormat is the form written.
const stateFormat = 1

// definition is a rollup as it is folded, and what its tables have had since
// there were any.
type definition struct {
	Schema  millrace.RollupSchema    `json:"schema"` // CompleteFrom is in levels
	Metrics map[string]rollupdef.Def `json:"metrics"`
	Sets    map[string]int64         `json:"sets"` // ids by the sorted names of dimensions
	Dims    []string                 `json:"dims"` // in the order of appearance
	Left    bool                     `json:"left,omitempty"`
}

// levels says which rows of a rollup's tables count: see levels.go.
type levels struct {
	// Schema is the definition with CompleteFrom.
	Schema millrace.RollupSchema `json:"schema"`
	// Merged[i] is up to which flush the rows of table i are in table i+1 too.
	Merged [3]int64 `json:"merged"`
	// At[i] is when that was, by the clock of upkeep, in Unix seconds.
	At [3]int64 `json:"at"`
	// Last is the newest flush whose rows count in tables above deltas.
	Last int64 `json:"last"`
	// Newest[i] is the newest flush with rows in table i+1, so that tables that have
	// nothing to add are not looked at.
	Newest   [3]int64        `json:"newest"`
	Replaced []replaced      `json:"replaced,omitempty"`
	Minutes  []millrace.Span `json:"no_minutes,omitempty"` // hours whose minutes retention has dropped
	Hours    []millrace.Span `json:"no_hours,omitempty"`   // days whose hours it has dropped
	// Refold is the flush of a refold that is about to end: until it has ended
	// nothing else changes the rollup.
	Refold int64 `json:"refold,omitempty"`
}

// replaced says that rows of a time that were stored up to a flush do not count
// any more.
type replaced struct {
	From   int64   `json:"from"` // Unix seconds, half open
	To     int64   `json:"to"`
	Upto   int64   `json:"upto"`
	Except []int64 `json:"except,omitempty"` // flushes that were open then
	Sets   []int64 `json:"sets,omitempty"`   // nil: all
}

// snapshot is one view of the rollups. It is not changed.
type snapshot struct {
	defs, lev millrace.State // versions; Values are those parsed
	cubes     map[string]*cube
}

// rollups returns the rollups as they are now: two short reads, parsed again only
// if they have changed.
func (db *DB) rollups(ctx context.Context) (*snapshot, error) {
	defs, err := db.commits.State(ctx, definitionsState)
	if err != nil {
		return nil, fmt.Errorf("read the definitions of rollups: %w", err)
	}
	for {
		lev, err := db.commits.State(ctx, levelsState)
		if err != nil {
			return nil, fmt.Errorf("read the levels of rollups: %w", err)
		}
		// Both change together where they must agree, so that a second look at the
		// first tells whether they do.
		again, err := db.commits.State(ctx, definitionsState)
		if err != nil {
			return nil, fmt.Errorf("read the definitions of rollups: %w", err)
		}
		if again.Version == defs.Version {
			return db.cells.parse(defs, lev)
		}
		defs = again
	}
}

// parse returns the snapshot of two states, the last one if it is that.
func (c *cellState) parse(defs, lev millrace.State) (*snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.last; s != nil && s.defs.Version == defs.Version && s.lev.Version == lev.Version {
		return s, nil
	}
	d, l := definitions{}, levelSets{}
	if err := decodeState(defs, &d, func() int { return d.Format }); err != nil {
		return nil, err
	}
	if err := decodeState(lev, &l, func() int { return l.Format }); err != nil {
		return nil, err
	}
	s := &snapshot{defs: defs, lev: lev, cubes: map[string]*cube{}}
	for name, def := range d.Rollups {
		lv := l.Rollups[name]
		if lv == nil {
			return nil, &millrace.Error{Code: millrace.ErrCorrupt, Op: "read rollup " + name, Message: "the state of its cells is missing"}
		}
		s.cubes[name] = newCube(name, def, lv)
	}
	c.last = s
	return s, nil
}

func decodeState(s millrace.State, into any, format func() int) error {
	if s.Version == 0 {
		return nil
	}
	if err := json.Unmarshal(s.Value, into); err != nil {
		return &millrace.Error{Code: millrace.ErrCorrupt, Op: "read state " + s.Name, Message: "the state of rollups cannot be read", Err: err}
	}
	if format() != stateFormat {
		return &millrace.Error{
			Code: millrace.ErrConflict, Op: "read state " + s.Name,
			Message: fmt.Sprintf("the state of rollups has format %d; this program knows %d", format(), stateFormat),
			Hint:    "a newer millrace has written it: run that version",
		}
	}
	return nil
}

// sorted returns the rollups by name.
func (s *snapshot) sorted() []*cube {
	var out []*cube
	for _, name := range slices.Sorted(maps.Keys(s.cubes)) {
		out = append(out, s.cubes[name])
	}
	return out
}

// cube returns a rollup. ErrNotFound: there is none.
func (s *snapshot) cube(name string) (*cube, error) {
	if k := s.cubes[name]; k != nil {
		return k, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "there is no rollup %q", name)
}

// withLevels returns levelsState with another value for one rollup.
func (s *snapshot) withLevels(name string, lv *levels) (millrace.State, error) {
	all := levelSets{Format: stateFormat, Rollups: map[string]*levels{}}
	for n, k := range s.cubes {
		all.Rollups[n] = k.levels
	}
	all.Rollups[name] = lv
	return encodeState(levelsState, s.lev.Version, &all)
}

func encodeState(name string, version int64, value any) (millrace.State, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return millrace.State{}, fmt.Errorf("encode state %s: %w", name, err)
	}
	return millrace.State{Name: name, Value: text, Version: version}, nil
}

// clone returns a copy that may be changed.
func (l *levels) clone() *levels {
	out := *l
	out.Schema = rollupdef.Clone(&l.Schema)
	out.Replaced = slices.Clone(l.Replaced)
	out.Minutes, out.Hours = slices.Clone(l.Minutes), slices.Clone(l.Hours)
	return &out
}

// changeLevels replaces the levels of a rollup by what change makes of them,
// again if another node was faster; change returns false to leave them.
func (db *DB) changeLevels(ctx context.Context, name string, change func(k *cube, lv *levels) bool) error {
	for {
		s, err := db.rollups(ctx)
		if err != nil {
			return err
		}
		k, err := s.cube(name)
		if err != nil {
			return err
		}
		lv := k.levels.clone()
		if !change(k, lv) {
			return nil
		}
		st, err := s.withLevels(name, lv)
		if err != nil {
			return err
		}
		if err = db.commits.SetState(ctx, st); millrace.ErrorCode(err) != millrace.ErrConflict {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
