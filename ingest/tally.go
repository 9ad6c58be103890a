package ingest

import (
	"context"
	"sort"
	"sync"

	"github.com/millrace/millrace"
)

// Requests refused whole leave no record of their own, yet every event is to
// be accounted for. They are counted here, and every few seconds the counts go
// through the queue as records without events, so that they reach the ledger
// the same way as everything else. A crash loses the counts since the last
// flush; the requests they count were answered with an error.
//
// A reason that begins with request_ counts requests, whose events nobody
// knows; the others count lines.

// maxTally bounds the accounts kept between two flushes: the source of a
// refused request is the sender's word. What is beyond goes under otherSource.
const maxTally = 1000

// Sources of the ledger that no sender can name.
const (
	otherSource   = "(other)"
	unknownSource = "(unknown)" // refused before the source was known or believed
)

type tallyKey struct{ project, source, reason string }

type tally struct {
	mu     sync.Mutex
	counts map[tallyKey]*millrace.Refusal
}

func (t *tally) addAll(project, source string, refused []millrace.Refusal) {
	for _, r := range refused {
		t.add(project, source, r)
	}
}

func (t *tally) add(project, source string, r millrace.Refusal) {
	if project == "" {
		project = millrace.DefaultProject
	}
	if source == "" {
		source = unknownSource
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = map[tallyKey]*millrace.Refusal{}
	}
	key := tallyKey{project, source, r.Reason}
	if len(t.counts) >= maxTally && t.counts[key] == nil {
		key = tallyKey{millrace.DefaultProject, otherSource, r.Reason}
	}
	if have := t.counts[key]; have != nil {
		have.Events += r.Events
		return
	}
	r.Example = millrace.Example([]byte(r.Example))
	t.counts[key] = &r
}

// take empties the tally into one record per project and source, in order.
func (t *tally) take() []*millrace.Record {
	t.mu.Lock()
	counts := t.counts
	t.counts = nil
	t.mu.Unlock()
	keys := make([]tallyKey, 0, len(counts))
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := keys[i], keys[j]
		if a.project != b.project {
			return a.project < b.project
		}
		if a.source != b.source {
			return a.source < b.source
		}
		return a.reason < b.reason
	})
	var recs []*millrace.Record
	for _, k := range keys {
		n := len(recs)
		if n == 0 || recs[n-1].Project != k.project || recs[n-1].Source != k.source {
			recs = append(recs, &millrace.Record{Project: k.project, Source: k.source, Format: "auto", Parts: 1})
			n++
		}
		recs[n-1].Refused = append(recs[n-1].Refused, *counts[k])
	}
	return recs
}

// Flush appends what was counted. If the queue does not take it, the counts are
// kept for the next time. ErrThrottled and what Append returns.
func (h *Handler) Flush(ctx context.Context) error {
	if err := h.deps.Pressure(); err != nil {
		return err
	}
	recs := h.tally.take()
	if len(recs) == 0 {
		return nil
	}
	err := h.append(ctx, recs)
	if err != nil {
		for _, r := range recs {
			h.tally.addAll(r.Project, r.Source, r.Refused)
		}
	}
	return err
}

func (h *Handler) flushLoop() {
	for {
		select {
		case <-h.stop:
			return
		case <-h.deps.Tick:
			if err := h.Flush(context.Background()); err != nil {
				h.deps.Log.Warn("tally of refused requests kept for later", "err", err)
			}
		}
	}
}

// Close flushes the tally. No request may be under way.
func (h *Handler) Close(ctx context.Context) error {
	close(h.stop)
	h.stopped.Wait()
	return h.Flush(ctx)
}
