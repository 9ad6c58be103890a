//go:build linux

package meta

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/faultproxy"
	"github.com/millrace/millrace/internal/metatest"
	"github.com/millrace/millrace/internal/pgtest"
)

// behind returns the address of a database behind a proxy.
func behind(t *testing.T, p *faultproxy.Proxy, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.Addr
	return u.String()
}

// testAnswersLost cuts connections at every place of a call. A flush is begun
// once, whatever was lost; a commit that failed has happened or has not, as the
// positions tell, and is never repeated by itself.
func testAnswersLost(t *testing.T, s *pgtest.Server) {
	ctx, direct := t.Context(), schema(t, s)
	proxy := faultproxy.Start(t, s.Addr())
	p := openPostgres(t, behind(t, proxy, direct))
	at := millrace.Position{}
	kinds := []faultproxy.Kind{faultproxy.BeforeRequest, faultproxy.InRequest, faultproxy.BeforeAnswer, faultproxy.InAnswer}
	committed := map[faultproxy.Kind]bool{}
	for i := range 12 {
		kind := kinds[i%len(kinds)]
		begun := proxy.Inject(faultproxy.Fault{Kind: kind, Match: "the-node"})
		f, err := p.Begin(ctx, millrace.SinkEvents, []int32{0}, "the-node")
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		<-begun
		to := metatest.At(0, at.Offset+1)
		cut := proxy.Inject(faultproxy.Fault{Kind: kind, Match: "the-client"})
		err = p.Commit(ctx, f.ID, &millrace.Commit{
			Sink: millrace.SinkEvents, From: []millrace.Position{at}, Positions: []millrace.Position{to},
			Clients: []millrace.ClientWindow{{Client: "the-client", Updated: time.Now().UnixNano()}},
		})
		<-cut
		if millrace.ErrorCode(err) != millrace.ErrUnavailable {
			t.Fatalf("%s: commit: %v", kind, err)
		}
		st, err := p.Load(ctx, millrace.SinkEvents)
		if err != nil {
			t.Fatal(err)
		}
		done := slices.Equal(st.Positions, []millrace.Position{to})
		committed[kind] = done
		// To abandon a commit that has happened is refused, and only that.
		if err := p.Abandon(ctx, f.ID); done != (millrace.ErrorCode(err) == millrace.ErrConflict) || !done && err != nil {
			t.Fatalf("%s: committed %v, abandon: %v", kind, done, err)
		}
		if done {
			at = to
		}
	}
	if !committed[faultproxy.BeforeAnswer] || committed[faultproxy.BeforeRequest] || committed[faultproxy.InRequest] {
		t.Errorf("committed by the place of the cut: %v", committed)
	}
	c, err := p.Cut(ctx)
	if err != nil || len(c.Open) != 0 {
		t.Errorf("flushes left open: %+v, %v", c, err)
	}
}

// testTakeover has the connection of a lock's holder ended.
func testTakeover(t *testing.T, s *pgtest.Server) {
	ctx, address := t.Context(), schema(t, s)
	a, b := openPostgres(t, with(t, address, "application_name", "millrace-a")), openPostgres(t, address)
	held, err := a.Lock(ctx, "maintain")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.TryLock(ctx, "maintain"); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Fatalf("a second holder: %v", err)
	}
	// The name of a lock is the installation's own.
	if l, err := openPostgres(t, schema(t, s)).TryLock(ctx, "maintain"); err != nil {
		t.Error(err)
	} else if err := l.Release(ctx); err != nil {
		t.Error(err)
	}
	start := time.Now()
	runSQL(t, address, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace-a'")
	taken, err := b.Lock(ctx, "maintain")
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("taken over after %v", d)
	}
	select {
	case <-held.Done():
	case <-time.After(lockPing + lockPingTimeout + 5*time.Second):
		t.Error("the holder does not learn that its lock is lost")
	}
	if err := held.Release(ctx); err != nil {
		t.Error(err)
	}
	if _, err := a.TryLock(ctx, "maintain"); millrace.ErrorCode(err) != millrace.ErrConflict {
		t.Errorf("after the release of a lost lock: %v", err)
	}
	if err := taken.Release(ctx); err != nil {
		t.Error(err)
	}
	if _, err := a.Lock(ctx, "maintain"); err != nil {
		t.Error(err)
	}
	// Close gives back what is held.
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.Lock(ctx, "maintain"); err != nil {
		t.Error(err)
	}
}

// TestPostgresPaused has a server, and then the way to it, that swallows what it
// gets: calls end in time, holders of locks know, and all goes on by itself.
func TestPostgresPaused(t *testing.T) {
	s := pgtest.Start(t)
	ctx := t.Context()
	proxy := faultproxy.Start(t, s.Addr())
	p := openPostgres(t, behind(t, proxy, s.URL("postgres")))
	other := openPostgres(t, s.URL("postgres"))
	p.engine.limit = 300 * time.Millisecond
	stop := func(what string, pause, resume func()) {
		t.Helper()
		held, err := p.Lock(ctx, "maintain")
		if err != nil {
			t.Fatal(err)
		}
		pause()
		start := time.Now()
		_, err = p.Keys(ctx)
		if d := time.Since(start); millrace.ErrorCode(err) != millrace.ErrUnavailable || d > 10*time.Second {
			t.Errorf("%s: %v after %v", what, err, d)
		}
		select {
		case <-held.Done():
		case <-time.After(lockSilence):
			t.Errorf("%s: the holder has its lock longer than the server gives it", what)
		}
		resume()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err = p.Keys(ctx); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("%s: afterwards: %v", what, err)
			}
		}
		// The server may have missed the end of the holder's connection.
		start = time.Now()
		l, err := other.Lock(ctx, "maintain")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: another node had the lock after %v", what, time.Since(start))
		if err := l.Release(ctx); err != nil {
			t.Error(err)
		}
	}
	stop("paused server", s.Pause, s.Resume)
	stop("black hole", proxy.Blackhole, func() {
		if err := proxy.Restore(); err != nil {
			t.Fatal(err)
		}
	})
}
