package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

var testLimits = millrace.SQLLimits{Timeout: 20 * time.Second, Rows: 1000}

func query(t testing.TB, db *DB, q string) *millrace.Table {
	t.Helper()
	tab, err := db.SQL(t.Context(), q, testLimits)
	if err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return tab
}

// withEvents opens a store with n access events.
func withEvents(t testing.TB, n int) *DB {
	db := openTest(t)
	c := &millrace.Commit{
		Sink:      millrace.SinkEvents,
		Positions: []millrace.Position{{Offset: 7}},
		Ledger:    []millrace.LedgerEntry{{Sink: millrace.SinkEvents, Project: "default", Source: "nginx", Minute: 60, Outcome: millrace.OutcomeStored, Events: int64(n), Weight: int64(n)}},
	}
	if err := db.WriteEvents(t.Context(), accessRows(n, 0, 1), c); err != nil {
		t.Fatal(err)
	}
	return db
}

// TestSandbox refuses everything but one harmless SELECT.
func TestSandbox(t *testing.T) {
	db := withEvents(t, 100)
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(db.path)
	f := func(q string) {
		t.Helper()
		q = strings.NewReplacer("SECRET", secret, "DIR", dir, "DB", db.path).Replace(q)
		tab, err := db.SQL(t.Context(), q, testLimits)
		if code := millrace.ErrorCode(err); code != millrace.ErrInvalid {
			t.Errorf("%s: %q, %v, %v", q, code, err, tab)
		} else if msg := millrace.ErrorMessage(err); strings.Contains(msg, "internal error") || len(msg) < 10 {
			t.Errorf("%s: unhelpful message %q", q, msg)
		}
	}
	// Files.
	f(`SELECT * FROM 'SECRET'`)
	f(`SELECT * FROM "SECRET"`)
	f(`SELECT * FROM read_csv('SECRET')`)
	f(`SELECT * FROM read_csv_auto('SECRET')`)
	f(`SELECT * FROM system.main.read_csv('SECRET')`)
	f(`SELECT * FROM READ_TEXT('SECRET')`)
	f(`SELECT * FROM read_blob('DB')`)
	f(`SELECT * FROM read_parquet('DIR/*')`)
	f(`SELECT * FROM read_json_auto('SECRET')`)
	f(`SELECT * FROM parquet_scan('SECRET')`)
	f(`SELECT * FROM sniff_csv('SECRET')`)
	f(`SELECT * FROM glob('DIR/*')`)
	f(`SELECT * FROM read_duckdb('DB')`)
	f(`SELECT (SELECT max(content) FROM read_text('SECRET'))`)
	f(`WITH x AS (SELECT * FROM read_csv('SECRET')) SELECT * FROM x`)
	f(`SELECT * FROM events WHERE message IN (SELECT a::VARCHAR FROM 'SECRET')`)
	f(`SELECT * FROM query('SELECT * FROM read_csv(''SECRET'')')`)
	f(`SELECT * FROM query_table('SECRET')`)
	f(`SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))`)
	f(`SELECT * FROM 'https://example.com/a.csv'`)
	f(`COPY events TO 'SECRET'`)
	f(`COPY events TO 'DB.wal'`)
	f(`COPY (SELECT 1) TO '/dev/stdout'`)
	f(`COPY events FROM 'SECRET'`)
	f(`EXPORT DATABASE 'DIR/x'`)
	f(`IMPORT DATABASE 'DIR/x'`)
	f(`ATTACH 'DIR/other.duckdb'`)
	f(`ATTACH ':memory:' AS m`)
	f(`DETACH millrace`)
	f(`USE system`)
	f(`INSTALL httpfs`)
	f(`LOAD httpfs`)
	f(`LOAD 'SECRET'`)
	// Settings and the instance.
	f(`SET enable_external_access = true`)
	f(`SET memory_limit = '100GB'`)
	f(`RESET lock_configuration`)
	f(`SET VARIABLE x = 1`)
	f(`PRAGMA enable_profiling`)
	f(`PRAGMA database_list`)
	f(`PRAGMA disable_checkpoint_on_shutdown`)
	f(`CALL pragma_version()`)
	f(`CALL force_checkpoint()`)
	f(`CALL enable_logging()`)
	f(`CHECKPOINT`)
	f(`FORCE CHECKPOINT`)
	f(`VACUUM`)
	f(`ANALYZE`)
	f(`SELECT * FROM force_checkpoint()`)
	f(`SELECT * FROM checkpoint()`)
	f(`SELECT * FROM enable_logging('x')`)
	f(`SELECT * FROM truncate_duckdb_logs()`)
	f(`SELECT current_setting('temp_directory')`)
	f(`SELECT getvariable('x')`)
	f(`SELECT getenv('HOME')`)
	f(`SELECT write_log('x')`)
	f(`SELECT sleep_ms(100000)`)
	f(`SELECT pg_sleep(100)`)
	f(`SELECT nextval('s')`)
	// Writes.
	f(`INSERT INTO positions SELECT * FROM positions`)
	f(`UPDATE positions SET "offset" = 0`)
	f(`DELETE FROM positions`)
	f(`DELETE FROM events`)
	f(`TRUNCATE positions`)
	f(`MERGE INTO positions USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE`)
	f(`DROP TABLE positions`)
	f(`DROP VIEW events`)
	f(`ALTER TABLE positions ADD COLUMN x INTEGER`)
	f(`CREATE TABLE x AS SELECT 1`)
	f(`CREATE TEMP TABLE x AS SELECT 1`)
	f(`CREATE OR REPLACE VIEW events AS SELECT 1`)
	f(`CREATE MACRO lower(x) AS 1`)
	f(`CREATE SCHEMA x`)
	f(`CREATE SECRET x (TYPE s3)`)
	f(`CREATE SEQUENCE s`)
	f(`COMMENT ON TABLE positions IS 'x'`)
	f(`WITH x AS (DELETE FROM positions RETURNING *) SELECT * FROM x`)
	f(`SELECT 1 INTO x`)
	f(`BEGIN`)
	f(`COMMIT`)
	f(`ROLLBACK`)
	f(`PREPARE p AS SELECT 1`)
	f(`EXECUTE p`)
	f(`DEALLOCATE p`)
	f(`EXPLAIN ANALYZE DELETE FROM positions`)
	// More than one statement, none, or what is not SQL.
	f(`SELECT 1; SELECT 2`)
	f(`SELECT 1; DELETE FROM positions`)
	f(`COMMIT; DELETE FROM positions; BEGIN`)
	f(`SELECT 1; -- comment
		DROP VIEW events`)
	f(``)
	f(`;`)
	f(`-- nothing`)
	f(`/* unclosed`)
	f(`SELEC 1`)
	f(`SELECT`)
	f("SELECT 1\x00; DELETE FROM positions")
	f("SELECT '\xff'")
	f(`SELECT $1`)
	f(`SELECT ?`)
	f(strings.Repeat("(", 5000))
	f(`SELECT ` + strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000) + " FROM nope")
	f(`SELECT ` + strings.Repeat("1+", 7000) + "1")
	// The store's own tables and catalogs.
	f(`SELECT * FROM events_none`)
	f(`SELECT * FROM clients`)
	f(`SELECT * FROM meta_version`)
	f(`SELECT * FROM ledger_rows`)
	f(`SELECT * FROM main.clients`)
	f(`WITH clients AS (SELECT * FROM clients) SELECT * FROM clients`)
	f(`WITH x AS (SELECT 1), clients AS (SELECT 2) SELECT * FROM (SELECT * FROM clients)`)
	f(`SELECT * FROM information_schema.tables`)
	f(`SELECT * FROM duckdb_settings()`)
	f(`SELECT * FROM duckdb_secrets()`)
	f(`SELECT * FROM duckdb_tables`)
	f(`SELECT * FROM pg_catalog.pg_class`)
	f(`SELECT * FROM sqlite_master`)
	f(`SELECT * FROM other.events`)
	f(`SHOW TABLES`)
	f(`DESCRIBE clients`)
	f(`SUMMARIZE clients`)
	f(`TABLE clients`)
	f(`FROM clients`)
	f(`SELECT * FROM rollup_nothing`)
	// Errors of the statement itself.
	f(`SELECT nope FROM events`)
	f(`SELECT 1/0 FROM events WHERE error('x')`)
	f(`SELECT 'x'::INTEGER`)
	f(`SELECT 9223372036854775807 + 1::BIGINT`)
	f(`SELECT nosuchfunction(1)`)
	if n := query(t, db, "SELECT count(*), (SELECT any_value(\"offset\") FROM positions) FROM events").Rows[0]; n[0] != int64(100) || n[1] != int64(7) {
		t.Errorf("after the attacks: %v", n)
	}
}

// TestNoIssuesTable tells who joins issues where they are; a CTE of that name is one.
func TestNoIssuesTable(t *testing.T) {
	db := withEvents(t, 1)
	for _, q := range []string{"SELECT * FROM issues", "SELECT count(*) FROM exceptions e JOIN ISSUES i ON i.id = e.fingerprint"} {
		if _, err := db.SQL(t.Context(), q, testLimits); !errors.Is(err, millrace.ErrNoIssuesTable) {
			t.Errorf("%s: %v", q, err)
		}
	}
	query(t, db, "WITH issues AS (SELECT 1 AS id) SELECT id FROM issues")
}

// TestSandboxAllows lists what people do ask.
func TestSandboxAllows(t *testing.T) {
	db := withEvents(t, 100)
	f := func(q, want string) {
		t.Helper()
		b, err := json.Marshal(query(t, db, q).Rows)
		if err != nil {
			t.Errorf("%s: %v", q, err)
		}
		if string(b) != want {
			t.Errorf("%s: got %s, want %s", q, b, want)
		}
	}
	f(`SELECT count(*) FROM events`, `[[100]]`)
	f(`select COUNT(*) from EVENTS e where e.attrs->>'method' = 'GET';`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE attrs.method = '"GET"'`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE time > now() - INTERVAL 10 YEAR AND time < now() + INTERVAL 100 YEAR`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE time > CURRENT_TIMESTAMP - INTERVAL 10 YEAR`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE time >= '2026-01-01' AND kind = 'access'`, `[[100]]`)
	f(`WITH a AS (SELECT service, count(*) n FROM main.events GROUP BY ALL) SELECT * FROM a`, `[["shop",100]]`)
	f(`SELECT count(*) FROM exceptions`, `[[0]]`)
	f(`SELECT outcome, events FROM ledger`, `[["stored",100]]`)
	f(`SELECT "offset" FROM positions`, `[[7]]`)
	f(`SELECT count(*) FROM gaps`, `[[0]]`)
	f(`SELECT "rows" FROM segments`, `[[100]]`)
	f(`SELECT count(*) FROM (DESCRIBE events)`, `[[27]]`)
	f(`VALUES (1), (2)`, `[[1],[2]]`)
	f(`FROM range(3)`, `[[0],[1],[2]]`)
	f(`SELECT unnest([1, 2])`, `[[1],[2]]`)
	f(`SELECT 1 AS a, a + 1 AS b, a + b AS c`, `[[1,2,3]]`)
	f(`SELECT list_transform([1, 2], lambda x: x + 1), [x * 2 for x in [1, 2] if x > 1]`, `[[[2,3],[4]]]`)
	f(`SELECT count(*) > 0 FROM events WHERE regexp_matches(message, 'web-\d+') AND message LIKE '%Mozilla%'`, `[[true]]`)
	f(`SELECT sum(weight), avg(weight), quantile_cont(weight, 0.5), approx_count_distinct(service) FROM events`, `[[100,1,1,1]]`)
	f(`SELECT date_trunc('day', time) AS d, count(*) FROM events GROUP BY d`, `[["2026-09-21T00:00:00Z",100]]`)
	f(`SELECT service, row_number() OVER (ORDER BY time) FROM events QUALIFY row_number() OVER (ORDER BY time) = 3`, `[["shop",3]]`)
	f(`(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC`, `[[2],[1]]`)
	f(`WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n) FROM r`, `[[15]]`)
	f(`SELECT replace('a-b', '-', '+'), CASE WHEN true THEN 1 END, coalesce(NULL, 2), 3 IN (SELECT 3)`, `[["a+b",1,2,true]]`)
}

func TestSQLValues(t *testing.T) {
	db := openTest(t)
	f := func(expr, want, typ string) {
		t.Helper()
		tab := query(t, db, "SELECT "+expr+" AS v")
		b, err := json.Marshal(tab.Rows[0][0])
		if err != nil {
			t.Errorf("%s: %v", expr, err)
		}
		if string(b) != want || tab.Types[0] != typ || tab.Columns[0] != "v" {
			t.Errorf("%s: got %s of %s, want %s of %s", expr, b, tab.Types[0], want, typ)
		}
	}
	f(`NULL`, `null`, `INTEGER`)
	f(`true`, `true`, `BOOLEAN`)
	f(`1::TINYINT`, `1`, `TINYINT`)
	f(`-1::SMALLINT`, `-1`, `SMALLINT`)
	f(`-1::INTEGER`, `-1`, `INTEGER`)
	f(`4294967295::UINTEGER`, `4294967295`, `UINTEGER`)
	f(`(-9223372036854775808)::BIGINT`, `-9223372036854775808`, `BIGINT`)
	f(`18446744073709551615::UBIGINT`, `18446744073709551615`, `UBIGINT`)
	f(`sum(1::BIGINT)`, `1`, `HUGEINT`)
	f(`-170141183460469231731687303715884105727::HUGEINT`, `-170141183460469231731687303715884105727`, `HUGEINT`)
	f(`-5::HUGEINT`, `-5`, `HUGEINT`)
	f(`1.5`, `1.5`, `DECIMAL(2,1)`)
	f(`-12345678901234567890.12::DECIMAL(38,2)`, `-12345678901234567890.12`, `DECIMAL(38,2)`)
	f(`0.1::DOUBLE`, `0.1`, `DOUBLE`)
	f(`'nan'::DOUBLE`, `"NaN"`, `DOUBLE`)
	f(`'-inf'::FLOAT`, `"-Infinity"`, `FLOAT`)
	f(`'grün'`, `"grün"`, `VARCHAR`)
	f(`'{"a": 1}'::JSON`, `"{\"a\": 1}"`, `JSON`)
	f(`'\xAA\x00'::BLOB`, `"aa00"`, `BLOB`)
	f(`DATE '2026-03-01'`, `"2026-03-01"`, `DATE`)
	f(`DATE '22026-03-01'`, `"22026-03-01 00:00:00"`, `DATE`)
	f(`TIME '12:30:00.5'`, `"12:30:00.5"`, `TIME`)
	f(`TIMESTAMP '2026-03-01 12:00:00.123456'`, `"2026-03-01T12:00:00.123456Z"`, `TIMESTAMP`)
	f(`TIMESTAMP 'infinity'`, `"infinity"`, `TIMESTAMP`)
	f(`'2026-03-01 12:00:00.123456789'::TIMESTAMP_NS`, `"2026-03-01T12:00:00.123456789Z"`, `TIMESTAMP_NS`)
	f(`'2026-03-01'::TIMESTAMP_S`, `"2026-03-01T00:00:00Z"`, `TIMESTAMP_S`)
	f(`'2026-03-01'::TIMESTAMP_MS`, `"2026-03-01T00:00:00Z"`, `TIMESTAMP_MS`)
	f(`'2026-03-01 01:00:00+01'::TIMESTAMPTZ`, `"2026-03-01T00:00:00Z"`, `TIMESTAMP WITH TIME ZONE`)
	f(`INTERVAL '1 month 2 days 3.5 seconds'`, `"1 months 2 days 00:00:03.500000"`, `INTERVAL`)
	f(`INTERVAL '-90 minutes'`, `"-01:30:00"`, `INTERVAL`)
	f(`'0af76519-16cd-43dd-8448-eb211c80319c'::UUID`, `"0af76519-16cd-43dd-8448-eb211c80319c"`, `UUID`)
	f(`'101010101'::BIT`, `"101010101"`, `BIT`)
	f(`'b'::ENUM('a', 'b')`, `"b"`, `ENUM`)
	f(`[1, NULL, 3]`, `[1,null,3]`, `INTEGER[]`)
	f(`[[1], []]`, `[[1],[]]`, `INTEGER[][]`)
	f(`array_value(1, 2)`, `[1,2]`, `INTEGER[2]`)
	f(`{'a': 1, 'b': {'c': 'x'}}`, `{"a":1,"b":{"c":"x"}}`, `STRUCT(a INTEGER, b STRUCT(c VARCHAR))`)
	f(`MAP {'k': [1, 2]}`, `{"k":[1,2]}`, `MAP(VARCHAR, INTEGER[])`)
	f(`{'a': NULL::INTEGER[]}`, `{"a":null}`, `STRUCT(a INTEGER[])`)
	f(`3::UNION(a VARCHAR, b INTEGER)`, `3`, `UNION`)
}

func TestSQLLimits(t *testing.T) {
	db := withEvents(t, 5000)
	f := func(q string, lim millrace.SQLLimits, want millrace.Code) {
		t.Helper()
		start := time.Now()
		_, err := db.SQL(t.Context(), q, lim)
		if code := millrace.ErrorCode(err); code != want {
			t.Errorf("%s: %v", q, err)
		}
		if d := time.Since(start); d > lim.Timeout+10*time.Second {
			t.Errorf("%s: took %v with a limit of %v", q, d, lim.Timeout)
		}
	}
	f("SELECT * FROM events", millrace.SQLLimits{Timeout: time.Minute, Rows: 4999}, millrace.ErrTooLarge)
	f("SELECT * FROM events", millrace.SQLLimits{Timeout: time.Minute, Rows: 5000}, "")
	f("SELECT count(*) FROM events a, events b, events c", millrace.SQLLimits{Timeout: 300 * time.Millisecond, Rows: 10}, millrace.ErrTimeout)
	f("SELECT sum(i) FROM range(1000000000000) t(i)", millrace.SQLLimits{Timeout: 300 * time.Millisecond, Rows: 10}, millrace.ErrTimeout)
	f("SELECT count(*) FROM generate_series(1, 1000000000000)", millrace.SQLLimits{Timeout: 300 * time.Millisecond, Rows: 10}, millrace.ErrTimeout)
	f("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r", millrace.SQLLimits{Timeout: 300 * time.Millisecond, Rows: 10}, millrace.ErrTimeout)
	f("SELECT a.message FROM events a, events b", millrace.SQLLimits{Timeout: time.Minute, Rows: 1 << 30}, millrace.ErrTooLarge)
	f("SELECT "+strings.Repeat("1,", 9000)+"1", millrace.SQLLimits{Timeout: time.Minute, Rows: 10}, millrace.ErrTooLarge)

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	if _, err := db.SQL(ctx, "SELECT count(*) FROM events a, events b, events c", testLimits); err == nil {
		t.Error("a cancelled statement returned no error")
	}
}

// TestSQLMemory runs statements that want more memory than there is while
// batches are written, which must all succeed.
func TestSQLMemory(t *testing.T) {
	db := withEvents(t, 20000)
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		rows := accessRows(2000, 1000, 2)
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := db.WriteEvents(context.Background(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
				done <- err
				return
			}
		}
	}()
	f := func(q string) {
		t.Helper()
		start := time.Now()
		_, err := db.SQL(t.Context(), q, millrace.SQLLimits{Timeout: 5 * time.Second, Rows: 100})
		switch millrace.ErrorCode(err) {
		case millrace.ErrTimeout, millrace.ErrTooLarge, millrace.ErrInvalid:
		default:
			t.Errorf("%s: %v", q, err)
		}
		t.Logf("%6v ms, %4d MB: %.60s: %.100v", time.Since(start).Milliseconds(), nativeMemory()>>20, q, err)
	}
	f("SELECT length(repeat('x', 4000000000))")
	f("SELECT len(range(3000000000))")
	f("SELECT len(list(i)) FROM range(10000000000) t(i)")
	f("SELECT length(string_agg(a.message, ',')) FROM events a, events b")
	f("SELECT count(DISTINCT a.message || b.message) FROM events a, events b")
	f("SELECT a.message || b.message AS m FROM events a, events b ORDER BY m LIMIT 1")
	f("SELECT a.message, list(b.message) FROM events a, events b GROUP BY ALL")
	f("WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r")
	f("WITH RECURSIVE r(s) AS (SELECT 'x' UNION SELECT s || i FROM r, range(100) t(i)) SELECT count(*) FROM r")
	f("SELECT max(length(" + doubling(30) + ")) FROM events")
	f("WITH " + chain(40) + " SELECT max(length(s)) FROM c40")
	f("SELECT " + aliases(45))
	f("SELECT list_transform(list(message), lambda x: list_transform(list(message), lambda y: x || y)) FROM events")
	f("SELECT regexp_replace(message, '', message, 'g') FROM events")
	f("SELECT hex(" + strings.Repeat("hex(", 40) + "message" + strings.Repeat(")", 41) + " FROM events")
	f("SELECT array_agg(a ORDER BY b.time) OVER (ORDER BY a.time) FROM events a, events b")
	f("PIVOT events ON message USING count(*)")
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("the writer was hurt: %v", err)
	}
}

// doubling is message || message, nested n deep.
func doubling(n int) string {
	s := "message"
	for range min(n, 9) { // the text itself doubles
		s = "(" + s + "||" + s + ")"
	}
	return s
}

func chain(n int) string {
	s := "c0 AS (SELECT message AS s FROM events)"
	for i := range n {
		s += fmt.Sprintf(", c%d AS (SELECT s || s AS s FROM c%d)", i+1, i)
	}
	return s
}

func aliases(n int) string {
	s := "1 AS a0"
	for i := range n {
		s += fmt.Sprintf(", a%d + a%d AS a%d", i, i, i+1)
	}
	return s
}

// FuzzSQL runs whatever comes. Nothing may crash or change what is stored.
func FuzzSQL(f *testing.F) {
	for _, q := range []string{
		"SELECT count(*) FROM events WHERE attrs->>'url' = '/x'", "WITH a AS (SELECT 1) SELECT * FROM a, range(3)",
		"SELECT [x + 1 for x in [1, 2]], {'a': 1}, MAP {'k': 1}", "DELETE FROM positions", "SUMMARIZE events",
		"SELECT * FROM (PIVOT events ON level IN ('info') USING count(*))", "SELECT 1.5::DECIMAL(38,20), INTERVAL 1 DAY, '1'::BIT",
		"FROM events SELECT time, lag(time) OVER (PARTITION BY host ORDER BY time) LIMIT 3",
	} {
		f.Add(q)
	}
	db := withEvents(f, 100)
	f.Fuzz(func(t *testing.T, q string) {
		tab, err := db.SQL(t.Context(), q, millrace.SQLLimits{Timeout: time.Second, Rows: 100})
		if err == nil {
			if _, err := json.Marshal(tab); err != nil {
				t.Errorf("%q: %v", q, err)
			}
		} else if c := millrace.ErrorCode(err); c == millrace.ErrInternal || c == millrace.ErrUnavailable {
			t.Errorf("%q: %v", q, err)
		}
		if n := query(t, db, `SELECT count(*), (SELECT max("offset") FROM positions) FROM events`).Rows[0]; n[0] != int64(100) || n[1] != int64(7) {
			t.Errorf("%q: now %v", q, n)
		}
	})
}
