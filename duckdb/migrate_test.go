package duckdb

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// viewsV1 are the views of a file of schema version 1 with one day.
var viewsV1 = []string{
	`CREATE OR REPLACE VIEW events AS SELECT time, project, source, kind, service, host, env, release, level,
		CASE WHEN trace_uuid IS NULL THEN trace_text ELSE replace(trace_uuid::VARCHAR, '-', '') END AS trace_id,
		message, weight, attrs, arrived, "partition", "offset", ordinal, trace_uuid FROM events_20260301`,
	`CREATE VIEW exceptions AS
	SELECT time, project, source, service, host, env, release, level, trace_id,
		coalesce(attrs->>'$.type', '') AS type, coalesce(attrs->>'$.fingerprint', '') AS fingerprint,
		message, weight, attrs->'$.frames' AS frames, attrs, arrived, "partition", "offset", ordinal
	FROM events WHERE kind = 'exception'`,
}

// v1Day is the day of arrival of the events in a file of version 1.
var v1Day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// inV1 writes a file of version 1, or opens one, and runs f on it as the release
// of then would.
func inV1(t *testing.T, path string, fresh bool, f func(ctx context.Context, c *conn)) {
	t.Helper()
	ctx := t.Context()
	in, err := openInstance(ctx, DefaultOptions(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := in.writer.exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if fresh {
		if _, err := readVersion(ctx, in.writer); err != nil {
			t.Fatal(err)
		}
		if err := migrations[0].apply(ctx, in.writer, v1Day); err != nil {
			t.Fatal(err)
		}
		exec("CREATE TABLE events_20260301 " + eventColumnsV1)
		for _, v := range viewsV1 {
			exec(v)
		}
		for i, attrs := range []string{
			`{"method":"GET","url":"/old","status":500,"bytes":10,"rt":0.150000,"client_ip":"10.0.0.1","user_agent":"curl","city":"oslo"}`,
			`{"type":"panic","fingerprint":"f1","frames":[1]}`,
			`{"status":"404"}`,
		} {
			exec(`INSERT INTO events_20260301 VALUES (?, 'shop', 'nginx', ?, 'web', 'h1', 'prod', '1.0', 'error', NULL, 't', 'old', 2, ?, ?, 0, 1, ?)`,
				timeNS(v1Day.UnixNano()+int64(i)), []string{"access", "exception", "log"}[i], attrs, timeNS(v1Day.UnixNano()), i)
		}
		exec("INSERT INTO segments VALUES ('events_20260301', DATE '2026-03-01', ?, ?, 3, 100)", timeNS(v1Day.UnixNano()), timeNS(v1Day.UnixNano()+2))
	}
	f(ctx, in.writer)
}

// TestMigrateFromVersion1 opens a file of version 1, after a migration that was
// cut off, reads it in every way, writes to the same day and lets it expire.
func TestMigrateFromVersion1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v1.duckdb")
	inV1(t, path, true, func(context.Context, *conn) {})
	inV1(t, path, false, func(ctx context.Context, c *conn) { // as if killed before COMMIT
		if _, err := c.exec(ctx, "BEGIN TRANSACTION"); err != nil {
			t.Fatal(err)
		}
		if err := columnsForAttributes(ctx, c); err != nil {
			t.Fatal(err)
		}
	})
	inV1(t, path, false, func(ctx context.Context, c *conn) {
		if n, err := oneInt(ctx, c, "SELECT count(*) FROM events_20260301, meta_version WHERE version = 1"); err != nil || n != 3 {
			t.Fatalf("%d rows after a migration that was cut off, %v", n, err)
		}
	})
	db := openAt(t, path)
	rows := &millrace.EventRows{}
	rec := &millrace.Record{Partition: 1, Arrived: v1Day.UnixNano()}
	rows.Append(rec, &millrace.Event{
		Time: v1Day.UnixNano() + 10, Weight: 1, Kind: millrace.KindAccess, Project: "shop", Source: "nginx", Service: "web", Level: "notice", Message: "new",
		Attrs: []millrace.Attr{
			{Key: "status", Value: millrace.IntValue(503)},
			{Key: "url", Value: millrace.StringValue("/new")},
			{Key: "rt", Value: millrace.NumberValue(0.25, "0.250")},
			{Key: "city", Value: millrace.StringValue("bergen")},
		},
	})
	writeEvents(t, db, rows)
	readMigrated(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	readMigrated(t, db)
	upkeepUntil(t, db, v1Day.Add(200*24*time.Hour))
	if got := fmt.Sprint(query(t, db, "SELECT count(*), (SELECT count(*) FROM segments) FROM events").Rows); got != "[[0 0]]" {
		t.Errorf("after retention %s rows and segments are left", got)
	}
}

func readMigrated(t *testing.T, db *DB) {
	t.Helper()
	all := millrace.EventQuery{From: v1Day.UnixNano(), To: v1Day.UnixNano() + 100, Limit: 10}
	find := func(want string, f *millrace.Filter) {
		t.Helper()
		q := all
		q.Filter = f
		page, err := db.Events(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range page.Events {
			got = append(got, e.Level+string(e.Attrs))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: got %s, want %s", describe(f), got, want)
		}
		counts, err := db.CountEvents(t.Context(), q, 0)
		if err != nil || len(counts) != 1 || counts[0].Events != int64(len(got)) {
			t.Errorf("%s: counts %v, %v", describe(f), counts, err)
		}
	}
	const newest = `notice{"url":"/new","status":503,"rt":0.250,"city":"bergen"}`
	const old = `error{"method":"GET","url":"/old","status":500,"bytes":10,"rt":0.150000,"client_ip":"10.0.0.1","user_agent":"curl","city":"oslo"}`
	find("["+newest+" "+old+"]", &millrace.Filter{Op: millrace.FilterGe, Field: "status", Value: "500"})
	find("["+newest+"]", &millrace.Filter{Op: millrace.FilterEq, Field: "level", Value: "notice"})
	find("["+old+"]", &millrace.Filter{Op: millrace.FilterEq, Field: "client_ip", Value: "10.0.0.1"})
	find(`[error{"status":"404"}]`, &millrace.Filter{Op: millrace.FilterEq, Field: "status", Value: "404"})
	f := func(sql, want string) {
		t.Helper()
		if got := fmt.Sprint(query(t, db, sql).Rows); got != want {
			t.Errorf("%s: got %s, want %s", sql, got, want)
		}
	}
	f("SELECT project, source, env, level, kind, trace_id, message, attr_status, attr_url, attr_rt, attr_client_ip, attr_bytes, attrs_other->>'city', attrs->>'status' FROM events ORDER BY time",
		"[[shop nginx prod error access t old 500 /old 0.15 10.0.0.1 10 oslo 500] [shop nginx prod error exception t old <nil> <nil> <nil> <nil> <nil> <nil> <nil>]"+
			" [shop nginx prod error log t old 404 <nil> <nil> <nil> <nil> <nil> 404] [shop nginx  notice access  new 503 /new 0.25 <nil> <nil> bergen 503]]")
	f(`SELECT type, fingerprint, frames::VARCHAR, error_class, "user", exception_message FROM exceptions`, "[[panic f1 [1]   ]]")
	f("SELECT name FROM segments ORDER BY name", "[[events_20260301] [events_20260301_v1]]")
	st, err := db.Stats(t.Context())
	if err != nil || st.Events != 4 {
		t.Errorf("stats %+v, %v", st, err)
	}
}

// TestNamesOfEnums: the columns store the index of a name, so that both lists
// must agree for ever.
func TestNamesOfEnums(t *testing.T) {
	db := openTest(t)
	f := func(column, want string) {
		t.Helper()
		err := db.read(t.Context(), "names", func(c *conn) error {
			r, err := c.query(t.Context(), "SELECT array_to_string(enum_range(any_value("+column+")), ',') FROM (SELECT "+column+" FROM events_none UNION ALL SELECT NULL)")
			if err != nil {
				return err
			}
			defer r.close()
			if r.next(); r.str(0) != want {
				t.Errorf("column %s has the names %s, want %s", column, r.str(0), want)
			}
			return r.err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	join := func(names []string) string { return strings.Join(names, ",") }
	var kinds []string
	for k := millrace.KindLog; k <= millrace.KindCost; k++ {
		kinds = append(kinds, k.String())
	}
	f("kind", join(kinds))
	f("level", join(levels))
	f("method", join(millrace.Methods[:]))
	for i, name := range levels {
		if levelNumber([]byte(name)) != i {
			t.Errorf("level %q has number %d, want %d", name, levelNumber([]byte(name)), i)
		}
	}
}
