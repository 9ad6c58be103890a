package duckdb

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/gen"
)

// longTexts are messages of all kinds: short, long, such that packing makes them no
// shorter, and such that begin as a packed one does.
func longTexts() []string {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, longText+100)
	for i := range noise {
		noise[i] = byte(' ' + rng.IntN(95))
	}
	return []string{
		"", "short", "\uFDD1", "\uFDD1z", "\uFDD1zAAAA", longMessage.before + strings.Repeat("x", 2*longText),
		benchStack(rng, 3, longText-1), benchStack(rng, 3, longText), benchStack(rng, 4, 50_000), benchStack(rng, 5, 1_000_000),
		string(noise), strings.Repeat("日本語 ", longText), strings.Repeat("Größe ", longText/6),
	}
}

func TestLongTexts(t *testing.T) {
	var messages, attrs millrace.Strings
	for _, text := range longTexts() {
		messages.Append(text)
		attrs.Append(`{"content":` + string(millrace.AppendJSONString(nil, text)) + `}`)
	}
	for _, c := range []struct {
		l    *longColumn
		have *millrace.Strings
	}{{&longMessage, &messages}, {&longAttrs, &attrs}} {
		stored := c.l.pack(c.have)
		if stored.Len() != c.have.Len() {
			t.Fatalf("%d of %d texts", stored.Len(), c.have.Len())
		}
		for i := range stored.Len() {
			want, have := c.have.At(i), stored.At(i)
			got, err := c.l.unpack(have)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%.40q became %.40q, %v", want, got, err)
			}
			if len(have) > len(want)+40 || len(want) >= 50_000 && len(have) > len(want)/2 {
				t.Errorf("%.40q of %d bytes takes %d", want, len(want), len(have))
			}
		}
	}
	short := &millrace.Strings{}
	short.Append("short")
	if longMessage.pack(short) != short {
		t.Error("short texts are copied")
	}
	for _, bad := range []string{"\uFDD1z!", "\uFDD1zAAAA"} {
		if _, err := longMessage.unpack([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// FuzzLongText packs whatever comes and unpacks what nobody packed.
func FuzzLongText(f *testing.F) {
	f.Add("\uFDD1zKLUv_Q", 1)
	f.Add("abc", 5000)
	f.Fuzz(func(t *testing.T, text string, times int) {
		if _, err := longMessage.unpack([]byte(text)); err != nil && !strings.HasPrefix(text, longMessage.before) {
			t.Errorf("%q: %v", text, err)
		}
		s := &millrace.Strings{}
		s.Append(strings.Repeat(text, 1+max(0, times)%10_000*min(1, 100_000/(len(text)+1))))
		got, err := longMessage.unpack(longMessage.pack(s).At(0))
		if err != nil || !bytes.Equal(got, s.At(0)) {
			t.Errorf("%q: %q, %v", s.At(0), got, err)
		}
	})
}

// TestLongRows looks for rows with long texts in every way that reads them.
func TestLongRows(t *testing.T) {
	db := openTest(t)
	rows := &millrace.EventRows{}
	var all []millrace.Event
	for i, text := range longTexts() {
		e := millrace.Event{
			Time: v1Day.UnixNano() + int64(i), Weight: 1, Kind: millrace.KindException, Project: "p", Source: "s", Message: text, TraceID: fmt.Sprintf("%032x", i+1),
			Ordinal: int32(i),
		}
		e.Set("type", millrace.StringValue(fmt.Sprintf("com.shop.Fault%dException", i%3)))
		e.Set("fingerprint", millrace.StringValue(fmt.Sprintf("f%d", i%4)))
		e.Set("status", millrace.StringValue("not a number"))
		e.Set("content", millrace.StringValue("Content: "+text))
		e.Set("n", millrace.IntValue(int64(i)))
		all = append(all, e)
		rows.Append(&millrace.Record{Partition: 0, Offset: 1, Arrived: v1Day.UnixNano()}, &e)
	}
	writeEvents(t, db, rows)
	check := func() {
		t.Helper()
		for _, f := range []*millrace.Filter{
			nil,
			{Op: millrace.FilterText, Value: "COM.EXAMPLE.SHOP"},
			{Op: millrace.FilterText, Value: "日本語"},
			{Op: millrace.FilterText, Value: "größe"},
			{Op: millrace.FilterText, Value: "qty=7"},
			{Op: millrace.FilterText, Value: "KLUv"},
			{Op: millrace.FilterText, Value: "\uFDD1"},
			{Op: millrace.FilterEq, Field: "message", Value: all[8].Message},
			{Op: millrace.FilterGlob, Field: "message", Value: "*handle49*"},
			{Op: millrace.FilterRegexp, Field: "message", Value: `sku-[0-9a-f]{8}`},
			{Op: millrace.FilterEq, Field: "content", Value: "Content: " + all[8].Message},
			{Op: millrace.FilterGlob, Field: "content", Value: "Content: com*"},
			{Op: millrace.FilterEq, Field: "type", Value: "com.shop.Fault2Exception"},
			{Op: millrace.FilterEq, Field: "fingerprint", Value: "f3"},
			{Op: millrace.FilterGe, Field: "n", Value: "7"},
			{Op: millrace.FilterEq, Field: "status", Value: "not a number"},
		} {
			q := millrace.EventQuery{From: v1Day.UnixNano(), To: v1Day.UnixNano() + 100, Limit: 100, Filter: f}
			page, err := db.Events(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var want []millrace.Event
			for i := range all {
				if e := &all[len(all)-1-i]; f.Match(func(name string) string { v, _ := e.Field(name); return v.String() }) {
					want = append(want, *e)
				}
			}
			if len(page.Events) != len(want) || len(want) == 0 && f.Value != "KLUv" {
				t.Errorf("%.80s: %d events, want %d", describe(f), len(page.Events), len(want))
				continue
			}
			for i, e := range page.Events {
				if e.Message != want[i].Message || string(e.Attrs) != string(millrace.AppendAttrs(nil, want[i].Attrs)) {
					t.Errorf("%.80s: event %d is %.80q %.80q", describe(f), i, e.Message, e.Attrs)
				}
			}
		}
		for _, c := range []struct{ sql, want string }{
			{"SELECT count(*), count(DISTINCT message), sum(length(message)) FROM events", fmt.Sprint("[[", len(all), " ", len(all), " ", runes(all), "]]")},
			{"SELECT type, count(*) FROM exceptions GROUP BY type ORDER BY type", "[[com.shop.Fault0Exception 5] [com.shop.Fault1Exception 4] [com.shop.Fault2Exception 4]]"},
			{"SELECT count(*) FROM events WHERE (attrs->>'content') = ('Content: ' || message) AND (attrs_other->>'content') = (attrs->>'content') AND attr_status IS NULL", fmt.Sprintf("[[%d]]", len(all))},
			{"SELECT fingerprint FROM exceptions WHERE message LIKE '%handle49%' ORDER BY time LIMIT 1", "[[f2]]"},
		} {
			if got := fmt.Sprint(query(t, db, c.sql).Rows); got != c.want {
				t.Errorf("%s: %s, want %s", c.sql, got, c.want)
			}
		}
	}
	check()
	if err := db.runCheckpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	check()
	n := 0
	err := db.ScanEvents(t.Context(), millrace.EventScan{From: v1Day.UnixNano(), To: v1Day.UnixNano() + 100, Fields: []string{"message", "content"}, MaxRows: 100}, func(events []millrace.Event) error {
		for i := range events {
			if e := &events[i]; e.Message != all[n].Message || e.Attrs[0].Value.String() != "Content: "+e.Message {
				t.Errorf("scanned %.80q %.80q", e.Message, e.Attrs[0].Value)
			}
			n++
		}
		return nil
	})
	if err != nil || n != len(all) {
		t.Errorf("%d rows scanned, %v", n, err)
	}
	block := newBlockBuilder("t", 0)
	block.add(rows, 0, len(all))
	_, want := block.seal()
	err = db.read(t.Context(), "index", func(c *conn) error {
		b, err := readBlock(t.Context(), c, rowSpan{table: dayTable(dayOf(v1Day.UnixNano())), from: 0, to: int64(len(all))})
		if err == nil {
			if _, got := b.seal(); !bytes.Equal(got, want) {
				t.Error("the index made from stored rows differs")
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func runes(all []millrace.Event) (n int) {
	for i := range all {
		n += len([]rune(all[i].Message))
	}
	return n
}

// TestMigrateFromVersion2 opens a file in which long texts are as they came.
func TestMigrateFromVersion2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v2.duckdb")
	message := strings.Repeat("long ", 4000)
	func() {
		in, err := openInstance(t.Context(), DefaultOptions(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.close()
		if _, err := readVersion(t.Context(), in.writer); err != nil {
			t.Fatal(err)
		}
		for _, m := range migrations[:2] {
			if err := m.apply(t.Context(), in.writer, v1Day); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range []string{
			"CREATE TABLE events_20260301 " + eventColumns,
			"INSERT INTO segments VALUES ('events_20260301', DATE '2026-03-01', make_timestamp_ns(1), make_timestamp_ns(1), 1, 100)",
			`INSERT INTO events_20260301 BY NAME SELECT make_timestamp_ns(1) AS time, 'exception' AS kind, 'error' AS level, 'p' AS origin, '' AS service, '' AS host,
				'' AS trace_text, '` + message + `' AS message, 1 AS weight, '' AS method, '' AS url, -1 AS status, -1 AS bytes, -1 AS rt, -1 AS rt_backend,
				0 AS client_ip, '' AS user_agent, '{"type":"T","content":"` + message + `"}' AS attrs, make_timestamp_ns(1) AS arrived, 0 AS "partition", 0 AS "offset", 0 AS ordinal`,
			`CREATE OR REPLACE VIEW events AS SELECT time, message, attrs FROM events_20260301`,
			`CREATE OR REPLACE VIEW exceptions AS SELECT time, attrs->>'$.type' AS type FROM events`,
		} {
			if _, err := in.writer.exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}()
	db := openAt(t, path)
	rows := &millrace.EventRows{}
	e := millrace.Event{Time: 2, Weight: 1, Kind: millrace.KindException, Project: "p", Message: message}
	e.Set("type", millrace.StringValue("T"))
	e.Set("content", millrace.StringValue(message))
	rows.Append(&millrace.Record{Offset: 1, Arrived: v1Day.UnixNano()}, &e)
	writeEvents(t, db, rows)
	want := fmt.Sprintf("[[T 2 1 %d 1 1]]", len(message))
	got := fmt.Sprint(query(t, db, "SELECT type, count(*), count(DISTINCT message), max(length(message)), count(DISTINCT attrs->>'content'), max(weight) FROM exceptions GROUP BY type").Rows)
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
	page, err := db.Events(t.Context(), millrace.EventQuery{From: 0, To: 10, Limit: 10})
	if err != nil || len(page.Events) != 2 || page.Events[0].Message != message || page.Events[1].Message != message {
		t.Errorf("%d events, %v", len(page.Events), err)
	}
}

// crashRows are exceptions of 50 KB, as TestBenchExceptions sends them.
func crashRows(n int, offset int64) *millrace.EventRows {
	rows := mixedRows(n, offset, uint64(offset), 1, 20_000)
	crashes := gen.NewCrashes(uint64(offset), 1, gen.CrashOptions{Form: gen.CrashText, Pool: 300})
	rows.Message.Reset()
	for range n {
		rows.Message.Append(string(crashes.Next(1, v1Day, v1Day).Body))
	}
	return rows
}

// TestLongRowsInLittleMemory asks a store of little memory for exceptions of 50 KB,
// before and after a checkpoint.
func TestLongRowsInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 230 MB")
	}
	opt := DefaultOptions()
	opt.Memory = 192 << 20
	db, err := Open(t.Context(), opt, filepath.Join(t.TempDir(), "a.duckdb"), time.Now, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const flushes, each = 140, 25
	var sets [7]*millrace.EventRows
	for i := range sets {
		sets[i] = crashRows(each, int64(i))
	}
	for i := range flushes {
		writeEvents(t, db, sets[i%len(sets)])
	}
	for range 2 {
		for q, rows := range map[string]int{
			"SELECT count(*) FROM exceptions":                                                                   1,
			"SELECT type, count(*) FROM exceptions GROUP BY type ORDER BY type LIMIT 50":                        50,
			"SELECT fingerprint, count(*) FROM exceptions GROUP BY ALL ORDER BY 2 DESC LIMIT 20":                20,
			"SELECT type, count(*) FROM exceptions WHERE time > '2026-01-01' GROUP BY type ORDER BY 2 LIMIT 20": 20,
			"SELECT message FROM exceptions LIMIT 20":                                                           20,
			"SELECT * FROM exceptions LIMIT 20":                                                                 20,
			"SELECT * FROM events LIMIT 20":                                                                     20,
			"SELECT * FROM exceptions ORDER BY time DESC LIMIT 20":                                              20,
			"SELECT exception_message FROM exceptions ORDER BY time DESC LIMIT 20":                              20,
		} {
			got, err := db.SQL(t.Context(), q, millrace.SQLLimits{})
			if err != nil || len(got.Rows) != rows {
				t.Errorf("%s: want %d rows: %v", q, rows, err)
			}
		}
		for _, f := range []*millrace.Filter{nil, {Op: millrace.FilterEq, Field: "fingerprint", Value: benchPrint(1)}, {Op: millrace.FilterText, Value: "request failed"}} {
			page, err := db.Events(t.Context(), millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 20, Filter: f})
			if err != nil {
				t.Errorf("%v: %v", f, err)
			} else if len(page.Events) != 20 || len(page.Events[0].Message) < 45_000 {
				t.Errorf("%v: %d events, %v", f, len(page.Events), err)
			}
		}
		if err := db.runCheckpoint(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}
