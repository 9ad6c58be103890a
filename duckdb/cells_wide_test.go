package duckdb

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace/millrace"
)

// wideDims are twelve dimensions of a web log with how many values each has,
// a power law over them.
var wideDims = []struct {
	name   string
	values int
}{
	{"service", 20},
	{"host", 120},
	{"env", 3},
	{"release", 30},
	{"level", 5},
	{"method", 6},
	{"url", 3000},
	{"status", 12},
	{"city", 400},
	{"device", 8},
	{"os", 12},
	{"user_agent", 150},
}

// wideSchema has the empty set, those of one dimension, and pairs and triples
// of the first ten up to n sets, with count and sum.
func wideSchema(n int) millrace.RollupSchema {
	s := millrace.RollupSchema{Name: "wide", Metrics: []millrace.Metric{
		{Name: "pv", Func: millrace.FuncCount}, {Name: "bytes", Func: millrace.FuncSum, Field: "bytes"},
	}}
	for _, d := range wideDims {
		s.Dimensions = append(s.Dimensions, d.name)
	}
	sets := [][]int{{}}
	for i := range wideDims {
		sets = append(sets, []int{i})
	}
	for i := range 10 {
		for j := i + 1; j < 10; j++ {
			sets = append(sets, []int{i, j})
		}
	}
	var triples [][]int
	for i := range 10 {
		for j := i + 1; j < 10; j++ {
			for k := j + 1; k < 10; k++ {
				triples = append(triples, []int{i, j, k})
			}
		}
	}
	for i := 0; len(sets) < n; i++ {
		sets = append(sets, triples[i*len(triples)/max(1, n-58)])
	}
	for _, dims := range sets[:n] {
		s.Sets = append(s.Sets, millrace.DimensionSet{Dims: dims, Granularities: []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}})
	}
	return s
}

// wideValues are the texts of the dimensions, made once.
var wideValues = func() [][]string {
	out := make([][]string, len(wideDims))
	for d, dim := range wideDims {
		for i := range dim.values {
			out[d] = append(out[d], fmt.Sprintf("%s-%s-%04d", dim.name, "value"[:i%6%5], i))
		}
	}
	return out
}()

// wideCells returns what a drain emits after so many events in the given
// minutes, in the order of sets.
func wideCells(s millrace.RollupSchema, rng *rand.Rand, start int64, minutes, events int) []*millrace.CellBatch {
	codes := make([][]uint16, events)
	for e := range codes {
		row := make([]uint16, len(wideDims))
		for d := range row {
			n := wideDims[d].values
			row[d] = uint16(math.Pow(rng.Float64(), 3) * float64(n))
		}
		row[1] = row[0]*6 + row[1]%6 // hosts belong to services
		row[3] = (row[0] + row[3]%3) % 30
		codes[e] = row
	}
	var out []*millrace.CellBatch
	for _, set := range s.Sets {
		counts := map[uint64]int64{}
		for e, row := range codes {
			key := uint64(e % minutes)
			for _, d := range set.Dims {
				key = key<<16 | uint64(row[d])
			}
			counts[key]++
		}
		keys := make([]uint64, 0, len(counts))
		for k := range counts {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b := &millrace.CellBatch{Rollup: s.Name, Set: set, Dims: make([][]string, len(set.Dims))}
		b.States = []millrace.StateColumn{{Kind: millrace.StateSum}, {Kind: millrace.StateSum}}
		for _, k := range keys {
			n := counts[k]
			for i := len(set.Dims) - 1; i >= 0; i-- {
				b.Dims[i] = append(b.Dims[i], wideValues[set.Dims[i]][k&0xffff])
				k >>= 16
			}
			b.Bucket = append(b.Bucket, start+int64(k)*60)
			b.States[0].Ints = append(b.States[0].Ints, n)
			b.States[1].Ints = append(b.States[1].Ints, n*1000+rng.Int64N(5000))
		}
		out = append(out, b)
	}
	return out
}

func countCells(cells []*millrace.CellBatch) (n int) {
	for _, c := range cells {
		n += c.Len()
	}
	return n
}

func defineWide(t testing.TB, n int) (*DB, millrace.RollupSchema) {
	db, s := openTest(t), wideSchema(n)
	if err := db.DefineRollups(context.Background(), []millrace.RollupSchema{s}); err != nil {
		t.Fatal(err)
	}
	return db, s
}
