package duckdb

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/memory"
)

// indexRig drives a DB with tiny blocks and the oracle with equal flushes.
type indexRig struct {
	t      *testing.T
	rng    *rand.Rand
	db     *DB
	oracle *memory.Store
	path   string
	now    time.Time
	traces []string
	offset int64
}

var rigWords = []string{
	"timeout", "Timed OUT", "checkout", "order", "KELVIN", "Kilo", "kafka", "ÜBER", "grün", "id=", "deadlock", "\u212Aelvin", "\u0130stanbul", "x", "a.b",
}

const rigBlock = 64

func newIndexRig(t *testing.T, seed uint64) *indexRig {
	r := &indexRig{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), oracle: memory.New(), path: filepath.Join(t.TempDir(), "a.duckdb"),
		now: time.Date(2026, 3, 5, 22, 0, 0, 0, time.UTC),
	}
	r.oracle.Retention.Events = rigRetention
	r.reopen()
	return r
}

const rigRetention = 24 * time.Hour

func (r *indexRig) reopen() {
	r.t.Helper()
	if r.db != nil {
		if err := r.db.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
	opt := DefaultOptions()
	opt.Retention.Events = millrace.Duration(rigRetention)
	db, err := Open(r.t.Context(), opt, r.path, func() time.Time { return r.now }, discard)
	if err != nil {
		r.t.Fatal(err)
	}
	db.index.blockRows, db.index.manyRows = rigBlock, 4
	r.db = db
}

// flush writes the same rows to both, which arrived around now, some of them
// before and some after midnight.
func (r *indexRig) flush(n int) {
	r.t.Helper()
	rows := &millrace.EventRows{}
	for i := range n {
		e := millrace.Event{
			Time: r.now.UnixNano() - r.rng.Int64N(300e9), Weight: 1 + r.rng.Int64N(3), Kind: millrace.KindLog, Ordinal: int32(i),
			Project: "p" + fmt.Sprint(r.rng.IntN(2)), Service: rigWords[r.rng.IntN(3)], Message: r.message(), TraceID: r.trace(),
		}
		if r.rng.IntN(50) == 0 { // a late line
			e.Time -= r.rng.Int64N(100 * 3600e9)
		}
		e.Set("city", millrace.StringValue(rigWords[r.rng.IntN(len(rigWords))]))
		e.Set("status", millrace.IntValue(200+100*r.rng.Int64N(4)))
		if r.rng.IntN(3) == 0 {
			e.Kind = millrace.KindException
		}
		switch r.rng.IntN(40) {
		case 0, 1, 2, 3, 4, 5, 6, 7: // frequent and rare ones
			e.Set("fingerprint", millrace.StringValue(rigPrint(min(r.rng.IntN(30), r.rng.IntN(30)))))
		case 8: // what is no text
			e.Set("fingerprint", millrace.IntValue(r.rng.Int64N(3)))
		case 9:
			e.Set("fingerprint", millrace.StringValue(strings.Repeat("long ", 40)))
		case 10:
			e.Set("fingerprint", millrace.StringValue("a \"quoted\" one"))
		case 11:
			e.Set("fingerprint", millrace.StringValue(""))
		case 12:
			e.Set("nested", millrace.JSONValue(`{"fingerprint":"`+rigPrint(0)+`"}`))
		}
		rows.Append(&millrace.Record{Offset: r.offset, Arrived: r.now.UnixNano() + r.rng.Int64N(2e9)}, &e)
	}
	r.offset++
	for _, s := range []millrace.Store{r.db, r.oracle} {
		if err := s.WriteEvents(r.t.Context(), rows, &millrace.Commit{Sink: millrace.SinkEvents}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func rigPrint(n int) string { return fmt.Sprintf("v2:%016x", uint64(n)*0x9E3779B97F4A7C15) }

// fingerprints is a filter over them as pages ask: of one, or of some.
func (r *indexRig) fingerprints() *millrace.Filter {
	eq := func() *millrace.Filter {
		f := &millrace.Filter{Op: millrace.FilterEq, Field: "fingerprint", Value: rigPrint(r.rng.IntN(31))}
		if r.rng.IntN(8) == 0 {
			f.Value = []string{"1", "", "a \"quoted\" one", strings.Repeat("long ", 40)}[r.rng.IntN(4)]
		}
		return f
	}
	if r.rng.IntN(2) == 0 {
		return eq()
	}
	f := &millrace.Filter{Op: millrace.FilterOr}
	for range 1 + r.rng.IntN(12) {
		f.Sub = append(f.Sub, eq())
	}
	if r.rng.IntN(5) == 0 {
		f.Sub = append(f.Sub, r.filter(0))
	}
	return f
}

func (r *indexRig) message() string {
	var b strings.Builder
	for range 1 + r.rng.IntN(4) {
		b.WriteString(rigWords[r.rng.IntN(len(rigWords))])
		if r.rng.IntN(3) > 0 {
			b.WriteString(" ")
		}
		if r.rng.IntN(3) == 0 {
			fmt.Fprintf(&b, "%d ", r.rng.IntN(100_000_000))
		}
	}
	return b.String()
}

func (r *indexRig) trace() string {
	switch r.rng.IntN(4) {
	case 0:
		return ""
	case 1:
		r.traces = append(r.traces, fmt.Sprintf("T-%x", r.rng.Uint64()))
	case 2:
		r.traces = append(r.traces, fmt.Sprintf("%016x%016x", r.rng.Uint64(), r.rng.Uint64()))
	}
	if len(r.traces) == 0 {
		return ""
	}
	return r.traces[len(r.traces)-1-r.rng.IntN(min(len(r.traces), 3))]
}

func (r *indexRig) filter(depth int) *millrace.Filter {
	f := &millrace.Filter{Op: millrace.FilterText}
	switch k := r.rng.IntN(12); {
	case k < 2 && depth > 0:
		f.Op = []millrace.FilterOp{millrace.FilterAnd, millrace.FilterOr}[k]
		for range 1 + r.rng.IntN(3) {
			f.Sub = append(f.Sub, r.filter(depth-1))
		}
	case k == 2 && depth > 0:
		f.Op, f.Sub = millrace.FilterNot, []*millrace.Filter{r.filter(depth - 1)}
	case k < 5 && len(r.traces) > 0:
		f.Op, f.Field, f.Value = millrace.FilterEq, "trace_id", r.traces[r.rng.IntN(len(r.traces))]
		if r.rng.IntN(5) == 0 {
			f.Value += "0"
		}
	case k == 8 || k == 9:
		f = r.fingerprints()
	case k == 10 && r.rng.IntN(2) == 0:
		f.Op, f.Field, f.Value = millrace.FilterEq, "kind", "exception"
	case k == 5:
		f.Op, f.Field, f.Value = millrace.FilterEq, "service", rigWords[r.rng.IntN(4)]
	case k == 6:
		f.Op, f.Field, f.Value = millrace.FilterGe, "status", "400"
	case k == 7 && r.rng.IntN(2) == 0:
		f.Op, f.Field, f.Value = millrace.FilterEq, "message", strings.TrimSpace(r.message())
	case k == 7:
		m := r.message()
		f.Op, f.Field, f.Value = millrace.FilterGlob, "message", "*"+strings.ToValidUTF8(m[:min(len(m), 9)], "")+"*"
	default:
		m := strings.ToValidUTF8(r.message(), "")
		from := r.rng.IntN(len(m))
		f.Value = strings.ToValidUTF8(m[from:min(len(m), from+1+r.rng.IntN(12))], "")
		if r.rng.IntN(2) == 0 {
			f.Value = strings.ToUpper(f.Value)
		}
	}
	return f
}

// ask compares the answers to a random question, page by page.
func (r *indexRig) ask() {
	r.t.Helper()
	q := millrace.EventQuery{From: r.now.Add(-200 * time.Hour).UnixNano(), To: r.now.Add(time.Hour).UnixNano(), Limit: 1 + r.rng.IntN(40)}
	if r.rng.IntN(4) > 0 {
		q.Filter = r.filter(2)
	}
	if r.rng.IntN(3) == 0 {
		q.From = r.now.Add(-time.Duration(r.rng.Int64N(400e9))).UnixNano()
		q.To = q.From + r.rng.Int64N(200e9)
	}
	if r.rng.IntN(6) == 0 {
		q.Project = "p1"
	}
	what := "no filter"
	if q.Filter != nil {
		what = describe(q.Filter)
	}
	theirs := q // cursors are a Store's own
	for page := range 4 {
		got, err := r.db.Events(r.t.Context(), q)
		if err != nil {
			r.t.Fatalf("%s: %v", what, err)
		}
		want, err := r.oracle.Events(r.t.Context(), theirs)
		if err != nil {
			r.t.Fatal(err)
		}
		same := slices.EqualFunc(got.Events, want.Events, func(a, b millrace.StoredEvent) bool {
			return placeOf(&a) == placeOf(&b) && a.Message == b.Message && a.TraceID == b.TraceID
		})
		if !same || (got.Next == "") != (want.Next == "") {
			r.t.Fatalf("%s, page %d, limit %d: %d events, want %d, or others", what, page, q.Limit, len(got.Events), len(want.Events))
		}
		if got.Next == "" {
			break
		}
		q.Cursor, theirs.Cursor = got.Next, want.Next
	}
	q.Cursor = ""
	step := []int64{0, 1e9, 60e9, 90e9, 3600e9}[r.rng.IntN(5)]
	got, err := r.db.CountEvents(r.t.Context(), q, step)
	if err != nil {
		r.t.Fatal(err)
	}
	want, err := r.oracle.CountEvents(r.t.Context(), q, step)
	if err != nil {
		r.t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("%s, step %d: counts %v, want %v", what, step, got, want)
	}
}

func (r *indexRig) maintain() {
	r.t.Helper()
	for more := true; more; {
		var err error
		if more, err = r.db.Maintain(r.t.Context(), r.now); err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := r.oracle.Maintain(r.t.Context(), r.now); err != nil {
		r.t.Fatal(err)
	}
}

// TestIndexEqualsOracle asks a DB with blocks of a few rows and the oracle the
// same questions, while rows come in, days begin and are dropped, blocks are made
// late, the database is opened again, and its index is lost or damaged.
func TestIndexEqualsOracle(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newIndexRig(t, seed)
			blocks, counted := 0, 0
			for range 30 {
				switch r.rng.IntN(12) {
				case 0:
					r.now = r.now.Add(time.Duration(r.rng.Int64N(10 * 3600e9)))
				case 1:
					r.reopen()
				case 2:
					r.damage()
					r.reopen()
				case 3, 4:
					r.maintain()
				default:
					r.now = r.now.Add(time.Duration(r.rng.Int64N(60e9)))
					r.flush(1 + r.rng.IntN(150))
				}
				for range 2 {
					r.ask()
				}
				for _, f := range r.db.index.files {
					blocks = max(blocks, len(f.blocks))
					for _, b := range f.blocks {
						if b.shapes > 0 && b.counts > 0 {
							counted++
						}
					}
				}
			}
			if blocks < 3 {
				t.Errorf("at most %d blocks", blocks)
			}
			if counted < 20 {
				t.Errorf("%d blocks had shapes", counted)
			}
		})
	}
}

// damage does to the files what a crash or a restored copy may do.
func (r *indexRig) damage() {
	entries, err := os.ReadDir(r.path + ".index")
	if err != nil || len(entries) == 0 {
		return
	}
	path := filepath.Join(r.path+".index", entries[r.rng.IntN(len(entries))].Name())
	raw, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	switch r.rng.IntN(4) {
	case 0:
		err = os.Remove(path)
	case 3: // of the release before
		if len(raw) > 4 {
			raw[4] = indexVersion - 1
		}
		err = os.WriteFile(path, raw, 0o600)
	case 1:
		err = os.Truncate(path, int64(r.rng.IntN(len(raw)+1)))
	default:
		for i := range min(len(raw), 4000) { // zeros, as a crash leaves them
			raw[len(raw)-1-i] = 0
		}
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// TestIndexIsComplete: once upkeep had its turn, every row of a past day and all
// whole blocks of the newest are in a block.
func TestIndexIsComplete(t *testing.T) {
	r := newIndexRig(t, 9)
	for range 4 {
		r.flush(100)
		r.reopen()
	}
	r.now = r.now.Add(6 * time.Hour)
	r.flush(300)
	for range 30 {
		r.maintain()
	}
	rows := map[string]int64{}
	for name, f := range r.db.index.files {
		for _, b := range f.blocks {
			rows[name] += int64(b.rows)
		}
	}
	if got := fmt.Sprint(rows); got != "map[events_20260305:400 events_20260306:256]" {
		t.Errorf("rows in blocks: %s", got)
	}
}

// TestIndexAfterFailedWrite: rows of a write that failed are in no block.
func TestIndexAfterFailedWrite(t *testing.T) {
	r := newIndexRig(t, 5)
	r.flush(40)
	rows := &millrace.EventRows{}
	e := millrace.Event{Time: r.now.UnixNano(), Message: "never stored", Weight: 1}
	for range 30 {
		rows.Append(&millrace.Record{Arrived: r.now.UnixNano()}, &e)
	}
	finish := r.db.follow(t.Context(), rows)
	finish(os.ErrInvalid)
	if n := r.db.index.known[dayTable(dayOf(r.now.UnixNano()))]; n != -1 || r.db.index.current != nil {
		t.Errorf("%d rows known after a failure, builder %v", n, r.db.index.current)
	}
	for range 5 {
		r.flush(64)
	}
	for range 20 {
		r.ask()
	}
	if n := len(r.db.index.files[dayTable(dayOf(r.now.UnixNano()))].blocks); n != 5 {
		t.Errorf("%d blocks", n)
	}
}

// FuzzIndexBlock parses damaged headers.
func FuzzIndexBlock(f *testing.F) {
	b := &indexBlock{first: 5, rows: 7, minutes: 2, blockBounds: blockBounds{-3, 9, 4, 5}, traces: 128, grams: 512, shapes: 99, counts: 3, last: place{9, 1, 2, 3}, checksum: 77}
	f.Add(b.header())
	f.Add(bytes.Repeat([]byte{0}, indexHeaderSize))
	f.Fuzz(func(t *testing.T, h []byte) {
		b, err := parseIndexBlock(h, 100)
		if err != nil {
			return
		}
		if again := b.header(); binary.LittleEndian.Uint32(h[5:]) == 0 && !bytes.Equal(again[8:100], h[8:100]) {
			t.Errorf("%x became %x", h, again)
		}
		if b.payloadSize() < 0 || b.payloadSize() > maxIndexBlock {
			t.Errorf("a payload of %d bytes", b.payloadSize())
		}
	})
}

// TestIndexHeader: what is written is read again.
func TestIndexHeader(t *testing.T) {
	b := &indexBlock{first: 1 << 40, rows: 7, minutes: 2, blockBounds: blockBounds{-3, 9, 4, 5}, traces: 128, grams: 512, shapes: 99, counts: 3, listed: 40, last: place{9, 1, 2, 3}, checksum: 77, at: 100 + indexHeaderSize}
	got, err := parseIndexBlock(b.header(), 100)
	if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", b) {
		t.Errorf("%+v became %+v, %v", b, got, err)
	}
}

// FuzzFold: a text contains a word, in whatever case, if folder says so; and then
// it has the word's grams.
func FuzzFold(f *testing.F) {
	for _, s := range [][2]string{{"Timed OUT after 12345678 ms", "out"}, {"\u212Aelvin", "kelvin"}, {"\u0130x", "i"}, {"aab", "ab"}, {"", ""}, {"x", ""}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, text, word string) {
		word = strings.ToLower(word)
		want := strings.Contains(strings.ToLower(text), word)
		if isASCII(word) {
			if got := newFolder([]byte(word)).in([]byte(text)); got != want {
				t.Errorf("%q in %q: %v", word, text, got)
			}
		}
		b := newBlockBuilder("t", 0)
		class := b.addMessage([]byte(text))
		probe := newTextProbe(&millrace.Filter{Op: millrace.FilterText, Value: word})
		if class > 0 {
			if v := probe.of(b.shapes.list[class-1]); v != maybe && v != sure(want) {
				t.Errorf("%q in %q: %v, but verdict %d", word, text, want, v)
			}
		}
		if !want || b.odd {
			return
		}
		have := b.grams.hashes(nil)
		for _, g := range gramsOf(word, class == 0) {
			if !slices.Contains(have, g) {
				t.Errorf("%q contains %q but not its gram %d", text, word, g)
			}
		}
	})
}

// TestTraceFilter: no id is missed, and few others pass.
func TestTraceFilter(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 20_000
	filter := make([]byte, n*traceBits/8/filterLine*filterLine)
	var ids []uint64
	for range n {
		h := traceHash(rng.Uint64(), rng.Uint64())
		ids = append(ids, h)
		filterSet(filter, h)
	}
	has := func(h uint64) bool {
		at := filterLineOf(h, uint32(len(filter)))
		return filterHas((*[filterLine]byte)(filter[at:]), h)
	}
	for _, h := range ids {
		if !has(h) {
			t.Fatal("an id is not found")
		}
	}
	wrong := 0
	for range n {
		if has(traceHash(rng.Uint64(), rng.Uint64())) {
			wrong++
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d other ids pass", wrong, n)
	}
}

// BenchmarkIndex reports what the index costs a row of the load test.
func BenchmarkIndex(b *testing.B) {
	rows := shopRows(b, blockRows, 0)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		builder := newBlockBuilder("t", 0)
		builder.add(rows, 0, rows.Len())
		builder.seal()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*blockRows), "ns/row")
}
