package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// toVersion2 is the migration of everything.
func toVersion2(ctx context.Context, c *conn) error {
	if err := columnsForAttributes(ctx, c); err != nil {
		return err
	}
	return codesForValues(ctx, c)
}

// codesForValues is the rollup part of version 2. Version 1 had the texts of
// dimensions in the cells, in a column d_DIMENSION each that was NULL where the
// set did not have it; now cells have numbers in key columns, as many as the
// largest set has dimensions, and values_NAME has the texts.
func codesForValues(ctx context.Context, c *conn) error {
	var names []string
	err := each(ctx, c, "SELECT name FROM rollups ORDER BY name", func(r *rows) error {
		names = append(names, r.str(0))
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := rewriteCells(ctx, c, name); err != nil {
			return fmt.Errorf("rollup %s: %w", name, err)
		}
	}
	cubes := map[string]*cube{}
	if err := readCubes(ctx, c, cubes); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := c.exec(ctx, cubes[name].view()); err != nil {
			return fmt.Errorf("view of rollup %s: %w", name, err)
		}
	}
	return nil
}

// cellsV1 is what the tables of a rollup of version 1 look like.
type cellsV1 struct {
	name   string
	dims   []string         // columns d_...
	states []string         // columns and their types
	sets   map[int][]string // the names of the dimensions of each set, sorted
	width  int              // of the largest
}

func readV1(ctx context.Context, c *conn, name string) (*cellsV1, error) {
	v := &cellsV1{name: name, sets: map[int][]string{}}
	err := each(ctx, c, "SELECT column_name, data_type FROM duckdb_columns() WHERE schema_name = 'main' AND table_name = "+
		quote("deltas_"+name)+" ORDER BY column_index", func(r *rows) error {
		switch column := r.str(0); {
		case strings.HasPrefix(column, "d_"):
			v.dims = append(v.dims, column)
		case strings.HasPrefix(column, "s_") || strings.HasPrefix(column, "n_"):
			compression := map[string]string{"BLOB": " USING COMPRESSION uncompressed", "BIGINT": " USING COMPRESSION bitpacking"}
			v.states = append(v.states, ident(column)+" "+r.str(1)+compression[r.str(1)])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, c, "SELECT set_id, names FROM cell_sets WHERE rollup = "+quote(name), func(r *rows) error {
		dims := strings.Split(r.str(1), ",")
		if r.str(1) == "" {
			dims = nil
		}
		v.sets[int(r.int64(0))], v.width = dims, max(v.width, len(dims))
		return nil
	})
	return v, err
}

func rewriteCells(ctx context.Context, c *conn, name string) error {
	v, err := readV1(ctx, c, name)
	if err != nil {
		return err
	}
	if err := v.number(ctx, c); err != nil {
		return fmt.Errorf("number the values: %w", err)
	}
	for _, t := range []struct{ prefix, fixed, columns string }{
		{"deltas_", "set_id, bucket, hour, arrived", list([]string{setColumn, bucketColumn, hourColumn, arrivedColumn})},
		{"minutes_", "set_id, bucket, hour", list([]string{setColumn, bucketColumn, hourColumn})},
		{"hours_", "set_id, bucket", list([]string{setColumn, bucketColumn})},
		{"days_", "set_id, bucket", list([]string{setColumn, bucketColumn})},
	} {
		if err := v.rewrite(ctx, c, t.prefix, t.fixed, t.columns); err != nil {
			return fmt.Errorf("rewrite %s%s: %w", t.prefix, name, err)
		}
	}
	return nil
}

// number fills values_NAME with the texts of all tables.
func (v *cellsV1) number(ctx context.Context, c *conn) error {
	var all []string
	for _, prefix := range []string{"days_", "hours_", "minutes_", "deltas_"} {
		for _, d := range v.dims {
			all = append(all, "SELECT DISTINCT "+ident(d)+" AS value FROM "+ident(prefix+v.name))
		}
	}
	create := "CREATE TABLE " + ident("values_"+v.name) + " (" + valuesColumns + ")"
	if _, err := c.exec(ctx, create); err != nil || len(all) == 0 {
		return err
	}
	_, err := c.exec(ctx, fmt.Sprintf(`INSERT INTO %s SELECT row_number() OVER (), value FROM
		(SELECT DISTINCT value FROM (%s) WHERE value IS NOT NULL)`, ident("values_"+v.name), strings.Join(all, " UNION ALL ")))
	return err
}

func (v *cellsV1) rewrite(ctx context.Context, c *conn, prefix, fixed, columns string) error {
	old, fresh, values := ident(prefix+v.name), ident("v2_"+prefix+v.name), ident("values_"+v.name)
	var keys, codes, states []string
	joins := ""
	for i := range v.width {
		keys = append(keys, keyColumn(i)+" "+keyType)
		codes = append(codes, fmt.Sprintf("coalesce(v%d.code, 0)", i))
		joins += fmt.Sprintf(" LEFT JOIN %s v%d ON v%d.value = %s", values, i, i, v.text(i))
	}
	for _, s := range v.states {
		column, _, _ := strings.Cut(s, " ")
		states = append(states, column)
	}
	for _, stmt := range []string{
		fmt.Sprintf("CREATE TABLE %s (%s)", fresh, list([]string{columns}, keys, v.states)),
		fmt.Sprintf("INSERT INTO %s SELECT %s FROM %s t%s", fresh, list([]string{fixed}, codes, states), old, joins),
		"DROP TABLE " + old,
		fmt.Sprintf("ALTER TABLE %s RENAME TO %s", fresh, old),
	} {
		if _, err := c.exec(ctx, stmt); err != nil {
			return err
		}
	}
	return nil
}

// text returns the text of a row that its key column i stands for.
func (v *cellsV1) text(i int) string {
	var b strings.Builder
	b.WriteString("CASE t.set_id")
	for id, dims := range v.sets {
		if i < len(dims) && slices.Contains(v.dims, "d_"+dims[i]) {
			fmt.Fprintf(&b, " WHEN %d THEN t.%s", id, ident("d_"+dims[i]))
		}
	}
	b.WriteString(" END")
	return b.String()
}
