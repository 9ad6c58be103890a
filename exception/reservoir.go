package exception

import (
	"cmp"
	"slices"
)

// Place is where an event lies in the log of records: what stays the same when
// it is replayed.
type Place struct {
	Partition int32
	Ordinal   int32 // index of the event within its record
	Offset    int64
}

func (p Place) compare(q Place) int {
	return cmp.Or(cmp.Compare(p.Partition, q.Partition), cmp.Compare(p.Offset, q.Offset), cmp.Compare(p.Ordinal, q.Ordinal))
}

// Sample is an event kept with its details.
type Sample[T any] struct {
	Place  Place
	Time   int64 // event time, ns
	Detail T
	rank   uint64
}

// Reservoir keeps of the events of one fingerprint and minute the oldest, the
// newest and a fair choice of all, so that each event is as likely to be chosen
// as any other. The choice are the events with the smallest hashes of their
// places (bottom-k sampling, Cohen and Kaplan 2007): it depends on the set of
// events alone, not on their order, on restarts or on who saw which part of them.
// Memory is bounded by the size plus two samples. Not safe for concurrent use.
type Reservoir[T any] struct {
	seed           uint64
	size           int
	oldest, newest *Sample[T]
	chosen         []Sample[T] // a heap, the largest rank first
}

// NewReservoir returns a reservoir of size random samples, at least one. seed
// tells one fingerprint and minute from others, for instance a hash of both: equal
// seeds choose equally.
func NewReservoir[T any](seed uint64, size int) *Reservoir[T] {
	return &Reservoir[T]{seed: seed, size: max(size, 1)}
}

// Wants reports whether Offer would keep an event, so that its details need not
// be made for nothing. It does not allocate.
func (r *Reservoir[T]) Wants(p Place, time int64) bool {
	return r.oldest == nil || r.older(p, time) || r.newer(p, time) || len(r.chosen) < r.size || r.rank(p) < r.chosen[0].rank
}

func (r *Reservoir[T]) older(p Place, time int64) bool {
	return time < r.oldest.Time || time == r.oldest.Time && p.compare(r.oldest.Place) < 0
}

func (r *Reservoir[T]) newer(p Place, time int64) bool {
	return time > r.newest.Time || time == r.newest.Time && p.compare(r.newest.Place) > 0
}

// Offer shows the reservoir an event. The same event again changes nothing.
func (r *Reservoir[T]) Offer(p Place, time int64, detail T) {
	s := Sample[T]{Place: p, Time: time, Detail: detail, rank: r.rank(p)}
	if r.oldest == nil || r.older(p, time) {
		r.oldest = &s
	}
	if r.newest == nil || r.newer(p, time) {
		r.newest = &s
	}
	if len(r.chosen) == r.size && s.rank >= r.chosen[0].rank {
		return
	}
	for i := range r.chosen {
		if r.chosen[i].Place == p {
			return
		}
	}
	if len(r.chosen) < r.size {
		r.chosen = append(r.chosen, s)
		r.up(len(r.chosen) - 1)
		return
	}
	r.chosen[0] = s
	r.down()
}

// Merge adds what another reservoir of the same seed and size has kept. The
// result is what one that saw the events of both would have.
func (r *Reservoir[T]) Merge(o *Reservoir[T]) {
	for _, s := range []*Sample[T]{o.oldest, o.newest} {
		if s != nil {
			r.extremes(s)
		}
	}
	for _, s := range slices.Clone(o.chosen) { // o may be r
		r.Offer(s.Place, s.Time, s.Detail)
	}
}

// extremes offers a sample as the oldest and newest only: it need not be among
// the other reservoir's choice.
func (r *Reservoir[T]) extremes(s *Sample[T]) {
	if r.oldest == nil || r.older(s.Place, s.Time) {
		r.oldest = s
	}
	if r.newest == nil || r.newer(s.Place, s.Time) {
		r.newest = s
	}
}

// Samples returns the oldest, the newest and the random ones, these in no
// particular order. One event may be in several roles. ok is false if nothing
// was offered. The slice is the reservoir's own, valid until the next Offer.
func (r *Reservoir[T]) Samples() (oldest, newest Sample[T], random []Sample[T], ok bool) {
	if r.oldest == nil {
		return oldest, newest, nil, false
	}
	return *r.oldest, *r.newest, r.chosen, true
}

func (r *Reservoir[T]) rank(p Place) uint64 { return SampleRank(r.seed, p) }

func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *Reservoir[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if r.chosen[parent].rank >= r.chosen[i].rank {
			return
		}
		r.chosen[parent], r.chosen[i] = r.chosen[i], r.chosen[parent]
		i = parent
	}
}

func (r *Reservoir[T]) down() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(r.chosen) {
			return
		}
		if child+1 < len(r.chosen) && r.chosen[child+1].rank > r.chosen[child].rank {
			child++
		}
		if r.chosen[i].rank >= r.chosen[child].rank {
			return
		}
		r.chosen[i], r.chosen[child] = r.chosen[child], r.chosen[i]
		i = child
	}
}
