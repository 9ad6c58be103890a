package duckdb

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// FuzzShapes: what a shape says of a condition holds for the message it is of.
func FuzzShapes(f *testing.F) {
	f.Add("order 17 took 230 ms", "took", uint8(0))
	f.Add("order 17 took 230 ms", "7 took 2", uint8(0))
	f.Add("id=1234", "*12*34*", uint8(1))
	f.Add("Timed OUT", "*ed*OUT", uint8(1))
	f.Add("a1", "a1", uint8(2))
	f.Add("\u212Aelvin", "kelvin", uint8(0))
	f.Add("kelvin", "\u212Aelvin", uint8(0))
	f.Fuzz(func(t *testing.T, message, value string, op uint8) {
		filter := &millrace.Filter{
			Op:    []millrace.FilterOp{millrace.FilterText, millrace.FilterGlob, millrace.FilterEq}[op%3],
			Field: "message", Value: value,
		}
		shape, ok := appendShape(nil, message)
		if !ok {
			return
		}
		want := filter.Match(func(string) string { return message })
		if v := newTextProbe(filter).of(string(shape)); v != maybe && v != sure(want) {
			t.Errorf("%q, %s: matches %v, but its shape says %d", message, describe(filter), want, v)
		}
	})
}

// FuzzParseShapes parses damaged bytes.
func FuzzParseShapes(f *testing.F) {
	var s shapeSet
	for _, m := range []string{"", "a 1", "b"} {
		s.of([]byte(m))
	}
	f.Add(s.append(nil))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := parseShapes(raw)
		if err == nil && len(l.texts) > maxShapes {
			t.Errorf("%d shapes", len(l.texts))
		}
	})
}

// TestShapes: messages that differ in their numbers share a class, and what is
// written is read again.
func TestShapes(t *testing.T) {
	var s shapeSet
	for _, c := range []struct {
		message string
		class   uint8
	}{
		{"order 17 took 2 ms", 1},
		{"order 4711 took 230 ms", 1},
		{"order took 2 ms", 2},
		{"", 3},
		{"ärger", 0},
		{strings.Repeat("x", shapeBytes+1), 0},
	} {
		if got := s.of([]byte(c.message)); got != c.class {
			t.Errorf("%.30q is of class %d, want %d", c.message, got, c.class)
		}
	}
	s.others = 7
	l, err := parseShapes(s.append(nil))
	if err != nil || l.others != 7 || !slices.Equal(l.texts, s.list) {
		t.Errorf("%+v became %+v, %v", s, l, err)
	}
	for i := range 2 * maxShapes {
		s.of([]byte(strings.Repeat("y", i)))
	}
	if len(s.list) != maxShapes || s.of([]byte("one more")) != 0 {
		t.Errorf("%d shapes", len(s.list))
	}
}

// TestShapesGivenUp: where most messages have a shape of their own there are none,
// and the map of grams has all, also those of messages that had one.
func TestShapesGivenUp(t *testing.T) {
	b := newBlockBuilder("t", 0)
	b.addRow(1, 1, 1, []byte("checkout is open"))
	for i := range someOthers + maxShapes {
		if b.shapes.off {
			t.Fatalf("given up after %d rows", i)
		}
		b.addRow(1, 1, 1, []byte("name: "+strings.Repeat("a", i/60)+strings.Repeat("b", i%60)))
	}
	b.addRow(1, 1, 1, []byte("the last word"))
	b.addRow(1, 1, 1, []byte("checkout is open"))
	h, _ := b.seal()
	if !b.shapes.off || h.shapes != 0 || h.counts != 0 {
		t.Fatalf("shapes of %d bytes, %d counts", h.shapes, h.counts)
	}
	have := b.grams.hashes(nil)
	for _, word := range []string{"checkout is open", "name: aaa", "the last word"} {
		for _, g := range gramsOf(word, true) {
			if !slices.Contains(have, g) {
				t.Errorf("a gram of %q is missing", word)
			}
		}
	}
}

// TestIndexRowAllocations: a row whose message has a known shape costs no memory.
func TestIndexRowAllocations(t *testing.T) {
	b := newBlockBuilder("t", 0)
	messages := [][]byte{
		[]byte("handled: cache hit"), []byte("order 815 took 17 ms to be put on the list of orders that were paid"),
		[]byte("order 4711 took 230 ms to be put on the list of orders that were paid"),
	}
	add := func() {
		for i, m := range messages {
			b.addRow(int64(i), int64(i), 1, m)
		}
	}
	add()
	if n := testing.AllocsPerRun(1000, add); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestSpans: rows in no block are known by the bounds that are known of them.
func TestSpans(t *testing.T) {
	block := func(first int64, rows uint32) *indexBlock { return &indexBlock{first: first, rows: rows} }
	d := &day{segment: segment{name: "t", rows: 100, minTime: 5, maxTime: 9}}
	for _, c := range []struct {
		blocks []*indexBlock
		tail   gathering
		want   string
	}{
		{nil, gathering{}, "0-100 "},
		{[]*indexBlock{block(0, 10), block(20, 30)}, gathering{}, "B0-10 10-20 B20-50 50-100 "},
		{[]*indexBlock{block(0, 10)}, gathering{table: "t", from: 60, to: 90}, "B0-10 10-60 60-90 90-100 "},
		{[]*indexBlock{block(0, 60)}, gathering{table: "t", from: 60, to: 120}, "B0-60 60-100 "},
		{[]*indexBlock{block(0, 60)}, gathering{table: "t", from: 50, to: 60}, "B0-60 60-100 "},
	} {
		got := ""
		for _, s := range d.spansOf(c.blocks, c.tail) {
			if s.block != nil {
				got += "B"
			}
			got += fmt.Sprintf("%d-%d ", s.first, s.last)
		}
		if got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// TestBit: bits beyond the end are false, whatever a user's statement asks.
func TestBit(t *testing.T) {
	db := openTest(t)
	for expr, want := range map[string]string{
		"millrace_bit(10, 10, '\\x05'::BLOB)":                  "true",
		"millrace_bit(11, 10, '\\x05'::BLOB)":                  "false",
		"millrace_bit(12, 10, '\\x05'::BLOB)":                  "true",
		"millrace_bit(18, 10, '\\x05'::BLOB)":                  "false",
		"millrace_bit(9, 10, '\\x05'::BLOB)":                   "false",
		"millrace_bit(-9223372036854775808, 1, '\\x05'::BLOB)": "false",
	} {
		same(t, expr, text(t, db, "SELECT ("+expr+")::VARCHAR"), want)
	}
}
