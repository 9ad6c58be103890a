package pipeline

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/rollup"
)

// oracle folds events the naive way: maps, every value kept, one event and one
// set at a time. It shares no code with package rollup but the definition, and
// none with the stores. It folds what the sink's commits say is folded, so that
// it needs no idea of when barriers happen.
type oracle struct {
	opts      *Options
	version   *version
	positions map[int32]millrace.Position
	pending   []*pendingRecord // fed to the sink and not committed, in that order

	seen     map[string]bool // client, sequence and part
	cells    map[string]*naiveCell
	bySet    map[string][]*naiveCell
	dims     map[string]*naiveDim // by ROLLUP.DIMENSION
	accounts map[millrace.Outcome]millrace.LedgerEntry
	newest   int64                      // latest arrival in this session
	reported map[string]int64           // folded weight of the sink's accounts, by reason
	combos   map[string]map[string]bool // per set: values, not all "(other)", stored in this session
	hours    map[int64]struct{}         // of arrival, in this session
	problems []string
}

type pendingRecord struct {
	*entry
	from int32
}

// naiveDim is a dimension with a cap.
type naiveDim struct {
	seen    map[string]int64 // admitted values and when each arrived last
	folded  int64
	literal int64 // weight of events whose value is "(other)" itself
}

// naiveCell is a cell: the values of its dimensions by name and every value of
// every metric that it was given.
type naiveCell struct {
	minute        int64
	names, values []string // of its dimensions
	weight        int64
	metrics       map[string]*naiveMetric
}

type naiveMetric struct {
	sum      *big.Int
	n        int64 // weight of the values
	min, max float64
	values   []weighted
	distinct map[string]bool
}

type weighted struct {
	value  float64
	weight int64
}

func newOracle(opts *Options) *oracle {
	return &oracle{
		opts: opts, positions: map[int32]millrace.Position{}, seen: map[string]bool{}, cells: map[string]*naiveCell{}, bySet: map[string][]*naiveCell{},
		dims: map[string]*naiveDim{}, accounts: map[millrace.Outcome]millrace.LedgerEntry{}, reported: map[string]int64{},
		combos: map[string]map[string]bool{}, hours: map[int64]struct{}{},
	}
}

func (o *oracle) bad(format string, args ...any) {
	if len(o.problems) < 10 {
		o.problems = append(o.problems, fmt.Sprintf(format, args...))
	}
}

// begin starts a session with the definitions of v; what was not committed is
// forgotten.
func (o *oracle) begin(v *version) {
	o.version, o.pending, o.newest = v, nil, 0
	for _, d := range o.dims {
		for value := range d.seen {
			d.seen[value] = restored
		}
	}
	clear(o.combos)
	clear(o.hours)
}

// feed notes that the sink was given a record, perhaps one that it has folded
// before.
func (o *oracle) feed(e *entry) {
	r := &pendingRecord{entry: e}
	pos := o.positions[e.rec.Partition]
	if e.rec.Offset < pos.Offset {
		return
	}
	if e.rec.Offset == pos.Offset {
		r.from = pos.Ordinal
	}
	o.pending = append(o.pending, r)
}

// apply folds what a commit of the sink covers: the events fed so far that lie
// before its positions.
func (o *oracle) apply(c *millrace.Commit) {
	for _, p := range c.Positions {
		o.positions[p.Partition] = p
	}
	open := false
	var rest []*pendingRecord
	for _, r := range o.pending {
		pos := o.positions[r.rec.Partition]
		to := int32(len(r.rec.Frames))
		switch {
		case r.rec.Offset > pos.Offset:
			to = r.from
		case r.rec.Offset == pos.Offset:
			to = pos.Ordinal
		}
		if open && to > r.from {
			o.bad("offset %d of partition %d is committed, and something before it is not", r.rec.Offset, r.rec.Partition)
		}
		o.fold(r, to)
		if to < int32(len(r.rec.Frames)) || r.rec.Offset >= pos.Offset {
			open = true
			rest = append(rest, r)
		}
	}
	o.pending = rest
	o.retire(c)
	for _, e := range c.Ledger {
		if e.Outcome == millrace.OutcomeFolded {
			o.reported[e.Reason] += e.Weight
		}
	}
}

// fold counts and folds the frames of a record from where it was left.
func (o *oracle) fold(r *pendingRecord, to int32) {
	from := r.from
	if to <= from {
		return
	}
	r.from = to
	if from == 0 && r.rec.Client != "" {
		key := fmt.Sprint(r.rec.Client, " ", r.rec.Seq, " ", r.rec.Part)
		if o.seen[key] {
			weight := int64(len(r.rec.Frames))
			for i := range r.events {
				weight += r.events[i].Weight - 1
			}
			o.account(millrace.OutcomeDuplicate, int64(len(r.rec.Frames)), weight)
			return
		}
		o.seen[key] = true
	}
	for _, j := range r.rejects {
		if j.Ordinal >= from && j.Ordinal < to {
			o.account(millrace.OutcomeRejected, 1, 1)
		}
	}
	for i := range r.events {
		e := &r.events[i]
		if e.Ordinal < from || e.Ordinal >= to {
			continue
		}
		if e.Message == poisonText {
			o.account(millrace.OutcomeRejected, 1, 1)
			continue
		}
		o.account(millrace.OutcomeStored, 1, e.Weight)
		o.newest = max(o.newest, r.rec.Arrived)
		o.hours[r.rec.Arrived/3600e9] = struct{}{}
		for _, def := range o.version.rollups {
			if o.version.wheres[def.Name](e) {
				o.event(def, r.rec.Arrived, e)
			}
		}
	}
}

func (o *oracle) account(outcome millrace.Outcome, events, weight int64) {
	for _, k := range []millrace.Outcome{millrace.OutcomeReceived, outcome} {
		a := o.accounts[k]
		a.Events += events
		a.Weight += weight
		o.accounts[k] = a
	}
}

// event folds one event into the cells of all sets of a rollup.
func (o *oracle) event(def *rollup.Rollup, arrived int64, e *millrace.Event) {
	values := map[string]string{}
	for _, set := range def.Sets {
		for _, d := range set.Dims {
			name := def.Dimensions[d]
			if _, ok := values[name]; !ok {
				values[name] = o.value(def.Name+"."+name, arrived, e, name)
			}
		}
	}
	minute := time.Unix(0, e.Time).UTC().Truncate(time.Minute).Unix()
	for _, set := range def.Sets {
		names := setNames(def, set)
		dims := make([]string, len(names))
		for i, n := range names {
			dims[i] = values[n]
		}
		o.cell(def.Name, minute, names, dims).add(def, e)
	}
}

// value returns the value under which a dimension counts an event.
func (o *oracle) value(dim string, arrived int64, e *millrace.Event, field string) string {
	d := o.dims[dim]
	if d == nil {
		d = &naiveDim{seen: map[string]int64{}}
		o.dims[dim] = d
	}
	v, _ := e.Field(field)
	s := cut(v.String())
	_, known := d.seen[s]
	switch {
	case s == rollup.Other:
		d.literal += e.Weight
	case known || len(d.seen) < o.opts.DimensionValues:
		d.seen[s] = max(d.seen[s], arrived)
	default:
		d.folded += e.Weight
		return rollup.Other
	}
	return s
}

// cut shortens a value that is too long by whole characters.
func cut(s string) string {
	if len(s) <= rollup.MaxValue {
		return s
	}
	n := 0
	for _, r := range s {
		if n+utf8.RuneLen(r) >= rollup.MaxValue {
			break
		}
		n += utf8.RuneLen(r)
	}
	return s[:n]
}

// restored is when a value was seen that a session begins with: nobody knows.
const restored = math.MinInt64

// retire forgets the values that the sink says were not seen for too long.
func (o *oracle) retire(c *millrace.Commit) {
	for _, a := range c.Retired {
		d := o.dims[a.Rollup+"."+a.Dimension]
		if d == nil {
			o.bad("retired %v of a dimension that was never seen", a)
			continue
		}
		at, ok := d.seen[a.Value]
		if !ok {
			o.bad("retired %v, which was not admitted", a)
		}
		if age := o.newest - at; at != restored && age < int64(o.opts.ValueAge) {
			o.bad("retired %v, seen %d ns ago", a, age)
		}
		delete(d.seen, a.Value)
	}
}

// setNames returns the dimensions of a set in an order that does not depend on
// the definition.
func setNames(r *rollup.Rollup, set millrace.DimensionSet) []string {
	names := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		names[i] = r.Dimensions[d]
	}
	slices.Sort(names)
	return names
}

// cellKey tells cells of a rollup apart; no two lists of values are alike.
func cellKey(rollupName string, bucket int64, names, values []string) string {
	b := make([]byte, 0, 100)
	b = strconv.AppendInt(append(append(b, rollupName...), ' '), bucket, 10)
	for i, n := range names {
		b = append(append(append(b, ' '), n...), '=')
		b = strconv.AppendInt(b, int64(len(values[i])), 10)
		b = append(append(b, ':'), values[i]...)
	}
	return string(b)
}

func (o *oracle) cell(rollupName string, minute int64, names, values []string) *naiveCell {
	key := cellKey(rollupName, minute, names, values)
	c := o.cells[key]
	if c == nil {
		c = &naiveCell{minute: minute, names: names, values: values, metrics: map[string]*naiveMetric{}}
		o.cells[key] = c
		set := rollupName + " " + strings.Join(names, ",")
		o.bySet[set] = append(o.bySet[set], c)
	}
	return c
}

func newNaiveMetric() *naiveMetric {
	return &naiveMetric{sum: new(big.Int), min: math.NaN(), max: math.NaN(), distinct: map[string]bool{}}
}

func (c *naiveCell) add(def *rollup.Rollup, e *millrace.Event) {
	c.weight += e.Weight
	for i := range def.Metrics {
		m := &def.Metrics[i]
		have := c.metrics[m.Name]
		if have == nil {
			have = newNaiveMetric()
			c.metrics[m.Name] = have
		}
		have.add(m, e)
	}
}

func (n *naiveMetric) add(m *millrace.Metric, e *millrace.Event) {
	if m.Field == "" {
		n.sum.Add(n.sum, big.NewInt(e.Weight))
		return
	}
	v, ok := e.Field(m.Field)
	if m.Func == millrace.FuncUniq {
		if ok && v.String() != "" {
			n.distinct[v.String()] = true
		}
		return
	}
	f, isNumber := v.Float()
	if !ok || !isNumber {
		return
	}
	n.n += e.Weight
	scaled := new(big.Int)
	if whole, isInt := v.Int(); isInt && v.Kind() == millrace.ValueInt {
		scaled.Mul(big.NewInt(whole), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(m.Scale)), nil))
	} else {
		big.NewFloat(math.RoundToEven(f * math.Pow10(m.Scale))).Int(scaled)
	}
	n.sum.Add(n.sum, scaled.Mul(scaled, big.NewInt(e.Weight)))
	n.min, n.max = least(n.min, f), -least(-n.max, -f)
	n.values = append(n.values, weighted{f, e.Weight})
}

// least is the lesser of two numbers of which the first may be none.
func least(a, b float64) float64 {
	if math.IsNaN(a) || b < a {
		return b
	}
	return a
}

// merge adds what another cell's metric was given.
func (n *naiveMetric) merge(o *naiveMetric) {
	n.sum.Add(n.sum, o.sum)
	n.n += o.n
	if !math.IsNaN(o.min) {
		n.min, n.max = least(n.min, o.min), -least(-n.max, -o.max)
	}
	n.values = append(n.values, o.values...)
	maps.Copy(n.distinct, o.distinct)
}

// total is the sum as a state holds it: at the end of the range, where sums
// beyond it stay. Only sums of one sign get there in these streams.
func (n *naiveMetric) total() int64 {
	if n.sum.IsInt64() {
		return n.sum.Int64()
	}
	if n.sum.Sign() > 0 {
		return math.MaxInt64
	}
	return math.MinInt64
}

// quantile is the value at rank floor(q*(n-1)), each repeated by its weight.
func (n *naiveMetric) quantile(q float64) float64 {
	slices.SortFunc(n.values, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	rank := int64(q * float64(n.n-1))
	for _, v := range n.values {
		if rank -= v.weight; rank < 0 {
			return v.value
		}
	}
	return math.NaN()
}
