package exception

// Sieve is a Reservoir that keeps no details: it tells of an event whether the
// Reservoir of the same seed and size would have it. It takes 8 bytes per random
// sample, so that a sink can have one for each of very many fingerprints. Its zero
// value is of no use; not safe for concurrent use.
type Sieve struct {
	seed           uint64
	size           int
	ranks          []uint64 // a heap, the largest first
	oldest, newest instant
	any            bool
}

// instant is an event in the order of time, and of places where times are equal.
type instant struct {
	time  int64
	place Place
}

func (a instant) before(b instant) bool {
	return a.time < b.time || a.time == b.time && a.place.compare(b.place) < 0
}

// NewSieve returns a sieve for the Reservoir that NewReservoir(seed, size) returns.
func NewSieve(seed uint64, size int) Sieve { return Sieve{seed: seed, size: max(size, 1)} }

// Offer shows the sieve an event and reports whether the Reservoir has it by now;
// later events may displace it. It allocates while the choice grows only.
func (s *Sieve) Offer(p Place, time int64) bool {
	at := instant{time, p}
	kept := false
	if !s.any || at.before(s.oldest) {
		s.oldest, kept = at, true
	}
	if !s.any || s.newest.before(at) {
		s.newest, kept = at, true
	}
	s.any = true
	rank := SampleRank(s.seed, p)
	if len(s.ranks) == s.size && rank >= s.ranks[0] {
		return kept || rank == s.ranks[0] // the same event again, if equal
	}
	s.choose(rank)
	return true
}

func (s *Sieve) choose(rank uint64) {
	for _, r := range s.ranks {
		if r == rank {
			return
		}
	}
	if len(s.ranks) == s.size {
		s.ranks[0] = rank
		s.down()
		return
	}
	if n := len(s.ranks); n == cap(s.ranks) {
		grown := make([]uint64, n, min(s.size, max(2*n, 4)))
		copy(grown, s.ranks)
		s.ranks = grown
	}
	s.ranks = append(s.ranks, rank)
	for i := len(s.ranks) - 1; i > 0; {
		parent := (i - 1) / 2
		if s.ranks[parent] >= s.ranks[i] {
			return
		}
		s.ranks[parent], s.ranks[i] = s.ranks[i], s.ranks[parent]
		i = parent
	}
}

func (s *Sieve) down() {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(s.ranks) {
			return
		}
		if child+1 < len(s.ranks) && s.ranks[child+1] > s.ranks[child] {
			child++
		}
		if s.ranks[i] >= s.ranks[child] {
			return
		}
		s.ranks[i], s.ranks[child] = s.ranks[child], s.ranks[i]
		i = child
	}
}

// Holds reports whether the Reservoir has an event that was offered before.
func (s *Sieve) Holds(p Place) bool { return s.Oldest(p) || s.Newest(p) || s.Chosen(p) }

// Oldest reports whether the event at p, which was offered, is the oldest.
func (s *Sieve) Oldest(p Place) bool { return s.any && s.oldest.place == p }

// Newest reports whether the event at p, which was offered, is the newest.
func (s *Sieve) Newest(p Place) bool { return s.any && s.newest.place == p }

// Chosen reports whether the event at p, which was offered, is among the random ones.
func (s *Sieve) Chosen(p Place) bool {
	return s.any && (len(s.ranks) < s.size || SampleRank(s.seed, p) <= s.ranks[0])
}

// FingerprintHash hashes a fingerprint of a project, for SampleSeed: FNV-1a 64 over
// project, a zero byte and fingerprint.
func FingerprintHash(project, fingerprint string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range len(project) {
		h = (h ^ uint64(project[i])) * prime
	}
	h *= prime // of a zero byte
	for i := range len(fingerprint) {
		h = (h ^ uint64(fingerprint[i])) * prime
	}
	return h
}

// SampleSeed returns the seed of the Reservoir for the events of a fingerprint, as
// FingerprintHash names it, in the minute of an event time (ns since 1970). Who
// reads stored events and offers them to a Reservoir of this seed gets the fair
// choice: what is stored holds it, and more.
func SampleSeed(hash uint64, time int64) uint64 { return mix(hash ^ mix(uint64(SampleMinute(time)))) }

// SampleMinute returns the minutes since 1970 of a time in ns.
func SampleMinute(time int64) int64 {
	const minute = 60e9
	m := time / minute
	if time%minute < 0 {
		m--
	}
	return m
}

// SampleRank orders the events of a Reservoir: those with the smallest ranks are the
// random choice. It hashes the place with the finaliser of SplitMix64 (Steele, Lea,
// Flood 2014), once per word.
func SampleRank(seed uint64, p Place) uint64 {
	h := mix(seed)
	h = mix(h ^ uint64(p.Offset))
	return mix(h ^ uint64(uint32(p.Partition))<<32 ^ uint64(uint32(p.Ordinal)))
}
