package rollup

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace"
)

// TestDimensionEqualsTexts: codes of blocks of events are those of their texts,
// one after the other, whatever the values' types and wherever the attribute is,
// with a cap that values compete for and after some are retired.
func TestDimensionEqualsTexts(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for _, name := range []string{"status", "service", "kind"} {
		const limit = 300
		got, want := newDict(name, limit), newDict(name, limit)
		d, reader := newDimension(name, got, 0), newReader(name)
		var e encoder
		events, picked, codes := make([]millrace.Event, encodeBlock), make([]int32, 0, encodeBlock), make([]uint32, encodeBlock)
		for round := range int64(400) {
			picked = picked[:0]
			for i := range events {
				events[i] = randomEvent(rng)
				if rng.IntN(5) > 0 {
					picked = append(picked, int32(i))
				}
			}
			d.encode(&e, codes[:len(picked)], events, picked)
			for i, at := range picked {
				ev := &events[at]
				if c := want.code(reader.text(ev), ev.Weight); c != codes[i] {
					t.Fatalf("%s of %+v has code %d, want %d", name, ev, codes[i], c)
				}
				got.seen[codes[i]], want.seen[codes[i]] = round, round
			}
			if round%50 == 49 {
				if g, w := got.retire(round, 3), want.retire(round, 3); fmt.Sprint(g) != fmt.Sprint(w) {
					t.Fatalf("%s: retired %q, want %q", name, g, w)
				}
			}
		}
		if got.folded != want.folded || got.size() != want.size() || name == "status" && got.folded == 0 {
			t.Fatalf("%s: folded %d, %d values, want %d, %d", name, got.folded, got.size(), want.folded, want.size())
		}
	}
}

func randomEvent(rng *rand.Rand) millrace.Event {
	ev := millrace.Event{Weight: 1 + rng.Int64N(3), Kind: millrace.Kind(rng.IntN(3)), Service: fmt.Sprint("s", rng.IntN(9))}
	for range rng.IntN(3) {
		ev.Attrs = append(ev.Attrs, millrace.Attr{Key: fmt.Sprint("k", len(ev.Attrs)), Value: millrace.IntValue(1)})
	}
	n := rng.Int64N(600) - 20
	v := millrace.IntValue(n)
	switch rng.IntN(8) {
	case 0:
		v = millrace.StringValue(fmt.Sprint(n))
	case 1:
		v = millrace.StringValue(fmt.Sprintf("a text that is longer than its key, %d", n/20))
	case 2:
		v = millrace.NumberValue(float64(n), fmt.Sprintf("%d.0", n))
	case 3:
		v = millrace.BoolValue(n > 0)
	case 4:
		v = millrace.IntValue(n * 500)
	case 5:
		return ev
	}
	ev.Attrs = append(ev.Attrs, millrace.Attr{Key: "status", Value: v})
	return ev
}
