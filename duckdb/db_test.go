package duckdb

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

var discard = slog.New(slog.DiscardHandler)

func openTest(t testing.TB) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "db", "millrace.duckdb"))
}

func openAt(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), DefaultOptions(), path, time.Now, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestCommitRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.duckdb")
	db := openAt(t, path)
	c := &millrace.Commit{
		Sink:      millrace.SinkRollup,
		Positions: []millrace.Position{{Partition: 3, Generation: 1, TopicID: "t", Offset: 9, Ordinal: 2, MaxTime: 77}},
		Clients:   []millrace.ClientWindow{{Client: "c1", Updated: 5, State: []byte{1, 0, 2}}},
		Admitted:  []millrace.Admission{{Rollup: "r", Dimension: "d", Value: "v"}},
	}
	for range 2 {
		if err := db.write(t.Context(), "events", func(w *writer) error { return db.writeCommit(w, c) }); err != nil {
			t.Fatal(err)
		}
		c.Positions[0].Offset++
		c.Clients[0].State = []byte("longer than twelve bytes, surely")
		c.Admitted = nil
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := openAt(t, path).Load(t.Context(), millrace.SinkRollup)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Positions) != 1 || s.Positions[0].Offset != 10 || s.Positions[0].TopicID != "t" {
		t.Errorf("positions %+v", s.Positions)
	}
	if len(s.Clients) != 1 || string(s.Clients[0].State) != "longer than twelve bytes, surely" {
		t.Errorf("clients %+v", s.Clients)
	}
	if len(s.Admitted) != 1 || s.Admitted[0] != (millrace.Admission{Rollup: "r", Dimension: "d", Value: "v"}) {
		t.Errorf("admitted %+v", s.Admitted)
	}
}

func TestOutOfMemoryIsRecognised(t *testing.T) {
	for _, message := range []string{
		"Out of Memory Error: failed to allocate data of size 16.0 KiB (512.0 MiB/512.0 MiB used)",
		"Failed to append: failed to allocate data of size 4.0 KiB (515.1 MiB/512.0 MiB used)",
	} {
		if class := errClass(fmt.Errorf("flush events: %w", newDBError(message))); class != "Out of Memory" {
			t.Errorf("%s: class %q", message, class)
		}
	}
}
