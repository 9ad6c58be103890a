package rollup

import (
	"runtime"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/internal/gen"
)

// benchRecord is how many lines a record has: 1 MB, as requests do that are
// worth the name.
const benchRecord = 2500

// foldLinesLoad runs a load of JSON lines in memory, decoded by as many
// goroutines as there are cores, each of which decodes every so-manieth record,
// and folded by one in the order of the records. What the door does, splitting
// and checking lines, is not part of it.
func foldLinesLoad(tb testing.TB, r *run) outcome {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(r.cores))
	s := gen.NewStreamAt(1, benchStart, r.shop)
	line := newLines(r.cores)
	defer line.stop()
	var segment []*millrace.Record
	settle()
	for r.folded < r.events {
		n := min(benchChunk, r.drain-r.folded%r.drain)
		segment = makeRecords(s, segment, n)
		r.timed(func() {
			line.decode(segment, func(b *millrace.Batch) {
				if len(b.Events) != len(b.Record.Frames) {
					tb.Fatalf("%d of %d lines decoded", len(b.Events), len(b.Record.Frames))
				}
				r.folder.Fold(b.Record.Arrived, b.Events)
			})
		})
		r.did(n)
	}
	r.peak = peakMemory()
	return r.outcome
}

// makeRecords makes records of n lines in the memory of those before.
func makeRecords(s *gen.Stream, old []*millrace.Record, n int) []*millrace.Record {
	out := old[:0]
	for n > 0 {
		var rec *millrace.Record
		if len(out) < cap(out) {
			rec = out[:len(out)+1][len(out)]
		}
		if rec == nil {
			rec = &millrace.Record{Project: millrace.DefaultProject, Source: "bench", Format: "auto"}
		}
		part := min(n, benchRecord)
		rec.Arrived, rec.Frames, rec.Payload = s.Arrival(), rec.Frames[:0], rec.Payload[:0]
		for range part {
			before := len(rec.Payload)
			rec.Payload = s.AppendJSON(rec.Payload, 1)
			rec.Frames = append(rec.Frames, uint32(len(rec.Payload)-before))
		}
		out = append(out, rec)
		n -= part
	}
	return out
}

// lines is decoders side by side. Each has two batches: one that is folded, and
// one that it fills meanwhile.
type lines struct {
	decoders []lineDecoder
}

type lineDecoder struct {
	in   chan *millrace.Record
	out  chan *millrace.Batch
	free chan *millrace.Batch
}

func newLines(n int) *lines {
	l := &lines{}
	for range n {
		d := lineDecoder{make(chan *millrace.Record, benchChunk), make(chan *millrace.Batch, 2), make(chan *millrace.Batch, 2)}
		d.free <- &millrace.Batch{}
		d.free <- &millrace.Batch{}
		l.decoders = append(l.decoders, d)
		go d.run()
	}
	return l
}

func (d lineDecoder) run() {
	var dec decode.Decoder
	for rec := range d.in {
		b := <-d.free
		b.Reset(rec)
		dec.Decode(b)
		d.out <- b
	}
}

// decode calls fold with every record's events, in order.
func (l *lines) decode(records []*millrace.Record, fold func(*millrace.Batch)) {
	for i, rec := range records {
		l.decoders[i%len(l.decoders)].in <- rec
	}
	for i := range records {
		d := &l.decoders[i%len(l.decoders)]
		b := <-d.out
		fold(b)
		d.free <- b
	}
}

func (l *lines) stop() {
	for _, d := range l.decoders {
		close(d.in)
	}
}
