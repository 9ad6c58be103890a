package duckdb

import (
	"bytes"
	"context"
	"os"
	"runtime/metrics"
	"strconv"
	"sync"
	"time"
)

// memoryEvery is how often the watch looks while a statement runs. A statement
// fills memory at a few GB/s at most, so that it is stopped within some tens of
// MB of the limit.
const memoryEvery = 10 * time.Millisecond

// watchMemory cancels ctx if users' statements get so large that the writer
// could be left without memory, until the returned function is called. DuckDB
// has no limit per statement, and its limit for all does not see lists and
// some strings being built; hence two measures: what DuckDB accounts to
// anything but tables, which may be statementShare, and the memory of the process
// outside of Go, which may grow to twice DuckDB's limit or by nativeGrowth.
func (db *DB) watchMemory(ctx context.Context, cancel context.CancelCauseFunc) (stop func()) {
	c, err := connect(db.inst.db)
	if err != nil {
		return func() {} // the statement will fail on its own
	}
	// An allocator gives memory back late: what is there already does not count.
	native := max(2*int64(db.opt.Memory), nativeMemory()+max(int64(db.opt.Memory)/2, nativeGrowth))
	most := statementShare(int64(db.opt.Memory))
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer c.close()
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ctx.Done():
				<-quit
				return
			case <-tick.C:
			}
			if nativeMemory() > native || accounted(c) > most {
				cancel(errSQLMemory)
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// nativeGrowth is by how much a statement may let the process grow however small
// the store's memory is: DuckDB reads 2,048 rows at once, which are 100 MB of
// exceptions of 50 KB.
const nativeGrowth = 192 << 20

// statementShare is how much of memory may be used by anything but tables while a
// statement runs: half, and in a small store up to three quarters, for the same
// reason.
func statementShare(memory int64) int64 { return max(memory/2, min(memory*3/4, 160<<20)) }

// statements is the users' statements that run, so that the writer can end them.
type statements struct {
	mu      sync.Mutex
	running map[*context.CancelCauseFunc]bool
}

func (s *statements) add(cancel *context.CancelCauseFunc) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		s.running = map[*context.CancelCauseFunc]bool{}
	}
	s.running[cancel] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, cancel)
	}
}

func (s *statements) end(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for cancel := range s.running {
		(*cancel)(cause)
	}
}

// memoryTries is how often a write that found no memory is tried again, and
// memoryWait how long it waits for the statements it ended: they give their
// memory back within some tens of milliseconds, on a busy machine in seconds.
const (
	memoryTries = 5
	memoryWait  = 5 * time.Second
)

// insist runs a write. If it finds no memory, it ends users' statements, which
// rank below ingest, lets none begin, and tries again.
func (db *DB) insist(ctx context.Context, write func() error) error {
	err := write()
	if errClass(err) != "Out of Memory" {
		return err
	}
	defer db.clearStatements(ctx)()
	for try := 1; try < memoryTries && errClass(err) == "Out of Memory" && ctx.Err() == nil; try++ {
		select {
		case <-time.After(time.Duration(try) * 50 * time.Millisecond):
			err = write()
		case <-ctx.Done():
		}
	}
	return err
}

// clearing keeps statements away while anyone asks for it.
type clearing struct {
	mu      sync.Mutex
	holders int
	slots   int // of DB.sqlSlots, taken so that nobody else gets them
}

// clearStatements ends the users' statements and takes their places, so that
// others wait until the returned function is called.
func (db *DB) clearStatements(ctx context.Context) (free func()) {
	c := &db.clearing
	c.mu.Lock()
	defer c.mu.Unlock()
	late := time.After(memoryWait)
	for waiting := c.holders == 0; waiting && c.slots < cap(db.sqlSlots); {
		db.statements.end(errSQLMemory)
		select {
		case db.sqlSlots <- struct{}{}:
			c.slots++
		case <-time.After(memoryEvery): // one may have begun just now
		case <-late:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	c.holders++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.holders--; c.holders > 0 {
			return
		}
		for ; c.slots > 0; c.slots-- {
			<-db.sqlSlots
		}
	}
}

// accounted is the memory DuckDB has given to anything but table data. Of that, it
// can drop at any time what the file has (BASE_TABLE, METADATA), and can move to the
// temporary directory what only the write-ahead log has (IN_MEMORY_TABLE, and texts
// of more than 4 KB, OVERFLOW_STRINGS), which may be more than all a statement may use.
func accounted(c *conn) int64 {
	r, err := c.query(context.Background(),
		`SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory()
			WHERE tag NOT IN ('BASE_TABLE', 'METADATA', 'EXTERNAL_FILE_CACHE', 'IN_MEMORY_TABLE', 'OVERFLOW_STRINGS')`)
	if err != nil {
		return 0
	}
	defer r.close()
	if !r.next() {
		return 0
	}
	return r.int64(0)
}

// nativeMemory is the resident memory of the process outside of Go's heap, 0
// where the system does not tell.
func nativeMemory() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return resident*int64(os.Getpagesize()) - int64(s[0].Value.Uint64()-s[1].Value.Uint64())
}
