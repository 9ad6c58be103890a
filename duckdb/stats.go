package duckdb

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// Stats implements millrace.Store. EventBytes and RollupBytes are estimates
// from the blocks each table occupies, those that long texts spill into
// included; they lag behind by up to a minute and
// leave out what is in the write-ahead log only.
func (db *DB) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	s := &millrace.StoreStats{}
	err := db.snapshot(ctx, "read stats", func(c *conn) error {
		segs, err := loadSegments(ctx, c)
		if err != nil {
			return err
		}
		for i, g := range segs {
			s.Events += g.rows
			if t := nsTime(g.minTime); i == 0 || t.Before(s.OldestEvent) {
				s.OldestEvent = t
			}
		}
		if s.MemoryBytes, err = oneInt(ctx, c, "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()"); err != nil {
			return err
		}
		s.EventBytes, s.RollupBytes, err = db.sizes.get(ctx, c, db.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, suffix := range []string{"", ".wal"} {
		if fi, err := os.Stat(db.path + suffix); err == nil {
			s.TotalBytes += fi.Size()
		}
	}
	return s, db.rollupStats(ctx, s)
}

func oneInt(ctx context.Context, c *conn, query string, args ...any) (int64, error) {
	r, err := c.query(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer r.close()
	if !r.next() {
		return 0, r.err
	}
	return r.int64(0), r.err
}

// sizesEvery bounds how often tables are measured: it takes some milliseconds
// per day table.
const sizesEvery = time.Minute

// blockSize is DuckDB's default.
const blockSize = 256 << 10

// tableSizes caches what each table occupies. A table whose number of rows did
// not change, such as that of a past day, is not measured again.
type tableSizes struct {
	mu             sync.Mutex
	at             time.Time
	known          map[string]tableSize
	events, rollup int64
}

type tableSize struct{ rows, bytes int64 }

func (s *tableSizes) get(ctx context.Context, c *conn, now time.Time) (events, rollup int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known != nil && now.Sub(s.at).Abs() < sizesEvery {
		return s.events, s.rollup, nil
	}
	rows, err := tableRows(ctx, c)
	if err != nil {
		return 0, 0, err
	}
	next := map[string]tableSize{}
	events, rollup = 0, 0
	for name, n := range rows {
		size, ok := s.known[name]
		if !ok || size.rows != n {
			size.rows = n
			size.bytes, err = oneInt(ctx, c, fmt.Sprintf(
				`SELECT count(DISTINCT b) * %d FROM
				(SELECT unnest([block_id] || coalesce(additional_block_ids, [])) AS b FROM pragma_storage_info(%s)) WHERE b >= 0`,
				blockSize, quote(name)))
			if err != nil {
				return 0, 0, err
			}
		}
		next[name] = size
		switch prefix, _, _ := strings.Cut(name, "_"); prefix {
		case "events":
			events += size.bytes
		case "deltas", "minutes", "hours", "days", "values":
			rollup += size.bytes
		}
	}
	s.known, s.at, s.events, s.rollup = next, now, events, rollup
	return events, rollup, nil
}

func tableRows(ctx context.Context, c *conn) (map[string]int64, error) {
	r, err := c.query(ctx, "SELECT table_name, estimated_size FROM duckdb_tables() WHERE NOT internal")
	if err != nil {
		return nil, err
	}
	defer r.close()
	out := map[string]int64{}
	for r.next() {
		out[r.str(0)] = r.int64(1)
	}
	return out, r.err
}
