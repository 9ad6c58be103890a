package pipeline

import (
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// TestPatience: rows that come late wait for larger transactions, half as long as
// they are late already, but no longer than two intervals of the rollups, and only
// while more of them come.
func TestPatience(t *testing.T) {
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f := func(late, rests time.Duration, behind bool, want time.Duration) {
		t.Helper()
		now := begin
		p := New(DefaultOptions(), Deps{Now: func() time.Time { return now }})
		s := &eventsSink{
			sink: &sink{positions: map[int32]*millrace.Position{}}, p: p,
			rows: &millrace.EventRows{}, spare: &millrace.EventRows{}, limit: 1000,
		}
		for now.Sub(begin) < time.Minute {
			if rests == 0 || now.Sub(begin) < rests {
				if err := s.fold(t.Context(), unitAt(0, now.Add(-late))); err != nil {
					t.Fatal(err)
				}
			}
			now = now.Add(100 * time.Millisecond)
			if err := s.tick(t.Context(), behind); err != nil {
				t.Fatal(err)
			}
			if s.since.IsZero() {
				break
			}
		}
		if got := now.Sub(begin); got != want {
			t.Errorf("late %v, behind %v, no more after %v: stored after %v, want %v", late, behind, rests, got, want)
		}
	}
	f(0, 0, false, time.Second)
	f(0, 0, true, 1600*time.Millisecond)
	f(2*time.Second, 0, false, time.Second)
	f(6*time.Second, 0, false, 3*time.Second)
	f(time.Hour, 0, false, 8*time.Second)
	f(time.Hour, 2*time.Second, false, 2900*time.Millisecond) // the last came at 1.9 s
	f(time.Hour, 100*time.Millisecond, true, 1600*time.Millisecond)
}

// TestLatenessIsTheLeast: of what came since the last flush.
func TestLatenessIsTheLeast(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var l lateness
	f := func(late, want time.Duration) {
		t.Helper()
		l.came(now.Add(-late).UnixNano(), now)
		if got := l.by(now); got != want {
			t.Errorf("%v after one that was late by %v, want %v", got, late, want)
		}
	}
	f(time.Hour, time.Hour)
	f(time.Second, time.Second)
	f(time.Hour, time.Second)
	l.flushed = true
	f(time.Hour, time.Hour)
	if got := l.by(now.Add(restInterval)); got != 0 {
		t.Errorf("late by %v although nothing comes", got)
	}
}
