package query

import (
	"context"
	"strconv"
	"sync"

	"github.com/millrace/millrace"
)

// versioned is a Store that tells when answers about cells may differ from those
// before: never while the version stays. What is committed is in the version, at the
// latest, when the write returns.
type versioned interface{ CellsVersion() uint64 }

// answers keeps what a Store answered since its version changed, so that who asks
// several times a second, or for the next page, does not make it read again. What is
// kept is never changed. Safe for concurrent use.
type answers struct {
	mu      sync.Mutex
	version uint64
	bytes   int
	kept    map[string]any
}

// maxAnswers bounds what is kept, in bytes.
const maxAnswers = 16 << 20

func (a *answers) get(version uint64, key string) any {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.version != version {
		return nil
	}
	return a.kept[key]
}

// put keeps an answer that was read when the version was that one, or later.
func (a *answers) put(version uint64, key string, answer any, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.version > version {
		return
	}
	if bytes += len(key); a.version < version || a.bytes+bytes > maxAnswers || a.kept == nil {
		a.version, a.bytes, a.kept = version, 0, map[string]any{}
	}
	if bytes <= maxAnswers/2 {
		a.bytes, a.kept[key] = a.bytes+bytes, answer
	}
}

// recall returns the answer to a question, asked anew if it is not known to be the same.
// Errors are not kept.
func recall[T any](s *Service, key func() []byte, read func() (T, error), size func(T) int) (T, error) {
	v, ok := s.deps.Store.(versioned)
	if !ok {
		return read()
	}
	version, k := v.CellsVersion(), string(key()) // the version before the read
	if have, ok := s.answers.get(version, k).(T); ok {
		return have, nil
	}
	out, err := read()
	if err == nil {
		s.answers.put(version, k, out, size(out))
	}
	return out, err
}

// cells is Store.Cells.
func (s *Service) cells(ctx context.Context, q *millrace.CellQuery) (*millrace.CellBatch, error) {
	return recall(s, func() []byte { return cellKey(q) },
		func() (*millrace.CellBatch, error) { return s.deps.Store.Cells(ctx, *q) }, batchBytes)
}

// coverage returns what the Store tells of its cells in a range, and as far around
// it as it may be widened.
func (s *Service) coverage(ctx context.Context, rollup string, from, to int64) (*millrace.Coverage, error) {
	const day = int64(millrace.Day)
	from, to = from-day, to+day
	return recall(s, func() []byte {
		return appendInts(strconv.AppendQuote([]byte("coverage "), rollup), from, to)
	}, func() (*millrace.Coverage, error) { return s.deps.Store.Coverage(ctx, rollup, from, to) }, func(c *millrace.Coverage) int {
		return 1024 + 128*len(c.Sets) + 128*len(c.Metrics) + 16*(len(c.NoHours)+len(c.NoMinutes))
	})
}

// countCells is Store.CountCells.
func (s *Service) countCells(ctx context.Context, rollup string, parts []millrace.CellPart) ([]int64, error) {
	return recall(s, func() []byte {
		return appendParts(strconv.AppendQuote([]byte("count "), rollup), parts)
	}, func() ([]int64, error) { return s.deps.Store.CountCells(ctx, rollup, parts) }, func(n []int64) int { return 8 * len(n) })
}

// batchBytes is about what a batch takes.
func batchBytes(b *millrace.CellBatch) int {
	n := 256 + 8*len(b.Bucket)
	for _, column := range b.Dims {
		for _, v := range column {
			n += 16 + len(v)
		}
	}
	for i := range b.States {
		st := &b.States[i]
		n += 8*len(st.Ints) + 8*len(st.Floats)
		for _, blob := range st.Blobs {
			n += 24 + len(blob)
		}
	}
	return n
}

// cellKey tells questions apart: equal ones alone have equal keys.
func cellKey(q *millrace.CellQuery) []byte {
	b := strconv.AppendQuote([]byte("cells "), q.Rollup)
	b = appendInts(b, q.From, q.To, q.Step, int64(len(q.Steps)))
	for _, r := range q.Steps {
		b = appendInts(b, r.From, r.Width)
	}
	b = appendList(b, q.By)
	b = appendList(b, q.States)
	return appendFilter(appendParts(b, q.Pieces()), q.Where)
}

func appendParts(b []byte, parts []millrace.CellPart) []byte {
	b = appendInts(b, int64(len(parts)))
	for i := range parts {
		p := &parts[i]
		b = appendInts(appendList(b, p.Set.Dims), int64(p.Granularity), int64(len(p.Spans)))
		for _, s := range p.Spans {
			b = appendInts(b, s.From, s.To)
		}
	}
	return b
}

func appendFilter(b []byte, f *millrace.Filter) []byte {
	if f == nil {
		return append(b, '-')
	}
	b = strconv.AppendQuote(appendInts(b, int64(f.Op)), f.Field)
	b = strconv.AppendQuote(b, f.Value)
	b = append(b, '(')
	for _, sub := range f.Sub {
		b = appendFilter(b, sub)
	}
	return append(b, ')')
}

func appendList(b []byte, list []int) []byte {
	b = appendInts(b, int64(len(list)))
	for _, n := range list {
		b = appendInts(b, int64(n))
	}
	return b
}

func appendInts(b []byte, list ...int64) []byte {
	for _, n := range list {
		b = append(strconv.AppendInt(b, n, 10), ' ')
	}
	return b
}
