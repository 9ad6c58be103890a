package pipeline

import "time"

// SampleStatus is what the events sink does with exceptions, at its last flush.
type SampleStatus struct {
	Stored        int64 // exceptions stored with details since the start
	Sampled       int64 // and those that were counted only
	SampledWeight int64
	Reservoirs    int64     // fingerprints and minutes that are sampled at the moment
	Shared        int64     // of these, how many several fingerprints share, for want of room
	DetailSince   time.Time // the newest 5 s in which exceptions arrived
	DetailBytes   int64     // stored of it
	DetailLimit   int64     // and what may be
	Untold        int64     // sightings that can never be told
}

// Short reports whether the budget of details has run so low that fewer are stored.
func (s *SampleStatus) Short() bool { return s.DetailBytes >= s.DetailLimit/4*3 && s.DetailLimit > 0 }

// sampled takes over what the events sink did since it was last asked.
func (s *stats) sampled(k *samples) {
	now := k.status()
	k.total = SampleStatus{}
	s.mu.Lock()
	defer s.mu.Unlock()
	now.Stored += s.samples.Stored
	now.Sampled += s.samples.Sampled
	now.SampledWeight += s.samples.SampledWeight
	now.Untold = s.samples.Untold
	s.samples = now
}

// told notes that sightings were told, or why not.
func (s *stats) told(n int, at time.Time, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stage(faultSightings)
	st.Busy += took
	if err != nil {
		st.Failed++
		s.faults[faultSightings] = err.Error()
		return
	}
	delete(s.faults, faultSightings)
	st.Commits++
	st.Events += int64(n)
	st.LastCommit, st.LastTook = at, took
}

// untold notes sightings that were left out.
func (s *stats) untold(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples.Untold += n
}
