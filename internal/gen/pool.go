package gen

import (
	"time"
)

// Pool is a body of JSON lines that is sent over and over, each time with other
// times and trace ids, so that a sender costs next to nothing beside the server
// it measures and still never sends a line twice. Not safe for concurrent use.
type Pool struct {
	body  []byte
	size  int // of a line
	lines int
	next  int
	count uint64 // lines handed out
	salt  uint64
	clock clock
}

// NewPool makes n lines of stream's generator. Lines of different streams are
// distinct too. n should exceed the rows a store compresses together.
func NewPool(seed, stream uint64, n int, o Options) *Pool {
	g := NewStream(seed, stream, o)
	p := &Pool{size: g.size, salt: mix(seed ^ mix(stream))}
	at := time.Unix(0, 0)
	for p.lines < n {
		before := len(p.body)
		p.body = g.AppendJSON(p.body, at)
		if len(p.body)-before != p.size { // fields too long for the size
			p.body = p.body[:before]
			continue
		}
		p.lines++
	}
	return p
}

// LineBytes returns the length of each line with its line break.
func (p *Pool) LineBytes() int { return p.size }

// Next returns a body of n lines, fewer at the pool's end, whose times lie
// evenly between from and to. It is valid until the pool has gone round.
func (p *Pool) Next(n int, from, to time.Time) (body []byte, lines int) {
	if p.next == p.lines {
		p.next = 0
	}
	n = min(n, p.lines-p.next)
	body = p.body[p.next*p.size : (p.next+n)*p.size]
	p.next += n
	ns, step := from.UnixNano(), int64(to.Sub(from))/int64(n)
	for at := 0; at < len(body); at += p.size {
		p.clock.micros(body[at+timeAt:at+timeAt], ns)
		// A bijection of a counter: never the same twice.
		appendHex(body[at+traceAt:at+traceAt], mix(p.count))
		appendHex(body[at+traceAt+16:at+traceAt+16], p.salt)
		p.count++
		ns += step
	}
	return body, n
}
