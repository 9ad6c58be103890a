package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/failpoint"
)

const (
	// forgetAbove is how many values a rollup has before unused ones are looked
	// for: it takes a look at every cell.
	forgetAbove = 100_000
	// forgetSlice bounds the values that one transaction removes.
	forgetSlice = 20_000
)

// forgetting is what of values_NAME is to go. Only Maintain touches it.
type forgetting struct {
	day   int64 // the last on which it was looked for
	codes map[string][]uint32
}

// forgetValues removes values that no cell has any more, so that values which
// come and go do not stay for ever: once a day it looks for them, then each
// slice removes some. The looking holds up nobody.
func (db *DB) forgetValues(ctx context.Context, now time.Time) (bool, error) {
	f := &db.rollups.forgetting
	cubes, err := db.sortedCubes(ctx)
	if err != nil {
		return false, err
	}
	day := now.Unix() / (24 * 3600)
	if f.day != day && len(f.codes) == 0 {
		first := f.day == 0 // a restart is no reason
		if f.day = day; first {
			return false, nil
		}
		f.codes = map[string][]uint32{}
		for _, k := range cubes {
			codes, err := db.unusedValues(ctx, k)
			if err != nil {
				return false, err
			}
			if len(codes) > 0 {
				f.codes[k.schema.Name] = codes
			}
		}
	}
	for _, k := range cubes {
		name := k.schema.Name
		codes := f.codes[name]
		if len(codes) == 0 {
			continue
		}
		n := min(len(codes), forgetSlice)
		if f.codes[name] = codes[n:]; n == len(codes) {
			delete(f.codes, name)
		}
		err := db.write(ctx, "values", func(w *writer) error { return db.dropValues(w, k, codes[:n]) })
		return len(f.codes) > 0, err
	}
	return false, nil
}

// unusedValues returns the numbers that no cell has.
func (db *DB) unusedValues(ctx context.Context, k *cube) ([]uint32, error) {
	var out []uint32
	err := db.snapshot(ctx, "look for unused values", func(c *conn) error {
		n, err := oneInt(ctx, c, "SELECT count(*) FROM "+k.values())
		if err != nil || n < cmp.Or(db.rollups.forgetAbove, forgetAbove) || len(k.keys) == 0 {
			return err
		}
		return each(ctx, c, fmt.Sprintf("SELECT code::BIGINT FROM %s WHERE code NOT IN (%s)",
			k.values(), k.usedIn(k.days(), k.hours(), k.minutes(), k.deltas())), func(r *rows) error {
			out = append(out, uint32(r.int64(0)))
			return nil
		})
	})
	return out, err
}

// usedIn selects the numbers that tables have.
func (k *cube) usedIn(tables ...string) string {
	var all []string
	for _, t := range tables {
		for _, key := range k.keys {
			all = append(all, fmt.Sprintf("SELECT DISTINCT %s FROM %s WHERE %s IS NOT NULL", key, t, key))
		}
	}
	return strings.Join(all, " UNION ALL ")
}

// dropValues removes values unless deltas have come to use them since: all that
// was written since they were looked for is there, because only upkeep, which
// does one thing at a time, moves deltas on.
func (db *DB) dropValues(w *writer, k *cube, codes []uint32) error {
	if v := db.rollups.words[k.schema.Name]; v != nil {
		v.distrust() // the next flush reads the table again
	}
	var in strings.Builder
	for i, c := range slices.Sorted(slices.Values(codes)) {
		if i > 0 {
			in.WriteByte(',')
		}
		fmt.Fprint(&in, c)
	}
	if _, err := w.exec(fmt.Sprintf("DELETE FROM %s WHERE code IN (SELECT unnest([%s])) AND code NOT IN (%s)",
		k.values(), in.String(), k.usedIn(k.deltas()))); err != nil {
		return err
	}
	return failpoint.Hit("values")
}
