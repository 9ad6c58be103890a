package millrace

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestBatchReuse drives a batch through records of random sizes, with events
// that are dropped, cut off, or have more attributes than fit, and compares what
// it holds with what was put in.
func TestBatchReuse(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	b := &Batch{}
	for record := range 30 {
		r := &Record{Arrived: int64(record), Service: fmt.Sprint("s", record)}
		b.Reset(r)
		var want []string
		for i := range rng.IntN(200) {
			e := b.Add(int32(i))
			if e.Time != r.Arrived || e.Weight != 1 || e.Service != r.Service || e.Message+e.Level+e.TraceID+e.Host != "" ||
				e.HasTime || e.MultiLine || e.Kind != KindLog || len(e.Attrs) != 0 {
				t.Fatalf("not preset: %+v", e)
			}
			e.Message, e.Level, e.Host, e.Kind = "m", "l", "h", KindAccess
			e.HasTime, e.MultiLine, e.Weight = true, true, 7
			n := rng.IntN(12)
			if rng.IntN(30) == 0 {
				n = rng.IntN(3000)
			}
			var text strings.Builder
			for k := range n {
				key, value := fmt.Sprint("k", k), fmt.Sprint(record, "-", i, "-", k)
				e.Extend().SetString(key, value)
				text.WriteString(key + "=" + value + " ")
			}
			switch rng.IntN(10) {
			case 0:
				b.Drop()
				continue
			case 1:
				b.Events = b.Events[:len(b.Events)-1]
				continue
			case 2:
				e.Attrs = []Attr{{Key: "own"}}
				text.Reset()
				text.WriteString("own= ")
			}
			want = append(want, text.String())
			if k := rng.IntN(len(want)); rng.IntN(4) == 0 { // a field found late, as of a stack trace
				b.Events[k].Set("late", StringValue("x"))
				if !strings.Contains(want[k], "late") {
					want[k] += "late=x "
				}
			}
		}
		if len(b.Events) != len(want) {
			t.Fatalf("%d events, want %d", len(b.Events), len(want))
		}
		for i := range b.Events {
			var got strings.Builder
			for _, a := range b.Events[i].Attrs {
				got.WriteString(a.Key + "=" + a.Value.String() + " ")
			}
			if got.String() != want[i] {
				t.Fatalf("record %d, event %d: got %s, want %s", record, i, got.String(), want[i])
			}
		}
	}
}

// TestBatchLetsGo: what a batch can reach is of this record and the one before.
func TestBatchLetsGo(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	b := &Batch{}
	for record := range 60 {
		mark := fmt.Sprint(record)
		b.Reset(&Record{Service: mark})
		for i := range 1 + rng.IntN(60) {
			e := b.Add(int32(i))
			for range rng.IntN(30) {
				e.Extend().SetString("k", mark)
			}
			if rng.IntN(5) == 0 {
				b.Drop()
			}
		}
		b.Reset(&Record{})
		before := fmt.Sprint(record - 1)
		old := func(s string) bool { return s != "" && s != mark && s != before }
		for _, e := range b.Events[:cap(b.Events)] {
			if old(e.Service) {
				t.Fatalf("after record %d an event of %s is held", record, e.Service)
			}
		}
		for _, a := range b.attrs[:cap(b.attrs)] {
			if old(a.Value.String()) {
				t.Fatalf("after record %d an attribute of %s is held", record, a.Value)
			}
		}
		b.Reset(&Record{})
		for _, a := range b.attrs[:cap(b.attrs)] {
			if a.Value.String() != "" {
				t.Fatalf("after two empty records an attribute of %s is held", a.Value)
			}
		}
	}
}
