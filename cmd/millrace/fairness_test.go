package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// crowd is who is connected to a server: one greedy client, with one connection
// or many and the largest bodies, senders that trickle, some that are dead, and
// the others, who do nothing wrong.
type crowd struct {
	greedy, slow, dead, others int
	pause                      time.Duration // of a greedy connection after a body
	grace                      time.Duration // ingest.slow_grace
	calibrate, measure         time.Duration
	p99                        time.Duration // most of the others'
}

// TestFairness: with a thousand connections, of which one is greedy, 100 are slow
// and 50 dead, the others, at half of what the server takes from them, are
// answered within half a second in 99 of 100 cases and not refused; who is slow or
// dead is cut off, and memory stays below its bounds. Generator and server share
// the machine. Without MILLRACE_SOAK a smaller crowd comes for two seconds, on a
// machine that has other things to do.
func TestFairness(t *testing.T) {
	c := crowd{1, 20, 10, 169, 0, time.Second, time.Second, 2 * time.Second, 5 * time.Second}
	if os.Getenv("MILLRACE_SOAK") != "" {
		c = crowd{1, 100, 50, 849, 0, 15 * time.Second, 3 * time.Second, 20 * time.Second, 500 * time.Millisecond}
	} else if testing.Short() {
		t.Skip("takes seconds")
	}
	if bad := c.meet(t); bad.taken+bad.refused == 0 {
		t.Error("the greedy client was no test")
	}
}

// TestFairnessManyGreedy is TestFairness with a client that sends the largest
// bodies on 200 of the thousand connections. It has what the others leave it of
// the machine, so they wait longer, but bounded.
func TestFairnessManyGreedy(t *testing.T) {
	c := crowd{40, 20, 10, 130, 50 * time.Millisecond, time.Second, time.Second, 2 * time.Second, 5 * time.Second}
	if os.Getenv("MILLRACE_SOAK") != "" {
		c = crowd{200, 100, 50, 650, 50 * time.Millisecond, 15 * time.Second, 3 * time.Second, 20 * time.Second, 2 * time.Second}
	} else if testing.Short() {
		t.Skip("takes seconds")
	}
	if bad := c.meet(t); bad.refused == 0 {
		t.Error("the greedy client was no test")
	}
}

// meet lets the crowd come to a new server, and fails the test for what is
// promised of any crowd.
func (c crowd) meet(t *testing.T) *disturbance {
	in := spawn(t, t.TempDir(), fmt.Sprintf("auth: {require: always}\ningest: {slow_grace: %s}\n", c.grace), "")
	g := &guarded{instance: in, token: localKey(t, in.data, millrace.ScopeAdmin)}
	mine, theirs := localKey(t, in.data, millrace.ScopeIngest), localKey(t, in.data, millrace.ScopeIngest)
	f := &fairness{t: t, addr: strings.TrimPrefix(in.url, "http://"), crowd: c, body: fairBody()}
	f.connect(mine)
	defer f.close()
	most := f.run(0, c.calibrate)
	t.Logf("alone %d connections send %.0f events/s, %.0f requests/s", c.others, most.rate(), most.rate()/fairLines)
	f.settle(g) // half load is a state, not what remains to be done of full load
	f.run(most.rate()/2, c.calibrate).log(t, "alone")
	f.settle(g)
	stop := f.disturb(theirs, g)
	quiet := f.run(most.rate()/2, c.measure)
	bad := stop()
	quiet.log(t, fmt.Sprintf("beside the others of %d connections", c.greedy+c.slow+c.dead+c.others))
	peak := peakMemory(t, in.cmd.Process.Pid)
	t.Logf("the greedy client: %d bodies of %v taken, %d refused; request memory at most %v; resident at most %v",
		bad.taken, millrace.Bytes(greedyBody), bad.refused, millrace.Bytes(bad.memory), millrace.Bytes(peak))
	t.Logf("cut off: %d slow ones, the last after %v; %d dead ones, the last after %v", bad.slow.n, bad.slow.longest, bad.dead.n, bad.dead.longest)
	if p := timeQuantile(quiet.times, .99); p > c.p99 {
		t.Errorf("p99 %v, at most %v", p, c.p99)
	}
	if quiet.refused > 0 {
		t.Errorf("%d requests of the others were refused", quiet.refused)
	}
	if bad.memory > 256<<20 || peak > 1536<<20 {
		t.Errorf("%v of requests in memory, %v resident", millrace.Bytes(bad.memory), millrace.Bytes(peak))
	}
	bad.slow.check(t, "slow", c.slow, c.grace, c.measure)
	bad.dead.check(t, "dead", c.dead, 10*time.Second, c.measure) // ReadHeaderTimeout
	return bad
}

// settle waits until the sinks have committed all that was sent.
func (f *fairness) settle(g *guarded) {
	for range 300 {
		if metric(g, "millrace_sink_lag_records") == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.t.Error("the sinks do not catch up")
}

// localKey creates a key beside the server, as keys create --data does.
func localKey(t *testing.T, dir string, scope millrace.Scope) (secret string) {
	t.Helper()
	err := withMeta(t.Context(), dir, func(m millrace.Meta) error {
		var key *millrace.Key
		var err error
		if secret, key, err = auth.NewKey("test", millrace.DefaultProject, scope, time.Now()); err != nil {
			return err
		}
		return m.CreateKey(t.Context(), key)
	})
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// fairLines is how many events a request of the others has: what an application
// gathers in a moment, 6 KB.
const fairLines = 20

// fairBody is such a request's body: access lines as JSON of about 300 bytes.
func fairBody() string {
	var b strings.Builder
	for i := range fairLines {
		fmt.Fprintf(&b, `{"time":"2026-11-22T12:00:00Z","method":"GET","url":"/shop/%d","status":200,"rt":0.0%02d,"bytes":%d,"client_ip":"192.0.2.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36","referer":"https://shop.example.com/catalogue/%d"}`+"\n", i, i, 1000+i, i, i)
	}
	return b.String()
}

type fairness struct {
	t     *testing.T
	addr  string
	crowd crowd
	body  string
	conns []*fairConn
}

// fairConn costs the generator little: it shares the machine with the server.
type fairConn struct {
	net.Conn
	r   *bufio.Reader
	req []byte // of all connections
}

// dial connects from an address of its own: all of 127.0.0.0/8 is this machine.
func (f *fairness) dial(from string) net.Conn {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c, err := d.DialContext(context.Background(), "tcp", f.addr)
	if err != nil {
		f.t.Error(err)
		return nil
	}
	return c
}

func (f *fairness) connect(key string) {
	req := fmt.Appendf(nil, "POST /ingest?source=others&format=json HTTP/1.1\r\nHost: %s\r\nX-Millrace-Key: %s\r\nContent-Length: %d\r\n\r\n%s",
		f.addr, key, len(f.body), f.body)
	for i := range f.crowd.others {
		if c := f.dial(fmt.Sprintf("127.1.%d.%d", i/200, 1+i%200)); c != nil {
			f.conns = append(f.conns, &fairConn{c, bufio.NewReaderSize(c, 1<<10), req})
		}
	}
	if f.t.Failed() {
		f.t.FailNow()
	}
}

func (f *fairness) close() {
	for _, c := range f.conns {
		_ = c.Close()
	}
}

// send returns the status of a request.
func (c *fairConn) send() (status int, err error) {
	if _, err = c.Write(c.req); err != nil {
		return 0, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		if first {
			status, err = strconv.Atoi(string(line[len("HTTP/1.1 "):][:3]))
		} else if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(v))
		}
		if err != nil {
			return 0, err
		}
	}
	_, err = c.r.Discard(length)
	return status, err
}

// outcome is how the others fared.
type outcome struct {
	times   []time.Duration // of requests that were taken, from when they were sent
	whole   []time.Duration // of these from when they were due
	late    []time.Duration // from due to sent, of the generator's own doing
	refused int
	took    time.Duration
}

func (o *outcome) rate() float64 { return float64(len(o.times)*fairLines) / o.took.Seconds() }

func (o *outcome) log(t *testing.T, where string) {
	p := func(of []time.Duration, q float64) time.Duration {
		return timeQuantile(of, q).Round(100 * time.Microsecond)
	}
	t.Logf("%s at %.0f events/s: p50 %v, p90 %v, p99 %v, longest %v; p99 from when due %v; generator late p99 %v; %d requests, %d refused",
		where, o.rate(), p(o.times, .5), p(o.times, .9), p(o.times, .99), p(o.times, 1), p(o.whole, .99), p(o.late, .99), len(o.times), o.refused)
}

func timeQuantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return time.Hour
	}
	slices.Sort(of)
	return of[min(len(of)-1, int(q*float64(len(of))))]
}

// run lets all others send at a rate (events per second) together, spread
// evenly; 0 is as fast as they can. A request that is late does not delay when
// the next one is due.
func (f *fairness) run(rate float64, d time.Duration) *outcome {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var interval time.Duration
	if rate > 0 {
		interval = time.Duration(float64(len(f.conns)*fairLines) / rate * float64(time.Second))
	}
	o := &outcome{}
	begin := time.Now()
	for i, c := range f.conns {
		wg.Go(func() {
			due := begin.Add(interval * time.Duration(i) / time.Duration(len(f.conns)))
			one := c.keepSending(due, interval, begin.Add(d), f.t)
			mu.Lock()
			defer mu.Unlock()
			o.times, o.whole, o.late = append(o.times, one.times...), append(o.whole, one.whole...), append(o.late, one.late...)
			o.refused += one.refused
		})
	}
	wg.Wait()
	o.took = time.Since(begin)
	return o
}

// keepSending is run for one of them.
func (c *fairConn) keepSending(due time.Time, interval time.Duration, end time.Time, t *testing.T) (o outcome) {
	for now := time.Now(); now.Before(end); {
		if interval == 0 {
			due = now
		}
		if now.Before(due) {
			time.Sleep(time.Until(due))
			now = time.Now()
			o.late = append(o.late, now.Sub(due))
		}
		code, err := c.send()
		answered := time.Now()
		switch {
		case err != nil:
			t.Errorf("one of the others: %v", err)
			return o
		case code == http.StatusOK:
			o.times, o.whole = append(o.times, answered.Sub(now)), append(o.whole, answered.Sub(due))
		default:
			o.refused++
		}
		now, due = answered, due.Add(interval)
	}
	return o
}

// disturbance is what the others got.
type disturbance struct {
	taken, refused int64
	memory         int64
	slow, dead     cuts
}

// cuts is what the server did to connections that bring nothing.
type cuts struct {
	mu      sync.Mutex
	n       int
	longest time.Duration // until a connection was closed
}

func (c *cuts) add(lived time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.longest = max(c.longest, lived)
}

// check fails the test unless all of the clients were cut off in time, if there was time.
func (c *cuts) check(t *testing.T, what string, clients int, limit, measured time.Duration) {
	if limit += 3 * time.Second; c.longest > limit {
		t.Errorf("one of the %s ones was cut off after %v, at most %v", what, c.longest, limit)
	}
	if measured > limit && c.n < clients {
		t.Errorf("%d of %d %s ones were cut off", c.n, clients, what)
	}
}

const greedyBody = 60 << 20

// disturb lets the greedy client, the slow and the dead ones begin, until the
// function is called that it returns.
func (f *fairness) disturb(key string, g *guarded) (stop func() *disturbance) {
	var wg sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	var taken, refused atomic.Int64
	d := &disturbance{}
	chunk := []byte(strings.Repeat(f.body, 10)) // about 64 KiB: an answer is noticed soon
	for range f.crowd.greedy {
		wg.Go(func() { f.greed(over, key, chunk, &taken, &refused) })
	}
	for i := range f.crowd.slow {
		wg.Go(func() { f.trickle(over, key, fmt.Sprintf("127.2.0.%d", 1+i), &d.slow) })
	}
	for i := range f.crowd.dead {
		wg.Go(func() { f.hang(over, fmt.Sprintf("127.3.0.%d", 1+i), &d.dead) })
	}
	wg.Go(func() {
		for over.Err() == nil {
			d.memory = max(d.memory, int64(metric(g, "millrace_ingest_memory_bytes")))
			time.Sleep(100 * time.Millisecond)
		}
	})
	time.Sleep(500 * time.Millisecond) // all have begun
	return func() *disturbance {
		end()
		wg.Wait()
		d.taken, d.refused = taken.Load(), refused.Load()
		return d
	}
}

// greed sends the largest bodies back to back, all from one address; after a
// refusal on a new connection.
func (f *fairness) greed(over context.Context, key string, chunk []byte, taken, refused *atomic.Int64) {
	head := fmt.Appendf(nil, "POST /ingest?source=greedy&format=json HTTP/1.1\r\nHost: h\r\nX-Millrace-Key: %s\r\nContent-Length: %d\r\n\r\n", key, greedyBody/len(chunk)*len(chunk))
	for over.Err() == nil {
		c := f.dial("127.9.9.9")
		if c == nil {
			return
		}
		unhook := context.AfterFunc(over, func() { _ = c.Close() })
		answers := bufio.NewReader(c)
		for status := http.StatusOK; status == http.StatusOK; {
			switch status = greedyRequest(c, answers, head, chunk); status {
			case http.StatusOK:
				taken.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
			time.Sleep(f.crowd.pause)
		}
		unhook()
		_ = c.Close()
	}
}

// greedyRequest returns the status of a request, 0 without one. It stops sending
// when it is answered.
func greedyRequest(c net.Conn, answers *bufio.Reader, head, chunk []byte) int {
	if _, err := c.Write(head); err != nil {
		return 0
	}
	answered := make(chan int, 1)
	go func() {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			answered <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		answered <- resp.StatusCode
	}()
	for range greedyBody / len(chunk) {
		if _, err := c.Write(chunk); err != nil || len(answered) > 0 {
			break
		}
	}
	return <-answered
}

// trickle sends a body byte by byte, and again when the server has had enough.
func (f *fairness) trickle(over context.Context, key, from string, cut *cuts) {
	for over.Err() == nil {
		c := f.dial(from)
		if c == nil {
			return
		}
		begun := time.Now()
		_, err := fmt.Fprintf(c, "POST /ingest?source=slow HTTP/1.1\r\nHost: h\r\nX-Millrace-Key: %s\r\nContent-Length: 1000000\r\n\r\n", key)
		for err == nil && over.Err() == nil {
			_, err = c.Write([]byte("x"))
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			cut.add(time.Since(begun))
		}
		_ = c.Close()
	}
}

// hang connects and dies in the middle of a header, and again when the server
// has had enough.
func (f *fairness) hang(over context.Context, from string, cut *cuts) {
	for over.Err() == nil {
		c := f.dial(from)
		if c == nil {
			return
		}
		begun := time.Now()
		unhook := context.AfterFunc(over, func() { _ = c.Close() })
		_, _ = io.WriteString(c, "POST /ingest HTTP/1.1\r\nHost: ")
		_, _ = io.Copy(io.Discard, c)
		if over.Err() == nil {
			cut.add(time.Since(begun))
		}
		unhook()
		_ = c.Close()
	}
}

// metric asks the server for the sum of a metric, -1 if there is none.
func metric(g *guarded, name string) float64 {
	r, err := http.NewRequest(http.MethodGet, g.url+"/metrics", nil)
	if err != nil {
		return -1
	}
	r.Header = g.admin()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return -1
	}
	defer func() { _ = resp.Body.Close() }()
	sum, found := 0.0, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || labels[0] != ' ' && labels[0] != '{' {
			continue
		}
		n, _ := strconv.ParseFloat(labels[strings.LastIndexByte(labels, ' ')+1:], 64)
		sum, found = sum+n, true
	}
	if !found {
		return -1
	}
	return sum
}
