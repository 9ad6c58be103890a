package chtest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/millrace/millrace/internal/faultproxy"
)

// Killed in the middle of inserts, again and again: every acknowledged batch is there,
// every other is there whole or not at all, and no row is there twice.
func TestKillDuringInserts(t *testing.T) {
	const writers, size, kills = 4, 500, 6
	s := Start(t, t.TempDir())
	c := dial(t, s, "default")
	run(t, c, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	var (
		all          sync.WaitGroup
		next         atomic.Uint64
		over         = make(chan struct{})
		mu           sync.Mutex
		acknowledged = make(map[uint64]bool)
	)
	for range writers {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				batch := next.Add(1)
				if fill(c, t, "t", batch*size, (batch+1)*size) != nil {
					time.Sleep(5 * time.Millisecond) // it is restarting
					continue
				}
				mu.Lock()
				acknowledged[batch] = true
				mu.Unlock()
			}
		})
	}
	known := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		before, patience := known(), time.Now().Add(20*time.Second)
		for known() == before && time.Now().Before(patience) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Duration(rng.IntN(150)) * time.Millisecond)
		s.Kill()
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	close(over)
	all.Wait()
	there := batches(t, s, size)
	for batch := range acknowledged {
		if there[batch] == 0 {
			t.Errorf("batch %d was acknowledged and is lost", batch)
		}
	}
	t.Logf("%d batches begun, %d acknowledged, %d there", next.Load(), len(acknowledged), len(there))
	if len(acknowledged) < kills {
		t.Errorf("%d batches acknowledged: too few to tell", len(acknowledged))
	}
}

// batches returns how often each batch of size rows is in the table, and fails
// if one is there in part.
func batches(t *testing.T, s *Server, size uint64) map[uint64]uint64 {
	t.Helper()
	c := dial(t, s, "default")
	rows, err := c.Query(t.Context(), fmt.Sprintf(
		"SELECT intDiv(n, %d) AS batch, count(), uniqExact(n) FROM t GROUP BY batch", size))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	there := make(map[uint64]uint64)
	for rows.Next() {
		var batch, n, distinct uint64
		if err := rows.Scan(&batch, &n, &distinct); err != nil {
			t.Fatal(err)
		}
		if distinct != size || n%size != 0 {
			t.Errorf("batch %d has %d rows, %d of them distinct, expected %d", batch, n, distinct, size)
		}
		there[batch] = n / size
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return there
}

// What the server has done when the connection is cut at each place of an
// insert: nothing before the request is whole, all when it answers.
func TestCutInserts(t *testing.T) {
	const size = 50_000 // some packets
	s := Start(t, t.TempDir())
	p := faultproxy.Start(t, s.Addr)
	direct := dial(t, s, "default")
	run(t, direct, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	for i, f := range []struct {
		fault faultproxy.Fault
		there bool
	}{
		{faultproxy.Fault{Kind: faultproxy.BeforeRequest, Match: "INSERT+INTO+t"}, false},
		{faultproxy.Fault{Kind: faultproxy.InRequest, Match: "INSERT+INTO+t", Bytes: 100}, false},
		{faultproxy.Fault{Kind: faultproxy.InRequest, Match: "INSERT+INTO+t", Bytes: 100_000}, false},
		{faultproxy.Fault{Kind: faultproxy.BeforeAnswer, Match: "INSERT+INTO+t"}, true},
		{faultproxy.Fault{Kind: faultproxy.InAnswer, Match: "INSERT+INTO+t"}, true},
	} {
		t.Run(fmt.Sprintf("%v %d", f.fault.Kind, f.fault.Bytes), func(t *testing.T) {
			c := dial(t, s, "default", func(o *clickhouse.Options) { o.Addr = []string{p.Addr} })
			struck := p.Inject(f.fault)
			batch := uint64(i)
			if err := fill(c, t, "t", batch*size, (batch+1)*size); err == nil {
				t.Error("no error")
			}
			select {
			case <-struck:
			case <-time.After(10 * time.Second):
				t.Fatal("the fault has not struck")
			}
			time.Sleep(20 * time.Millisecond) // an insert that goes on would be seen
			if n := batches(t, s, size)[batch]; (n == 1) != f.there {
				t.Errorf("the batch is there %d times", n)
			}
			if err := c.Ping(t.Context()); err != nil {
				t.Errorf("after the cut: %v", err)
			}
		})
	}
}
