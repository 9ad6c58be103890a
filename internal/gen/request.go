package gen

import "strconv"

// request is one request to the shop.
type request struct {
	service   *service
	route     *route
	client    *shopper
	serviceAt int // index of the service,
	routeAt   int // of the route in it,
	clientAt  int // and of the client
	host      int
	bad       bool // served by a release that goes wrong
	status    int
	rt        uint64 // µs
	backend   uint64 // µs, at most rt
	bytes     uint64
}

// levels of a line by the class of its status: below 400, below 500, others.
var levels = [...]string{"info", "warn", "error"}

// levelAt returns the index of the line's level in levels.
func (q *request) levelAt() int {
	switch {
	case q.status >= 500:
		return 2
	case q.status >= 400:
		return 1
	}
	return 0
}

// Shares of 2^16 within a class of statuses, and the 5xx of a bad release.
const (
	half      = 1 << 15
	tenth     = 6554
	badFailed = 12_000 // 18%
	badSlow   = 5      // times the latency
)

// draw makes a request at t to a service, or to any for -1.
func (g *Generator) draw(t int64, service int) request {
	sh := g.shop
	if service < 0 {
		service = sh.service.pick(g.rng.Uint64())
	}
	s := &sh.services[service]
	r, r2 := g.rng.Uint64(), g.rng.Uint64()
	q := request{serviceAt: service, routeAt: s.route.pick(g.rng.Uint64()), clientAt: sh.client.pick(g.rng.Uint64())}
	q.service, q.route, q.client = s, &s.routes[q.routeAt], &sh.clients[q.clientAt]
	q.host = s.host.pick(r)
	q.bad = len(g.deploy) > 0 && g.bad(service, q.host, t)
	q.status = s.status(r2, &q)
	median := s.median * q.route.slow >> 4
	switch {
	case q.bad:
		median *= badSlow
	case q.status >= 500:
		median *= 3
	}
	r3 := g.rng.Uint64()
	q.rt = max(120, sh.latency.scale(median, r3))
	q.backend = q.rt * (200 + r3>>58) >> 8 // 78% to 103%, capped
	q.backend = min(q.backend, q.rt-50)
	if q.status != 304 && q.status < 500 {
		q.bytes = sh.sizes.scale(s.bytes, r3>>27)
	} else if q.status >= 500 {
		q.bytes = 190
	}
	return q
}

// status draws from 64 random bits.
func (s *service) status(r uint64, q *request) int {
	p, sub := uint32(r&0xFFFF), uint32(r>>16&0xFFFF)
	failed := s.bad
	if q.bad {
		failed += badFailed
	}
	switch {
	case p < failed:
		switch {
		case q.bad || sub < half:
			return 500
		case sub < half+2*tenth:
			return 502
		case sub < half+3*tenth:
			return 504
		}
		return 503
	case p < failed+s.denied:
		switch {
		case sub < half:
			return 404
		case sub < half+2*tenth:
			return 401
		case sub < half+3*tenth:
			return 403
		}
		return 400
	case p < failed+s.denied+s.moved:
		if sub < half {
			return 304
		}
		return 302
	case q.route.method == "POST" && sub < half:
		return 201
	case q.route.method == "DELETE":
		return 204
	}
	return 200
}

// seconds appends a duration of µs as seconds with three or, below a
// millisecond's worth of digits, six decimals.
func seconds(dst []byte, us uint64, decimals int) []byte {
	dst = strconv.AppendUint(dst, us/1_000_000, 10)
	dst = append(dst, '.')
	if decimals == 3 {
		return append(dst, digits(int64(us%1_000_000/1000), 3)...)
	}
	return append(dst, digits(int64(us%1_000_000), 6)...)
}
