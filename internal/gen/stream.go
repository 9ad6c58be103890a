package gen

import (
	"math"
	"strconv"
	"time"

	"github.com/millrace/millrace"
)

// StreamRate is how many events there are per second of event time in a Stream:
// the peak of the published job that millrace measures itself by.
const StreamRate = 200_000

// lateShare is the share of a Stream's events, of 2^16, that come late; how late
// follows the exponential distribution, up to lateMax.
const (
	lateShare = 655 // 1%
	lateMean  = float64(time.Minute)
	lateMax   = time.Hour
)

// Stream is the shop's requests in order of arrival, as lines or parsed already,
// at StreamRate. 1% are late, by a minute in the mean. Not safe for concurrent
// use. All forms of an event are drawn alike: equal seeds give equal events,
// whatever they are asked for as.
type Stream struct {
	g     *Generator
	start int64 // ns
	count int64
	codes coder
	attrs []millrace.Attr // arena of the last Events
}

// NewStreamAt returns the stream of a seed whose first event arrives at start.
func NewStreamAt(seed uint64, start time.Time, o Options) *Stream {
	g := New(seed, o)
	return &Stream{g: g, start: start.UnixNano(), codes: newCoder(g.shop)}
}

// Arrival returns when the next event arrives, in ns.
func (s *Stream) Arrival() int64 { return s.start + s.count*(1e9/StreamRate) }

// time returns the event time of the next event.
func (s *Stream) time() int64 {
	at := s.Arrival()
	s.count++
	r := s.g.rng.Uint64()
	if chance(r, lateShare) {
		u := (float64(r>>16) + 1) / (1 << 48)
		at -= int64(min(-math.Log(u)*lateMean, float64(lateMax)))
		at -= at % 1000 // lines have microseconds
	}
	return at
}

// AppendJSON appends n lines as Generator.AppendJSON makes them.
func (s *Stream) AppendJSON(dst []byte, n int) []byte {
	for range n {
		dst = s.g.AppendJSON(dst, time.Unix(0, s.time()))
	}
	return dst
}

// Columns are events as codes: Dims[d][i] indexes Stream.Values(d). A column
// per dimension, in the order of Dimensions, and per metric field.
type Columns struct {
	Time    []int64 // event time, ns
	Dims    [][]uint32
	Bytes   []int64
	RT      []float64 // seconds, whole µs
	Clients []uint32  // index in Stream.Clients
}

// Columns makes n events, in the memory of c.
func (s *Stream) Columns(c *Columns, n int) {
	c.Time, c.Bytes, c.RT, c.Clients = sized(c.Time, n), sized(c.Bytes, n), sized(c.RT, n), sized(c.Clients, n)
	c.Dims = sized(c.Dims, len(dimensions))
	for d := range c.Dims {
		c.Dims[d] = sized(c.Dims[d], n)
	}
	for i := range n {
		at := s.time()
		q := s.g.draw(at, -1)
		s.g.skipTrace()
		c.Time[i], c.Bytes[i], c.RT[i], c.Clients[i] = at, int64(q.bytes), float64(q.rt)/1e6, uint32(q.clientAt)
		for d, code := range s.codes.of(&q) {
			c.Dims[d][i] = code
		}
	}
}

func sized[T any](s []T, n int) []T {
	if n > cap(s) {
		s = append(make([]T, 0, n), s...)
	}
	return s[:n]
}

// Values returns the values of a dimension of Dimensions by their code.
func (s *Stream) Values(d int) []string { return s.codes.values[d] }

// Clients returns the clients' addresses.
func (s *Stream) Clients() []string {
	out := make([]string, len(s.g.shop.clients))
	for i := range out {
		out[i] = s.g.shop.clients[i].ip
	}
	return out
}

// Events makes len(dst) events as the decoder would from the lines, but for
// the message and the trace id, which are empty. Attributes are valid until
// the next call.
func (s *Stream) Events(dst []millrace.Event) {
	const attrs = 11
	s.attrs = sized(s.attrs, attrs*len(dst))
	for i := range dst {
		at := s.time()
		q := s.g.draw(at, -1)
		s.g.skipTrace()
		p := &s.g.shop.profiles[q.client.profile]
		h := &q.service.hosts[q.host]
		a := s.attrs[attrs*i : attrs*(i+1) : attrs*(i+1)]
		a[0] = millrace.Attr{Key: millrace.AttrMethod, Value: millrace.StringValue(q.route.method)}
		a[1] = millrace.Attr{Key: millrace.AttrURL, Value: millrace.StringValue(q.route.url)}
		a[2] = millrace.Attr{Key: millrace.AttrStatus, Value: millrace.IntValue(int64(q.status))}
		a[3] = millrace.Attr{Key: millrace.AttrRT, Value: millrace.FloatValue(float64(q.rt) / 1e6)}
		a[4] = millrace.Attr{Key: millrace.AttrRTBackend, Value: millrace.FloatValue(float64(q.backend) / 1e6)}
		a[5] = millrace.Attr{Key: millrace.AttrBytes, Value: millrace.IntValue(int64(q.bytes))}
		a[6] = millrace.Attr{Key: millrace.AttrClientIP, Value: millrace.StringValue(q.client.ip)}
		a[7] = millrace.Attr{Key: millrace.AttrUserAgent, Value: millrace.StringValue(p.app)}
		a[8] = millrace.Attr{Key: "city", Value: millrace.StringValue(p.city)}
		a[9] = millrace.Attr{Key: "device", Value: millrace.StringValue(p.device)}
		a[10] = millrace.Attr{Key: "os", Value: millrace.StringValue(p.os)}
		dst[i] = millrace.Event{
			Time: at, Weight: 1, Kind: millrace.KindAccess, Ordinal: int32(i), HasTime: true,
			Project: millrace.DefaultProject, Source: "bench",
			Service: q.service.name, Host: h.name, Env: h.env, Release: q.service.releases[bit(q.bad)], Level: levels[q.levelAt()], Attrs: a,
		}
	}
}

// skipTrace draws what a line draws for its trace id.
func (g *Generator) skipTrace() {
	g.rng.Uint64()
	g.rng.Uint64()
}

// coder numbers the values of the dimensions.
type coder struct {
	values  [][]string
	service [][3]uint32   // per service: itself, its two releases
	hosts   [][][2]uint32 // per service and host: itself, its environment
	routes  [][][2]uint32 // per service and route: method, URL
	profile [][4]uint32   // city, device, system, user agent
	status  [512]uint32   // by the status itself
}

func newCoder(sh *shop) coder {
	c := coder{values: make([][]string, len(dimensions))}
	known := make([]map[string]uint32, len(dimensions))
	code := func(d int, v string) uint32 {
		if known[d] == nil {
			known[d] = map[string]uint32{}
		}
		n, ok := known[d][v]
		if !ok {
			n = uint32(len(c.values[d]))
			known[d][v] = n
			c.values[d] = append(c.values[d], v)
		}
		return n
	}
	for i := range sh.services {
		s := &sh.services[i]
		c.service = append(c.service, [3]uint32{code(0, s.name), code(3, s.releases[0]), code(3, s.releases[1])})
		var hosts, routes [][2]uint32
		for _, h := range s.hosts {
			hosts = append(hosts, [2]uint32{code(1, h.name), code(2, h.env)})
		}
		for j := range s.routes {
			routes = append(routes, [2]uint32{code(5, s.routes[j].method), code(6, s.routes[j].url)})
		}
		c.hosts, c.routes = append(c.hosts, hosts), append(c.routes, routes)
	}
	for _, p := range sh.profiles {
		c.profile = append(c.profile, [4]uint32{code(8, p.city), code(9, p.device), code(10, p.os), code(11, p.app)})
	}
	for _, l := range levels {
		code(4, l)
	}
	for _, v := range []int{200, 201, 204, 302, 304, 400, 401, 403, 404, 500, 502, 503, 504} {
		c.status[v] = code(7, strconv.Itoa(v))
	}
	return c
}

// of returns the codes of a request.
func (c *coder) of(q *request) [12]uint32 {
	s := &c.service[q.serviceAt]
	h, r, p := &c.hosts[q.serviceAt][q.host], &c.routes[q.serviceAt][q.routeAt], &c.profile[q.client.profile]
	return [12]uint32{
		s[0], h[0], h[1], s[1+bit(q.bad)], uint32(q.levelAt()), r[0],
		r[1], c.status[q.status], p[0], p[1], p[2], p[3],
	}
}
