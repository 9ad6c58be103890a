package duckdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// eventIndex is the side index of the day tables: for every 122,880 rows, in the
// order of their numbers, a block that tells what they cannot contain and how
// many there are in each minute (indexBlock). It lies beside the database, a file
// per day table, and is derived from it: a file or block that is missing costs
// time, not answers, and is made again by Maintain.
//
// A block is written after the transaction of its rows, so that it never speaks
// of rows that are not there. FORMAT.md has the bytes.
//
// Two locks: build is held for the length of a WriteEvents, or of a slice of
// Maintain; mu for the moments in which files are looked into or changed.
type eventIndex struct {
	dir       string
	log       *slog.Logger
	blockRows int // blockRows, but in tests
	manyRows  int // listed rows of a block from which on all are passed; manyListed, but in tests

	build   sync.Mutex
	current *blockBuilder    // of the rows that came last; nil: none
	known   map[string]int64 // rows of tables, where known

	mu        sync.RWMutex
	files     map[string]*indexFile
	gathering gathering // what is in current
}

// blockRows is how many rows a block has: a row group of DuckDB.
const blockRows = 122_880

// newEventIndex returns the index beside the database at path, to be loaded.
func newEventIndex(path string, log *slog.Logger) *eventIndex {
	return &eventIndex{
		dir: path + ".index", log: log, blockRows: blockRows, manyRows: manyListed, known: map[string]int64{}, files: map[string]*indexFile{},
	}
}

// load opens the files of the day tables and removes those of others. What
// cannot be read is made anew.
func (x *eventIndex) load(ctx context.Context, c *conn) error {
	segs, err := loadSegments(ctx, c)
	if err != nil {
		return err
	}
	x.build.Lock()
	defer x.build.Unlock()
	x.learn(segs)
	x.mu.Lock()
	defer x.mu.Unlock()
	tables := map[string]bool{}
	for _, g := range segs {
		tables[g.name] = true
		f, err := openIndexFile(filepath.Join(x.dir, g.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f.check(ctx, c, g)
		}
		if err != nil {
			x.log.Warn("the index of a day cannot be used and is made again", "table", g.name, "error", err)
			f.close()
			if err := os.Remove(filepath.Join(x.dir, g.name)); err != nil {
				return fmt.Errorf("remove index: %w", err)
			}
			continue
		}
		x.files[g.name] = f
	}
	entries, err := os.ReadDir(x.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read index directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "events_") && !tables[e.Name()] {
			if err := os.Remove(filepath.Join(x.dir, e.Name())); err != nil {
				return fmt.Errorf("remove index of a dropped day: %w", err)
			}
		}
	}
	return nil
}

// close releases the files.
func (x *eventIndex) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, f := range x.files {
		f.close()
	}
	clear(x.files)
}

// drop removes the index of a table that is no more.
func (x *eventIndex) drop(table string) error {
	x.build.Lock()
	defer x.build.Unlock()
	x.forget(table)
	x.publish()
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.remove(table)
}

// remove deletes a table's file. Called with mu.
func (x *eventIndex) remove(table string) error {
	f := x.files[table]
	if f == nil {
		return nil
	}
	f.close()
	delete(x.files, table)
	if err := os.Remove(f.path); err != nil {
		return fmt.Errorf("remove index: %w", err)
	}
	return nil
}

// dropBad removes files of which a block turned out to be damaged.
func (x *eventIndex) dropBad() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for table, f := range x.files {
		if f.bad.Load() {
			x.log.Warn("the index of a day is damaged and is made again", "table", table)
			if err := x.remove(table); err != nil {
				return err
			}
		}
	}
	return nil
}

// forget drops what is known of a table's newest rows. Called with build.
func (x *eventIndex) forget(table string) {
	delete(x.known, table)
	if x.current != nil && x.current.table == table {
		x.current = nil
	}
}

// add appends a block to a table's file. An index that cannot be written does not
// keep rows from being stored: they are looked through instead.
func (x *eventIndex) add(table string, b *indexBlock, payload []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	f := x.files[table]
	if f == nil {
		if err := os.MkdirAll(x.dir, 0o750); err != nil {
			return fmt.Errorf("make index directory: %w", err)
		}
		var err error
		if f, err = createIndexFile(filepath.Join(x.dir, table)); err != nil {
			return err
		}
		x.files[table] = f
	}
	return f.add(b, payload)
}

// blocks returns the blocks of a table that end at or before its row number rows,
// in their order, and what is known of rows that are in no block yet. They stay as
// they are; the slice is the caller's.
func (x *eventIndex) blocks(table string, rows int64) ([]*indexBlock, gathering) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var tail gathering
	if x.gathering.table == table {
		tail = x.gathering
	}
	f := x.files[table]
	if f == nil {
		return nil, tail
	}
	n, _ := slices.BinarySearchFunc(f.blocks, rows, func(b *indexBlock, rows int64) int {
		if b.end() <= rows {
			return -1
		}
		return 1
	})
	return slices.Clone(f.blocks[:n]), tail
}

// view calls fn with the table's file, which may go once fn has returned; not at
// all if there is none.
func (x *eventIndex) view(table string, fn func(*indexFile) error) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if f := x.files[table]; f != nil {
		return fn(f)
	}
	return nil
}
