package meta

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// benchFlush measures Begin and Commit, what a worker does once per second and
// sink: by the client windows that a commit has (of 200 bytes), and by workers
// that do so at once, each with partitions of its own.
func benchFlush(b *testing.B, m millrace.Commits) {
	for _, clients := range []int{0, 100, 2000} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			b.ReportAllocs()
			flushes(b, m, 0, clients, b.N)
		})
	}
	for _, workers := range []int{8} {
		b.Run(fmt.Sprintf("%d workers", workers), func(b *testing.B) {
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() { flushes(b, m, int32(w+1), 0, (b.N+workers-1)/workers) })
			}
			wg.Wait()
		})
	}
}

func flushes(b *testing.B, m millrace.Commits, worker int32, clients, n int) {
	ctx := b.Context()
	c := &millrace.Commit{Sink: millrace.SinkEvents}
	var partitions []int32
	for p := range int32(4) {
		partitions = append(partitions, worker*4+p)
	}
	for i := range clients {
		c.Clients = append(c.Clients, millrace.ClientWindow{
			Client: fmt.Sprintf("client-%02d-%06d", worker, i), Updated: time.Now().UnixNano(), State: make([]byte, 200),
		})
	}
	for range n {
		f, err := m.Begin(ctx, c.Sink, partitions, "node-1")
		if err != nil {
			b.Error(err)
			return
		}
		c.Positions = nil
		for _, p := range partitions {
			c.Positions = append(c.Positions, metatest.At(p, f.ID))
		}
		if err := m.Commit(ctx, f.ID, c); err != nil {
			b.Error(err)
			return
		}
		c.From = c.Positions
	}
}

func BenchmarkSQLite(b *testing.B) {
	m, err := Open(b.Context(), filepath.Join(b.TempDir(), "meta.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = m.Close() }()
	benchFlush(b, m)
}
