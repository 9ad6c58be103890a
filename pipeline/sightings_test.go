package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// toldSightings remembers what it was told: the least and greatest of times.
type toldSightings struct {
	mu     sync.Mutex
	all    map[sightKey]millrace.Sighting
	calls  []int // sightings of each call
	before func(list []millrace.Sighting) error
}

func (s *toldSightings) See(_ context.Context, list []millrace.Sighting) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		if err := s.before(list); err != nil {
			return err
		}
	}
	if s.all == nil {
		s.all = map[sightKey]millrace.Sighting{}
	}
	s.calls = append(s.calls, len(list))
	for _, one := range list {
		if one.FirstRelease != one.LastRelease {
			return fmt.Errorf("releases %q and %q in one sighting", one.FirstRelease, one.LastRelease)
		}
		key := sightKey{one.Project, one.Fingerprint, one.Env, one.FirstRelease}
		if was, ok := s.all[key]; ok {
			last := max(was.Last, one.Last)
			if was.First < one.First {
				one = was
			}
			one.Last = last
		}
		s.all[key] = one
	}
	return nil
}

// TestSightingsAgainstOracle: whatever is stored of exceptions, all are told of, with
// the text of the first, before they are committed, also over kills.
func TestSightingsAgainstOracle(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 11))
		opts := DefaultOptions()
		opts.Exceptions.Samples = 1
		opts.FlushRows = []int{1, 17, 122_880}[rng.IntN(3)]
		told := &toldSightings{}
		r := newSampleRig(t, opts, told)
		stream := newSampleStream(rng, r.clock.Load())
		type want struct {
			first, last int64
			message     string
		}
		wants := map[sightKey]want{}
		for part := range stream.records {
			for _, events := range stream.records[part] {
				for i := range events {
					e := &events[i]
					e.Env, e.Release = []string{"", "test"}[rng.IntN(2)], fmt.Sprint("v", rng.IntN(2))
					e.Message = "Traceback (most recent call last):"
					e.Set("exception_message", millrace.StringValue(fmt.Sprintf("\n  first line of %d\r\nsecond", e.Time)))
					if e.Kind != millrace.KindException {
						continue
					}
					key := sightKey{e.Project, e.TraceID, e.Env, e.Release}
					w, ok := wants[key]
					if !ok || e.Time < w.first {
						w.first, w.message = e.Time, fmt.Sprintf("first line of %d", e.Time)
					}
					w.last = max(w.last, e.Time)
					wants[key] = w
				}
			}
		}
		r.store.before = func(rows *millrace.EventRows) error {
			told.mu.Lock()
			defer told.mu.Unlock()
			for i := range rows.Len() {
				if rows.Kind[i] != millrace.KindException {
					continue
				}
				key := sightKey{string(rows.Project.At(i)), string(rows.TraceID.At(i)), string(rows.Env.At(i)), string(rows.Release.At(i))}
				if s, ok := told.all[key]; !ok || s.First > rows.Time[i] || s.Last < rows.Time[i] {
					t.Errorf("seed %d: a row at %d of %v is committed; told: %t, %d to %d", seed, rows.Time[i], key, ok, s.First, s.Last)
				}
			}
			return nil
		}
		stream.play(r, rng)
		if len(told.all) != len(wants) {
			t.Fatalf("seed %d: told of %d, want %d", seed, len(told.all), len(wants))
		}
		for key, w := range wants {
			got := told.all[key]
			if got.First != w.first || got.Last != w.last || got.Title != w.message || got.Type != "Boom" || string(got.Report) != `{"v":1,"exception":{"type":"Boom"}}` {
				t.Fatalf("seed %d: of %v told %+v, want %+v", seed, key, got, w)
			}
		}
	}
}

// TestSightingsAreRetried: rows wait while nobody can be told, which is shown; what is
// refused for good is left out, and nothing else.
func TestSightingsAreRetried(t *testing.T) {
	var r *sampleRig
	fails, faults := 0, ""
	told := &toldSightings{}
	told.before = func(list []millrace.Sighting) error {
		if fails < 3 {
			fails++
			faults = r.p.Status().Faults[faultSightings]
			return millrace.Errorf(millrace.ErrUnavailable, "meta is away")
		}
		if slices.ContainsFunc(list, func(s millrace.Sighting) bool { return s.Fingerprint == "bad" }) {
			return millrace.Errorf(millrace.ErrInvalid, "not that one")
		}
		return nil
	}
	r = newSampleRig(t, DefaultOptions(), told)
	r.store.before = func(*millrace.EventRows) error {
		if len(told.all) == 0 {
			t.Error("stored before anybody was told")
		}
		return nil
	}
	var events []millrace.Event
	for i := range 30 {
		events = append(events, thrown(fmt.Sprint("f", i), int64(i), 1))
	}
	events[13] = thrown("bad", 13, 1)
	r.fold(0, 0, events)
	r.flush()
	if !strings.Contains(faults, "meta is away") || r.p.Status().Faults[faultSightings] != "" {
		t.Errorf("fault %q, afterwards %q", faults, r.p.Status().Faults[faultSightings])
	}
	if len(told.all) != 29 || len(r.store.rows) != 30 || r.p.Status().Samples.Untold != 1 {
		t.Errorf("told of %d, %d rows, %+v", len(told.all), len(r.store.rows), r.p.Status().Samples)
	}

	told.before = func([]millrace.Sighting) error { return errors.New("down for good") }
	r.fold(0, 1, events[:1])
	r.p.Stop()
	r.check(r.s.flush(t.Context()))
	if err := r.s.wait(); err == nil || len(r.store.rows) != 30 {
		t.Errorf("stopping: %v, %d rows", err, len(r.store.rows))
	}
}

// TestSightingsAreBounded: a stream in which every exception has a fingerprint of its
// own, or a large report, is told in calls of bounded size.
func TestSightingsAreBounded(t *testing.T) {
	told := &toldSightings{}
	r := newSampleRig(t, DefaultOptions(), told)
	offset := int64(0)
	for range 100 {
		events := make([]millrace.Event, 1000)
		for i := range events {
			events[i] = thrown(fmt.Sprint(offset, "-", i), r.clock.Load(), 1)
		}
		r.fold(0, offset, events)
		offset++
	}
	r.flush()
	if len(told.all) != 100_000 || slices.Max(told.calls) > maxSightings+1000 {
		t.Errorf("told of %d in calls of %v", len(told.all), told.calls)
	}
	if len(r.store.rows) != 100_000 { // reservoirs for just so many
		t.Errorf("%d rows", len(r.store.rows))
	}

	told.all, told.calls = nil, nil
	report := `{"v":1,"exception":{"message":"` + strings.Repeat("x", 60<<10) + `"}}`
	for range 150 {
		events := make([]millrace.Event, 16)
		for i := range events {
			events[i] = thrown(fmt.Sprint(offset, "-", i), r.clock.Load(), 1)
			events[i].Set(millrace.AttrReport, millrace.JSONValue(report))
		}
		r.fold(0, offset, events)
		offset++
		told.mu.Lock()
		clear(told.all)
		told.mu.Unlock()
	}
	r.flush()
	if most := sightingBytes/len(report) + 32; slices.Max(told.calls) > most {
		t.Errorf("told in calls of %v, want at most %d", told.calls, most)
	}
	long := thrown(strings.Repeat("f", maxFingerprint+1), 1, 1)
	none := thrown("", 1, 1)
	none.Attrs = nil
	told.all, told.calls = nil, nil
	r.fold(0, offset, []millrace.Event{long, none})
	if r.flush(); len(told.calls) != 0 {
		t.Errorf("told of fingerprints of no use: %v", told.all)
	}
}

// TestFitReport: reports that are too long lose threads first, then causes and outer
// frames.
func TestFitReport(t *testing.T) {
	stack := func(n int) []millrace.Frame {
		out := make([]millrace.Frame, n)
		for i := range out {
			out[i] = millrace.Frame{Module: strings.Repeat("m", 200), Function: fmt.Sprint("f", i), InApp: i == 3}
		}
		return out
	}
	report := func(causes, frames, threads int) []byte {
		r := millrace.Report{Language: "java", Exception: &millrace.Exception{Type: "T", Message: `says ,"threads":[ in quotes`, Frames: stack(frames)}}
		at := r.Exception
		for range causes {
			at.Cause = &millrace.Exception{Type: "C", Frames: stack(frames)}
			at = at.Cause
		}
		for range threads {
			r.Threads = append(r.Threads, millrace.Thread{Name: "t", Frames: stack(100)})
		}
		return exception.AppendReport(nil, &r)
	}
	f := func(name string, text []byte, causes, frames int) {
		t.Helper()
		out := fitReport(slices.Clone(text))
		if len(out) > millrace.MaxReportBytes {
			t.Errorf("%s: %d bytes", name, len(out))
		}
		if len(text) <= millrace.MaxReportBytes {
			if string(out) != string(text) {
				t.Errorf("%s: changed", name)
			}
			return
		}
		r, err := exception.ParseReport(out)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		n, last := 0, r.Exception
		for ; last.Cause != nil; last = last.Cause {
			n++
		}
		if n != causes || len(last.Frames) != frames || len(r.Threads) != 0 || r.Language != "java" || r.Exception.Message == "" || !r.Exception.Frames[3].InApp {
			t.Errorf("%s: %d causes, %d frames, %d threads", name, n, len(last.Frames), len(r.Threads))
		}
	}
	f("short", report(1, 10, 1), 0, 0)
	f("threads", report(1, 10, 20), 1, 10)
	f("causes", report(10, 100, 0), 10, 16)
	f("one long stack", report(3, 190, 3), 3, 50)
	if out := fitReport([]byte(strings.Repeat("no report", 10_000))); out != nil {
		t.Errorf("no report became %d bytes", len(out))
	}
}

// TestTitle: the first line of the exception's message, whatever the raw line begins
// with; that of the line only if nothing is known of the exception.
func TestTitle(t *testing.T) {
	told := &toldSightings{}
	r := newSampleRig(t, DefaultOptions(), told)
	offset := int64(0)
	f := func(want string, attrs ...millrace.Attr) {
		t.Helper()
		told.all = nil
		e := thrown("f", 1, 1)
		e.Message = "Traceback (most recent call last):\n more"
		e.Attrs = append(attrs, millrace.Attr{Key: millrace.AttrFingerprint, Value: millrace.StringValue("f")})
		r.fold(0, offset, []millrace.Event{e})
		offset++
		r.flush()
		for _, s := range told.all {
			if s.Title != want {
				t.Errorf("title %q, want %q", s.Title, want)
			}
		}
		if len(told.all) != 1 {
			t.Errorf("told of %d", len(told.all))
		}
	}
	attr := func(key, text string) millrace.Attr {
		return millrace.Attr{Key: key, Value: millrace.StringValue(text)}
	}
	message := attr("exception_message", "order 7\nof two lines")
	f("order 7", attr(millrace.AttrType, "T"), message)
	f("order 7", message)
	f("", attr(millrace.AttrType, "T"))
	f("", attr(millrace.AttrType, "T"), attr("exception_message", ""))
	f("", millrace.Attr{Key: millrace.AttrReport, Value: millrace.JSONValue(`{"v":1}`)})
	f("Traceback (most recent call last):")
	f("bell", attr("exception_message", "be\x00ll"))
}

// TestFlushesInTime: sightings do not keep rows from being stored within the interval.
func TestFlushesInTime(t *testing.T) {
	told := &toldSightings{}
	r := newSampleRig(t, DefaultOptions(), told)
	r.fold(0, 0, []millrace.Event{thrown("f", 1, 1)})
	r.pass(2 * time.Second)
	r.check(r.s.tick(t.Context(), false))
	r.check(r.s.wait())
	if len(r.store.rows) != 1 || len(told.all) != 1 {
		t.Errorf("%d rows, told of %d", len(r.store.rows), len(told.all))
	}
}
