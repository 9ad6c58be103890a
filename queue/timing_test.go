package queue

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// logLines returns n bytes of JSON log lines of 415 bytes or so, all distinct.
func logLines(n int) []byte {
	out := make([]byte, 0, n+1024)
	for i := uint64(1); len(out) < n; i++ {
		r := i * 0x9e3779b97f4a7c15
		out = fmt.Appendf(out, `{"time":"2025-11-22T02:%02d:%02d.%03dZ","host":"web-%d","method":"GET",`+
			`"url":"/api/v1/items/%d","status":%d,"bytes":%d,"rt":0.%03d,"client_ip":"10.%d.%d.%d",`+
			`"user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",`+
			`"trace_id":"%016x%016x","message":"request finished"}`+"\n",
			i/60%60, i%60, r%1000, r%13, r%10007, 200+r%7, r%65536, r>>8%1000, r>>16&255, r>>24&255, r>>32&255, r, r*r)
	}
	return out[:n]
}

// BenchmarkAppend: requests of one record from eight senders, with fsync.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, durability := range []string{DurabilityFsync, DurabilityOS} {
			b.Run(fmt.Sprintf("%s/%s", millrace.Bytes(size), durability), func(b *testing.B) {
				opts := DefaultOptions()
				opts.Durability, opts.MaxBytes = durability, 20<<30
				q := openQueue(b, opts, b.TempDir())
				text := logLines(2 << 20)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						for i := g; i < b.N; i += 8 {
							from := (i * 4099) % (len(text) - size)
							r := &millrace.Record{Source: "s", Format: "json", Frames: frames415(size), Payload: text[from : from+size]}
							mustAppend(b, q, r)
						}
					})
				}
				wg.Wait()
			})
		}
	}
}

// frames415 cuts size bytes into events of 415.
func frames415(size int) []uint32 {
	out := make([]uint32, 0, size/415+1)
	for ; size > 0; size -= 415 {
		out = append(out, uint32(min(size, 415)))
	}
	return out
}

// BenchmarkAppendLatency: one sender, one line at a time, with fsync.
func BenchmarkAppendLatency(b *testing.B) {
	q := openQueue(b, DefaultOptions(), b.TempDir())
	text := logLines(415)
	b.ReportAllocs()
	for b.Loop() {
		mustAppend(b, q, &millrace.Record{Source: "s", Format: "json", Frames: []uint32{415}, Payload: text})
	}
}

// BenchmarkPoll: from the broker's files to decoded records.
func BenchmarkPoll(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(millrace.Bytes(size).String(), func(b *testing.B) {
			opts := DefaultOptions()
			opts.Durability, opts.MaxBytes = DurabilityOS, 20<<30
			q := openQueue(b, opts, b.TempDir())
			text := logLines(2 << 20)
			for i := 0; i < b.N; {
				var recs []*millrace.Record
				for ; len(recs) < 64<<20/size && i < b.N; i++ {
					from := (i * 4099) % (len(text) - size)
					recs = append(recs, &millrace.Record{Source: "s", Frames: frames415(size), Payload: text[from : from+size]})
				}
				mustAppend(b, q, recs...)
			}
			c, err := q.Consumer(lows(b, q))
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; {
				recs, err := c.Poll(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				n += len(recs)
			}
		})
	}
}

// BenchmarkWay: processor time of a line's way through producer, broker and
// consumer, from inside and over TCP; the ratio is what counts.
func BenchmarkWay(b *testing.B) {
	const size = 1 << 20
	text := logLines(8 << 20)
	opts := DefaultOptions()
	opts.Durability, opts.MaxBytes, opts.Replication = DurabilityOS, 20<<30, 1
	inside := openQueue(b, opts, b.TempDir())
	opts.Broker, opts.Topic = inside.Addrs(), "tcp"
	outside := openQueue(b, opts, "")
	for name, q := range map[string]*Queue{"inside": inside, "tcp": outside} {
		b.Run(name, func(b *testing.B) {
			starts := map[int32]int64{}
			for p, at := range bounds(b, q) {
				starts[p] = at.High
			}
			c, err := q.Consumer(starts)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			before := cpuTime(b)
			for i, got := 0, 0; i < b.N; i++ {
				from := i * size % len(text)
				mustAppend(b, q, &millrace.Record{Source: "s", Frames: frames415(size), Payload: text[from : from+size]})
				for got <= i {
					recs, err := c.Poll(b.Context())
					if err != nil {
						b.Fatal(err)
					}
					got += len(recs)
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N)/size*415, "cpu-ns/line")
		})
	}
}

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
