package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// trySQL runs a statement and returns the status and the answer's text.
func (in *instance) trySQL(query string) (int, string) {
	in.t.Helper()
	body, err := json.Marshal(map[string]string{"sql": query})
	if err != nil {
		in.t.Fatal(err)
	}
	return in.call(http.MethodPost, "/api/v1/sql", bytes.NewReader(body), http.Header{"Content-Type": {"application/json"}}, nil)
}

// TestSQLIsSandboxed: SQL cannot read a file, write, attach, install, change a
// setting, or run longer or return more than its limits, and ingest goes on
// meanwhile.
func TestSQLIsSandboxed(t *testing.T) {
	in := boot(t, "", "query: {sql_timeout: 500ms, sql_rows: 1000}\n")
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("a,b\n1,top-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in.drain(in.post("source=x", `{"message":"hello","url":"/a","status":200}`+"\n"))
	f := func(code int, query string) {
		t.Helper()
		got, text := in.trySQL(query)
		if got != code || strings.Contains(text, "top-secret") {
			t.Errorf("%s: %d, want %d: %.300s", query, got, code, text)
		}
	}
	for _, q := range []string{
		"SELECT * FROM read_csv('" + secret + "')", "SELECT * FROM '" + secret + "'",
		"SELECT * FROM read_text('" + secret + "')", "SELECT * FROM glob('/etc/*')",
		"COPY (SELECT 1) TO '" + secret + ".out'", "EXPORT DATABASE '" + t.TempDir() + "'",
		"ATTACH '" + secret + "' AS x", "INSTALL httpfs", "LOAD httpfs", "SET threads = 64", "PRAGMA database_list",
		"CREATE TABLE t (a INT)", "DROP VIEW events", "DELETE FROM positions", "INSERT INTO positions SELECT * FROM positions",
		"UPDATE positions SET \"offset\" = 0", "CHECKPOINT", "SELECT 1; SELECT 2", "BEGIN", "SELEC 1", "",
		"SELECT getenv('HOME')", "SELECT nothing FROM events",
	} {
		f(http.StatusBadRequest, q)
	}
	f(http.StatusGatewayTimeout, "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7")
	f(http.StatusRequestEntityTooLarge, "SELECT * FROM range(5000)")
	in.drain(1 + in.post("source=x", "still alive\n"))
	if _, err := os.Stat(secret + ".out"); err == nil {
		t.Error("a file was written")
	}
}

// TestSQLThatPeopleWrite: what they type every day works, and a mistake is
// answered with DuckDB's own words.
func TestSQLThatPeopleWrite(t *testing.T) {
	in := boot(t, "", "")
	n := in.post("source=x", `{"message":"hello","url":"/a","status":200,"rt":0.25,"user":{"id":7}}`+"\n"+
		`{"message":"world","url":"/b","status":503,"rt":1.5}`+"\n")
	in.drain(n)
	f := func(query, want string) {
		t.Helper()
		rows := in.sql(query)
		if len(rows) == 0 || strings.Join(rows[0], " ") != want {
			t.Errorf("%s: %v, want %s", query, rows, want)
		}
	}
	f("SELECT count(*) FROM events WHERE time > now() - INTERVAL 1 HOUR", "2")
	f("SELECT attrs->>'url', (attrs->>'status')::INT FROM events WHERE message = 'world'", "/b 503")
	f("SELECT attrs.user.id FROM events WHERE message = 'hello'", "7")
	f("SELECT count(*) FROM (SELECT date_trunc('hour', time) AS h, count(*) FROM events GROUP BY h)", "1")
	f("WITH e AS (SELECT *, row_number() OVER (ORDER BY message) AS i FROM events) SELECT message FROM e WHERE i = 2", "world")
	f("SELECT strftime(max(time), '%Y') >= '2026', list_sort(list(message))[1] FROM events", "true hello")
	f("SELECT round(quantile_cont((attrs->>'rt')::DOUBLE, 0.5), 3) FROM events", "0.875")
	f("SELECT pv, uv, status FROM rollup_traffic WHERE granularity = '1d' AND dimension_set = 'status' ORDER BY status DESC LIMIT 1", "1 0 503")
	if code, text := in.trySQL("SELECT mesage FROM events"); code != 400 || !strings.Contains(text, "mesage") || !strings.Contains(text, "message") {
		t.Errorf("a misspelt column: %d %s", code, text)
	}
}
