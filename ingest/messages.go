package ingest

import (
	"bytes"
	"context"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
)

// origin is whose messages are, as far as their records tell it.
type origin struct {
	project, source, format, sender string
	key                             *millrace.Key // nil: none was needed
}

// messages collects what a listener has read, each message one event whatever
// its bytes, until it is appended. Its memory comes from the handler's budget
// and goes back when it is empty. Not safe for concurrent use.
type messages struct {
	h       *Handler
	share   share  // whose the memory is; of nobody where senders share m
	buf     []byte // the messages in order of arrival, each with a line end
	taken   int64
	list    []message
	origins []origin
	index   map[origin]int32
	last    int32 // of the message before

	frames  []uint32
	records []millrace.Record
	recs    []*millrace.Record
}

var errMessageSize = millrace.Errorf(millrace.ErrTooLarge, "a message fits no record of %s", millrace.Bytes(maxRecord))

type message struct {
	end    int // in buf; it begins where the one before ends
	origin int32
}

// messageMemory is what a message takes besides its bytes.
const messageMemory = 32

// reserve makes room for n more bytes at the end of buf. ErrThrottled.
func (m *messages) reserve(n int) error {
	if cap(m.buf)-len(m.buf) >= n {
		return nil
	}
	size := int64(1) << bufferBits(int64(len(m.buf)+n))
	more := size - int64(cap(m.buf))
	if m.buf == nil {
		more += messageMemory * 1024
	}
	if err := m.h.mem.takeFor(&m.share, more); err != nil {
		return err
	}
	m.taken += more
	old := m.buf
	m.buf = append(getBuffer(int64(len(old)+n)), old...)
	if old != nil {
		putBuffer(old)
	}
	return nil
}

// add takes a copy of a message. ErrThrottled: there is no memory for it;
// ErrTooLarge: it fits no record.
func (m *messages) add(o origin, text []byte) error {
	if !utf8.Valid(text) {
		text = fromLatin1(text)
	}
	if len(text) >= maxRecord {
		return errMessageSize
	}
	if err := m.reserve(len(text) + 1); err != nil {
		return err
	}
	m.buf = append(append(m.buf, text...), '\n')
	m.commit(o)
	return nil
}

// commit makes a message of what was written to buf since the last one.
func (m *messages) commit(o origin) {
	if len(m.origins) == 0 || m.origins[m.last] != o {
		i, known := m.index[o]
		if !known {
			if m.index == nil {
				m.index = map[origin]int32{}
			}
			i = int32(len(m.origins))
			m.index[o] = i
			m.origins = append(m.origins, o)
		}
		m.last = i
	}
	m.list = append(m.list, message{len(m.buf), m.last})
}

// size is how much has been collected.
func (m *messages) size() int { return len(m.buf) + len(m.list)*messageMemory }

func (m *messages) release() {
	if m.buf != nil {
		putBuffer(m.buf)
		m.buf = nil
	}
	m.h.mem.giveFor(&m.share, m.taken)
	m.taken = 0
	clear(m.origins)
	clear(m.index)
	clear(m.records)
	clear(m.recs)
	m.list, m.origins, m.last = m.list[:0], m.origins[:0], 0
	m.frames, m.records, m.recs = m.frames[:0], m.records[:0], m.recs[:0]
}

// append makes the messages durable. On an error they are still there, and some
// may be stored. ErrThrottled; what Append returns.
func (m *messages) append(ctx context.Context) error {
	if len(m.list) == 0 {
		return nil
	}
	if err := m.h.deps.Door(); err != nil {
		return err
	}
	if err := m.group(); err != nil {
		return err
	}
	m.build()
	if err := m.h.append(ctx, m.recs); err != nil {
		return err
	}
	m.h.metrics.events.Add(float64(len(m.list)))
	m.h.metrics.bytes.Add(float64(len(m.buf)))
	return nil
}

// admit asks the limits of the keys that the messages came with. What is above
// them is dropped, counted by refused.
func (m *messages) admit(refused func(o origin, events int64)) {
	keys := false
	for i := range m.origins {
		keys = keys || m.origins[i].key != nil
	}
	if !keys {
		return
	}
	events, size := make([]int, len(m.origins)), make([]int64, len(m.origins))
	start := 0
	for _, one := range m.list {
		events[one.origin]++
		size[one.origin] += int64(one.end - start)
		start = one.end
	}
	drop := make([]bool, len(m.origins))
	above := false
	for i, o := range m.origins {
		if o.key == nil || events[i] == 0 {
			continue
		}
		if err := m.h.deps.Limits.Admit(&auth.Principal{Key: o.key}, events[i], size[i]); err != nil {
			drop[i], above = true, true
			m.h.deps.Limits.Refused(o.key.ID, auth.ReasonOf(err), 0, int64(events[i]), size[i])
			refused(o, int64(events[i]))
		}
	}
	if above {
		m.remove(drop)
	}
}

// remove takes out the messages of some origins.
func (m *messages) remove(drop []bool) {
	list, to, start := m.list[:0], 0, 0
	for _, one := range m.list {
		from := start
		start = one.end
		if drop[one.origin] {
			continue
		}
		to += copy(m.buf[to:], m.buf[from:one.end])
		list = append(list, message{to, one.origin})
	}
	m.list, m.buf = list, m.buf[:to]
}

// group puts the messages of each origin together: a record has one. With one
// origin they are.
func (m *messages) group() error {
	if len(m.origins) < 2 {
		return nil
	}
	size := int64(1) << bufferBits(int64(len(m.buf)))
	if err := m.h.mem.takeFor(&m.share, size); err != nil {
		return err
	}
	defer m.h.mem.giveFor(&m.share, size)
	begin := make([]int, len(m.origins)+1) // of each origin's messages in order
	for _, one := range m.list {
		begin[one.origin+1]++
	}
	for i := range m.origins {
		begin[i+1] += begin[i]
	}
	order := make([]int32, len(m.list))
	for i, one := range m.list {
		order[begin[one.origin]] = int32(i)
		begin[one.origin]++
	}
	to, list := getBuffer(int64(len(m.buf))), make([]message, 0, len(m.list))
	for _, i := range order {
		start := 0
		if i > 0 {
			start = m.list[i-1].end
		}
		to = append(to, m.buf[start:m.list[i].end]...)
		list = append(list, message{len(to), m.list[i].origin})
	}
	m.buf = append(m.buf[:0], to...)
	copy(m.list, list)
	putBuffer(to)
	return nil
}

// build cuts the grouped messages into records, which borrow from m.
func (m *messages) build() {
	m.frames, m.records, m.recs = grow(m.frames, len(m.list)), m.records[:0], m.recs[:0]
	rules := make([]int64, len(m.origins))
	for i, o := range m.origins {
		rules[i] = m.h.deps.Rules(o.project, o.source)
	}
	start, from, first := 0, 0, 0
	for i, one := range m.list {
		if i > first && (one.origin != m.list[i-1].origin || one.end-from > maxRecord) {
			m.record(m.list[i-1].origin, rules, m.buf[from:start], m.frames[first:i])
			from, first = start, i
		}
		m.frames[i] = uint32(one.end - start)
		start = one.end
	}
	if start > from {
		m.record(m.list[len(m.list)-1].origin, rules, m.buf[from:start], m.frames[first:])
	}
	for i := range m.records {
		m.records[i].Part, m.records[i].Parts = int32(i), int32(len(m.records))
		m.recs = append(m.recs, &m.records[i])
	}
}

func (m *messages) record(o int32, rules []int64, payload []byte, frames []uint32) {
	origin := &m.origins[o]
	m.records = append(m.records, millrace.Record{
		Project: origin.project, Source: origin.source, Format: origin.format, Sender: origin.sender,
		Rules: rules[o], Payload: payload[:len(payload):len(payload)], Frames: frames[:len(frames):len(frames)],
	})
}

// fromLatin1 returns text with every byte that is no UTF-8 as the letter that
// ISO 8859-1 has for it: what old devices send. Nothing is lost.
func fromLatin1(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/4)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 {
			r = rune(text[0])
		}
		out = utf8.AppendRune(out, r)
		text = text[n:]
	}
	return out
}

// trimMessage removes what ends a message beside its text: line ends, and the
// NUL that some put there (RFC 6587, 3.4.2).
func trimMessage(b []byte) []byte {
	b = bytes.TrimRight(b, "\r\n\x00")
	return bytes.TrimPrefix(b, []byte("\xEF\xBB\xBF"))
}

// Waiting for the queue: soon again at first, less often later.
const (
	retryFirst = 20 * time.Millisecond
	retryMost  = time.Second
)

// retry calls do until it does not fail with what passes: pressure, an
// unreachable queue. What it returns last after ctx ended.
func retry(ctx context.Context, do func() error) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		err := do()
		switch millrace.ErrorCode(err) {
		case millrace.ErrThrottled, millrace.ErrUnavailable, millrace.ErrTimeout:
		default:
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
