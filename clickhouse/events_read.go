package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/cursor"
)

// maxEvents bounds a page: about 10 MB of typical rows.
const maxEvents = 10000

// place is an event's position in the order of pages: by time, then by where it
// lies in the queue. Pages go downwards.
type place struct {
	time      int64
	partition int32
	offset    int64
	ordinal   int32
}

func (p place) cursor() string { return cursor.Encode(p.time, p.partition, p.offset, p.ordinal) }

func parseCursor(s string) (p place, err error) {
	p.time, p.partition, p.offset, p.ordinal, err = cursor.Decode(s)
	return p, err
}

// before is the condition of rows that come after p in pages.
func (p place) before() string {
	return fmt.Sprintf("(time < %[1]s OR time = %[1]s AND (partition < %[2]d OR partition = %[2]d AND (offset < %[3]d OR offset = %[3]d AND ordinal < %[4]d)))",
		instant(p.time), p.partition, p.offset, p.ordinal)
}

// instant is a time in ns as a literal. The text keeps the least number, whose
// absolute value is none.
func instant(ns int64) string {
	return fmt.Sprintf("fromUnixTimestamp64Nano(toInt64('%d'), 'UTC')", ns)
}

// readSettings make numbers in filters mean what they mean elsewhere.
var readSettings = ch.Settings{"precise_float_parsing": 1}

// selection returns the conditions of a query over events_rows: one, or two that
// have no row in common. The second is for the few rows whose columns do not tell
// all that the filter asks for; an index knows that most granules have none.
func (db *DB) selection(q millrace.EventQuery, from, to int64) []string {
	var common strings.Builder
	fmt.Fprintf(&common, "slot >= %d AND time >= %s", slotOf(from), instant(from))
	if to < math.MaxInt64 { // the last nanosecond would be cut off
		fmt.Fprintf(&common, " AND slot <= %d AND time < %s", slotOf(to), instant(to))
	}
	common.WriteString(" AND " + db.visible())
	if q.Project != "" {
		common.WriteString(" AND project = " + quote(q.Project))
	}
	if q.Filter == nil {
		return []string{common.String()}
	}
	conditions := func(odd string, closer bool) string {
		c := condition{closer: closer}
		c.filter(q.Filter)
		return common.String() + odd + " AND (" + c.sql.String() + ")"
	}
	mask := oddMask(q.Filter)
	if mask == 0 {
		return []string{conditions("", false)}
	}
	return []string{
		conditions(fmt.Sprintf(" AND bitAnd(odd, %d) = 0", mask), false),
		conditions(fmt.Sprintf(" AND odd > 0 AND bitAnd(odd, %d) != 0", mask), true),
	}
}

// union returns a subquery of the same columns and tail under each condition.
func (db *DB) union(columns string, conditions []string, tail string) string {
	parts := make([]string, len(conditions))
	for i, cond := range conditions {
		parts[i] = "SELECT " + columns + " FROM " + db.table("events_rows") + " WHERE " + cond + tail
	}
	return "(" + strings.Join(parts, " UNION ALL ") + ")"
}

// Events implements millrace.Store. It looks backwards in windows that become
// wider: the newest events are mostly near the end of the range, and a window that
// has enough of them spares all the older ones.
func (db *DB) Events(ctx context.Context, q millrace.EventQuery) (*millrace.EventPage, error) {
	if q.Limit < 1 || q.Limit > maxEvents {
		return nil, millrace.Errorf(millrace.ErrInvalid, "limit: %d: must be between 1 and %d", q.Limit, maxEvents)
	}
	var below *place
	if q.Cursor != "" {
		p, err := parseCursor(q.Cursor)
		if err != nil {
			return nil, err
		}
		below = &p
		q.To = min(q.To, satAdd(p.time, 1))
	}
	page := &millrace.EventPage{}
	want := q.Limit + 1 // one more tells whether there is a next page
	spans, err := db.spans(ctx, q.From, q.To)
	if err != nil {
		return nil, err
	}
	for _, w := range spans {
		got, err := db.window(ctx, q, w, below, want-len(page.Events))
		if err != nil {
			return nil, err
		}
		if page.Events = append(page.Events, got...); len(page.Events) == want {
			break
		}
	}
	if len(page.Events) == want {
		page.Events = page.Events[:q.Limit]
		page.Next = placeOf(&page.Events[q.Limit-1]).cursor()
	}
	return page, nil
}

// Windows cost a statement each, so that few rows are looked at in one.
const (
	fewRows       = 2_000_000
	tableSizeLife = 10 * time.Second
)

// spans returns the windows in which to look for the newest events of a range.
func (db *DB) spans(ctx context.Context, from, to int64) ([]millrace.Span, error) {
	now := db.now()
	s := &db.size
	s.mu.Lock()
	defer s.mu.Unlock()
	if due(&s.at, now, tableSizeLife) {
		rows, err := db.scalar(ctx, "search events", "SELECT toInt64(count()) FROM "+db.table("events_rows"))
		if err != nil {
			s.at = time.Time{}
			return nil, err
		}
		s.rows = rows
	}
	if s.rows < fewRows {
		return []millrace.Span{{From: from, To: to}}, nil
	}
	return windows(from, to, now.Add(millrace.MaxAhead).UnixNano()), nil
}

// tableSize is about how many raw rows there are.
type tableSize struct {
	mu   sync.Mutex
	at   time.Time
	rows int64
}

// windows splits a range of ns, newest first: what lies ahead of the clock, then
// windows that become wider, then the rest.
func windows(from, to, ahead int64) []millrace.Span {
	var out []millrace.Span
	end := to
	if end > ahead {
		if start := max(from, ahead); start < end {
			out = append(out, millrace.Span{From: start, To: end})
			end = start
		}
	}
	for _, width := range []time.Duration{30 * time.Minute, 4 * time.Hour, 30 * time.Hour, 8 * day} {
		start := from
		if float64(end)-float64(from) > float64(width) {
			start = end - int64(width)
		}
		if start < end {
			out = append(out, millrace.Span{From: start, To: end})
		}
		end = start
	}
	if from < end {
		out = append(out, millrace.Span{From: from, To: end})
	}
	return out
}

// storedColumns are what an event is made of.
const storedColumns = `toUnixTimestamp64Nano(time) AS t, toUnixTimestamp64Nano(arrived) AS a, partition, offset, ordinal,
	kind, project, source, service, host, env, release, level, trace_id, message, weight,
	method, url, status, bytes, rt, rt_backend, client_ip, user_agent, attrs`

const newestFirst = " ORDER BY time DESC, partition DESC, offset DESC, ordinal DESC LIMIT "

// window returns the newest events of one window.
func (db *DB) window(ctx context.Context, q millrace.EventQuery, w millrace.Span, below *place, want int) ([]millrace.StoredEvent, error) {
	conditions := db.selection(q, w.From, w.To)
	if below != nil {
		for i := range conditions {
			conditions[i] += " AND " + below.before()
		}
	}
	query := db.union(storedColumns, conditions, fmt.Sprint(newestFirst, want))
	var out []millrace.StoredEvent
	var r eventRow
	err := db.query(ctx, "search events", "SELECT * FROM "+query, func(rows driver.Rows) error {
		if err := r.scan(rows); err != nil {
			return err
		}
		out = append(out, r.event())
		return nil
	}, readSettings)
	slices.SortFunc(out, func(a, b millrace.StoredEvent) int { return comparePlaces(placeOf(&b), placeOf(&a)) })
	return out[:min(len(out), want)], err
}

func placeOf(e *millrace.StoredEvent) place {
	return place{e.Time.UnixNano(), e.Partition, e.Offset, e.Ordinal}
}

func comparePlaces(p, q place) int {
	return cmp.Or(cmp.Compare(p.time, q.time), cmp.Compare(p.partition, q.partition),
		cmp.Compare(p.offset, q.offset), cmp.Compare(p.ordinal, q.ordinal))
}

// eventRow is a row of storedColumns.
type eventRow struct {
	time, arrived, rt, backend int64
	e                          millrace.StoredEvent
	method, url, agent, attrs  string
	status                     int32
	bytes                      int64
	ip                         uint32
}

func (r *eventRow) scan(rows driver.Rows) error {
	e := &r.e
	return rows.Scan(&r.time, &r.arrived, &e.Partition, &e.Offset, &e.Ordinal,
		&e.Kind, &e.Project, &e.Source, &e.Service, &e.Host, &e.Env, &e.Release, &e.Level, &e.TraceID, &e.Message, &e.Weight,
		&r.method, &r.url, &r.status, &r.bytes, &r.rt, &r.backend, &r.ip, &r.agent, &r.attrs)
}

func (r *eventRow) event() millrace.StoredEvent {
	e := r.e
	e.Time, e.Arrived = time.Unix(0, r.time).UTC(), time.Unix(0, r.arrived).UTC()
	e.Attrs = r.appendAttrs(nil, &millrace.AttrColumns{})
	return e
}

// appendAttrs appends all attributes as a JSON object. c is for rows one after the
// other to share.
func (r *eventRow) appendAttrs(dst []byte, c *millrace.AttrColumns) []byte {
	c.Method = append(c.Method[:0], uint8(max(slices.Index(millrace.Methods[:], r.method), 0)))
	c.Status, c.BodyBytes, c.ClientIP = append(c.Status[:0], r.status), append(c.BodyBytes[:0], r.bytes), append(c.ClientIP[:0], r.ip)
	c.RT, c.RTBackend = append(c.RT[:0], millrace.Decimal(r.rt)), append(c.RTBackend[:0], millrace.Decimal(r.backend))
	setText(&c.URL, r.url)
	setText(&c.UserAgent, r.agent)
	return c.AppendObject(dst, 0, []byte(r.attrs))
}

func setText(c *millrace.Strings, text string) {
	c.Data, c.End = append(c.Data[:0], text...), append(c.End[:0], uint32(len(text)))
}

// CountEvents implements millrace.Store. With step 0 the one point has time 0.
func (db *DB) CountEvents(ctx context.Context, q millrace.EventQuery, step int64) ([]millrace.TimeCount, error) {
	if step < 0 {
		return nil, millrace.Errorf(millrace.ErrInvalid, "step: %d: must not be negative", step)
	}
	start := "toInt64(0)"
	if step > 0 {
		start = fmt.Sprintf("toUnixTimestamp64Nano(time) - positiveModulo(toUnixTimestamp64Nano(time), toInt64(%d))", step)
	}
	query := "SELECT t, toInt64(count()), toInt64(sum(weight)) FROM " +
		db.union(start+" AS t, weight", db.selection(q, q.From, q.To), "") + " GROUP BY t ORDER BY t"
	var out []millrace.TimeCount
	err := db.query(ctx, "count events", query, func(rows driver.Rows) error {
		var c millrace.TimeCount
		if err := rows.Scan(&c.Time, &c.Events, &c.Weight); err != nil {
			return err
		}
		out = append(out, c)
		return nil
	}, readSettings)
	return out, err
}

// satAdd adds without overflow; n is not negative.
func satAdd(t, n int64) int64 {
	if t > math.MaxInt64-n {
		return math.MaxInt64
	}
	return t + n
}
