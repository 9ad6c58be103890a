package millrace

// Sink is a consumer of the queue with a position of its own.
type Sink string

// The sinks.
const (
	SinkEvents Sink = "events"
	SinkRollup Sink = "rollup"
)

// Outcome says what became of an event. For every sink, project, source and
// minute of arrival: received = stored + sampled + filtered + duplicate + rejected.
type Outcome string

// The outcomes. OutcomeRefused counts what was refused at the door; it is not
// part of OutcomeReceived, which starts at the queue. OutcomeFolded counts what
// rollups show under "(other)"; it is part of OutcomeStored.
const (
	OutcomeReceived  Outcome = "received"
	OutcomeStored    Outcome = "stored"
	OutcomeSampled   Outcome = "sampled"
	OutcomeFiltered  Outcome = "filtered"
	OutcomeDuplicate Outcome = "duplicate"
	OutcomeRejected  Outcome = "rejected"
	OutcomeRefused   Outcome = "refused"
	OutcomeFolded    Outcome = "folded"
)

// ReasonExceptionSamples is the reason of OutcomeSampled for exceptions that are
// counted, and of which no details are kept since others tell the same.
const ReasonExceptionSamples = "exception_samples"

// LedgerEntry is one account. Entries with equal keys (all but the numbers and
// Example) are added up by the Store; the first example is kept.
type LedgerEntry struct {
	Sink            Sink
	Project, Source string
	Minute          int64 // of arrival, Unix seconds, a multiple of 60
	Outcome         Outcome
	Reason          string // set for rejected, refused, filtered and sampled
	Events          int64
	Weight          int64
	Example         string
}

// LedgerQuery selects accounts by time of arrival; empty fields match all.
type LedgerQuery struct {
	From, To        int64 // Unix seconds, half open; 0 is unbounded
	Project, Source string
	Sink            Sink
	ByMinute        bool // else summed over the range, Minute 0
}

// Position is how far a sink has folded a partition: all records before
// Offset, and of the record at Offset the events with a lower ordinal.
type Position struct {
	Partition  int32
	Generation int64  // counts re-creations and regressions of the partition's log
	TopicID    string // Kafka topic id of this generation
	Offset     int64
	Ordinal    int32
	MaxTime    int64 // largest min(event time, append time) folded, ns: the watermark
}

// Gap is a range of offsets a sink could not read. Gaps are shown, never fatal.
type Gap struct {
	Sink       Sink
	Partition  int32
	Generation int64 // the generation that ended or has the hole
	From, To   int64 // offsets, half open; To is -1 if unknown
	Found      int64 // ns
	Reason     string
}

// SetAside is a record, or one event of it, that was taken out of the stream
// because a stage panicked or overran its deadline. Its payload is kept.
type SetAside struct {
	Sink            Sink
	Partition       int32
	Generation      int64
	Offset          int64
	Ordinal         int32 // -1: the whole record
	Time            int64 // ns
	Project, Source string
	Stage, Reason   string
	Payload         []byte // at most 1 MiB
}

// ClientWindow is a sink's memory of the requests of one client, encoded by
// the pipeline and opaque to the Store.
type ClientWindow struct {
	Client  string
	Updated int64 // ns; windows unused for 30 days may be forgotten
	State   []byte
}

// Admission is a value that a capped rollup dimension accepted.
type Admission struct {
	Rollup, Dimension, Value string
}

// Commit is what a sink stores in one transaction together with its rows.
type Commit struct {
	Sink      Sink
	Positions []Position // only those that moved
	// From holds what is stored of the same partitions, as far as the worker
	// knows; a Position without a TopicID for one that has none yet. A Store
	// refuses the commit with ErrConflict if it has others: another worker has
	// folded the same events. Nil is not compared.
	From []Position
	// Expect holds states that must have these versions when a Store commits
	// through Commits, else it is ErrConflict: such as the definitions that cells
	// were folded by. Their Values are not looked at.
	Expect   []State
	Clients  []ClientWindow
	Ledger   []LedgerEntry
	Gaps     []Gap
	SetAside []SetAside
	Admitted []Admission // rollup sink only
	Retired  []Admission // rollup sink only: admitted before, to be forgotten; applied before Admitted
}

// CheckFrom compares From with the positions that a Store has of the sink. What
// it does not have counts as a Position without a TopicID. ErrConflict: they
// differ, so that somebody else has committed the same events, or others.
func (c *Commit) CheckFrom(stored []Position) error {
	have := make(map[int32]Position, len(stored))
	for _, p := range stored {
		have[p.Partition] = p
	}
	for _, want := range c.From {
		p := have[want.Partition]
		if p.TopicID != want.TopicID || p.Generation != want.Generation || p.Offset != want.Offset || p.Ordinal != want.Ordinal {
			return Errorf(ErrConflict, "sink %s, partition %d: another worker has committed up to offset %d (%d events of it, generation %d); this one began at offset %d (%d, generation %d)",
				c.Sink, want.Partition, p.Offset, p.Ordinal, p.Generation, want.Offset, want.Ordinal, want.Generation)
		}
	}
	return nil
}

// LastArrival returns the start of the latest minute of arrival, in Unix
// seconds, that the commit accounts for: what retention counts from. A commit
// without accounts has the latest bucket of its cells, which is no later than
// their arrival (event times are not ahead of it).
func (c *Commit) LastArrival(cells []*CellBatch) int64 {
	var last int64
	for i := range c.Ledger {
		last = max(last, c.Ledger[i].Minute)
	}
	if len(c.Ledger) > 0 {
		return last
	}
	for _, b := range cells {
		for _, t := range b.Bucket {
			last = max(last, t)
		}
	}
	return last
}

// SinkState is what a sink had committed when it was last running.
type SinkState struct {
	Positions []Position
	Clients   []ClientWindow
	Admitted  []Admission
}
