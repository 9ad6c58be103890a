package ingest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

func idOf(n uint64) (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], n+1)
	return id
}

func piecesOf(names ...uint64) []decode.Piece {
	pieces := make([]decode.Piece, len(names))
	for i, n := range names {
		pieces[i] = decode.Piece{Index: i + 1, ID: idOf(n)}
	}
	return pieces
}

// idsOracle knows every name that was ever durable, in order, and who brings what.
type idsOracle struct {
	age map[uint64]int // when it became durable, by count
	now int
	way map[uint64]*claim
}

// check compares what claim said of names with what it had to say.
func (o *idsOracle) check(t *testing.T, names []uint64, c *claim, err error, limit int) {
	t.Helper()
	conflict := false
	for _, n := range names {
		conflict = conflict || o.way[n] != nil
	}
	if conflict != (err != nil) {
		t.Fatalf("claim of %v: %v, conflict %v", names, err, conflict)
	}
	if err != nil {
		if millrace.ErrorCode(err) != millrace.ErrThrottled {
			t.Fatal(err)
		}
		return
	}
	duplicates, first := 0, map[uint64]bool{}
	for i, n := range names {
		got := c.known != nil && c.known[i]
		age, ever := o.age[n]
		switch {
		case first[n] && !got, ever && o.now-age <= limit/2-1 && !got:
			t.Fatalf("name %d of %v is not known, stored %d names ago", n, names, o.now-age)
		case !first[n] && !ever && got:
			t.Fatalf("name %d of %v is known, and was never stored", n, names)
		}
		first[n] = true
		if got {
			duplicates++
		} else {
			o.way[n] = c
		}
	}
	if duplicates != c.duplicates {
		t.Fatalf("%d duplicates, counted %d", c.duplicates, duplicates)
	}
}

func (o *idsOracle) end(c *claim, stored bool) {
	for n, by := range o.way {
		if by == c {
			delete(o.way, n)
			if stored {
				o.age[n] = o.now
				o.now++
			}
		}
	}
}

// A name is known while it is among the newest that are durable, and never if it
// is not; who brings it alone may bring it, however many others come meanwhile.
func TestIDsOracle(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		limit := 2 + rng.IntN(200)
		s := ids{limit: limit}
		o := idsOracle{age: map[uint64]int{}, way: map[uint64]*claim{}}
		var open []*claim
		for range 2000 {
			if len(open) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(open))
				c := open[i]
				open = append(open[:i], open[i+1:]...)
				stored := rng.IntN(4) > 0
				// The order in which a claim's names become durable does not matter
				// to the oracle but for those at the border, so they are few.
				o.end(c, stored)
				if stored {
					c.stored()
				}
				c.release()
				continue
			}
			names := make([]uint64, 1+rng.IntN(1+limit/20))
			for i := range names {
				names[i] = rng.Uint64N(uint64(3 * limit))
			}
			c, err := s.claim("p", piecesOf(names...))
			o.check(t, names, c, err, limit-2*(1+limit/20))
			if err == nil {
				open = append(open, c)
			}
			if n := len(s.new) + len(s.old); n > limit {
				t.Fatalf("%d names are remembered, the limit is %d", n, limit)
			}
			if len(s.way) != len(o.way) {
				t.Fatalf("%d names on their way, want %d", len(s.way), len(o.way))
			}
		}
	}
}

// Projects do not see each other's names, and events without a name are never
// known.
func TestIDsApart(t *testing.T) {
	var s ids
	for _, project := range []string{"a", "b"} {
		c, err := s.claim(project, append(piecesOf(1, 2), decode.Piece{}, decode.Piece{}))
		if err != nil || c.duplicates != 0 {
			t.Fatal(project, c, err)
		}
		c.stored()
		c.release()
	}
	c, err := s.claim("a", append(piecesOf(1), decode.Piece{}))
	if err != nil || c.duplicates != 1 || !c.known[0] || c.known[1] {
		t.Fatal(c, err)
	}
}

// A bulk of one name over and over takes no more than one of as many names.
func TestIDsManyRepeats(t *testing.T) {
	const n = 400_000
	pieces := make([]decode.Piece, n)
	for i := range pieces {
		pieces[i].ID = idOf(uint64(i % (n / 2)))
	}
	var s ids
	begun := time.Now()
	c, err := s.claim("p", pieces)
	if err != nil || c.duplicates != n/2 {
		t.Fatal(c.duplicates, err)
	}
	c.stored()
	if took := time.Since(begun); took > 20*time.Second {
		t.Fatalf("%d names with repeats took %v", n, took)
	}
}

// Of many requests at once with the same names each name gets through once.
func TestIDsConcurrent(t *testing.T) {
	s := ids{limit: 10000}
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := 0; n < 500; {
				c, err := s.claim("p", piecesOf(uint64(n), uint64(n)+1))
				if err != nil {
					continue
				}
				mu.Lock()
				for i := range 2 {
					if c.known == nil || !c.known[i] {
						got[n+i]++
					}
				}
				mu.Unlock()
				c.stored()
				c.release()
				n += 2
			}
		})
	}
	wg.Wait()
	for n := range 500 {
		if got[n] != 1 {
			t.Fatalf("name %d got through %d times", n, got[n])
		}
	}
}

// The names of records count, the newest first, until half of what is remembered
// is full.
func TestIDsSeed(t *testing.T) {
	record := func(frame string) *millrace.Record {
		extra := fmt.Appendf(nil, `{"drain_token":"d.1","frame_id":%q}`, frame)
		var p decode.Pieces
		line := "40 <190>1 2026-01-02T03:04:05Z host app w -"
		if err := decode.Split("logplex", extra, []byte(line+line), decode.Limits{}, &p); err != nil || len(p.Events) != 2 {
			t.Fatal(err, p)
		}
		r := &millrace.Record{Project: "p", Format: "logplex"}
		for i := range p.Events {
			n := len(r.Payload)
			r.Payload = decode.AppendPiece(r.Payload, 0, &p.Events[i])
			r.Frames = append(r.Frames, uint32(len(r.Payload)-n))
		}
		return r
	}
	s := ids{limit: 8}
	for i, want := range []bool{true, false, false} { // two names each, room for four
		if more := s.seed(record(fmt.Sprint("frame", i))); more != want {
			t.Fatalf("record %d: more %v", i, more)
		}
	}
	for i, want := range []int{2, 2, 0} {
		var p decode.Pieces
		extra := fmt.Appendf(nil, `{"drain_token":"d.1","frame_id":"frame%d"}`, i)
		line := "40 <190>1 2026-01-02T03:04:05Z host app w -"
		if err := decode.Split("logplex", extra, []byte(line+line), decode.Limits{}, &p); err != nil {
			t.Fatal(err)
		}
		c, err := s.claim("p", p.Events)
		if err != nil || c.duplicates != want {
			t.Fatalf("frame %d: %d known, want %d; %v", i, c.duplicates, want, err)
		}
		c.release()
	}
}
