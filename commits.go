package millrace

import (
	"context"
	"time"
)

// Commits keeps what accompanies the rows of a Store that cannot store rows and
// positions in one transaction. Implementation: meta, on PostgreSQL for many
// nodes and on SQLite for one. Calls are safe for concurrent use, by many nodes.
//
// Such a Store gives each attempt to store something an id, its flush. Rows
// carry the id of theirs, and what makes them count is that their flush was not
// abandoned:
//
//	Begin     the flush is known before its first row is written
//	          ... rows are written, with the flush's id ...
//	Commit    positions move and the flush ends, in one transaction
//
// Whatever fails in between, be it a cut connection whose insert may or may not
// have happened, the attempt is abandoned: it can never commit, its rows are
// hidden from readers, and only then the same events are stored again, under
// another id. So it does not matter how often, how late or how completely an
// attempt's rows arrive, nor whether folding the events again gives the same
// rows. Of two workers that believe they own a partition one commits: Commit
// compares the positions that the other would have moved.
type Commits interface {
	// Begin opens a flush of a sink that moves the positions of partitions.
	Begin(ctx context.Context, sink Sink, partitions []int32, node string) (*Flush, error)
	// Commit stores c's positions, client windows, gaps, set-aside records and
	// admitted values and ends the flush, all in one transaction. c's accounts are
	// the Store's to keep. ErrConflict: the flush was abandoned or ended before, or
	// the stored positions are not c.From, since another worker was faster, or a
	// state has not the version that c.Expect says. Then nothing is stored, and the
	// flush stays as it was.
	Commit(ctx context.Context, flush int64, c *Commit) error
	// Settle ends a flush and changes states, all in one transaction. ErrConflict:
	// as of Commit, or a state's version is not the stored one.
	Settle(ctx context.Context, flush int64, states ...State) error
	// Abandon ends flushes without a commit; those that were abandoned before are
	// left alone. ErrConflict: one has committed; ErrNotFound: one ended so long ago
	// that it was forgotten. The others are abandoned all the same.
	Abandon(ctx context.Context, flushes ...int64) error
	// Claim abandons all open flushes of a sink that touch any of the partitions,
	// whoever began them: their worker is no longer the owner. Nil partitions are
	// all there are; flushes that move none are not touched.
	Claim(ctx context.Context, sink Sink, partitions []int32) error
	// Abandoned returns, ascending, flushes that were abandoned and not yet
	// reported to Hidden: readers may still count their rows.
	Abandoned(ctx context.Context) ([]int64, error)
	// Hidden notes that no reader counts rows of these flushes any more.
	Hidden(ctx context.Context, flushes ...int64) error
	// Cut returns one consistent view of all sinks and flushes.
	Cut(ctx context.Context) (*Cut, error)

	// Load returns what a sink has committed; the zero state for a new one.
	Load(ctx context.Context, sink Sink) (*SinkState, error)
	// Gaps returns all gaps, oldest first.
	Gaps(ctx context.Context) ([]Gap, error)
	// SetAside returns the newest set-aside records, at most limit.
	SetAside(ctx context.Context, limit int) ([]SetAside, error)

	// State returns a small state of the Store by its name, with version 0 and no
	// Value if there is none.
	State(ctx context.Context, name string) (State, error)
	// SetState stores one. ErrConflict: its version is not the stored one.
	SetState(ctx context.Context, s State) error
}

// Flush is one attempt to store rows.
type Flush struct {
	ID         int64 // above 0, and above those of all flushes begun before
	Sink       Sink
	Partitions []int32 // ascending
	Node       string  // whose attempt it is
	// Begun is by the clock of Commits, so that nodes agree about it: not before
	// that of any flush begun before, whatever becomes of the clock.
	Begun time.Time
}

// Cut is a view of all sinks and flushes at one moment: the positions of a sink
// are those that the flushes up to Newest, but for Open and the abandoned ones,
// have committed.
type Cut struct {
	Positions map[Sink][]Position
	Newest    int64   // the highest flush there was
	Open      []Flush // neither committed nor abandoned
}

// State is a named value that nodes agree on, such as a rollup's definition.
type State struct {
	Name    string
	Value   []byte
	Version int64 // of the stored value that this one replaces; 0: there is none
}
