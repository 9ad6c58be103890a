package gen

import (
	"strconv"
	"time"
)

// Offsets in a line of AppendJSON: what makes a line distinct is at a fixed
// place, so that Pool can change it in place.
const (
	timeAt  = len(`{"time":"`)
	traceAt = timeAt + timeLen + len(`","trace_id":"`)
)

// StampLen is how many bytes at the start of a line Pool changes: up to the end of
// its trace id, 32 digits.
const StampLen = traceAt + 32

// hexPairs holds "000102…ff".
var hexPairs = func() (t [512]byte) {
	const hex = "0123456789abcdef"
	for i := range 256 {
		t[2*i], t[2*i+1] = hex[i>>4], hex[i&15]
	}
	return t
}()

func appendHex(dst []byte, v uint64) []byte {
	for i := 56; i >= 0; i -= 8 {
		b := v >> uint(i) & 0xFF
		dst = append(dst, hexPairs[2*b], hexPairs[2*b+1])
	}
	return dst
}

// AppendJSON appends the access line of one request at t to any service as a
// JSON object and a line break, Options.LineBytes in all: the message is cut to
// fit. Lines differ by their 128-bit trace id. It does not allocate beyond dst.
func (g *Generator) AppendJSON(dst []byte, t time.Time) []byte {
	start := len(dst)
	ns := t.UnixNano()
	q := g.draw(ns, -1)
	dst = append(dst, `{"time":"`...)
	dst = g.clock.micros(dst, ns)
	dst = append(dst, `","trace_id":"`...)
	dst = appendHex(appendHex(dst, g.rng.Uint64()), g.rng.Uint64())
	dst = append(dst, '"')
	dst = append(dst, q.service.places[q.host][bit(q.bad)]...)
	level := q.levelAt()
	text := texts[level]
	dst = append(dst, levels[level]...)
	dst = append(dst, q.route.json...)
	dst = strconv.AppendUint(dst, uint64(q.status), 10)
	dst = append(dst, `,"rt":`...)
	dst = seconds(dst, q.rt, 6)
	dst = append(dst, `,"rt_backend":`...)
	dst = seconds(dst, q.backend, 6)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendUint(dst, q.bytes, 10)
	dst = append(dst, `,"client_ip":"`...)
	dst = append(dst, q.client.ip...)
	dst = append(dst, g.shop.profiles[q.client.profile].json...)
	room := g.size - (len(dst) - start) - len("\"}\n")
	dst = append(dst, text[:min(max(room, len("handled")), len(text))]...)
	return append(dst, "\"}\n"...)
}

// AppendAccess appends an access line of the web front as nginx writes it in
// its combined format with the times and the host behind it, and a line break.
func (g *Generator) AppendAccess(dst []byte, t time.Time) []byte {
	ns := t.UnixNano()
	q := g.draw(ns, 0)
	p := &g.shop.profiles[q.client.profile]
	dst = append(dst, q.client.ip...)
	dst = append(dst, " - - ["...)
	g.clock.set(ns)
	dst = append(dst, g.clock.clf[:]...)
	dst = append(dst, `] "`...)
	dst = append(dst, q.route.method...)
	dst = append(dst, ' ')
	dst = append(dst, q.route.url...)
	if q.route.url == "/search" {
		dst = append(dst, "?q="...)
		dst = append(dst, g.shop.profiles[g.rng.Uint64()%uint64(len(g.shop.profiles))].city...)
	}
	dst = append(dst, ` HTTP/2.0" `...)
	dst = strconv.AppendUint(dst, uint64(q.status), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, q.bytes, 10)
	dst = append(dst, ` "https://shop.example/" "`...)
	dst = append(dst, p.agent...)
	dst = append(dst, `" rt=`...)
	dst = seconds(dst, q.rt, 3)
	dst = append(dst, ` urt="`...)
	dst = seconds(dst, q.backend, 3)
	dst = append(dst, `" host=`...)
	dst = append(dst, q.service.hosts[q.host].name...)
	dst = append(dst, " city="...)
	dst = append(dst, p.city...)
	return append(dst, '\n')
}

// timings are what the apps measure, with their median in ms.
var timings = []struct {
	name   string
	median uint32
}{
	{"page_load", 1400}, {"api_call", 180}, {"first_paint", 620}, {"app_start", 900}, {"checkout_flow", 21_000}, {"image_decode", 35},
}

// timing is Zipf's law over timings.
var timing = newAlias(zipf(len(timings), 1))

// AppendTiming appends a timing as a client measured it, kind metric, as a JSON
// object and a line break. Value is in seconds.
func (g *Generator) AppendTiming(dst []byte, t time.Time) []byte {
	ns := t.UnixNano()
	sh := g.shop
	r := g.rng.Uint64()
	c := &sh.clients[sh.client.pick(g.rng.Uint64())]
	p := &sh.profiles[c.profile]
	m := timings[timing.pick(r)]
	release := sh.services[0].releases[bit(g.bad(0, int(r>>60)%len(sh.services[0].hosts), ns))]
	dst = append(dst, `{"time":"`...)
	dst = g.clock.micros(dst, ns)
	dst = append(dst, `","kind":"metric","name":"`...)
	dst = append(dst, m.name...)
	dst = append(dst, `","value":`...)
	dst = seconds(dst, sh.latency.scale(m.median, g.rng.Uint64())*1000+r&0x3FF, 6)
	dst = append(dst, `,"service":"shop-app","env":"prod","release":"`...)
	dst = append(dst, release...)
	dst = append(dst, `","city":"`...)
	dst = append(dst, p.city...)
	dst = append(dst, `","device":"`...)
	dst = append(dst, p.device...)
	dst = append(dst, `","os":"`...)
	dst = append(dst, p.os...)
	return append(dst, "\"}\n"...)
}
