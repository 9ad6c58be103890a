package clickhouse_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/committest"
	"github.com/millrace/millrace/internal/storetest"
)

// TestCaseOfText: searching in any case means what strings.ToLower says, whatever
// the alphabet.
func TestCaseOfText(t *testing.T) {
	messages := []string{
		"plain kilo", "KILO", "\u212Aelvin", "d\u0130yarbak\u0131r", "DIYARBAKIR", "Stra\u00dfe", "STRASSE", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "\u03a3\u038a\u03a3\u03a5\u03a6\u039f\u03a3",
		"h\u00e9llo w\u00f6rld", "H\u00c9LLO W\u00d6RLD", "50% of_it \\ *", "a\nb", "\u01c5ungla", "\u01c4UNGLA", "", "\u5317\u4eac", "\U00010400 deseret \U00010428", "zero\x00byte",
	}
	values := []string{
		"k", "kilo", "KILO", "kelvin", "\u212A", "i", "diyar", "d\u0130yar", "\u0131", "ss", "\u00df", "\u03c3", "\u03c2", "\u03a3", "\u03c3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "h\u00c9l", "W\u00d6RLD", "llo w",
		"%", "_", "\\", "*", "50% OF_", "a\nb", "\n", "\u01c6", "\u01c4ungla", "\u5317", "\U00010400", "\x00b", "nothing of it",
	}
	db := open(t, database(t, server(t)), committest.New(clock))
	defer db.Close()
	rows := &millrace.EventRows{}
	for i, m := range messages {
		e := &millrace.Event{Time: storetest.Base.UnixNano() + int64(i), Weight: 1, Ordinal: int32(i), Message: m}
		rows.Append(&millrace.Record{Arrived: storetest.Base.UnixNano()}, e)
	}
	if err := db.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		for _, f := range []*millrace.Filter{
			{Op: millrace.FilterText, Value: v},
			{Op: millrace.FilterNot, Sub: []*millrace.Filter{{Op: millrace.FilterText, Value: v}}},
		} {
			var want []int32
			for i, m := range messages {
				if f.Match(func(string) string { return m }) {
					want = append(want, int32(i))
				}
			}
			page, err := db.Events(t.Context(), millrace.EventQuery{From: 0, To: 1<<63 - 1, Filter: f, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			var got []int32
			for _, e := range page.Events {
				got = append(got, e.Ordinal)
			}
			slices.Sort(got)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%q (op %d): events %v, want %v", v, f.Op, got, want)
			}
		}
	}
}

// TestNumbers: what is a number, and how it compares, is as in Go.
func TestNumbers(t *testing.T) {
	texts := []string{
		"1", "+1", "-1", "1.", ".5", "1e3", "1E-3", " 1", "1 ", "1,0", "0x10", "abc", "", "0.1", "0.30000000000000004", "9007199254740993",
		"123456789012345678901234567890", "1e-400", "--1", "1e", "e1", ".", "+", "1_000", "inf",
	}
	db := open(t, database(t, server(t)), committest.New(clock))
	defer db.Close()
	rows := &millrace.EventRows{}
	for i, s := range texts {
		e := &millrace.Event{Time: storetest.Base.UnixNano() + int64(i), Weight: 1, Ordinal: int32(i), Service: s}
		rows.Append(&millrace.Record{Arrived: storetest.Base.UnixNano()}, e)
	}
	if err := db.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1", "0.1", "0.30000000000000004", "1e3", "-1", "9007199254740993", "x", "1e-400"} {
		for _, op := range []millrace.FilterOp{millrace.FilterLt, millrace.FilterLe, millrace.FilterGt, millrace.FilterGe} {
			f := &millrace.Filter{Op: op, Field: "service", Value: v}
			want := int64(0)
			for _, s := range texts {
				if s != "inf" && s != "0x10" && s != "1_000" && f.Match(func(string) string { return s }) {
					want++
				}
			}
			q := millrace.EventQuery{From: 0, To: 1<<63 - 1, Filter: &millrace.Filter{Op: millrace.FilterAnd, Sub: []*millrace.Filter{
				f,
				{Op: millrace.FilterNe, Field: "service", Value: "inf"},
				{Op: millrace.FilterNe, Field: "service", Value: "0x10"},
				{Op: millrace.FilterNe, Field: "service", Value: "1_000"},
			}}}
			got, err := db.CountEvents(t.Context(), q, 0)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) == 0 && want > 0 || len(got) == 1 && got[0].Events != want {
				t.Errorf("op %d %s: %v, want %d", op, v, got, want)
			}
		}
	}
}
