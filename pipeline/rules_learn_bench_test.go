package pipeline

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

// accessRecord returns a record of 1 MiB, 2,500 lines of an access log as JSON,
// with paths of which many are seen again and some never.
func accessRecord(seed uint64) *millrace.Record {
	rng := rand.New(rand.NewPCG(seed, 7))
	rec := &millrace.Record{Project: millrace.DefaultProject, Source: "shop", Format: "json", Parts: 1}
	for range 2500 {
		path := fmt.Sprintf("/api/v1/%s", letters(rng.IntN(40)))
		switch rng.IntN(4) {
		case 0:
			path = fmt.Sprintf("/orders/%d/items/%d", rng.IntN(1_000_000), rng.IntN(20))
		case 1:
			path = "/users/" + letters(int(100_000*rng.ExpFloat64()))
		}
		line := fmt.Sprintf(`{"time":"2026-01-02T03:04:05.%06dZ","kind":"access","service":"checkout","host":"web-%d","method":"GET","url":%q,"status":%d,"bytes":%d,"rt":0.0%d,"client_ip":"192.0.2.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0","referrer":"https://example.com/shop","request_id":"%016x%016x"}`+"\n",
			rng.IntN(1_000_000), rng.IntN(8), path, 200+rng.IntN(2)*104, rng.IntN(100_000), rng.IntN(999), rng.IntN(250), rng.Uint64(), rng.Uint64())
		rec.Payload = append(rec.Payload, line...)
		rec.Frames = append(rec.Frames, uint32(len(line)))
	}
	return rec
}

// benchBook returns a book with a rule for the records, and the rule's version.
func benchBook(b testing.TB, m millrace.Meta) (*RuleBook, int64, *transform.Program) {
	b.Helper()
	book, err := OpenRules(b.Context(), m, RulesOptions([]byte("a key of the test's own, 32 bytes"), nil), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	v, err := book.Apply(b.Context(), millrace.RuleChange{Project: millrace.DefaultProject, Source: "shop", Text: rulesURL, After: -1})
	if err != nil {
		b.Fatal(err)
	}
	p, err := book.Program(b.Context(), v.Version)
	if err != nil {
		b.Fatal(err)
	}
	return book, v.Version, p
}

// BenchmarkLearning measures what counting and learning add to decoding a record
// and applying its rules, and what a turn of the Learner takes that has all the
// paths a second may bring. Per line, or per path.
func BenchmarkLearning(b *testing.B) {
	book, version, program := benchBook(b, openMeta(b))
	var records []*millrace.Record
	for i := range uint64(8) {
		rec := accessRecord(i)
		rec.Rules = version
		records = append(records, rec)
	}
	decode := func(b *testing.B, d *decoding, each func()) {
		u := &unit{rules: program}
		b.ReportAllocs()
		for i := range b.N {
			u.clear()
			u.rec, u.rules = records[i%len(records)], program
			if err := decodeUnit(d, u); err != nil {
				b.Fatal(err)
			}
			each()
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/2500, "ns/line")
	}
	key := sourceKey{millrace.DefaultProject, "shop"}
	b.Run("neither", func(b *testing.B) { decode(b, &decoding{}, func() {}) })
	b.Run("counted", func(b *testing.B) { decode(b, &decoding{book: book}, func() {}) })
	b.Run("noted", func(b *testing.B) { // every record, as if turns came that often
		book.learning.on.Store(true)
		book.learning.paths.Store(pathsPerTurn)
		book.learning.bytes.Store(pathBytesPerTurn)
		decode(b, &decoding{book: book}, func() { book.tally.sets[key].paths.clear() })
	})
	b.Run("turn", func(b *testing.B) {
		t, _ := program.Templates()
		l := transform.NewLearner(t, transform.LearnOptions{})
		var paths pathList
		for _, rec := range records {
			u := &unit{rec: rec, rules: program}
			if err := decodeUnit(&decoding{}, u); err != nil {
				b.Fatal(err)
			}
			for i := range u.batch.Events {
				if v, ok := u.batch.Events[i].Attr("url_path"); ok {
					paths.add(v.String())
				} else if v, ok := u.batch.Events[i].Attr("url"); ok {
					paths.add(v.String())
				}
			}
		}
		b.ResetTimer()
		for range b.N {
			paths.each(l.Observe)
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(len(paths.ends)), "ns/path")
	})
	b.Run("propose", func(b *testing.B) {
		t, _ := program.Templates()
		l := transform.NewLearner(t, transform.LearnOptions{})
		for i := range 1_000_000 {
			l.Observe("/" + letters(i) + "/" + letters(i*31) + "/" + letters(i*7919))
		}
		b.ResetTimer()
		for range b.N {
			l.Propose()
		}
	})
}

// TestLearningAllocations: to count and to note paths costs a record few
// allocations, however many lines it has.
func TestLearningAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("it allocates, too")
	}
	book, version, program := benchBook(t, openMeta(t))
	rec := accessRecord(1)
	rec.Rules = version
	allocs := func(d *decoding) float64 {
		u := &unit{rules: program}
		run := func() {
			u.clear()
			u.rec, u.rules = rec, program
			if err := decodeUnit(d, u); err != nil {
				t.Fatal(err)
			}
			if s := book.tally.sets[sourceKey{millrace.DefaultProject, "shop"}]; s != nil {
				s.paths.clear()
			}
		}
		for range 5 {
			run()
		}
		return testing.AllocsPerRun(5, run)
	}
	without := allocs(&decoding{})
	book.learning.on.Store(true)
	book.learning.paths.Store(pathsPerTurn)
	book.learning.bytes.Store(pathBytesPerTurn)
	if with := allocs(&decoding{book: book}); with > without+20 {
		t.Errorf("%v allocations for a record of 2,500 lines, %v without", with, without)
	}
}
