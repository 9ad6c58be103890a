package issue

import (
	"log/slog"
	"sync"
	"time"
)

// allowance bounds how many new fingerprints are taken up per project and hour:
// each keeps a report for as long as the project is there. Safe for concurrent use.
type allowance struct {
	mu    sync.Mutex
	most  int
	log   *slog.Logger
	hour  int64
	taken map[string]int // by project, in this hour
}

// take reports whether one more may be taken up, and counts it.
func (a *allowance) take(project string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if hour := now.Unix() / 3600; hour != a.hour {
		a.hour = hour
		clear(a.taken)
	}
	if n := a.taken[project]; n >= a.most {
		if n == a.most {
			a.taken[project]++ // say so once
			a.log.Warn("too many new fingerprints of exceptions; the rest of this hour's is counted, but in no issue",
				"project", project, "issues.new_per_hour", a.most)
		}
		return false
	}
	a.taken[project]++
	return true
}
