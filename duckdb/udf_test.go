package duckdb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math"
	"strings"
	"testing"

	duck "github.com/duckdb/duckdb-go/v2"

	"github.com/millrace/millrace/sketch"
)

func TestSketchFunctions(t *testing.T) {
	db := openTest(t)
	var hist sketch.Hist
	var hll sketch.HLL
	for i := range 100 {
		hist.Add(float64(i), 1)
		hll.AddHash(uint64(i+1) * 0x9e3779b97f4a7c15)
	}
	lit := func(b []byte) string { return fmt.Sprintf("unhex('%x')", b) }
	h, u := lit(hist.AppendTo(nil)), lit(hll.AppendTo(nil))
	var none sketch.Hist
	empty := lit(none.AppendTo(nil))
	f := func(expr, want string) {
		t.Helper()
		same(t, expr, text(t, db, "SELECT coalesce(("+expr+")::VARCHAR, 'NULL')"), want)
	}
	f(fmt.Sprintf("millrace_merge_hist([%s]) = %s", h, h), "true")
	f(fmt.Sprintf("millrace_merge_hist([%s, NULL, ''::BLOB, %s]) = %s", h, empty, h), "true")
	f(fmt.Sprintf("octet_length(millrace_merge_hist([%s, %s])) > 0", h, h), "true")
	f("millrace_merge_hist([NULL])", "NULL")
	f("millrace_merge_hist([]::BLOB[])", "NULL")
	f("millrace_merge_hist(NULL::BLOB[])", "NULL")
	f("millrace_merge_hist(["+empty+"])", "NULL")
	f(fmt.Sprintf("round(millrace_quantile(%s, 0.5))", h), fmt.Sprint(math.Round(hist.Quantile(0.5)))+".0")
	f("millrace_quantile(NULL::BLOB, 0.5)", "NULL")
	f("millrace_quantile("+empty+", 0.5)", "NULL")
	f(fmt.Sprintf("millrace_merge_hll([%s, %s]) = %s", u, u, u), "true")
	f(fmt.Sprintf("millrace_uniq(%s)", u), fmt.Sprint(hll.Estimate()))
	f("millrace_uniq(NULL)", "NULL")
	f("millrace_compare('10', 9)", "1")
	f("millrace_compare('1e1', 10)", "0")
	f("millrace_compare('-inf', 10)", "-1")
	f("millrace_compare('abc', 1)", "NULL")
	f("millrace_compare(' 1', 1)", "NULL")
}

// TestBadSketchFailsTheStatement: damaged bytes must neither crash nor be
// answered as if they were a value.
func TestBadSketchFailsTheStatement(t *testing.T) {
	db := openTest(t)
	for _, expr := range []string{
		"millrace_merge_hist(['\\xff\\x00'::BLOB, '\\xff\\x01'::BLOB])", "millrace_merge_hll(['a'::BLOB])",
		"millrace_quantile('abc'::BLOB, 0.5)", "millrace_uniq('abc'::BLOB)", "millrace_quantile('\\x11\\x00'::BLOB, 2)",
	} {
		err := db.read(t.Context(), "test", func(c *conn) error {
			return each(t.Context(), c, "SELECT "+expr, func(*rows) error { return nil })
		})
		if err == nil || !strings.Contains(err.Error(), "sketch") {
			t.Errorf("%s: error %v, want one about the sketch", expr, err)
		}
	}
}

// TestFunctionsWorkOnEveryConnection: they belong to the instance.
func TestFunctionsWorkOnEveryConnection(t *testing.T) {
	db := openTest(t)
	const query = "SELECT millrace_merge_hll(list(b)) FROM (SELECT NULL::BLOB AS b FROM range(5000))"
	if err := db.write(t.Context(), "test", func(w *writer) error { _, err := w.exec(query); return err }); err != nil {
		t.Error(err)
	}
	err := db.snapshot(t.Context(), "test", func(c *conn) error {
		_, err := c.exec(t.Context(), query)
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// boxedMerge is millrace_merge_hist through the driver's own interface, which
// hands over every blob as an interface: the alternative that was measured.
type boxedMerge struct{}

func (boxedMerge) Config() duck.ScalarFuncConfig {
	blob, err := duck.NewTypeInfo(duck.TYPE_BLOB)
	if err != nil {
		panic(err)
	}
	blobs, err := duck.NewListInfo(blob)
	if err != nil {
		panic(err)
	}
	return duck.ScalarFuncConfig{InputTypeInfos: []duck.TypeInfo{blobs}, ResultTypeInfo: blob}
}

func (boxedMerge) Executor() duck.ScalarFuncExecutor {
	return duck.ScalarFuncExecutor{RowExecutor: func(args []driver.Value) (any, error) {
		var list [][]byte
		for _, v := range args[0].([]any) {
			list = append(list, v.([]byte))
		}
		return sketch.MergeHist(list)
	}}
}

// BenchmarkMergeHist compares the two over 100,000 sketches of one value.
func BenchmarkMergeHist(b *testing.B) {
	ctx := context.Background()
	const rows, fill = 100_000, "CREATE TABLE t AS SELECT '\\x11\\x01\\x01\\xA4\\x0C'::BLOB AS b FROM range(100000)"
	f := func(name string, exec func(query string) error) {
		for _, group := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/lists of %d", name, group), func(b *testing.B) {
				query := fmt.Sprintf("SELECT max(octet_length(%s(l))) FROM (SELECT list(b) AS l FROM t GROUP BY rowid // %d)", name, group)
				b.ReportAllocs()
				cpu := cpuTime()
				for b.Loop() {
					if err := exec(query); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/rows, "cpu-ns/blob")
			})
		}
	}
	db := openTest(b)
	if err := db.write(ctx, "test", func(w *writer) error { _, err := w.exec(fill); return err }); err != nil {
		b.Fatal(err)
	}
	f("millrace_merge_hist", func(query string) error {
		return db.read(ctx, "bench", func(c *conn) error { _, err := c.exec(ctx, query); return err })
	})
	std, err := sql.Open("duckdb", "?threads=2")
	if err != nil {
		b.Fatal(err)
	}
	defer std.Close()
	c, err := std.Conn(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := duck.RegisterScalarUDF(c, "boxed_merge_hist", boxedMerge{}); err != nil {
		b.Fatal(err)
	}
	if _, err := c.ExecContext(ctx, fill); err != nil {
		b.Fatal(err)
	}
	f("boxed_merge_hist", func(query string) error { _, err := c.ExecContext(ctx, query); return err })
}
