package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/internal/testdata"
)

// quantileError is what is promised of quantiles: 2% of the value.
const quantileError = 0.02

// samples are values by group, the groups named by their dimensions' values.
type samples map[string][]float64

func (s samples) add(v float64, group ...string) {
	key := strings.Join(group, "|")
	s[key] = append(s[key], v)
}

// quantile returns the value at rank q(n-1), rounded down.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}

// rollupRows returns the rows of a rollup's answer by its leading columns, all but the
// last len(metrics).
func (in *instance) rollupRows(rollup string, params url.Values, metrics []string) map[string][]float64 {
	in.t.Helper()
	params.Set("metrics", strings.Join(metrics, ","))
	var answer struct {
		Columns []string `json:"columns"`
		Rows    [][]any  `json:"rows"`
	}
	code, text := in.call(http.MethodGet, "/api/v1/rollups/"+rollup+"?"+params.Encode(), nil, nil, &answer)
	if code != http.StatusOK {
		in.t.Fatalf("rollup %s: %d %s", rollup, code, text)
	}
	out := map[string][]float64{}
	for _, row := range answer.Rows {
		n := len(row) - len(metrics)
		key := make([]string, n)
		for i, v := range row[:n] {
			key[i] = fmt.Sprint(v)
		}
		var values []float64
		for _, v := range row[n:] {
			f, err := strconv.ParseFloat(fmt.Sprint(v), 64)
			if err != nil {
				f = math.NaN()
			}
			values = append(values, f)
		}
		out[strings.Join(key, "|")] = values
	}
	return out
}

// checkQuantiles compares quantiles by group with those of the values themselves.
func checkQuantiles(t *testing.T, got map[string][]float64, want samples, qs []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d groups, want %d", len(got), len(want))
	}
	for key, values := range want {
		if len(got[key]) != len(qs) {
			t.Errorf("%s: answer %v", key, got[key])
			continue
		}
		for i, q := range qs {
			exact := quantile(values, q)
			if off := math.Abs(got[key][i] - exact); off > quantileError*exact+1e-12 {
				t.Errorf("%s: p%g of %d values is %g, want %g", key, 100*q, len(values), got[key][i], exact)
			}
		}
	}
}

var fourQuantiles = []float64{0.5, 0.75, 0.9, 0.95}

func named(metric string) []string {
	return []string{metric + "_p50", metric + "_p75", metric + "_p90", metric + "_p95"}
}

// TestTimings: clients' timings come as JSON of kind metric, or in log lines that
// a rule reads; their percentiles by minute, quarter of an hour, hour and day are
// those of the values, by name, system and device.
func TestTimings(t *testing.T) {
	in := boot(t, "", `
sources:
  app-logs:
    rules:
      steps:
        - extract:
            regexp: '^(?P<time>\S+) INFO (?P<name>\w+) took (?P<value>\d+) ms on (?P<os>\w+)/(?P<device>\w+)$'
            types: {value: int}
        - when: value != nil
          set: {kind: '"metric"'}
`)
	rng := rand.New(rand.NewPCG(3, 3))
	start := time.Now().UTC().Truncate(time.Hour).Add(-26 * time.Hour)
	oses, devices, names := []string{"ios", "android"}, []string{"phone", "tablet"}, []string{"cold_start", "payment", "search", "image_load"}
	wide := map[time.Duration]samples{time.Minute: {}, 15 * time.Minute: {}, time.Hour: {}, 24 * time.Hour: {}}
	var asJSON, asText strings.Builder
	const n = 30_000
	for i := range n {
		at := start.Add(time.Duration(rng.Int64N(int64(25 * time.Hour)))).Truncate(time.Millisecond)
		os, device, name := oses[rng.IntN(2)], devices[rng.IntN(2)], names[rng.IntN(4)]
		value := math.Round(math.Exp(5+rng.NormFloat64()*(1+float64(len(os))/10))) + 1
		if i%3 == 0 {
			fmt.Fprintf(&asText, "%s INFO %s took %.0f ms on %s/%s\n", at.Format(time.RFC3339Nano), name, value, os, device)
		} else {
			fmt.Fprintf(&asJSON, `{"kind":"metric","time":%q,"name":%q,"value":%.0f,"os":%q,"device":%q}`+"\n", at.Format(time.RFC3339Nano), name, value, os, device)
		}
		for width, s := range wide {
			s.add(value, at.Truncate(width).Format(time.RFC3339), name, os, device)
		}
	}
	in.post("source=app", asJSON.String())
	in.post("source=app-logs&format=text", asText.String())
	in.drain(n)
	for width, want := range wide {
		got := in.rollupRows("timings", url.Values{
			"by": {"name,os,device"}, "step": {width.String()}, "limit": {"100000"},
			"from": {start.Add(-2 * time.Hour).Format(time.RFC3339)}, "to": {"now"},
		}, named("value"))
		checkQuantiles(t, got, want, fourQuantiles)
	}
}

// TestGeneratedLatency: request and upstream times of generated access lines.
func TestGeneratedLatency(t *testing.T) {
	in := boot(t, "", "")
	g := gen.New(5, gen.Options{})
	start := time.Now().UTC().Truncate(time.Hour).Add(-3 * time.Hour)
	rt, backend := samples{}, samples{}
	var body strings.Builder
	const n = 20_000
	for i := range n {
		line := g.AppendJSON(nil, start.Add(time.Duration(i)*100*time.Millisecond))
		body.Write(line)
		var e struct {
			Service       string
			RT, Upstream  *float64
			RTBackend     *float64 `json:"rt_backend"`
			Kind, Message string
		}
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		if e.RT != nil {
			rt.add(*e.RT, e.Service)
		}
		if e.RTBackend != nil {
			backend.add(*e.RTBackend, e.Service)
		}
	}
	if len(rt) == 0 || len(backend) == 0 {
		t.Fatal("the generated lines have no times")
	}
	in.post("source=shop", body.String())
	in.drain(n)
	params := url.Values{"by": {"service"}, "from": {start.Format(time.RFC3339)}, "to": {"now"}}
	checkQuantiles(t, in.rollupRows("traffic", params, named("rt")), rt, fourQuantiles)
	checkQuantiles(t, in.rollupRows("traffic", params, named("rt_backend")), backend, fourQuantiles)
}

// TestIngressLatency: the log of Kubernetes' ingress controller, read by the
// preset, against the numbers that filebeat expects of it.
func TestIngressLatency(t *testing.T) {
	file := testdata.Shared(t, "access-logs/filebeat-modules/nginx/ingress_controller/test.log")
	in := boot(t, "", "sources: {ingress: {preset: nginx-ingress}}\n")
	lines := readLines(t, file)
	in.post("source=ingress&format=text", strings.Join(lines, "\n")+"\n")
	in.drain(len(lines))
	rt := samples{}
	for _, l := range lines {
		fields := strings.Fields(l[strings.LastIndexByte(l, '"')+1:]) // length, time, upstream...
		v, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			t.Fatalf("the test cannot read %q", l)
		}
		rt.add(v)
	}
	got := in.rollupRows("traffic", url.Values{"from": {"2020-01-01T00:00:00Z"}, "to": {"now"}}, append(named("rt"), "pv"))
	for key, values := range got {
		if values[4] != float64(len(lines)) {
			t.Errorf("%s: %v requests, want %d", key, values[4], len(lines))
		}
		checkQuantiles(t, map[string][]float64{"": values[:4]}, rt, fourQuantiles)
	}
	if len(got) != 1 {
		t.Errorf("answer %v", got)
	}
}

// TestVisitors: visitors per hour of the NASA log within three standard errors
// of HyperLogLog++ at the sketch's precision.
func TestVisitors(t *testing.T) {
	file := testdata.Shared(t, "access-logs/nasa-http/nasa_jul95_lines_1-40000.log.gz")
	in := boot(t, "", "")
	lines := readLines(t, file)
	exact := map[string]map[string]bool{}
	for _, l := range lines {
		m := accessRE.FindStringSubmatch(l)
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
		if err != nil {
			t.Fatal(err)
		}
		hour := at.UTC().Truncate(time.Hour).Format(time.RFC3339)
		if exact[hour] == nil {
			exact[hour] = map[string]bool{}
		}
		exact[hour][m[1]] = true
	}
	in.post("source=nasa", strings.Join(lines, "\n")+"\n")
	in.drain(len(lines))
	got := in.rollupRows("traffic", url.Values{"step": {"1h"}, "from": {"1995-07-01T00:00:00Z"}, "to": {"1995-08-01T00:00:00Z"}}, []string{"uv"})
	if len(got) != len(exact) {
		t.Errorf("%d hours, want %d", len(got), len(exact))
	}
	const standardError = 0.01625 // 1.04/sqrt(2^12)
	for hour, hosts := range exact {
		n := float64(len(hosts))
		if len(got[hour]) != 1 || math.Abs(got[hour][0]-n) > max(0.5, 3*standardError*n) {
			t.Errorf("%s: %v visitors, want %v", hour, got[hour], n)
		}
	}
}
