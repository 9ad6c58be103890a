package gen

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/millrace/millrace/client"
)

// FeedOptions says where a Feed goes and how fast. Server, Now and After are
// required.
type FeedOptions struct {
	Server  string
	Key     string       // an ingest key; servers on loopback need none
	Rate    float64      // events per second, on average over a day
	Start   time.Time    // where history begins; what lies between it and now is sent as fast as the server takes it
	HTTP    *http.Client // nil is the client's own
	Now     func() time.Time
	After   func(d time.Duration) <-chan time.Time
	Tick    time.Duration      // time between live requests; default 500 ms
	History func(done float64) // told of the share of history sent, 1 at the end
}

// Shares of 2^16 of the kinds of line.
const (
	shareAPI    = 40_000 // JSON of all services
	shareNginx  = 13_000 // access log of the web front
	shareTiming = 5_000  // timings from the apps; the rest are application logs
)

// flushBytes is when a request is sent before its time: large enough that a
// request's fixed cost is small, small enough that the server takes many at once.
const flushBytes = 512 << 10

// historyStep is the stretch of history that a request of a quiet source covers.
const historyStep = 5 * time.Minute

// Feed sends the shop's lines to a server until ctx ends, and returns ctx's
// error then. The history comes first, then lines as time passes. Any other
// error means that the server refused them for good or was gone for minutes.
func Feed(ctx context.Context, g *Generator, o FeedOptions) error {
	if o.Tick <= 0 {
		o.Tick = 500 * time.Millisecond
	}
	f := &feed{g: g, o: o, streams: map[string]*stream{}}
	at := o.Start
	for now := o.Now(); at.Before(now); now = o.Now() {
		if now.Sub(at) < historyStep {
			break
		}
		to := at.Add(historyStep)
		if err := f.stretch(ctx, at, to, time.Second); err != nil {
			return err
		}
		at = to
		if o.History != nil {
			o.History(min(1, float64(at.Sub(o.Start))/float64(now.Sub(o.Start))))
		}
	}
	for {
		now := o.Now()
		if err := f.stretch(ctx, at, now, time.Second); err != nil {
			return err
		}
		if at.Before(now) {
			at = now
		}
		if o.History != nil {
			o.History(1)
			o.History = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.After(o.Tick):
		}
	}
}

// feed is the state of Feed.
type feed struct {
	g       *Generator
	o       FeedOptions
	owed    float64 // a fraction of a line
	http    *http.Client
	streams map[string]*stream
	hosts   uint64 // rotates the hosts of application logs
}

// stream is a source with its requests' numbers.
type stream struct {
	id   string
	seq  int64
	body []byte
}

// stretch makes and sends the lines between from and to, in steps over which
// the load is taken as even.
func (f *feed) stretch(ctx context.Context, from, to time.Time, step time.Duration) error {
	f.hosts++
	for at := from; at.Before(to); at = at.Add(step) {
		d := min(step, to.Sub(at))
		f.owed += f.o.Rate * f.g.Load(at) * d.Seconds()
		n := int(f.owed)
		f.owed -= float64(n)
		for i := range n {
			if err := f.line(ctx, at.Add(d*time.Duration(i)/time.Duration(n))); err != nil {
				return err
			}
		}
	}
	for name := range f.streams {
		if err := f.flush(ctx, name, to); err != nil {
			return err
		}
	}
	return nil
}

// line makes one line and sends its stream's body if it is full.
func (f *feed) line(ctx context.Context, arrives time.Time) error {
	g := f.g
	at := arrives.Add(-g.Lateness())
	var name string
	var s *stream
	switch kind := g.rng.Uint64() & 0xFFFF; {
	case kind < shareAPI:
		name = "api"
		s = f.stream(name)
		s.body = g.AppendJSON(s.body, at)
	case kind < shareAPI+shareNginx:
		name = "nginx"
		s = f.stream(name)
		s.body = g.AppendAccess(s.body, at)
	case kind < shareAPI+shareNginx+shareTiming:
		name = "apps"
		s = f.stream(name)
		s.body = g.AppendTiming(s.body, at)
	default:
		service := g.shop.service.pick(g.rng.Uint64())
		name = g.shop.services[service].name
		s = f.stream(name)
		s.body = g.AppendLog(s.body, at, service, f.host(service))
	}
	if len(s.body) < flushBytes {
		return nil
	}
	return f.flush(ctx, name, arrives)
}

// host is the one whose application log a request of a service holds.
func (f *feed) host(service int) int {
	return int(mix(f.hosts+uint64(service)<<32) % uint64(f.g.Hosts(service)))
}

func (f *feed) stream(name string) *stream {
	s := f.streams[name]
	if s == nil {
		s = &stream{id: client.NewClientID()}
		f.streams[name] = s
	}
	return s
}

// flush sends what a stream has collected by at.
func (f *feed) flush(ctx context.Context, name string, at time.Time) error {
	s := f.streams[name]
	if len(s.body) == 0 {
		return nil
	}
	o := client.Options{Key: f.o.Key, ClientID: s.id, Source: name, HTTP: f.o.HTTP, After: f.o.After}
	if o.HTTP == nil {
		o.HTTP = f.http
	}
	switch i := f.g.shop.index(name); {
	case name == "nginx":
		o.Service, o.Env = f.g.shop.services[0].name, "prod"
	case i >= 0: // an application log carries neither its host nor its release
		p := f.g.Place(i, f.host(i), at)
		o.Source, o.Service, o.Host, o.Env, o.Release = "logs", p.Service, p.Host, p.Env, p.Release
	}
	c, err := client.New(f.o.Server, o)
	if err != nil {
		return err
	}
	f.http = c.HTTPClient()
	answer, err := c.Send(ctx, s.seq, s.body)
	if err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("send %s: %w", name, err))
	}
	if answer.RejectedTotal > 0 {
		return fmt.Errorf("send %s: BUG: the server refused a generated line: %s", name, answer.Rejected[0].Error)
	}
	s.seq++
	s.body = s.body[:0]
	return nil
}
