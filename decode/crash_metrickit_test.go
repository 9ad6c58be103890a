package decode

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// metricTrees are the call stack trees of the shared data, by name.
func metricTrees(t testing.TB) (names []string, trees []string) {
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "crash"), "metrickit", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal("no MetricKit files", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names, trees = append(names, filepath.Base(file)), append(trees, string(data))
	}
	return names, trees
}

// decodeCrash decodes a body as the server does.
func decodeCrash(t testing.TB, body string, lim Limits) (*Pieces, []millrace.Event) {
	t.Helper()
	var p Pieces
	if err := Split("crash", nil, []byte(body), lim, &p); err != nil {
		t.Fatal(err)
	}
	rec := &millrace.Record{Project: "p", Source: "phones", Sender: "192.0.2.7", Format: "crash", Arrived: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixNano()}
	for i := range p.Events {
		before := len(rec.Payload)
		rec.Payload = AppendPiece(rec.Payload, 0, &p.Events[i])
		rec.Frames = append(rec.Frames, uint32(len(rec.Payload)-before))
	}
	var b millrace.Batch
	b.Reset(rec)
	var d Decoder
	d.Decode(&b)
	if len(b.Events) != len(p.Events) {
		t.Fatalf("%d pieces, %d events: %+v", len(p.Events), len(b.Events), b.Rejects)
	}
	return &p, b.Events
}

// TestMetricKitPayload makes a payload of all shared trees, in lists of each kind,
// and wants an event of each that reads as the tree alone does.
func TestMetricKitPayload(t *testing.T) {
	names, trees := metricTrees(t)
	lists := map[string][]string{}
	var want []string
	for k, list := range metricLists {
		for i, tree := range trees {
			version := fmt.Sprintf("%d.%d", k, i)
			lists[list] = append(lists[list], `{"version":"1.0.0","diagnosticMetaData":{"appVersion":"`+version+`","bundleIdentifier":"com.acme.shop","osVersion":"iPhone OS 16.1 (20B79)","deviceType":"iPhone14,5"},"callStackTree":`+tree+`}`)
			want = append(want, version)
		}
	}
	body := "{\n" + `"timeStampBegin":"2026-11-21 10:00:00","timeStampEnd":"2026-11-22 10:00:00","note":"` + strings.Repeat("x", maxMetricMember) + `"`
	for _, list := range metricLists {
		body += ",\n" + `"` + list + `": [` + strings.Join(lists[list], ",\n") + "]"
	}
	p, events := decodeCrash(t, body+"}", Limits{})
	if len(events) != len(want) || len(p.Refused) != 0 {
		t.Fatalf("%d events, want %d; refused %v", len(events), len(want), p.Refused)
	}
	for n := range events {
		e := &events[n]
		name := metricLists[n/len(trees)] + " " + names[n%len(trees)]
		if e.Release != want[n] || e.Service != "com.acme.shop" || !e.HasTime || time.Unix(0, e.Time).UTC().Format(time.DateTime) != "2026-11-22 10:00:00" {
			t.Errorf("%s: %s, want release %s", name, crashLine(e), want[n])
		}
		if !json.Valid([]byte(e.Message)) || strings.Contains(e.Message, "xxx") {
			t.Errorf("%s: the message is not the diagnostic: %.200s", name, e.Message)
		}
		alone, okAlone := exception.ReadCrash([]byte(trees[n%len(trees)]))
		got, ok := exception.ReadCrash([]byte(e.Message))
		if ok != okAlone || !ok {
			t.Errorf("%s: read %t, alone %t", name, ok, okAlone)
			continue
		}
		if len(got.Threads) != len(alone.Threads) || len(got.Exception.Frames) != len(alone.Exception.Frames) || fmt.Sprint(got.Exception.Frames) != fmt.Sprint(alone.Exception.Frames) {
			t.Errorf("%s: %d threads, %d frames; alone %d, %d", name, len(got.Threads), len(got.Exception.Frames), len(alone.Threads), len(alone.Exception.Frames))
		}
	}
}

// TestMetricKitLimits refuses what is too large one by one, and too many at once.
func TestMetricKitLimits(t *testing.T) {
	small := `{"callStackTree":{"callStackPerThread":true,"callStacks":[]}}`
	large := `{"callStackTree":{"x":"` + strings.Repeat("y", 400) + `"}}`
	p, events := decodeCrash(t, `{"crashDiagnostics":[`+small+","+large+","+small+`],"hangDiagnostics":[7,{}]}`, Limits{MaxEvent: 300})
	if len(events) != 3 || len(p.Refused) != 1 || p.Refused[0].Index != 2 || p.Refused[0].Reason != ReasonTooLarge || p.Events[2].Index != 4 {
		t.Errorf("%d events, refused %+v", len(events), p.Refused)
	}
	// One is an event as it came, whatever lists stand beside it.
	one := `{"hangDiagnostics":[],"crashDiagnostics":[` + small + `]}`
	if _, events := decodeCrash(t, one, Limits{}); len(events) != 1 || events[0].Message != one {
		t.Errorf("one diagnostic became %d events", len(events))
	}
	many := `{"crashDiagnostics":[{}` + strings.Repeat(",{}", maxMetrics) + "]}"
	err := Split("crash", nil, []byte(many), Limits{}, &Pieces{})
	if millrace.ErrorCode(err) != millrace.ErrTooLarge || !strings.Contains(err.Error(), "1001 diagnostics; at most 1000") {
		t.Errorf("too many: %v", err)
	}
	if err := Split("crash", nil, []byte(many), Limits{MaxEvents: 10}, &Pieces{}); millrace.ErrorCode(err) != millrace.ErrTooLarge {
		t.Errorf("more than the body may have: %v", err)
	}
}
