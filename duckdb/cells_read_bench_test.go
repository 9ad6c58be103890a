package duckdb

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace"
)

// wideMonth has 30 computed days of hours of the hundred sets, written as
// upkeep leaves them.
func wideMonth(b testing.TB, events int) (*DB, millrace.RollupSchema) {
	db, s := defineWide(b, 100)
	rng := rand.New(rand.NewPCG(1, 1))
	exec := func(stmt string) {
		if err := db.write(b.Context(), "test", func(w *writer) error { _, err := w.exec(stmt); return err }); err != nil {
			b.Fatal(err)
		}
	}
	k, err := db.loadCubes(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	wide := k["wide"]
	columns := list([]string{"set_id", "bucket"}, wide.keys, wide.stateColumns())
	// One day through the store, the others copies of it.
	for h := range 24 {
		if err := db.WriteCells(b.Context(), wideCells(s, rng, viewBase.Unix()+int64(h)*3600, 1, events), rollupCommit(viewBase)); err != nil {
			b.Fatal(err)
		}
	}
	for day := range 30 {
		exec(fmt.Sprintf("INSERT INTO %s (%s) SELECT set_id, bucket + INTERVAL %d DAY, %s FROM %s ORDER BY 1, 2",
			wide.hours(), columns, day, list(wide.keys, wide.stateColumns()), wide.deltas()))
		for h := range 24 {
			exec(fmt.Sprintf("INSERT INTO cell_periods VALUES ('wide', 3600, %s, 1, 0, 0)", timestamp(viewBase.AddDate(0, 0, day).Unix()+int64(h)*3600)))
		}
	}
	exec("DELETE FROM " + wide.deltas())
	exec("DELETE FROM cell_periods WHERE granularity = 3600 AND state = 0")
	return db, s
}

// BenchmarkReadHundredSets asks for 30 days of hours of one set among a
// hundred, as charts and people do.
func BenchmarkReadHundredSets(b *testing.B) {
	db, s := wideMonth(b, 2_000)
	b.Logf("%s hour cells", text(b, db, "SELECT count(*) FROM hours_wide")[0])
	run := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			cpu := cpuTime()
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
	cells := func(set int, step int64, where *millrace.Filter) func() error {
		q := millrace.CellQuery{
			Rollup: "wide", Granularity: millrace.Hour, Set: s.Sets[set], By: s.Sets[set].Dims, Step: step, States: []int{0}, Where: where,
			From: viewBase.Unix(), To: viewBase.AddDate(0, 0, 30).Unix(),
		}
		return func() error { _, err := db.Cells(b.Context(), q); return err }
	}
	view := func(query string) func() error {
		return func() error {
			return db.read(b.Context(), "bench", func(c *conn) error {
				return each(b.Context(), c, query, func(*rows) error { return nil })
			})
		}
	}
	service := &millrace.Filter{Op: millrace.FilterEq, Field: "service", Value: wideValues[0][3]}
	run("total", cells(0, 3600, nil))
	run("service", cells(1, 3600, nil))
	run("service and host of one service", cells(13, 3600, service))
	run("top urls", cells(7, 0, nil))
	run("view total", view("SELECT bucket, pv FROM rollup_wide WHERE granularity = '1h' AND dimension_set = '' ORDER BY bucket"))
	run("view service", view("SELECT bucket, service, pv FROM rollup_wide WHERE granularity = '1h' AND dimension_set = 'service'"))
	run("view service and host", view("SELECT bucket, host, pv FROM rollup_wide WHERE granularity = '1h' AND dimension_set = 'service,host' AND service = "+quote(wideValues[0][3])))
}
