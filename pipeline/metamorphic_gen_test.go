package pipeline

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// scenario is one random case of the metamorphic test: definitions, a log, and
// the limits it is folded with. It is a function of its seed and size.
type scenario struct {
	seed     uint64
	opts     Options
	versions []*version
	parts    int32
	records  []*entry // in the order of appending
	events   int
	poison   bool // some events make the engine panic
	racy     bool // the store's transactions run while the sink goes on
}

// version is the definitions between two reloads.
type version struct {
	defs    []rollup.Definition
	wheres  map[string]func(*millrace.Event) bool // by rollup, written apart from package rollup
	rollups []*rollup.Rollup
}

// entry is a record of the log with its events.
type entry struct {
	rec     *millrace.Record
	events  []millrace.Event
	rejects []millrace.Reject
	hole    int64 // offsets missing before it
}

// poisonText marks the events that make the engine of a test panic.
const poisonText = "poison"

// The fields of events that rollups may use. Every event has the columns; of
// the attributes one in ten is missing.
var (
	genDims    = []string{"service", "host", "env", "source", "kind", "url", "status", "city", "flag", "size", "blob", "user", "id", "rare"}
	genMetrics = []string{
		"count()", "rate()", "sum(n)", "sum(amount, 2)", "sum(huge)", "sum(neg, 3)", "sum(text, 1)", "avg(n)", "avg(rt, 3)",
		"avg(text)", "min(neg)", "max(neg)", "min(n)", "max(text)", "quantiles(rt)", "quantiles(neg)", "quantiles(text)",
		"quantiles(n, 0.5, 0.999)", "uniq(user)", "uniq(status)", "uniq(id)", "uniq(rare)", "min(flag)", "sum(user)",
	}
	genWheres = []struct {
		text string
		take func(*millrace.Event) bool
	}{
		{"", func(*millrace.Event) bool { return true }},
		{`service == "s1"`, func(e *millrace.Event) bool { return e.Service == "s1" }},
		{`kind != "log"`, func(e *millrace.Event) bool { return e.Kind != millrace.KindLog }},
		{`status >= 300 and not (env in ["e0", "e2"])`, func(e *millrace.Event) bool {
			v, ok := e.Attr("status")
			f, _ := v.Float()
			return ok && f >= 300 && e.Env != "e0" && e.Env != "e2"
		}},
		{`url contains "1" or n < 0`, func(e *millrace.Event) bool {
			u, _ := e.Attr("url")
			v, ok := e.Attr("n")
			f, _ := v.Float()
			return strings.Contains(u.String(), "1") || ok && f < 0
		}},
	}
)

// generator draws a scenario.
type generator struct {
	rng     *rand.Rand
	sc      *scenario
	card    map[string]int // distinct values of a field
	unit    bool           // all weights are 1
	capped  bool           // sets have a cap: a count is kept to see what is folded
	arrived int64
	seqs    map[string]int64
	ids     int

	perRecord int // events in a record, at most
}

// newScenario draws the scenario of a seed with about size events.
func newScenario(seed uint64, size int) *scenario {
	g := &generator{
		rng: rand.New(rand.NewPCG(seed, 77)), sc: &scenario{seed: seed}, card: map[string]int{}, seqs: map[string]int64{},
		arrived: time.Date(2026, 3, 1, 11, 58, 0, 0, time.UTC).UnixNano(),
	}
	for _, f := range genDims {
		g.card[f] = g.cardinality()
	}
	g.unit = g.chance(40)
	g.perRecord = max(40, size/50)
	g.limits(size)
	g.definitions(size)
	for g.sc.events < size {
		g.record()
	}
	return g.sc
}

// cardinality draws how many values a field has, up to about 1,100.
func (g *generator) cardinality() int { return 1 + int(math.Exp(g.rng.Float64()*7)) }

// chance is true with a probability in percent.
func (g *generator) chance(percent int) bool { return g.rng.IntN(100) < percent }

func (g *generator) limits(size int) {
	sc := g.sc
	sc.parts = 1 + g.rng.Int32N(3)
	sc.poison = g.chance(4) && size < 1000
	sc.racy = g.chance(10)
	o := DefaultOptions()
	if g.chance(40) {
		o.DimensionValues = 1 + g.rng.IntN(40)
	}
	if g.capped = g.chance(30); g.capped {
		o.SetCells = 1 + g.rng.IntN(60)
	}
	if g.chance(30) {
		o.ValueAge = millrace.Duration(time.Duration(1+g.rng.IntN(120)) * time.Minute)
	}
	if g.chance(25) {
		o.RollupMemory = millrace.Bytes(1024 * math.Exp(5*g.rng.Float64())) // up to 148 KiB
	}
	o.RollupWorkers = g.rng.IntN(4)
	sc.opts = o
}

// definitions draws the first version and up to three reloads, each of which
// changes the one before.
func (g *generator) definitions(size int) {
	var defs []rollup.Definition
	for i := range 1 + g.rng.IntN(2) {
		def := rollup.Definition{Name: string(rune('a' + i))}
		for range 1 + g.rng.IntN(5) {
			g.addDimension(&def)
		}
		for range 1 + g.rng.IntN(6) {
			g.addSet(&def)
		}
		if g.capped {
			g.addMetric(&def, "count()")
		}
		for range 1 + g.rng.IntN(5) {
			g.addMetric(&def, genMetrics[g.rng.IntN(len(genMetrics))])
		}
		defs = append(defs, def)
	}
	wheres := map[string]func(*millrace.Event) bool{}
	g.pickWheres(defs, wheres, 100)
	if size >= 1000 { // enough for distinct counts that are estimates
		def := &defs[0]
		def.Where, wheres[def.Name] = "", genWheres[0].take
		def.Sets = append(def.Sets, []string{})
		g.addMetric(def, "uniq(id)")
	}
	g.version(defs, wheres)
	for range g.rng.IntN(4) {
		defs, wheres = slices.Clone(defs), mapClone(wheres)
		for i := range defs {
			g.change(&defs[i])
		}
		g.pickWheres(defs, wheres, 10)
		g.version(defs, wheres)
	}
}

func mapClone[V any](m map[string]V) map[string]V {
	out := map[string]V{}
	for k, v := range m {
		out[k] = v
	}
	return out
}

func (g *generator) pickWheres(defs []rollup.Definition, wheres map[string]func(*millrace.Event) bool, percent int) {
	for i := range defs {
		if g.chance(percent) {
			w := genWheres[g.rng.IntN(len(genWheres))]
			if g.chance(50) {
				w = genWheres[0]
			}
			defs[i].Where, wheres[defs[i].Name] = w.text, w.take
		}
	}
}

func (g *generator) change(def *rollup.Definition) {
	def.Sets, def.Metrics, def.Dimensions = slices.Clone(def.Sets), slices.Clone(def.Metrics), slices.Clone(def.Dimensions)
	if g.chance(40) {
		g.addDimension(def)
	}
	for range g.rng.IntN(3) {
		g.addSet(def)
	}
	if g.chance(50) {
		g.addMetric(def, genMetrics[g.rng.IntN(len(genMetrics))])
	}
	if len(def.Sets) > 1 && g.chance(30) {
		def.Sets = slices.Delete(def.Sets, 0, 1)
	}
	if len(def.Metrics) > 2 && g.chance(20) {
		def.Metrics = slices.Delete(def.Metrics, 1, 2) // the first one may be the count
	}
}

// addDimension puts a dimension somewhere, so that the indexes of others move,
// and mostly into a set.
func (g *generator) addDimension(def *rollup.Definition) {
	d := genDims[g.rng.IntN(len(genDims))]
	if slices.Contains(def.Dimensions, d) {
		return
	}
	def.Dimensions = slices.Insert(def.Dimensions, g.rng.IntN(len(def.Dimensions)+1), d)
	if g.chance(80) {
		def.Sets = append(def.Sets, []string{d})
	}
}

func (g *generator) addSet(def *rollup.Definition) {
	set := []string{}
	for _, d := range def.Dimensions {
		if g.chance(45) {
			set = append(set, d)
		}
	}
	g.rng.Shuffle(len(set), func(i, j int) { set[i], set[j] = set[j], set[i] })
	if g.chance(15) {
		if def.SetsAt = mapClone(def.SetsAt); def.SetsAt == nil {
			def.SetsAt = map[string][][]string{}
		}
		at := []string{"1m", "1h", "1d"}[g.rng.IntN(3)]
		def.SetsAt[at] = append(slices.Clone(def.SetsAt[at]), set)
		return
	}
	def.Sets = append(def.Sets, set)
}

// addMetric names a metric after its expression, so that a name means the same
// in all versions.
func (g *generator) addMetric(def *rollup.Definition, expr string) {
	name := strings.Trim(strings.NewReplacer("(", "_", ")", "", ", ", "_", ".", "").Replace(expr), "_")
	for _, m := range def.Metrics {
		if m.Name == name {
			return
		}
	}
	def.Metrics = append(def.Metrics, rollup.NamedMetric{Name: name, Expr: expr})
}

func (g *generator) version(defs []rollup.Definition, wheres map[string]func(*millrace.Event) bool) {
	v := &version{defs: defs, wheres: wheres}
	var bad millrace.Violations
	for _, d := range defs {
		v.rollups = append(v.rollups, rollup.Compile(d, d.Name, &bad))
	}
	if err := bad.Err(); err != nil {
		panic(fmt.Sprintf("BUG: seed %d: %v", g.sc.seed, err))
	}
	g.sc.versions = append(g.sc.versions, v)
}

// record draws the next record of the log; some are sent again.
func (g *generator) record() {
	sc := g.sc
	if g.chance(3) { // the stream changes, and with it what the engine planned for
		g.card[genDims[g.rng.IntN(len(genDims))]] = g.cardinality()
	}
	switch {
	case g.chance(3):
		g.arrived += g.rng.Int64N(int64(3 * time.Hour))
	case g.chance(1):
		g.arrived += g.rng.Int64N(int64(40 * 24 * time.Hour))
	default:
		g.arrived += g.rng.Int64N(int64(20 * time.Second))
	}
	e := &entry{rec: &millrace.Record{
		Partition: g.rng.Int32N(sc.parts), Arrived: g.arrived - g.rng.Int64N(int64(2*time.Second)),
		Project: []string{"default", "p1"}[g.rng.IntN(2)], Source: fmt.Sprint("src", g.rng.IntN(3)), Parts: 1,
	}}
	n := 1 + g.rng.IntN(g.perRecord)
	if g.chance(10) {
		n = 0 // all of it is rejected
	}
	for range n {
		for g.chance(3) {
			g.reject(e)
		}
		g.event(e)
	}
	g.reject(e)
	if g.chance(2) {
		e.hole = 1 + g.rng.Int64N(3)
	}
	if g.chance(60) {
		// One partition per client, as a fixed hash gives it.
		e.rec.Client = fmt.Sprint("client", e.rec.Partition, g.rng.IntN(2))
		e.rec.Seq = g.seqs[e.rec.Client]
		g.seqs[e.rec.Client]++
		for g.chance(25) {
			sc.records = append(sc.records, g.again(e))
		}
	}
	sc.records = append(sc.records, e)
	sc.events += n
}

// again is the same request once more.
func (g *generator) again(e *entry) *entry {
	rec := *e.rec
	rec.Arrived += g.rng.Int64N(int64(time.Second))
	return &entry{rec: &rec, events: e.events, rejects: e.rejects}
}

func (g *generator) reject(e *entry) {
	e.rejects = append(e.rejects, millrace.Reject{Ordinal: int32(len(e.rec.Frames)), Reason: "bad"})
	e.rec.Frames = append(e.rec.Frames, 1)
}

func (g *generator) event(e *entry) {
	ev := millrace.Event{
		Time: g.time(e.rec.Arrived), Weight: 1, Ordinal: int32(len(e.rec.Frames)), Kind: millrace.Kind(g.pick("kind") % 3),
		Project: e.rec.Project, Source: e.rec.Source, Service: fmt.Sprint("s", g.pick("service")),
		Host: g.text("host"), Env: fmt.Sprint("e", g.pick("env")%4), Message: "m",
	}
	e.rec.Frames = append(e.rec.Frames, 1)
	if !g.unit && g.chance(50) {
		ev.Weight = 1 + g.rng.Int64N(1000)
	}
	if g.sc.poison && g.chance(2) {
		ev.Message = poisonText
	}
	for _, set := range []func(*millrace.Event){g.strings, g.numbers} {
		set(&ev)
	}
	e.events = append(e.events, ev)
}

// time is the time of an event: seconds, minutes, days or years late, or early.
func (g *generator) time(arrived int64) int64 {
	switch {
	case g.chance(80):
		return arrived - g.rng.Int64N(int64(5*time.Second))
	case g.chance(70):
		return arrived - g.rng.Int64N(int64(15*time.Minute))
	case g.chance(60):
		return arrived - g.rng.Int64N(int64(4*24*time.Hour))
	case g.chance(60):
		return arrived - g.rng.Int64N(int64(80*365*24*time.Hour))
	case g.chance(50):
		return arrived + g.rng.Int64N(int64(10*time.Minute))
	}
	return g.rng.Int64N(math.MaxInt64-1) - math.MaxInt64/2 // 1823 to 2116
}

// pick draws from a field's values, the first of which are the most frequent.
func (g *generator) pick(field string) int {
	n := float64(g.card[field])
	return min(g.card[field]-1, int(n*math.Pow(g.rng.Float64(), 2.5)))
}

// text is a value of a dimension that may be empty, not ASCII, or too long.
func (g *generator) text(field string) string {
	i := g.pick(field)
	switch {
	case g.chance(2):
		return ""
	case i == 3:
		return strings.Repeat("é長", rollup.MaxValue/5+i) + "end"
	case i == 4:
		return strings.Repeat("x", rollup.MaxValue-1+g.rng.IntN(3))
	case i == 5 && field == "city":
		return rollup.Other
	}
	return fmt.Sprint(field, "-ü", i)
}

func (g *generator) strings(ev *millrace.Event) {
	g.ids++
	set := func(key string, v millrace.Value) {
		if !g.chance(10) {
			ev.Set(key, v)
		}
	}
	set("url", millrace.StringValue(fmt.Sprint("/p/", g.pick("url"))))
	set("city", millrace.StringValue(g.text("city")))
	set("user", millrace.StringValue(fmt.Sprint("u", g.pick("user"))))
	set("id", millrace.StringValue(fmt.Sprint("id", g.ids)))
	set("flag", millrace.BoolValue(g.chance(50)))
	set("blob", millrace.JSONValue(fmt.Sprintf(`{"k":%d}`, g.pick("blob"))))
	if g.chance(5) {
		ev.Set("rare", millrace.StringValue(fmt.Sprint("r", g.pick("rare"))))
	}
}

func (g *generator) numbers(ev *millrace.Event) {
	set := func(key string, v millrace.Value) {
		if !g.chance(10) {
			ev.Set(key, v)
		}
	}
	size := float64(g.pick("size")) / 4
	set("size", millrace.NumberValue(size, fmt.Sprintf("%.2f", size)))
	set("status", millrace.IntValue(int64(100*(1+g.pick("status")%5))))
	set("n", millrace.IntValue(g.rng.Int64N(2001)-1000))
	set("amount", millrace.FloatValue(math.Round(g.rng.NormFloat64()*1e4)/100))
	set("huge", millrace.IntValue(1<<60+g.rng.Int64N(1<<60)))
	set("rt", millrace.FloatValue(math.Exp(g.rng.NormFloat64()*4)))
	switch {
	case g.chance(5):
		set("neg", millrace.FloatValue(0))
	case g.chance(2):
		set("neg", millrace.FloatValue(math.NaN()))
	default:
		set("neg", millrace.FloatValue(g.rng.NormFloat64()*math.Exp(g.rng.Float64()*20-10)))
	}
	if g.chance(10) {
		set("text", millrace.StringValue("no number"))
	} else {
		set("text", millrace.StringValue(fmt.Sprint(g.rng.IntN(500)-100)))
	}
}
