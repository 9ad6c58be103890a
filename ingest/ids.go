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
// was lost. ids remembers the newest names that are durable.

// maxIDs is how many names are remembered, in two generations of half of it:
// 2 million of 16 bytes take about 100 MB at most.
const maxIDs = 1 << 21

type eventID [16]byte

// ids is safe for concurrent use.
type ids struct {
	mu       sync.Mutex
	new, old map[eventID]bool // true: durable; false: on its way
	limit    int              // of both; 0 is maxIDs
}

// claim is what a request did with ids. Release it when the request is over.
type claim struct {
	ids        *ids
	known      []bool // by piece; nil if no piece has an ID that is known
	duplicates int
	mine       []eventID
	done       bool
}

// claim notes the IDs of pieces as on their way. ErrConflict: one of them is on
// its way by another request, whose end the client has to wait for.
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
		durable, known := s.get(id)
		switch {
		case known && !durable && !c.has(id):
			c.giveBack()
			return nil, millrace.Errorf(millrace.ErrThrottled, "event %d is being stored by another request; send again", pieces[i].Index)
		case known:
			if c.known == nil {
				c.known = make([]bool, len(pieces))
			}
			c.known[i] = true
			c.duplicates++
		default:
			s.put(id, false)
			c.mine = append(c.mine, id)
		}
	}
	return c, nil
}

func (c *claim) has(id eventID) bool {
	for _, m := range c.mine {
		if m == id {
			return true
		}
	}
	return false
}

// stored tells that the request's events are durable.
func (c *claim) stored() {
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	for _, id := range c.mine {
		c.ids.put(id, true)
	}
	c.done = true
}

// release forgets the IDs of a request that failed.
func (c *claim) release() {
	if c.done || len(c.mine) == 0 {
		return
	}
	c.ids.mu.Lock()
	defer c.ids.mu.Unlock()
	c.giveBack()
}

func (c *claim) giveBack() {
	for _, id := range c.mine {
		delete(c.ids.new, id)
		delete(c.ids.old, id)
	}
}

func (s *ids) get(id eventID) (durable, known bool) {
	if durable, known = s.new[id]; known {
		return durable, true
	}
	durable, known = s.old[id]
	return durable, known
}

func (s *ids) put(id eventID, durable bool) {
	limit := s.limit
	if limit == 0 {
		limit = maxIDs
	}
	if s.new == nil || len(s.new) >= limit/2 {
		s.old, s.new = s.new, map[eventID]bool{}
	}
	s.new[id] = durable
}

// salted keeps the names of one project apart from those of another.
func salted(id eventID, salt uint64) eventID {
	binary.LittleEndian.PutUint64(id[:], binary.LittleEndian.Uint64(id[:])^salt)
	return id
}

// SeedIDs tells what the newest records of the queue hold. Call it before
// serving.
func (h *Handler) SeedIDs(r *millrace.Record) {
	salt := xxhash.Sum64String(r.Project)
	h.ids.mu.Lock()
	defer h.ids.mu.Unlock()
	decode.IDs(r, func(id [16]byte) { h.ids.put(salted(id, salt), true) })
}
