package query

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/memory"
	"github.com/millrace/millrace/rollup"
	"github.com/millrace/millrace/sketch"
)

// world is random events in a Store, rolled up by random definitions, and the
// same events to compute answers from one by one.
type world struct {
	rng     *rand.Rand
	events  []millrace.Event
	schemas []millrace.RollupSchema
	store   *counted
	service *Service
	cells   map[string]map[int64]int64 // see cellsOf
	start   time.Time
}

// counted remembers what is read.
type counted struct {
	millrace.Store
	mu    sync.Mutex // Periods reads side by side
	parts []millrace.CellPart
}

func (c *counted) Cells(ctx context.Context, q millrace.CellQuery) (*millrace.CellBatch, error) {
	c.mu.Lock()
	c.parts = q.Parts
	c.mu.Unlock()
	return c.Store.Cells(ctx, q)
}

var (
	worldDims    = []string{"service", "host", "status", "city"}
	worldMetrics = []rollup.NamedMetric{
		{Name: "pv", Expr: "count()"},
		{Name: "speed", Expr: "rate()"},
		{Name: "errors", Expr: "count() where status >= 500"},
		{Name: "cost", Expr: "sum(price, 2)"},
		{Name: "mean", Expr: "avg(rt, 6)"},
		{Name: "least", Expr: "min(rt)"},
		{Name: "most", Expr: `max(rt) where city != "rome"`},
		{Name: "rt", Expr: "quantiles(rt)"},
		{Name: "uv", Expr: "uniq(client_ip)"},
		{Name: "error_rate", Expr: "errors / pv"},
		{Name: "bytes", Expr: "sum(bytes)"},
		{Name: "bps", Expr: "rate(bytes) * 8 - -0"},
	}
)

func (w *world) pick(from ...string) string { return from[w.rng.IntN(len(from))] }

// newWorld makes n events of five days and folds them.
func newWorld(t testing.TB, seed uint64, n int, open func(t testing.TB) millrace.Store) *world {
	t.Helper()
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), start: time.Date(2026, 3, 26, 0, 0, 0, 0, time.UTC)} // a change of the clock within
	for range n {
		w.events = append(w.events, w.event())
	}
	var rollups []*rollup.Rollup
	for i := range 6 {
		var v millrace.Violations
		r := rollup.Compile(w.definition(i), "rollups", &v)
		fail(t, v.Err())
		rollups = append(rollups, r)
		w.schemas = append(w.schemas, r.RollupSchema)
	}
	w.store = &counted{Store: open(t)}
	fail(t, w.store.DefineRollups(t.Context(), w.schemas))
	now := w.start.Add(7 * 24 * time.Hour)
	engine := rollup.NewEngine(rollups, rollup.Limits{Values: 10_000, Workers: 1})
	rows := &millrace.EventRows{}
	for part := range slices.Chunk(w.events, 1000) {
		engine.Fold(now.UnixNano(), slices.Clone(part))
		fail(t, w.store.WriteCells(t.Context(), engine.Drain().Cells, &millrace.Commit{Sink: millrace.SinkRollup}))
	}
	for i := range w.events {
		rows.Append(&millrace.Record{Offset: int64(i), Arrived: now.UnixNano()}, &w.events[i])
	}
	fail(t, w.store.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}))
	for more := true; more; {
		var err error
		more, err = w.store.Maintain(t.Context(), now)
		fail(t, err)
	}
	w.service = New(Deps{Store: w.store, Schemas: w.schemas, Now: func() time.Time { return now }}, DefaultOptions())
	return w
}

func fail(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) event() millrace.Event {
	e := millrace.Event{
		Time: w.start.UnixNano() + w.rng.Int64N(int64(5*24*time.Hour)), Weight: 1 + w.rng.Int64N(3), Kind: millrace.KindAccess,
		Service: w.pick("web", "web", "api", ""), Host: w.pick("a", "b", "c", "d", "e"), Message: w.pick("fine", "timed out"),
	}
	if w.rng.IntN(10) == 0 {
		e.Kind = millrace.KindLog
	}
	e.Set("status", millrace.IntValue([]int64{200, 200, 200, 404, 500, 503}[w.rng.IntN(6)]))
	e.Set("city", millrace.StringValue(w.pick("rome", "oslo", "lima", "kyiv", "bonn", "cork", "bari")))
	if w.rng.IntN(5) > 0 {
		literal := fmt.Sprintf("%.3f", w.rng.Float64()*3)
		var f float64
		_, _ = fmt.Sscan(literal, &f)
		e.Set("rt", millrace.NumberValue(f, literal))
	}
	e.Set("price", millrace.NumberValue(float64(w.rng.IntN(1000))/100-3, fmt.Sprintf("%.2f", float64(w.rng.IntN(1000))/100-3)))
	if v, _ := e.Attr("price"); true { // the literal is what counts
		var f float64
		_, _ = fmt.Sscan(v.String(), &f)
		e.Set("price", millrace.NumberValue(f, v.String()))
	}
	e.Set("bytes", millrace.IntValue(w.rng.Int64N(1e6)))
	e.Set("client_ip", millrace.StringValue(fmt.Sprintf("10.0.%d.%d", w.rng.IntN(4), w.rng.IntN(256))))
	e.Set("plan", millrace.StringValue(w.pick("free", "pro", "team")))
	return e
}

// definition is a rollup of random sets, each kept at random granularities.
func (w *world) definition(i int) rollup.Definition {
	def := rollup.Definition{
		Name: fmt.Sprintf("r%d", i), Where: []string{`kind == "access"`, ""}[i%2], Dimensions: worldDims,
		Metrics: worldMetrics, SetsAt: map[string][][]string{},
	}
	for _, set := range rollup.Cube(worldDims, 3) {
		if w.rng.IntN(2) == 0 {
			continue
		}
		for _, g := range []string{"1m", "1h", "1d"} {
			if w.rng.IntN(3) > 0 {
				def.SetsAt[g] = append(def.SetsAt[g], set)
			}
		}
	}
	def.SetsAt["1h"] = append(def.SetsAt["1h"], worldDims)
	return def
}

// request is a random question with exact ends.
func (w *world) request() RollupRequest {
	units := []time.Duration{time.Minute, 15 * time.Minute, time.Hour, time.Hour, 6 * time.Hour, 24 * time.Hour, 24 * time.Hour}
	if w.rng.IntN(12) == 0 {
		units = []time.Duration{time.Second}
	}
	unit := units[w.rng.IntN(len(units))]
	from := w.start.Add(time.Duration(w.rng.Int64N(int64(4*24*time.Hour)/int64(unit))) * unit)
	to := from.Add(time.Duration(1+w.rng.Int64N(int64(3*24*time.Hour)/int64(unit))) * unit)
	steps := []time.Duration{0, 0, 0, time.Hour, 15 * time.Minute, 24 * time.Hour, 90 * time.Minute, 6 * time.Hour, 7 * 24 * time.Hour}
	req := RollupRequest{
		Rollup: w.schemas[w.rng.IntN(len(w.schemas))].Name, Range: Range{from, to}, ExactFrom: true, ExactTo: true,
		Step: steps[w.rng.IntN(len(steps))], Zone: time.UTC,
	}
	if w.rng.IntN(3) == 0 && req.Step != 90*time.Minute {
		req.Zone = zones[w.rng.IntN(len(zones))]
	}
	dims := slices.Clone(worldDims)
	w.rng.Shuffle(len(dims), func(i, j int) { dims[i], dims[j] = dims[j], dims[i] })
	req.By = slices.Clone(dims[:w.rng.IntN(3)])
	if w.rng.IntN(25) == 0 {
		req.By = append(req.By, "plan")
	}
	if w.rng.IntN(3) == 0 {
		req.Where = w.pick("service:web", "status>=404", "NOT host:a", `city:(rome OR l*)`, "host:a service:api", "status:[200 TO 404]", `service:""`, "city~/^[k-r]/", "status~/^[45]/ host:b")
	}
	if w.rng.IntN(25) == 0 {
		req.Where = w.pick("timed", "plan:pro", "rt>1.5", "plan:free timed")
	}
	metrics := []string{"pv", "speed", "errors", "cost", "mean", "least", "most", "rt_p50", "rt_p99.9", "rt_p90", "uv", "error_rate", "bytes", "bps", "x=cost/pv+1"}
	if w.rng.IntN(25) == 0 {
		metrics = []string{"big=max(bytes)", "pv", `n=count() where plan == "pro"`}
	}
	w.rng.Shuffle(len(metrics), func(i, j int) { metrics[i], metrics[j] = metrics[j], metrics[i] })
	req.Metrics = metrics[:1+w.rng.IntN(3)]
	if w.rng.IntN(6) == 0 {
		req.Having = w.pick("pv > 5", "error_rate <= 0.3 and pv > 1", "not rt_p90 > 1.5 or errors = 0", "cost / pv < 2")
	}
	if w.rng.IntN(5) == 0 {
		req.Order = []string{w.pick("-pv", "errors", "mean desc", "-bytes")}
		if len(req.By) > 0 {
			req.Order = append(req.Order, "-"+req.By[0])
		}
	}
	if w.rng.IntN(6) == 0 {
		req.Limit = 1 + w.rng.IntN(20)
	}
	return req
}

var zones = loadZones("Europe/Berlin", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe")

func loadZones(names ...string) []*time.Location {
	var out []*time.Location
	for _, n := range names {
		loc, err := time.LoadLocation(n)
		if err != nil {
			panic(err)
		}
		out = append(out, loc)
	}
	return out
}

// naive is a group of events, and what is known of it.
type naive struct {
	bucket time.Time
	dims   []string
	events []*millrace.Event
}

// expect answers from the events one by one.
func (w *world) expect(t *testing.T, req RollupRequest) [][]any {
	t.Helper()
	where, err := Parse(req.Where)
	fail(t, err)
	groups := map[string]*naive{}
	for i := range w.events {
		e := &w.events[i]
		at := time.Unix(0, e.Time)
		get := func(name string) string { v, _ := e.Field(name); return v.String() }
		if at.Before(req.Range.From) || !at.Before(req.Range.To) || !where.Match(get) ||
			(req.Rollup[1]-'0')%2 == 0 && e.Kind != millrace.KindAccess {
			continue
		}
		g := naive{bucket: naiveStep(at, req)}
		for _, name := range req.By {
			g.dims = append(g.dims, get(name))
		}
		key := fmt.Sprint(g.bucket.Unix(), g.dims, len(g.dims))
		if groups[key] == nil {
			groups[key] = &g
		}
		groups[key].events = append(groups[key].events, e)
	}
	var rows []*naive
	for _, g := range groups {
		if g.having(req) {
			rows = append(rows, g)
		}
	}
	slices.SortFunc(rows, func(a, b *naive) int {
		for _, o := range req.Order {
			if c := naiveOrder(o, req, a, b); c != 0 {
				return c
			}
		}
		if c := a.bucket.Compare(b.bucket); c != 0 {
			return c
		}
		return slices.Compare(a.dims, b.dims)
	})
	if req.Limit > 0 {
		rows = rows[:min(len(rows), req.Limit)]
	}
	out := [][]any{}
	for _, g := range rows {
		var row []any
		if req.Step > 0 {
			row = append(row, g.bucket.In(req.Zone))
		}
		for _, d := range g.dims {
			row = append(row, d)
		}
		for _, m := range req.Metrics {
			row = append(row, jsonFloat(g.metric(m, req)))
		}
		out = append(out, row)
	}
	return out
}

// naiveStep returns the start of the step by the calendar.
func naiveStep(at time.Time, req RollupRequest) time.Time {
	local := at.In(req.Zone)
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, req.Zone)
	switch {
	case req.Step == 0:
		return req.Range.From
	case req.Step >= 24*time.Hour:
		days := int(req.Step / (24 * time.Hour))
		n := int(time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC).Unix() / 86400)
		return midnight.AddDate(0, 0, -(n % days))
	case req.Zone == time.UTC:
		return time.Unix(at.Unix()-at.Unix()%int64(req.Step/time.Second), 0)
	}
	return midnight.Add(local.Sub(midnight) / req.Step * req.Step)
}

// seconds is the width of the group's step.
func (g *naive) seconds(req RollupRequest) float64 {
	switch {
	case req.Step == 0:
		return req.Range.To.Sub(req.Range.From).Seconds()
	case req.Step < 24*time.Hour:
		next := g.bucket.In(req.Zone)
		end := time.Date(next.Year(), next.Month(), next.Day()+1, 0, 0, 0, 0, req.Zone)
		if req.Zone != time.UTC {
			return min(req.Step, end.Sub(g.bucket)).Seconds()
		}
		return req.Step.Seconds()
	}
	return g.bucket.In(req.Zone).AddDate(0, 0, int(req.Step/(24*time.Hour))).Sub(g.bucket).Seconds()
}

// metric computes a metric of a group; NaN is none.
func (g *naive) metric(name string, req RollupRequest) float64 {
	if base, quantile, ok := strings.Cut(name, "_p"); ok && base == "rt" {
		var hist sketch.Hist
		for _, e := range g.events {
			if v, ok := e.Attr("rt"); ok {
				f, _ := v.Float()
				hist.Add(f, uint64(e.Weight))
			}
		}
		var p float64
		_, _ = fmt.Sscan(quantile, &p)
		return hist.Quantile(p / 100)
	}
	var hll sketch.HLL
	least, most, big := math.NaN(), math.NaN(), math.NaN()
	var pv, errs, cents, n, micros, bytes, pro int64
	for _, e := range g.events {
		num := func(field string) float64 { v, _ := e.Attr(field); f, _ := v.Float(); return f }
		city, _ := e.Attr("city")
		plan, _ := e.Attr("plan")
		ip, _ := e.Attr("client_ip")
		pv += e.Weight
		if num("status") >= 500 {
			errs += e.Weight
		}
		if plan.String() == "pro" {
			pro += e.Weight
		}
		cents += e.Weight * int64(math.RoundToEven(num("price")*100))
		bytes += e.Weight * int64(num("bytes"))
		big = fmax(big, num("bytes"))
		hll.AddHash(max(1, xxhash.Sum64String(ip.String())))
		if _, ok := e.Attr("rt"); !ok {
			continue
		}
		n += e.Weight
		micros += e.Weight * int64(math.RoundToEven(num("rt")*1e6))
		least = -fmax(-least, -num("rt"))
		if city.String() != "rome" {
			most = fmax(most, num("rt"))
		}
	}
	switch name {
	case "pv":
		return float64(pv)
	case "speed":
		return float64(pv) / g.seconds(req)
	case "errors":
		return float64(errs)
	case "cost":
		return float64(cents) / 100
	case "mean":
		return float64(micros) / 1e6 / float64(n)
	case "least":
		return least
	case "most":
		return most
	case "uv":
		return float64(hll.Estimate())
	case "error_rate":
		return float64(errs) / float64(pv)
	case "bytes":
		return float64(bytes)
	case "bps":
		return float64(bytes) / g.seconds(req) * 8
	case "x=cost/pv+1":
		return float64(cents)/100/float64(pv) + 1
	case "big=max(bytes)":
		return big
	case `n=count() where plan == "pro"`:
		return float64(pro)
	}
	panic("no metric " + name)
}

func fmax(a, b float64) float64 {
	if !(a >= b) {
		return b
	}
	return a
}

func (g *naive) having(req RollupRequest) bool {
	m := func(name string) float64 { return g.metric(name, req) }
	switch req.Having {
	case "pv > 5":
		return m("pv") > 5
	case "error_rate <= 0.3 and pv > 1":
		return m("error_rate") <= 0.3 && m("pv") > 1
	case "not rt_p90 > 1.5 or errors = 0":
		return !(m("rt_p90") > 1.5) || m("errors") == 0
	case "cost / pv < 2":
		return m("cost")/m("pv") < 2
	}
	return true
}

func naiveOrder(key string, req RollupRequest, a, b *naive) int {
	name, desc := strings.CutPrefix(key, "-")
	name, after := strings.CutSuffix(name, " desc")
	sign := 1
	if desc || after {
		sign = -1
	}
	if i := slices.Index(req.By, name); i >= 0 {
		return sign * strings.Compare(a.dims[i], b.dims[i])
	}
	x, y := a.metric(name, req), b.metric(name, req)
	switch {
	case math.IsNaN(x) || math.IsNaN(y):
		return boolInt(math.IsNaN(x)) - boolInt(math.IsNaN(y))
	case x < y:
		return -sign
	case x > y:
		return sign
	}
	return 0
}

func jsonFloat(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

// sameRows compares answers: numbers within what the order of floating-point
// operations leaves open, all else exactly.
func sameRows(got, want [][]any) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d rows, want %d", len(got), len(want))
	}
	for i := range got {
		for j := range got[i] {
			x, y := got[i][j], want[i][j]
			if a, ok := x.(time.Time); ok {
				if b, ok := y.(time.Time); !ok || !a.Equal(b) {
					return fmt.Sprintf("row %d: step %v, want %v", i, x, y)
				}
				continue
			}
			if n, ok := x.(json.Number); ok {
				x, _ = n.Float64()
			}
			a, b := Float(x), Float(y)
			if math.Abs(a-b) <= 1e-12*math.Abs(b) || fmt.Sprint(x) == fmt.Sprint(y) {
				continue
			}
			return fmt.Sprintf("row %d column %d: %v, want %v", i, j, x, y)
		}
	}
	return ""
}

func TestRandomQueriesInMemory(t *testing.T) {
	testRandomQueries(t, 400, 200, func(testing.TB) millrace.Store { return memory.New() })
}

// Preparing statements is what takes the time: MILLRACE_SOAK=1 asks the 2,000
// questions that the planner is accepted by, in about a minute.
func TestRandomQueriesInDuckDB(t *testing.T) {
	n := 400
	if os.Getenv("MILLRACE_SOAK") != "" {
		n = 2_000
	}
	testRandomQueries(t, n, 1_500, openDuckDB)
}

func openDuckDB(t testing.TB) millrace.Store {
	t.Helper()
	db, err := duckdb.Open(t.Context(), duckdb.DefaultOptions(), filepath.Join(t.TempDir(), "millrace.duckdb"), time.Now, slog.New(slog.DiscardHandler))
	fail(t, err)
	t.Cleanup(func() { fail(t, db.Close()) })
	return db
}

// testRandomQueries asks random questions, compares each answer with that of the
// events one by one, and each plan with all others.
func testRandomQueries(t *testing.T, n, events int, open func(testing.TB) millrace.Store) {
	const worlds = 2
	sources := map[string]int{}
	for seed := range uint64(worlds) {
		w := newWorld(t, seed, events, open)
		for i := range n / worlds {
			req := w.request()
			w.store.parts = nil
			res, err := w.service.Rollup(t.Context(), req)
			if err != nil {
				t.Fatalf("seed %d, question %d, %+v: %v", seed, i, req, err)
			}
			if diff := sameRows(res.Rows, w.expect(t, req)); diff != "" {
				t.Fatalf("seed %d, question %d, %+v, from %s: %s", seed, i, req, res.Source, diff)
			}
			sources[res.Source]++
			w.checkPlan(t, req, res.Source, i%8 == 0)
		}
	}
	t.Logf("%d questions: %v", n, sources)
	for _, must := range []string{"raw", "1m", "1h", "1d", "1d+1h", "1h+1m"} {
		if sources[must] == 0 {
			t.Errorf("no question was answered from %s: %v", must, sources)
		}
	}
}
