package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"sync"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// column is a column of an insertion: values is a slice with one element per row,
// of a type that clickhouse-go takes for the column's, or native.
type column struct {
	name   string
	values any
}

// insert stores rows as one block. It is tried once: after an error nobody knows
// whether they are there, so that they need a flush of their own. Columns that are
// not named have their defaults.
func (db *DB) insert(ctx context.Context, op, table string, columns ...column) error {
	ctx, cancel := db.limited(ctx)
	defer cancel()
	return wrap(ctx, op, db.insertBlock(ctx, table, columns))
}

func (db *DB) insertBlock(ctx context.Context, table string, columns []column) error {
	types, err := db.layout(ctx, table, columns)
	if err != nil {
		return err
	}
	if types != nil {
		ctx = ch.Context(ctx, ch.WithColumnNamesAndTypes(types))
	}
	err = db.sendBlock(ctx, table, columns)
	if err != nil {
		db.layouts.forget(table)
	}
	return err
}

func (db *DB) sendBlock(ctx context.Context, table string, columns []column) error {
	batch, err := db.conn.PrepareBatch(ctx, "INSERT INTO "+db.table(table)+" ("+columnNames(columns)+")")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }() // after Send it does nothing
	into := batch.Columns()
	for i, c := range columns {
		if n, ok := c.values.(*native); ok {
			err = n.appendTo(into[i])
		} else {
			err = batch.Column(i).Append(c.values)
		}
		if err != nil {
			_ = batch.Abort() // err says why
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return batch.Send()
}

func columnNames(columns []column) string {
	s := ""
	for i, c := range columns {
		if i > 0 {
			s += ", "
		}
		s += ident(c.name)
	}
	return s
}

// layouts are the types of tables' columns. Over HTTP the driver asks for them
// before each insertion, which costs the server as much as a small one; natively
// the server tells them in its answer.
type layouts struct {
	mu sync.Mutex
	of map[string]map[string]string // by table and column
}

func (l *layouts) get(table string) map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[table]
}

func (l *layouts) put(table string, types map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]map[string]string{}
	}
	l.of[table] = types
}

// forget is called when an insertion failed: the table may have changed.
func (l *layouts) forget(table string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, table)
}

// layout returns the types of columns of a table, nil if the driver has to find
// them out, and to say what is missing.
func (db *DB) layout(ctx context.Context, table string, columns []column) ([]ch.ColumnNameAndType, error) {
	if !db.addr.http {
		return nil, nil
	}
	known := db.layouts.get(table)
	missing := func(c column) bool { return known[c.name] == "" }
	if slices.ContainsFunc(columns, missing) { // never asked, or a column is new
		var err error
		if known, err = db.columnTypes(ctx, table); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(columns, missing) {
			return nil, nil
		}
		db.layouts.put(table, known)
	}
	out := make([]ch.ColumnNameAndType, len(columns))
	for i, c := range columns {
		out[i] = ch.ColumnNameAndType{Name: c.name, Type: known[c.name]}
	}
	return out, nil
}

func (db *DB) columnTypes(ctx context.Context, table string) (map[string]string, error) {
	out := map[string]string{}
	rows, err := db.conn.Query(ctx, "SELECT name, type FROM system.columns WHERE database = "+quote(db.addr.database)+
		" AND table = "+quote(table))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // errors are those of Err
	for rows.Next() {
		var name, kind string
		if err := rows.Scan(&name, &kind); err != nil {
			return nil, err
		}
		out[name] = kind
	}
	return out, rows.Err()
}
