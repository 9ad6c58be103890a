package duckdb

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

var viewBase = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)

func viewSchema() millrace.RollupSchema {
	all := []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}
	return millrace.RollupSchema{
		Name: "traffic", Dimensions: []string{"service", "url"},
		Sets: []millrace.DimensionSet{
			{Dims: []int{}, Granularities: all},
			{Dims: []int{0}, Granularities: all},
			{Dims: []int{0, 1}, Granularities: all[:1]},
		},
		Metrics: []millrace.Metric{
			{Name: "pv", Func: millrace.FuncCount},
			{Name: "pace", Func: millrace.FuncRate},
			{Name: "bytes", Func: millrace.FuncSum, Field: "bytes"},
			{Name: "cost", Func: millrace.FuncSum, Field: "cost", Scale: 2},
			{Name: "load", Func: millrace.FuncAvg, Field: "rt", Scale: 3},
			{Name: "least", Func: millrace.FuncMin, Field: "rt"},
			{Name: "rt", Func: millrace.FuncQuantiles, Field: "rt", Quantiles: []float64{0.5, 0.999}},
			{Name: "uv", Func: millrace.FuncUniq, Field: "ip"},
		},
		Derived: []millrace.Derived{
			{Name: "size", Expr: "bytes / pv"},
			{Name: "odd", Expr: "rate(cost) + 2 * (size - rt_p75)"},
		},
	}
}

// viewCells returns n deltas per set; delta i lies step*i after viewBase and
// has the values of its index.
func viewCells(s millrace.RollupSchema, n int, step time.Duration) []*millrace.CellBatch {
	var out []*millrace.CellBatch
	for _, set := range s.Sets {
		b := &millrace.CellBatch{Rollup: s.Name, Set: set, Dims: make([][]string, len(set.Dims))}
		b.States = make([]millrace.StateColumn, len(s.States()))
		for i := range n {
			b.Bucket = append(b.Bucket, millrace.Minute.Floor(viewBase.Add(time.Duration(i)*step).Unix()))
			for j, d := range set.Dims {
				b.Dims[j] = append(b.Dims[j], fmt.Sprintf("%s%d", s.Dimensions[d], i%2))
			}
			var hist sketch.Hist
			var hll sketch.HLL
			hist.Add(float64(i%10), 1)
			hll.AddHash(uint64(i%3+1) * 0x9e3779b97f4a7c15)
			for j, spec := range s.States() {
				c := &b.States[j]
				c.Kind = spec.Kind
				switch spec.Kind {
				case millrace.StateSum:
					c.Ints = append(c.Ints, int64(i%10))
				case millrace.StateMin, millrace.StateMax:
					c.Floats = append(c.Floats, float64(i%10))
				case millrace.StateHist:
					c.Blobs = append(c.Blobs, hist.AppendTo(nil))
				case millrace.StateHLL:
					c.Blobs = append(c.Blobs, hll.AppendTo(nil))
				}
			}
		}
		out = append(out, b)
	}
	return out
}

func rollupCommit(at time.Time) *millrace.Commit {
	return &millrace.Commit{Sink: millrace.SinkRollup, Ledger: []millrace.LedgerEntry{{
		Sink: millrace.SinkRollup, Minute: millrace.Minute.Floor(at.Unix()), Outcome: millrace.OutcomeReceived, Events: 1,
	}}}
}

// text runs a query and returns its rows, each value cast to text.
func text(t testing.TB, db *DB, query string) []string {
	t.Helper()
	var out []string
	err := db.read(context.Background(), "test", func(c *conn) error {
		return each(context.Background(), c, "SELECT concat_ws('|', COLUMNS(*)::VARCHAR) FROM ("+query+")", func(r *rows) error {
			var row []string
			for i := range r.cols {
				row = append(row, r.str(i))
			}
			out = append(out, strings.Join(row, "|"))
			return nil
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return out
}

func maintain(t testing.TB, db *DB, now time.Time) {
	t.Helper()
	for more := true; more; {
		var err error
		if more, err = db.Maintain(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

func viewStore(t testing.TB) *DB {
	t.Helper()
	db := openTest(t)
	s := viewSchema()
	if err := db.DefineRollups(t.Context(), []millrace.RollupSchema{s}); err != nil {
		t.Fatal(err)
	}
	// Three days, of which the first two are computed; then a late delta makes
	// the first hour dirty.
	if err := db.WriteCells(t.Context(), viewCells(s, 300, 14*time.Minute), rollupCommit(viewBase.Add(70*time.Hour))); err != nil {
		t.Fatal(err)
	}
	maintain(t, db, viewBase.Add(60*time.Hour).Add(20*time.Hour))
	if err := db.WriteCells(t.Context(), viewCells(s, 1, 0), rollupCommit(viewBase.Add(80*time.Hour))); err != nil {
		t.Fatal(err)
	}
	return db
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s:\n got %s\nwant %s", what, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func TestViewColumns(t *testing.T) {
	db := viewStore(t)
	same(t, "columns", text(t, db, "SELECT column_name, column_type FROM (DESCRIBE rollup_traffic)"),
		"granularity|VARCHAR", "bucket|TIMESTAMP", "dimension_set|VARCHAR", "service|VARCHAR", "url|VARCHAR",
		"pv|BIGINT", "pace|DOUBLE", "bytes|BIGINT", "cost|DECIMAL(21,2)", "load|DOUBLE", "least|DOUBLE",
		"rt_p50|DOUBLE", "rt_p99_9|DOUBLE", "uv|BIGINT", "size|DOUBLE", "odd|DOUBLE")
	same(t, "derived metrics", text(t, db, `SELECT count(*) > 100, count(*) FILTER (WHERE size IS NULL AND pv <> 0) = 0,
		bool_and(size IS NOT DISTINCT FROM bytes / nullif(pv, 0)),
		bool_and(pv = 0 OR abs(odd - (cost / 3600 + 2 * (size - rt_p50))) <= 2 * 10) FROM rollup_traffic WHERE granularity = '1h'`),
		"true|true|true|true")
	same(t, "sets", text(t, db, "SELECT DISTINCT granularity, dimension_set FROM rollup_traffic ORDER BY ALL"),
		"1d|", "1d|service", "1h|", "1h|service", "1m|", "1m|service", "1m|service,url")
	same(t, "dimensions that a set lacks", text(t, db,
		"SELECT dimension_set, count(service), count(url) FROM rollup_traffic WHERE granularity = '1m' GROUP BY 1 ORDER BY 1"),
		"|0|0", "service|300|0", "service,url|300|300")
}

func TestViewAddsUpAtEveryGranularity(t *testing.T) {
	db := viewStore(t)
	var want int
	for i := range 300 {
		want += i % 10
	}
	for _, g := range []string{"1m", "1h", "1d"} {
		for _, set := range []string{"", "service"} {
			same(t, g+" "+set, text(t, db, fmt.Sprintf(`SELECT sum(pv)::BIGINT, sum(bytes)::BIGINT, sum(cost), min(least), max(uv)::BIGINT > 0
				FROM rollup_traffic WHERE granularity = '%s' AND dimension_set = '%s'`, g, set)),
				fmt.Sprintf("%d|%d|%d.%02d|0.0|true", want, want, want/100, want%100))
		}
	}
}

func TestViewValues(t *testing.T) {
	db := viewStore(t)
	// The first hour has deltas 0 to 4, and the late one of value 0.
	same(t, "a dirty hour", text(t, db, `SELECT pv, pace * 3600, cost, load * 1000, least, round(rt_p50), uv FROM rollup_traffic
		WHERE granularity = '1h' AND dimension_set = '' AND bucket = TIMESTAMP '2026-03-02 00:00:00'`),
		"10|10.0|0.10|1.0|0.0|1.0|3")
	same(t, "a clean hour", text(t, db, `SELECT pv, cost, least, service FROM rollup_traffic
		WHERE granularity = '1h' AND dimension_set = 'service' AND bucket = TIMESTAMP '2026-03-02 01:00:00' ORDER BY service`),
		"14|0.14|6.0|service0", "12|0.12|5.0|service1")
}

// explain returns the plan of a query, optimized.
func explain(t *testing.T, db *DB, query string) string {
	t.Helper()
	var out string
	err := db.read(t.Context(), "explain", func(c *conn) error {
		return each(t.Context(), c, "EXPLAIN "+query, func(r *rows) error {
			out += r.str(1)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestViewReadsOnlyWhatIsAsked pins the plans down: one granularity reads no
// tables of the others, and sketches that are not selected are not merged.
func TestViewReadsOnlyWhatIsAsked(t *testing.T) {
	db := viewStore(t)
	f := func(query string, absent ...string) {
		t.Helper()
		plan := explain(t, db, query)
		for _, a := range absent {
			if strings.Contains(plan, a) {
				t.Errorf("%s: the plan has %s:\n%s", query, a, plan)
			}
		}
	}
	f("SELECT bucket, pv FROM rollup_traffic WHERE granularity = '1m'", "hours_traffic", "days_traffic", "s_rt", "s_uv", "merge_h")
	f("SELECT bucket, uv FROM rollup_traffic WHERE granularity = '1h' AND dimension_set = 'service'", "days_traffic", "s_rt", "merge_hist")
	f("SELECT sum(pv) FROM rollup_traffic WHERE granularity = '1d'", "s_rt", "s_uv", "merge_h")
}
