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
	dir   string
	high  int // percent in use
	usage atomic.Pointer[diskUsage]
}

// diskUsage is what statfs says of the data directory's file system.
type diskUsage struct {
	total, free int64
	full        bool
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
	u := &diskUsage{total: used + free, free: free}
	u.full = free < ampleSpace && u.total > 0 && used*100 >= u.total*int64(g.high)
	g.usage.Store(u)
	return nil
}

// pressure returns ErrThrottled while too little space is left.
func (g *diskGuard) pressure() error {
	u := g.usage.Load()
	if u == nil || !u.full {
		return nil
	}
	return &millrace.Error{
		Code:    millrace.ErrThrottled,
		Message: fmt.Sprintf("the server's disk is over %d%% full; send again later", g.high),
		Hint:    fmt.Sprintf("free space on the disk of %s, shorten store.retention, or raise disk_high; %s are left", g.dir, millrace.Bytes(u.free>>20<<20)),
	}
}
