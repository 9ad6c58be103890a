package chtest

import (
	"context"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Every type goes in by a batch and comes back as it was.
func TestTypes(t *testing.T) {
	c := client(t)
	at := time.Date(2026, 3, 4, 5, 6, 7, 123456000, time.UTC)
	text := "a\x00\n;'\\ü"
	seven, name := int32(7), "n"
	for _, v := range []struct {
		kind  string
		value any
	}{
		{"UInt8", uint8(255)},
		{"Int32", int32(-5)},
		{"UInt64", uint64(1<<64 - 1)},
		{"Int64", int64(-1 << 63)},
		{"Float64", 1.5},
		{"Bool", true},
		{"String", text},
		{"FixedString(3)", "abc"},
		{"UUID", "61f0c404-5cb3-11e7-907b-a6006ad3dba0"},
		{"Date", at.Truncate(24 * time.Hour)},
		{"DateTime('UTC')", at.Truncate(time.Second)},
		{"DateTime64(6, 'UTC')", at},
		{"Nullable(Int32)", &seven},
		{"Nullable(Int32)", (*int32)(nil)},
		{"LowCardinality(String)", "low"},
		{"LowCardinality(Nullable(String))", &name},
		{"Array(String)", []string{"a", text}},
		{"Array(LowCardinality(String))", []string{"a", "b", "a"}},
		{"Array(Array(UInt64))", [][]uint64{{1, 2}, {}, {3}}},
		{"Map(String, UInt64)", map[string]uint64{"a": 1, "b": 2}},
		{"Map(LowCardinality(String), String)", map[string]string{"k": text}},
		{"Map(Int32, UInt64)", map[int32]uint64{-5: 1, 7: 2}},
		{"Map(UInt16, UInt8)", map[uint16]uint8{1: 0, 16383: 52}},
		{"Map(String, Array(Int32))", map[string][]int32{"x": {1, 2}}},
		{"Enum8('a' = 1, 'b' = 2)", "b"},
		{"Int128", big.NewInt(-12345)},
		{"SimpleAggregateFunction(sumMap, Map(Int32, UInt64))", map[int32]uint64{3: 4}},
	} {
		t.Run(v.kind, func(t *testing.T) {
			run(t, c, "DROP TABLE IF EXISTS t", "CREATE TABLE t (n UInt8, v "+v.kind+") ENGINE = MergeTree ORDER BY n")
			b, err := c.PrepareBatch(t.Context(), "INSERT INTO t")
			if err != nil {
				t.Fatal(err)
			}
			for n := range 3 {
				if err := b.Append(uint8(n), v.value); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.Send(); err != nil {
				t.Fatal(err)
			}
			got := reflect.New(reflect.TypeOf(v.value))
			if err := c.QueryRow(t.Context(), "SELECT v FROM t WHERE n = 2").Scan(got.Interface()); err != nil {
				t.Fatal(err)
			}
			if want, ok := v.value.(time.Time); ok && want.Equal(got.Elem().Interface().(time.Time)) {
				return // in another, equal location
			}
			if !reflect.DeepEqual(got.Elem().Interface(), v.value) {
				t.Errorf("got %v, expected %v", got.Elem(), v.value)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	c := client(t)
	run(t, c, "CREATE TABLE t (n UInt8, j JSON) ENGINE = MergeTree ORDER BY n")
	b, err := c.PrepareBatch(t.Context(), "INSERT INTO t")
	if err != nil {
		t.Fatal(err)
	}
	for n, j := range []string{`{"a":{"b":1},"c":"x"}`, `{"c":2.5}`} {
		if err := b.Append(uint8(n), j); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Send(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, c, "SELECT j.a.b.:Int64, toString(j.c), toString(j) FROM t ORDER BY n"); got !=
		`1,'x','{"a":{"b":1},"c":"x"}'`+"\n"+`NULL,'2.5','{"c":2.5}'` {
		t.Errorf("got %s", got)
	}
	var j clickhouse.JSON
	if err := c.QueryRow(t.Context(), "SELECT j FROM t WHERE n = 0").Scan(&j); err != nil {
		t.Fatal(err)
	}
	if v, ok := j.ValueAtPath("a.b"); !ok || fmt.Sprint(v) != "{1 Int64}" {
		t.Errorf("a.b is %v", v)
	}
}

func TestCompressions(t *testing.T) {
	s, database := Shared(t)
	for _, m := range []clickhouse.CompressionMethod{
		clickhouse.CompressionNone, clickhouse.CompressionLZ4, clickhouse.CompressionZSTD,
		clickhouse.CompressionGZIP, clickhouse.CompressionDeflate,
	} {
		t.Run(m.String(), func(t *testing.T) {
			c := dial(t, s, database, func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: m, Level: 3}
			})
			run(t, c, "CREATE OR REPLACE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
			if err := fill(c, t, "t", 0, 200_000); err != nil {
				t.Fatal(err)
			}
			rows, err := c.Query(t.Context(), "SELECT n, s FROM t ORDER BY n")
			if err != nil {
				t.Fatal(err)
			}
			var n, want uint64
			var text string
			for ; rows.Next(); want++ {
				if err := rows.Scan(&n, &text); err != nil || n != want || text != fmt.Sprintf("row %d;\n", n) {
					t.Fatalf("row %d is %d %q, %v", want, n, text, err)
				}
			}
			if err := rows.Err(); err != nil || want != 200_000 {
				t.Fatalf("%d rows, %v", want, err)
			}
			if err := c.Exec(t.Context(), "SELECT nothing"); code(err) != 47 {
				t.Errorf("%v, expected exception 47", err)
			}
			if _, err := c.Query(t.Context(), "SELECT * FROM absent"); code(err) != 60 {
				t.Errorf("%v, expected exception 60", err)
			}
		})
	}
}

func TestBindsAndSettings(t *testing.T) {
	c := client(t)
	if got := query(t, c, "SELECT ? AS a, ? AS b, ? AS c", "it's\\", 5, []string{"x", "y"}); got != `'it\'s\\',5,['x','y']` {
		t.Errorf("positional: %s", got)
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{"a": "it's\\\\", "n": "7"}))
	var text string
	var n uint8
	if err := c.QueryRow(ctx, "SELECT {a:String}, {n:UInt8}").Scan(&text, &n); err != nil || text != `it's\` || n != 7 {
		t.Errorf("parameters: %q, %d, %v", text, n, err)
	}
	ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"max_threads": 1, "log_comment": "it's"}))
	if err := c.QueryRow(ctx, "SELECT getSetting('max_threads')::UInt8, getSetting('log_comment')").Scan(&n, &text); err != nil || n != 1 || text != "it's" {
		t.Errorf("settings: %d, %q, %v", n, text, err)
	}
	// They end with the query.
	if got := query(t, c, "SELECT getSetting('log_comment')"); got == "'it\\'s'" {
		t.Error("a setting outlived its query")
	}
	ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1}))
	if err := c.Exec(ctx, "SELECT 1"); code(err) != 115 {
		t.Errorf("%v, expected exception 115", err)
	}
	ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{"readonly": 1}))
	if err := c.Exec(ctx, "CREATE TABLE t (n UInt8) ENGINE = Memory"); code(err) != 164 {
		t.Errorf("%v, expected exception 164", err)
	}
}

func TestExceptions(t *testing.T) {
	c := client(t)
	run(t, c, "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n")
	for _, q := range []struct {
		sql  string
		code int32
	}{
		{"selec 1", 62},
		{"SELECT 1; SELECT 2", 62},
		{"SELECT a FROM t", 47},
		{"SELECT * FROM absent", 60},
		{"SELECT * FROM absent.t", 81},
		{"SELECT nofunction()", 46},
		{"CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n", 57},
		{"INSERT INTO t (b) VALUES (1)", 16},
		{"INSERT INTO t VALUES ('x')", 6},
		{"SELECT throwIf(1)", 395},
		{"SELECT sum(number) FROM numbers(100000000) GROUP BY number SETTINGS max_memory_usage = 10000000", 241},
		{"SELECT count() FROM numbers(10000000000) WHERE sipHash64(number) = 1 SETTINGS max_execution_time = 0.1", 159},
		{"SELECT * FROM numbers(1000) SETTINGS max_result_rows = 10", 396},
		{"CREATE TABLE r (n UInt8) ENGINE = ReplicatedMergeTree('/x', 'r') ORDER BY n", 225},
	} {
		if err := c.Exec(t.Context(), q.sql); code(err) != q.code {
			t.Errorf("%s: %v, expected exception %d", q.sql, err, q.code)
		}
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// What fails after the first megabytes of the result ends in an exception, too.
func TestExceptionInResult(t *testing.T) {
	c := client(t)
	rows, err := c.Query(t.Context(), "SELECT number, throwIf(number = 3000000) FROM numbers(10000000) SETTINGS max_threads = 1")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		n++
	}
	if code(rows.Err()) != 395 || n == 0 || n > 3_000_000 {
		t.Errorf("after %d rows: %v, expected exception 395", n, rows.Err())
	}
}

func TestParallel(t *testing.T) {
	c := client(t)
	run(t, c, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	const writers, batches, size = 8, 10, 2000
	var all sync.WaitGroup
	for w := range uint64(writers) {
		all.Go(func() {
			for b := range uint64(batches) {
				from := (w*batches + b) * size
				if err := fill(c, t, "t", from, from+size); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
		all.Go(func() {
			for range batches {
				var n, distinct uint64
				err := c.QueryRow(t.Context(), "SELECT count(), uniqExact(n) FROM t").Scan(&n, &distinct)
				if err != nil || n != distinct || n%size != 0 {
					t.Errorf("reader %d: %d rows, %d distinct, %v: a batch is seen whole or not at all", w, n, distinct, err)
				}
			}
		})
	}
	all.Wait()
	if got := query(t, c, "SELECT count(), uniqExact(n), min(n), max(n) FROM t"); got != "160000,160000,0,159999" {
		t.Errorf("got %s", got)
	}
}

func TestMillionRows(t *testing.T) {
	c := client(t)
	run(t, c, "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	if err := fill(c, t, "t", 0, 1_000_000); err != nil {
		t.Fatal(err)
	}
	if got := query(t, c, "SELECT count(), sum(n), uniqExact(s), max(length(s)) FROM t"); got != "1000000,499999500000,1000000,12" {
		t.Errorf("got %s", got)
	}
	if got := query(t, c, "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = currentDatabase()"); got != "1,1000000" {
		t.Errorf("parts and rows %s: a batch should be one part", got)
	}
}

// A client that goes away ends its query, if it asked for that.
func TestCancel(t *testing.T) {
	s, database := Shared(t)
	c := dial(t, s, database, func(o *clickhouse.Options) {
		o.Settings["cancel_http_readonly_queries_on_client_close"] = 1
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	ctx = clickhouse.Context(ctx, clickhouse.WithQueryID("to be cancelled"))
	if err := c.Exec(ctx, "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 1"); err == nil {
		t.Fatal("no error")
	}
	deadline := time.Now().Add(20 * time.Second)
	for query(t, c, "SELECT count() FROM system.processes WHERE Settings['log_comment'] = 'to be cancelled'") != "0" {
		if time.Now().After(deadline) {
			t.Fatal("the query goes on after its client has gone")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Sessions keep temporary tables; formats and INSERTs as other clients send them.
func TestPlainHTTP(t *testing.T) {
	s, database := Shared(t)
	post := func(params, body string) (string, int) {
		t.Helper()
		r, err := http.Post(s.URL()+"/?database="+database+"&"+params, "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var b strings.Builder
		if err := r.Write(&b); err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(b.String(), "\r\n\r\n")
		return text, r.StatusCode
	}
	q := url.QueryEscape
	for _, c := range []struct{ params, body, want string }{
		{"", "CREATE TABLE t (n UInt64, s String) ENGINE = MergeTree ORDER BY n", ""},
		{"", "INSERT INTO t FORMAT JSONEachRow\n{\"n\":1,\"s\":\"a;b\"}\n{\"n\":2,\"s\":\"FORMAT x\"}", ""},
		{"query=" + q("INSERT INTO t (n, s) FORMAT CSV"), "3,c\n4,\"d\n;\"\n", ""},
		{"query=" + q("INSERT INTO t (n, s) VALUES"), "(5, 'e'), (6, upper('f'))", ""},
		{"query=" + q("INSERT INTO t (n, s)"), "VALUES (7, 'g')", ""},
		{"", "INSERT INTO t SELECT number, 'values' FROM numbers(8, 1)", ""},
		{"default_format=JSONEachRow", "SELECT * FROM t WHERE n < 4 ORDER BY n", "{\"n\":1,\"s\":\"a;b\"}\n{\"n\":2,\"s\":\"FORMAT x\"}\n{\"n\":3,\"s\":\"c\"}\n"},
		{"query=" + q("SELECT n FROM t WHERE n > 3"), " ORDER BY n DESC FORMAT CSV", "8\n7\n6\n5\n4\n"},
		{"session_id=a", "CREATE TEMPORARY TABLE tmp AS SELECT 42 AS x", ""},
		{"session_id=a&close_session=1", "SELECT x FROM tmp", "42\n"},
		{"wait_end_of_query=1", "SELECT 1", "1\n"},
	} {
		if got, status := post(c.params, c.body); status != http.StatusOK || got != c.want {
			t.Errorf("%s %s: %d %q, expected %q", c.params, c.body, status, got, c.want)
		}
	}
	for _, params := range []string{"session_id=a&close_session=1", "session_id=b&close_session=1", "session_id=a&session_check=1"} {
		if got, status := post(params, "SELECT x FROM tmp"); status != http.StatusNotFound {
			t.Errorf("%s: another session sees a temporary table: %s", params, got)
		}
	}
	if got, status := post("", ""); status != http.StatusBadRequest {
		t.Errorf("empty: %d %s", status, got)
	}
	if got, status := post("query=INSERT+INTO+t+FORMAT+CSV&decompress=1", "not compressed, by any means"); status == http.StatusOK {
		t.Errorf("broken frame: %d %s", status, got)
	}
	if got, err := s.Query(t.Context(), "SELECT count() FROM "+database+".t"); err != nil || got != "8\n" {
		t.Errorf("%s rows, %v", got, err)
	}
}
