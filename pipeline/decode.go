package pipeline

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
	"github.com/millrace/millrace/transform"
)

// unit is one decoded record on its way to the sinks. Sinks only read it.
type unit struct {
	rec      *millrace.Record
	rules    *transform.Program // of the version that the record carries; nil is none
	batch    millrace.Batch
	filtered []filtered          // dropped by the rules, ascending ordinals
	setAside []millrace.SetAside // events, or the whole record, taken out by the decoder
	// droppedUntil is the largest min(event time, arrival) of filtered, ns.
	droppedUntil int64
	counts       []transform.Count // what the rules' steps did
	refs         atomic.Int32
}

// clear empties a unit for another record; the batch is reset when decoded.
func (u *unit) clear() {
	clear(u.filtered)
	*u = unit{batch: u.batch, filtered: u.filtered[:0]}
}

// stageDecode is the stage named in records that the decoder set aside.
const stageDecode = "decode"

// verdict names a record or event that was set aside, Sink apart.
type verdict struct {
	partition  int32
	generation int64
	offset     int64
	ordinal    int32
}

// supervisor is what records are decoded with, and what becomes of those that
// cannot be: a panic is confined to its event, an overrun deadline to its record.
// Safe for concurrent use.
type supervisor struct {
	deadline time.Duration
	now      func() time.Time
	known    map[verdict]millrace.SetAside // committed verdicts, obeyed on replay
	book     *RuleBook                     // is told what rules did; may be nil
	truncate bool                          // addresses of clients
	// fingerprint is the version of exceptions' fingerprints.
	fingerprint int
}

// decoding returns the state of a new worker.
func (s *supervisor) decoding() decoding {
	d := decoding{book: s.book, exceptions: exceptions{version: s.fingerprint}}
	if s.truncate {
		d.addresses = &addresses{}
	}
	return d
}

// overran returns a unit in which the record of u is set aside. It looks at nothing
// else of u, to which a worker still writes.
func (s *supervisor) overran(u *unit, generation int64) *unit {
	fresh := &unit{rec: u.rec, rules: u.rules}
	fresh.batch.Reset(u.rec)
	reason := fmt.Sprintf("decoding took longer than %v", s.deadline)
	fresh.setAside = append(fresh.setAside, s.entry(fresh, generation, -1, reason, u.rec.Payload))
	return fresh
}

// isolate decodes frame by frame after a panic and sets aside those that panic.
func (s *supervisor) isolate(u *unit, generation int64) {
	fresh := func() decoding { d := s.decoding(); d.book = nil; return d }
	d := fresh()
	u.batch.Reset(u.rec)
	u.filtered = u.filtered[:0]
	at := 0
	for i, n := range u.rec.Frames {
		frame := u.rec.Payload[at : at+int(n)]
		at += int(n)
		events, rejects, dropped := len(u.batch.Events), len(u.batch.Rejects), len(u.filtered)
		if err := decodeFrame(&d, u, int32(i), frame); err != nil {
			u.batch.Events, u.batch.Rejects = u.batch.Events[:events], u.batch.Rejects[:rejects]
			u.filtered = u.filtered[:dropped]
			u.setAside = append(u.setAside, s.entry(u, generation, int32(i), err.Error(), frame))
			d = fresh() // half-way through an event
		}
	}
}

func (s *supervisor) entry(u *unit, generation int64, ordinal int32, reason string, payload []byte) millrace.SetAside {
	r := u.rec
	return millrace.SetAside{
		Partition: r.Partition, Generation: generation, Offset: r.Offset, Ordinal: ordinal,
		Time: s.now().UnixNano(), Project: r.Project, Source: r.Source, Stage: stageDecode, Reason: reason,
		Payload: hidden(u, payload, s.truncate),
	}
}

func decodeUnit(d *decoding, u *unit) (err error) {
	defer recovered(&err)
	u.batch.Reset(u.rec)
	d.use(u.rules)
	d.hideRefused(u)
	if err := poisoned(u.rec.Payload); err != nil {
		return err
	}
	d.watch(u)
	d.all(u)
	if u.rules != nil {
		u.counts = d.scratch.Take(u.rules)
		d.tally(u)
	}
	return nil
}

func decodeFrame(d *decoding, u *unit, ordinal int32, frame []byte) (err error) {
	defer recovered(&err)
	if err := poisoned(frame); err != nil {
		return err
	}
	d.frame(u, ordinal, frame)
	return nil
}

func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

// poisonPill marks a payload for the failpoint decode.poison, with which tests
// make the decoder panic or hang on a record of their choice.
var poisonPill = []byte("millrace-poison-pill")

func poisoned(payload []byte) error {
	if !failpoint.Active() || !bytes.Contains(payload, poisonPill) {
		return nil
	}
	return failpoint.Hit("decode.poison")
}
