package duckdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace"
)

// writeCommit stores what accompanies a flush: positions, client windows,
// accounts, gaps, set-aside records and admitted values.
func (db *DB) writeCommit(w *writer, c *millrace.Commit) error {
	db.seq++ // under writeMu; a failed write leaves a hole, which is harmless
	if c.From != nil {
		stored, err := loadPositions(w.ctx, w.c)
		if err != nil {
			return fmt.Errorf("positions: %w", err)
		}
		if err := c.CheckFrom(stored[c.Sink]); err != nil {
			return err
		}
	}
	if err := writePositions(w, c); err != nil {
		return fmt.Errorf("positions: %w", err)
	}
	if err := writeClients(w, c, db.seq); err != nil {
		return fmt.Errorf("client windows: %w", err)
	}
	if err := writeLedger(w, c, db.seq); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	if err := writeGaps(w, c); err != nil {
		return fmt.Errorf("gaps: %w", err)
	}
	if err := writeSetAside(w, c); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	if err := dropRetired(w, c); err != nil {
		return fmt.Errorf("retired values: %w", err)
	}
	if err := writeAdmitted(w, c); err != nil {
		return fmt.Errorf("admitted values: %w", err)
	}
	return nil
}

// writePositions updates in place: there are as many rows as sinks times
// partitions, and an update of few rows is cheaper than an index.
func writePositions(w *writer, c *millrace.Commit) error {
	for _, p := range c.Positions {
		n, err := w.exec(`UPDATE positions SET generation = ?, topic_id = ?, "offset" = ?, ordinal = ?, max_time = ?
			WHERE sink = ? AND "partition" = ?`,
			p.Generation, p.TopicID, p.Offset, p.Ordinal, p.MaxTime, string(c.Sink), p.Partition)
		if err == nil && n == 0 {
			_, err = w.exec("INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?)",
				string(c.Sink), p.Partition, p.Generation, p.TopicID, p.Offset, p.Ordinal, p.MaxTime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func writeClients(w *writer, c *millrace.Commit, seq int64) error {
	if len(c.Clients) == 0 {
		return nil
	}
	t, err := w.table("clients")
	if err != nil {
		return err
	}
	return chunks(len(c.Clients), func(from, k int) error {
		var names []string
		var updated []int64
		var states [][]byte
		for _, cw := range c.Clients[from : from+k] {
			names, updated = append(names, validText(cw.Client)), append(updated, cw.Updated)
			states = append(states, notNil(cw.State))
		}
		t.sameString(0, k, string(c.Sink))
		t.strings(1, names)
		t.int64s(2, updated)
		t.blobs(3, states)
		t.sameInt64(4, k, seq)
		return t.emit(k)
	})
}

func writeLedger(w *writer, c *millrace.Commit, seq int64) error {
	if len(c.Ledger) == 0 {
		return nil
	}
	t, err := w.table("ledger_rows")
	if err != nil {
		return err
	}
	return chunks(len(c.Ledger), func(from, k int) error {
		var text [6][]string
		var minute, events, weight []int64
		for i := range c.Ledger[from : from+k] {
			e := &c.Ledger[from+i]
			for j, s := range []string{
				string(e.Sink), e.Project, e.Source, string(e.Outcome), e.Reason, e.Example,
			} {
				text[j] = append(text[j], validText(s))
			}
			minute, events, weight = append(minute, e.Minute), append(events, e.Events), append(weight, e.Weight)
		}
		for j, col := range []int{0, 1, 2, 4, 5, 8} {
			t.strings(col, text[j])
		}
		t.int64s(3, minute)
		t.int64s(6, events)
		t.int64s(7, weight)
		t.sameInt64(9, k, seq)
		return t.emit(k)
	})
}

func writeGaps(w *writer, c *millrace.Commit) error {
	for _, g := range c.Gaps {
		if _, err := w.exec("INSERT INTO gaps VALUES (?, ?, ?, ?, ?, ?, ?)",
			string(g.Sink), g.Partition, g.Generation, g.From, g.To, timeNS(g.Found), validText(g.Reason)); err != nil {
			return err
		}
	}
	return nil
}

func writeSetAside(w *writer, c *millrace.Commit) error {
	for _, s := range c.SetAside {
		if _, err := w.exec("INSERT INTO set_aside VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			string(s.Sink), s.Partition, s.Generation, s.Offset, s.Ordinal, timeNS(s.Time), validText(s.Project),
			validText(s.Source), validText(s.Stage), validText(s.Reason), notNil(s.Payload)); err != nil {
			return err
		}
	}
	return nil
}

// dropRetired deletes many values with one statement each thousand: a scan of
// the table costs more than the list.
func dropRetired(w *writer, c *millrace.Commit) error {
	for part := range slices.Chunk(c.Retired, 1000) {
		var list strings.Builder
		for i, a := range part {
			if i > 0 {
				list.WriteString(", ")
			}
			fmt.Fprintf(&list, "(%s, %s, %s)", quote(validText(a.Rollup)), quote(validText(a.Dimension)), quote(validText(a.Value)))
		}
		if _, err := w.exec("DELETE FROM admitted WHERE (rollup, dimension, value) IN (" + list.String() + ")"); err != nil {
			return err
		}
	}
	return nil
}

func writeAdmitted(w *writer, c *millrace.Commit) error {
	if len(c.Admitted) == 0 {
		return nil
	}
	t, err := w.table("admitted")
	if err != nil {
		return err
	}
	return chunks(len(c.Admitted), func(from, k int) error {
		var text [3][]string
		for _, a := range c.Admitted[from : from+k] {
			text[0], text[1] = append(text[0], validText(a.Rollup)), append(text[1], validText(a.Dimension))
			text[2] = append(text[2], validText(a.Value))
		}
		for j := range text {
			t.strings(j, text[j])
		}
		return t.emit(k)
	})
}

// chunks calls fn for each data chunk's worth of n rows.
func chunks(n int, fn func(from, k int) error) error {
	for from := 0; from < n; from += chunkRows {
		if err := fn(from, min(chunkRows, n-from)); err != nil {
			return err
		}
	}
	return nil
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Load implements millrace.Store.
func (db *DB) Load(ctx context.Context, sink millrace.Sink) (*millrace.SinkState, error) {
	s := &millrace.SinkState{}
	err := db.snapshot(ctx, "load "+string(sink), func(c *conn) error {
		all, err := loadPositions(ctx, c)
		if err != nil {
			return err
		}
		s.Positions = all[sink]
		if s.Clients, err = loadClients(ctx, c, sink); err != nil {
			return err
		}
		if sink == millrace.SinkRollup {
			s.Admitted, err = loadAdmitted(ctx, c)
		}
		return err
	})
	return s, err
}

// Positions implements millrace.Store.
func (db *DB) Positions(ctx context.Context) (out map[millrace.Sink][]millrace.Position, err error) {
	err = db.snapshot(ctx, "load positions", func(c *conn) error {
		out, err = loadPositions(ctx, c)
		return err
	})
	return out, err
}

// Claim implements millrace.Store: the directory's lock sees to it that there is
// one worker.
func (db *DB) Claim(ctx context.Context, sink millrace.Sink, _ []int32) (*millrace.SinkState, error) {
	return db.Load(ctx, sink)
}

func loadPositions(ctx context.Context, c *conn) (map[millrace.Sink][]millrace.Position, error) {
	r, err := c.query(ctx, `SELECT sink, "partition", generation, topic_id, "offset", ordinal, max_time
		FROM positions ORDER BY sink, "partition"`)
	if err != nil {
		return nil, err
	}
	defer r.close()
	out := map[millrace.Sink][]millrace.Position{}
	for r.next() {
		sink := millrace.Sink(r.str(0))
		out[sink] = append(out[sink], millrace.Position{
			Partition: int32(r.int64(1)), Generation: r.int64(2), TopicID: r.str(3),
			Offset: r.int64(4), Ordinal: int32(r.int64(5)), MaxTime: r.int64(6),
		})
	}
	return out, r.err
}

func loadClients(ctx context.Context, c *conn, sink millrace.Sink) ([]millrace.ClientWindow, error) {
	r, err := c.query(ctx, `SELECT client, arg_max(updated, seq), arg_max(state, seq)
		FROM clients WHERE sink = ? GROUP BY client ORDER BY client`, string(sink))
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []millrace.ClientWindow
	for r.next() {
		out = append(out, millrace.ClientWindow{
			Client: r.str(0), Updated: r.int64(1), State: append([]byte{}, r.bytes(2)...),
		})
	}
	return out, r.err
}

func loadAdmitted(ctx context.Context, c *conn) ([]millrace.Admission, error) {
	r, err := c.query(ctx, "SELECT DISTINCT rollup, dimension, value FROM admitted ORDER BY ALL")
	if err != nil {
		return nil, err
	}
	defer r.close()
	var out []millrace.Admission
	for r.next() {
		out = append(out, millrace.Admission{Rollup: r.str(0), Dimension: r.str(1), Value: r.str(2)})
	}
	return out, r.err
}

// loadSeq returns the largest sequence number of the logs.
func loadSeq(ctx context.Context, c *conn) (int64, error) {
	r, err := c.query(ctx, `SELECT max(seq) FROM (SELECT max(seq) AS seq FROM clients
		UNION ALL SELECT max(seq) FROM ledger_rows)`)
	if err != nil {
		return 0, err
	}
	defer r.close()
	r.next()
	return r.int64(0), r.err
}
