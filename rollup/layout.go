package rollup

import (
	"slices"

	"github.com/millrace/millrace"
)

// layout says which states the engine keeps for a rollup and what they are fed
// with. Metrics that have a state in common share it: count and rate, or sum
// and avg of one field at one scale.
type layout struct {
	used   []bool  // per dimension: some set has it
	states []place // per state of the schema
	sums   []sumInput
	floats []floatInput
	hists  []string // fields
	hlls   []string // fields

	maxDense uint64 // see level; changed only while no cell is open
}

// place is where a state of the schema is kept: the index among the states of
// its kind. The integers of a row begin with its weight, whether or not a
// metric asks for it: what is folded into Other is told in weight.
type place struct {
	kind millrace.StateKind
	at   int
}

// sumInput is an integer that is added up: a field times its scale, or how many
// events, by weight, have a number there.
type sumInput struct {
	field string
	scale float64
	count bool
}

type floatInput struct {
	field string
	max   bool
}

func newLayout(r *Rollup) *layout {
	l := &layout{used: make([]bool, len(r.Dimensions)), maxDense: maxDense}
	for _, s := range r.Sets {
		for _, d := range s.Dims {
			l.used[d] = true
		}
	}
	for i := range r.metrics {
		m := &r.metrics[i]
		switch m.fn {
		case millrace.FuncCount, millrace.FuncRate:
			if m.field != "" { // on a condition
				l.addSum(sumInput{field: m.field, count: true})
			} else {
				l.states = append(l.states, place{millrace.StateSum, 0})
			}
		case millrace.FuncSum:
			l.addSum(sumInput{field: m.field, scale: m.scale})
		case millrace.FuncAvg:
			l.addSum(sumInput{field: m.field, scale: m.scale})
			l.addSum(sumInput{field: m.field, count: true})
		case millrace.FuncMin, millrace.FuncMax:
			kind := millrace.StateMin
			if m.fn == millrace.FuncMax {
				kind = millrace.StateMax
			}
			l.states = append(l.states, place{kind, intern(&l.floats, floatInput{m.field, m.fn == millrace.FuncMax})})
		case millrace.FuncQuantiles:
			l.states = append(l.states, place{millrace.StateHist, intern(&l.hists, m.field)})
		case millrace.FuncUniq:
			l.states = append(l.states, place{millrace.StateHLL, intern(&l.hlls, m.field)})
		}
	}
	return l
}

func (l *layout) addSum(in sumInput) {
	l.states = append(l.states, place{millrace.StateSum, 1 + intern(&l.sums, in)})
}

// intern returns the index of v in list, to which it adds it if it is new.
func intern[T comparable](list *[]T, v T) int {
	i := slices.Index(*list, v)
	if i < 0 {
		i = len(*list)
		*list = append(*list, v)
	}
	return i
}

// eventBytes is the size of an event in columns.
func (l *layout) eventBytes() int {
	n := 12 + 8*len(l.sums) + 8*len(l.floats) + 2*len(l.hists) + 8*len(l.hlls)
	for _, used := range l.used {
		if used {
			n += 4
		}
	}
	return n
}

// rowBytes is about what a new row takes: its key in columns and indexes, and
// its states while they are small.
func (l *layout) rowBytes() int {
	return 128 + 8*len(l.sums) + 8*len(l.floats) + 64*len(l.hists) + 64*len(l.hlls)
}
