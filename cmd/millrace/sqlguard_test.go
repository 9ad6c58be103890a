package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sqlAnswer is what POST /api/v1/sql returns, of either kind.
type sqlAnswer struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Detail  string   `json:"detail"`
	Code    string   `json:"code"`
}

func (in *instance) ask(query string) (int, sqlAnswer) {
	in.t.Helper()
	body, err := json.Marshal(map[string]string{"sql": query})
	if err != nil {
		in.t.Fatal(err)
	}
	var a sqlAnswer
	code, _ := in.call(http.MethodPost, "/api/v1/sql", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}, &a)
	return code, a
}

// sqlFixture has 300 access lines of the last hour, an hour-old one and two
// application logs, all stored.
func sqlFixture(t *testing.T, extra string) *instance {
	t.Helper()
	in := boot(t, "", extra)
	now := time.Now().UTC()
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, `{"time":%q,"service":"shop","url":"/item/%d","status":%d,"rt":0.%03d,"client_ip":"10.0.0.%d","method":"GET","tags":["a","b%d"]}`+"\n",
			now.Add(-time.Duration(i)*time.Second).Format(time.RFC3339Nano), i%10, 200+i%3*100, i, i%50, i%2)
	}
	fmt.Fprintf(&b, `{"time":%q,"service":"shop","url":"/old","status":200,"rt":1,"client_ip":"10.0.0.1"}`+"\n", now.Add(-90*time.Minute).Format(time.RFC3339Nano))
	fmt.Fprintf(&b, `{"time":%q,"service":"pay","level":"error","message":"timed out"}`+"\n", now.Format(time.RFC3339Nano))
	fmt.Fprintf(&b, `{"time":%q,"service":"pay","level":"info","message":"ok"}`+"\n", now.Format(time.RFC3339Nano))
	in.drain(in.post("source=sql", b.String()))
	return in
}

// TestSQLAnswers: what people ask, as they write it.
func TestSQLAnswers(t *testing.T) {
	in := sqlFixture(t, "")
	f := func(query, want string) {
		t.Helper()
		code, a := in.ask(query)
		got, err := json.Marshal(a.Rows)
		if err != nil {
			t.Fatal(err)
		}
		if code != http.StatusOK || string(got) != want {
			t.Errorf("%s\n got %d %s %s\nwant %s", query, code, got, a.Detail, want)
		}
	}
	// Time, against now().
	f(`SELECT count(*) FROM events WHERE time > now() - INTERVAL 1 HOUR`, `[[302]]`)
	f(`SELECT count(*) FROM events WHERE time > now() - INTERVAL '1 hour'`, `[[302]]`)
	f(`SELECT count(*) FROM events WHERE time > now() - to_hours(1)`, `[[302]]`)
	f(`SELECT count(*) FROM events WHERE time BETWEEN now() - INTERVAL 2 HOURS AND now() - INTERVAL 1 HOUR`, `[[1]]`)
	f(`SELECT count(*) FROM events WHERE time >= current_timestamp - INTERVAL 1 DAY AND time < current_timestamp + INTERVAL 1 MINUTE`, `[[303]]`)
	f(`SELECT count(*) FROM events WHERE now() - time < INTERVAL 1 HOUR`, `[[302]]`)
	f(`SELECT count(*) FROM events WHERE time >= current_date - 1`, `[[303]]`)
	f(`SELECT count(*) FROM events WHERE time >= today() - INTERVAL 1 DAY`, `[[303]]`)
	f(`SELECT count(*) FROM events WHERE time > date_trunc('day', now()) - INTERVAL 1 DAY`, `[[303]]`)
	f(`SELECT count(*) FROM events WHERE time > '2020-01-01' AND time < TIMESTAMP '2200-01-01 00:00:00'`, `[[303]]`)
	f(`SELECT count(*) FROM rollup_traffic WHERE bucket > now() - INTERVAL 3 HOUR AND granularity = '1m' AND dimension_set = '' AND pv = 0`, `[[0]]`)
	f(`SELECT sum(pv) FROM rollup_traffic WHERE bucket >= now() - INTERVAL 2 DAY AND granularity = '1d' AND dimension_set = ''`, `[[301]]`)
	f(`SELECT sum(events) FROM ledger WHERE minute > now() - INTERVAL 1 HOUR AND outcome = 'stored' AND sink = 'events'`, `[[303]]`)
	f(`SELECT count(*) > 1 FROM (SELECT date_trunc('minute', time) m, count(*) FROM events GROUP BY m ORDER BY m)`, `[[true]]`)
	f(`SELECT count(DISTINCT time_bucket(INTERVAL '5 minutes', time)) BETWEEN 3 AND 4 FROM events`, `[[true]]`)
	f(`SELECT strftime(time, '%Y') = strftime(now(), '%Y') FROM events WHERE message = 'ok'`, `[[true]]`)
	f(`SELECT date_diff('minute', time, now()) >= 89, datediff('day', time, now()::TIMESTAMP) <= 1 FROM events WHERE attrs->>'url' = '/old'`, `[[true,true]]`)
	f(`SELECT epoch(now()) - epoch(max(time)) < 120, extract('hour' FROM max(time)) >= 0, year(now()) >= 2025 FROM events`, `[[true,true,true]]`)
	f(`SELECT date_part('dow', now()) BETWEEN 0 AND 6, hour(now()) BETWEEN 0 AND 23`, `[[true,true]]`)
	f(`SELECT (TIMESTAMPTZ '2026-07-01 12:00:00+00' AT TIME ZONE 'Europe/Berlin')::VARCHAR`, `[["2026-07-01 14:00:00"]]`)
	f(`SELECT count(*) FROM events WHERE time AT TIME ZONE 'UTC' > now() - INTERVAL 1 HOUR`, `[[302]]`)
	// Attributes and JSON.
	f(`SELECT attrs->>'url' AS url, count(*) AS n FROM events WHERE kind = 'access' GROUP BY url ORDER BY n DESC, url LIMIT 2`, `[["/item/0",30],["/item/1",30]]`)
	f(`SELECT count(*) FROM events WHERE (attrs->>'status')::INT >= 400`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE CAST(attrs->>'status' AS INTEGER) BETWEEN 300 AND 399`, `[[100]]`)
	f(`SELECT count(*) FROM events WHERE attrs->>'$.tags[1]' = 'b1'`, `[[150]]`)
	f(`SELECT count(*) FROM events WHERE json_extract_string(attrs, '$.url') LIKE '/item/%'`, `[[300]]`)
	f(`SELECT json_array_length(attrs->'tags'), json_keys(attrs)[1] IS NOT NULL, json_valid(attrs) FROM events WHERE attrs->>'url' = '/item/7' LIMIT 1`, `[[2,true,true]]`)
	f(`SELECT count(*) FROM events WHERE list_contains((attrs->'tags')::VARCHAR[], 'a')`, `[[300]]`)
	// Aggregates, windows, expressions of tables.
	f(`SELECT service, count(*) FILTER (WHERE level = 'error') AS errors FROM events GROUP BY ALL ORDER BY ALL`, `[["pay",1],["shop",0]]`)
	f(`SELECT quantile_cont((attrs->>'rt')::DOUBLE, 0.5) > 0, median((attrs->>'rt')::DOUBLE) < 1, approx_count_distinct(attrs->>'client_ip') > 40 FROM events`, `[[true,true,true]]`)
	f(`SELECT n, sum(n) OVER (ORDER BY n ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) FROM (VALUES (1), (2), (3)) t(n)`, `[[1,1],[2,3],[3,6]]`)
	f(`SELECT service, lag(service) OVER (ORDER BY service), rank() OVER (ORDER BY service) FROM (SELECT DISTINCT service FROM events) ORDER BY 1`, `[["pay",null,1],["shop","pay",2]]`)
	f(`SELECT service FROM events QUALIFY row_number() OVER (PARTITION BY service ORDER BY time) = 1 ORDER BY service`, `[["pay"],["shop"]]`)
	f(`WITH top AS (SELECT attrs->>'url' AS url, count(*) AS n FROM events GROUP BY 1), s AS (SELECT sum(n) AS total FROM top) SELECT total FROM s`, `[[303]]`)
	f(`SELECT a.service FROM events a JOIN events b ON a.service = b.service AND b.level = 'error' WHERE a.level = 'info'`, `[["pay"]]`)
	f(`SELECT service, CASE WHEN level = 'error' THEN 'bad' ELSE 'good' END AS x FROM events WHERE service = 'pay' ORDER BY x`, `[["pay","bad"],["pay","good"]]`)
	f(`SELECT list(DISTINCT service ORDER BY service), string_agg(DISTINCT service, ',' ORDER BY service), max_by(message, level) FROM events WHERE service = 'pay'`, `[[["pay"],"pay","ok"]]`)
	f(`SELECT list_sort(list_distinct([3, 1, 3])), len([1, 2]), list_filter([1, 2, 3], lambda x: x > 1), {'a': 1}.a, MAP {'k': 1}['k']`, `[[[1,3],2,[2,3],1,1]]`)
	f(`SELECT upper(service), length(message), split_part('a/b', '/', 2), regexp_extract(message, 'timed (\w+)', 1), message ILIKE '%OUT' FROM events WHERE level = 'error'`, `[["PAY",9,"b","out",true]]`)
	f(`SELECT g.t::VARCHAR, count(e.time) FROM generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-01-02', INTERVAL 1 DAY) g(t) LEFT JOIN events e ON e.time < g.t - INTERVAL 10 YEAR GROUP BY 1 ORDER BY 1`, `[["2026-01-01 00:00:00",0],["2026-01-02 00:00:00",0]]`)
	f(`FROM events SELECT count(*) WHERE level IN ('error', 'info')`, `[[2]]`)
	f(`SELECT service, dimension_set, granularity FROM rollup_traffic WHERE dimension_set = 'service' AND granularity = '1d' GROUP BY ALL`, `[["shop","service","1d"]]`)
	f(`-- a comment
		SELECT round(avg((attrs->>'rt')::DOUBLE), 1) < 1, coalesce(NULL, 'x'), nullif(1, 1), 7 / 2, 7 // 2 FROM events;`, `[[true,"x",null,3.5,3]]`)
	f(`DESCRIBE SELECT time, weight FROM events`, `[["time","TIMESTAMP_NS","NO",null,null,null],["weight","BIGINT","NO",null,null,null]]`)
}

// TestSQLErrors: a user's mistake is a 400 with DuckDB's own words.
func TestSQLErrors(t *testing.T) {
	in := sqlFixture(t, "")
	f := func(query string, want ...string) {
		t.Helper()
		code, a := in.ask(query)
		if code != http.StatusBadRequest || a.Code != "invalid" {
			t.Errorf("%s: %d %q, want 400 invalid: %s", query, code, a.Code, a.Detail)
		}
		for _, w := range want {
			if !strings.Contains(a.Detail, w) {
				t.Errorf("%s: %q lacks %q", query, a.Detail, w)
			}
		}
	}
	f(`SELEC 1`, "syntax error", "SELEC")
	f(`SELECT nope FROM events`, `"nope" not found`)
	f(`SELECT servce FROM events`, `"servce"`, "service")
	f(`SELECT * FROM event`, "event", "rollup_NAME")
	f(`SELECT nosuch(1)`, "nosuch")
	f(`SELECT 'x'::INTEGER`, "Could not convert string 'x' to INT32")
	f(`SELECT service, count(*) FROM events`, "GROUP BY")
	f(`SELECT (attrs->>'url')::INTEGER FROM events`, "Could not convert")
	f(`SELECT 1; SELECT 2`, "2 statements")
	f(``, "sql")
}

// TestSQLGuard: over HTTP nothing but reading the documented names is possible,
// and afterwards all is as it was.
func TestSQLGuard(t *testing.T) {
	in := sqlFixture(t, "")
	secret := filepath.Join(in.data, "secret.csv")
	if err := os.WriteFile(secret, []byte("password\nhunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	database, out := filepath.Join(in.data, "millrace.duckdb"), filepath.Join(in.data, "stolen")
	f := func(query string) {
		t.Helper()
		query = strings.NewReplacer("SECRET", secret, "DATABASE_FILE", database, "OUT", out).Replace(query)
		code, a := in.ask(query)
		if code != http.StatusBadRequest || len(a.Detail) < 10 || strings.Contains(a.Detail, "hunter2") {
			t.Errorf("%s: %d %v %s, want 400", query, code, a.Rows, a.Detail)
		}
	}
	for _, read := range []string{
		`SELECT * FROM 'SECRET'`, `SELECT * FROM read_csv('SECRET')`, `SELECT content FROM read_text('SECRET')`,
		`SELECT * FROM read_blob('DATABASE_FILE')`, `SELECT * FROM glob('/*')`, `SELECT * FROM read_json('SECRET')`,
		`SELECT * FROM parquet_scan('SECRET')`, `COPY events FROM 'SECRET'`, `SELECT (SELECT max(content) FROM read_text('SECRET'))`,
		`WITH x AS (FROM read_csv('SECRET')) FROM x`, `SELECT getenv('HOME')`, `SELECT * FROM query('FROM ''SECRET''')`,
		`SELECT * FROM 'https://example.com/x.csv'`, `SELECT * FROM duckdb_settings()`, `SELECT * FROM clients`,
	} {
		f(read)
	}
	for _, write := range []string{
		`INSERT INTO events SELECT * FROM events`, `UPDATE positions SET "offset" = 0`, `DELETE FROM events`, `DROP VIEW events`,
		`CREATE TABLE x AS SELECT 1`, `ALTER TABLE positions ADD COLUMN x INT`, `COPY events TO 'OUT'`, `COPY (SELECT 1) TO 'OUT' (FORMAT parquet)`,
		`EXPORT DATABASE 'OUT'`, `TRUNCATE positions`, `SELECT 1; DELETE FROM events`, `CREATE MACRO now() AS 1`, `CHECKPOINT`, `VACUUM`,
	} {
		f(write)
	}
	for _, reach := range []string{
		`ATTACH 'OUT'`, `ATTACH 'DATABASE_FILE' AS again`, `DETACH millrace`, `INSTALL httpfs`, `LOAD httpfs`, `INSTALL icu FROM community`,
		`SET memory_limit = '100GB'`, `SET enable_external_access = true`, `SET GLOBAL threads = 64`, `RESET lock_configuration`,
		`PRAGMA database_list`, `CALL pragma_version()`, `USE system`, `BEGIN`, `PREPARE p AS SELECT 1`, `SELECT current_setting('temp_directory')`,
	} {
		f(reach)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("a statement wrote a file")
	}
	if got := in.sql("SELECT count(*) FROM events")[0][0]; got != "303" {
		t.Errorf("%s rows after the attacks, want 303", got)
	}
	in.drain(303 + in.post("source=sql", "still working\n"))
	if code, text := in.call(http.MethodPost, "/api/v1/sql", strings.NewReader(`{"sql":"SELECT 1"}`), http.Header{"Content-Type": {"text/plain"}}, nil); code != 400 {
		t.Errorf("a form of another site could send this: %d %s", code, text)
	}
	if code, text := in.call(http.MethodGet, "/api/v1/sql?sql=SELECT+1", nil, nil, nil); code != 405 && code != 404 {
		t.Errorf("GET: %d %s", code, text)
	}
}

// TestSQLLimits: a statement is ended at its limits of time, rows and size with
// a message, and does not stop ingest meanwhile.
func TestSQLLimits(t *testing.T) {
	in := sqlFixture(t, "query: {sql_timeout: 2s, sql_rows: 250}\n")
	f := func(query string, status int, want string) {
		t.Helper()
		started := time.Now()
		code, a := in.ask(query)
		if code != status || !strings.Contains(a.Detail, want) {
			t.Errorf("%s: %d %s, want %d with %q", query, code, a.Detail, status, want)
		}
		if took := time.Since(started); took > 10*time.Second {
			t.Errorf("%s: took %v with a limit of 2s", query, took)
		}
	}
	f(`SELECT * FROM events`, 413, "more than 250 rows")
	f(`SELECT * FROM events LIMIT 250`, 200, "")
	f(`SELECT `+strings.Repeat("1, ", 10_000)+`1`, 413, "bytes")
	sent, stop := make(chan int), make(chan struct{})
	go func() { // a line at a time, as long as the nasty statements run
		n := 0
		for {
			select {
			case <-stop:
				sent <- n
				return
			default:
			}
			if _, _, err := in.sendSeq("sql-limits", int64(n), "meanwhile", "a line\n"); err == nil {
				n++
			}
		}
	}()
	f(`SELECT count(*) FROM events a, events b, events c, events d, events e`, 504, "longer than 2s")
	f(`WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r`, 504, "longer than 2s")
	f(`SELECT sum(i) FROM range(1000000000000) t(i)`, 504, "longer than 2s")
	close(stop)
	n := <-sent
	if n < 50 {
		t.Errorf("only %d lines were taken while statements ran", n)
	}
	in.drain(303 + n)
}
