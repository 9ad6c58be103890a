package millrace

import "time"

// MaxAhead is how far an event's time may lie after its arrival; later ones are
// set to the arrival. So whatever arrived before T has a time before T+MaxAhead.
const MaxAhead = 10 * time.Minute

// RefoldQuery names the part of a rollup to compute again from raw rows.
type RefoldQuery struct {
	Rollup   RollupSchema // as it was defined; another definition is ErrConflict
	From, To int64        // Unix seconds of event time, half open, multiples of 60
	Fields   []string     // columns and attributes that the rollup reads; the events handed out need no others
	// NoExceptions says that the rollup's condition takes no event of KindException:
	// a range of which only exceptions were sampled (ReasonExceptionSamples) can be
	// folded again exactly.
	NoExceptions bool
}

// Sampled reports whether an account tells of rows that were left out and that the
// rollup may have counted.
func (q *RefoldQuery) Sampled(e *LedgerEntry) bool {
	return e.Sink == SinkEvents && e.Outcome == OutcomeSampled && e.Events > 0 &&
		(!q.NoExceptions || e.Reason != ReasonExceptionSamples)
}

// Refolder folds stored events into cells for Store.Refold. It is used by one
// goroutine.
type Refolder interface {
	// Fold takes events in any order. Their strings are valid during the call.
	Fold(events []Event) error
	// Drain returns the minute cells of all events folded.
	Drain() ([]*CellBatch, error)
}

// Refolded is what a Refold did.
type Refolded struct {
	Events int64 // rows read
	Cells  int64 // minute cells written
	Rounds int   // of reading, before the last one that held the writer
}

// BackfillQuery asks for a rollup to be folded again from raw rows.
type BackfillQuery struct {
	Rollup string
	// From and To bound event times, widened to whole hours. Zero: from the first
	// raw row, and to where everything in the rollup is complete.
	From, To time.Time
}

// BackfillProgress is how far a backfill is.
type BackfillProgress struct {
	Rows, Total int64     // raw rows folded, of those that the range had at the beginning
	Cells       int64     // minute cells written
	From, To    time.Time // what is done: the newest part of the range comes first
	Done        bool
	Err         error // why it ended before its time; nil while it runs
}
