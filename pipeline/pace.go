package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/millrace/millrace"
)

// pace bounds how fast a worker of a group reads, so that what it holds can be
// stored in about the time of a flush interval: a store that several workers
// write to slows down for reasons that no worker sees, and what waits in a worker
// is lost to the others when its partitions are shared out anew. Before the
// first flush, and while the store keeps up, nothing is held back.
//
// Each sink has an estimator; the slower one decides. Safe for concurrent use.
type pace struct {
	free bool // no controller: only a limit that was set bounds

	mu      sync.Mutex
	now     func() time.Time
	most    float64 // events a second that were set as the limit; 0: none
	sinks   map[millrace.Sink]*estimator
	ahead   float64   // events handed on that the rate has not yet allowed
	checked time.Time // when ahead was last brought up to date
}

func newPace(now func() time.Time) *pace {
	return &pace{now: now, sinks: map[millrace.Sink]*estimator{}}
}

// estimator is the PID controller with which Spark Streaming sizes its polls
// (PIDRateEstimator, SPARK-8834), with its gains: the error is how much faster
// events were let in than they were stored, its integral is what had to wait.
type estimator struct {
	Rate  float64 // events a second
	Delay time.Duration
	Error float64
}

// The gains, and the rate below which the controller never goes: it must see
// flushes to know that the store has recovered.
const (
	gainProportional = 1.0
	gainIntegral     = 0.2
	leastRate        = 100
	greatestRate     = 1e9 // as good as none
)

// update learns from a flush: so many events took so long to be stored, after
// having waited for a delay longer than the interval asks for.
//
// A flush of few events costs nearly as much as one of many, so that what it
// stored a second says little of what could be: while flushes take less than half
// of the interval the rate only grows.
func (e *estimator) update(events int, took, delay, interval time.Duration) {
	if events == 0 || took <= 0 {
		return
	}
	stored := float64(events) / took.Seconds()
	e.Delay = max(0, delay)
	if took < interval/2 && e.Delay == 0 {
		e.Rate, e.Error = min(2*max(e.Rate, stored), greatestRate), 0
		return
	}
	if e.Rate == greatestRate {
		e.Rate = stored
	}
	e.Error = e.Rate - stored
	waiting := e.Delay.Seconds() * stored / interval.Seconds()
	e.Rate = max(leastRate, e.Rate-gainProportional*e.Error-gainIntegral*waiting)
}

// flushed tells the pace what a sink's flush took.
func (p *pace) flushed(sink millrace.Sink, events int, took, delay, interval time.Duration) {
	if p == nil || p.free {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.sinks[sink]
	if e == nil {
		e = &estimator{Rate: greatestRate}
		p.sinks[sink] = e
	}
	e.update(events, took, delay, interval)
}

// limit sets how many events a second are let in at most, 0 for as many as the
// controller says.
func (p *pace) limit(rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = rate
}

// rate returns the events a second that may be read: what both sinks can store,
// unless the limit that was set is less. Called with mu held.
func (p *pace) rate() (rate float64, limited bool) {
	rate = greatestRate
	for _, e := range p.sinks {
		rate = min(rate, e.Rate)
	}
	if p.most > 0 && p.most < rate {
		return p.most, true
	}
	return rate, false
}

// burst is how much may be read at once, in seconds of the rate: a poll brings
// several records, and flushes are a second apart.
const burst = 1.0

// take counts events that are about to be handed on and returns how long to
// wait before.
func (p *pace) take(events int) time.Duration {
	wait, _ := p.count(events)
	return wait
}

// count is take; limited tells whether the limit that was set decides.
func (p *pace) count(events int) (wait time.Duration, limited bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	rate, limited := p.rate()
	if rate == greatestRate {
		p.ahead, p.checked = 0, now
		return 0, false
	}
	p.ahead = max(0, p.ahead-rate*now.Sub(p.checked).Seconds()) + float64(events)
	p.checked = now
	if p.ahead <= burst*rate {
		return 0, limited
	}
	return time.Duration((p.ahead/rate - burst) * float64(time.Second)), limited
}

// hold waits until events may be handed on; false if ctx ended before.
func (p *pace) hold(ctx context.Context, events int) bool {
	if p == nil {
		return true
	}
	held := time.Duration(0)
	for {
		wait, limited := p.count(events)
		if wait <= 0 || held >= longestHold && !limited {
			return true
		}
		wait = min(wait, holdStep)
		if !sleep(ctx, wait) {
			return false
		}
		held, events = held+wait, 0
	}
}

// longestHold bounds a wait that was computed from a rate which may be outdated:
// the controller must see flushes. A limit that was set is kept however long that
// takes, but looked at again every holdStep, since it may be lifted.
const (
	longestHold = 5 * time.Second
	holdStep    = 250 * time.Millisecond
)

// PaceStatus is the state of the controller of one sink.
type PaceStatus struct {
	Sink  millrace.Sink
	Rate  float64       // events a second that it lets in
	Error float64       // how much more it let in than was stored, events a second
	Delay time.Duration // how long the newest flush had to wait
}

func (p *pace) status() (out []PaceStatus) {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		if e := p.sinks[sink]; e != nil {
			out = append(out, PaceStatus{sink, e.Rate, e.Error, e.Delay})
		}
	}
	return out
}

// Unbounded reports whether the controller lets everything in.
func (s *PaceStatus) Unbounded() bool { return s.Rate >= greatestRate }
