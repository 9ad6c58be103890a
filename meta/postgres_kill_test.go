//go:build linux

package meta

import (
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/pgtest"
)

// TestPostgresKills kills workers, and every few times the server with all its
// processes.
func TestPostgresKills(t *testing.T) {
	s := pgtest.Start(t)
	address := s.URL("postgres")
	_ = openPostgres(t, address).Close()
	kills(t, "postgres", address, 20, func(i int) {
		if i%4 == 3 {
			s.Kill()
			time.Sleep(20 * time.Millisecond)
			s.Restart()
		}
	})
	p := openPostgres(t, address)
	var committed, offsets int64
	err := p.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM flushes WHERE state = 1), (SELECT sum(record_offset) FROM positions)").Scan(&committed, &offsets)
	if err != nil || committed != offsets {
		t.Errorf("%d flushes committed, positions moved by %d, %v", committed, offsets, err)
	}
}

// TestPostgresHolderDies has the process that holds a lock killed, and paused:
// somebody else has the lock soon, and who wakes is refused.
func TestPostgresHolderDies(t *testing.T) {
	s := pgtest.Start(t)
	p := openPostgres(t, s.URL("postgres"))
	holder := &worker{spec: "lock maintain postgres " + s.URL("postgres")}
	takeOver := func(what string, limit time.Duration) {
		t.Helper()
		start := time.Now()
		l, err := p.Lock(t.Context(), "maintain")
		if err != nil {
			t.Fatal(err)
		}
		d := time.Since(start)
		t.Logf("%s: taken over after %v", what, d)
		if d > limit {
			t.Errorf("%s: taken over after %v, want at most %v", what, d, limit)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	holder.start(t)
	holder.waitLine(t)
	if l, err := p.TryLock(t.Context(), "maintain"); err == nil {
		t.Fatal("two holders", l)
	}
	holder.kill()
	takeOver("killed", 5*time.Second)

	holder.start(t)
	holder.waitLine(t)
	if err := holder.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	takeOver("paused", lockSilence+10*time.Second)
	holder.kill()
}

// TestPostgresIssueKills does the same to workers that see exceptions.
func TestPostgresIssueKills(t *testing.T) {
	s := pgtest.Start(t)
	_ = openPostgres(t, s.URL("postgres")).Close()
	issueKills(t, "postgres", s.URL("postgres"), 15, func(i int) {
		if i%4 == 3 {
			s.Kill()
			time.Sleep(20 * time.Millisecond)
			s.Restart()
		}
	})
}
