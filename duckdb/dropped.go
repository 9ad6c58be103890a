package duckdb

import (
	"context"
	"fmt"
	"math"

	"github.com/millrace/millrace"
)

// dropped_days holds, for every day table that retention dropped, the least and
// the greatest event time of its rows in ns: what cannot be folded again. It was
// added without a new version of the schema, as a release that does not know it
// loses nothing by it.
const droppedDays = "CREATE TABLE dropped_days (min_time BIGINT NOT NULL, max_time BIGINT NOT NULL)"

// addDroppedDays adds the table if a file lacks it. What such a file dropped
// before nobody knows: everything before its first day may have been.
func addDroppedDays(ctx context.Context, c *conn) error {
	known, err := exists(ctx, c, "SELECT 1 FROM duckdb_tables() WHERE table_name = 'dropped_days'")
	if err != nil || known {
		return err
	}
	if _, err := c.exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	for _, s := range []string{droppedDays, fmt.Sprintf(`INSERT INTO dropped_days SELECT %d, epoch_ns(min(day)::TIMESTAMP_NS) + %d
			FROM segments HAVING min(day) IS NOT NULL`, math.MinInt64, int64(millrace.MaxAhead)), "COMMIT"} {
		if _, err := c.exec(ctx, s); err != nil {
			_, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") // err says why
			return fmt.Errorf("%.60s: %w", s, err)
		}
	}
	return nil
}

// noteDropped records that the rows of a day table go.
func (s *segment) noteDropped(w *writer) error {
	_, err := w.exec("INSERT INTO dropped_days VALUES (?, ?)", s.minTime, s.maxTime)
	return err
}
