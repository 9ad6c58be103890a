package clickhouse_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

func sqlStore(t *testing.T) *clickhouse.DB {
	t.Helper()
	db := open(t, database(t, server(t)), committest.New(clock))
	t.Cleanup(func() { _ = db.Close() })
	rows := &millrace.EventRows{}
	rec := &millrace.Record{Partition: 1, Offset: 7, Arrived: storetest.Base.UnixNano()}
	for i := range 10 {
		e := &millrace.Event{
			Time: storetest.Base.UnixNano() + int64(i)*1e9, Weight: 1, Ordinal: int32(i), Kind: millrace.KindAccess,
			Project: "default", Source: "web", Service: []string{"a", "b"}[i%2], Message: fmt.Sprintf("GET /%d", i),
		}
		e.Set("status", millrace.IntValue(int64(200+i)))
		e.Set("url", millrace.StringValue("/x/"+fmt.Sprint(i)))
		e.Set("rt", millrace.NumberValue(0.25, "0.250"))
		e.Set("city", millrace.StringValue(`o"slo`))
		e.Set("took", millrace.IntValue(int64(i)))
		rows.Append(rec, e)
	}
	err := db.WriteEvents(t.Context(), rows, &millrace.Commit{
		Sink:      millrace.SinkEvents,
		Positions: []millrace.Position{{Partition: 1, Generation: 1, TopicID: "t", Offset: 8}},
		Gaps:      []millrace.Gap{{Sink: millrace.SinkEvents, From: 1, To: 2, Found: storetest.Base.UnixNano(), Reason: "it's gone"}},
		Ledger: []millrace.LedgerEntry{{
			Sink: millrace.SinkEvents, Project: "default", Source: "web", Minute: storetest.Base.Unix(),
			Outcome: millrace.OutcomeStored, Events: 10, Weight: 10,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func TestSQLNames(t *testing.T) {
	db := sqlStore(t)
	for query, want := range map[string][][]any{
		"SELECT service, count() FROM events GROUP BY service ORDER BY service":                                   {{"a", int64(5)}, {"b", int64(5)}},
		"select attr_status, attr_url, attr_rt from events where attr_status = 203":                               {{int64(203), "/x/3", 0.25}},
		"SELECT JSONExtractString(attrs, 'city') AS c, max(JSONExtractInt(attrs, 'took')) FROM events GROUP BY c": {{`o"slo`, int64(9)}},
		"SELECT attrs FROM events WHERE ordinal = 3":                                                              {{`{"url":"/x/3","status":203,"rt":0.250,"city":"o\"slo","took":3}`}},
		"SELECT time, kind FROM events ORDER BY time DESC LIMIT 1":                                                {{storetest.Base.Add(9 * time.Second), "access"}},
		"SELECT count() FROM exceptions":                                                                          {{int64(0)}},
		"SELECT minute, events FROM ledger":                                                                       {{storetest.Base, int64(10)}},
		"SELECT reason, found FROM gaps":                                                                          {{"it's gone", storetest.Base}},
		"SELECT sink, partition, offset FROM positions":                                                           {{"events", int64(1), int64(8)}},
		"SELECT count() FROM set_aside":                                                                           {{int64(0)}},
		"WITH e AS (SELECT service FROM events WHERE service = 'a') SELECT count() FROM e":                        {{int64(5)}},
		"WITH 200 AS least SELECT count() FROM events WHERE attr_status > least":                                  {{int64(9)}},
		"(SELECT 1 AS x FROM events LIMIT 1) UNION ALL (SELECT 2 FROM ledger)":                                    {{int64(1)}, {int64(2)}},
		"SELECT count() FROM events WHERE service IN (SELECT service FROM events WHERE ordinal = 1);":             {{int64(5)}},
		"SELECT count() FROM events a JOIN events b ON a.ordinal = b.ordinal + 1 -- pairs":                        {{int64(9)}},
		"SELECT number FROM numbers(2)":                                                                           {{int64(0)}, {int64(1)}},
		"SELECT [1, 2], map('a', 1.5), NULL, true, toUInt64(18446744073709551615), toDecimal64('1.25', 2), toDecimal128('12345678901234567.25', 2), tuple(1, 'x'), nan": {{
			[]any{int64(1), int64(2)}, map[string]any{"a": 1.5}, nil, true, json.Number("18446744073709551615"), 1.25, json.Number("12345678901234567.25"), []any{int64(1), "x"}, "NaN",
		}},
		"SELECT sumIf(weight, service = 'a'), quantile(0.5)(attr_rt), uniqExact(url2) FROM (SELECT *, attr_url AS url2 FROM events)": {{int64(5), 0.25, int64(10)}},
	} {
		got, err := db.SQL(t.Context(), query, millrace.SQLLimits{})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if strings.Contains(query, "UNION") && len(got.Rows) == 2 && got.Rows[0][0] == int64(2) {
			got.Rows[0], got.Rows[1] = got.Rows[1], got.Rows[0]
		}
		if !reflect.DeepEqual(got.Rows, want) {
			t.Errorf("%s:\n got %#v\nwant %#v", query, got.Rows, want)
		}
	}
}

func TestSQLRefuses(t *testing.T) {
	db := sqlStore(t)
	for _, query := range []string{
		"", ";", "DROP TABLE events_rows", "INSERT INTO events_rows (flush) VALUES (1)", "SHOW TABLES", "EXPLAIN SELECT 1", "SET max_threads = 1",
		"SELECT 1; SELECT 2", "SELECT * FROM events_rows", "SELECT * FROM hidden_flushes", "SELECT * FROM system.one", "SELECT * FROM default.x",
		"SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a String')", "SELECT * FROM file('/etc/passwd')", "SELECT file('/etc/passwd')",
		"SELECT * FROM remote('127.0.0.1', system.one)", "SELECT * FROM cluster('x', system.one)", "SELECT * FROM merge('', 'events')",
		"SELECT 1 IN system.one", "SELECT 1 IN events_rows", "SELECT 1 FROM events WHERE flush IN hidden_flushes", "SELECT sleep(3)", "SELECT hostName()",
		"SELECT getSetting('max_threads')", "SELECT dictGet('a', 'b', 1)", "SELECT joinGet('a', 'b', 1)", "SELECT currentUser()", "SELECT chdb('select 1')",
		"SELECT 1 SETTINGS max_memory_usage = 0", "SELECT 1 FROM (SELECT 1 SETTINGS readonly = 0)", "SELECT 1 INTO OUTFILE '/tmp/x'", "SELECT 1 FORMAT JSON",
		"SELECT * FROM (SELECT * FROM system.tables)", "WITH x AS (SELECT * FROM system.tables) SELECT * FROM x",
		"SELECT count() OVER events_rows FROM events_rows WINDOW events_rows AS (ORDER BY time)",
		"SELECT {x:String}", "SELECT * FROM `events` FINAL SAMPLE 0.1", "SELECT 1 AS `a (alias b)`", "SELECT 'a", "SELECT /* a", "SELECT `a\nFunction url`",
		"SELECT $$a$$", "SELECT nope(1)", "SELECT * FROM", "SELECT 1 FROM events WHERE", "SELECT \x00", "SELECT 'a\nFunction url (children 1)' FROM nope",
		"graph = 1 SELECT 1", "SELECT evalMLMethod(1)", "SELECT arrayReduce('nope', [1])", "SELECT * FROM view(SELECT * FROM system.one)",
		"SELECT * FROM numbers(3) UNION ALL SELECT number FROM zeros(3)", "SELECT * FROM executable('x', 'TSV', 'a String')", "SELECT * FROM input('a String')",
	} {
		_, err := db.SQL(t.Context(), query, millrace.SQLLimits{})
		e := millrace.ErrorCode(err)
		if e != millrace.ErrInvalid || millrace.ErrorMessage(err) == "" {
			t.Errorf("%q: %q (%v)", query, e, err)
		}
	}
	if _, err := db.SQL(t.Context(), "SELECT "+strings.Repeat("1,", 9000)+"1", millrace.SQLLimits{}); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("a long statement: %v", err)
	}
}

func TestSQLLimits(t *testing.T) {
	opt := database(t, server(t))
	opt.SQLMemory = 64 << 20
	db := open(t, opt, committest.New(clock))
	defer db.Close()
	for query, want := range map[string]millrace.Code{
		"SELECT number FROM numbers(20)":                                                               millrace.ErrTooLarge,
		"SELECT number FROM numbers(10)":                                                               "",
		"SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1":                        millrace.ErrTimeout,
		"SELECT count() FROM (SELECT groupArray(number) AS a FROM numbers(100000000)) WHERE has(a, 1)": millrace.ErrTooLarge,
	} {
		began := time.Now()
		_, err := db.SQL(t.Context(), query, millrace.SQLLimits{Rows: 10, Timeout: time.Second})
		if millrace.ErrorCode(err) != want {
			t.Errorf("%s: %v", query, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s took %v", query, took)
		}
	}
}
