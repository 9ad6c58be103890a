// Package failpoint lets crash tests stop the process, or make an operation
// fail, at a named place. Without MILLRACE_FAILPOINTS every Hit is one atomic
// load.
//
// The variable holds NAME=ACTION pairs separated by commas; ACTION is
//
//	kill:N     SIGKILL the process at the N-th hit
//	soon:N     go on at the N-th hit, and SIGKILL the process within 20 ms: in
//	           the middle of what follows
//	error:N    return an error at the N-th hit
//	panic:N    panic at the N-th hit
//	hang:N     block for ever at the N-th hit
//
// N may be omitted (1); "N+" means from the N-th on.
package failpoint

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type point struct {
	action string
	at     int64
	onward bool
	hits   atomic.Int64
}

var (
	active atomic.Bool
	mu     sync.RWMutex
	points map[string]*point
)

func init() {
	if err := Set(os.Getenv("MILLRACE_FAILPOINTS")); err != nil {
		fmt.Fprintln(os.Stderr, "millrace:", err)
		os.Exit(2)
	}
}

// Set replaces all failpoints by those in spec; "" clears them.
func Set(spec string) error {
	next := map[string]*point{}
	for part := range strings.SplitSeq(spec, ",") {
		if part == "" {
			continue
		}
		name, rest, ok := strings.Cut(part, "=")
		action, count, _ := strings.Cut(rest, ":")
		p := &point{action: action, at: 1}
		count, p.onward = strings.CutSuffix(count, "+")
		if count != "" {
			n, err := strconv.ParseInt(count, 10, 64)
			ok = ok && err == nil
			p.at = n
		}
		switch action {
		case "kill", "soon", "error", "panic", "hang":
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("failpoint %q: want NAME=kill|soon|error|panic|hang[:N[+]]", part)
		}
		next[name] = p
	}
	mu.Lock()
	defer mu.Unlock()
	points = next
	active.Store(len(next) > 0)
	return nil
}

// Hit passes the named place. It returns an error only if told to fail.
func Hit(name string) error {
	if !active.Load() {
		return nil
	}
	mu.RLock()
	p := points[name]
	mu.RUnlock()
	if p == nil {
		return nil
	}
	n := p.hits.Add(1)
	if n != p.at && (!p.onward || n < p.at) {
		return nil
	}
	switch p.action {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	case "soon":
		time.AfterFunc(rand.N(20*time.Millisecond), func() { _ = syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		return nil
	case "panic":
		panic("failpoint " + name)
	case "hang":
		select {}
	}
	return fmt.Errorf("failpoint %s", name)
}

// Active reports whether any failpoint is set, for places that must do work
// before they can call Hit.
func Active() bool { return active.Load() }
