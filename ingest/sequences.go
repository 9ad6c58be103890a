package ingest

import (
	"container/list"
	"sync"

	"github.com/millrace/millrace"
)

const (
	// window is how many sequences per client the pipeline remembers. What is
	// older would be dropped there as a duplicate, whether it is one or not:
	// hence it is refused here.
	window = 1024
	// maxClients bounds the memory of this check, to about 10 MB. A client that
	// was forgotten is only checked less.
	maxClients = 65536
)

// sequences knows the newest sequence of each client and what is under way.
type sequences struct {
	mu       sync.Mutex
	byClient map[string]*list.Element
	recent   list.List // of *clientSeq, most recently used first
}

type clientSeq struct {
	client   string
	newest   int64   // -1: none
	inFlight []int64 // few: clients keep a handful of requests open
}

// admit checks a request's sequence and returns what to call when the request
// is over, whatever became of it. ErrConflict: the sequence is too old, or so
// new that the pipeline would forget one that is still under way.
func (s *sequences) admit(client string, seq int64) (release func(), err error) {
	if client == "" {
		return func() {}, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.get(client)
	if seq <= c.newest-window {
		return nil, millrace.Errorf(millrace.ErrConflict,
			"X-Millrace-Seq %d is older than the last %d of this client, whose newest is %d; whether it was stored is no longer known",
			seq, window, c.newest)
	}
	for _, open := range c.inFlight {
		if seq-open >= window {
			return nil, millrace.Errorf(millrace.ErrConflict,
				"X-Millrace-Seq %d runs %d or more ahead of request %d, which is not answered yet", seq, window, open)
		}
	}
	c.inFlight = append(c.inFlight, seq)
	return func() { s.release(c, seq) }, nil
}

// get returns the client's entry, the most recent one from now on.
func (s *sequences) get(client string) *clientSeq {
	if e := s.byClient[client]; e != nil {
		s.recent.MoveToFront(e)
		return e.Value.(*clientSeq)
	}
	if s.byClient == nil {
		s.byClient = map[string]*list.Element{}
	}
	for e := s.recent.Back(); e != nil && len(s.byClient) >= maxClients; {
		old := e
		e = e.Prev()
		if c := old.Value.(*clientSeq); len(c.inFlight) == 0 {
			s.recent.Remove(old)
			delete(s.byClient, c.client)
		}
	}
	c := &clientSeq{client: client, newest: -1}
	s.byClient[client] = s.recent.PushFront(c)
	return c
}

// release ends a request. Its sequence counts as seen even if it failed: part
// of it may be in the queue.
func (s *sequences) release(c *clientSeq, seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.newest = max(c.newest, seq)
	for i, open := range c.inFlight {
		if open == seq {
			c.inFlight = append(c.inFlight[:i], c.inFlight[i+1:]...)
			return
		}
	}
}

func (s *sequences) seed(newest map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for client, seq := range newest {
		c := s.get(client)
		c.newest = max(c.newest, seq)
	}
}
