package storetest

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/sketch"
)

// schema returns the rollup of the suite: every function, a total, single and
// double sets, and one set that is kept by day only.
func schema() millrace.RollupSchema {
	all := []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}
	return millrace.RollupSchema{
		Name:       "traffic",
		Dimensions: []string{"service", "host", "status"},
		Sets: []millrace.DimensionSet{
			{Dims: []int{}, Granularities: all},
			{Dims: []int{0}, Granularities: all},
			{Dims: []int{0, 2}, Granularities: all},
			{Dims: []int{0, 1, 2}, Granularities: []millrace.Granularity{millrace.Minute, millrace.Hour}},
			{Dims: []int{1}, Granularities: []millrace.Granularity{millrace.Day}},
		},
		Metrics: []millrace.Metric{
			{Name: "pv", Func: millrace.FuncCount},
			{Name: "bytes", Func: millrace.FuncSum, Field: "bytes"},
			{Name: "load", Func: millrace.FuncAvg, Field: "rt", Scale: 3},
			{Name: "fastest", Func: millrace.FuncMin, Field: "rt"},
			{Name: "slowest", Func: millrace.FuncMax, Field: "rt"},
			{Name: "rt", Func: millrace.FuncQuantiles, Field: "rt"},
			{Name: "uv", Func: millrace.FuncUniq, Field: "client_ip"},
		},
	}
}

// obs is one observation: an event as the rollup sees it.
type obs struct {
	at                    int64 // Unix seconds
	service, host, status string
	weight, bytes         int64
	rt                    float64 // negative: the event has none
	user                  uint64  // 0: none
}

// dim returns the value of a dimension of schema, "" for what is none.
func (o *obs) dim(i int) string {
	if i < 0 {
		return ""
	}
	return [...]string{o.service, o.host, o.status}[i]
}

// deltas turns observations into one batch per set, each observation a delta
// of its own, so that equal keys occur within a batch too.
func deltas(s millrace.RollupSchema, all []obs) []*millrace.CellBatch {
	var out []*millrace.CellBatch
	for _, set := range s.Sets {
		b := &millrace.CellBatch{Rollup: s.Name, Set: set, Dims: make([][]string, len(set.Dims))}
		for _, spec := range s.States() {
			b.States = append(b.States, millrace.StateColumn{Kind: spec.Kind})
		}
		for i := range all {
			o := &all[i]
			b.Bucket = append(b.Bucket, millrace.Minute.Floor(o.at))
			for j, d := range set.Dims {
				b.Dims[j] = append(b.Dims[j], o.dim(d))
			}
			for j, spec := range s.States() {
				appendState(&b.States[j], spec, s.Metrics[spec.Metric].Func, []obs{*o})
			}
		}
		out = append(out, b)
	}
	return out
}

// appendState appends what a state must be after the observations.
func appendState(c *millrace.StateColumn, spec millrace.StateSpec, f millrace.MetricFunc, all []obs) {
	var sum int64
	var hist sketch.Hist
	var hll sketch.HLL
	extreme := math.NaN()
	for _, o := range all {
		switch f {
		case millrace.FuncCount:
			sum += o.weight
		case millrace.FuncSum:
			sum += o.weight * o.bytes
		case millrace.FuncAvg:
			if o.rt >= 0 && strings.HasSuffix(spec.Name, "_n") {
				sum += o.weight
			} else if o.rt >= 0 {
				sum += o.weight * int64(math.Round(o.rt*1000))
			}
		}
		if o.user != 0 {
			hll.AddHash(o.user * 0x9e3779b97f4a7c15)
		}
		if o.rt < 0 {
			continue
		}
		hist.Add(o.rt, uint64(o.weight))
		if math.IsNaN(extreme) || f == millrace.FuncMin && o.rt < extreme || f == millrace.FuncMax && o.rt > extreme {
			extreme = o.rt
		}
	}
	switch spec.Kind {
	case millrace.StateSum:
		c.Ints = append(c.Ints, sum)
	case millrace.StateMin, millrace.StateMax:
		c.Floats = append(c.Floats, extreme)
	case millrace.StateHist:
		c.Blobs = append(c.Blobs, encoded(hist.Empty(), hist.AppendTo))
	case millrace.StateHLL:
		c.Blobs = append(c.Blobs, encoded(hll.Empty(), hll.AppendTo))
	}
}

func encoded(empty bool, appendTo func([]byte) []byte) []byte {
	if empty {
		return nil
	}
	return appendTo(nil)
}

// commitAt returns a commit of the rollup sink that accounts for arrivals in
// the minute of sec and moves partition 0 to offset.
func commitAt(sec, offset int64) *millrace.Commit {
	return &millrace.Commit{
		Sink:      millrace.SinkRollup,
		Positions: []millrace.Position{{Offset: offset, TopicID: "t", MaxTime: sec * 1e9}},
		Ledger: []millrace.LedgerEntry{{
			Sink: millrace.SinkRollup, Project: "default", Source: "test",
			Minute: millrace.Minute.Floor(sec), Outcome: millrace.OutcomeReceived, Events: 1, Weight: 1,
		}},
	}
}

// render writes cells as text, one line each: what two answers are compared by.
func render(b *millrace.CellBatch) string {
	var out strings.Builder
	for i, t := range b.Bucket {
		out.WriteString(strconv.FormatInt(t, 10))
		for _, d := range b.Dims {
			fmt.Fprintf(&out, " %q", d[i])
		}
		for j := range b.States {
			out.WriteByte(' ')
			out.WriteString(stateText(&b.States[j], i))
		}
		out.WriteByte('\n')
	}
	return out.String()
}

func stateText(c *millrace.StateColumn, i int) string {
	switch c.Kind {
	case millrace.StateSum:
		return strconv.FormatInt(c.Ints[i], 10)
	case millrace.StateMin, millrace.StateMax:
		return strconv.FormatFloat(c.Floats[i], 'g', -1, 64)
	}
	if len(c.Blobs[i]) == 0 {
		return "-"
	}
	return hex.EncodeToString(c.Blobs[i])
}
