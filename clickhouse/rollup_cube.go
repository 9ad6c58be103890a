package clickhouse

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// cellState is what the cells' half of the store keeps in memory. All of it can be
// lost.
type cellState struct {
	mu      sync.Mutex
	last    *snapshot // see DB.rollups
	defined *snapshot // by which this process folds
	quiet   map[string]time.Time
	seen    map[string]time.Time // partitions, since when upkeep knows that they can go
}

// cube is a rollup and the layout of its tables. Immutable.
type cube struct {
	*definition
	name    string
	schema  millrace.RollupSchema // with CompleteFrom
	states  []millrace.StateSpec
	setIDs  []int64 // of schema.Sets
	stored  []state // all that the tables have, those of former definitions included
	levels  *levels
	dimCols []string // quoted, of Dims
}

// state is one state of cells as it is stored: in several columns, if it is a
// sketch, and in other ones in deltas than in the tables above.
type state struct {
	metric string
	kind   millrace.StateKind
	prefix string // s_, or n_ of the number of an average
}

func newCube(name string, def *definition, lv *levels) *cube {
	k := &cube{definition: def, name: name, schema: lv.Schema, levels: lv}
	k.states = k.schema.States()
	for _, set := range k.schema.Sets {
		k.setIDs = append(k.setIDs, k.setID(set))
	}
	for _, metric := range slices.Sorted(maps.Keys(def.Metrics)) {
		k.stored = append(k.stored, statesOf(metric, def.Metrics[metric].Func)...)
	}
	for _, d := range def.Dims {
		k.dimCols = append(k.dimCols, dimColumn(d))
	}
	return k
}

// statesOf returns the states of a metric.
func statesOf(metric string, f millrace.MetricFunc) []state {
	one := millrace.RollupSchema{Metrics: []millrace.Metric{{Name: metric, Func: f}}}
	var out []state
	for _, spec := range one.States() {
		out = append(out, newState(metric, spec))
	}
	return out
}

func newState(metric string, spec millrace.StateSpec) state {
	prefix := "s_"
	if spec.Name != metric {
		prefix = "n_"
	}
	return state{metric, spec.Kind, prefix}
}

// state returns state i of the definition.
func (k *cube) state(i int) state {
	spec := k.states[i]
	return newState(k.schema.Metrics[spec.Metric].Name, spec)
}

// Names of a rollup's tables. Those of rollups, dimensions and metrics are checked
// by rollupdef; prefixes keep them apart from each other and from other tables.
const (
	tableDeltas  = iota // as written: minutes
	tableMinutes        // merged minutes
	tableHours
	tableDays
	tables
)

func (k *cube) table(i int) string { return tableName(k.name, i) }

func tableName(rollup string, i int) string {
	return [tables]string{"deltas_", "minutes_", "hours_", "days_"}[i] + rollup
}

// dimColumn returns the quoted name of the column of a dimension.
func dimColumn(name string) string { return ident("d_" + name) }

// setNames identifies a set whatever the order of the definition's dimensions.
func setNames(s *millrace.RollupSchema, set millrace.DimensionSet) string {
	names := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		names[i] = s.Dimensions[d]
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

// setID returns the id of a set of the definition; -1 if it is none.
func (k *cube) setID(set millrace.DimensionSet) int64 {
	if id, ok := k.Sets[setNames(&k.schema, set)]; ok {
		return id
	}
	return -1
}

// def describes a table: set_id and bucket (Unix seconds) are what cells are
// sorted by, so that a query reads the cells of its set and time and little else.
// A dimension is empty in cells of sets without it. settled is when a row was
// stored, by the clock of Commits; arrived is the last arrival in it.
func (k *cube) def(i int) *tableDef {
	columns := []string{
		"flush UInt64 CODEC(Delta, LZ4)", "settled DateTime('UTC') CODEC(Delta, LZ4)", "arrived Int64 CODEC(Delta, LZ4)",
		"set_id UInt32 CODEC(Delta, LZ4)", "bucket Int64 CODEC(DoubleDelta, LZ4)",
	}
	for _, c := range k.columns(i) {
		columns = append(columns, c[0]+" "+c[1])
	}
	partition := [tables]string{"toStartOfHour(settled)", "toDate(settled)", "toDate(settled)", "toStartOfMonth(settled)"}[i]
	shard := "cityHash64(set_id, bucket)"
	if i == tableDeltas {
		shard = "flush"
	}
	return &tableDef{
		name: k.table(i), columns: "    " + strings.Join(columns, ",\n    "), engine: "MergeTree",
		tail: "PARTITION BY " + partition + "\nORDER BY (set_id, bucket)", shardBy: shard,
	}
}

// columns returns name and type of the columns of dimensions and states.
func (k *cube) columns(i int) [][2]string {
	var out [][2]string
	for _, d := range k.dimCols {
		out = append(out, [2]string{d, "LowCardinality(String)"})
	}
	for _, s := range k.stored {
		out = append(out, s.columns(i)...)
	}
	return out
}

// columns returns the columns that a state has in a table. In deltas sketches are
// texts of little-endian numbers, as they are fast to write; readers make of them
// what the other tables have.
func (s state) columns(table int) [][2]string {
	col := func(prefix, kind string) [2]string { return [2]string{ident(prefix + s.metric), kind} }
	deltas := table == tableDeltas
	switch {
	case s.kind == millrace.StateSum:
		return [][2]string{col(s.prefix, "Int64 CODEC(T64, LZ4)")}
	case (s.kind == millrace.StateMin || s.kind == millrace.StateMax) && deltas:
		return [][2]string{col("f_", "Float64 DEFAULT nan")}
	case s.kind == millrace.StateMin || s.kind == millrace.StateMax:
		return [][2]string{col("f_", "Nullable(Float64)")}
	case s.kind == millrace.StateHist && deltas:
		return [][2]string{col("hk_", "String"), col("hv_", "String")}
	case s.kind == millrace.StateHist:
		return [][2]string{col("h_", "Map(UInt16, UInt64) CODEC(ZSTD(1))")}
	case deltas:
		return [][2]string{col("e_", "String"), col("z_", "String"), col("r_", "String CODEC(ZSTD(1))")}
	}
	return [][2]string{col("e_", "Array(UInt32)"), col("z_", "Array(UInt32)"), col("r_", "Array(UInt8) CODEC(ZSTD(1))")}
}

// addColumns returns the statements that add what tables lack that were made for an
// older definition.
func (db *DB) addColumns(k *cube, i int) []string {
	columns := k.columns(i)
	if len(columns) == 0 {
		return nil
	}
	var adds []string
	for _, c := range columns {
		adds = append(adds, "ADD COLUMN IF NOT EXISTS "+c[0]+" "+c[1])
	}
	clause := " " + strings.Join(adds, ", ")
	out := []string{"ALTER TABLE " + db.local(k.table(i)) + clause}
	if db.addr.cluster != "" {
		// A Distributed table takes no codecs.
		for j, c := range columns {
			kind, _, _ := strings.Cut(c[1], " CODEC")
			adds[j] = "ADD COLUMN IF NOT EXISTS " + c[0] + " " + kind
		}
		out = append(out, "ALTER TABLE "+db.table(k.table(i))+db.onCluster()+" "+strings.Join(adds, ", "))
	}
	return out
}

// list joins lists of columns by commas.
func list(columns ...[]string) string { return strings.Join(slices.Concat(columns...), ", ") }

// numbers writes numbers as the elements of a list.
func numbers[T int64 | uint64 | int](all []T) string {
	var b strings.Builder
	for i, n := range all {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

// find returns the definition that schemas have of a rollup, nil if none.
func find(schemas []millrace.RollupSchema, name string) *millrace.RollupSchema {
	for i := range schemas {
		if schemas[i].Name == name {
			return &schemas[i]
		}
	}
	return nil
}

// bare returns a definition without CompleteFrom.
func bare(s *millrace.RollupSchema) millrace.RollupSchema {
	out := rollupdef.Clone(s)
	for i := range out.Sets {
		out.Sets[i].CompleteFrom = nil
	}
	for i := range out.Metrics {
		out.Metrics[i].CompleteFrom = 0
	}
	return out
}
