package chtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// What the stores build on works in this engine as in a server: one question
// each.
func TestEngines(t *testing.T) {
	c := client(t)
	for _, q := range []struct {
		name  string
		setup []string
		ask   string
		want  string
	}{
		{
			"ReplacingMergeTree", []string{
				"CREATE TABLE replacing (k UInt64, v UInt64, x String) ENGINE = ReplacingMergeTree(v) ORDER BY k",
				"INSERT INTO replacing VALUES (1, 1, 'a'), (1, 2, 'b'), (2, 1, 'c')",
				"INSERT INTO replacing VALUES (1, 3, 'd')",
			}, "SELECT k, x FROM replacing FINAL ORDER BY k", "1,'d'\n2,'c'",
		},
		{
			"AggregatingMergeTree", []string{
				"CREATE TABLE agg (k UInt64, n SimpleAggregateFunction(sum, UInt64), u AggregateFunction(uniq, UInt64), " +
					"h SimpleAggregateFunction(sumMap, Map(Int32, UInt64)), r SimpleAggregateFunction(maxMap, Map(UInt16, UInt8))) " +
					"ENGINE = AggregatingMergeTree ORDER BY k",
				"INSERT INTO agg SELECT 1, 3, uniqState(number), map(-5, 20, 7, 1), map(1, 3) FROM numbers(10)",
				"INSERT INTO agg SELECT 1, 4, uniqState(number), map(-5, 1), map(1, 2, 9, 4) FROM numbers(20)",
				"OPTIMIZE TABLE agg FINAL",
			}, "SELECT count() OVER (), n, finalizeAggregation(u), h, r FROM agg", "1,7,20,{-5:21,7:1},{1:3,9:4}",
		},
		{"merged maps", nil, "SELECT sumMap(h), maxMap(r) FROM agg", "{-5:21,7:1},{1:3,9:4}"},
		{"zeros: sumMap drops them, maxMap does not", nil, "SELECT sumMap([1, 2], [0, 4]), maxMap([1, 2], [0, 4])", "[2],[4]),([1,2],[0,4]"},
		{
			"SummingMergeTree", []string{
				"CREATE TABLE summing (k UInt64, n UInt64, hMap Nested(id Int32, n UInt64)) ENGINE = SummingMergeTree ORDER BY k",
				"INSERT INTO summing VALUES (1, 2, [1, 2], [3, 4])",
				"INSERT INTO summing VALUES (1, 5, [2, 3], [1, 1])",
				"OPTIMIZE TABLE summing FINAL",
			}, "SELECT * FROM summing", "1,7,[1,2,3],[3,5,1]",
		},
		{
			"materialized view", []string{
				"CREATE TABLE source (k UInt64) ENGINE = MergeTree ORDER BY k",
				"CREATE MATERIALIZED VIEW view ENGINE = SummingMergeTree ORDER BY k AS SELECT k, count() AS n FROM source GROUP BY k",
				"INSERT INTO source VALUES (1), (1), (2)",
			}, "SELECT k, n FROM view ORDER BY k", "1,2\n2,1",
		},
		{
			"TTL", []string{
				"CREATE TABLE ttl (t DateTime, x UInt8) ENGINE = MergeTree ORDER BY x TTL t + INTERVAL 1 DAY DELETE",
				"INSERT INTO ttl VALUES (now() - INTERVAL 2 DAY, 1), (now(), 2)",
				"OPTIMIZE TABLE ttl FINAL",
			}, "SELECT x FROM ttl", "2",
		},
		{
			"deduplication token", []string{
				"CREATE TABLE dedup (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100",
				"INSERT INTO dedup SETTINGS insert_deduplication_token = 'a' VALUES (1)",
				"INSERT INTO dedup SETTINGS insert_deduplication_token = 'a' VALUES (1)",
				"INSERT INTO dedup SETTINGS insert_deduplication_token = 'b' VALUES (1)",
			}, "SELECT count() FROM dedup", "2",
		},
		{
			"lightweight update", []string{
				"CREATE TABLE upd (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a SETTINGS enable_block_number_column = 1, enable_block_offset_column = 1",
				"INSERT INTO upd VALUES (1, 1), (2, 2)",
				"UPDATE upd SET b = 5 WHERE a = 1",
			}, "SELECT * FROM upd ORDER BY a", "1,5\n2,2",
		},
	} {
		t.Run(q.name, func(t *testing.T) {
			run(t, c, q.setup...)
			if got := query(t, c, q.ask); got != q.want {
				t.Errorf("%s\ngot      %s\nexpected %s", q.ask, got, q.want)
			}
		})
	}
}

// Deleting rows and moving partitions, with skip indexes that are used.
func TestPartitionsAndIndexes(t *testing.T) {
	c := client(t)
	run(t, c, `CREATE TABLE ev (id UInt64, d Date, flush UInt64, msg String, trace FixedString(16),
		INDEX words msg TYPE text(tokenizer = 'splitByNonAlpha') GRANULARITY 1,
		INDEX traces trace TYPE bloom_filter(0.01) GRANULARITY 1,
		INDEX tokens msg TYPE tokenbf_v1(8192, 3, 0) GRANULARITY 1,
		INDEX ngrams msg TYPE ngrambf_v1(3, 8192, 3, 0) GRANULARITY 1)
		ENGINE = MergeTree PARTITION BY d ORDER BY id SETTINGS index_granularity = 1024`,
		`INSERT INTO ev SELECT number, toDate('2026-01-01') + intDiv(number, 10000), number % 7,
		'hello world number ' || toString(number), unhex(leftPad(hex(number), 32, '0')) FROM numbers(40000)`)
	for _, q := range []struct{ run, ask, want string }{
		{"", "SELECT count() FROM ev WHERE hasToken(msg, '12345')", "1"},
		{"", "SELECT count() FROM ev WHERE hasAllTokens(msg, ['hello', '12345'])", "1"},
		{"", "SELECT count() FROM ev WHERE hasAnyTokens(msg, ['12345', '12346'])", "2"},
		{"", "SELECT count() FROM ev WHERE trace = unhex(leftPad(hex(777), 32, '0'))", "1"},
		{"", "SELECT count() FROM ev WHERE flush NOT IN (SELECT arrayJoin([3, 4])::UInt64)", "28572"},
		{"DELETE FROM ev WHERE id = 5", "SELECT count() FROM ev", "39999"},
		{"ALTER TABLE ev DELETE WHERE id = 6 SETTINGS mutations_sync = 2", "SELECT count() FROM ev", "39998"},
		{"ALTER TABLE ev DROP PARTITION '2026-01-02'", "SELECT count() FROM ev", "29998"},
		{"CREATE TABLE ev2 AS ev", "SELECT count() FROM ev2", "0"},
		{"INSERT INTO ev2 SELECT * FROM ev WHERE id < 10", "SELECT count() FROM ev2", "8"},
		{"ALTER TABLE ev REPLACE PARTITION '2026-01-01' FROM ev2", "SELECT count() FROM ev", "20008"},
		{"ALTER TABLE ev MOVE PARTITION '2026-01-03' TO TABLE ev2", "SELECT (SELECT count() FROM ev), (SELECT count() FROM ev2)", "10008,10008"},
		{"EXCHANGE TABLES ev AND ev2", "SELECT max(d) FROM ev", "'2026-01-03'"},
	} {
		if q.run != "" {
			run(t, c, q.run)
		}
		if got := query(t, c, q.ask); got != q.want {
			t.Errorf("%s; %s: got %s, expected %s", q.run, q.ask, got, q.want)
		}
	}
	for index, where := range map[string]string{
		"words": "hasToken(msg, '25000')", "traces": "trace = unhex('000000000000000000000000000061A8')",
	} {
		rows, err := c.Query(t.Context(), "EXPLAIN indexes = 1 SELECT id FROM ev WHERE "+where)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := rows.Err(); err != nil || !strings.Contains(plan.String(), "Name: "+index) {
			t.Errorf("index %s is not used: %v\n%s", index, err, plan.String())
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A storage policy of the configuration: rows move to the cold volume by TTL.
func TestVolumes(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.xml")
	text := fmt.Sprintf(`<clickhouse><storage_configuration>
		<disks><cold><path>%s/cold/</path></cold></disks>
		<policies><tiers><volumes>
			<hot><disk>default</disk></hot>
			<cold><disk>cold</disk></cold>
		</volumes></tiers></policies>
		</storage_configuration></clickhouse>`, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := StartWith(t, Options{Dir: filepath.Join(dir, "data"), Config: config})
	c := dial(t, s, "default", func(o *clickhouse.Options) { o.Settings["max_threads"] = 1 })
	run(t, c, `CREATE TABLE t (at DateTime, n UInt64) ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY n
		TTL at + INTERVAL 1 DAY TO VOLUME 'cold' SETTINGS storage_policy = 'tiers'`,
		"INSERT INTO t SELECT now() - INTERVAL 3 DAY, number FROM numbers(100)",
		"INSERT INTO t SELECT now(), number FROM numbers(10)")
	const disks = "SELECT disk_name, sum(rows) FROM system.parts WHERE active AND table = 't' GROUP BY disk_name ORDER BY disk_name"
	deadline := time.Now().Add(20 * time.Second)
	for query(t, c, disks) != "'cold',100\n'default',10" {
		if time.Now().After(deadline) {
			t.Fatalf("disks and rows: %s", query(t, c, disks))
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.Kill()
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := query(t, c, "SELECT count(), sum(n) FROM t"); got != "110,4995" {
		t.Errorf("after a restart: %s", got)
	}
}
