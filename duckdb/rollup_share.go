package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// pace is how many rows a slice of upkeep may handle so that it takes about
// sliceTarget. It follows what slices really take, as this depends on the
// machine and on the sketches of the rollup.
type pace struct{ rows int64 }

const (
	// sliceTarget leaves room below the 500 ms for which a slice may hold the
	// writer: rows differ in size, and the commit comes on top.
	sliceTarget = 250 * time.Millisecond
	firstPace   = 50_000
	// minPace keeps what every slice costs small against what it does.
	minPace = 10_000
	maxPace = 2_000_000
	// maxPeriods bounds the buckets of a slice, and so the length of its SQL.
	maxPeriods = 1000
)

// paceOf returns the pace of a kind of work on a rollup. Under DB.writeMu.
func (db *DB) paceOf(kind string, k *cube) *pace {
	if db.rollups.pace == nil {
		db.rollups.pace = map[string]*pace{}
	}
	key := kind + " " + k.schema.Name
	if db.rollups.pace[key] == nil {
		db.rollups.pace[key] = &pace{cmp.Or(db.rollups.firstPace, firstPace)}
	}
	return db.rollups.pace[key]
}

// learn adapts the pace to a slice that handled rows in a time.
func (p *pace) learn(rows int64, took time.Duration) {
	switch {
	case took > sliceTarget && rows > 0:
		// At most to the half: one slice that met a busy machine says little.
		p.rows = max(minPace, p.rows/2, int64(float64(rows)*float64(sliceTarget)/float64(took)))
	case took < sliceTarget/2 && rows > p.rows/2:
		p.rows = min(maxPace, p.rows*3/2)
	}
}

// slice runs a slice of upkeep in a transaction. Its pace learns from the time
// for which it held the writer, commit included. After a failure jobs are
// planned anew, as the last part may not be stored, and in smaller slices:
// memory may have been short.
func (db *DB) slice(ctx context.Context, name string, fn func(w *writer) (p *pace, rows int64, err error)) error {
	var p *pace
	var rows int64
	var start time.Time
	err := db.write(ctx, name, func(w *writer) (err error) {
		start = time.Now()
		p, rows, err = fn(w)
		return err
	})
	took := time.Since(start)
	db.writeMu.Lock()
	defer db.writeMu.Unlock()
	db.rollups.slices.Add(1)
	db.rollups.longest.Store(max(db.rollups.longest.Load(), int64(took)))
	if err != nil {
		db.rollups.job, db.rollups.backlogs = nil, nil
	}
	switch {
	case p == nil:
	case err != nil:
		p.rows = min(p.rows, max(minPace, p.rows/2))
	default:
		p.learn(rows, took)
	}
	return err
}

// share is work on a selection of rows that is cut into slices while it is
// done, by sets: those of a set lie together, so that a slice reads little of
// what is not its own. A set that is too large for a slice is cut by buckets if
// the work allows it, and by the hash of its keys, so that all rows of a cell
// come together.
type share struct {
	left []portion // not yet done, by set and bucket
	keys string    // arguments of the hash
}

type portion struct {
	set, rows   int64
	ranged      bool // only the buckets from first to last, in µs
	first, last int64
	part, parts int64 // parts 0: not cut by hash
}

// newShare counts the rows of a relation, by set. Sets with more than large
// rows are counted by bucket; 0: none are.
func newShare(ctx context.Context, c *conn, k *cube, relation, where string, large int64) (*share, error) {
	s := &share{keys: list([]string{"set_id"}, k.keys)}
	var sets []string
	err := each(ctx, c, fmt.Sprintf("SELECT set_id, count(*) FROM %s WHERE %s GROUP BY set_id ORDER BY set_id", relation, where),
		func(r *rows) error {
			p := portion{set: r.int64(0), rows: r.int64(1)}
			if large > 0 && p.rows > large {
				sets = append(sets, fmt.Sprint(p.set))
			} else {
				s.left = append(s.left, p)
			}
			return nil
		})
	if err != nil || len(sets) == 0 {
		return s, err
	}
	err = each(ctx, c, fmt.Sprintf("SELECT set_id, bucket, count(*) FROM %s WHERE %s AND set_id IN (%s) GROUP BY ALL ORDER BY ALL",
		relation, where, list(sets)), func(r *rows) error {
		p := portion{set: r.int64(0), rows: r.int64(2), ranged: true, first: r.int64(1), last: r.int64(1)}
		if n := len(s.left); n > 0 && s.left[n-1].joins(&p, large) {
			p = s.left[n-1].joined(&p)
			s.left = s.left[:n-1]
		}
		s.left = append(s.left, p)
		return nil
	})
	return s, err
}

func (s *share) done() bool { return len(s.left) == 0 }

// joins reports whether p and the next one make one slice of at most so many
// rows.
func (p *portion) joins(next *portion, rows int64) bool {
	return p.parts == 0 && next.parts == 0 && p.ranged == next.ranged && (!p.ranged || p.set == next.set) && p.rows+next.rows <= rows
}

// joined returns two consecutive ranges as one.
func (p *portion) joined(next *portion) portion {
	return portion{set: p.set, rows: p.rows + next.rows, ranged: true, first: p.first, last: next.last}
}

// maxParts bounds the parts of a set: the rows of the set are looked at for
// each of them.
const maxParts = 64

// next takes the next slice off the share, at most about so many rows, and
// returns its condition and rows.
func (s *share) next(pace int64) (where string, rows int64) {
	if s.done() {
		return "false", 0
	}
	p := &s.left[0]
	if p.parts == 0 && p.rows > pace+pace/2 {
		p.parts = min(1+(p.rows-1)/pace, maxParts)
		p.rows /= p.parts // of each
	}
	if p.parts > 0 {
		where, rows = fmt.Sprintf("%s AND hash(%s) %% %d = %d", p.condition(), s.keys, p.parts, p.part), p.rows
		if p.part++; p.part == p.parts {
			s.left = s.left[1:]
		}
		return where, rows
	}
	all, sets, n := *p, []string{fmt.Sprint(p.set)}, 1
	for n < len(s.left) && all.joins(&s.left[n], pace) {
		next := &s.left[n]
		all.rows, all.last, sets = all.rows+next.rows, next.last, append(sets, fmt.Sprint(next.set))
		n++
	}
	s.left = s.left[n:]
	if all.ranged {
		return all.condition(), all.rows
	}
	return "set_id IN (" + list(sets) + ")", all.rows
}

// condition selects a portion of one set.
func (p *portion) condition() string {
	if p.ranged {
		return fmt.Sprintf("set_id = %d AND bucket BETWEEN make_timestamp(%d) AND make_timestamp(%d)", p.set, p.first, p.last)
	}
	return fmt.Sprintf("set_id = %d", p.set)
}
