package gen

import (
	"bytes"
	"encoding/json"
	"math"
	"sort"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
)

var noon = time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)

// each calls f with every kind of line a generator makes.
func each(g *Generator, t time.Time, f func(kind string, line []byte)) {
	f("json", g.AppendJSON(nil, t))
	f("access", g.AppendAccess(nil, t))
	f("timing", g.AppendTiming(nil, t))
	for i := range g.Services() {
		f("log", g.AppendLog(nil, t, i, 1))
	}
}

func TestEqualSeedsGiveEqualLines(t *testing.T) {
	stream := func(seed uint64) (out []byte) {
		g := New(seed, Options{Deployments: []Deployment{{Service: "checkout", Start: noon, Length: time.Minute}}})
		for i := range 200 {
			each(g, noon.Add(time.Duration(i)*time.Second), func(_ string, line []byte) { out = append(out, line...) })
			out = append(out, g.Lateness().String()...)
		}
		return out
	}
	if !bytes.Equal(stream(7), stream(7)) {
		t.Error("two generators of one seed differ")
	}
	if bytes.Equal(stream(7), stream(8)) {
		t.Error("generators of two seeds agree")
	}
}

func TestJSONLines(t *testing.T) {
	g := New(1, Options{})
	seen := map[string]bool{}
	services := map[string]map[string]bool{} // host -> services
	const n = 20_000
	for i := range n {
		line := g.AppendJSON(nil, noon.Add(time.Duration(i)*time.Millisecond))
		if d := len(line) - 415; d < 0 || d > 25 {
			t.Fatalf("line of %d bytes: %s", len(line), line)
		}
		var o struct {
			Time    time.Time `json:"time"`
			Service string    `json:"service"`
			Host    string    `json:"host"`
			URL     string    `json:"url"`
			Status  int       `json:"status"`
			RT      float64   `json:"rt"`
			Backend float64   `json:"rt_backend"`
			Trace   string    `json:"trace_id"`
		}
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if o.RT <= o.Backend || o.Status < 200 || o.URL == "" || !o.Time.Equal(noon.Add(time.Duration(i)*time.Millisecond)) {
			t.Fatalf("implausible: %s", line)
		}
		if services[o.Host] == nil {
			services[o.Host] = map[string]bool{}
		}
		services[o.Host][o.Service] = true
		seen[string(line)] = true
	}
	if len(seen) != n {
		t.Errorf("%d distinct lines of %d", len(seen), n)
	}
	for host, of := range services {
		if len(of) != 1 {
			t.Errorf("host %s belongs to %d services", host, len(of))
		}
	}
}

// TestZipf fits a line through log(count) over log(rank): Zipf's law has a
// slope near -1.
func TestZipf(t *testing.T) {
	f := func(field string, top int, least, most float64) {
		t.Helper()
		g := New(3, Options{})
		counts := map[string]int{}
		for range 200_000 {
			line := g.AppendJSON(nil, noon)
			v := line[bytes.Index(line, []byte(field))+len(field):]
			counts[string(v[:bytes.IndexByte(v, '"')])]++
		}
		var sorted []int
		for _, n := range counts {
			sorted = append(sorted, n)
		}
		sort.Sort(sort.Reverse(sort.IntSlice(sorted)))
		if len(sorted) < top {
			t.Fatalf("%s: %d values", field, len(sorted))
		}
		var sx, sy, sxx, sxy float64
		for i, n := range sorted[:top] {
			x, y := math.Log(float64(i+1)), math.Log(float64(n))
			sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
		}
		k := float64(top)
		slope := (k*sxy - sx*sy) / (k*sxx - sx*sx)
		if slope < least || slope > most {
			t.Errorf("%s: slope %.2f, want %.2f to %.2f", field, slope, least, most)
		}
	}
	f(`"url":"`, 200, -1.3, -0.6)
	f(`"client_ip":"`, 500, -1, -0.6)
	f(`"service":"`, 12, -1.1, -0.7)
}

// TestDecodable decodes every kind of line and compares what it is taken for.
func TestDecodable(t *testing.T) {
	want := map[string]millrace.Kind{"json": millrace.KindAccess, "access": millrace.KindAccess, "timing": millrace.KindMetric}
	g := New(5, Options{})
	for i := range 300 {
		at := noon.Add(time.Duration(i) * 37 * time.Second)
		each(g, at, func(kind string, line []byte) {
			events := decodeAll(t, line)
			if len(events) != 1 {
				t.Fatalf("%s: %d events from %s", kind, len(events), line)
			}
			e := events[0]
			if k, ok := want[kind]; ok && e.Kind != k {
				t.Fatalf("%s is taken for %s: %s", kind, e.Kind, line)
			}
			// Access logs have whole seconds, application logs milliseconds.
			if d := at.UnixNano() - e.Time; !e.HasTime || d < 0 || d >= int64(time.Second) {
				t.Fatalf("%s: time %s is off: %s", kind, time.Unix(0, e.Time), line)
			}
			if kind == "log" && e.Level == "" {
				t.Fatalf("no level: %s", line)
			}
			if kind == "access" {
				if v, ok := e.Attr(millrace.AttrRTBackend); !ok || v.String() == "" || e.Host == "" {
					t.Fatalf("fields missing: %s", line)
				}
			}
		})
	}
}

func decodeAll(t *testing.T, body []byte) []millrace.Event {
	t.Helper()
	var f decode.Framing
	if err := decode.Frame("auto", body, decode.Limits{MaxLine: 1 << 18, MaxEvent: 1 << 20}, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Refused) > 0 {
		t.Fatalf("refused: %s", f.Refused[0].Detail)
	}
	rec := &millrace.Record{Format: "auto", Arrived: noon.Add(24 * time.Hour).UnixNano(), Payload: body}
	for _, e := range f.Events {
		rec.Frames = append(rec.Frames, uint32(e.End-e.Start))
	}
	var b millrace.Batch
	var d decode.Decoder
	b.Reset(rec)
	d.Decode(&b)
	if len(b.Rejects) > 0 {
		t.Fatalf("rejected: %s", b.Rejects[0].Detail)
	}
	return b.Events
}

func TestDeploymentGoesWrong(t *testing.T) {
	start := noon.Add(time.Hour)
	g := New(2, Options{Deployments: []Deployment{{Service: "checkout", Start: start, Length: 30 * time.Minute, Every: 2 * time.Hour}}})
	svc := g.shop.index("checkout")
	f := func(at time.Time, wantBad bool) {
		t.Helper()
		failed, slow := 0, uint64(0)
		const n = 4000
		for range n {
			q := g.draw(at.UnixNano(), svc)
			failed += bit(q.status >= 500)
			slow += q.rt
		}
		mean := time.Duration(slow/n) * time.Microsecond
		if bad := failed > n/10; bad != wantBad {
			t.Errorf("%s: %d of %d failed", at, failed, n)
		}
		if slow := mean > 300*time.Millisecond; slow != wantBad {
			t.Errorf("%s: mean latency %s", at, mean)
		}
		var logs []byte
		for range 2000 {
			logs = g.AppendLog(logs, at, svc, 0)
		}
		if bytes.Contains(logs, []byte("CurrencyMismatchException")) != wantBad {
			t.Errorf("%s: the new exception is %sexpected", at, map[bool]string{false: "not "}[wantBad])
		}
		if p := g.Place(svc, 0, at); p.Release == g.shop.services[svc].releases[0] == wantBad {
			t.Errorf("%s: release %s", at, p.Release)
		}
	}
	f(start.Add(-time.Minute), false)
	f(start.Add(10*time.Minute), true)
	f(start.Add(40*time.Minute), false)
	f(start.Add(2*time.Hour+10*time.Minute), true)
	f(start.Add(3*time.Hour), false)
}

func TestLoadHasDaysAndBursts(t *testing.T) {
	g := New(1, Options{})
	var night, day, sum, most float64
	minutes := 0
	for m := range 7 * 24 * 60 {
		at := noon.Add(time.Duration(m) * time.Minute)
		l := g.Load(at)
		sum += l
		minutes++
		most = max(most, l)
		switch at.Hour() {
		case 3:
			night += l
		case 14:
			day += l
		}
	}
	if mean := sum / float64(minutes); mean < 0.85 || mean > 1.15 {
		t.Errorf("mean load %.2f", mean)
	}
	if day < 2*night {
		t.Errorf("load at 14 h is %.1f times that at 3 h", day/night)
	}
	if most < 2 {
		t.Errorf("highest load %.1f: no bursts", most)
	}
}

func TestLateness(t *testing.T) {
	g := New(1, Options{})
	const n = 200_000
	var minutes, hours int
	for range n {
		switch l := g.Lateness(); {
		case l < 0 || l > 8*time.Hour:
			t.Fatal(l)
		case l >= time.Hour:
			hours++
		case l > 0:
			minutes++
		}
	}
	if minutes < n*25/1000 || minutes > n*35/1000 || hours < n*3/1000 || hours > n*5/1000 {
		t.Errorf("%d minutes and %d hours late of %d", minutes, hours, n)
	}
}

func TestPoolLinesAreDistinct(t *testing.T) {
	seen := map[string]bool{}
	const rounds = 7
	for stream := range uint64(2) {
		p := NewPool(1, stream, 1000, Options{})
		for r := range rounds {
			from := noon.Add(time.Duration(r) * time.Minute)
			body, n := p.Next(700, from, from.Add(time.Minute))
			if len(body) != n*p.LineBytes() {
				t.Fatalf("%d bytes for %d lines", len(body), n)
			}
			for _, line := range bytes.SplitAfter(body, []byte("\n"))[:n] {
				var o struct {
					Time time.Time `json:"time"`
				}
				if err := json.Unmarshal(line, &o); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if o.Time.Before(from) || !o.Time.Before(from.Add(time.Minute)) {
					t.Fatalf("time %s outside of the minute from %s", o.Time, from)
				}
				seen[string(line[traceAt:traceAt+32])] = true
			}
		}
	}
	if want := 2 * (3*1000 + 700); len(seen) != want {
		t.Errorf("%d distinct trace ids, want %d", len(seen), want)
	}
}

func TestLinesDoNotAllocate(t *testing.T) {
	g := New(1, Options{})
	buf := make([]byte, 0, 4096)
	for name, f := range map[string]func(){
		"json":   func() { buf = g.AppendJSON(buf[:0], noon) },
		"access": func() { buf = g.AppendAccess(buf[:0], noon) },
		"timing": func() { buf = g.AppendTiming(buf[:0], noon) },
		"log":    func() { buf = g.AppendLog(buf[:0], noon, 1, 0) },
	} {
		if n := testing.AllocsPerRun(1000, f); n > 0 {
			t.Errorf("%s: %v allocations a line", name, n)
		}
	}
}
