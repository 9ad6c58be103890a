package pipeline

import "time"

// lateness is how long events had waited in the queue when a sink got them: the least
// of those since its last flush. A client whose events wait in their thousands does
// not make those of others wait for larger transactions, too.
type lateness struct {
	late    time.Duration
	at      time.Time // when the sink got the newest
	flushed bool      // since then
}

func (l *lateness) came(arrived int64, now time.Time) {
	late := now.Sub(time.Unix(0, arrived))
	if l.at.IsZero() || l.flushed || late < l.late {
		l.late = late
	}
	l.at, l.flushed = now, false
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
