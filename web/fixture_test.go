package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/rollup"
)

// fixture is a server over a store in memory with three hours of traffic: two
// services, a deployment that goes wrong 40 minutes before now, exceptions.
type fixture struct {
	*httptest.Server
	now   time.Time
	store *memory.Store
	query *query.Service
	fake  *fakeIssues
	guard *auth.Guard
}

// noSQL is memory with a table of hosts instead of SQL, which it does not have.
type noSQL struct{ *memory.Store }

func (noSQL) SQL(_ context.Context, stmt string, _ millrace.SQLLimits) (*millrace.Table, error) {
	if stmt == "select bad" {
		return nil, millrace.Errorf(millrace.ErrInvalid, "sql: there is no column bad")
	}
	return &millrace.Table{
		Columns: []string{"host", "n"}, Types: []string{"VARCHAR", "BIGINT"},
		Rows: [][]any{{"web-1", int64(4211)}, {"web-2", int64(3977)}, {"web-3", int64(12)}},
	}, nil
}

type setting struct {
	now   time.Time
	lines int // per minute, 0 is an empty store
	guard *auth.Guard
	ready func(context.Context) error
	// issues is what fills the issues; nil leaves them empty.
	issues func(*fakeIssues)
}

func newFixture(t testing.TB, set setting) *fixture {
	t.Helper()
	f := &fixture{now: set.now, store: memory.New()}
	rollups := compileDefaults(t)
	var schemas []millrace.RollupSchema
	for _, r := range rollups {
		schemas = append(schemas, r.RollupSchema)
	}
	must(t, f.store.DefineRollups(t.Context(), schemas))
	if set.lines > 0 {
		f.load(t, rollups, set.lines)
	}
	now := func() time.Time { return set.now }
	f.query = query.New(query.Deps{
		Store: noSQL{f.store}, Schemas: schemas, Now: now,
		Watermark: func() time.Time { return f.now.Add(-90 * time.Second) },
		Status:    func() query.PipelineStatus { return status(f.now) },
	}, query.DefaultOptions())
	if set.guard == nil {
		set.guard = auth.NewGuard(auth.Options{Require: auth.RequireAuto}, true, nil, now)
	}
	f.fake, f.guard = newFakeIssues(set.now), set.guard
	if set.issues != nil {
		set.issues(f.fake)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector())
	h, err := New(Deps{
		Query: f.query, Guard: set.guard, Now: now, Metrics: registry, Version: "test", Ready: set.ready, Issues: f.fake,
		Ingest: map[string]http.Handler{
			"/ingest": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ingest") }),
		},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	must(t, err)
	f.Server = httptest.NewServer(h)
	t.Cleanup(f.Close)
	return f
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func compileDefaults(t testing.TB) []*rollup.Rollup {
	t.Helper()
	var v millrace.Violations
	var out []*rollup.Rollup
	for _, d := range rollup.Defaults() {
		out = append(out, rollup.Compile(d, "rollups", &v))
	}
	must(t, v.Err())
	return out
}

func status(now time.Time) query.PipelineStatus {
	return query.PipelineStatus{
		Version: "test", Started: now.Add(-26 * time.Hour), Received: query.Rate{Events: 1843, Bytes: 713_000},
		Partitions: []query.PartitionStatus{{Partition: 0, Generation: 1, Start: 100, End: 5231, LastAppend: now}, {Partition: 1, Generation: 1, End: 4980, LastAppend: now}},
		Sinks: []query.SinkStatus{
			{Sink: millrace.SinkEvents, Partition: 0, Offset: 5229, Records: 2, Seconds: 0.7, LastFlush: now.Add(-time.Second), FlushTime: 0.081, Rate: query.Rate{Events: 930}},
			{Sink: millrace.SinkEvents, Partition: 1, Offset: 4980, LastFlush: now.Add(-time.Second), FlushTime: 0.08, Rate: query.Rate{Events: 913}},
			{Sink: millrace.SinkRollup, Partition: 0, Offset: 5210, Records: 21, Seconds: 4.2, LastFlush: now.Add(-4 * time.Second), FlushTime: 0.4, Rate: query.Rate{Events: 921}},
			{Sink: millrace.SinkRollup, Partition: 1, Offset: 4961, Records: 19, Seconds: 4.2, LastFlush: now.Add(-4 * time.Second), FlushTime: 0.4, Rate: query.Rate{Events: 922}},
		},
		Rollups: query.RollupStatus{Bytes: 41 << 20, Peak: 97 << 20, Limit: 192 << 20, Dictionaries: 7 << 20, OpenCells: 52_113, EarlyFlushes: 3},

		QueueBytes: 1_412_000_000, DiskFree: 61_000_000_000, DiskTotal: 100_000_000_000, MemoryBytes: 612 << 20, MemoryLimit: 2 << 30,
	}
}

var paths = []string{"/", "/api/cart", "/api/checkout", "/products/42", "/products/7", "/search", "/login", "/static/app.js", "/docs/getting started", "/api/v2/orders/export?"}

var exceptionsOf = []struct{ typ, message string }{
	{"java.lang.IllegalStateException", "cart 8f31 is already checked out"},
	{"java.net.SocketTimeoutException", "Read timed out: payments.internal:8443"},
	{"TypeError", "Cannot read properties of null (reading 'price')"},
}

// load writes lines per minute and a few exceptions, through the engine that
// the pipeline uses, and accounts for them.
func (f *fixture) load(t testing.TB, rollups []*rollup.Rollup, lines int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	eng := rollup.NewEngine(rollups, rollup.Limits{Values: 10_000})
	rows := &millrace.EventRows{}
	var ledger []millrace.LedgerEntry
	offset := int64(0)
	for minute := f.now.Add(-3 * time.Hour).Truncate(time.Minute); minute.Before(f.now); minute = minute.Add(time.Minute) {
		events := f.minute(rng, minute, lines)
		rec := &millrace.Record{Offset: offset, Arrived: minute.Add(time.Minute).UnixNano(), Project: "default", Source: "web"}
		offset++
		eng.Fold(0, events)
		for i := range events {
			events[i].Ordinal = int32(i)
			rows.Append(rec, &events[i])
		}
		n, arrival := int64(len(events)), millrace.Minute.Floor(rec.Arrived/1e9)
		for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
			entry := func(o millrace.Outcome, reason, example string, n int64) {
				ledger = append(ledger, millrace.LedgerEntry{Sink: sink, Project: "default", Source: "web", Minute: arrival, Outcome: o, Reason: reason, Events: n, Weight: n, Example: example})
			}
			entry(millrace.OutcomeReceived, "", "", n+3)
			entry(millrace.OutcomeStored, "", "", n)
			entry(millrace.OutcomeDuplicate, "", "", 2)
			entry(millrace.OutcomeRejected, "bad_json", `{"time":"2026-05-20T10:00:00Z","msg":"cut off in the mid`, 1)
		}
	}
	ledger = append(ledger,
		millrace.LedgerEntry{Sink: millrace.SinkRollup, Minute: millrace.Minute.Floor(f.now.Unix()) - 600, Outcome: millrace.OutcomeFolded, Reason: "traffic.url", Weight: 1203},
		millrace.LedgerEntry{Sink: millrace.SinkRollup, Minute: millrace.Minute.Floor(f.now.Unix()) - 600, Outcome: millrace.OutcomeFolded, Reason: "traffic [service,url]", Weight: 88})
	drained := eng.Drain()
	must(t, f.store.WriteEvents(t.Context(), rows, &millrace.Commit{
		Sink: millrace.SinkEvents, Ledger: bySink(ledger, millrace.SinkEvents),
		Gaps:     []millrace.Gap{{Sink: millrace.SinkEvents, Partition: 0, Generation: 1, From: 40, To: 52, Found: f.now.Add(-time.Hour).UnixNano(), Reason: "the log was cut off behind offset 40"}},
		SetAside: []millrace.SetAside{{Sink: millrace.SinkEvents, Offset: 77, Ordinal: -1, Time: f.now.Add(-2 * time.Hour).UnixNano(), Project: "default", Source: "web", Stage: "decode", Reason: "panic: index out of range", Payload: []byte("\x00garbage")}},
	}))
	must(t, f.store.WriteCells(t.Context(), drained.Cells, &millrace.Commit{
		Sink: millrace.SinkRollup, Ledger: bySink(ledger, millrace.SinkRollup), Admitted: drained.Admitted,
	}))
	for {
		more, err := f.store.Maintain(t.Context(), f.now)
		must(t, err)
		if !more {
			return
		}
	}
}

func bySink(all []millrace.LedgerEntry, sink millrace.Sink) (out []millrace.LedgerEntry) {
	for _, e := range all {
		if e.Sink == sink {
			out = append(out, e)
		}
	}
	return out
}

// minute makes the events of one minute.
func (f *fixture) minute(rng *rand.Rand, minute time.Time, lines int) []millrace.Event {
	wave := 1 + 0.35*math.Sin(float64(minute.Unix())/1500) + 0.12*rng.NormFloat64()
	broken := f.now.Sub(minute) < 40*time.Minute && f.now.Sub(minute) > 15*time.Minute
	var out []millrace.Event
	for range max(1, int(float64(lines)*wave)) {
		out = append(out, access(rng, minute, broken))
	}
	failures := rng.IntN(3)
	if broken {
		failures += 6
	}
	for range failures {
		x := exceptionsOf[rng.IntN(len(exceptionsOf))]
		e := millrace.Event{
			Time: minute.Add(time.Duration(rng.Int64N(60e9))).UnixNano(), Weight: 1, Kind: millrace.KindException,
			Project: "default", Source: "app", Service: "checkout", Host: "app-1", Level: "error",
			Message: x.typ + ": " + x.message + "\n\tat shop.Cart.checkout(Cart.java:88)\n\tat shop.Api.post(Api.java:31)",
		}
		e.Set(millrace.AttrType, millrace.StringValue(x.typ))
		e.Set(millrace.AttrFingerprint, millrace.StringValue(fmt.Sprintf("%x", len(x.message))))
		out = append(out, e)
	}
	return out
}

func access(rng *rand.Rand, minute time.Time, broken bool) millrace.Event {
	url := paths[int(math.Min(float64(len(paths)-1), rng.ExpFloat64()*2.2))]
	service := "shop"
	if strings.HasPrefix(url, "/api") {
		service = "checkout"
	}
	status, rt := 200, 0.02+0.05*rng.ExpFloat64()
	switch p := rng.Float64(); {
	case broken && service == "checkout" && p < 0.3:
		status, rt = 503, 1.5+rng.Float64()
	case p < 0.004:
		status = 500
	case p < 0.04:
		status = 404
	case p < 0.09:
		status = 304
	}
	ip := fmt.Sprintf("10.%d.%d.%d", rng.IntN(2), rng.IntN(30), rng.IntN(9))
	e := millrace.Event{
		Time: minute.Add(time.Duration(rng.Int64N(60e9))).UnixNano(), Weight: 1, Kind: millrace.KindAccess,
		Project: "default", Source: "web", Service: service, Host: fmt.Sprintf("web-%d", 1+rng.IntN(2)),
		Message: fmt.Sprintf(`%s - - "GET %s HTTP/1.1" %d 5120 %.3f`, ip, url, status, rt),
	}
	e.Set(millrace.AttrURL, millrace.StringValue(url))
	e.Set(millrace.AttrMethod, millrace.StringValue("GET"))
	e.Set(millrace.AttrStatus, millrace.IntValue(int64(status)))
	e.Set(millrace.AttrBytes, millrace.IntValue(5120))
	e.Set(millrace.AttrRT, millrace.FloatValue(rt))
	e.Set(millrace.AttrClientIP, millrace.StringValue(ip))
	return e
}
