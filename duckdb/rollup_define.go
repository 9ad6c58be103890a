package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// DefineRollups implements millrace.Store. Rollups, dimensions, metrics and
// sets that are no longer named keep their cells; rollups stay readable.
func (db *DB) DefineRollups(ctx context.Context, schemas []millrace.RollupSchema) error {
	cubes, err := db.loadCubes(ctx)
	if err != nil {
		return err
	}
	for i := range schemas {
		if err := rollupdef.Check(&schemas[i]); err != nil {
			return err
		}
		if k := cubes[schemas[i].Name]; k != nil {
			if err := rollupdef.CheckChange(k.metrics, &schemas[i]); err != nil {
				return err
			}
		}
	}
	defer db.forgetCubes()
	return db.write(ctx, "define", func(w *writer) error {
		for name, k := range cubes {
			if slices.ContainsFunc(schemas, func(s millrace.RollupSchema) bool { return s.Name == name }) {
				continue
			}
			if err := k.leave(w); err != nil {
				return fmt.Errorf("rollup %s: %w", name, err)
			}
		}
		for i := range schemas {
			old := cubes[schemas[i].Name]
			if old == nil {
				old = &cube{metrics: map[string]rollupdef.Def{}}
			}
			if err := define(w, old, &schemas[i]); err != nil {
				return fmt.Errorf("rollup %s: %w", schemas[i].Name, err)
			}
		}
		db.rollups.known.distrust() // hours may have become dirty
		db.rollups.job, db.rollups.backlogs = nil, nil
		return nil
	})
}

// define brings the tables of one rollup from an old definition, empty if
// there was none, to a new one.
func define(w *writer, old *cube, s *millrace.RollupSchema) error {
	k := &cube{
		states: s.States(), ids: map[string]int64{},
		columns: slices.Clone(old.columns), metrics: maps.Clone(old.metrics),
	}
	k.schema = rollupdef.Clone(s)
	if err := k.complete(w, old); err != nil {
		return err
	}
	if err := k.defineTables(w); err != nil {
		return err
	}
	for _, m := range s.Metrics {
		if _, known := old.metrics[m.Name]; known {
			continue
		}
		k.metrics[m.Name] = rollupdef.Def{Func: m.Func, Scale: m.Scale}
		if _, err := w.exec("INSERT INTO cell_metrics VALUES (?, ?, ?, ?)", s.Name, m.Name, string(m.Func), m.Scale); err != nil {
			return err
		}
	}
	if err := k.defineSets(w, old); err != nil {
		return err
	}
	k.layout()
	text, err := json.Marshal(&k.schema)
	if err != nil {
		return err
	}
	if _, err := w.exec("DELETE FROM rollups WHERE name = ?", s.Name); err != nil {
		return err
	}
	if _, err := w.exec("INSERT INTO rollups VALUES (?, ?)", s.Name, string(text)); err != nil {
		return err
	}
	_, err = w.exec(k.view())
	return err
}

// complete notes since when cells have what the definition asks for.
func (k *cube) complete(w *writer, old *cube) error {
	since, err := newcomers(w)
	if err != nil {
		return err
	}
	sealed, err := sealedUntil(w, k.schema.Name)
	if err != nil {
		return err
	}
	was := &old.schema
	if was.Name == "" {
		was = nil
	}
	rollupdef.Complete(&k.schema, was, since, sealed)
	return nil
}

// Columns that every cell has. Cells are sorted by them, so that each has long
// runs, and DuckDB skips what lies outside the set and the time asked for.
const (
	setColumn    = "set_id INTEGER USING COMPRESSION rle"
	bucketColumn = "bucket TIMESTAMP USING COMPRESSION bitpacking"
	hourColumn   = "hour TIMESTAMP USING COMPRESSION bitpacking"

	arrivedColumn = "arrived BIGINT USING COMPRESSION bitpacking"
	keyType       = "UINTEGER DEFAULT 0 USING COMPRESSION bitpacking"
	valuesColumns = "code UINTEGER NOT NULL, value VARCHAR NOT NULL"
)

func (k *cube) defineTables(w *writer) error {
	fresh := k.addColumns()
	for _, t := range []struct{ name, columns string }{
		{k.deltas(), list([]string{setColumn, bucketColumn, hourColumn, arrivedColumn})},
		{k.minutes(), list([]string{setColumn, bucketColumn, hourColumn})},
		{k.hours(), list([]string{setColumn, bucketColumn})},
		{k.days(), list([]string{setColumn, bucketColumn})},
	} {
		if _, err := w.exec("CREATE TABLE IF NOT EXISTS " + t.name + " (" + t.columns + ")"); err != nil {
			return err
		}
		for _, c := range fresh {
			if _, err := w.exec("ALTER TABLE " + t.name + " ADD COLUMN " + c[0] + " " + c[1]); err != nil {
				return err
			}
		}
	}
	_, err := w.exec("CREATE TABLE IF NOT EXISTS " + k.values() + " (" + valuesColumns + ")")
	return err
}

// addColumns extends k.columns by what the definition needs and returns name
// and type of what is new.
func (k *cube) addColumns() (fresh [][2]string) {
	add := func(column, kind string) {
		if !slices.Contains(k.columns, column) {
			k.columns = append(k.columns, column)
			fresh = append(fresh, [2]string{ident(column), kind})
		}
	}
	for _, set := range k.schema.Sets {
		for i := range set.Dims {
			add(keyColumn(i), keyType)
		}
	}
	for _, spec := range k.states {
		add(stateColumn(&k.schema, spec), stateType(spec.Kind))
	}
	return fresh
}

// defineSets gives ids to new sets. If an old set is now kept at further
// granularities, hours and days are to be computed again.
func (k *cube) defineSets(w *writer, old *cube) error {
	next := int64(0)
	for names, id := range old.ids {
		k.ids[names] = id
		next = max(next, id+1)
	}
	stale := false
	for _, set := range k.schema.Sets {
		names := setNames(&k.schema, set)
		if id, known := k.ids[names]; known {
			k.setIDs = append(k.setIDs, id)
			stale = stale || old.lacks(names, set.Granularities)
			continue
		}
		k.ids[names] = next
		k.setIDs = append(k.setIDs, next)
		if _, err := w.exec("INSERT INTO cell_sets VALUES (?, ?, ?)", k.schema.Name, next, names); err != nil {
			return err
		}
		next++
	}
	if !stale {
		return nil
	}
	_, err := w.exec("UPDATE cell_periods SET state = ? WHERE rollup = ? AND state = ?", periodDirty, k.schema.Name, periodClean)
	return err
}

// lacks reports whether a set was not kept at one of the granularities.
func (k *cube) lacks(names string, gs []millrace.Granularity) bool {
	for _, set := range k.schema.Sets {
		if setNames(&k.schema, set) != names {
			continue
		}
		for _, g := range gs {
			if !slices.Contains(set.Granularities, g) {
				return true
			}
		}
		return false
	}
	return true
}
