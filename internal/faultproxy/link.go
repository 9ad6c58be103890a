package faultproxy

import (
	"net"
	"sync"
)

// link is one connection of a client with the server.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	once           sync.Once
	gone           chan struct{} // closed by cut

	mu        sync.Mutex
	answering bool // the server has begun to answer
	began     bool // there was a request
	fault     *injected
	passed    int // bytes of the present request or answer
	exchange  int64
	// seen is the part of the present request in which texts are looked for:
	// its last bytes, with the packet that arrived.
	seen []byte
}

// window is how many bytes of the previous packets are searched again with the
// next: more than any text that Match has.
const window = 1 << 10

// packet is the most that is passed on at once.
const packet = 32 << 10

func (l *link) setFault(f *injected) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = f
}

// cut resets both sides.
func (l *link) cut() {
	l.once.Do(func() {
		close(l.gone)
		reset(l.client)
		reset(l.server)
	})
}

// pump passes data on in one direction. decide says how many bytes of a packet
// go on, and whether the connection is cut after them.
func (l *link) pump(from, to net.Conn, decide func([]byte) (int, *injected)) {
	buf := make([]byte, packet)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !l.proxy.flow(l.gone) {
				return
			}
			pass, fault := decide(buf[:n])
			if pass > 0 {
				if _, werr := to.Write(buf[:pass]); werr != nil {
					l.cut()
					return
				}
			}
			if fault != nil {
				l.proxy.strike(fault)
				l.cut()
				return
			}
		}
		if err != nil {
			// The other direction may go on: a half-closed connection.
			if tcp, ok := to.(*net.TCPConn); ok {
				_ = tcp.CloseWrite() // it is gone, then
			}
			return
		}
	}
}

// request decides on a packet of the client.
func (l *link) request(data []byte) (int, *injected) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answering || !l.began {
		if l.fault != nil {
			l.proxy.giveBack(l.fault)
		}
		l.began, l.answering, l.passed = true, false, 0
		l.seen = l.seen[:0]
		l.exchange, l.fault = l.proxy.begin()
	}
	l.seen = append(l.seen, data...)
	if l.fault == nil {
		l.fault = l.proxy.take(l.exchange, l.seen)
	}
	if keep := len(l.seen) - window; keep > 0 {
		l.seen = append(l.seen[:0], l.seen[keep:]...)
	}
	if l.fault == nil {
		return len(data), nil
	}
	switch l.fault.Kind {
	case BeforeRequest:
		return 0, l.spend()
	case InRequest:
		return l.part(len(data))
	default:
		return len(data), nil
	}
}

// answer decides on a packet of the server.
func (l *link) answer(data []byte) (int, *injected) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.answering {
		l.answering, l.passed = true, 0
	}
	if l.fault == nil {
		return len(data), nil
	}
	switch l.fault.Kind {
	case BeforeAnswer:
		return 0, l.spend()
	case InAnswer:
		return l.part(len(data))
	default:
		return len(data), nil
	}
}

// part decides how much of a packet of n bytes goes on before a cut in the
// middle; at least one byte of the request or answer is kept back.
func (l *link) part(n int) (int, *injected) {
	want := l.fault.Bytes
	if want == 0 {
		want = l.passed + n/2
	}
	if l.passed+n <= want {
		l.passed += n
		return n, nil
	}
	return max(want-l.passed, 0), l.spend()
}

func (l *link) spend() *injected {
	f := l.fault
	l.fault = nil
	return f
}
