// Package linecut shortens overlong lines while a stream is read, so that a
// line of any length costs no more memory than the longest line allowed.
package linecut

import "bytes"

// Cutter follows a buffer into which a stream is read piece by piece. The zero
// value with Max set is ready; Reset makes it ready again.
//
// A shortened line keeps its first Max+2 bytes and its line end: enough to be
// recognised as too long even if the last byte kept is a carriage return.
// Whether a line somewhat above Max is shortened depends on how the stream was
// cut into reads; that it stays above Max does not.
type Cutter struct {
	Max  int   // bytes of the longest line allowed, without its end
	Cuts []Cut // what was removed, ascending

	lineStart int // where in the buffer the last line begins
	dropping  bool
	dropped   int64 // of the line being dropped
}

// Cut is a place where bytes were removed.
type Cut struct {
	Line    int   // where in the buffer the line begins
	At      int   // where in the buffer the bytes are missing
	Removed int64 // how many
}

// Reset forgets the buffer and keeps memory.
func (c *Cutter) Reset() {
	c.Cuts = c.Cuts[:0]
	c.lineStart, c.dropping, c.dropped = 0, false, 0
}

// Added tells that buf grew by its last n bytes, and returns buf without the
// bytes that overlong lines have too many.
func (c *Cutter) Added(buf []byte, n int) []byte {
	old := len(buf) - n
	if c.dropping {
		i := bytes.IndexByte(buf[old:], '\n')
		if i < 0 {
			c.dropped += int64(n)
			return buf[:old]
		}
		c.dropped += int64(i)
		c.End(old)
		buf = append(buf[:old], buf[old+i:]...)
	}
	if i := bytes.LastIndexByte(buf[old:], '\n'); i >= 0 {
		c.lineStart = old + i + 1
	}
	if keep := c.lineStart + c.Max + 2; len(buf) > keep {
		c.dropping, c.dropped = true, int64(len(buf)-keep)
		return buf[:keep]
	}
	return buf
}

// End tells that the stream is at its end, where the buffer has n bytes.
func (c *Cutter) End(n int) {
	if c.dropping {
		c.Cuts = append(c.Cuts, Cut{c.lineStart, n, c.dropped})
		c.dropping, c.dropped = false, 0
	}
}

// Dropping reports whether the end of the last line is yet to come and being
// dropped: the buffer then does not grow.
func (c *Cutter) Dropping() bool { return c.dropping }

// Removed returns the bytes removed from the line that begins at start.
func (c *Cutter) Removed(start int) int64 {
	for _, cut := range c.Cuts {
		if cut.Line == start {
			return cut.Removed
		}
	}
	return 0
}
