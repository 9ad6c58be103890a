package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	rtmetrics "runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
)

// The tests of this file send over real connections.

func serve(t *testing.T, f *fixture) *httptest.Server {
	t.Helper()
	f.deps.Now = time.Now // deadlines of connections are by the real clock
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s
}

// until waits for a state that other goroutines bring about.
func until(t *testing.T, reached func() bool) {
	t.Helper()
	for begun := time.Now(); !reached(); runtime.Gosched() {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("waited 10 s in vain")
		}
	}
}

// peakHeap returns the most memory in use above that at the start, seen while
// do runs.
func peakHeap(do func()) uint64 {
	sample := []rtmetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	inUse := func() uint64 {
		rtmetrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	base := inUse()
	peak := base
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return peak - base
		case <-tick.C:
			peak = max(peak, inUse())
		}
	}
}

// zeroes reads as n zeroes on one line.
type zeroes struct{ n int }

var block = bytes.Repeat([]byte{'0'}, 64<<10)

func (z *zeroes) Read(p []byte) (int, error) {
	if z.n == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), z.n)], block)
	z.n -= n
	return n, nil
}

// Bombs that unpack to 2 GB are stopped at the limit, whatever they unpack to,
// and cost no more memory than a body of that size.
func TestBombs(t *testing.T) {
	f := setup(t, func(o *Options) { o.MaxBody = 16 << 20 })
	s := serve(t, f)
	for name, piece := range map[string][]byte{
		"one line": bytes.Repeat([]byte{'0'}, 4<<20), "short lines": bytes.Repeat([]byte(strings.Repeat("0", 79)+"\n"), 4<<20/80),
	} {
		for encoding, packed := range map[string][]byte{
			"gzip": gzipped(t, piece), "zstd": zstded(t, piece, zstd.WithWindowSize(1<<20)),
		} {
			bomb := bytes.Repeat(packed, 512) // members and frames may be concatenated
			peak := peakHeap(func() { sendBomb(t, s.URL, encoding, bomb) })
			// The body's buffer, the smaller ones it grew from, the decompressor's.
			if peak > 48<<20 {
				t.Errorf("%s %s (%d bytes): %d MiB in use", encoding, name, len(bomb), peak>>20)
			}
		}
	}
}

func sendBomb(t *testing.T, url, encoding string, bomb []byte) {
	r, err := http.NewRequest("POST", url+"/ingest", bytes.NewReader(bomb))
	if err != nil {
		t.Error(err)
		return
	}
	r.Header.Set("Content-Encoding", encoding)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Errorf("%s: %v", encoding, err)
		return
	}
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 413 || !strings.Contains(string(body), "16MiB after decompression") {
		t.Errorf("%s: %d %s", encoding, res.StatusCode, body)
	}
}

// Many senders of a 50 MB line cost a buffer of the longest line each.
func TestLongLinesMemory(t *testing.T) {
	f := setup(t)
	s := serve(t, f)
	peak := peakHeap(func() {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				res, err := http.Post(s.URL+"/ingest?format=line", "text/plain", io.MultiReader(strings.NewReader("ok\n"), &zeroes{n: 50 << 20}))
				if err != nil {
					t.Error(err)
					return
				}
				body, _ := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 || !strings.Contains(string(body), "52428800 bytes, the limit is 262144") {
					t.Errorf("%d %s", res.StatusCode, body)
				}
			})
		}
		wg.Wait()
	})
	if peak > 40<<20 {
		t.Errorf("8 lines of 50 MB took %d MiB", peak>>20)
	}
}

// A client that trickles is cut off when its grace is over; one that merely
// keeps the least rate is not.
func TestSlowClient(t *testing.T) {
	f := setup(t)
	f.change(func(o *Options) { o.SlowGrace, o.MinRate = millrace.Duration(300*time.Millisecond), 100 })
	s := serve(t, f)
	send := func(total int, every time.Duration) string {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := fmt.Fprintf(c, "POST /ingest?format=line HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", total); err != nil {
			t.Fatal(err)
		}
		answered := make(chan string)
		go func() {
			b := make([]byte, 2000)
			n, _ := c.Read(b)
			answered <- string(b[:n])
		}()
		for range total / 10 {
			select {
			case a := <-answered:
				return a
			case <-time.After(every):
			}
			_, _ = c.Write([]byte("012345678\n")) // the answer may be there already
		}
		return <-answered
	}
	if a := send(1000, 200*time.Millisecond); !strings.HasPrefix(a, "HTTP/1.1 408") || !strings.Contains(a, "too slowly") {
		t.Errorf("50 bytes per second: %q", a)
	}
	if a := send(1000, 5*time.Millisecond); !strings.HasPrefix(a, "HTTP/1.1 200") || !strings.Contains(a, `"accepted":100`) {
		t.Errorf("up to 2,000 bytes per second: %q", a)
	}
}

// A client that goes away in the middle stores nothing and frees its memory.
func TestBrokenConnection(t *testing.T) {
	f := setup(t)
	s := serve(t, f)
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello\nworld\n"); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return f.mem.used.Load() != 0 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return f.mem.used.Load() == 0 })
	if recs := f.take(); len(recs) != 0 {
		t.Errorf("%d records stored", len(recs))
	}
}

// The append goes on when the client leaves: the outcome is the queue's.
func TestDepartureDoesNotCancelAppend(t *testing.T) {
	f := setup(t)
	entered, leave, cancelled := make(chan struct{}), make(chan struct{}), atomic.Bool{}
	f.deps.Append = func(ctx context.Context, _ []*millrace.Record) error {
		close(entered)
		<-leave
		cancelled.Store(ctx.Err() != nil)
		return nil
	}
	s := serve(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/ingest", strings.NewReader("x\n"))
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(r)
		failed <- err
	}()
	<-entered
	cancel()
	if <-failed == nil {
		t.Error("the request succeeded")
	}
	close(leave)
	s.Close() // waits for the handler
	if cancelled.Load() {
		t.Error("the append was cancelled")
	}
}

// What concurrent senders send arrives whole, each line once.
func TestConcurrent(t *testing.T) {
	f := setup(t)
	s := serve(t, f)
	const senders, requests, lines = 8, 10, 500
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for n := range requests {
				var b bytes.Buffer
				for l := range lines {
					fmt.Fprintf(&b, "{\"n\":%d}\n", (i*requests+n)*lines+l)
				}
				body, encoding := b.Bytes(), ""
				switch n % 3 {
				case 1:
					body, encoding = gzipped(t, body), "gzip"
				case 2:
					body, encoding = zstded(t, body), "zstd"
				}
				r, err := http.NewRequest("POST", s.URL+"/ingest", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Content-Encoding", encoding)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode != 200 {
					t.Errorf("status %d", res.StatusCode)
				}
			}
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for _, r := range f.take() {
		for l := range strings.SplitSeq(strings.TrimSpace(string(r.Payload)), "\n") {
			seen[l]++
		}
	}
	if len(seen) != senders*requests*lines {
		t.Errorf("%d different lines, want %d", len(seen), senders*requests*lines)
	}
	for l, n := range seen {
		if n != 1 {
			t.Fatalf("%s arrived %d times", l, n)
		}
	}
}
