package query

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

func TestCompare(t *testing.T) {
	s, _ := newService(t)
	f := func(req RollupRequest, want string) {
		t.Helper()
		if got := answer(t, s, req); got != want {
			t.Errorf("%+v\n got %s\nwant %s", req, got, want)
		}
	}
	later := Range{hour("11:00"), hour("12:00")}
	f(RollupRequest{Metrics: names("pv", "size"), Range: later, Compare: time.Hour}, `1h pv,pv_before,size,size_before [[1,4,50,25.125]]`)
	f(RollupRequest{Metrics: names("pv", "least"), By: names("service"), Range: later, Compare: time.Hour},
		`1h service,pv,pv_before,least,least_before [["api",0,3,null,10],["web",1,1,50,30.5]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("service"), Range: later, Compare: time.Hour, Order: names("-pv_before"), Limit: 1},
		`1h service,pv,pv_before [["api",0,3]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("service"), Range: later, Compare: time.Hour, Having: "pv > pv_before / 2"},
		`1h service,pv,pv_before [["web",1,1]]`)
	f(RollupRequest{Metrics: names("pv"), Range: later, Step: 30 * time.Minute, Compare: time.Hour},
		`1m bucket,pv,pv_before [["2026-05-20T11:00:00Z",0,3],["2026-05-20T11:30:00Z",1,1]]`)
	f(RollupRequest{Metrics: names("pv"), Range: Range{hour("10:00").AddDate(0, 0, 1), hour("12:00").AddDate(0, 0, 1)}, Step: 24 * time.Hour, Compare: 24 * time.Hour, Zone: berlin},
		`1h bucket,pv,pv_before [["2026-05-21T00:00:00+02:00",0,5]]`)
	f(RollupRequest{Having: "pv_before > 1"}, "error: having: pv_before is a value of an earlier period; give compare, such as -1d")
	f(RollupRequest{Compare: 90 * time.Second}, "error: compare -1m30s: must be whole minutes, at most 3660d")
}

var berlin = loadZones("Europe/Berlin")[0]

func TestHavingAndOrder(t *testing.T) {
	s, _ := newService(t)
	f := func(req RollupRequest, want string) {
		t.Helper()
		if got := answer(t, s, req); got != want {
			t.Errorf("%+v\n got %s\nwant %s", req, got, want)
		}
	}
	f(RollupRequest{Metrics: names("pv"), By: names("status"), Having: "pv > 1"}, `1h status,pv [["200",3]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("status"), Having: "most >= 30.5 and uv = 1", Order: names("most desc")}, `1h status,pv [["404",1],["500",1]]`)
	f(RollupRequest{Metrics: names("share=100*pv/uv"), By: names("status"), Order: names("-share", "status asc")},
		`1h status,share [["200",100],["404",100],["500",100]]`)
	f(RollupRequest{Metrics: names("pv/0", "pv - 1")}, `1h pv/0,pv-1 [[null,4]]`)
	f(RollupRequest{Metrics: names("count()", "sum(cost, 2)")}, `1h count(),sum(cost,2) [[5,-7.25]]`)
	f(RollupRequest{Metrics: names("pv"), By: names("status"), Having: "rt > 1"}, "error: having: rt is quantiles; name one, such as rt_p95")
	f(RollupRequest{Having: "views > 1"}, `error: having: metrics: rollup traffic has no metric "views"; there are pv, rate, cost, size, least, most, rt_p95 (any quantile), uv`)
	f(RollupRequest{Having: "pv >"}, "error: having: position 5: the expression ends where a metric or number must stand")
	f(RollupRequest{Order: names("pv up")}, `error: order: "pv up": must be a column, with asc, desc or a leading -`)
	f(RollupRequest{Metrics: names("pv=cost/2")}, `error: metrics: "pv": the name is taken`)
	f(RollupRequest{Metrics: names("median(rt)")}, `error: metrics: "median(rt)": must be one of count, rate, sum, avg, min, max, quantiles, uniq`)
	f(RollupRequest{Where: "timeout", CellsOnly: true}, "error: where: plain words search messages, which rollups do not keep")
}

// TestDays checks the days of zones where midnight is left out or comes twice.
func TestDays(t *testing.T) {
	for _, zone := range append(zones, loadZones("America/Havana", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "UTC")...) {
		first := localDay(time.Date(2011, 12, 1, 0, 0, 0, 0, time.UTC).Unix(), zone)
		for day := first; day < first+9*366; day++ {
			start, next := dayStart(day, zone), dayStart(day+1, zone)
			if start > next || localDay(start-1, zone) >= day || start < next && localDay(start, zone) != day {
				t.Fatalf("%s: day %d begins at %s, the next at %s", zone, day, time.Unix(start, 0).In(zone), time.Unix(next, 0).In(zone))
			}
		}
	}
}

func TestRawLimits(t *testing.T) {
	w := newWorld(t, 3, 500, openDuckDB)
	req := RollupRequest{Rollup: "r1", Metrics: names("pv"), By: names("plan"), Range: Range{w.start, w.start.AddDate(0, 0, 5)}}
	if res, err := w.service.Rollup(t.Context(), req); err != nil || res.Source != SourceRaw || fmt.Sprint(res.Columns) != "[plan pv]" || len(res.Rows) != 3 {
		t.Fatalf("%+v: %v", res, err)
	}
	w.service.opts.RawRows = 499
	if _, err := w.service.Rollup(t.Context(), req); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("over the limit: %v", err)
	}
	req.CellsOnly = true
	if _, err := w.service.Rollup(t.Context(), req); millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Errorf("cells only: %v", err)
	}
}
