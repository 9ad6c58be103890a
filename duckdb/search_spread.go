package duckdb

import (
	"context"
	"runtime"
	"sync"
)

// maxSpread bounds the connections that one question keeps busy. Each unpacks 2,048
// rows of every column it reads, which may take spreadMemory.
const (
	maxSpread    = 4
	spreadMemory = 128 << 20
)

// spread calls do for 0 to n-1, on c and, if there is work for them, on other
// connections beside it. do leaves nothing behind if it fails.
//
// It is for committed rows, which are never changed, so that all connections see
// the same though each has a snapshot of its own; but for a day that is dropped
// meanwhile, which only c still sees, so that it does what others could not.
func (db *DB) spread(ctx context.Context, c *conn, n int, do func(c *conn, i int) error) error {
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	var mu sync.Mutex
	var failed []int
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0), maxSpread, int(db.opt.Memory/spreadMemory)) - 1 {
		other, release, ok := db.inst.spareReader()
		if !ok {
			break
		}
		wg.Go(func() {
			defer release()
			for i := range next {
				if do(other, i) != nil {
					mu.Lock()
					failed = append(failed, i)
					mu.Unlock()
					return
				}
			}
		})
	}
	var err error
	for i := range next {
		if err = do(c, i); err != nil {
			break
		}
	}
	wg.Wait()
	for _, i := range failed {
		if err == nil {
			err = do(c, i)
		}
	}
	return err
}
