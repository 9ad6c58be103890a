package gen

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// CrashForm is how exceptions are written.
type CrashForm int

// The forms.
const (
	CrashJSON    CrashForm = iota // a JSON line with the trace in stack_trace
	CrashText                     // what Logback prints: a line, and the trace below
	CrashCounted                  // counted by an agent: POST /api/v1/exceptions
)

// CrashOptions shapes exceptions. The zero value of a field means its default.
type CrashOptions struct {
	Form   CrashForm
	Faults int // that exceptions are of, the most frequent ones by Zipf's law; default 300
	Frames int // of a stack; default 50
	Bytes  int // of an exception, roughly, what the stack does not fill being a request's content; default 50,000
	Pool   int // exceptions made; default 4 for each fault
}

// countedSamples is the share of counted exceptions that come with a sample: one
// in so many.
const countedSamples = 10

// Crashes are exceptions of Java services that are sent over and over, each time
// with another time, trace id and number in its messages, so that a sender costs
// next to nothing beside the server it measures. Not safe for concurrent use.
type Crashes struct {
	body    []byte
	entries []crash
	next    int
	count   uint64 // handed out
	salt    uint64
	clock   clock
}

// crash is where the body has one exception, and what is written into it anew.
// Offsets are in the body.
type crash struct {
	start, end  int
	times       []int // RFC 3339 with microseconds
	millis      int   // in Logback's form; -1: none
	trace       int   // 32 digits; -1: none
	numbers     []int // crashNumber digits
	events      int   // that a server makes of it
	occurrences int64
}

// CrashBatch is a body of exceptions. It is valid until the pool has gone round.
type CrashBatch struct {
	Body        []byte
	Exceptions  int
	Events      int   // that a server makes of them: of counted ones samples and the rest
	Occurrences int64 // that they stand for
}

// What is replaced in an exception when it is made, and again when it is sent.
const (
	crashNumber = len("000000000000")
	markTime    = "2000-01-01T00:00:00.000000Z"
	markMillis  = "2000-01-01 00:00:00.000"
	markTrace   = "7472616365000000747261636500000f"
	markNumber  = "999999999990"
)

// NewCrashes makes the exceptions of a stream; the faults are those of the seed.
func NewCrashes(seed, stream uint64, o CrashOptions) *Crashes {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&o.Faults, 300)
	set(&o.Frames, 50)
	set(&o.Bytes, 50_000)
	set(&o.Pool, 4*o.Faults)
	rng := rand.New(rand.NewPCG(seed, 0x6372617368))
	faults := make([]javaFault, o.Faults)
	for i := range faults {
		faults[i] = newJavaFault(i, o.Frames, rng)
	}
	rng = rand.New(rand.NewPCG(seed, mix(stream)))
	often := newAlias(zipf(o.Faults, 0.8))
	c := &Crashes{salt: mix(seed ^ mix(stream))}
	for i := range o.Pool {
		f := &faults[often.pick(rng.Uint64())]
		if i < o.Faults {
			f = &faults[i] // each at least once
		}
		start := len(c.body)
		events, occurrences := c.append(f, i, &o, rng)
		e := newCrash(c.body, start)
		e.events, e.occurrences = events, occurrences
		c.entries = append(c.entries, e)
	}
	return c
}

// append adds an exception to the body and returns what it counts as.
func (c *Crashes) append(f *javaFault, i int, o *CrashOptions, rng *rand.Rand) (events int, occurrences int64) {
	release := fmt.Sprintf("%s@5.%d.0", f.service, rng.IntN(3))
	host := fmt.Sprintf("%s-%02d", f.service, 1+rng.IntN(12))
	top := f.typ + ": " + f.message + " " + markNumber
	trace := strings.ReplaceAll(f.occurrence(rng), "NUMBER", markNumber)
	quote := func(s string) []byte { return millrace.AppendJSONString(nil, s) }
	switch o.Form {
	case CrashText:
		head := fmt.Sprintf("%s [exec-%d] ERROR %s - request failed, content: ", markMillis, 1+rng.IntN(200), f.logger)
		c.body = append(c.body, head...)
		c.body = appendContent(c.body, o.Bytes-len(head)-len(top)-len(trace)-2, rng)
		c.body = fmt.Appendf(c.body, "\n%s\n%s", top, trace)
		return 1, 1
	case CrashCounted:
		events, occurrences = 1, int64(1+rng.IntN(40))
		c.body = fmt.Appendf(c.body, `{"ip":"10.3.%d.%d","sendTime":%q,"host":%q,"appCode":%q,"envName":"prod","exType":%q,"count":%d,"details":[`,
			rng.IntN(8), rng.IntN(250), markTime, host, f.service, f.typ, occurrences)
		if i%countedSamples == 0 {
			c.body = fmt.Appendf(c.body, `{"level":"ERROR","fileName":"app.log","content":%q,"timestamp":%q,"traceId":%q,"stackTrace":%s}`,
				"request failed "+markNumber, markTime, markTrace, quote(top+"\n"+trace))
			events = int(min(2, occurrences))
		}
		c.body = append(c.body, "]}\n"...)
		return events, occurrences
	}
	head := fmt.Sprintf(`{"time":%q,"trace_id":%q,"level":"error","service":%q,"env":"prod","host":%q,"release":%q,"logger":%q,"thread":"exec-%d","user":{"id":"u%d"},"message":"request failed, order %s"`,
		markTime, markTrace, f.service, host, release, f.logger, 1+rng.IntN(200), rng.IntN(100_000), markNumber)
	stack := quote(top + "\n" + trace)
	c.body = append(c.body, head...)
	if room := o.Bytes - len(head) - len(stack) - len(`,"content":"","stack_trace":}`) - 1; room > 0 {
		c.body = append(c.body, `,"content":"`...)
		c.body = appendContent(c.body, room, rng)
		c.body = append(c.body, '"')
	}
	c.body = fmt.Appendf(c.body, `,"stack_trace":%s}`+"\n", stack)
	return 1, 1
}

// appendContent appends n bytes such as a request may carry: names that repeat,
// ids and amounts that do not.
func appendContent(dst []byte, n int, rng *rand.Rand) []byte {
	end := len(dst) + n
	for len(dst) < end {
		dst = fmt.Appendf(dst, "item=%s sku=%08x-%06x qty=%d price=%d.%02d tax=0.%02d; ", crashWords[rng.IntN(len(crashWords))],
			rng.Uint32(), rng.Uint32()>>8, 1+rng.IntN(9), rng.IntN(500), rng.IntN(100), rng.IntN(25))
	}
	if n <= 0 {
		return dst
	}
	return dst[:end]
}

// newCrash finds what changes in an exception from start to the body's end.
func newCrash(body []byte, start int) crash {
	c := crash{start: start, end: len(body), millis: -1, trace: -1}
	find := func(mark string) (at []int) {
		for i := start; ; {
			n := bytes.Index(body[i:], []byte(mark))
			if n < 0 {
				return at
			}
			at = append(at, i+n)
			i += n + len(mark)
		}
	}
	c.times, c.numbers = find(markTime), find(markNumber)
	if at := find(markMillis); len(at) > 0 {
		c.millis = at[0]
	}
	if at := find(markTrace); len(at) > 0 {
		c.trace = at[0]
	}
	return c
}

// Next returns n exceptions, fewer at the pool's end, whose times lie evenly
// between from and to.
func (c *Crashes) Next(n int, from, to time.Time) CrashBatch {
	if c.next == len(c.entries) {
		c.next = 0
	}
	list := c.entries[c.next:min(len(c.entries), c.next+n)]
	c.next += len(list)
	ns, step := from.UnixNano(), int64(to.Sub(from))/int64(len(list))
	b := CrashBatch{Body: c.body[list[0].start:list[len(list)-1].end], Exceptions: len(list)}
	for i := range list {
		c.stamp(&list[i], ns)
		ns += step
		b.Events += list[i].events
		b.Occurrences += list[i].occurrences
	}
	return b
}

func (c *Crashes) stamp(e *crash, ns int64) {
	for _, at := range e.times {
		c.clock.micros(c.body[at:at], ns)
	}
	if e.millis >= 0 {
		c.clock.millis(c.body[e.millis:e.millis], ns, ' ', '.')
	}
	if e.trace >= 0 { // a bijection of a counter: never the same twice
		appendHex(c.body[e.trace:e.trace], mix(c.count))
		appendHex(c.body[e.trace+16:e.trace+16], c.salt)
	}
	for _, at := range e.numbers {
		n := c.count
		for i := at + crashNumber - 1; i >= at; i-- {
			c.body[i] = byte('0' + n%10)
			n /= 10
		}
	}
	c.count++
}
