package millrace

// CellQuery asks for merged cells of one rollup. They are read either from one
// set and granularity (Set, Granularity, From, To) or from Parts, and merged
// either into multiples of Step or into Steps.
type CellQuery struct {
	Rollup      string
	Granularity Granularity
	Set         DimensionSet // read from this set, which must have By and the fields of Where
	From, To    int64        // Unix seconds, half open
	Step        int64        // seconds; buckets are merged into multiples of it; 0 merges all into one
	By          []int        // dimensions to group by, indexes in RollupSchema.Dimensions
	Where       *Filter      // over dimension names; nil is all
	States      []int        // which of RollupSchema.States to return

	// Parts replace Set, Granularity, From and To: all of them together are the
	// cells to merge. With Step 0 the bucket of the answer is From nevertheless.
	Parts []CellPart
	// Steps replace Step, ascending: where steps differ in width, as days of a
	// time zone do.
	Steps []StepRun
}

// Pieces returns Parts, or the one part that Set, Granularity, From and To are.
func (q *CellQuery) Pieces() []CellPart {
	if len(q.Parts) > 0 {
		return q.Parts
	}
	return []CellPart{{Set: q.Set, Granularity: q.Granularity, Spans: []Span{{q.From, q.To}}}}
}

// StepStart returns the start of the step that a bucket belongs to.
func (q *CellQuery) StepStart(bucket int64) int64 {
	switch {
	case len(q.Steps) > 0:
		return StepStart(q.Steps, bucket)
	case q.Step == 0:
		return q.From
	}
	return Granularity(q.Step).Floor(bucket)
}

// CellPart is the cells of one set and granularity in some spans of time.
type CellPart struct {
	Set         DimensionSet
	Granularity Granularity
	Spans       []Span // ascending and apart, at least one
}

// Span is a half-open interval of Unix seconds.
type Span struct{ From, To int64 }

// StepRun says that from From on a step begins every Width seconds, until the
// next run begins. Width 0 is one step.
type StepRun struct{ From, Width int64 }

// StepStart returns the start of the step that holds sec. What lies before the
// first run is counted backwards from it.
func StepStart(runs []StepRun, sec int64) int64 {
	i := len(runs) - 1
	for i > 0 && runs[i].From > sec {
		i--
	}
	r := runs[i]
	if r.Width == 0 {
		return r.From
	}
	return r.From + Granularity(r.Width).Floor(sec-r.From)
}

// Coverage says which cells of a rollup a Store does not have, so that nobody
// takes their absence for zeros. It never promises too much.
type Coverage struct {
	// What retention has dropped of the range asked for: the hours whose minutes
	// are gone, and the days whose hours are, ascending and apart.
	NoMinutes, NoHours []Span
	// Sets and Metrics are those of the definition, with CompleteFrom.
	Dimensions []string
	Sets       []DimensionSet
	Metrics    []Metric
}

// EventScan selects stored events that are read for an aggregate.
type EventScan struct {
	From, To int64 // ns of event time, half open
	Project  string
	Filter   *Filter
	Fields   []string // what events carry, by the names of Event.Field; time, kind and weight always
	MaxRows  int64    // more matching rows are ErrTooLarge
}
