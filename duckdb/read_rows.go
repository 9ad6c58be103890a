package duckdb

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// storedColumns are the columns of a day table as readHits wants them, as
// stored as can be: DuckDB takes several milliseconds to plan the expressions
// with which the view puts attributes together.
const storedColumns = `rowid, time, kind::VARCHAR, level::VARCHAR, origin, service, host, ` + traceID + `, message, weight,
	arrived, "partition", "offset", ordinal, attrs,
	method::VARCHAR, url, status, bytes, rt, rt_backend, client_ip, user_agent`

// storedColumnsV1 are the first of them from a table of version 1.
const storedColumnsV1 = `rowid, time, kind, level, concat_ws(chr(64976), project, source, env, release), service, host, ` + traceID + `, message, weight,
	arrived, "partition", "offset", ordinal, attrs`

// readHits reads events whole, in the order of hits.
func (db *DB) readHits(ctx context.Context, c *conn, hits []hit) ([]millrace.StoredEvent, error) {
	out := make([]millrace.StoredEvent, len(hits))
	at := map[string][]int{} // indexes in hits, by table
	for i, h := range hits {
		at[h.table] = append(at[h.table], i)
	}
	var lists [][]int
	for _, name := range slices.Sorted(maps.Keys(at)) {
		lists = append(lists, readLists(hits, at[name])...)
	}
	err := db.spread(ctx, c, len(lists), func(c *conn, i int) error {
		name := hits[lists[i][0]].table
		if err := readRows(ctx, c, name, hits, lists[i], out); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		return nil
	})
	return out, err
}

// Rows that one statement reads. DuckDB skips the vectors between the numbers of
// a list if it is short, but unpacks everything between those of a long one,
// which costs as much as three short ones.
const (
	readSpan  = 122_880
	shortList = 40
	longList  = 3 * shortList
)

// readLists shares the hits with the indexes at, which are all of one table, out
// among statements.
func readLists(hits []hit, at []int) (lists [][]int) {
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(hits[a].row, hits[b].row) })
	span := func(n int) int64 { return hits[at[n-1]].row - hits[at[0]].row }
	// Short lists are of equal length and an even number, for two connections to share.
	pairs := (len(at) + 2*shortList - 1) / (2 * shortList)
	short := (len(at) + 2*pairs - 1) / (2 * pairs)
	for len(at) > 0 {
		n := 1
		for n < len(at) && span(n+1) < readSpan {
			n++
		}
		if n < longList && span(n) > int64(2*n) {
			n = min(len(at), short)
		}
		lists = append(lists, at[:n])
		at = at[n:]
	}
	return lists
}

// readRows reads the hits with the indexes at, which ascend by row.
//
// The times are for DuckDB to skip row groups by: it compares the numbers of rows
// with every vector of the table, 0.7 µs each, and a table has 60 in each row
// group. A list is joined, not compared with: IN is a chain of comparisons for
// every row of a vector.
func readRows(ctx context.Context, c *conn, name string, hits []hit, at []int, out []millrace.StoredEvent) error {
	list := storedColumns
	if layoutOf(name) == layoutV1 {
		list = storedColumnsV1
	}
	first, last := hits[at[0]].row, hits[at[len(at)-1]].row
	lo, hi := hits[at[0]].time, hits[at[0]].time
	index := make(map[int64]int, len(at))
	var ids strings.Builder
	for i, k := range at {
		lo, hi = min(lo, hits[k].time), max(hi, hits[k].time)
		index[hits[k].row] = k
		if i > 0 {
			ids.WriteByte(',')
		}
		fmt.Fprintf(&ids, "(%d)", hits[k].row)
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE time >= ? AND time <= ? AND rowid BETWEEN %d AND %d", list, ident(name), first, last)
	if last-first >= int64(len(at)) {
		query += " AND rowid IN (VALUES " + ids.String() + ")"
	}
	r, err := c.query(ctx, query, timeNS(lo), timeNS(hi))
	if err != nil {
		return err
	}
	defer r.close()
	var attrs millrace.AttrColumns
	for i := 0; r.next(); i++ {
		e, err := r.event()
		if err != nil {
			return fmt.Errorf("row %d: %w", r.int64(0), err)
		}
		if list == storedColumns {
			r.attrColumns(&attrs, 15)
			e.Attrs = attrs.AppendObject(nil, i, e.Attrs)
		}
		out[index[r.int64(0)]] = e
	}
	return r.err
}

// event reads a row of storedColumns, without the attributes in columns.
func (r *rows) event() (millrace.StoredEvent, error) {
	var origin [5]string // the last is a level without a number
	copy(origin[:], strings.SplitN(r.str(4), originSep, len(origin)))
	level := r.str(3)
	if r.isNull(3) {
		level = origin[4]
	}
	message, err := longMessage.unpack(r.bytes(8))
	attrs, err2 := longAttrs.unpack(r.bytes(14))
	return millrace.StoredEvent{
		Time: nsTime(r.int64(1)), Project: origin[0], Source: origin[1], Env: origin[2], Release: origin[3],
		Kind: r.str(2), Level: level, Service: r.str(5), Host: r.str(6), TraceID: r.str(7), Message: string(message), Weight: r.int64(9),
		Arrived: nsTime(r.int64(10)), Partition: int32(r.int64(11)), Offset: r.int64(12), Ordinal: int32(r.int64(13)),
		Attrs: bytes.Clone(attrs),
	}, errors.Join(err, err2)
}

// attrColumns adds a row's columns of attributes, the first of which is col.
// NULL, which leaves it to attrs, is none here.
func (r *rows) attrColumns(a *millrace.AttrColumns, col int) {
	number := func(i int, none int64) int64 {
		if r.isNull(col + i) {
			return none
		}
		return r.int64(col + i)
	}
	a.Method = append(a.Method, uint8(max(0, slices.Index(millrace.Methods[:], r.str(col)))))
	a.URL.Append(r.str(col + 1))
	a.Status = append(a.Status, int32(number(2, -1)))
	a.BodyBytes = append(a.BodyBytes, number(3, -1))
	a.RT = append(a.RT, millrace.Decimal(number(4, int64(millrace.NoDecimal))))
	a.RTBackend = append(a.RTBackend, millrace.Decimal(number(5, int64(millrace.NoDecimal))))
	a.ClientIP = append(a.ClientIP, uint32(number(6, 0)))
	a.UserAgent.Append(r.str(col + 7))
}

// layoutFor returns the layout of a table with what a filter may rely on: that
// a column has no NULL, so that nothing needs to be looked for in attrs. DuckDB
// knows that for whole row groups and hardly reads anything to tell; while a
// condition that mentions attrs makes it read them for every row that is left.
func layoutFor(ctx context.Context, c *conn, table string, f *millrace.Filter) (*layout, error) {
	l := layoutOf(table)
	fields := map[string]bool{}
	f.Fields(fields)
	var own *layout
	for name := range fields {
		a, ok := l.attrs[name]
		if !ok {
			continue
		}
		n, err := oneInt(ctx, c, "SELECT count(*) FROM (SELECT 1 FROM "+ident(table)+" WHERE "+name+" IS NULL LIMIT 1)")
		if err != nil {
			return nil, err
		}
		if n > 0 {
			continue
		}
		if own == nil {
			own = l.clone()
		}
		a.full = true
		own.attrs[name] = a
	}
	if own != nil {
		return own, nil
	}
	return l, nil
}
