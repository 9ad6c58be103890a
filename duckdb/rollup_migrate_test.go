package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// literals returns the rows of a query as the VALUES of an INSERT.
func literals(t *testing.T, db *DB, query string) string {
	t.Helper()
	var columns []string
	for _, name := range text(t, db, "SELECT column_name || ' ' || column_type FROM (DESCRIBE "+query+")") {
		column, kind, _ := strings.Cut(name, " ")
		switch column = ident(column); kind {
		case "BLOB":
			columns = append(columns, "'from_hex(''' || hex("+column+") || ''')'")
		case "TIMESTAMP":
			columns = append(columns, "'make_timestamp(' || epoch_us("+column+") || ')'")
		default:
			columns = append(columns, "'''' || replace("+column+"::VARCHAR, '''', '''''') || ''''")
		}
	}
	for i, c := range columns {
		columns[i] = "coalesce(" + c + ", 'NULL')"
	}
	return strings.Join(text(t, db, "SELECT '(' || concat_ws(', ', "+list(columns)+") || ')' FROM ("+query+")"), ",\n")
}

// cellsInV1 copies the cells of a store, of viewSchema, to a file of version 1.
func cellsInV1(ctx context.Context, t *testing.T, db *DB, c *conn) {
	t.Helper()
	exec := func(stmt string) {
		t.Helper()
		if _, err := c.exec(ctx, stmt); err != nil {
			t.Fatalf("%.200s: %v", stmt, err)
		}
	}
	for _, table := range []string{"rollups", "cell_metrics", "cell_sets", "cell_periods"} {
		exec("INSERT INTO " + table + " VALUES " + literals(t, db, "SELECT * FROM "+table))
	}
	const states = `, s_pv, s_pace, s_bytes, s_cost, s_load, n_load, s_least, s_rt, s_uv`
	const columns = `, d_service VARCHAR, d_url VARCHAR, s_pv BIGINT, s_pace BIGINT, s_bytes BIGINT, s_cost BIGINT,
		s_load BIGINT, n_load BIGINT, s_least DOUBLE, s_rt BLOB, s_uv BLOB)`
	for _, table := range [][2]string{
		{"deltas_traffic", "set_id INTEGER, bucket TIMESTAMP, hour TIMESTAMP, arrived BIGINT"},
		{"minutes_traffic", "set_id INTEGER, bucket TIMESTAMP, hour TIMESTAMP"},
		{"hours_traffic", "set_id INTEGER, bucket TIMESTAMP"},
		{"days_traffic", "set_id INTEGER, bucket TIMESTAMP"},
	} {
		exec("CREATE TABLE " + table[0] + " (" + table[1] + columns)
		fixed := strings.NewReplacer(" INTEGER", "", " TIMESTAMP", "", " BIGINT", "").Replace(table[1])
		value := func(key string) string { return "(SELECT value FROM values_traffic WHERE code = " + key + ")" }
		rows := literals(t, db, "SELECT "+fixed+", "+value("k1")+" AS d_service, "+value("k2")+" AS d_url"+states+" FROM "+table[0])
		if rows == "" {
			t.Fatalf("%s is empty: nothing to migrate", table[0])
		}
		exec("INSERT INTO " + table[0] + " VALUES " + rows)
	}
	exec("CREATE VIEW rollup_traffic AS SELECT d_service AS service FROM minutes_traffic")
}

// TestMigrateCells: cells of version 1, in every table and state, answer as
// before, and go on as if they had always been of version 2.
func TestMigrateCells(t *testing.T) {
	db := viewStore(t)
	s := viewSchema()
	write := func(db *DB, at time.Time) {
		t.Helper()
		if err := db.WriteCells(t.Context(), viewCells(s, 3, 5*time.Hour), rollupCommit(at)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "v1.duckdb")
	inV1(t, path, true, func(ctx context.Context, c *conn) { cellsInV1(ctx, t, db, c) })
	inV1(t, path, false, func(ctx context.Context, c *conn) { // as if killed before COMMIT
		if _, err := c.exec(ctx, "BEGIN TRANSACTION"); err != nil {
			t.Fatal(err)
		}
		if err := codesForValues(ctx, c); err != nil {
			t.Fatal(err)
		}
	})
	migrated := openAt(t, path)
	compare := func(when string) {
		t.Helper()
		const all = "SELECT * FROM rollup_traffic ORDER BY ALL"
		same(t, "the view "+when, text(t, migrated, all), text(t, db, all)...)
		for _, set := range s.Sets {
			for _, g := range set.Granularities {
				q := millrace.CellQuery{
					Rollup: "traffic", Granularity: g, Set: set, By: set.Dims, Step: int64(g), States: []int{0, 6, 7, 8},
					From: viewBase.Unix(), To: viewBase.AddDate(0, 0, 9).Unix(),
				}
				want, err := db.Cells(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got, err := migrated.Cells(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("cells of [%s] at %s %s:\n got %v\nwant %v", s.SetName(set), g, when, got, want)
				}
			}
		}
	}
	compare("after the migration")
	for _, db := range []*DB{db, migrated} {
		write(db, viewBase.Add(81*time.Hour))
		maintain(t, db, viewBase.Add(90*time.Hour))
	}
	compare("after upkeep")
	for _, db := range []*DB{db, migrated} {
		maintain(t, db, viewBase.Add(40*24*time.Hour)) // minutes are dropped
		write(db, viewBase.Add(41*24*time.Hour))
	}
	compare("after retention")
}
