package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	// settleQuiet is for how many seconds a server must have been idle:
	// maintenance looks for work about once a second.
	settleQuiet = 4
	// settleIdle is the processor time per second below which it is idle.
	settleIdle = 150 * time.Millisecond
	// settleLimit bounds the wait. Deltas are compacted two to three minutes after
	// they arrived, and hours are computed once theirs are.
	settleLimit = 15 * time.Minute
)

// Settle waits until a server whose queue is drained has compacted all deltas,
// computed the hours and days that have ended, and does nothing any more. It
// returns how long it has been idle.
func (s *Server) Settle(ctx context.Context) (idle time.Duration, err error) {
	started := time.Now()
	last, err := s.Usage()
	if err != nil {
		return 0, err
	}
	for quiet := 0; quiet < settleQuiet; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		now, err := s.Usage()
		if err != nil {
			return 0, err
		}
		quiet++
		if now.CPU-last.CPU > settleIdle {
			quiet = 0
		} else if m, err := Scrape(ctx, s.URL); err != nil { // it costs the server time, too
			return 0, err
		} else if m[`millrace_store_rows{table="deltas"}`] > 0 {
			quiet = 0
		}
		if last = now; time.Since(started) > settleLimit {
			return 0, fmt.Errorf("after %s the store still holds deltas or is at work", settleLimit)
		}
	}
	return settleQuiet * time.Second, nil
}
