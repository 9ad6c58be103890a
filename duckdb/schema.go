package duckdb

import (
	"context"
	"fmt"
	"time"

	"github.com/millrace/millrace"
)

// schemaVersion is the version this code reads and writes, oldestVersion the first
// that it migrates when it opens a file.
const (
	schemaVersion = 3
	oldestVersion = 1
)

// migration brings a file from version-1 to version.
type migration struct {
	version    int
	statements []string
	run        func(ctx context.Context, c *conn) error // after the statements, in their transaction; nil: nothing
}

var migrations = []migration{
	{version: 1, statements: append(coreTables, rollupTables...)},
	{version: 2, run: toVersion2},
	{version: 3, run: packedTexts},
}

// coreTables is version 1 of everything but rollups, without the views of
// events, which version 2 makes.
//
// positions, gaps, set_aside and ledger are also the SQL names users see.
// ledger_rows and clients are logs: a flush appends to them, which is cheaper
// than updating and cannot conflict; seq orders the entries, views and Load
// merge them, Maintain compacts them.
var coreTables = []string{
	`CREATE TABLE positions (
		sink VARCHAR NOT NULL, "partition" INTEGER NOT NULL, generation BIGINT NOT NULL, topic_id VARCHAR NOT NULL,
		"offset" BIGINT NOT NULL, ordinal INTEGER NOT NULL, max_time BIGINT NOT NULL)`,
	`CREATE TABLE clients (
		sink VARCHAR NOT NULL, client VARCHAR NOT NULL, updated BIGINT NOT NULL, state BLOB NOT NULL, seq BIGINT NOT NULL)`,
	`CREATE TABLE ledger_rows (
		sink VARCHAR NOT NULL, project VARCHAR NOT NULL, source VARCHAR NOT NULL, minute BIGINT NOT NULL,
		outcome VARCHAR NOT NULL, reason VARCHAR NOT NULL, events BIGINT NOT NULL, weight BIGINT NOT NULL,
		example VARCHAR NOT NULL, seq BIGINT NOT NULL)`,
	`CREATE TABLE gaps (
		sink VARCHAR NOT NULL, "partition" INTEGER NOT NULL, generation BIGINT NOT NULL,
		"from" BIGINT NOT NULL, "to" BIGINT NOT NULL, found TIMESTAMP_NS NOT NULL, reason VARCHAR NOT NULL)`,
	`CREATE TABLE set_aside (
		sink VARCHAR NOT NULL, "partition" INTEGER NOT NULL, generation BIGINT NOT NULL, "offset" BIGINT NOT NULL,
		ordinal INTEGER NOT NULL, time TIMESTAMP_NS NOT NULL, project VARCHAR NOT NULL, source VARCHAR NOT NULL,
		stage VARCHAR NOT NULL, reason VARCHAR NOT NULL, payload BLOB NOT NULL)`,
	`CREATE TABLE segments (
		name VARCHAR NOT NULL, day DATE NOT NULL, min_time TIMESTAMP_NS NOT NULL, max_time TIMESTAMP_NS NOT NULL,
		"rows" BIGINT NOT NULL, bytes BIGINT NOT NULL)`,
	"CREATE TABLE admitted (rollup VARCHAR NOT NULL, dimension VARCHAR NOT NULL, value VARCHAR NOT NULL)",
	"CREATE TABLE events_none " + eventColumnsV1,
	`CREATE VIEW ledger AS
		SELECT sink, project, source, make_timestamp(minute * 1000000) AS minute, outcome, reason,
			sum(events)::BIGINT AS events, sum(weight)::BIGINT AS weight,
			coalesce(arg_min(example, seq) FILTER (example <> ''), '') AS example
		FROM ledger_rows GROUP BY ALL`,
	// now() is a TIMESTAMP WITH TIME ZONE, which cannot be compared with time. As
	// a plain UTC timestamp it can, and prunes days and row groups.
	"CREATE MACRO now() AS (transaction_timestamp() AT TIME ZONE 'UTC')",
	"CREATE MACRO get_current_timestamp() AS (transaction_timestamp() AT TIME ZONE 'UTC')", // CURRENT_TIMESTAMP
}

// columnsForAttributes is version 2: new day tables have columns for well-known
// attributes (eventColumns). Those of version 1 get the suffix _v1 and stay as
// they are; rows that arrive on a day begun before go to a second table.
func columnsForAttributes(ctx context.Context, c *conn) error {
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name + suffixV1
		if _, err := c.exec(ctx, "ALTER TABLE "+ident(s.name)+" RENAME TO "+ident(names[i])); err != nil {
			return fmt.Errorf("rename %s: %w", s.name, err)
		}
	}
	for _, s := range []string{
		"UPDATE segments SET name = name || " + quote(suffixV1),
		"DROP TABLE events_none",
		"CREATE TABLE events_none " + eventColumns,
	} {
		if _, err := c.exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return makeViews(ctx, c, names)
}

// packedTexts is version 3: long messages and attributes are packed in the day tables
// (longText), so that the views unpack them. Rows that are there stay as they are.
func packedTexts(ctx context.Context, c *conn) error {
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return err
	}
	names := make([]string, len(segs))
	for i, s := range segs {
		names[i] = s.name
	}
	return makeViews(ctx, c, names)
}

// migrate brings the schema up to date in one transaction per version.
func migrate(ctx context.Context, c *conn, now time.Time) error {
	have, err := readVersion(ctx, c)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	switch {
	case have > schemaVersion:
		return &millrace.Error{
			Code: millrace.ErrInvalid, Op: "read schema version",
			Message: fmt.Sprintf("the database has schema version %d, this release knows %d", have, schemaVersion),
			Hint:    "run the release that wrote it, or a newer one",
		}
	case have > 0 && have < oldestVersion:
		return &millrace.Error{
			Code: millrace.ErrInvalid, Op: "read schema version",
			Message: fmt.Sprintf("the database has schema version %d, this release migrates from %d", have, oldestVersion),
			Hint:    "open it once with each release in between",
		}
	}
	for _, m := range migrations {
		if m.version <= have {
			continue
		}
		if err := m.apply(ctx, c, now); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", m.version, err)
		}
	}
	return nil
}

func readVersion(ctx context.Context, c *conn) (int, error) {
	if _, err := c.exec(ctx, "CREATE TABLE IF NOT EXISTS meta_version (version INTEGER NOT NULL, applied TIMESTAMP_NS NOT NULL)"); err != nil {
		return 0, err
	}
	r, err := c.query(ctx, "SELECT coalesce(max(version), 0) FROM meta_version")
	if err != nil {
		return 0, err
	}
	defer r.close()
	if !r.next() {
		return 0, fmt.Errorf("no version: %w", r.err)
	}
	return int(r.int64(0)), nil
}

func (m migration) apply(ctx context.Context, c *conn, now time.Time) (err error) {
	if _, err := c.exec(ctx, "BEGIN TRANSACTION"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = c.exec(context.WithoutCancel(ctx), "ROLLBACK") // err says why
		}
	}()
	for _, s := range m.statements {
		if _, err := c.exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if m.run != nil {
		if err := m.run(ctx, c); err != nil {
			return err
		}
	}
	if _, err := c.exec(ctx, "INSERT INTO meta_version VALUES (?, ?)", m.version, timeNS(now.UnixNano())); err != nil {
		return err
	}
	_, err = c.exec(ctx, "COMMIT")
	return err
}
