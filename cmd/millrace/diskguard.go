package main

import (
	"fmt"
	"sync/atomic"
	"syscall"

	"github.com/millrace/millrace"
)

// diskGuard tells ingest to wait before the disk is full, so that the database
// never meets a full one. Safe for concurrent use.
type diskGuard struct {
	dir     string
	high    atomic.Int64 // percent in use
	waiting func() int64 // bytes in the queue that still have to be stored
	usage   atomic.Pointer[diskUsage]
}

// diskUsage is what statfs says of the data directory's file system.
type diskUsage struct {
	total, used, free int64
}

// ampleSpace is the free space at which a percentage no longer matters: 15% of
// a large disk is more than hours of logs.
const ampleSpace = 20 << 30

// look reads the file system's state.
func (g *diskGuard) look() error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(g.dir, &st); err != nil {
		return fmt.Errorf("look at the disk of %s: %w", g.dir, err)
	}
	block := int64(st.Bsize)
	used, free := int64(st.Blocks-st.Bfree)*block, int64(st.Bavail)*block
	g.usage.Store(&diskUsage{total: used + free, used: used, free: free})
	return nil
}

// storedTwice: what waits is written to the database's log and then to its
// file, before the log is emptied.
const storedTwice = 2

// pressure returns ErrThrottled while too little space is left for what waits
// to be stored and what disk_high leaves free. It looks each time, which costs
// a microsecond: a small disk is full within the second between two looks.
func (g *diskGuard) pressure() error {
	if err := g.look(); err != nil {
		return &millrace.Error{Code: millrace.ErrUnavailable, Message: "the server cannot look at its disk", Err: err}
	}
	u := g.usage.Load()
	high := g.high.Load()
	limit := u.total / 100 * high
	if u.free >= ampleSpace || u.used+storedTwice*g.waiting() < limit {
		return nil
	}
	message := "the server's disk is over %d%% full; send again later"
	if u.used < limit {
		message = "the server's disk would be over %d%% full with what waits to be stored; send again later"
	}
	return &millrace.Error{
		Code: millrace.ErrThrottled, Message: fmt.Sprintf(message, high),
		Hint: fmt.Sprintf("free space on the disk of %s, shorten store.retention, or raise disk_high; %s are left", g.dir, millrace.Bytes(u.free>>20<<20)),
	}
}
