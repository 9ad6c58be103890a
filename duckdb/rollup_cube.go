package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// cube is a defined rollup and the layout of its tables. Immutable.
type cube struct {
	schema  millrace.RollupSchema
	states  []millrace.StateSpec
	setIDs  []int64 // of schema.Sets
	ids     map[string]int64
	metrics map[string]rollupdef.Def // of every metric there ever was
	columns []string                 // of deltas_NAME, in the order of appending
	keyAt   []int                    // per column: which key it is, from 0; -1 if none

	// Key columns, as many as the largest set there ever was has dimensions: the
	// numbers of its values, in the order of the names of the dimensions; 0 where
	// a set has fewer.
	keys []string
	// Columns of states, those of former definitions included: upkeep must not
	// lose what a later definition may name again.
	stored []storedState
}

type storedState struct {
	column string // quoted
	kind   millrace.StateKind
}

// layout derives keyAt, keys and stored from columns and metrics.
func (k *cube) layout() {
	k.keyAt, k.keys, k.stored = nil, nil, nil
	for _, c := range k.columns {
		k.keyAt = append(k.keyAt, keyIndex(c))
		if keyIndex(c) >= 0 {
			k.keys = append(k.keys, c)
		}
		if strings.HasPrefix(c, "n_") {
			k.stored = append(k.stored, storedState{ident(c), millrace.StateSum})
		}
		if metric, ok := strings.CutPrefix(c, "s_"); ok {
			one := millrace.RollupSchema{Metrics: []millrace.Metric{{Func: k.metrics[metric].Func}}}
			k.stored = append(k.stored, storedState{ident(c), one.States()[0].Kind})
		}
	}
}

// keyColumn names the key column of index i: k1, k2, ...
func keyColumn(i int) string { return fmt.Sprintf("k%d", i+1) }

// keyIndex is the inverse of keyColumn, -1 for other columns.
func keyIndex(column string) int {
	digits, ok := strings.CutPrefix(column, "k")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		return -1
	}
	return n - 1
}

func (k *cube) stateColumns() []string {
	out := make([]string, len(k.stored))
	for i, s := range k.stored {
		out[i] = s.column
	}
	return out
}

// rollupState is what the rollup half keeps in DB.
type rollupState struct {
	mu    sync.Mutex
	cubes map[string]*cube // nil: not loaded; the map is replaced, not changed
	quiet map[string]time.Time

	commits atomic.Uint64 // CellsVersion

	// What follows is under DB.writeMu.
	known    periodMirror
	words    map[string]*vocabulary // by rollup
	backlogs map[string]*backlog    // by rollup
	job      *periodJob
	pace     map[string]*pace

	forgetting forgetting // only Maintain touches it

	// For Stats, which must not wait for the writer: slices of upkeep done and
	// the longest of them in ns. Written under DB.writeMu.
	slices, longest atomic.Int64

	// Small in tests, so that work comes in parts and memory is short; 0: the
	// constant.
	firstPace, vocabularySize, forgetAbove int64
}

// Names of a rollup's tables and columns. Rollup, dimension and metric names
// are checked by rollupdef; prefixes keep them apart from each other and from
// the tables of the core, quotes from the words of SQL.
func (k *cube) deltas() string  { return ident("deltas_" + k.schema.Name) }
func (k *cube) minutes() string { return ident("minutes_" + k.schema.Name) }
func (k *cube) hours() string   { return ident("hours_" + k.schema.Name) }
func (k *cube) days() string    { return ident("days_" + k.schema.Name) }
func (k *cube) values() string  { return ident("values_" + k.schema.Name) }

// stateColumn names the column of a state: s_METRIC, and n_METRIC for how many
// values an average has.
func stateColumn(s *millrace.RollupSchema, spec millrace.StateSpec) string {
	metric := s.Metrics[spec.Metric].Name
	if spec.Name != metric {
		return "n_" + metric
	}
	return "s_" + metric
}

// stateType returns the type of a state column. Naming the compression saves
// DuckDB the trial of others, a tenth of a flush. Sketches are packed already:
// DuckDB's compression makes them a third smaller, and a checkpoint twice as
// slow and reading the few cells of a total four times as slow.
func stateType(kind millrace.StateKind) string {
	switch kind {
	case millrace.StateMin, millrace.StateMax:
		return "DOUBLE"
	case millrace.StateHist, millrace.StateHLL:
		return "BLOB USING COMPRESSION uncompressed"
	}
	return "BIGINT USING COMPRESSION bitpacking"
}

// setNames identifies a set whatever the order of the definition's dimensions.
func setNames(s *millrace.RollupSchema, set millrace.DimensionSet) string {
	names := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		names[i] = s.Dimensions[d]
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// places returns, per key column that a set uses, which of set.Dims it has.
func (k *cube) places(set millrace.DimensionSet) []int {
	out := make([]int, len(set.Dims))
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int {
		return strings.Compare(k.schema.Dimensions[set.Dims[a]], k.schema.Dimensions[set.Dims[b]])
	})
	return out
}

// keyOf returns the key column that has a dimension in the cells of a set, ""
// if the set does not have the dimension.
func (k *cube) keyOf(set millrace.DimensionSet, dim int) string {
	for i, j := range k.places(set) {
		if set.Dims[j] == dim {
			return keyColumn(i)
		}
	}
	return ""
}

// setID returns the id of a set of the definition; -1 if it is none.
func (k *cube) setID(set millrace.DimensionSet) int64 {
	if id, ok := k.ids[setNames(&k.schema, set)]; ok {
		return id
	}
	return -1
}

// keptAt returns the ids of the sets kept at one of the granularities, for an
// IN list. There is none with id -1.
func (k *cube) keptAt(gs ...millrace.Granularity) string {
	ids := []string{"-1"}
	for i, set := range k.schema.Sets {
		if slices.ContainsFunc(set.Granularities, func(g millrace.Granularity) bool { return slices.Contains(gs, g) }) {
			ids = append(ids, fmt.Sprint(k.setIDs[i]))
		}
	}
	return strings.Join(ids, ",")
}

// loadCubes returns all rollups ever defined, by name.
func (db *DB) loadCubes(ctx context.Context) (map[string]*cube, error) {
	db.rollups.mu.Lock()
	defer db.rollups.mu.Unlock()
	if db.rollups.cubes != nil {
		return db.rollups.cubes, nil
	}
	cubes := map[string]*cube{}
	err := db.snapshot(ctx, "load rollups", func(c *conn) error { return readCubes(ctx, c, cubes) })
	if err == nil {
		db.rollups.cubes = cubes
	}
	return cubes, err
}

// sortedCubes returns the rollups by name, so that upkeep has an order.
func (db *DB) sortedCubes(ctx context.Context) ([]*cube, error) {
	all, err := db.loadCubes(ctx)
	var out []*cube
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out, err
}

// quietFor is how long upkeep that found nothing due does not look again, unless
// other upkeep has done something since: looking costs some milliseconds per
// rollup, and hours wait for minutes anyway.
const quietFor = 30 * time.Second

// isQuiet reports whether a task found nothing due shortly before now.
func (db *DB) isQuiet(task string, now time.Time) bool {
	db.rollups.mu.Lock()
	defer db.rollups.mu.Unlock()
	since, known := db.rollups.quiet[task]
	return known && !now.Before(since) && now.Sub(since) < quietFor
}

// setQuiet notes that a task found nothing due at now; "" that something was
// done, after which all have to look again.
func (db *DB) setQuiet(task string, now time.Time) {
	db.rollups.mu.Lock()
	defer db.rollups.mu.Unlock()
	if task == "" || db.rollups.quiet == nil {
		db.rollups.quiet = map[string]time.Time{}
	}
	if task != "" {
		db.rollups.quiet[task] = now
	}
}

// forgetCubes makes the next use read the definitions again.
func (db *DB) forgetCubes() {
	db.rollups.mu.Lock()
	db.rollups.cubes, db.rollups.quiet = nil, nil
	db.rollups.mu.Unlock()
	db.rollups.commits.Add(1)
}

func readCubes(ctx context.Context, c *conn, cubes map[string]*cube) error {
	err := each(ctx, c, "SELECT name, definition FROM rollups", func(r *rows) error {
		k := &cube{ids: map[string]int64{}, metrics: map[string]rollupdef.Def{}}
		if err := json.Unmarshal(r.bytes(1), &k.schema); err != nil {
			return &millrace.Error{Code: millrace.ErrCorrupt, Op: "read rollup " + r.str(0), Err: err}
		}
		k.states = k.schema.States()
		cubes[r.str(0)] = k
		return nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, c, "SELECT rollup, metric, func, scale FROM cell_metrics", func(r *rows) error {
		if k := cubes[r.str(0)]; k != nil {
			k.metrics[r.str(1)] = rollupdef.Def{Func: millrace.MetricFunc(r.str(2)), Scale: int(r.int64(3))}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, c, "SELECT rollup, set_id, names FROM cell_sets", func(r *rows) error {
		if k := cubes[r.str(0)]; k != nil {
			k.ids[r.str(2)] = r.int64(1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, c, `SELECT substr(table_name, 8), column_name FROM duckdb_columns()
		WHERE schema_name = 'main' AND starts_with(table_name, 'deltas_') ORDER BY table_name, column_index`,
		func(r *rows) error {
			if k := cubes[r.str(0)]; k != nil {
				k.columns = append(k.columns, r.str(1))
			}
			return nil
		})
	for _, k := range cubes {
		k.layout()
		for _, set := range k.schema.Sets {
			k.setIDs = append(k.setIDs, k.setID(set))
		}
	}
	return err
}

// list joins lists of columns by commas.
func list(columns ...[]string) string { return strings.Join(slices.Concat(columns...), ", ") }

// each calls f for every row of an answer.
func each(ctx context.Context, c *conn, query string, f func(r *rows) error) error {
	r, err := c.query(ctx, query)
	if err != nil {
		return err
	}
	defer r.close()
	for r.next() {
		if err := f(r); err != nil {
			return err
		}
	}
	return r.err
}
