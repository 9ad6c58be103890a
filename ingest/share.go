package ingest

import (
	"net/netip"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/problem"
)

// The memory of requests is shared by dynamic thresholds (Choudhury and Hahne,
// Dynamic queue length thresholds for shared-memory packet switches, IEEE/ACM
// Transactions on Networking 6(2), 1998): nobody may hold more than a multiple
// of what is free. So a client that is alone gets most of it, n greedy clients
// about the same each, and something is always free for the next one, however
// many connections the others have. No list of clients has to be kept for that,
// nor does anything have to be taken back.
//
// Clients are told apart by their keys, and of one key, or without any, by their
// addresses: one address gets at most two thirds of all, one key four fifths.
// Alone in the house a single request may have it all, so that a body at the
// limits can be taken whatever the settings are.
const (
	ofAddress = 2 // times what is free
	ofKey     = 4
)

// holderID names a client: a key (its ID), or an address with the key it uses.
type holderID struct{ key, address string }

// holder is what a client has of the budget. The budget's lock guards it.
type holder struct {
	requests int
	used     int64
	claimed  int64 // by the sizes that large bodies say they have
}

// share is one request's part in what its client holds. The zero value is of no
// client, and bound by the total only. Not safe for concurrent use.
type share struct {
	mem          *budget
	id           holderID
	key, address *holder // key is nil without a key
	claimed      int64
}

// open begins a request of the client; close ends it.
func (s *share) open(mem *budget, key, address string) {
	s.mem, s.id = mem, holderID{key, network(address)}
	mem.mu.Lock()
	defer mem.mu.Unlock()
	s.address = mem.holder(s.id)
	if key != "" {
		s.key = mem.holder(holderID{key: key})
	}
}

// close must come after all was given back.
func (s *share) close() {
	if s.mem == nil {
		return
	}
	s.mem.mu.Lock()
	defer s.mem.mu.Unlock()
	s.address.claimed -= s.claimed
	s.mem.leave(s.id, s.address)
	if s.key != nil {
		s.mem.leave(holderID{key: s.id.key}, s.key)
	}
	*s = share{}
}

// network is what counts as one address: hosts have a /64 of IPv6 to themselves.
func network(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() && !a.Is4In6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr().String()
		}
	}
	if address == "" {
		return "(unknown)" // "" with a key would be the key itself
	}
	return address
}

func (b *budget) holder(id holderID) *holder {
	h := b.holders[id]
	if h == nil {
		if b.holders == nil {
			b.holders = map[holderID]*holder{}
		}
		h = &holder{}
		b.holders[id] = h
	}
	h.requests++
	return h
}

func (b *budget) leave(id holderID, h *holder) {
	if h.requests--; h.requests == 0 {
		delete(b.holders, id)
	}
}

// takeFor is take within the limits of the client. ErrThrottled.
func (b *budget) takeFor(s *share, n int64) error {
	if s.mem == nil {
		if !b.take(n) {
			return throttledMemory(b)
		}
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.take(n) {
		return throttledMemory(b)
	}
	if !b.fair(s, n) {
		b.give(n)
		return throttledShare(b)
	}
	s.address.used += n
	if s.key != nil {
		s.key.used += n
	}
	return nil
}

// fair reports whether the client may have n more, which are taken already. The
// lock is held.
func (b *budget) fair(s *share, n int64) bool {
	used := b.used.Load()
	if s.address.requests == 1 && s.address.used+n == used {
		return true // alone
	}
	free := b.limit.Load() - used
	return s.address.used+n <= ofAddress*free && (s.key == nil || s.key.used+n <= ofKey*free)
}

// giveFor gives back what takeFor took.
func (b *budget) giveFor(s *share, n int64) {
	b.give(n)
	if s.mem == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.address.used -= n
	if s.key != nil {
		s.key.used -= n
	}
}

// claim notes that a body of n bytes begins. ErrThrottled, before any of it is
// read, if the client could not have so much now, or has begun so many large ones
// that they would be cut off half-way for want of each other's memory. A claim
// takes nothing away from other clients: anybody can claim anything.
func (b *budget) claim(s *share, n int64) error {
	size := int64(1) << bufferBits(n)
	if err := b.takeFor(s, size); err != nil {
		return err
	}
	b.giveFor(s, size)
	if s.mem == nil || n <= firstBuffer {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	need := size * 3 / 2 // while it grows into its last buffer it has the one before, too
	if s.address.claimed > 0 && s.address.claimed+need > b.limit.Load()*ofAddress/(ofAddress+1) {
		return throttledShare(b)
	}
	s.claimed = need
	s.address.claimed += need
	return nil
}

func throttledMemory(mem *budget) error {
	return &problem.Throttled{After: time.Second, Err: millrace.Errorf(millrace.ErrThrottled,
		"the requests in flight use all of the %s that ingest.memory allows; send again", millrace.Bytes(mem.limit.Load()))}
}

func throttledShare(mem *budget) error {
	return &problem.Throttled{After: time.Second, Err: millrace.Errorf(millrace.ErrThrottled,
		"the requests in flight of this client use their share of the %s that ingest.memory allows; send fewer or smaller ones at a time", millrace.Bytes(mem.limit.Load()))}
}
