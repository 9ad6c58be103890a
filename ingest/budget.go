package ingest

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace"
)

// budget bounds the memory of all requests in flight. It never waits: whoever
// waited would hold what others wait for. See share.go for who gets it.
type budget struct {
	limit atomic.Int64
	used  atomic.Int64

	mu      sync.Mutex
	holders map[holderID]*holder // of open shares
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) <= b.limit.Load() {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// Buffers come in powers of two, so that what one request grew serves another.
const (
	minBufferBits = 16 // 64 KiB: also what an idle connection with an open body costs
	maxBufferBits = 31
)

var bufferPools [maxBufferBits + 1]sync.Pool

// bufferSize returns the size of the smallest buffer that holds n bytes.
func bufferSize(n millrace.Bytes) millrace.Bytes {
	return 1 << bufferBits(int64(n))
}

func bufferBits(n int64) int {
	return max(minBufferBits, bits.Len64(uint64(max(n, 1)-1)))
}

// getBuffer returns an empty buffer of capacity bufferSize(n).
func getBuffer(n int64) []byte {
	size := bufferBits(n)
	if p, ok := bufferPools[size].Get().(*[]byte); ok {
		return (*p)[:0]
	}
	return make([]byte, 0, 1<<size)
}

// putBuffer takes back a buffer of getBuffer.
func putBuffer(b []byte) {
	b = b[:0]
	bufferPools[bufferBits(int64(cap(b)))].Put(&b)
}
