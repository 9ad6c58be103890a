package clickhouse_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

// faultRows are events of which one in a hundred is an exception, of so many faults.
func faultRows(n, from, faults int) *millrace.EventRows {
	rows := &millrace.EventRows{}
	for i := range n {
		k := from + i
		e := &millrace.Event{
			Time: storetest.Base.UnixNano() + int64(k)*1e6, Weight: 1, Ordinal: int32(i), Project: "default", Service: fmt.Sprint("s", k%7),
			Message: fmt.Sprintf("line %d of a service's log, with what it did", k),
		}
		e.Set("city", millrace.StringValue("oslo"))
		if k%100 == 0 {
			e.Kind = millrace.KindException
			e.Set("fingerprint", millrace.StringValue(fmt.Sprintf("v2:%016x", k/100%faults)))
		}
		rows.Append(&millrace.Record{Offset: int64(k), Arrived: storetest.Base.UnixNano()}, e)
	}
	return rows
}

func fingerprintQuery(n int) millrace.EventQuery {
	eq := func(field, value string) *millrace.Filter {
		return &millrace.Filter{Op: millrace.FilterEq, Field: field, Value: value}
	}
	return millrace.EventQuery{
		From: storetest.Base.UnixNano(), To: storetest.Base.UnixNano() + 1e15, Limit: 100,
		Filter: &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{eq("kind", "exception"), eq("fingerprint", fmt.Sprintf("v2:%016x", n))}},
	}
}

// TestFingerprintIndex: of all granules those with an issue's events are read.
func TestFingerprintIndex(t *testing.T) {
	s := server(t)
	opt := database(t, s)
	db := open(t, opt, committest.New(clock))
	defer db.Close()
	if err := db.WriteEvents(t.Context(), faultRows(flushRows, 0, 1000), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
	page, err := db.Events(t.Context(), fingerprintQuery(77))
	if err != nil || len(page.Events) != 2 {
		t.Fatalf("%v, %v", page, err)
	}
	plan, err := s.Query(t.Context(), "EXPLAIN indexes = 1 SELECT count() FROM "+databaseOf(opt)+".events_rows WHERE fingerprint = 'v2:000000000000004d'")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(plan)
	_, text, _ = strings.Cut(text, "fingerprints")
	_, text, _ = strings.Cut(text, "Granules: ")
	var read, all int
	if _, err := fmt.Sscanf(text, "%d/%d", &read, &all); err != nil || all < 10 || read > 4 {
		t.Errorf("%d of %d granules are read, %v: %s", read, all, err, plan)
	}
}

// TestFingerprintsBefore: events of version 1 of the schema have a fingerprint, too.
func TestFingerprintsBefore(t *testing.T) {
	s := server(t)
	opt := database(t, s)
	db := open(t, opt, committest.New(clock))
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	rows := databaseOf(opt) + ".events_rows"
	admin(t, s, "ALTER TABLE "+rows+" DROP INDEX fingerprints")
	admin(t, s, "ALTER TABLE "+rows+" DROP COLUMN fingerprint")
	admin(t, s, "ALTER TABLE "+databaseOf(opt)+".schema_versions DELETE WHERE version = 2 SETTINGS mutations_sync = 2")
	admin(t, s, "INSERT INTO "+rows+` (time, arrived, slot, kind, project, message, weight, status, bytes, rt, rt_backend, attrs) VALUES
		('2026-03-02 00:00:01', '2026-03-02 00:00:01', `+fmt.Sprint(storetest.Base.Unix()/600)+`, 'exception', 'default', 'old', 1, -1, -1, -1, -1, '{"fingerprint":"v2:000000000000004d"}')`)
	db = open(t, opt, committest.New(clock))
	defer db.Close()
	if err := db.WriteEvents(t.Context(), faultRows(8000, 0, 100), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
	page, err := db.Events(t.Context(), fingerprintQuery(77))
	if err != nil || len(page.Events) != 2 {
		t.Errorf("%v, %v", page, err)
	}
	if n := count(t, databaseOf(opt)+".schema_versions", "version = 2"); n != 1 {
		t.Errorf("version 2 is noted %d times", n)
	}
}

// BenchmarkFingerprint finds the newest hundred events of an issue among two
// million, one in a hundred of which is an exception of one of 2,000.
func BenchmarkFingerprint(b *testing.B) {
	db := open(b, database(b, server(b)), committest.New(clock))
	defer db.Close()
	for i := range 16 {
		if err := db.WriteEvents(b.Context(), faultRows(flushRows, i*flushRows, 2000), &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for i := 0; b.Loop(); i++ {
		page, err := db.Events(b.Context(), fingerprintQuery(i*7%2000))
		if err != nil {
			b.Fatal(err)
		}
		n += len(page.Events)
	}
	b.ReportMetric(float64(n)/float64(b.N), "found")
}
