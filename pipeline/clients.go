package pipeline

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace"
)

// WindowSize is how many sequences per client a sink remembers. A client never
// runs further ahead of its oldest unacknowledged request, so a sequence below
// the window was acknowledged before and is a duplicate.
const WindowSize = 1024

// maxParts bounds the parts of one request: a body of 64 MiB makes 64 records
// or a few more, since records are cut where events start.
const maxParts = 4096

// clientWindows is a sink's memory of which (client, sequence, part) it has
// folded. Its content is a function of the records folded so far.
type clientWindows struct {
	byClient map[string]*window
	dirty    map[string]*window
}

// window covers the sequences newest-WindowSize+1 … newest of one client.
type window struct {
	newest  int64
	done    [WindowSize]bool         // by seq % WindowSize: all parts folded
	partial map[int64]map[int32]bool // parts folded of sequences not done
}

func newClientWindows() *clientWindows {
	return &clientWindows{byClient: map[string]*window{}, dirty: map[string]*window{}}
}

// admit reports whether the record is new, and remembers it. Records without a
// client are always new.
func (c *clientWindows) admit(r *millrace.Record) bool {
	if r.Client == "" {
		return true
	}
	w := c.byClient[r.Client]
	if w == nil {
		w = &window{newest: -1, partial: map[int64]map[int32]bool{}}
		c.byClient[r.Client] = w
	}
	if !w.admit(r.Seq, r.Part, max(1, r.Parts)) {
		return false
	}
	c.dirty[r.Client] = w
	return true
}

func (w *window) admit(seq int64, part, parts int32) bool {
	if seq < 0 || seq <= w.newest-WindowSize {
		return false
	}
	w.advance(seq)
	if w.done[seq%WindowSize] || w.partial[seq][part] {
		return false
	}
	if parts == 1 {
		w.done[seq%WindowSize] = true
		return true
	}
	p := w.partial[seq]
	if p == nil {
		p = map[int32]bool{}
		w.partial[seq] = p
	}
	p[part] = true
	if len(p) == int(parts) {
		delete(w.partial, seq)
		w.done[seq%WindowSize] = true
	}
	return true
}

// advance moves the window up to seq and forgets what falls out below.
func (w *window) advance(seq int64) {
	if seq <= w.newest {
		return
	}
	if seq-w.newest >= WindowSize {
		clear(w.done[:])
	} else {
		for s := w.newest + 1; s <= seq; s++ {
			w.done[s%WindowSize] = false
		}
	}
	w.newest = seq
	for s := range w.partial {
		if s <= seq-WindowSize {
			delete(w.partial, s)
		}
	}
}

// takeDirty returns the windows changed since the last call, encoded.
func (c *clientWindows) takeDirty(now int64) []millrace.ClientWindow {
	var out []millrace.ClientWindow
	for client, w := range c.dirty {
		out = append(out, millrace.ClientWindow{Client: client, Updated: now, State: w.encode()})
	}
	clear(c.dirty)
	return out
}

// windowV1 is the first byte of an encoded window. Then follow, as uvarints,
// newest+1; a bitmap of WindowSize/8 bytes (bit seq%WindowSize, least
// significant bit first); the number of partial sequences; and for each its
// sequence, the number of its parts, and the parts.
const windowV1 = 1

func (w *window) encode() []byte {
	b := []byte{windowV1}
	b = binary.AppendUvarint(b, uint64(w.newest+1))
	for i := 0; i < WindowSize; i += 8 {
		var bits byte
		for j := range 8 {
			if w.done[i+j] {
				bits |= 1 << j
			}
		}
		b = append(b, bits)
	}
	b = binary.AppendUvarint(b, uint64(len(w.partial)))
	for seq, parts := range w.partial {
		b = binary.AppendUvarint(b, uint64(seq))
		b = binary.AppendUvarint(b, uint64(len(parts)))
		for p := range parts {
			b = binary.AppendUvarint(b, uint64(p))
		}
	}
	return b
}

func decodeWindow(b []byte) (*window, error) {
	w := &window{partial: map[int64]map[int32]bool{}}
	bad := fmt.Errorf("decode client window: %d bytes are no version %d window", len(b), windowV1)
	if len(b) < 1 || b[0] != windowV1 {
		return nil, bad
	}
	b = b[1:]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			b = nil
			return 0
		}
		b = b[n:]
		return v
	}
	w.newest = int64(next()) - 1
	if len(b) < WindowSize/8 {
		return nil, bad
	}
	for i := range w.done {
		w.done[i] = b[i/8]>>(i%8)&1 == 1
	}
	b = b[WindowSize/8:]
	for range min(next(), WindowSize) {
		seq, parts := int64(next()), map[int32]bool{}
		for range min(next(), maxParts) {
			parts[int32(next())] = true
		}
		w.partial[seq] = parts
	}
	return w, nil
}

func (c *clientWindows) load(states []millrace.ClientWindow) error {
	for _, s := range states {
		w, err := decodeWindow(s.State)
		if err != nil {
			return &millrace.Error{Code: millrace.ErrCorrupt, Op: "load client " + s.Client, Err: err}
		}
		c.byClient[s.Client] = w
	}
	return nil
}

// NewestSequences returns the newest sequence per client that a sink committed,
// from which ingest knows what to answer 409 to.
func NewestSequences(s *millrace.SinkState) (map[string]int64, error) {
	c := newClientWindows()
	if err := c.load(s.Clients); err != nil {
		return nil, err
	}
	out := make(map[string]int64, len(c.byClient))
	for client, w := range c.byClient {
		out[client] = w.newest
	}
	return out, nil
}
