package main

import (
	"fmt"
	"math"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
)

// processors is how many the process may use: Go's default looks at the affinity
// and at the quota of the cgroup. It is asked once, before anything changes it.
var processors = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// share is a percentage of the processors, rounded, at least one.
func share(processors, percent int) int {
	return max(1, int(math.Round(float64(processors)*float64(percent)/100)))
}

// limitProcessors bounds on how many processors Go code runs and returns that.
func limitProcessors(limits config.Limits) int {
	n := share(processors(), limits.CPU)
	if n != runtime.GOMAXPROCS(0) { // setting it ends Go's own adjustments to the cgroup's quota
		runtime.GOMAXPROCS(n)
	}
	return n
}

// programMemory is what is resident beside Go's heap and the embedded database's
// buffers: pages of the program, which the garbage collector's limit does not
// count, and what the C++ library's allocator holds on to.
const programMemory = 128 << 20

// heapLimit returns what the garbage collector aims to stay below, in bytes.
func heapLimit(cfg *config.Config) int64 {
	limit := int64(cfg.Memory)
	if !cfg.Shared() { // the embedded database has its share outside of Go's heap
		limit -= int64(cfg.Store.Memory)
	}
	return limit - min(programMemory, limit/8)
}

// memoryGuard tells ingest to wait while the process has more memory resident
// than it should. Safe for concurrent use.
type memoryGuard struct {
	limit    int64  // bytes; 0: unknown, no bound
	of       string // what limit is a share of
	resident atomic.Int64
}

// newMemoryGuard returns ErrInvalid if the memory setting is above what the
// machine leaves.
func newMemoryGuard(cfg *config.Config) (*memoryGuard, error) {
	total, of := machineMemory(os.ReadFile)
	g := &memoryGuard{limit: total / 100 * int64(cfg.Limits.Memory), of: of}
	if g.limit > 0 && int64(cfg.Memory) > g.limit {
		return nil, &millrace.Error{
			Code: millrace.ErrInvalid,
			Message: fmt.Sprintf("memory: %v: must be at most %v, limits.memory (%d%%) of the %v that %s has",
				cfg.Memory, millrace.Bytes(g.limit>>20<<20), cfg.Limits.Memory, millrace.Bytes(total>>20<<20), of),
			Hint: "lower memory, or raise limits.memory if nothing else runs there",
		}
	}
	return g, nil
}

// look notes what is resident.
func (g *memoryGuard) look() { g.resident.Store(residentBytes()) }

// pressure returns ErrThrottled while the bound is crossed.
func (g *memoryGuard) pressure() error {
	have := g.resident.Load()
	if g.limit == 0 || have <= g.limit {
		return nil
	}
	return &millrace.Error{
		Code: millrace.ErrThrottled, Message: "the server is short of memory; send again later",
		Hint: fmt.Sprintf("%v are resident, limits.memory allows %v of %s: lower memory, or give the server more",
			millrace.Bytes(have>>20<<20), millrace.Bytes(g.limit>>20<<20), g.of),
	}
}

// machineMemory returns the memory of the machine or of the process's cgroup,
// whichever is less, and its name; 0 where neither is known. Both versions of
// cgroups are looked at, up to the root: a limit holds for all below it.
func machineMemory(read func(string) ([]byte, error)) (bytes int64, of string) {
	if text, err := read("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
				bytes, of = kib<<10, "the machine"
			}
		}
	}
	text, err := read("/proc/self/cgroup")
	if err != nil {
		return bytes, of
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var root, file string
		switch {
		case parts[1] == "":
			root, file = "/sys/fs/cgroup", "memory.max"
		case strings.Contains(","+parts[1]+",", ",memory,"):
			root, file = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			if n := cgroupLimit(read, path.Join(root, dir, file)); n > 0 && (bytes == 0 || n < bytes) {
				bytes, of = n, "the cgroup"
			}
			if dir == "/" {
				break
			}
		}
	}
	return bytes, of
}

// cgroupLimit reads a limit; 0 if there is none.
func cgroupLimit(read func(string) ([]byte, error), name string) int64 {
	text, err := read(name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
	if err != nil || n >= math.MaxInt64>>12<<12 {
		return 0
	}
	return n
}
