package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/millrace/millrace"
)

// migration is one step from a version of the schema to the next. Its statements
// may be run again: a node that dies in the middle leaves the rest to the next, and
// two nodes may run it at the same time.
type migration struct {
	name       string
	statements func(a *address, o *Options) []string
}

// migrations are in order; the first makes version 1. Those that a release has
// had are never changed.
var migrations = []migration{
	{"events, accounts and hidden flushes", baseSchema},
	{"fingerprints of events", addFingerprints},
}

// versionsTable lists the migrations that were run.
var versionsTable = tableDef{
	name:    "schema_versions",
	columns: "    version UInt32,\n    name String,\n    applied DateTime64(3, 'UTC')",
	engine:  "ReplacingMergeTree(applied)",
	tail:    "ORDER BY version",
}

// migrate brings the schema up to date. ErrConflict: it is newer than this program.
func (db *DB) migrate(ctx context.Context) error {
	if err := db.createTable(ctx, &versionsTable); err != nil {
		return err
	}
	versions := ident(db.addr.database) + "." + ident(versionsTable.name)
	have, err := db.scalar(ctx, "read the schema's version", "SELECT toInt64(max(version)) FROM "+versions)
	if err != nil {
		return err
	}
	if int(have) > len(migrations) {
		return &millrace.Error{
			Code: millrace.ErrConflict, Op: "migrate ClickHouse",
			Message: fmt.Sprintf("the schema of database %s has version %d; this program knows versions up to %d", db.addr.database, have, len(migrations)),
			Hint:    "a newer millrace has used it: run that version, or name another database",
		}
	}
	for i := int(have); i < len(migrations); i++ {
		m := &migrations[i]
		op := fmt.Sprintf("migrate to version %d (%s)", i+1, m.name)
		if err := db.ddl(ctx, op, m.statements(db.addr, &db.opt)); err != nil {
			return err
		}
		note := fmt.Sprintf("INSERT INTO %s (version, name, applied) VALUES (%d, %s, fromUnixTimestamp64Milli(%d))",
			versions, i+1, quote(m.name), db.now().UnixMilli())
		if err := db.exec(ctx, op, note); err != nil {
			return err
		}
		db.log.Info("migrated ClickHouse", "version", i+1, "name", m.name)
	}
	return nil
}

// The oldest server whose features are used: the first long-term release in which
// lightweight deletes, block-wise insertion limits and view security are as this
// package needs them.
const (
	minMajor, minMinor = 25, 8
	versionHint        = "millrace needs ClickHouse 25.8 or newer; Debian's own package is far older, take the one of clickhouse.com"
)

// checkServer connects for the first time.
func (db *DB) checkServer(ctx context.Context) error {
	var version string
	op := fmt.Sprintf("connect to ClickHouse at %s, database %s, as %q", strings.Join(db.addr.hosts, ", "), db.addr.database, db.addr.user)
	err := db.query(ctx, op, "SELECT version()", func(rows driver.Rows) error { return rows.Scan(&version) })
	if err != nil {
		return err
	}
	if db.major, err = checkVersion(version); err != nil {
		return err
	}
	n, err := db.scalar(ctx, op, "SELECT toInt64(count()) FROM system.merge_tree_settings WHERE name = 'auto_statistics_types'")
	db.addr.statistics = n > 0
	return err
}

// checkVersion returns the first number of a server's version. ErrConflict: it is
// too old.
func checkVersion(version string) (major int, err error) {
	parts := strings.SplitN(version, ".", 3)
	major, err = strconv.Atoi(parts[0])
	minor := 0
	if err == nil && len(parts) > 1 {
		minor, err = strconv.Atoi(parts[1])
	}
	if err != nil || major < minMajor || major == minMajor && minor < minMinor {
		return 0, &millrace.Error{
			Code: millrace.ErrConflict, Op: "connect to ClickHouse",
			Message: fmt.Sprintf("the server has version %.40s, which is too old", version), Hint: versionHint,
		}
	}
	return major, nil
}
