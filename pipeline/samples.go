package pipeline

import (
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// samples decides of which exceptions the events sink keeps the details: per project,
// fingerprint and minute of event time of the oldest, the newest and a fair choice of
// all. An event is stored if the choice holds it when its flush is made. Later ones may
// displace it then, so what is stored is more than the final choice, and holds it: who
// reads offers the stored events to an exception.Reservoir again. What is displaced
// before its flush, and what never was in the choice, is counted as sampled.
//
// Nothing of this is kept across a restart, after which a few more are stored. Counts
// do not depend on it: rollups see every event.
//
// Memory: a reservoir takes about 250 bytes and 8 per random sample; there are at most
// opts.Reservoirs, and a sixteenth more of shared ones for what comes beyond. Rows
// of displaced events are removed when they may be half of all, see tidy.
//
// Used by the goroutine of the events sink.
type samples struct {
	opts    ExceptionOptions
	current map[sampleKey]*sample // touched since rotated
	before  map[sampleKey]*sample // touched in the period before
	rotated time.Time
	shared  int // reservoirs that several fingerprints share, in both maps
	budget  detailBudget

	rows    []sampleRow // of exceptions in the flush under way
	origins []sampleOrigin
	dead    []int32
	least   int // bytes of rows that are worth tidying,
	crowded int // and how many rows have when it is done next
	total   SampleStatus
}

// sampleKey names a reservoir. Its seed is a hash of project, fingerprint and minute;
// two fingerprints that a client makes collide share one, in its own project only.
type sampleKey struct {
	project string
	seed    uint64
}

// sample is a reservoir.
type sample struct {
	exception.Sieve
	kept   int32 // rows stored, or about to be
	newest int64 // event time of the last one stored as the newest
}

// sampleRow is a row that is stored unless it is displaced before the flush.
type sampleRow struct {
	of     *sample
	row    int32
	origin int32 // in origins
	bytes  int32
}

// sampleOrigin is where rows came from, and what became of them.
type sampleOrigin struct {
	rec             millrace.Record // without its payload
	stored, sampled tally
	unused          int64 // bytes of rows that are not stored
}

// tally counts events and their weight.
type tally struct{ events, weight int64 }

func (t *tally) add(weight int64) {
	t.events++
	t.weight += weight
}

// A reservoir that no event has touched for one or two of sampleAge is forgotten: its
// minute is over, unless clients are late. At the cap that may be after sampleAgeFull,
// which lets replays of many minutes pass.
const (
	sampleAge     = time.Minute
	sampleAgeFull = 10 * time.Second
)

func newSamples(opts ExceptionOptions) *samples {
	return &samples{
		opts: opts, budget: newDetailBudget(int64(opts.DetailBytes)), least: tidyBytes, crowded: tidyBytes,
		current: map[sampleKey]*sample{}, before: map[sampleKey]*sample{},
	}
}

func placeOf(rec *millrace.Record, e *millrace.Event) exception.Place {
	return exception.Place{Partition: rec.Partition, Offset: rec.Offset, Ordinal: e.Ordinal}
}

// offer shows an exception to its reservoir, which is returned if it has it by now.
// hash is that of project and fingerprint.
func (s *samples) offer(rec *millrace.Record, e *millrace.Event, hash uint64, now time.Time) *sample {
	if of := s.of(e, hash, now); of.Offer(placeOf(rec, e), e.Time) {
		return of
	}
	return nil
}

// of returns the reservoir of an exception.
func (s *samples) of(e *millrace.Event, hash uint64, now time.Time) *sample {
	s.age(now, sampleAge)
	key := sampleKey{e.Project, exception.SampleSeed(hash, e.Time)}
	if of := s.find(key); of != nil {
		return of
	}
	if s.count() >= s.opts.Reservoirs {
		s.age(now, sampleAgeFull)
	}
	if s.count() < s.opts.Reservoirs {
		return s.create(key)
	}
	return s.share(e)
}

// share returns a reservoir of a project and minute for fingerprints that are too many
// to have their own, or if those are too many too, the one for all others.
func (s *samples) share(e *millrace.Event) *sample {
	keys := [...]sampleKey{
		{e.Project, exception.SampleSeed(0, e.Time)},
		{"", 0}, // of no seed: minutes are too many
	}
	for i, key := range keys {
		if of := s.find(key); of != nil {
			return of
		}
		if i == len(keys)-1 || s.shared < s.opts.Reservoirs/16 {
			s.shared++
			return s.create(key)
		}
	}
	panic("unreachable")
}

func (s *samples) count() int { return len(s.current) + len(s.before) - s.shared }

func (s *samples) find(key sampleKey) *sample {
	if of := s.current[key]; of != nil {
		return of
	}
	of := s.before[key]
	if of != nil {
		delete(s.before, key)
		key.project = strings.Clone(key.project)
		s.current[key] = of
	}
	return of
}

func (s *samples) create(key sampleKey) *sample {
	of := &sample{Sieve: exception.NewSieve(key.seed, s.opts.Samples)}
	key.project = strings.Clone(key.project) // it points into the payload
	s.current[key] = of
	return of
}

// age forgets the reservoirs of the period before, if the present one has lasted.
func (s *samples) age(now time.Time, period time.Duration) {
	if now.Sub(s.rotated) < period {
		return
	}
	if now.Sub(s.rotated) >= 2*period {
		clear(s.current)
	}
	clear(s.before)
	s.current, s.before = s.before, s.current
	s.rotated = now
	s.shared = 0 // of those in before: they have room to be created again
}

// allows reports whether the budget has room for the details of an event that the
// reservoir has.
func (s *samples) allows(of *sample, rec *millrace.Record, e *millrace.Event) bool {
	switch s.budget.level(rec.Arrived) {
	case budgetFree:
		return true
	case budgetThrifty:
		at := placeOf(rec, e)
		return of.Chosen(at) || of.Oldest(at) || of.newer(e.Time)
	case budgetTight:
		return of.Oldest(placeOf(rec, e)) || of.Newest(placeOf(rec, e)) && of.newer(e.Time)
	case budgetLast:
		return of.kept == 0
	}
	return false
}

// newestEvery is how far the newest events that are stored are apart when the budget is
// half used up. Each flush stores one otherwise, which in a minute are more than all
// others.
const newestEvery = int64(10 * time.Second)

// newer reports whether the newest event is so much newer than the one stored as that.
func (of *sample) newer(at int64) bool { return of.kept == 0 || at-of.newest >= newestEvery }

// begin notes the record whose rows come next.
func (s *samples) begin(rec *millrace.Record) {
	if n := len(s.origins); n > 0 {
		last := &s.origins[n-1].rec
		if last.Project == rec.Project && last.Source == rec.Source && last.Arrived == rec.Arrived {
			return
		}
	}
	s.origins = append(s.origins, sampleOrigin{rec: millrace.Record{Project: rec.Project, Source: rec.Source, Arrived: rec.Arrived}})
}

// appended notes that the newest row is an exception's, of so many bytes.
func (s *samples) appended(of *sample, row, bytes int) {
	bytes += rowBytes
	s.rows = append(s.rows, sampleRow{of, int32(row), int32(len(s.origins) - 1), int32(bytes)})
	of.kept++
	s.budget.add(s.origins[len(s.origins)-1].rec.Arrived, int64(bytes))
}

// rowBytes is about what a row takes beside its texts.
const rowBytes = 200

// tidyBytes are rows that wait for their flush however many were displaced.
const tidyBytes = 8 << 20

// tidy removes the rows that were displaced since they were appended, once rows have
// grown by half of what was left when that was done before. Nearly each event is the newest
// when its row is appended, and no longer a moment later: of 50 KB each they would be
// half of the server's memory at the flush. A row is moved twice in the mean. What
// they took of the budget comes back at the flush only: else more would be appended that
// is displaced, too.
func (s *samples) tidy(rows *millrace.EventRows) {
	if rows.Bytes() < s.crowded {
		return
	}
	s.remove(rows)
	s.crowded = rows.Bytes() + max(s.least, rows.Bytes()/2)
}

// remove removes the rows that were displaced since they were appended.
func (s *samples) remove(rows *millrace.EventRows) {
	s.dead = s.dead[:0]
	kept := s.rows[:0]
	for _, r := range s.rows {
		if r.of.Holds(rowPlace(rows, r.row)) {
			r.row -= int32(len(s.dead))
			kept = append(kept, r)
			continue
		}
		s.dead = append(s.dead, r.row)
		o := &s.origins[r.origin]
		o.sampled.add(rows.Weight[r.row])
		o.unused += int64(r.bytes)
		r.of.kept--
	}
	clear(s.rows[len(kept):])
	s.rows = kept
	rows.Remove(s.dead)
}

func rowPlace(rows *millrace.EventRows, i int32) exception.Place {
	return exception.Place{Partition: rows.Partition[i], Offset: rows.Offset[i], Ordinal: rows.Ordinal[i]}
}

// settle removes the rows that were displaced since they were appended, and accounts
// for those that stay and those that did not.
func (s *samples) settle(rows *millrace.EventRows, a *accounts) {
	s.remove(rows)
	for i := range s.rows {
		r := &s.rows[i]
		s.origins[r.origin].stored.add(rows.Weight[r.row])
		if r.of.Newest(rowPlace(rows, r.row)) {
			r.of.newest = rows.Time[r.row]
		}
	}
	for i := range s.origins {
		o := &s.origins[i]
		a.received(&o.rec, millrace.OutcomeStored, "", o.stored.events, o.stored.weight, "")
		s.sampled(&o.rec, o.sampled, a)
		s.total.Stored += o.stored.events
		if o.unused > 0 {
			s.budget.add(o.rec.Arrived, -o.unused)
		}
	}
	s.rows, s.origins, s.crowded = s.rows[:0], s.origins[:0], s.least
}

// sampled accounts for events whose details are not kept.
func (s *samples) sampled(rec *millrace.Record, n tally, a *accounts) {
	a.received(rec, millrace.OutcomeSampled, millrace.ReasonExceptionSamples, n.events, n.weight, "")
	s.total.Sampled += n.events
	s.total.SampledWeight += n.weight
}

// status returns what is held, and what was done since the start of the session.
func (s *samples) status() SampleStatus {
	out := s.total
	out.Reservoirs, out.Shared = int64(len(s.current)+len(s.before)), int64(s.shared)
	period, used := s.budget.newest()
	out.DetailSince, out.DetailBytes, out.DetailLimit = time.Unix(0, period*s.budget.period).UTC(), used, s.budget.limit
	return out
}
