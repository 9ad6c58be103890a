package agent

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"sort"

	"github.com/millrace/millrace/decode"
)

const (
	// chunkSize is the aim for the size of a request: one record of the queue.
	chunkSize = 1 << 20
	// maxEvent is the most bytes an event may have; the server refuses more.
	maxEvent = 1 << 20
	// keepLine is how much of an overlong line is sent: above the longest line
	// any server can be configured to take (1 MiB), so that it refuses the line
	// and accounts for it, without 50 MB crossing the network for that.
	keepLine = maxEvent + 2
)

// chunk is the body of one request.
type chunk struct {
	body  []byte
	end   int64 // offset in the plain stream where it ends
	line  int64 // lines before it
	lines int64 // lines in it
}

// chunker cuts a plain stream into chunks that end where an event starts. What
// it returns depends on the stream from its start on only, not on how reads
// return it: see the package comment.
type chunker struct {
	r       *bufio.Reader
	format  string
	buf     []byte // whole lines, shortened to keepLine
	cuts    []cut  // what was left out of buf
	off     int64  // where buf begins in the stream
	line    int64  // lines before buf
	eof     bool
	size    int // aim, chunkSize but in tests
	framing decode.Framing
}

// cut says that after buf[:at] bytes of the stream are missing in buf.
type cut struct {
	at      int
	removed int64
}

func newChunker(r io.Reader, format string, off, line int64) *chunker {
	return &chunker{r: bufio.NewReaderSize(r, 256<<10), format: format, off: off, line: line, size: chunkSize}
}

// next returns the next chunk, io.EOF after the last. After another error it
// has returned all chunks that were sure to end where they did. The body is the
// caller's.
func (c *chunker) next() (*chunk, error) {
	for want := c.size; ; want *= 2 {
		if err := c.fill(want); err != nil {
			return nil, err
		}
		if len(c.buf) == 0 {
			return nil, io.EOF
		}
		end, err := c.end()
		if err != nil {
			return nil, err
		}
		if end > 0 {
			return c.take(end), nil
		}
	}
}

// end returns where the chunk ends, 0 if more must be read to know: at the start
// of an event or of a refused line that cannot change by what follows.
//
// Framing decides line by line, but for JSON: whether a line that breaks off is
// refused, or an object that goes on below, shows within maxEvent. So if a line
// was refused for its JSON, only what starts that far from the end is sure, and
// the start of what follows it. Else all starts are.
func (c *chunker) end() (int, error) {
	if c.eof {
		return len(c.buf), nil
	}
	lim := decode.Limits{MaxLine: maxEvent, MaxEvent: maxEvent}
	if err := decode.Frame(c.format, c.buf, lim, &c.framing); err != nil {
		return 0, err
	}
	sure := len(c.buf)
	if slices.ContainsFunc(c.framing.Refused, func(l decode.RefusedLine) bool { return l.Reason == decode.ReasonBadJSON }) {
		sure -= maxEvent
	}
	if end := c.startAfter(sure); end > len(bom) { // a byte order mark alone is no chunk
		return end, nil
	}
	if len(c.buf) >= 2*maxEvent+keepLine {
		// One event and blank lines, or blank lines only: no line that follows
		// can still belong to the event.
		return len(c.buf), nil
	}
	return 0, nil
}

// startAfter returns the first start of an event or a refused line behind sure,
// or else the last one; 0 if there is none.
func (c *chunker) startAfter(sure int) int {
	events, refused := c.framing.Events, c.framing.Refused
	i := sort.Search(len(events), func(i int) bool { return events[i].Start > sure })
	j := sort.Search(len(refused), func(j int) bool { return refused[j].Start > sure })
	switch {
	case i < len(events) && j < len(refused):
		return min(events[i].Start, refused[j].Start)
	case i < len(events):
		return events[i].Start
	case j < len(refused):
		return refused[j].Start
	}
	last := 0
	if i > 0 {
		last = events[i-1].Start
	}
	if j > 0 {
		last = max(last, refused[j-1].Start)
	}
	return last
}

// bom is the UTF-8 byte order mark, before which no event starts.
var bom = []byte("\xEF\xBB\xBF")

// fill reads lines until buf has at least n bytes or the stream ends.
func (c *chunker) fill(n int) error {
	for len(c.buf) < n && !c.eof {
		if err := c.readLine(); err != nil {
			return err
		}
	}
	return nil
}

// readLine appends a line, or what is left of it at the end of the stream.
func (c *chunker) readLine() error {
	start := len(c.buf)
	for {
		part, err := c.r.ReadSlice('\n')
		text := bytes.TrimSuffix(part, []byte{'\n'})
		keep := min(len(text), keepLine-(len(c.buf)-start))
		c.buf = append(c.buf, text[:keep]...)
		if removed := len(text) - keep; removed > 0 {
			c.remove(removed)
		}
		if len(text) < len(part) {
			c.buf = append(c.buf, '\n')
			return nil
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			c.eof = true
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (c *chunker) remove(n int) {
	if last := len(c.cuts) - 1; last >= 0 && c.cuts[last].at == len(c.buf) {
		c.cuts[last].removed += int64(n)
		return
	}
	c.cuts = append(c.cuts, cut{len(c.buf), int64(n)})
}

// take returns buf[:end] and keeps the rest.
func (c *chunker) take(end int) *chunk {
	out := &chunk{body: bytes.Clone(c.buf[:end]), line: c.line}
	c.off += int64(end)
	rest := 0
	for _, cut := range c.cuts {
		if cut.at < end { // the line end after it is in the chunk, or the stream's
			c.off += cut.removed
			continue
		}
		if cut.at == end && c.eof && end == len(c.buf) {
			c.off += cut.removed
			continue
		}
		c.cuts[rest] = cut
		c.cuts[rest].at -= end
		rest++
	}
	c.cuts = c.cuts[:rest]
	c.buf = append(c.buf[:0], c.buf[end:]...)
	out.lines = int64(bytes.Count(out.body, []byte{'\n'}))
	if out.body[end-1] != '\n' {
		out.lines++
	}
	c.line += out.lines
	out.end = c.off
	return out
}
