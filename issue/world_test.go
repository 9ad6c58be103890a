package issue

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/issuetest"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/rollup"
)

// world is a service over stores that hold what was thrown.
type world struct {
	t       testing.TB
	store   millrace.Store
	issues  millrace.Issues
	engine  *rollup.Engine
	query   *query.Service
	service *Service
	clock   *clock
	events  []millrace.Event
	offset  int64
}

// newWorld returns an empty world; nil stores are those in memory, no sets those of
// the defaults.
func newWorld(t testing.TB, store millrace.Store, issues millrace.Issues, sets ...[]string) *world {
	t.Helper()
	if store == nil {
		store = memory.New()
	}
	if issues == nil {
		issues = issuetest.New()
	}
	defs := rollup.Defaults()
	at := slices.IndexFunc(defs, func(d rollup.Definition) bool { return d.Name == Rollup })
	if len(sets) > 0 {
		defs[at].Sets = sets
	}
	var v millrace.Violations
	compiled := rollup.Compile(defs[at], "exceptions", &v)
	ok(t, v.Err())
	schemas := []millrace.RollupSchema{compiled.RollupSchema}
	ok(t, store.DefineRollups(t.Context(), schemas))
	w := &world{
		t: t, store: store, issues: issues, clock: &clock{testStart},
		engine: rollup.NewEngine([]*rollup.Rollup{compiled}, rollup.Limits{Values: 200_000, Workers: 1}),
	}
	w.query = query.New(query.Deps{Store: store, Schemas: schemas, Now: w.clock.Now}, query.DefaultOptions())
	w.service = New(Deps{Store: issues, Query: w.query, Now: w.clock.Now, Log: slog.New(slog.DiscardHandler), Options: DefaultOptions()})
	return w
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// thrown is one exception.
type thrown struct {
	fingerprint, typ, env, service, host, release, user string
	at                                                  time.Time
	weight                                              int64
}

func (e *thrown) event(project string) millrace.Event {
	out := millrace.Event{
		Time: e.at.UnixNano(), Weight: e.weight, Kind: millrace.KindException, Project: project, Source: "test",
		Service: e.service, Host: e.host, Env: e.env, Release: e.release, Message: e.typ + ": it broke",
	}
	r := millrace.Report{Language: "java", Exception: &millrace.Exception{
		Type: e.typ, Message: "it broke", Frames: []millrace.Frame{{Module: "shop." + e.fingerprint, Function: "run", File: "Shop.java", Line: 7, InApp: true}},
	}}
	out.Set(millrace.AttrType, millrace.StringValue(e.typ))
	out.Set(millrace.AttrFingerprint, millrace.StringValue(e.fingerprint))
	out.Set(millrace.AttrReport, millrace.JSONValue(string(exception.AppendReport(nil, &r))))
	if e.user != "" {
		out.Set(millrace.AttrUser, millrace.StringValue(e.user))
	}
	return out
}

// throw stores exceptions as the pipeline does.
func (w *world) throw(project string, list ...thrown) {
	w.t.Helper()
	var events []millrace.Event
	var seen []millrace.Sighting
	rows := &millrace.EventRows{}
	for i := range list {
		e := list[i].event(project)
		events = append(events, e)
		w.offset++
		rows.Append(&millrace.Record{Offset: w.offset, Arrived: w.clock.now.UnixNano()}, &e)
		report, _ := e.Attr(millrace.AttrReport)
		seen = append(seen, millrace.Sighting{
			Project: project, Fingerprint: list[i].fingerprint, Env: e.Env, First: e.Time, Last: e.Time, FirstRelease: e.Release, LastRelease: e.Release,
			Type: list[i].typ, Title: "it broke", Service: e.Service, Report: []byte(report.String()),
		})
	}
	ok(w.t, w.service.See(w.t.Context(), seen))
	w.events = append(w.events, events...)
	ok(w.t, w.store.WriteEvents(w.t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	w.engine.Fold(w.clock.now.UnixNano(), slices.Clone(events))
	ok(w.t, w.store.WriteCells(w.t.Context(), w.engine.Drain().Cells, &millrace.Commit{Sink: millrace.SinkRollup}))
}

// randomThrown returns n exceptions of the two weeks before now.
func randomThrown(rnd *rand.Rand, n, fingerprints int, now time.Time) []thrown {
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	out := make([]thrown, n)
	for i := range out {
		k := rnd.IntN(fingerprints)
		out[i] = thrown{
			fingerprint: fmt.Sprintf("2:%016x", k), typ: fmt.Sprintf("shop.T%d", k%7), env: pick("production", "", "live", "staging"),
			service: pick("api", "web"), host: fmt.Sprint("host", rnd.IntN(30)), release: pick("1.0", "1.1", ""),
			user: pick("", "ann", "bob", "cid", "dan", "eve"), at: now.Add(-time.Duration(rnd.Int64N(int64(16 * day)))), weight: 1 + rnd.Int64N(5),
		}
	}
	return out
}
