package gen

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// shop is what lines are drawn from. Fragments of JSON are rendered once.
type shop struct {
	services []service
	service  alias
	clients  []shopper
	client   alias
	profiles []profile
	latency  *lognormal
	sizes    *lognormal
}

type service struct {
	name, lang string
	hosts      []host
	host       alias
	releases   [2]string   // the good one, and the one that goes wrong
	places     [][2][]byte // per host and release: JSON from "service" to "release"
	routes     []route
	route      alias
	median     uint32 // latency, µs
	bytes      uint32 // median size
	bad        uint32 // share of 5xx, of 2^16
	denied     uint32 // share of 4xx
	moved      uint32 // share of 3xx
	faults     []fault
	fault      alias
	newFault   fault // what the bad release throws
}

type host struct{ name, env string }

type route struct {
	method, url string
	json        []byte // "method":…,"url":…
	slow        uint32 // latency factor, 1/16
}

type shopper struct {
	ip      string
	profile uint16
}

// profile is a device in a city.
type profile struct {
	agent            string // a browser's, for access logs
	app              string // the app's, for JSON lines
	city, device, os string
	json             []byte // "user_agent":…,"city":…,"device":…,"os":…
}

func newShop(seed uint64, o Options) *shop {
	rng := rand.New(rand.NewPCG(seed, 0x73686F70))
	s := &shop{latency: newLognormal(0.75), sizes: newLognormal(0.9)}
	perService := zipf(len(serviceTable), 0.55)
	s.service = newAlias(zipf(len(serviceTable), 0.9))
	var sum float64
	for _, w := range perService {
		sum += w
	}
	for i, row := range serviceTable {
		urls := max(len(strings.Fields(row.routes))/2, int(float64(o.URLs)*perService[i]/sum))
		s.services = append(s.services, newService(i, row, urls, rng))
	}
	s.profiles = newProfiles(rng, o.Cities)
	profile := newAlias(zipf(len(s.profiles), 0.7))
	s.clients = make([]shopper, o.Clients)
	for i := range s.clients {
		s.clients[i] = shopper{address(rng.Uint32()), uint16(profile.pick(rng.Uint64()))}
	}
	s.client = newAlias(zipf(o.Clients, 0.8))
	return s
}

// index returns the index of a service, -1 if there is none of that name.
func (s *shop) index(name string) int {
	for i := range s.services {
		if s.services[i].name == name {
			return i
		}
	}
	return -1
}

// address returns an address of the ranges set aside for benchmarks and
// documentation, so that no line names somebody: 198.18.0.0/15 and neighbours
// of 203.0.113.0/24.
func address(r uint32) string {
	if r&7 == 0 {
		return fmt.Sprintf("203.0.113.%d", r>>24)
	}
	return fmt.Sprintf("198.%d.%d.%d", 18+r>>3&1, r>>16&0xFF, r>>24)
}

func newService(i int, row serviceRow, urls int, rng *rand.Rand) service {
	s := service{
		name: row.name, lang: row.lang,
		median: uint32(row.medianMS * 1000), bytes: uint32(row.bytes),
		bad: share(row.bad), denied: share(row.denied), moved: share(row.moved),
	}
	major, minor := 1+rng.IntN(6), rng.IntN(30)
	s.releases = [2]string{fmt.Sprintf("%d.%d.2", major, minor), fmt.Sprintf("%d.%d.0", major, minor+1)}
	hosts := max(2, 10-i)
	weights := make([]float64, 0, hosts+1)
	for h := range hosts {
		s.hosts = append(s.hosts, host{fmt.Sprintf("%s-%02d", row.name, h+1), "prod"})
		weights = append(weights, 1+rng.Float64()/4)
	}
	s.hosts = append(s.hosts, host{row.name + "-st", "staging"})
	s.host = newAlias(append(weights, 0.04*float64(hosts)))
	for _, h := range s.hosts {
		var place [2][]byte
		for r, release := range s.releases {
			place[r] = fmt.Appendf(nil, `,"service":%q,"host":%q,"env":%q,"release":%q,"level":"`, s.name, h.name, h.env, release)
		}
		s.places = append(s.places, place)
	}
	s.addRoutes(strings.Fields(row.routes), urls, rng)
	s.faults = faultsOf(row.lang, row.name)
	s.newFault = newFaultOf(row.lang, row.name)
	s.fault = newAlias(zipf(len(s.faults), 1.1))
	return s
}

// addRoutes expands the templates, pairs of method and path, to about n URLs. A
// template's place in the list is its rank, and so is an id's in its template.
func (s *service) addRoutes(templates []string, n int, rng *rand.Rand) {
	pairs := len(templates) / 2
	withID := 0
	for i := 1; i < len(templates); i += 2 {
		withID += strings.Count(templates[i], "{id}")
	}
	ids := 1
	if withID > 0 {
		ids = max(1, (n-pairs+withID)/withID)
	}
	var weights []float64
	rank := zipf(pairs, 0.9)
	for i := range pairs {
		method, path := templates[2*i], templates[2*i+1]
		slow := uint32(8 + rng.IntN(32))
		if method != "GET" {
			slow *= 2
		}
		if !strings.Contains(path, "{id}") {
			s.addRoute(method, path, slow)
			weights = append(weights, rank[i])
			continue
		}
		within := zipf(ids, 1.05)
		var sum float64
		for _, w := range within {
			sum += w
		}
		for k := range ids {
			s.addRoute(method, strings.Replace(path, "{id}", fmt.Sprint(1000+k*7), 1), slow)
			weights = append(weights, rank[i]*within[k]/sum)
		}
	}
	s.route = newAlias(weights)
}

func (s *service) addRoute(method, url string, slow uint32) {
	s.routes = append(s.routes, route{method, url, fmt.Appendf(nil, `","method":%q,"url":%q,"status":`, method, url), slow})
}

// newProfiles combines cities and devices, both by Zipf's law.
func newProfiles(rng *rand.Rand, cities int) []profile {
	var out []profile
	names := strings.Fields(cityTable)
	for c := range cities {
		city := fmt.Sprintf("town-%d", c)
		if c < len(names) {
			city = names[c]
		}
		for _, d := range deviceTable {
			if c > 12 && rng.IntN(3) == 0 { // not every device in every small town
				continue
			}
			app := fmt.Sprintf("Shop/%d.%d (%s)", 5+rng.IntN(2), rng.IntN(12), d.name)
			out = append(out, profile{
				agent: d.agent, app: app, city: city, device: d.device, os: d.os,
				json: fmt.Appendf(nil, `","user_agent":%q,"city":%q,"device":%q,"os":%q,"message":"`, app, city, d.device, d.os),
			})
		}
	}
	return out
}
