package memory

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// rollup holds all cells of one rollup by minute. States and dimensions are
// kept by name, so that a definition can grow.
type rollup struct {
	schema millrace.RollupSchema
	defs   map[string]rollupdef.Def // of every metric there ever was
	cells  map[cellKey]*cell
	hours  map[int64]*period
	days   map[int64]*period
}

// cellKey identifies a minute cell: the set's dimension names, sorted, and the
// values in the same order.
type cellKey struct {
	set    string
	bucket int64
	values string
}

type cell struct {
	dims   map[string]string
	states map[string]*state
}

// period is an hour or a day of a rollup.
type period struct {
	arrived int64 // latest arrival, Unix seconds
	sealed  bool  // what it was computed from is dropped
}

// DefineRollups implements millrace.Store.
func (s *Store) DefineRollups(ctx context.Context, schemas []millrace.RollupSchema) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i := range schemas {
		def := &schemas[i]
		if err := rollupdef.Check(def); err != nil {
			return err
		}
		if r := s.rollups[def.Name]; r != nil {
			if err := rollupdef.CheckChange(r.defs, def); err != nil {
				return err
			}
		}
	}
	for name, r := range s.rollups {
		if !slices.ContainsFunc(schemas, func(d millrace.RollupSchema) bool { return d.Name == name }) {
			r.schema = rollupdef.Clone(&r.schema)
			rollupdef.Leave(&r.schema)
		}
	}
	for _, def := range schemas {
		r := s.rollups[def.Name]
		if r == nil {
			r = &rollup{
				defs: map[string]rollupdef.Def{}, cells: map[cellKey]*cell{},
				hours: map[int64]*period{}, days: map[int64]*period{},
			}
			s.rollups[def.Name] = r
		}
		old := &r.schema
		if old.Name == "" {
			old = nil
		}
		def = rollupdef.Clone(&def)
		rollupdef.Complete(&def, old, s.newcomers(), r.sealedUntil())
		r.schema = def
		for _, m := range def.Metrics {
			r.defs[m.Name] = rollupdef.Def{Func: m.Func, Scale: m.Scale}
		}
	}
	return nil
}

func (s *Store) checkCells(b *millrace.CellBatch) error {
	r := s.rollups[b.Rollup]
	if r == nil {
		return millrace.Errorf(millrace.ErrInvalid, "deltas of an unknown rollup %q", b.Rollup)
	}
	return rollupdef.CheckBatch(&r.schema, b)
}

// names returns the names of a set's dimensions, in the set's order.
func (r *rollup) names(set millrace.DimensionSet) []string {
	out := make([]string, len(set.Dims))
	for i, d := range set.Dims {
		out[i] = r.schema.Dimensions[d]
	}
	return out
}

// setID names a set independently of the order of the definition.
func setID(names []string) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	return strings.Join(sorted, ",")
}

// joined returns the values in the order of their names, each with its length,
// so that no two lists of values are alike.
func joined(dims map[string]string) string {
	var names []string
	for n := range dims {
		names = append(names, n)
	}
	slices.Sort(names)
	var out strings.Builder
	for _, n := range names {
		out.WriteString(strconv.Itoa(len(dims[n])) + ":" + dims[n])
	}
	return out.String()
}

// add merges deltas, which must have been checked, into the minute cells.
func (r *rollup) add(b *millrace.CellBatch, arrived int64) {
	names, specs := r.names(b.Set), r.schema.States()
	for i, t := range b.Bucket {
		dims := map[string]string{}
		for j, n := range names {
			dims[n] = strings.Clone(b.Dims[j][i])
		}
		key := cellKey{setID(names), t, joined(dims)}
		c := r.cells[key]
		if c == nil {
			c = &cell{dims: dims, states: map[string]*state{}}
			r.cells[key] = c
		}
		for j, spec := range specs {
			if c.states[spec.Name] == nil {
				c.states[spec.Name] = newState(spec.Kind)
			}
			c.states[spec.Name].add(&b.States[j], i)
		}
		r.touch(t, arrived)
	}
}

// touch notes that something arrived for the hour and the day of a minute.
func (r *rollup) touch(minute, arrived int64) {
	day := touched(r.days, millrace.Day.Floor(minute), arrived)
	hour := touched(r.hours, millrace.Hour.Floor(minute), arrived)
	// An hour that is new to a sealed day comes too late to be kept itself.
	hour.sealed = hour.sealed || day.sealed
}

func touched(periods map[int64]*period, start, arrived int64) *period {
	p := periods[start]
	if p == nil {
		p = &period{arrived: arrived}
		periods[start] = p
	}
	p.arrived = max(p.arrived, arrived)
	return p
}
