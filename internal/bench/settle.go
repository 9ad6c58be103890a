package bench

import (
	"context"
	"fmt"
	"time"
)

const (
	// settleQuiet is how long a server must have been idle: maintenance looks for
	// work about once a second.
	settleQuiet = 4
	// settleIdle is the processor time per second below which it is idle.
	settleIdle = 150 * time.Millisecond
	// settleLimit bounds the wait.
	settleLimit = 10 * time.Minute
)

// Settle waits until a server with nothing to store does nothing any more: past
// minutes are compacted, hours and days that have ended are computed. It returns
// how long ago that was.
func (s *Server) Settle(ctx context.Context) (ago time.Duration, err error) {
	begun := time.Now()
	last, err := s.Usage()
	if err != nil {
		return 0, err
	}
	for quiet := 0; quiet < settleQuiet; {
		if time.Since(begun) > settleLimit {
			return 0, fmt.Errorf("the server is still at work after %s", settleLimit)
		}
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
		}
		last = now
	}
	return settleQuiet * time.Second, nil
}
