package millrace

import (
	"context"
	"encoding/json"
	"time"
)

// Store keeps raw rows, cells, accounts and positions. Implementations: duckdb
// (one machine) and memory (the oracle of the tests); both pass storetest.
//
// WriteEvents and WriteCells are one transaction each: after nil everything is
// durable and visible to readers, after an error nothing is. They may be called
// from different goroutines; the Store orders them. Reads may run at any time,
// concurrently, and see whole transactions. A write whose Commit.From is not
// what is stored is ErrConflict.
//
// Error codes: ErrUnavailable for faults that may pass (disk full, timeouts),
// ErrInvalid for rows the Store can never take, ErrCorrupt for unreadable data.
type Store interface {
	// DefineRollups creates or extends what the rollups need. Changing the
	// function of an existing metric is ErrConflict.
	DefineRollups(ctx context.Context, schemas []RollupSchema) error

	// Load returns what a sink had committed; the zero state for a new one.
	Load(ctx context.Context, sink Sink) (*SinkState, error)
	// Positions returns the positions of all sinks, ascending by partition.
	Positions(ctx context.Context) (map[Sink][]Position, error)
	// Claim is Load by the worker that owns the partitions from now on: what
	// others have under way for them can never be committed after Claim returns.
	// Nil partitions are all there are.
	Claim(ctx context.Context, sink Sink, partitions []int32) (*SinkState, error)

	// WriteEvents stores rows and c. It does not keep rows.
	WriteEvents(ctx context.Context, rows *EventRows, c *Commit) error
	// WriteCells stores minute deltas and c. It does not keep cells.
	WriteCells(ctx context.Context, cells []*CellBatch, c *Commit) error

	// Maintain does what is due at now, in slices that hold the writer for at
	// most 500 ms: compacts past minutes, computes hours and days, drops what
	// retention no longer keeps. It returns whether more is due at once.
	Maintain(ctx context.Context, now time.Time) (more bool, err error)

	// Cells returns merged cells. In the answer Bucket is the step's start and
	// Dims has one column per q.By; rows are ordered by bucket, then dims.
	// ErrNotFound: no such rollup or set.
	Cells(ctx context.Context, q CellQuery) (*CellBatch, error)
	// CountCells returns, for each part, how many rows Cells would read for it:
	// the cost of a plan. Cells that are not merged yet count once per delta.
	CountCells(ctx context.Context, rollup string, parts []CellPart) ([]int64, error)
	// Coverage tells which cells are missing in a range of Unix seconds.
	// ErrNotFound: no such rollup.
	Coverage(ctx context.Context, rollup string, from, to int64) (*Coverage, error)
	// Refold replaces the cells that a rollup's sets have in a range of minutes by
	// what f makes of the stored events of that time, of those that both sinks
	// have committed; later ones are merged as ever. Events are read while sinks
	// go on; the writer is held only for the last of them and to replace the
	// cells, in one transaction. What was complete from q.To or earlier is then
	// complete from q.From on. After an error nothing has changed, and f must not
	// be used again. ErrConflict: the definition is another, raw rows of the range
	// were dropped or sampled, or cells are no longer kept finely enough.
	// ErrUnavailable: the events sink did not catch up with the rollups in time.
	Refold(ctx context.Context, q RefoldQuery, f Refolder) (*Refolded, error)
	// Events returns stored events, newest first.
	Events(ctx context.Context, q EventQuery) (*EventPage, error)
	// CountEvents returns the number of matching events per step of event time,
	// ascending, empty steps left out. step is in ns; 0 counts all into one.
	CountEvents(ctx context.Context, q EventQuery, step int64) ([]TimeCount, error)
	// ScanEvents hands all matching events to take, in any order and in batches
	// that are valid until take returns. An error of take ends the scan and is
	// returned. ErrTooLarge: more than q.MaxRows rows. ErrConflict: retention has
	// dropped rows of that time.
	ScanEvents(ctx context.Context, q EventScan, take func([]Event) error) error
	// Ledger returns accounts ordered by minute, source, sink, outcome, reason.
	Ledger(ctx context.Context, q LedgerQuery) ([]LedgerEntry, error)
	// Gaps returns all gaps, oldest first.
	Gaps(ctx context.Context) ([]Gap, error)
	// SetAside returns the newest set-aside records, at most limit.
	SetAside(ctx context.Context, limit int) ([]SetAside, error)
	// SQL runs one read-only statement in a sandbox. ErrInvalid: it does not
	// parse, writes, or reads anything but the documented names; ErrTimeout,
	// ErrTooLarge: over a limit.
	SQL(ctx context.Context, query string, lim SQLLimits) (*Table, error)

	// Stats returns sizes and states for metrics and the Pipeline page.
	Stats(ctx context.Context) (*StoreStats, error)
	// Close flushes and releases everything. No other call may be under way.
	Close() error
}

// EventQuery selects stored events by event time.
type EventQuery struct {
	From, To int64 // ns, half open
	Project  string
	Filter   *Filter
	Limit    int    // at most 10,000
	Cursor   string // from EventPage.Next
}

// EventPage is one page of events.
type EventPage struct {
	Events []StoredEvent
	Next   string // cursor of the next page, empty on the last
}

// StoredEvent is an event as read back.
type StoredEvent struct {
	Time      time.Time       `json:"time"`
	Project   string          `json:"project"`
	Source    string          `json:"source"`
	Kind      string          `json:"kind"`
	Service   string          `json:"service"`
	Host      string          `json:"host"`
	Env       string          `json:"env"`
	Release   string          `json:"release"`
	Level     string          `json:"level"`
	TraceID   string          `json:"trace_id"`
	Message   string          `json:"message"`
	Weight    int64           `json:"weight"`
	Attrs     json.RawMessage `json:"attrs"`
	Arrived   time.Time       `json:"arrived"`
	Partition int32           `json:"partition"`
	Offset    int64           `json:"offset"`
	Ordinal   int32           `json:"ordinal"`
}

// TimeCount is a point of a histogram.
type TimeCount struct {
	Time   int64 // start of the step, ns
	Events int64
	Weight int64
}

// SQLLimits bounds one statement.
type SQLLimits struct {
	Timeout time.Duration
	Rows    int // rows returned; more is ErrTooLarge
}

// Table is the answer to a SQL statement. Values are nil, bool, int64,
// float64, string, time.Time, json.Number (for wider integers), []any or
// map[string]any.
type Table struct {
	Columns []string
	Types   []string
	Rows    [][]any
}

// StoreStats describes what a Store holds.
type StoreStats struct {
	Events      int64 // rows
	Deltas      int64 // rows not yet compacted
	Cells       int64 // compacted minute cells
	DirtyHours  int64 // hours and days to recompute
	EventBytes  int64 // estimated, on disk
	RollupBytes int64
	TotalBytes  int64 // files, including the write-ahead log
	OldestEvent time.Time
	MemoryBytes int64

	// Slices of upkeep done since the start and the longest time that one held
	// the writer, its commit included.
	Slices       int64
	LongestSlice time.Duration
}
