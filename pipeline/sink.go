package pipeline

import (
	"maps"
	"slices"
	"sort"

	"github.com/millrace/millrace"
)

// reasonSetAside is the ledger's reason for events taken out of the stream.
const reasonSetAside = "set_aside"

// sink is what both sinks share: positions, the memory of client sequences, and
// the accounts since the last commit. Owned by one goroutine.
type sink struct {
	name      millrace.Sink
	positions map[int32]*millrace.Position
	stored    map[int32]millrace.Position // as of the last commit that was handed out
	moved     map[int32]bool
	windows   *clientWindows
	accounts  *accounts
	gaps      []millrace.Gap
	aside     []millrace.SetAside
	condemned map[verdict]string // events that this sink cannot take, with the reason
	now       func() int64

	// The transaction under way. The sink goes on folding meanwhile, so that the
	// Store's core and the sink's are both at work; the next transaction waits
	// for this one, so that positions are committed in order.
	writing chan error
	written func(error) error // turns the outcome into the sink's error
}

// write starts a transaction. None may be under way.
func (s *sink) write(do func() error, written func(error) error) {
	done := make(chan error, 1)
	s.writing, s.written = done, written
	go func() { done <- do() }()
}

// wait ends the transaction under way, if any, and returns its error.
func (s *sink) wait() error {
	if s.writing == nil {
		return nil
	}
	err := <-s.writing
	s.writing = nil
	return s.written(err)
}

// busy reports whether a transaction is under way and not yet done.
func (s *sink) busy() bool { return s.writing != nil && len(s.writing) == 0 }

// begin decides what the sink does with a unit: nothing (false), if it was
// folded or is a duplicate, or fold the events from an ordinal on.
func (s *sink) begin(u *unit) (from int32, fold bool) {
	rec := u.rec
	pos := s.positions[rec.Partition]
	if pos == nil || rec.Offset < pos.Offset {
		return 0, false
	}
	if rec.Offset > pos.Offset {
		s.gap(pos, rec.Offset, "offsets missing in the log")
		pos.Offset, pos.Ordinal = rec.Offset, 0
	}
	if pos.Ordinal > 0 {
		return pos.Ordinal, true // admitted before; its window is committed
	}
	if !s.windows.admit(rec) {
		events, weight := u.total()
		s.accounts.received(rec, millrace.OutcomeDuplicate, "", events, weight, "")
		s.finish(u)
		return 0, false
	}
	for _, r := range rec.Refused {
		s.accounts.add(rec, millrace.OutcomeRefused, r.Reason, r.Events, r.Events, r.Example)
	}
	return 0, true
}

// total returns the events of a record and their weight; frames that are no
// events weigh 1.
func (u *unit) total() (events, weight int64) {
	events = int64(len(u.rec.Frames))
	weight = events
	for i := range u.batch.Events {
		weight += u.batch.Events[i].Weight - 1
	}
	for i := range u.filtered {
		weight += u.filtered[i].weight - 1
	}
	return events, weight
}

func (s *sink) gap(pos *millrace.Position, to int64, reason string) {
	s.gaps = append(s.gaps, millrace.Gap{
		Sink: s.name, Partition: pos.Partition, Generation: pos.Generation,
		From: pos.Offset, To: to, Found: s.now(), Reason: reason,
	})
}

// account writes down the frames from <= ordinal < to of a unit, of which the
// sink stored some events with a weight.
func (s *sink) account(u *unit, from, to int32, stored, weight int64) {
	s.accounts.received(u.rec, millrace.OutcomeStored, "", stored, weight, "")
	for i := range u.batch.Rejects {
		if r := &u.batch.Rejects[i]; r.Ordinal >= from && r.Ordinal < to {
			s.accounts.received(u.rec, millrace.OutcomeRejected, r.Reason, 1, 1, r.Example)
		}
	}
	s.accountFiltered(u, from, to)
	for _, a := range u.setAside {
		if a.Ordinal < 0 {
			n := int64(max(1, len(u.rec.Frames)) - int(from))
			s.setAside(u.rec, a, n)
		} else if a.Ordinal >= from && a.Ordinal < to {
			s.setAside(u.rec, a, 1)
		}
	}
}

// accountFiltered writes down what the rules dropped. Rules may drop most of a
// source, and drops of one reason mostly follow each other: these are added up
// before the account is looked for.
func (s *sink) accountFiltered(u *unit, from, to int32) {
	list := u.filtered
	skip := sort.Search(len(list), func(i int) bool { return list[i].ordinal >= from })
	list = list[skip:]
	for len(list) > 0 && list[0].ordinal < to {
		first, n, weight := &list[0], 0, int64(0)
		for n < len(list) && list[n].ordinal < to && list[n].reason == first.reason {
			weight += list[n].weight
			n++
		}
		s.accounts.received(u.rec, millrace.OutcomeFiltered, first.reason, int64(n), weight, first.example)
		list = list[n:]
	}
}

func (s *sink) setAside(r *millrace.Record, a millrace.SetAside, events int64) {
	a.Sink = s.name
	s.aside = append(s.aside, a)
	s.accounts.received(r, millrace.OutcomeRejected, reasonSetAside, events, events, a.Stage+": "+a.Reason)
}

// condemns reports whether the event was condemned.
func (s *sink) condemns(r *millrace.Record, e *millrace.Event) bool {
	return len(s.condemned) > 0 && s.condemned[s.verdictOf(r, e.Ordinal)] != ""
}

// refuses reports whether the event was condemned, and if so sets it aside.
func (s *sink) refuses(u *unit, e *millrace.Event) bool {
	if !s.condemns(u.rec, e) {
		return false
	}
	reason := s.condemned[s.verdictOf(u.rec, e.Ordinal)]
	s.setAside(u.rec, millrace.SetAside{
		Partition: u.rec.Partition, Generation: s.positions[u.rec.Partition].Generation,
		Offset: u.rec.Offset, Ordinal: e.Ordinal, Time: s.now(), Project: e.Project, Source: e.Source,
		Stage: string(s.name), Reason: reason, Payload: []byte(e.Message),
	}, 1)
	return true
}

// suspects reports whether an event of the unit was condemned.
func (s *sink) suspects(u *unit) bool {
	for v := range s.condemned {
		if v.partition == u.rec.Partition && v.offset == u.rec.Offset {
			return true
		}
	}
	return false
}

func (s *sink) verdictOf(r *millrace.Record, ordinal int32) verdict {
	return verdict{r.Partition, s.positions[r.Partition].Generation, r.Offset, ordinal}
}

// reach moves the position behind the event with the ordinal before next.
func (s *sink) reach(u *unit, next int32) {
	pos := s.positions[u.rec.Partition]
	pos.Offset, pos.Ordinal = u.rec.Offset, next
	s.moved[u.rec.Partition] = true
}

// finish moves the position behind the record.
func (s *sink) finish(u *unit) {
	s.reach(u, 0)
	pos := s.positions[u.rec.Partition]
	pos.Offset++
	for i := range u.batch.Events {
		pos.MaxTime = max(pos.MaxTime, min(u.batch.Events[i].Time, u.rec.Arrived))
	}
	pos.MaxTime = max(pos.MaxTime, u.droppedUntil)
}

// commit returns what must be stored with the rows and forgets it.
func (s *sink) commit() *millrace.Commit {
	c := &millrace.Commit{
		Sink: s.name, Clients: s.windows.takeDirty(s.now()),
		Ledger: s.accounts.take(), Gaps: s.gaps, SetAside: s.aside,
	}
	for _, p := range slices.Sorted(maps.Keys(s.moved)) {
		from := s.stored[p]
		from.Partition = p
		c.From, c.Positions = append(c.From, from), append(c.Positions, *s.positions[p])
		s.stored[p] = *s.positions[p]
	}
	clear(s.moved)
	s.gaps, s.aside = nil, nil
	return c
}

// pending reports whether there is anything to commit.
func (s *sink) pending() bool { return len(s.moved) > 0 || len(s.gaps) > 0 }
