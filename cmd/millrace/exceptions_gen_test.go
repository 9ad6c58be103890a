package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Exceptions of TestExceptionsUnderKills: faults that differ in stack, of some types,
// from several services, hosts, environments, releases and projects, in three forms.

const (
	soakFaults = 48 // multiple of 8
	soakSlots  = 60 // minutes that events lie in, so that cells are few enough to compare
)

// form is how a fault's exceptions are sent.
type form int

const (
	formJSON form = iota
	formCounted
	formSentry
)

func formOf(fault int) form {
	switch fault % 8 {
	case 7:
		return formSentry
	case 5, 6:
		return formCounted
	}
	return formJSON
}

// soakTuple is what the rollup keeps of an event, with the fault in the fingerprint's
// place.
type soakTuple struct {
	project, service, env, release, class, typ, host string
	fault                                            int
}

// soakEvent is one exception, or one that stands for several.
type soakEvent struct {
	soakTuple
	at     time.Time
	weight int64
	user   int
	n      int64
}

// soakMinute is a cell of all dimensions.
type soakMinute struct {
	minute int64 // Unix seconds
	tuple  soakTuple
}

// soakFault is a fault in a project.
type soakFault struct {
	project string
	fault   int
}

// soakStats is what issues know of a fault, in the environments that count.
type soakStats struct {
	count, production int64
	first, last       time.Time
}

// soakOracle counts what was sent, each event once. Safe for concurrent use.
type soakOracle struct {
	mu     sync.Mutex
	cells  map[soakMinute]int64
	faults map[soakFault]*soakStats
	events int64
	weight int64
}

func newSoakOracle() *soakOracle {
	return &soakOracle{cells: map[soakMinute]int64{}, faults: map[soakFault]*soakStats{}}
}

func (o *soakOracle) add(e *soakEvent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cells[soakMinute{e.at.Unix() / 60 * 60, e.soakTuple}] += e.weight
	key := soakFault{e.project, e.fault}
	f := o.faults[key]
	if f == nil {
		f = &soakStats{first: e.at, last: e.at}
		o.faults[key] = f
	}
	f.count += e.weight
	if e.env == "" || e.env == "prod" {
		f.production += e.weight
	}
	if e.at.Before(f.first) {
		f.first = e.at
	}
	if e.at.After(f.last) {
		f.last = e.at
	}
	o.events++
	if formOf(e.fault) == formCounted && e.weight > 1 {
		o.events++ // a sample, and the rest
	}
	o.weight += e.weight
}

// soakMaker makes the events of one client.
type soakMaker struct {
	rng   *rand.Rand
	form  form
	begin time.Time
	total int64 // events that this maker will make
	made  int64
	name  string
}

// pick returns one of n, the first ones more often.
func (m *soakMaker) pick(n int) int { return min(m.rng.IntN(n), m.rng.IntN(n)) }

func (m *soakMaker) next() soakEvent {
	slot := int(m.made * soakSlots / m.total)
	if m.rng.IntN(20) == 0 { // late
		slot = m.rng.IntN(slot + 1)
	}
	e := soakEvent{weight: 1, user: m.rng.IntN(5000), n: m.made}
	e.at = m.begin.Add(time.Duration(slot)*43*time.Minute + time.Duration(m.rng.IntN(60_000_000))*time.Microsecond)
	for {
		if e.fault = m.pick(soakFaults); formOf(e.fault) == m.form {
			break
		}
	}
	e.describe(m.rng)
	if m.form == formCounted {
		e.weight = int64(1 + m.rng.IntN(30))
	}
	m.made++
	return e
}

// describe fills in what follows from the fault, and where it happened.
func (e *soakEvent) describe(rng *rand.Rand) {
	e.project = "default"
	if rng.IntN(10) == 0 && formOf(e.fault) == formJSON {
		e.project = "other"
	}
	e.service = fmt.Sprintf("service%d", e.fault%5)
	e.env = []string{"prod", "prod", "prod", "prod", "staging", ""}[rng.IntN(6)]
	e.release = fmt.Sprintf("1.%d.0", rng.IntN(3))
	e.host = fmt.Sprintf("host%d", rng.IntN(3))
	e.typ = fmt.Sprintf("app.T%dError", e.fault%13)
	e.class = "system"
	if e.fault%13 < 3 {
		e.class = "business"
	}
	if e.project != "default" { // whose sources have no rules
		e.class = ""
	}
	if formOf(e.fault) == formCounted { // which has no release but an attribute
		e.release = ""
	}
}

// soakRules give every exception its class.
const soakRules = `
    rules:
      steps:
        - {set: {error_class: '"system"'}}
        - {set: {error_class: '"business"'}, when: 'type in ["app.T0Error", "app.T1Error", "app.T2Error"]'}
`

func (e *soakEvent) trace() string {
	return fmt.Sprintf("%s: failed for %d\n\tat app.store.Fault%d.run(Fault%d.java:%d)\n\tat app.api.Entry.handle(Entry.java:%d)\n\tat java.base/java.lang.Thread.run(Thread.java:1583)",
		e.typ, e.n, e.fault, e.fault, 10+e.fault, 7)
}

const soakTime = "2006-01-02T15:04:05.000000Z"

// append writes the event as its fault's form has it.
func (e *soakEvent) append(dst []byte) []byte {
	at := e.at.UTC().Format(soakTime)
	switch formOf(e.fault) {
	case formCounted:
		return append(dst, must(json.Marshal(map[string]any{
			"host": e.host, "appCode": e.service, "envName": e.env, "exType": e.typ, "count": e.weight, "sendTime": at, "fault": e.fault,
			"details": []any{map[string]any{"content": "failed", "timestamp": at, "traceId": fmt.Sprintf("c%d", e.n), "stackTrace": e.trace()}},
		}))...)
	case formSentry:
		return append(dst, must(json.Marshal(map[string]any{
			"event_id": fmt.Sprintf("%032x", e.n+1), "timestamp": at, "platform": "java", "environment": e.env, "release": e.release, "server_name": e.host,
			"tags": map[string]any{"service": e.service, "fault": fmt.Sprint(e.fault)}, "user": map[string]any{"id": fmt.Sprint("u", e.user)},
			"exception": map[string]any{"values": []any{map[string]any{"type": e.typ, "value": fmt.Sprintf("failed for %d", e.n), "stacktrace": map[string]any{"frames": []any{
				map[string]any{"module": "app.api.Entry", "function": "handle", "filename": "Entry.java", "lineno": 7, "in_app": true},
				map[string]any{"module": fmt.Sprintf("app.store.Fault%d", e.fault), "function": "run", "filename": "F.java", "lineno": 3, "in_app": true},
			}}}}},
		}))...)
	}
	return append(append(dst, must(json.Marshal(map[string]any{
		"time": at, "level": "error", "service": e.service, "env": e.env, "release": e.release, "host": e.host, "fault": e.fault, "trace_id": fmt.Sprintf("j%d", e.n),
		"user": map[string]any{"id": fmt.Sprint("u", e.user)}, "message": "request failed", "stack_trace": e.trace(),
	}))...), '\n')
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
