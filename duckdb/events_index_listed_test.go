package duckdb

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// listFileOf writes a block with what is listed, and opens its list.
func listFileOf(t testing.TB, l *listing, rows int) *listFile {
	t.Helper()
	f, err := createIndexFile(filepath.Join(t.TempDir(), "list"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	payload := l.append([]byte("before"))
	b := &indexBlock{rows: uint32(rows), traces: 6, listed: uint32(len(payload) - 6)}
	if err := f.add(b, payload); err != nil {
		t.Fatal(err)
	}
	list, err := f.openList(b)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func anyPrint(values ...string) *listProbe {
	f := &millrace.Filter{Op: millrace.FilterOr}
	for _, v := range values {
		f.Sub = append(f.Sub, &millrace.Filter{Op: millrace.FilterEq, Field: "fingerprint", Value: v})
	}
	return newListProbe(f)
}

// TestListed: what is written is found again, in the file and before it is written,
// with the rows that a plain look at all of them finds.
func TestListed(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for round := range 40 {
		n, kinds := 1+rng.IntN(3000), 1+rng.IntN(1<<rng.IntN(11))
		texts := make([]string, n)
		rows := &millrace.EventRows{}
		for i := range n {
			e := millrace.Event{Time: rng.Int64() - 1<<62}
			e.Set("before", millrace.StringValue(`"fingerprint":"no"`))
			if rng.IntN(3) > 0 {
				texts[i] = rigPrint(rng.IntN(kinds))
				e.Set("fingerprint", millrace.StringValue(texts[i]))
			}
			rows.Append(&millrace.Record{}, &e)
		}
		l := &listing{}
		half := n / 2
		if half > 0 {
			l.addRows(&rows.Attrs, rows.Time, 0, half, 7)
		}
		l.addRows(&rows.Attrs, rows.Time, half, n, 7+uint32(half))
		file := listFileOf(t, l, n+7)
		view := l.view()
		for range 20 {
			var values []string
			for range 1 + rng.IntN(5) {
				values = append(values, rigPrint(rng.IntN(kinds+1)))
			}
			var want []rowTime
			for i, text := range texts {
				if slices.Contains(values, text) {
					want = append(want, rowTime{7 + uint32(i), rows.Time[i]})
				}
			}
			p := anyPrint(values...)
			got, exact, err := file.find(p)
			if err != nil || !exact || !slices.Equal(got, want) {
				t.Fatalf("round %d: %d rows, exact %v, %v; want %d", round, len(got), exact, err, len(want))
			}
			if got, exact := view.find(p); !exact || !slices.Equal(got, want) {
				t.Fatalf("round %d: %d rows before they are a block; want %d", round, len(got), len(want))
			}
		}
	}
}

// TestFingerprintOf: what is listed is what a filter compares with.
func TestFingerprintOf(t *testing.T) {
	for _, c := range []struct {
		attrs, text  string
		ok, listable bool
	}{
		{`{}`, "", false, false},
		{`{"fingerprint":"v2:ab"}`, "v2:ab", true, true},
		{`{"a":{"fingerprint":"no"},"b":"\"fingerprint\":","fingerprint":"v2:ab","c":1}`, "v2:ab", true, true},
		{`{"a":{"fingerprint":"no"}}`, "", false, false},
		{`{"fingerprint":""}`, "", false, false},
		{`{"fingerprint":12}`, "", true, false},
		{`{"fingerprint":null}`, "", true, false},
		{`{"fingerprint":"a\"b"}`, "", true, false},
		{`{"fingerprint":"first","fingerprint":"second"}`, "first", true, true},
		{`{"fingerprint":"` + strings.Repeat("x", maxListedBytes) + `"}`, strings.Repeat("x", maxListedBytes), true, true},
		{`{"fingerprint":"` + strings.Repeat("x", maxListedBytes+1) + `"}`, strings.Repeat("x", maxListedBytes+1), true, false},
		{"{\"fingerprint\":\"\xff\"}", "\xff", true, false},
		{`{ "fingerprint":"spaces"}`, "", true, false}, // nobody here wrote it
	} {
		text, ok, listable := fingerprintOf([]byte(c.attrs))
		if string(text) != c.text || ok != c.ok || listable != c.listable {
			t.Errorf("%.60s: %q, %v, %v", c.attrs, text, ok, listable)
		}
	}
}

// TestListedBounds: beyond the bounds rows are looked at, not lost.
func TestListedBounds(t *testing.T) {
	l := &listing{}
	for i := range maxListed + 5 {
		l.add(fmt.Appendf(nil, `{"fingerprint":"f%d"}`, i), int64(i), uint32(i))
	}
	file := listFileOf(t, l, maxListed+5)
	for _, i := range []int{0, 77, maxListed - 1} {
		rows, exact, err := file.find(anyPrint(fmt.Sprintf("f%d", i)))
		if err != nil || exact || len(rows) != 6 || rows[0] != (rowTime{uint32(i), int64(i)}) {
			t.Errorf("f%d: %v, %v, %v", i, rows, exact, err)
		}
	}
}

// TestListedIsUsed: rows are looked for by their numbers and nothing is asked of
// their attributes, in blocks and before; a damaged list is not believed.
func TestListedIsUsed(t *testing.T) {
	r := newIndexRig(t, 12)
	r.db.index.manyRows = 40
	write := func(n int) {
		rows := &millrace.EventRows{}
		for i := range n {
			e := millrace.Event{Time: r.now.UnixNano() + int64(i), Weight: 1, Kind: millrace.KindException, Message: "m"}
			e.Set("fingerprint", millrace.StringValue(rigPrint(i%16)))
			rows.Append(&millrace.Record{Offset: r.offset, Arrived: r.now.UnixNano()}, &e)
			r.offset++
		}
		if err := r.db.WriteEvents(t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			t.Fatal(err)
		}
	}
	write(3*rigBlock + 20)
	q := millrace.EventQuery{From: math.MinInt64, To: math.MaxInt64, Limit: 100, Filter: anyPrint(rigPrint(3), rigPrint(5)).filter}
	var parts []*part
	err := r.db.snapshot(t.Context(), "test", func(c *conn) error {
		days, err := openDays(t.Context(), c, r.db.index, q)
		if err != nil {
			return err
		}
		pr := newProbe(q.Filter)
		for _, s := range days[0].spans {
			if err := s.ask(r.db.index, pr); err != nil {
				return err
			}
		}
		parts = r.db.index.partsOf(days[0].spans, q.From, q.To)
		for _, p := range parts {
			cond, err := p.condition(r.db.index, pr, q, q.From, q.To)
			if err != nil {
				return err
			}
			if strings.Contains(cond.sql.String(), "attrs") {
				t.Errorf("it asks: %s", cond.sql.String())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 1 || len(parts[0].rows) != 2*(3*4+1)+1 {
		t.Fatalf("%d parts, the first of %d rows", len(parts), len(parts[0].rows))
	}
	page, err := r.db.Events(t.Context(), q)
	if err != nil || len(page.Events) != len(parts[0].rows) {
		t.Fatalf("%v, %v", page, err)
	}

	// A list that the checksum is right of, and that is none, is an error, not a lie.
	name := filepath.Base(r.db.index.files[dayTable(dayOf(r.now.UnixNano()))].path)
	f := r.db.index.files[name]
	if _, err := f.file.WriteAt(bytes.Repeat([]byte{0xFF}, listHeader), f.blocks[0].listAt()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.Events(t.Context(), q); err == nil {
		t.Error("a list that is none is believed")
	}
	r.reopen() // now the checksum is compared
	if page, err = r.db.Events(t.Context(), q); err != nil || len(page.Events) != len(parts[0].rows) {
		t.Errorf("%v, %v", page, err)
	}
}

// TestIndexOfTheReleaseBefore: a file of version 2 is made again, and questions are
// answered meanwhile.
func TestIndexOfTheReleaseBefore(t *testing.T) {
	r := newIndexRig(t, 3)
	for range 5 {
		r.flush(60)
	}
	table := dayTable(dayOf(r.now.UnixNano()))
	path := filepath.Join(r.path+".index", table)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[4] = 2
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	for range 30 {
		r.ask()
	}
	for range 10 {
		r.maintain()
	}
	if n := len(r.db.index.files[table].blocks); n < 5 {
		t.Errorf("%d blocks were made again", n)
	}
	for range 30 {
		r.ask()
	}
}

// FuzzListed reads lists that are damaged: nothing beyond the block, no panic.
func FuzzListed(f *testing.F) {
	l := &listing{}
	for i := range 40 {
		l.add(fmt.Appendf(nil, `{"fingerprint":"f%d"}`, i%7), int64(i), uint32(i))
	}
	good := l.append(nil)
	f.Add(good, uint64(3))
	for i := 0; i < len(good); i += 7 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x81
		f.Add(bad, uint64(i))
	}
	f.Fuzz(func(t *testing.T, raw []byte, hash uint64) {
		if len(raw) < listHeader || len(raw) > 1<<16 {
			return
		}
		file, err := createIndexFile(filepath.Join(t.TempDir(), "list"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.close()
		b := &indexBlock{rows: 40, listed: uint32(len(raw))}
		if err := file.add(b, raw); err != nil {
			t.Fatal(err)
		}
		list, err := file.openList(b)
		if err != nil {
			return
		}
		p := anyPrint("f1", "f5", "f8")
		p.hashes = append(p.hashes, hash)
		rows, _, _ := list.find(p)
		for _, r := range rows {
			if r.row >= b.rows {
				t.Fatalf("row %d of %d", r.row, b.rows)
			}
		}
	})
}
