package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/millrace/millrace/client"
	"github.com/millrace/millrace/internal/gen"
)

// Load is what senders send. The zero value of a field means its default.
type Load struct {
	Senders  int           // each a client with connections of its own; default 2
	InFlight int           // requests a sender has under way; default 2
	Lines    int           // per request; default 2,500, about 1 MB
	Rate     float64       // lines per second of all senders; 0 is as fast as they are answered
	For      time.Duration // how long; default 120 s
	Total    int64         // lines in all, of whole requests, if that comes first; 0 is no limit
	// Hours is how many hours of the past the lines belong to: each hour gets an
	// equal share of For, and a line is as far from the hour's start as its sending
	// from the share's. So a minute holds as many lines as it does live, and hours
	// and days end while lines come in. The first begins at From. 0: lines have the
	// time of sending.
	Hours    int
	From     time.Time
	PoolSize int // lines per sender before they repeat but for time and trace id; default 131,072, more than a row group
	Seed     uint64
	Wire     Wire // default NDJSON; others need whole requests, so no Rate
}

func (l *Load) defaults() {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Senders, 2)
	set(&l.InFlight, 2)
	set(&l.Lines, 2500)
	set(&l.PoolSize, 131_072)
	if l.For <= 0 {
		l.For = 120 * time.Second
	}
}

// Sent is what senders sent and were told is stored.
type Sent struct {
	Lines, Bytes, Requests int64
	Throttled              int64 // answers that said to wait
	Elapsed                time.Duration
	Requested              Quantiles // time until a request was answered
}

// sender is one client.
type sender struct {
	load   *Load
	client *client.Client
	url    string // of requests of another wire than NDJSON, as the next two are
	http   *http.Client
	packed []packet   // one for each request that the pool has
	turn   int        // the next of them
	mu     sync.Mutex // the pool, the next sequence number and sent
	pool   *gen.Pool
	seq    int64
	sent   Sent
	times  []time.Duration
	began  time.Time
	lines  int64 // handed out, for pacing
	last   time.Time
}

// Prepare makes the senders' lines, which takes a while and memory: 54 MB each
// by default.
func (l *Load) Prepare(url string) (*Senders, error) {
	l.defaults()
	all := &Senders{load: l}
	for i := range l.Senders {
		s := &sender{load: l, pool: gen.NewPool(l.Seed, uint64(i), l.PoolSize, gen.Options{})}
		var err error
		s.client, err = client.New(url, client.Options{
			Source: "bench", Compression: client.CompressNone, Attempts: 1000, MaxBackoff: time.Second,
			HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.InFlight}},
			Retrying: func(error, time.Duration) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.sent.Throttled++
			},
		})
		if err != nil {
			return nil, err
		}
		if err := s.pack(url); err != nil {
			return nil, err
		}
		all.list = append(all.list, s)
	}
	return all, nil
}

// Senders are ready to Run.
type Senders struct {
	load *Load
	list []*sender
}

// Run sends until the load's time is over. Every request that was begun is
// ended: what is counted is what the server said it has.
func (a *Senders) Run(ctx context.Context) (Sent, error) {
	started := time.Now()
	errs := make([]error, len(a.list)*a.load.InFlight)
	var wg sync.WaitGroup
	for i, s := range a.list {
		s.began, s.last = started, started
		for j := range a.load.InFlight {
			wg.Go(func() { errs[i*a.load.InFlight+j] = s.run(ctx) })
		}
	}
	wg.Wait()
	total := Sent{Elapsed: time.Since(started)}
	var times []time.Duration
	for _, s := range a.list {
		total.Lines += s.sent.Lines
		total.Bytes += s.sent.Bytes
		total.Requests += s.sent.Requests
		total.Throttled += s.sent.Throttled
		times = append(times, s.times...)
	}
	total.Requested = NewQuantiles(times)
	return total, errors.Join(errs...)
}

func (s *sender) run(ctx context.Context) error {
	for {
		body, lines, seq, wait := s.next()
		if wait < 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		started := time.Now()
		if err := s.send(ctx, seq, body, lines); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		s.mu.Lock()
		s.sent.Lines += int64(lines)
		s.sent.Bytes += int64(len(body))
		s.sent.Requests++
		s.times = append(s.times, time.Since(started))
		s.mu.Unlock()
	}
}

// send brings a request and returns when the server has all of its lines.
func (s *sender) send(ctx context.Context, seq int64, body []byte, lines int) error {
	if s.packed != nil {
		return s.post(ctx, body)
	}
	answer, err := s.client.Send(ctx, seq, body)
	if err == nil && answer.Accepted != lines {
		err = fmt.Errorf("%d of %d lines accepted: %v", answer.Accepted, lines, answer.Rejected)
	}
	return err
}

// next returns the next request and how long to wait before it is sent; a
// negative wait is the end. Times of the lines are those since the last one.
func (s *sender) next() (body []byte, lines int, seq int64, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	started := time.Now()
	n := s.load.Lines
	if s.load.Rate > 0 {
		// A body holds a fifth of a second at most, so that lines do not wait in it.
		perSender := s.load.Rate / float64(s.load.Senders)
		n = max(1, min(n, int(perSender/5)))
		wait = max(0, time.Duration(float64(s.lines)/perSender*1e9)-started.Sub(s.began))
	}
	enough := s.load.Total > 0 && s.lines >= s.load.Total/int64(s.load.Senders)
	if enough || started.Add(wait).Sub(s.began) >= s.load.For {
		return nil, 0, 0, -1
	}
	from, to := s.eventTimes(started)
	body, lines = s.pool.Next(n, from, to)
	if s.packed != nil {
		body = s.restamp(body, lines, from, to)
	}
	s.last = started
	s.lines += int64(lines)
	seq = s.seq
	s.seq++
	return body, lines, seq, wait
}

// eventTimes returns between which times the lines that are sent at t lie.
func (s *sender) eventTimes(t time.Time) (from, to time.Time) {
	if s.load.Hours == 0 {
		return s.last, t
	}
	share := s.load.For / time.Duration(s.load.Hours)
	hour := min(t.Sub(s.began)/share, time.Duration(s.load.Hours-1))
	into := t.Sub(s.began) - hour*share
	start := s.load.From.Add(hour * time.Hour)
	return start.Add(max(0, into-t.Sub(s.last))), start.Add(into)
}
