package duckdb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/failpoint"
)

// urlSchema has one dimension and counts.
func urlSchema() millrace.RollupSchema {
	return millrace.RollupSchema{
		Name: "pages", Dimensions: []string{"url"},
		Sets:    []millrace.DimensionSet{{Dims: []int{0}, Granularities: []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}}},
		Metrics: []millrace.Metric{{Name: "pv", Func: millrace.FuncCount}},
	}
}

// urlCells counts each url once, in the minute of at.
func urlCells(at time.Time, urls ...string) []*millrace.CellBatch {
	b := &millrace.CellBatch{Rollup: "pages", Set: urlSchema().Sets[0], Dims: [][]string{urls}, States: []millrace.StateColumn{{}}}
	for range urls {
		b.Bucket = append(b.Bucket, millrace.Minute.Floor(at.Unix()))
		b.States[0].Ints = append(b.States[0].Ints, 1)
	}
	return []*millrace.CellBatch{b}
}

func urlStore(t *testing.T) *DB {
	t.Helper()
	db := openTest(t)
	if err := db.DefineRollups(t.Context(), []millrace.RollupSchema{urlSchema()}); err != nil {
		t.Fatal(err)
	}
	return db
}

// checkVocabulary: every value has one number, and all cells have their text.
func checkVocabulary(t *testing.T, db *DB, want map[string]int64) {
	t.Helper()
	same(t, "values with several numbers, numbers with several values", text(t, db,
		"SELECT count(*) - count(DISTINCT value), count(*) - count(DISTINCT code) FROM values_pages"), "0|0")
	got := map[string]int64{}
	for _, row := range text(t, db, "SELECT sum(pv)::BIGINT, url FROM rollup_pages WHERE granularity = '1m' GROUP BY url") {
		n, url, ok := strings.Cut(row, "|")
		if !ok {
			t.Fatalf("cells without a text: %q", row)
		}
		var count int64
		if _, err := fmt.Sscan(n, &count); err != nil {
			t.Fatal(err)
		}
		got[url] = count
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// TestVocabulary writes more values than memory keeps, some again and again,
// with failures in between and a restart.
func TestVocabulary(t *testing.T) {
	t.Cleanup(func() { _ = failpoint.Set("") })
	db := urlStore(t)
	db.rollups.vocabularySize = 10
	want := map[string]int64{}
	write := func(fail string, urls ...string) {
		t.Helper()
		if err := failpoint.Set(fail); err != nil {
			t.Fatal(err)
		}
		err := db.WriteCells(t.Context(), urlCells(viewBase, urls...), rollupCommit(viewBase))
		if (err != nil) != (fail != "") {
			t.Fatalf("fail %q: %v", fail, err)
		}
		if fail == "" || strings.Contains(fail, "after") {
			for _, u := range urls {
				want[strings.ToValidUTF8(u, "\uFFFD")]++
			}
		}
		if err := failpoint.Set(""); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		urls := []string{"/always", "", fmt.Sprintf("/%d", i), fmt.Sprintf("/%d", i/2), fmt.Sprintf("/%d", 39-i), "bad \xff", "bad \xfe"}
		write(map[int]string{7: "rollup.commit=error", 8: "rollup.commit.after=error", 20: "rollup.commit=error"}[i], urls...)
		for range 3 {
			write("", strings.Clone("/always"), "/always", fmt.Sprintf("/%d", i*7%40))
		}
		if v := db.rollups.words["pages"]; len(v.young) > 10+8 || len(v.old) > 10+8 {
			t.Fatalf("%d and %d values in memory", len(v.young), len(v.old))
		}
	}
	checkVocabulary(t, db, want)
	path := db.path
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	write("", "/always", "/new", "/1")
	checkVocabulary(t, db, want)
}

// TestVocabularyOfOneFlush has more values in one flush than a chunk, twice.
func TestVocabularyOfOneFlush(t *testing.T) {
	db := urlStore(t)
	db.rollups.vocabularySize = 1000
	want := map[string]int64{}
	var urls []string
	for i := range 5000 {
		urls = append(urls, fmt.Sprintf("/%d", i%4000))
		want[urls[i]]++
	}
	for range 2 {
		if err := db.WriteCells(t.Context(), urlCells(viewBase, urls...), rollupCommit(viewBase)); err != nil {
			t.Fatal(err)
		}
	}
	for u := range want {
		want[u] *= 2
	}
	checkVocabulary(t, db, want)
}

func cubeOf(t *testing.T, db *DB, name string) *cube {
	t.Helper()
	cubes, err := db.loadCubes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cubes[name]
}

// TestForgetValues: values go with the last of their cells, not before, and
// come back under another number.
func TestForgetValues(t *testing.T) {
	db := urlStore(t)
	db.rollups.forgetAbove = 2
	write := func(at time.Time, urls ...string) {
		t.Helper()
		if err := db.WriteCells(t.Context(), urlCells(at, urls...), rollupCommit(at)); err != nil {
			t.Fatal(err)
		}
	}
	values := func(want ...string) {
		t.Helper()
		same(t, "values", text(t, db, "SELECT value FROM values_pages ORDER BY value"), want...)
	}
	day := func(n int) time.Time { return viewBase.AddDate(0, 0, n) }
	write(day(0), "/a", "/b", "/c")
	maintain(t, db, day(1))
	maintain(t, db, day(100)) // only cells of days are left
	values("/a", "/b", "/c")
	write(day(731), "/a", "/d")
	unused, err := db.unusedValues(t.Context(), cubeOf(t, db, "pages"))
	if err != nil || len(unused) != 0 {
		t.Fatalf("unused while the day is kept: %v, %v", unused, err)
	}
	maintain(t, db, day(732)) // drops the first day, then looks
	maintain(t, db, day(733))
	values("/a", "/d")
	write(day(733), "/b", "/a")
	same(t, "cells", text(t, db, "SELECT url, sum(pv)::BIGINT FROM rollup_pages WHERE granularity = '1d' GROUP BY 1 ORDER BY 1"), "/a|2", "/b|1", "/d|1")

	// A value that comes back after it was looked for stays.
	k := cubeOf(t, db, "pages")
	write(day(733), "/e")
	code := text(t, db, "SELECT code FROM values_pages WHERE value = '/e'")[0]
	var n uint32
	if _, err := fmt.Sscan(code, &n); err != nil {
		t.Fatal(err)
	}
	if err := db.write(t.Context(), "test", func(w *writer) error { return db.dropValues(w, k, []uint32{n}) }); err != nil {
		t.Fatal(err)
	}
	values("/a", "/b", "/d", "/e")
}
