package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace"
)

// clientOf returns a client whose records go to a partition of four.
func clientOf(t *testing.T, partition int32) string {
	t.Helper()
	for i := range 1000 {
		if c := fmt.Sprint("client ", i); clientPartition(c, 4) == partition {
			return c
		}
	}
	t.Fatal("no client goes to the partition")
	return ""
}

// TestFetchesAreFair: while thousands of records of one client wait, those of others
// in other partitions come with the next fetches, however large.
func TestFetchesAreFair(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int // of the other records, incompressible
		polls int // in which they must come: one is buffered, one under way
	}{
		{"small", 1000, 4},
		{"larger than a share", 2 * fetchShare, 7}, // when it is the partition's turn
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := testOptions()
			opts.Durability = DurabilityOS
			q := openQueue(t, opts, t.TempDir())
			rng := rand.New(rand.NewPCG(1, 1))
			noise := func(n int) []byte {
				out := make([]byte, n)
				for i := range out {
					out[i] = byte(rng.Uint32())
				}
				return out
			}
			rec := func(partition int32, seq, size int) *millrace.Record {
				return &millrace.Record{
					Project: "p", Source: "s", Format: "text", Client: clientOf(t, partition), Seq: int64(seq), Parts: 1,
					Frames: []uint32{uint32(size)}, Payload: noise(size),
				}
			}
			const backlog, size = 200, 150 << 10 // 20 fetches of nothing else
			for i := range backlog {
				mustAppend(t, q, rec(2, i, size))
			}
			consumer, err := q.Consumer(lows(t, q))
			if err != nil {
				t.Fatal(err)
			}
			defer consumer.Close()
			poll := func() map[int32]int {
				recs, err := consumer.Poll(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got, left := map[int32]int{}, int32(-1)
				for i := range recs {
					p := recs[i].Record.Partition
					if got[p]++; p != 2 && left == 2 {
						t.Errorf("a record of partition %d comes behind those of the full one", p)
					}
					left = p
				}
				return got
			}
			flooded := 0
			for range 5 { // in the middle of the backlog
				flooded += poll()[2]
			}
			for p := range int32(4) {
				if p != 2 {
					mustAppend(t, q, rec(p, 0, c.size))
				}
			}
			others := 0
			for n := 1; others < 3; n++ {
				got := poll()
				others += got[0] + got[1] + got[3]
				flooded += got[2]
				if n == c.polls && others < 3 {
					t.Fatalf("%d of 3 records of other clients after %d polls, in which %d of %d of the flood came", others, n, flooded, backlog)
				}
			}
			for flooded < backlog {
				flooded += poll()[2]
			}
		})
	}
}
