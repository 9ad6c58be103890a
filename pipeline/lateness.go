package pipeline

import "time"

// lateness is how long the newest event had waited in the queue when a sink got it.
type lateness struct {
	late time.Duration
	at   time.Time // when the sink got it
}

func (l *lateness) came(arrived int64, now time.Time) {
	l.late, l.at = now.Sub(time.Unix(0, arrived)), now
}

// by returns the lateness; 0 if nothing more comes that would be worth waiting for.
func (l *lateness) by(now time.Time) time.Duration {
	if l.resting(now) {
		return 0
	}
	return l.late
}

// resting reports whether nothing has come for restInterval: the worker has caught
// up.
func (l *lateness) resting(now time.Time) bool { return now.Sub(l.at) >= restInterval }

// restInterval is more than polls of a queue that has more are apart.
const restInterval = time.Second
