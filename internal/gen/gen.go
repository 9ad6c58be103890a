// Package gen makes the log lines of a made-up shop: the demo shows them, and
// benchmarks and tests measure with them. It is realistic where it matters to a
// log store: dimensions are correlated (a service determines its hosts, URLs,
// latencies, statuses and exceptions; a client its address, city and device)
// and follow Zipf's law, load has days and bursts, some lines come late, and
// now and then a release goes wrong and is rolled back.
//
// Everything follows from the seed and the times passed in: equal calls give
// equal bytes on every machine.
package gen

import (
	"math/rand/v2"
	"time"
)

// Options shapes the shop. The zero value of a field means its default.
type Options struct {
	Clients   int // distinct client addresses; default 20,000
	URLs      int // distinct URLs of all services, roughly; default 2,000
	Cities    int // where clients are; default 32
	LineBytes int // length of a JSON line with its line break; default 415
	// Deployments are the releases that go wrong.
	Deployments []Deployment
}

// Deployment is a release of one service that fails more, answers slowly and
// throws an exception nobody has seen before, until it is rolled back. Hosts
// get it, and lose it, one every 15 seconds.
type Deployment struct {
	Service string
	Start   time.Time
	Length  time.Duration // until it is rolled back
	Every   time.Duration // again and again at this interval; 0 is once
}

// rollout is the time between two hosts of a service.
const rollout = 15 * time.Second

// Generator makes lines. It is not safe for concurrent use; generators of equal
// seed and different streams share nothing but the shop.
type Generator struct {
	rng    *rand.PCG
	shop   *shop
	seed   uint64
	size   int
	clock  clock
	deploy []deployment
}

// deployment is a Deployment in the units of draw.
type deployment struct {
	service              int
	start, length, every int64 // ns
}

// New returns a generator of the shop that follows from seed.
func New(seed uint64, o Options) *Generator { return NewStream(seed, 0, o) }

// NewStream returns one of many generators that draw different lines from the
// same shop: senders that work side by side use one each.
func NewStream(seed, stream uint64, o Options) *Generator {
	if o.Clients <= 0 {
		o.Clients = 20_000
	}
	if o.URLs <= 0 {
		o.URLs = 2_000
	}
	if o.Cities <= 0 {
		o.Cities = 32
	}
	if o.LineBytes <= 0 {
		o.LineBytes = 415
	}
	g := &Generator{rng: rand.NewPCG(seed, stream), shop: newShop(seed, o), seed: seed, size: o.LineBytes}
	for _, d := range o.Deployments {
		g.deploy = append(g.deploy, deployment{g.shop.index(d.Service), d.Start.UnixNano(), int64(d.Length), int64(d.Every)})
	}
	return g
}

// Services returns the names of the services, the busiest first.
func (g *Generator) Services() []string {
	names := make([]string, len(g.shop.services))
	for i := range g.shop.services {
		names[i] = g.shop.services[i].name
	}
	return names
}

// Place is where lines come from.
type Place struct{ Service, Host, Env, Release string }

// Place returns what is known of a host of a service at a time. Hosts are
// numbered from 0; there is at least one.
func (g *Generator) Place(service, host int, t time.Time) Place {
	s := &g.shop.services[service]
	h := &s.hosts[host%len(s.hosts)]
	return Place{s.name, h.name, h.env, s.releases[bit(g.bad(service, host%len(s.hosts), t.UnixNano()))]}
}

// Hosts returns how many hosts a service has.
func (g *Generator) Hosts(service int) int { return len(g.shop.services[service].hosts) }

// bad reports whether a host runs a release that goes wrong at t.
func (g *Generator) bad(service, host int, t int64) bool {
	for i := range g.deploy {
		d := &g.deploy[i]
		if d.service != service {
			continue
		}
		since := t - d.start - int64(host)*int64(rollout)
		if since >= 0 && d.every > 0 {
			since %= d.every
		}
		if since >= 0 && since < d.length {
			return true
		}
	}
	return false
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
