package duckdb

import (
	"testing"

	"github.com/millrace/millrace"
)

// TestEventBytesFollowTheFile: what the raw rows are said to occupy is most of
// the file when there is little else in it.
func TestEventBytesFollowTheFile(t *testing.T) {
	db := openTest(t)
	for i := range 2 {
		rows := accessRows(rowGroup, int64(i)*100, uint64(i))
		c := &millrace.Commit{Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: int64(i)}}}
		if err := db.WriteEvents(t.Context(), rows, c); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.runCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := db.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.EventBytes < st.TotalBytes*8/10 || st.EventBytes > st.TotalBytes {
		t.Errorf("raw rows %d bytes, file %d", st.EventBytes, st.TotalBytes)
	}
}
