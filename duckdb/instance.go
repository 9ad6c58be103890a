package duckdb

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// instance is one open DuckDB: the database, the writer's connection and the
// readers' pool.
type instance struct {
	db     mapping.Database
	writer *conn
	idle   chan *conn // readers at rest
	slots  chan struct{}
}

// maxReaders bounds concurrent reads: each may use all threads, so more would
// only share the same cores and memory.
const maxReaders = 16

func openInstance(ctx context.Context, opt Options, path string) (*instance, error) {
	var c mapping.Config
	if mapping.CreateConfig(&c) == mapping.StateError {
		return nil, newDBError("Connection Error: cannot allocate a configuration")
	}
	defer mapping.DestroyConfig(&c)
	for k, v := range map[string]string{
		// Storage format 1.0 is the default and lacks newer compressions.
		"storage_compatibility_version": "latest",
		"threads":                       strconv.Itoa(opt.Threads),
		"memory_limit":                  fmt.Sprintf("%dB", opt.Memory),
		"autoload_known_extensions":     "false",
		"autoinstall_known_extensions":  "false",
		"allow_community_extensions":    "false",
	} {
		if mapping.SetConfig(c, k, v) == mapping.StateError {
			return nil, fmt.Errorf("set %s=%s: refused", k, v)
		}
	}
	in := &instance{idle: make(chan *conn, maxReaders), slots: make(chan struct{}, maxReaders)}
	var msg string
	if mapping.OpenExt(path, &in.db, c, &msg) == mapping.StateError {
		return nil, newDBError(msg)
	}
	var err error
	if in.writer, err = connect(in.db); err == nil {
		err = in.configure(ctx, opt, path)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// configure sets what can only be set on an open instance, registers functions
// and then locks the door: from here on nothing in this instance can touch
// another file or change a setting, whatever a user's statement contains.
func (in *instance) configure(ctx context.Context, opt Options, path string) error {
	if err := in.registerFunctions(); err != nil {
		return err
	}
	for _, set := range []string{
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL temp_directory = " + quote(path+".tmp"),
		fmt.Sprintf("SET GLOBAL max_temp_directory_size = '%dB'", opt.TempSize),
		fmt.Sprintf("SET GLOBAL checkpoint_threshold = '%dB'", opt.Checkpoint),
		// Newest-first pages read wide rows only for the few that are returned.
		"SET GLOBAL late_materialization_max_rows = 1000",
		"SET GLOBAL enable_external_access = false",
		"SET GLOBAL lock_configuration = true",
	} {
		if _, err := in.writer.exec(ctx, set); err != nil {
			return fmt.Errorf("%s: %w", set, err)
		}
	}
	return nil
}

func (in *instance) registerFunctions() error {
	if err := registerFeed(in.writer); err != nil {
		return err
	}
	for i := range sketchFunctions {
		if err := sketchFunctions[i].register(in.writer); err != nil {
			return err
		}
	}
	if err := bitOf.register(in.writer); err != nil {
		return err
	}
	for i := range longFunctions {
		if err := longFunctions[i].register(in.writer); err != nil {
			return err
		}
	}
	return containsFold.register(in.writer)
}

func (in *instance) replaceWriter() error {
	in.writer.close()
	c, err := connect(in.db)
	if err == nil {
		in.writer = c
	}
	return err
}

// reader takes a connection; put gives it back.
func (in *instance) reader(ctx context.Context) (*conn, error) {
	select {
	case in.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case c := <-in.idle:
		return c, nil
	default:
	}
	c, err := connect(in.db)
	if err != nil {
		<-in.slots
	}
	return c, err
}

// spareReader is reader for who can do without: it does not wait. It serves who
// holds a connection already, and with it the instance.
func (in *instance) spareReader() (c *conn, release func(), ok bool) {
	select {
	case in.slots <- struct{}{}:
	default:
		return nil, nil, false
	}
	select {
	case c = <-in.idle:
	default:
		var err error
		if c, err = connect(in.db); err != nil {
			<-in.slots
			return nil, nil, false
		}
	}
	return c, func() { in.put(c) }, true
}

func (in *instance) put(c *conn) {
	in.idle <- c
	<-in.slots
}

// close releases all handles; nobody uses them any more. The file is closed
// with the last one.
func (in *instance) close() {
	if in.writer != nil {
		in.writer.close()
	}
	for len(in.idle) > 0 {
		(<-in.idle).close()
	}
	if in.db.Ptr != nil {
		mapping.Close(&in.db)
	}
}

// quote returns s as a SQL string literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ident returns s as a SQL identifier.
func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
