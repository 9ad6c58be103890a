package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// CrashLoad is exceptions that are sent at a rate. The zero value of a field means
// its default.
type CrashLoad struct {
	gen.CrashOptions
	Rate    float64       // exceptions per second; 0 is as fast as they are answered
	Batch   int           // exceptions per request; default 1 MB of them
	For     time.Duration // how long; default 120 s
	Senders int           // requests under way; default 4
	Many    bool          // senders are clients of their own, whose records go to several partitions
	Seed    uint64
}

func (l *CrashLoad) defaults() {
	if l.Senders <= 0 {
		l.Senders = 4
	}
	if l.For <= 0 {
		l.For = 120 * time.Second
	}
	if l.Batch <= 0 {
		size := l.Bytes
		if size <= 0 {
			size = 50_000
		}
		l.Batch = max(1, 1_000_000/size)
	}
}

// path is where exceptions of the load's form are sent.
func (l *CrashLoad) path() string {
	if l.Form == gen.CrashCounted {
		return "/api/v1/exceptions?source=bench"
	}
	return "/ingest?source=bench"
}

// CrashSent is what was sent and answered as stored durably.
type CrashSent struct {
	Exceptions          int64 // objects, of counted ones
	Events, Occurrences int64 // that they are
	Bytes, Requests     int64
	Throttled           int64 // answers that said to wait
	Elapsed             time.Duration
	Requested           Quantiles     // time until a request was answered
	LongestLag          time.Duration // that a request began after it was due
}

// crashSender sends a load with several requests under way.
type crashSender struct {
	load    *CrashLoad
	url     string
	ids     []string // of the clients: their requests are numbered
	http    *http.Client
	mu      sync.Mutex
	pools   []*gen.Crashes // one for each request under way
	started time.Time
	handed  int64 // exceptions
	seq     int64
	sent    CrashSent
	times   []time.Duration
}

// prepare makes what is sent, which takes a while and memory.
func (l *CrashLoad) prepare(url string) *crashSender {
	l.defaults()
	s := &crashSender{load: l, url: url + l.path(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.Senders}}}
	o := l.CrashOptions
	if o.Faults <= 0 {
		o.Faults = 300
	}
	if o.Pool <= 0 {
		o.Pool = 4 * o.Faults
	}
	o.Pool = max(o.Faults, o.Pool/l.Senders)
	o.Pool = (o.Pool + l.Batch - 1) / l.Batch * l.Batch // whole requests
	for i := range l.Senders {
		s.pools = append(s.pools, gen.NewCrashes(l.Seed, uint64(i), o))
		if i == 0 || l.Many {
			s.ids = append(s.ids, client.NewClientID())
		} else {
			s.ids = append(s.ids, s.ids[0])
		}
	}
	return s
}

// run sends until the load's time is over. Every request that was begun is ended:
// what is counted is what the server said it has.
func (s *crashSender) run(ctx context.Context) (CrashSent, error) {
	s.started = time.Now()
	errs := make([]error, s.load.Senders)
	var wg sync.WaitGroup
	for i := range s.load.Senders {
		wg.Go(func() { errs[i] = s.each(ctx, s.ids[i], s.pools[i]) })
	}
	wg.Wait()
	s.sent.Elapsed = time.Since(s.started)
	s.sent.Requested = NewQuantiles(s.times)
	return s.sent, errors.Join(errs...)
}

// each sends requests one after the other.
func (s *crashSender) each(ctx context.Context, id string, pool *gen.Crashes) error {
	last := s.started
	for {
		seq, due := s.turn()
		if due.Sub(s.started) >= s.load.For || time.Since(s.started) >= s.load.For {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(due)):
		}
		started := time.Now()
		batch := pool.Next(s.load.Batch, last, started)
		last = started
		throttled, err := s.post(ctx, id, seq, &batch)
		if err != nil {
			return fmt.Errorf("send exceptions: %w", err)
		}
		took := time.Since(started)
		s.mu.Lock()
		s.sent.Exceptions += int64(batch.Exceptions)
		s.sent.Events += int64(batch.Events)
		s.sent.Occurrences += batch.Occurrences
		s.sent.Bytes += int64(len(batch.Body))
		s.sent.Requests++
		s.sent.Throttled += throttled
		s.sent.LongestLag = max(s.sent.LongestLag, started.Sub(due))
		s.times = append(s.times, took)
		s.mu.Unlock()
	}
}

// turn returns the number of the next request and when it is due.
func (s *crashSender) turn() (seq int64, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, due = s.seq, s.started.Add(time.Since(s.started))
	if s.load.Rate > 0 {
		due = s.started.Add(time.Duration(float64(s.handed) / s.load.Rate * 1e9))
	}
	s.seq++
	s.handed += int64(s.load.Batch)
	return seq, due
}

// post sends exceptions until the server has them all, and returns how often it was
// told to wait.
func (s *crashSender) post(ctx context.Context, id string, seq int64, batch *gen.CrashBatch) (throttled int64, err error) {
	for ; ; throttled++ {
		status, text, err := s.try(ctx, id, seq, batch.Body)
		if err != nil {
			return throttled, err
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			select {
			case <-ctx.Done():
				return throttled, ctx.Err()
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		var answer struct{ Accepted int }
		if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK || answer.Accepted != batch.Exceptions {
			return throttled, fmt.Errorf("the server answered %d: %.300s", status, text)
		}
		return throttled, nil
	}
}

func (s *crashSender) try(ctx context.Context, id string, seq int64, body []byte) (status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if s.load.Form == gen.CrashText {
		req.Header.Set("Content-Type", "text/plain")
	}
	req.Header.Set("X-Millrace-Client", id)
	req.Header.Set("X-Millrace-Seq", strconv.FormatInt(seq, 10))
	res, err := s.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}
