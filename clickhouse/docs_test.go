package clickhouse_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

// TestDocs runs the examples of docs/sql.md: those for both engines on both, and
// those of a pair, which has a name, on theirs. The answers must be the same.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/sql.md")
	if err != nil {
		t.Fatal(err)
	}
	ours := open(t, database(t, server(t)), committest.New(clock))
	defer ours.Close()
	other, err := duckdb.Open(t.Context(), duckdb.DefaultOptions(), filepath.Join(t.TempDir(), "x.duckdb"), clock, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, s := range []millrace.Store{ours, other} {
		if err := s.WriteEvents(t.Context(), docRows(), &millrace.Commit{
			Sink: millrace.SinkEvents, Ledger: ledgerOf(storetest.Base.Unix(), millrace.OutcomeStored, 60, ""),
		}); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(s millrace.Store, query string) string {
		t.Helper()
		table, err := s.SQL(t.Context(), query, millrace.SQLLimits{})
		if err != nil {
			t.Errorf("%T: %s\n%v", s, query, err)
			return ""
		}
		out := fmt.Sprintln(table.Columns)
		for _, row := range table.Rows {
			for _, v := range row {
				if at, ok := v.(time.Time); ok {
					v = at.Format(time.RFC3339Nano)
				}
				out += fmt.Sprintf("%v | ", v)
			}
			out += "\n"
		}
		if len(table.Rows) == 0 {
			t.Errorf("%T: %s\nno rows", s, query)
		}
		return out
	}
	pairs := map[string]string{}
	examples := regexp.MustCompile("(?s)```sql (\\w+) ?(\\w*)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) < 15 {
		t.Fatalf("docs/sql.md has %d examples", len(examples))
	}
	for _, e := range examples {
		engine, name, query := e[1], e[2], e[3]
		switch engine {
		case "both":
			if a, b := ask(ours, query), ask(other, query); a != b {
				t.Errorf("%s\nClickHouse:\n%s\nDuckDB:\n%s", query, a, b)
			}
		case "duckdb":
			pairs[name] = ask(other, query)
		case "clickhouse":
			if a := ask(ours, query); a != pairs[name] {
				t.Errorf("%s\nClickHouse:\n%s\nDuckDB:\n%s", query, a, pairs[name])
			}
		}
	}
}

func docRows() *millrace.EventRows {
	rows := &millrace.EventRows{}
	for i := range 60 {
		e := &millrace.Event{
			Time: storetest.Base.UnixNano() + int64(i)*30e9, Weight: 1, Ordinal: int32(i), Kind: millrace.KindAccess, Project: "default", Source: "web",
			Service: []string{"web", "api"}[i%2], Level: []string{"info", "error", "info"}[i%3], Message: fmt.Sprintf("GET /%c", 'a'+i%5),
		}
		e.Set("url", millrace.StringValue(fmt.Sprintf("/%c", 'a'+i%5)))
		e.Set("status", millrace.IntValue([]int64{200, 404, 500}[i%3]))
		e.Set("rt", millrace.NumberValue(float64(i)/64, fmt.Sprintf("%.6f", float64(i)/64)))
		e.Set("city", millrace.StringValue([]string{"oslo", "rome", "lima", "paris"}[i%4]))
		if i%7 == 0 {
			e.Set("took", millrace.IntValue(int64(i)))
		}
		if i%5 == 0 {
			e.Kind, e.Env, e.Host, e.TraceID = millrace.KindException, "prod", fmt.Sprintf("h%d", i%3), fmt.Sprintf("%032x", i)
			e.Set("type", millrace.StringValue("io.Timeout"))
			e.Set("fingerprint", millrace.StringValue([]string{"v2:0a1b2c3d4e5f6071", "v2:ffff"}[i%2]))
			e.Set("exception_message", millrace.StringValue(fmt.Sprintf("after %d s", i)))
			e.Set("user", millrace.StringValue(fmt.Sprintf("u%d", i%4)))
			if i%3 == 0 {
				e.Set("error_class", millrace.StringValue("business"))
			}
		}
		rows.Append(&millrace.Record{Partition: 1, Offset: 1, Arrived: storetest.Base.UnixNano()}, e)
	}
	return rows
}
