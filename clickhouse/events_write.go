package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// WriteEvents implements millrace.Store. Rows of one day of arrival are one part of
// the table, and so become visible at once.
func (db *DB) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) error {
	if err := ctx.Err(); err != nil {
		return wrap(ctx, "write events", err)
	}
	return db.flush(ctx, c.Sink, partitionsOf(c), func(f *millrace.Flush) error {
		if rows != nil && rows.Len() > 0 {
			if rows.Len() > maxFlushRows {
				return millrace.Errorf(millrace.ErrInvalid, "write events: %d rows at once; at most %d are allowed", rows.Len(), maxFlushRows)
			}
			if err := db.insert(db.indexLater(ctx), "write events", "events_rows", eventColumns(f.ID, rows)...); err != nil {
				return err
			}
		}
		return db.insertLedger(ctx, f, c)
	}, func(flush int64) error {
		if err := failpoint.Hit("events.commit"); err != nil {
			return err
		}
		if err := db.commits.Commit(ctx, flush, c); err != nil {
			return fmt.Errorf("commit events: %w", err)
		}
		return failpoint.Hit("events.commit.after")
	})
}

// indexLater leaves the index of words to the first merge: it is half of the work
// of an insertion, and would be done again then. Small new parts are searched
// without it.
func (db *DB) indexLater(ctx context.Context) context.Context {
	if db.major < 26 { // older servers do not know the setting
		return ctx
	}
	return ch.Context(ctx, ch.WithSettings(ch.Settings{"exclude_materialize_skip_indexes_on_insert": "message_grams"}))
}

// Bits of the column odd. Rows that have one need a closer look for some filters;
// they are rare, so that a statement reads them apart (see selection).
const (
	// The lowest eight are millrace.AttrSet: the attribute is not in its column.

	// oddCase is a message with a character that is in lower case an ASCII letter
	// without being one: searching bytes without regard to case misses it.
	oddCase = 1 << 8
)

// The characters of oddCase, the Kelvin sign and the I with a dot.
const kelvin, dottedI = "\u212A", "\u0130"

func oddBits(rows *millrace.EventRows, i int, messages string, special bool) uint16 {
	bits := uint16(rows.InAttrs[i])
	if special && (strings.Contains(messages, kelvin) || strings.Contains(messages, dottedI)) {
		bits |= oddCase
	}
	return bits
}

// eventColumns returns the columns of an insertion.
func eventColumns(flush int64, rows *millrace.EventRows) []column {
	n := rows.Len()
	flushes, slots, odd := make([]uint64, n), make([]int32, n), make([]uint16, n)
	rt, backend := make([]int64, n), make([]int64, n)
	messages := texts(&rows.Message)
	all := borrow(rows.Message.Data)
	special := strings.Contains(all, kelvin) || strings.Contains(all, dottedI)
	for i := range n {
		flushes[i] = uint64(flush)
		slots[i] = slotOf(rows.Time[i])
		rt[i], backend[i] = int64(rows.RT[i]), int64(rows.RTBackend[i])
		odd[i] = oddBits(rows, i, messages[i], special)
	}
	return []column{
		{"flush", flushes},
		{"partition", rows.Partition},
		{"offset", rows.Offset},
		{"ordinal", rows.Ordinal},
		{"arrived", instants(rows.Arrived)},
		{"slot", slots},
		{"time", instants(rows.Time)},
		{"kind", termsOfNumbers(rows.Kind, millrace.Kind.String)},
		{"project", termsOf(&rows.Project)},
		{"source", termsOf(&rows.Source)},
		{"service", termsOf(&rows.Service)},
		{"host", termsOf(&rows.Host)},
		{"env", termsOf(&rows.Env)},
		{"release", termsOf(&rows.Release)},
		{"level", termsOf(&rows.Level)},
		{"trace_id", texts(&rows.TraceID)},
		{"message", messages},
		{"weight", rows.Weight},
		{"method", termsOfNumbers(rows.Method, func(n uint8) string { return millrace.Methods[n] })},
		{"url", texts(&rows.URL)},
		{"status", rows.Status},
		{"bytes", rows.BodyBytes},
		{"rt", rt},
		{"rt_backend", backend},
		{"client_ip", rows.ClientIP},
		{"user_agent", texts(&rows.UserAgent)},
		{"odd", odd},
		{"attrs", texts(&rows.Attrs)},
	}
}

// texts returns a column as strings that share its bytes: they are for the driver,
// which copies them while the rows stay as they are. Invalid UTF-8, which decoders do
// not pass, is replaced.
func texts(s *millrace.Strings) []string {
	all := borrow(s.Data)
	valid := utf8.ValidString(all)
	out := make([]string, len(s.End))
	var from uint32
	for i, end := range s.End {
		out[i] = all[from:end]
		if !valid || int(end) < len(all) && !utf8.RuneStart(all[end]) {
			out[i] = validText(out[i])
		}
		from = end
	}
	return out
}

func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
