package clickhouse

import (
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// eventsTable has raw rows. Its columns follow millrace.EventRows: well-known
// attributes have a column each, with the value that stands for none, and attrs
// has the others as the JSON text they came in.
//
// attrs is text, not Map or JSON. Over a million rows with six attributes (ClickHouse
// 26.7, one core) text went in at 1.4M rows/s, a Map at 0.95M and the JSON type at
// 0.13M; they took 34, 35 and 24 MB. Counting the rows with a value took 280, 400
// and 90 ms, the most frequent values 490, 360 and 100 ms. A Map reads all keys and
// values to get one, so that it saves nothing but the parsing; JSON reads one
// attribute, but does not give back numbers as they were written, so that the text
// would be needed beside it, and it takes ten times the CPU of the server to insert.
// What is asked for most has a column.
//
// Sorted by ten minutes of event time, rows of a service and with like messages
// lie together, and a range of time is a range of the key; time itself is a skip
// index for statements that do not know slots. flush follows arrival closely, so
// that the rows of one are found by its index too.
//
// Parts up to 256 MB before compression, about 600,000 rows, have their columns in
// one file: two thirds of the CPU to insert 40,000 rows (2.1 instead of 3.1 µs a row)
// and half of it to merge them, with 28 columns and four indexes.
func eventsTable(o *Options) *tableDef {
	return &tableDef{
		name: "events_rows",
		columns: `    flush UInt64 CODEC(Delta, ZSTD(1)),
    partition Int32 CODEC(ZSTD(1)),
    offset Int64 CODEC(Delta, ZSTD(1)),
    ordinal Int32 CODEC(Delta, ZSTD(1)),
    arrived DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    slot Int32 CODEC(Delta, ZSTD(1)),
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    service LowCardinality(String),
    host LowCardinality(String),
    env LowCardinality(String),
    release LowCardinality(String),
    level LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    message String CODEC(ZSTD(1)),
    weight Int64 CODEC(T64, ZSTD(1)),
    method LowCardinality(String),
    url String CODEC(ZSTD(1)),
    status Int32 CODEC(T64, ZSTD(1)),
    bytes Int64 CODEC(T64, ZSTD(1)),
    rt Int64 CODEC(ZSTD(1)),
    rt_backend Int64 CODEC(ZSTD(1)),
    client_ip UInt32 CODEC(ZSTD(1)),
    user_agent String CODEC(ZSTD(1)),
    odd UInt16 CODEC(ZSTD(1)),
    attrs String CODEC(ZSTD(1)),
    INDEX time_range time TYPE minmax GRANULARITY 1,
    INDEX flush_range flush TYPE minmax GRANULARITY 1,
    INDEX odd_range odd TYPE minmax GRANULARITY 1,
    INDEX trace_ids trace_id TYPE bloom_filter(0.01) GRANULARITY 1,
    ` + wordIndex,
		engine: "MergeTree",
		tail: "PARTITION BY toYYYYMMDD(arrived)\nORDER BY (project, slot, service, time)" +
			o.Storage.moves() + "\nSETTINGS " + o.Storage.policy() + "index_granularity = 8192, min_bytes_for_wide_part = 268435456, ttl_only_drop_parts = 1",
		shardBy: "flush",
	}
}

// wordIndex finds the granules in which a message may contain a text, whole words
// or not. Over 500,000 lines of system logs (ClickHouse 26.7, one core) it makes a
// rare word 6 times as fast to find (31 instead of 185 ms) and costs 4 microseconds
// a row and a sixth of the messages' size. Filters of words cannot find parts of
// words; the text index, with a list of rows for each word, was larger than the
// messages themselves, since every line names something that no other does, and no
// faster for parts of words.
const wordIndex = `INDEX message_grams lower(message) TYPE ngrambf_v1(4, 32768, 2, 0) GRANULARITY 1`

// slotWidth is the width of the sort key's slots of event time in ns.
const slotWidth = int64(10 * time.Minute)

// slotOf returns the slot of a time in ns, rounded down.
func slotOf(ns int64) int32 {
	s := ns / slotWidth
	if ns%slotWidth < 0 {
		s--
	}
	return int32(s)
}

func (s *Storage) policy() string {
	if s.Policy == "" {
		return ""
	}
	return "storage_policy = " + quote(s.Policy) + ", "
}

// moves is the clause that moves old rows to other volumes. It never deletes: that
// is Maintain's, by the clock it is given.
func (s *Storage) moves() string {
	var out string
	for _, v := range []struct {
		volume string
		after  time.Duration
	}{{s.WarmVolume, s.WarmAfter.Std()}, {s.ColdVolume, s.ColdAfter.Std()}} {
		if v.volume == "" {
			continue
		}
		if out == "" {
			out = "\nTTL "
		} else {
			out += ",\n    "
		}
		out += fmt.Sprintf("toDateTime(arrived) + INTERVAL %d SECOND TO VOLUME %s", int64(v.after/time.Second), quote(v.volume))
	}
	return out
}

// ledgerTable has the accounts of each flush, and ledgerMerged one account for many
// flushes (see accounts.go).
var ledgerTable = tableDef{
	name: "ledger_rows",
	columns: `    flush UInt64,
    n UInt32,
    ` + ledgerColumns,
	engine:  "MergeTree",
	tail:    "ORDER BY (flush, n)",
	shardBy: "flush",
}

var ledgerMerged = tableDef{
	name: "ledger_merged",
	columns: `    flush UInt64,
    first Tuple(UInt64, UInt32),
    ` + ledgerColumns,
	engine:  "MergeTree",
	tail:    "PARTITION BY toYYYYMM(toDateTime(minute, 'UTC'))\nORDER BY (minute, project, source, sink, outcome, reason)",
	shardBy: "flush",
}

const ledgerColumns = `sink LowCardinality(String),
    project LowCardinality(String),
    source LowCardinality(String),
    minute Int64,
    outcome LowCardinality(String),
    reason LowCardinality(String),
    events Int64,
    weight Int64,
    example String CODEC(ZSTD(1))`

// hiddenFlushes has the flushes whose rows do not count. It is small: a row goes
// when nothing is left to hide.
var hiddenFlushes = tableDef{
	name:    "hidden_flushes",
	columns: "    flush UInt64,\n    hidden DateTime64(3, 'UTC')",
	engine:  "MergeTree",
	tail:    "ORDER BY flush",
}

func baseSchema(a *address, o *Options) []string {
	var out []string
	for _, t := range []*tableDef{&hiddenFlushes, eventsTable(o), &ledgerTable, &ledgerMerged} {
		out = append(out, a.create(t)...)
	}
	return out
}

// fingerprintOf is the attribute fingerprint as attrText has it. Nearly all rows have
// none, which is seen many times sooner than their attributes are parsed.
var fingerprintOf = "if(position(attrs, " + quote(`"`+millrace.AttrFingerprint+`":`) + ") > 0, " + attrText(millrace.AttrFingerprint) + ", '')"

// addFingerprints is version 2: a column with the attribute fingerprint, and an index
// of it, so that an issue's events are found among all others. The server fills it
// from attrs when rows come in; of rows that were there before when it is asked for,
// until a merge has written them again.
func addFingerprints(a *address, _ *Options) []string {
	const name = "events_rows"
	db, add := ident(a.database)+".", " ADD COLUMN IF NOT EXISTS fingerprint LowCardinality(String)"
	stored := add + " MATERIALIZED " + fingerprintOf + ", ADD INDEX IF NOT EXISTS fingerprints fingerprint TYPE bloom_filter(0.01) GRANULARITY 1"
	if a.cluster == "" {
		return []string{"ALTER TABLE " + db + ident(name) + stored}
	}
	on := " ON CLUSTER " + ident(a.cluster)
	return []string{"ALTER TABLE " + db + ident(name+localSuffix) + on + stored, "ALTER TABLE " + db + ident(name) + on + add}
}
