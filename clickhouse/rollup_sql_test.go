package clickhouse

import (
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// testCube is a rollup with every kind of state.
func testCube(t *testing.T) *cube {
	t.Helper()
	all := []millrace.Granularity{millrace.Minute, millrace.Hour, millrace.Day}
	s := millrace.RollupSchema{
		Name: "traffic", Dimensions: []string{"service", "host"},
		Sets: []millrace.DimensionSet{{Dims: []int{}, Granularities: all}, {Dims: []int{0, 1}, Granularities: all}},
		Metrics: []millrace.Metric{
			{Name: "pv", Func: millrace.FuncCount},
			{Name: "load", Func: millrace.FuncAvg, Field: "rt", Scale: 3},
			{Name: "least", Func: millrace.FuncMin, Field: "rt"},
			{Name: "rt", Func: millrace.FuncQuantiles, Field: "rt"},
			{Name: "uv", Func: millrace.FuncUniq, Field: "client_ip"},
		},
	}
	def, lv := extend(nil, &s, 0)
	lv.Merged, lv.Last, lv.Newest = [3]int64{50, 40, 30}, 45, [3]int64{45, 44, 30}
	lv.Minutes = []millrace.Span{{From: 3600, To: 7200}}
	lv.Replaced = []replaced{{From: 90, To: 7800, Upto: 48, Except: []int64{47, 48}, Sets: []int64{1}}}
	return newCube("traffic", def, lv)
}

// TestCellTables pins the tables of a rollup on one server and on a cluster, where no
// test can run them.
func TestCellTables(t *testing.T) {
	k := testCube(t)
	for name, address := range map[string]string{"cells": "clickhouse://h/m", "cells_cluster": "clickhouse://h/m?cluster=main"} {
		a, err := parseAddress(address)
		if err != nil {
			t.Fatal(err)
		}
		db := &DB{addr: a}
		out := a.create(&cellPeriods)
		for i := range tables {
			out = append(out, a.create(k.def(i))...)
			out = append(out, db.addColumns(k, i)...)
		}
		golden(t, name+".sql", strings.Join(out, ";\n\n")+";\n")
	}
}

// TestSources says which rows make up which cells.
func TestSources(t *testing.T) {
	k := testCube(t)
	db := &DB{addr: &address{database: "m"}}
	for _, c := range []struct {
		g    millrace.Granularity
		span millrace.Span
		want []string
	}{
		{millrace.Minute, millrace.Span{From: 0, To: 60}, []string{
			"minutes_traffic: set_id = 1 AND bucket >= 0 AND bucket < 60 AND flush <= 45",
			"deltas_traffic: set_id = 1 AND bucket >= 0 AND bucket < 60 AND flush > 50",
		}},
		{millrace.Minute, millrace.Span{From: 60, To: 10000}, []string{ // without the hour that was dropped; 90 is no bucket of a minute's start
			"minutes_traffic: set_id = 1 AND bucket >= 60 AND bucket < 10020 AND ((bucket >= 60 AND bucket < 3600) OR (bucket >= 7200 AND bucket < 10020)) AND flush <= 45 AND NOT (bucket >= 60 AND bucket < 7800 AND flush <= 48 AND flush NOT IN (47,48) AND set_id = 1)",
			"deltas_traffic: set_id = 1 AND bucket >= 60 AND bucket < 10020 AND ((bucket >= 60 AND bucket < 3600) OR (bucket >= 7200 AND bucket < 10020)) AND flush > 50",
		}},
		{millrace.Hour, millrace.Span{From: 7200, To: 10800}, []string{
			"hours_traffic: set_id = 1 AND bucket >= 7200 AND bucket < 10800 AND flush <= 45 AND NOT (bucket >= 0 AND bucket < 10800 AND flush <= 48 AND flush NOT IN (47,48) AND set_id = 1)",
			"minutes_traffic: set_id = 1 AND bucket >= 7200 AND bucket < 10800 AND flush > 40 AND flush <= 45 AND NOT (bucket >= 60 AND bucket < 7800 AND flush <= 48 AND flush NOT IN (47,48) AND set_id = 1)",
			"deltas_traffic: set_id = 1 AND bucket >= 7200 AND bucket < 10800 AND flush > 50",
		}},
		{millrace.Day, millrace.Span{From: 86400, To: 172800}, []string{
			"days_traffic: set_id = 1 AND bucket >= 86400 AND bucket < 172800 AND flush <= 45",
			"hours_traffic: set_id = 1 AND bucket >= 86400 AND bucket < 172800 AND flush > 30 AND flush <= 45",
			"minutes_traffic: set_id = 1 AND bucket >= 86400 AND bucket < 172800 AND flush > 40 AND flush <= 45",
			"deltas_traffic: set_id = 1 AND bucket >= 86400 AND bucket < 172800 AND flush > 50",
		}},
	} {
		var got []string
		for _, r := range k.sources(c.g, []int64{1}, []millrace.Span{c.span}) {
			where := strings.TrimSuffix(db.where(k, &r), " AND "+db.visible())
			got = append(got, k.table(r.table)+": "+where)
		}
		if a, b := strings.Join(got, "\n"), strings.Join(c.want, "\n"); a != b {
			t.Errorf("%v of %v:\n%s\nwant\n%s", c.g, c.span, a, b)
		}
	}
}

func TestWithout(t *testing.T) {
	s := func(n ...int64) (out []millrace.Span) {
		for i := 0; i < len(n); i += 2 {
			out = append(out, millrace.Span{From: n[i], To: n[i+1]})
		}
		return out
	}
	for _, c := range []struct{ spans, gone, want []millrace.Span }{
		{s(0, 10), nil, s(0, 10)},
		{s(0, 10), s(2, 3, 5, 6), s(0, 2, 3, 5, 6, 10)},
		{s(0, 10, 20, 30), s(5, 25), s(0, 5, 25, 30)},
		{s(0, 4, 5, 9), s(-5, 1, 3, 6, 8, 20), s(1, 3, 6, 8)},
		{s(0, 10), s(0, 10), nil},
		{s(0, 10), s(-3, 0, 10, 20), s(0, 10)},
	} {
		got := without(c.spans, c.gone)
		if len(got) != len(c.want) {
			t.Errorf("%v without %v: %v, want %v", c.spans, c.gone, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%v without %v: %v, want %v", c.spans, c.gone, got, c.want)
			}
		}
		for sec := int64(-10); sec < 40; sec++ {
			if contains(got, sec) != (contains(c.spans, sec) && !contains(c.gone, sec)) {
				t.Errorf("%v without %v: %d", c.spans, c.gone, sec)
			}
		}
	}
}
