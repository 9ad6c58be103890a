package meta

import (
	"errors"
	"slices"
	"time"

	"github.com/millrace/millrace"
)

// The states of a flush, as stored.
const (
	flushOpen = iota
	flushCommitted
	flushAbandoned
	flushHidden
)

// How long ended flushes are kept, for whoever looks at the cluster. Abandoned
// ones that are not hidden are kept for ever: readers need to know of them.
// A node that was paused for longer finds its flush gone, which it learns as
// ErrConflict from Commit and as ErrNotFound from Abandon.
const (
	keepCommitted = 10 * time.Minute
	keepHidden    = 24 * time.Hour
)

// keepClients is how long an unused client window is kept (ClientWindow).
const keepClients = 30 * 24 * time.Hour

// pruneEvery is how often a process removes what is older.
const pruneEvery = time.Minute

// sortedPartitions returns the partitions ascending, each once.
func sortedPartitions(partitions []int32) []int32 {
	out := append([]int32{}, partitions...)
	slices.Sort(out)
	return slices.Compact(out)
}

// touches reports whether two lists have a partition in common; nil claims all
// there are.
func touches(flush, claimed []int32) bool {
	if claimed == nil {
		return len(flush) > 0
	}
	return slices.ContainsFunc(flush, func(p int32) bool { return slices.Contains(claimed, p) })
}

// endedError says why a flush cannot be committed.
func endedError(op string, id int64, state int) error {
	e := millrace.Errorf(millrace.ErrConflict, "flush %d has ended before", id)
	switch state {
	case flushCommitted:
		e.Message = e.Message + ": it is committed"
	case flushAbandoned, flushHidden:
		e.Message = e.Message + ": it was abandoned, since its partitions have another owner or its outcome was in doubt"
	}
	e.Op = op
	return e
}

// goneError is of a flush that is not there: pruned long after it ended, or
// never begun.
func goneError(op string, code millrace.Code, id int64) error {
	e := millrace.Errorf(code, "flush %d is not known (any more): flushes are forgotten %s after they ended", id, keepCommitted)
	e.Op = op
	return e
}

// checkFlush compares what a commit moves with what its flush was begun for:
// a claim finds flushes by their partitions.
func checkFlush(op string, id int64, sink millrace.Sink, partitions []int32, c *millrace.Commit) error {
	bad := func(format string, args ...any) error {
		e := millrace.Errorf(millrace.ErrInvalid, format, args...)
		e.Op = op
		return e
	}
	if c.Sink != sink {
		return bad("flush %d was begun by sink %s, the commit is of sink %s", id, sink, c.Sink)
	}
	for i := range c.Positions {
		if p := c.Positions[i].Partition; !slices.Contains(partitions, p) {
			return bad("flush %d was begun for partitions %v, the commit moves partition %d", id, partitions, p)
		}
	}
	return nil
}

// staleState is of a state that somebody else has changed.
func staleState(op string, s millrace.State, stored int64) error {
	e := millrace.Errorf(millrace.ErrConflict, "state %q was changed meanwhile: it has version %d, not %d", s.Name, stored, s.Version)
	e.Op = op
	return e
}

// withOp names the operation in an error that has none.
func withOp(op string, err error) error {
	e, ok := errors.AsType[*millrace.Error](err)
	if !ok || e.Op != "" {
		return err
	}
	named := *e
	named.Op = op
	return &named
}
