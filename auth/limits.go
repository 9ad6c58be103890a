package auth

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// Limits counts what keys bring in, and holds them to their limits. Rates are
// kept by each node for itself; of quotas and usage the nodes tell each other
// through meta, where Sync writes what was counted: a process that is killed
// loses what it has counted since, and nodes together may take more than a quota
// by what the others took since. Events are never lost by either.
//
// Create it with NewLimits. Safe for concurrent use.
type Limits struct {
	meta   millrace.Meta
	now    func() time.Time
	writer int64 // names this process among those that count

	syncing sync.Mutex // one Sync at a time
	seq     int64      // of the last one

	mu     sync.Mutex
	keys   map[string]*account           // by ID
	totals map[countID]*count            // since the start, by key and outcome
	counts map[countID]*count            // what this process has counted
	others map[countID]millrace.KeyUsage // what others have counted today, as of the last Sync
}

type countID struct {
	key    string
	day    int64
	reason string
}

type count struct {
	requests, events, bytes int64
	dirty                   bool // changed since it was written
}

// account is what has to be remembered of a key to limit it.
type account struct {
	events, bytes bucket
}

// NewLimits returns limits that know of no usage yet: call Sync before they are
// asked.
func NewLimits(meta millrace.Meta, now func() time.Time) *Limits {
	var name [8]byte
	_, _ = rand.Read(name[:]) // crypto/rand does not fail
	return &Limits{
		meta: meta, now: now, writer: int64(binary.LittleEndian.Uint64(name[:])>>1) | 1,
		keys: map[string]*account{}, totals: map[countID]*count{}, counts: map[countID]*count{}, others: map[countID]millrace.KeyUsage{},
	}
}

// Admit takes events and bytes off what p's key may bring now and counts them as
// taken; all of them or, with an error, none. Without events it asks only
// whether there is anything left. A rate is one of a batch, too: as long as
// anything is left a request is taken whole, and what it has brought above that
// has to pass before the next one. A quota is never exceeded by this node.
//
// ErrThrottled with RetryAfter and, for ReasonOf, event_rate, byte_rate,
// event_quota or byte_quota.
func (l *Limits) Admit(p *Principal, events int, bytes int64) error {
	if p == nil || p.Key == nil {
		return nil
	}
	k, now, n := p.Key, l.now(), int64(events)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(k.ID)
	if k.Limits != (millrace.KeyLimits{}) {
		if err := l.check(a, k, now, n, bytes); err != nil {
			return err
		}
	}
	if events == 0 {
		return nil
	}
	a.events.take(now, n, k.Limits.EventRate)
	a.bytes.take(now, bytes, k.Limits.ByteRate)
	l.count(k.ID, "", now).add(1, n, bytes)
	l.total(k.ID, outcomeTaken).add(1, n, bytes)
	return nil
}

// check reports what a key is at the limit of. The lock is held.
func (l *Limits) check(a *account, k *millrace.Key, now time.Time, events, bytes int64) error {
	m := &k.Limits
	if wait := a.events.wait(now, m.EventRate, m.EventBurst); wait > 0 {
		return throttled(wait, "event_rate", "key %s: more than its %d events per second", k.ID, m.EventRate)
	}
	if wait := a.bytes.wait(now, m.ByteRate, m.ByteBurst); wait > 0 {
		return throttled(wait, "byte_rate", "key %s: more than its %v per second", k.ID, millrace.Bytes(m.ByteRate))
	}
	if m.DayEvents == 0 && m.DayBytes == 0 {
		return nil
	}
	used := l.taken(k.ID, now)
	if over(m.DayEvents, used.Events, events) {
		return throttled(untilMidnight(now), "event_quota",
			"key %s: %d of its %d events of this day (UTC) are taken, %d more would exceed them", k.ID, used.Events, m.DayEvents, max(events, 1))
	}
	if over(m.DayBytes, used.Bytes, bytes) {
		return throttled(untilMidnight(now), "byte_quota",
			"key %s: %d of its %d bytes of this day (UTC) are taken, %d more would exceed them", k.ID, used.Bytes, m.DayBytes, max(bytes, 1))
	}
	return nil
}

// over reports whether more would exceed a quota, or nothing is left of it.
func over(quota, used, more int64) bool {
	return quota > 0 && more > 0 && more > quota-used || quota > 0 && used >= quota
}

// taken is what all nodes have taken of a key today. The lock is held.
func (l *Limits) taken(key string, now time.Time) millrace.KeyUsage {
	id := countID{key: key, day: millrace.UnixDay(now)}
	used := l.others[id]
	if c := l.counts[id]; c != nil {
		used.Requests += c.requests
		used.Events += c.events
		used.Bytes += c.bytes
	}
	return used
}

// untilMidnight is how long the day lasts, UTC.
func untilMidnight(now time.Time) time.Duration {
	return time.Unix((millrace.UnixDay(now)+1)*24*60*60, 0).Sub(now)
}

// Refund gives back what Admit took, for a request that was not stored after
// all.
func (l *Limits) Refund(p *Principal, events int, bytes int64) {
	if p == nil || p.Key == nil || events == 0 {
		return
	}
	k, now, n := p.Key, l.now(), int64(events)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.account(k.ID)
	a.events.give(n, k.Limits.EventRate)
	a.bytes.give(bytes, k.Limits.ByteRate)
	l.count(k.ID, "", now).add(-1, -n, -bytes)
	l.total(k.ID, outcomeNotStored).add(1, n, bytes)
}

// Refused counts what was refused: requests of a key's ID, "" if nobody knows
// it, with as many events and bytes as are known.
func (l *Limits) Refused(key, reason string, requests, events, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(key, reason, l.now()).add(requests, events, bytes)
	l.total(key, reason).add(requests, events, bytes)
}

func (l *Limits) account(id string) *account {
	a := l.keys[id]
	if a == nil {
		a = &account{}
		l.keys[id] = a
	}
	return a
}

func (l *Limits) count(key, reason string, now time.Time) *count {
	id := countID{key, millrace.UnixDay(now), reason}
	c := l.counts[id]
	if c == nil {
		c = &count{}
		l.counts[id] = c
	}
	return c
}

// Outcomes of Totals that are no reasons.
const (
	outcomeTaken     = "taken"
	outcomeNotStored = "not_stored" // taken, and given back
)

func (l *Limits) total(key, outcome string) *count {
	id := countID{key: key, reason: outcome}
	c := l.totals[id]
	if c == nil {
		c = &count{}
		l.totals[id] = c
	}
	return c
}

// Totals returns what this process has counted since it started. Nothing in it
// ever gets less: Reason is taken, not_stored for what of that was given back,
// or why it was refused. The order is random.
func (l *Limits) Totals() []millrace.KeyUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]millrace.KeyUsage, 0, len(l.totals))
	for id, c := range l.totals {
		out = append(out, millrace.KeyUsage{Key: id.key, Reason: id.reason, Requests: c.requests, Events: c.events, Bytes: c.bytes})
	}
	return out
}

func (c *count) add(requests, events, bytes int64) {
	c.requests += requests
	c.events += events
	c.bytes += bytes
	c.dirty = true
}

// Sync writes what was counted since the last time to meta, and reads what
// others have counted today. After an error, of meta, nothing is forgotten.
func (l *Limits) Sync(ctx context.Context) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.seq++
	rows := l.changed()
	if err := l.meta.SetUsage(ctx, l.writer, l.seq, rows); err != nil {
		l.mu.Lock()
		for i := range rows {
			l.counts[countID{rows[i].Key, rows[i].Day, rows[i].Reason}].dirty = true
		}
		l.mu.Unlock()
		return fmt.Errorf("usage of keys: %w", err)
	}
	today := millrace.UnixDay(l.now())
	list, err := l.meta.Usage(ctx, today, l.writer)
	if err != nil {
		return fmt.Errorf("usage of keys: %w", err)
	}
	others := make(map[countID]millrace.KeyUsage, len(list))
	for _, u := range list {
		others[countID{u.Key, u.Day, u.Reason}] = u
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.others = others
	l.forget(today)
	return nil
}

// changed returns the totals that are not written yet, and takes them as
// written.
func (l *Limits) changed() []millrace.KeyUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []millrace.KeyUsage
	for id, c := range l.counts {
		if c.dirty {
			c.dirty = false
			rows = append(rows, millrace.KeyUsage{Key: id.key, Day: id.day, Reason: id.reason, Requests: c.requests, Events: c.events, Bytes: c.bytes})
		}
	}
	return rows
}

// forget drops what is written of days that are over, but for yesterday, to
// which a clock that is set back may return, and accounts that hold nothing
// back. The lock is held.
func (l *Limits) forget(today int64) {
	for id, c := range l.counts {
		if id.day < today-1 && !c.dirty {
			delete(l.counts, id)
		}
	}
	now := l.now()
	for id, a := range l.keys {
		if a.events.idle(now) && a.bytes.idle(now) {
			delete(l.keys, id)
		}
	}
}

// Run syncs at every tick until ctx ends, and a last time then.
func (l *Limits) Run(ctx context.Context, tick <-chan time.Time, log *slog.Logger) {
	var failing bool
	sync := func(ctx context.Context) {
		err := l.Sync(ctx)
		if err != nil && !failing {
			log.Warn("the usage of keys is kept for later; quotas count what this node knows", "err", err)
		}
		failing = err != nil
	}
	for {
		select {
		case <-tick:
			sync(ctx)
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSync)
			defer cancel()
			failing = false
			sync(ctx)
			return
		}
	}
}

// lastSync bounds what a stop waits for meta.
const lastSync = 5 * time.Second

// Today returns what was counted today, by key and reason, here up to now and by
// other nodes up to the last Sync. The order is random.
func (l *Limits) Today() []millrace.KeyUsage {
	l.mu.Lock()
	defer l.mu.Unlock()
	today := millrace.UnixDay(l.now())
	sums := make(map[countID]millrace.KeyUsage, len(l.others))
	for id, u := range l.others {
		if id.day == today {
			sums[id] = u
		}
	}
	for id, c := range l.counts {
		if id.day == today {
			u := sums[id]
			sums[id] = millrace.KeyUsage{
				Key: id.key, Day: id.day, Reason: id.reason,
				Requests: u.Requests + c.requests, Events: u.Events + c.events, Bytes: u.Bytes + c.bytes,
			}
		}
	}
	out := make([]millrace.KeyUsage, 0, len(sums))
	for _, u := range sums {
		out = append(out, u)
	}
	return out
}
