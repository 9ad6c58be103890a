package transform

import "github.com/cespare/xxhash/v2"

// agentSlots is how many headers an AgentCache remembers. A site sees a few
// hundred at a time.
const agentSlots = 1024

// AgentCache remembers what headers say, for one goroutine. A hit takes under
// 100 ns and allocates nothing. It holds up to 1,024 headers of up to MaxAgent
// bytes. The zero value is ready.
type AgentCache struct {
	slots []agentSlot // by the low bits of the hash; a header is there or beside
}

type agentSlot struct {
	hash   uint64
	header []byte // owned by the slot; nil: the slot is empty
	agent  Agent
}

// Parse is ParseAgent. The result is valid until the next call; its strings are
// valid for good and refer to nothing of header.
func (c *AgentCache) Parse(header string) *Agent {
	if len(header) > MaxAgent {
		header = header[:MaxAgent]
	}
	if c.slots == nil {
		c.slots = make([]agentSlot, agentSlots)
	}
	hash := xxhash.Sum64String(header)
	at := hash % agentSlots
	for _, i := range [2]uint64{at, at ^ 1} {
		if s := &c.slots[i]; s.hash == hash && s.header != nil && string(s.header) == header {
			return &s.agent
		}
	}
	// What was there moves to the slot beside, so that two headers of one slot do
	// not drive each other out.
	s, beside := &c.slots[at], &c.slots[at^1]
	*s, *beside = *beside, *s
	s.hash = hash
	s.header = append(s.header[:0], header...)
	if s.header == nil {
		s.header = []byte{}
	}
	s.agent = ParseAgent(string(s.header)) // of a copy: versions refer to it
	return &s.agent
}
