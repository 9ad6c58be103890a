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

// Sinks of flushes that move no positions and last while something else may go on.
const (
	sinkRefold millrace.Sink = "refold"
	sinkDefine millrace.Sink = "define"
)

// DefineRollups implements millrace.Store. Rollups, dimensions, metrics and
// sets that are no longer named keep their cells; rollups stay readable. Any
// number of nodes may call it: the newest call holds, and flushes that were folded
// by other definitions are refused (ErrConflict) until their node has called it
// with these.
func (db *DB) DefineRollups(ctx context.Context, schemas []millrace.RollupSchema) error {
	for i := range schemas {
		if err := rollupdef.Check(&schemas[i]); err != nil {
			return err
		}
	}
	for {
		s, err := db.rollups(ctx)
		if err != nil {
			return err
		}
		for i := range schemas {
			if k := s.cubes[schemas[i].Name]; k != nil {
				if err := rollupdef.CheckChange(k.Metrics, &schemas[i]); err != nil {
					return err
				}
			}
		}
		if s.isDefined(schemas) {
			db.cells.define(s)
			return nil
		}
		// What was stored is read again: it has a version now.
		if err = db.redefine(ctx, s, schemas); err != nil && (millrace.ErrorCode(err) != millrace.ErrConflict || ctx.Err() != nil) {
			return err
		}
	}
}

// define notes by which definitions this process folds.
func (c *cellState) define(s *snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.defined, c.quiet = s, nil
}

// isDefined reports whether the rollups are exactly these.
func (s *snapshot) isDefined(schemas []millrace.RollupSchema) bool {
	for name, k := range s.cubes {
		def := find(schemas, name)
		if def == nil {
			if !k.Left {
				return false
			}
			continue
		}
		have, _ := json.Marshal(k.definition.Schema)
		want, _ := json.Marshal(bare(def))
		if k.Left || string(have) != string(want) {
			return false
		}
	}
	return !slices.ContainsFunc(schemas, func(d millrace.RollupSchema) bool { return s.cubes[d.Name] == nil })
}

// redefine makes tables and columns, which are only there to be used until the
// definitions that need them are stored, and stores these. ErrConflict: another
// node has stored others meanwhile.
func (db *DB) redefine(ctx context.Context, s *snapshot, schemas []millrace.RollupSchema) error {
	defs := definitions{Format: stateFormat, Rollups: map[string]*definition{}}
	lev := levelSets{Format: stateFormat, Rollups: map[string]*levels{}}
	for name, k := range s.cubes {
		defs.Rollups[name], lev.Rollups[name] = k.definition, k.levels
		if find(schemas, name) == nil && !k.Left {
			def, lv := *k.definition, k.levels.clone()
			def.Left = true
			rollupdef.Leave(&lv.Schema)
			defs.Rollups[name], lev.Rollups[name] = &def, lv
		}
	}
	since, err := db.newcomers(ctx)
	if err != nil {
		return err
	}
	for i := range schemas {
		name := schemas[i].Name
		def, lv := extend(s.cubes[name], &schemas[i], since)
		defs.Rollups[name], lev.Rollups[name] = def, lv
		if err := db.defineTables(ctx, newCube(name, def, lv), s.cubes[name] == nil); err != nil {
			return fmt.Errorf("rollup %s: %w", name, err)
		}
	}
	d, err := encodeState(definitionsState, s.defs.Version, &defs)
	if err != nil {
		return err
	}
	l, err := encodeState(levelsState, s.lev.Version, &lev)
	if err != nil {
		return err
	}
	return db.flush(ctx, sinkDefine, nil, func(*millrace.Flush) error { return nil },
		func(flush int64) error { return db.commits.Settle(ctx, flush, d, l) })
}

// extend brings the definition of a rollup, nil if there was none, to a new one.
func extend(old *cube, s *millrace.RollupSchema, since int64) (*definition, *levels) {
	def := &definition{Schema: bare(s), Metrics: map[string]rollupdef.Def{}, Sets: map[string]int64{}}
	lv := &levels{}
	var was *millrace.RollupSchema
	if old != nil {
		lv, was = old.levels.clone(), &old.schema
		def.Metrics, def.Sets, def.Dims = maps.Clone(old.Metrics), maps.Clone(old.Sets), slices.Clone(old.Dims)
	}
	next := int64(0)
	for _, id := range def.Sets {
		next = max(next, id+1)
	}
	for _, set := range s.Sets {
		names := setNames(s, set)
		if _, known := def.Sets[names]; !known {
			def.Sets[names] = next
			next++
		}
		for _, d := range set.Dims {
			if !slices.Contains(def.Dims, s.Dimensions[d]) {
				def.Dims = append(def.Dims, s.Dimensions[d])
			}
		}
	}
	for _, m := range s.Metrics {
		def.Metrics[m.Name] = rollupdef.Def{Func: m.Func, Scale: m.Scale}
	}
	lv.Schema = rollupdef.Clone(s)
	rollupdef.Complete(&lv.Schema, was, since, lv.sealedUntil())
	return def, lv
}

// newcomers returns since when what a definition adds now is complete.
func (db *DB) newcomers(ctx context.Context) (int64, error) {
	st, err := db.commits.Load(ctx, millrace.SinkRollup)
	if err != nil {
		return 0, fmt.Errorf("look how far the rollups are: %w", err)
	}
	if len(st.Positions) == 0 {
		return 0, nil
	}
	return rollupdef.Newcomers(db.now()), nil
}

// sealedUntil returns the end of the last hour whose minutes are dropped, 0 if
// there is none.
func (l *levels) sealedUntil() int64 {
	end := int64(0)
	for _, spans := range [][]millrace.Span{l.Minutes, l.Hours} {
		if n := len(spans); n > 0 {
			end = max(end, spans[n-1].To)
		}
	}
	return end
}

// defineTables makes the tables of a rollup, or adds to them.
func (db *DB) defineTables(ctx context.Context, k *cube, fresh bool) error {
	for i := range tables {
		if err := db.createTable(ctx, k.def(i)); err != nil {
			return err
		}
		if fresh {
			continue
		}
		if err := db.ddl(ctx, "extend table "+k.table(i), db.addColumns(k, i)); err != nil {
			return err
		}
	}
	return nil
}

// cellPeriods has when what arrived for which hour: where retention counts from.
var cellPeriods = tableDef{
	name:    "cell_periods",
	columns: "    rollup LowCardinality(String),\n    hour Int64 CODEC(DoubleDelta, LZ4),\n    arrived Int64 CODEC(Delta, LZ4),\n    flush UInt64 CODEC(Delta, LZ4)",
	engine:  "MergeTree",
	tail:    "ORDER BY (rollup, hour)",
	shardBy: "flush",
}

// openCells is called once by Open, after the migrations.
func (db *DB) openCells(ctx context.Context) error { return db.createTable(ctx, &cellPeriods) }

// rollupNames lists the rollups that SQL may read.
func (db *DB) rollupNames(ctx context.Context) ([]string, error) {
	s, err := db.rollups(ctx)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(s.cubes)), nil
}
