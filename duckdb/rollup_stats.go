package duckdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// rollupStats adds what the rollups hold to the statistics. It reads by itself.
func (db *DB) rollupStats(ctx context.Context, into *millrace.StoreStats) error {
	into.Slices, into.LongestSlice = db.rollups.slices.Load(), time.Duration(db.rollups.longest.Load())
	cubes, err := db.loadCubes(ctx)
	if err != nil || len(cubes) == 0 {
		return err
	}
	var deltas, cells []string
	for _, name := range slices.Sorted(maps.Keys(cubes)) {
		deltas = append(deltas, "SELECT count(*) AS n FROM "+cubes[name].deltas())
		cells = append(cells, "SELECT count(*) AS n FROM "+cubes[name].minutes())
	}
	query := fmt.Sprintf(`SELECT (SELECT sum(n)::BIGINT FROM (%s)), (SELECT sum(n)::BIGINT FROM (%s)),
			(SELECT count(*) FROM cell_periods WHERE state = %d)`,
		strings.Join(deltas, " UNION ALL "), strings.Join(cells, " UNION ALL "), periodDirty)
	return db.read(ctx, "count cells", func(c *conn) error {
		return each(ctx, c, query, func(r *rows) error {
			into.Deltas, into.Cells, into.DirtyHours = r.int64(0), r.int64(1), r.int64(2)
			return nil
		})
	})
}
