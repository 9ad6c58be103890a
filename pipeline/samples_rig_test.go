package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/memory"
)

// sampleRig drives an events sink by hand. Its store keeps what tells rows apart, so
// that a million of them can be looked at.
type sampleRig struct {
	t     testing.TB
	store *sampleStore
	p     *Pipeline
	s     *eventsSink
	clock atomic.Int64 // ns; the transaction's goroutine reads it too
	tidy  bool         // rows at every exception
}

type keptRow struct {
	project, fingerprint string
	place                exception.Place
	time, weight         int64
	kind                 millrace.Kind
}

// sampleStore keeps rows in short and all else in memory.
type sampleStore struct {
	*memory.Store
	mu     sync.Mutex
	rows   []keptRow
	bytes  int64
	before func(rows *millrace.EventRows) error
}

func (s *sampleStore) WriteEvents(ctx context.Context, rows *millrace.EventRows, c *millrace.Commit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil && rows != nil {
		if err := s.before(rows); err != nil {
			return err
		}
	}
	if err := s.Store.WriteEvents(ctx, nil, c); err != nil {
		return err
	}
	for i := range rows.Len() {
		s.rows = append(s.rows, keptRow{
			project: string(rows.Project.At(i)), fingerprint: string(rows.TraceID.At(i)), time: rows.Time[i], weight: rows.Weight[i], kind: rows.Kind[i],
			place: exception.Place{Partition: rows.Partition[i], Offset: rows.Offset[i], Ordinal: rows.Ordinal[i]},
		})
	}
	s.bytes += int64(rows.Bytes())
	return nil
}

func newSampleRig(t testing.TB, opts Options, told millrace.Sightings) *sampleRig {
	r := &sampleRig{t: t, store: &sampleStore{Store: memory.New()}}
	r.clock.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	r.p = New(opts, Deps{Store: r.store, Now: r.now, Log: slog.New(slog.DiscardHandler), Sightings: told})
	r.open()
	return r
}

func (r *sampleRig) now() time.Time { return time.Unix(0, r.clock.Load()).UTC() }

func (r *sampleRig) pass(d time.Duration) { r.clock.Add(int64(d)) }

// open begins a session from what the store has, as after a kill.
func (r *sampleRig) open() {
	r.t.Helper()
	k, _, err := r.p.claimSink(context.Background(), millrace.SinkEvents, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for part := range int32(2) {
		if k.positions[part] == nil {
			k.positions[part] = &millrace.Position{Partition: part, TopicID: "topic"}
		}
	}
	r.s = r.p.newEventsSink(k)
	if r.tidy {
		r.s.samples.least, r.s.samples.crowded = 0, 0
	}
}

func (r *sampleRig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// flush stores what the sink holds and waits for it.
func (r *sampleRig) flush() {
	r.t.Helper()
	r.check(r.s.flush(context.Background()))
	r.check(r.s.wait())
}

// fold feeds the sink a record.
func (r *sampleRig) fold(part int32, offset int64, events []millrace.Event) {
	r.t.Helper()
	r.check(r.s.fold(context.Background(), unitOf(part, offset, r.now(), events)))
}

func unitOf(part int32, offset int64, arrived time.Time, events []millrace.Event) *unit {
	u := &unit{rec: &millrace.Record{
		Partition: part, Offset: offset, Arrived: arrived.UnixNano(), Project: "default", Source: "s", Frames: make([]uint32, len(events)),
	}}
	u.batch.Record = u.rec
	for i := range events {
		events[i].Ordinal = int32(i)
	}
	u.batch.Events = events
	return u
}

// thrown returns an exception. Its fingerprint is its trace id too, for sampleStore.
func thrown(fingerprint string, at, weight int64) millrace.Event {
	return millrace.Event{
		Time: at, Weight: weight, Kind: millrace.KindException, Project: "default", TraceID: fingerprint, Message: "boom: " + fingerprint,
		Attrs: []millrace.Attr{
			{Key: millrace.AttrType, Value: millrace.StringValue("Boom")},
			{Key: millrace.AttrFingerprint, Value: millrace.StringValue(fingerprint)},
			{Key: millrace.AttrReport, Value: millrace.JSONValue(`{"v":1,"exception":{"type":"Boom"}}`)},
		},
	}
}

// sums returns the sink's accounts by outcome and reason.
func (r *sampleRig) sums() map[string]tally {
	r.t.Helper()
	entries, err := r.store.Ledger(context.Background(), millrace.LedgerQuery{Sink: millrace.SinkEvents})
	r.check(err)
	out := map[string]tally{}
	for _, e := range entries {
		name := string(e.Outcome)
		if e.Reason != "" {
			name += "/" + e.Reason
		}
		was := out[name]
		out[name] = tally{was.events + e.Events, was.weight + e.Weight}
	}
	return out
}

const sampledKey = "sampled/" + millrace.ReasonExceptionSamples
