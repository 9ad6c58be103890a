package ingest

import (
	"encoding/binary"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

// Protocols whose clients name their events (a Sentry event, the frame of a log
// drain, a document of _bulk) are sent again under the same name when an answer
// was lost. ids remembers the newest names that are durable, and all that are on
// their way. What that can and cannot do: docs/protocols/ids.md.

// maxIDs is how many durable names are remembered, in two generations: when the
// newer one is full it becomes the older one, which is forgotten. So between half
// and all of it are known. 2 million names take at most 100 MB, as many as a
// node has seen; they are not taken before.
const maxIDs = 1 << 21

type eventID [16]byte

// ids is safe for concurrent use.
type ids struct {
	mu       sync.Mutex
	new, old map[eventID]struct{} // durable
	// way has those on their way, by the claim that brings them. It is bounded by
	// the bodies in flight, and no generation's end removes them.
	way   map[eventID]*claim
	limit int // of new and old together; 0 is maxIDs
}

// claim is what a request did with ids. Release it when the request is over.
type claim struct {
	ids        *ids
	known      []bool // by piece; nil if no piece has an ID that is known
	duplicates int
	mine       []eventID // on their way by this request
}

// claim notes the IDs of pieces as on their way; an ID that comes twice is so by
// its first piece, the others are duplicates. ErrThrottled: one of them is on its
// way by another request, whose end the client has to wait for.
func (s *ids) claim(project string, pieces []decode.Piece) (*claim, error) {
	c := &claim{ids: s}
	salt := xxhash.Sum64String(project)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range pieces {
		if pieces[i].ID == (eventID{}) {
			continue
		}
		id := salted(pieces[i].ID, salt)
		by, under := s.way[id]
		switch {
		case under && by != c:
			c.giveBack()
			return nil, millrace.Errorf(millrace.ErrThrottled, "event %d is being stored by another request; send again", pieces[i].Index)
		case under || s.has(id):
			c.duplicate(i, len(pieces))
		default:
			if s.way == nil {
				s.way = map[eventID]*claim{}
			}
			s.way[id] = c
			c.mine = append(c.mine, id)
		}
	}
	return c, nil
}

func (c *claim) duplicate(i, of int) {
	if c.known == nil {
		c.known = make([]bool, of)
	}
	c.known[i] = true
	c.duplicates++
}

// stored tells that the request's events are durable.
func (c *claim) stored() {
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	for _, id := range c.mine {
		c.ids.put(id)
	}
	c.giveBack()
}

// release forgets the IDs of a request that failed; after stored it does nothing.
func (c *claim) release() {
	if len(c.mine) == 0 {
		return
	}
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	c.giveBack()
}

func (c *claim) giveBack() {
	for _, id := range c.mine {
		delete(c.ids.way, id)
	}
	if len(c.mine) > 1<<12 && len(c.ids.way) == 0 {
		c.ids.way = nil // a map keeps the memory of its largest moment
	}
	c.mine = nil
}

func (s *ids) has(id eventID) bool {
	if _, ok := s.new[id]; ok {
		return true
	}
	_, ok := s.old[id]
	return ok
}

func (s *ids) put(id eventID) {
	if s.new == nil || len(s.new) >= s.half() {
		s.old, s.new = s.new, map[eventID]struct{}{}
	}
	s.new[id] = struct{}{}
}

func (s *ids) half() int {
	if s.limit == 0 {
		return maxIDs / 2
	}
	return max(1, s.limit/2)
}

// salted keeps the names of one project apart from those of another.
func salted(id eventID, salt uint64) eventID {
	binary.LittleEndian.PutUint64(id[:], binary.LittleEndian.Uint64(id[:])^salt)
	return id
}

// SeedIDs tells what a record of the queue holds, the newest first, and returns
// false when no more are remembered. Call it before serving.
func (h *Handler) SeedIDs(r *millrace.Record) (more bool) { return h.ids.seed(r) }

func (s *ids) seed(r *millrace.Record) (more bool) {
	salt := xxhash.Sum64String(r.Project)
	s.mu.Lock()
	defer s.mu.Unlock()
	decode.IDs(r, func(raw [16]byte) {
		id := salted(raw, salt)
		if len(s.new) < s.half() && !s.has(id) {
			s.put(id)
		}
	})
	return len(s.new) < s.half()
}
