package pipeline

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/gen"
	"github.com/millrace/millrace/internal/testdata"
)

// twin reads texts with a memory, and without, and compares.
type twin struct {
	memory, none exceptions
	a, b         millrace.Batch
	told         int // by a template
}

func newTwin(version int) *twin {
	return &twin{memory: exceptions{version: version}, none: exceptions{version: version}}
}

// read is what becomes of one text. A sender may say more than the text.
func (w *twin) read(t testing.TB, text string, says, hides bool) {
	t.Helper()
	event := func(x *exceptions, b *millrace.Batch) *millrace.Event {
		b.Reset(&millrace.Record{})
		e := b.Add(0)
		e.Kind, e.MultiLine, e.Message = millrace.KindLog, true, text
		if says {
			e.Kind = millrace.KindException
			b.Grow(e, 1)
			e.Set(millrace.AttrType, millrace.StringValue("given"))
		}
		x.annotate(b, e, hides)
		return e
	}
	if o, ok := exception.OutlineOf(text); ok && w.memory.memo.slots != nil {
		if at, _ := w.memory.memo.templates.find(&o, o.Key(memoSeed)); at != nil && at.of != nil {
			w.told++
		}
	}
	clear(w.none.memo.once)
	clear(w.none.memo.templates.once)
	got, want := event(&w.memory, &w.a), event(&w.none, &w.b)
	if !reflect.DeepEqual(w.memory.from, w.none.from) || got.Kind != want.Kind || got.Level != want.Level || said(got) != said(want) {
		attrs := func(e *millrace.Event) string { return string(millrace.AppendAttrs(nil, e.Attrs)) }
		t.Fatalf("%q, %v, %v\ngives %.500q %s %s\n want %.500q %s %s", text, says, hides, fmt.Sprintf("%+v", w.memory.from), got.Kind, attrs(got), fmt.Sprintf("%+v", w.none.from), want.Kind, attrs(want))
	}
}

// multiLine returns the texts of several lines in the files of a folder, those
// within JSON too.
func multiLine(t *testing.T, dir string) (texts []string) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			if strings.Contains(v, "\n") {
				texts = append(texts, v)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var v any
		if json.Unmarshal(data, &v) == nil {
			walk(v)
		} else if len(data) < 64<<10 {
			texts = append(texts, string(data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// goldenTexts returns the inputs of package exception's golden files.
func goldenTexts(t *testing.T) (texts []string) {
	for _, name := range []string{"traces.txt", "crashes.txt"} {
		data, err := os.ReadFile("../exception/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for part := range strings.SplitSeq(string(data), "\n\n") {
			texts = append(texts, part, part+"\n")
		}
		texts = append(texts, string(data))
	}
	return texts
}

// shapes are traces with what a template has to tell apart.
var shapes = []string{
	plainTrace, hiddenTrace,
	"2026-11-22 12:00:00,000 ERROR [exec-7] shop.Main - request failed, order 123\n" + plainTrace,
	"2026-11-22 12:00:00,000 ERROR [exec-7] shop.Main - java.io.IOException: order 123 is gone\n\tat a.B.c(B.java:1)\nCaused by: a.B$OddException: 12\n\tat a.C.d(C.java:2)\n\t... 1 more\n",
	"Exception in thread \"main 7\" java.lang.Error: 7\n\tat a.B.c(B.java:1)\n",
	"a.OddException\n\tat a.B.c(B.java:1)\n\tSuppressed: a.CloseException: 77\n\t\tat a.C.d(C.java:2)\n\tCaused by: a.X: 3\n\t\t... 2 more\nCaused by: java.lang.Error\n\t... 7 more\nlater line 9\n",
	"a.OutException: 1\n\tat a.B.c(B.java:1)\nWrapped by: a.InException: 2\n\tat a.B.d(B.java:2)\n",
	"TypeError: x 12 is not a function\n    at f (/app/a.js:10:2)\n    at async Promise.all (index 0)\n    at /app/b.js:1:2 {\n  [cause]: Error: inner 12\n      at g (/app/a.js:1:1)\n}\n",
	"Odd: thing 12\n    at f (/app/a.js:10:2)\n",
	"System.InvalidOperationException: no order 12\n ---> System.Data.SqlException (0x80131904): closed 9\n   at Shop.Db.Ask(String s) in /src/Db.cs:line 9\n   --- End of inner exception stack trace ---\n   at Shop.Orders.Find(Int32 id) in /src/Orders.cs:line 42\n",
	"Unhandled exception. System.AggregateException: two (12) (13)\n ---> Shop.LostException: 12\n   at Shop.A.B(String s) in /src/A.cs:line 9\n   --- End of inner exception stack trace ---\n   at Shop.M.N()\n ---> (Inner Exception #1) Shop.LostException: 13\n   at Shop.A.C() in /src/A.cs:line 9<---\n",
	"Traceback (most recent call last):\n  File \"/app/a.py\", line 3, in f\n    f(12)\nValueError: bad 12\n",
	"Error: Loading chunk 3 failed.\n(error: https://x.org/3.js)\n    at f (https://x.org/a.js:1:2)\n",
	"java.lang.Error: only 12\n",
	"   at A.B(String s) in x.cs:line 1\n ---> (Inner Exception #1) A.XError: 1\n", // no line with a type before
}

// odd is what messages may hold, and what changes how a trace is read.
var odd = []string{
	"0", "12", "123456789", "1234567890", "ffee0012-aa", "a@b.c:12]", "x@http://a/b.js:1:2", "'f:1:in `g'", "java.lang.Error: x", "Caused by: a.BError: y",
	"\n", "\r\n", "\n\tat a.B.c(B.java:1)", "\nat noon", "\n\tSuppressed: a.XError: z", "\n\t... 3 more", "\nmore of it", "\n\n", "\n---> (Inner Exception #0) x", " ---> a.InnerException: m",
	"Traceback (most recent call last):", "\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\nE: x\n", "goroutine 1 [running]:", "\ngoroutine 1 [running]:\nmain.f()\n\t/a.go:1\n",
	"é\x00\"\\", "\xff", strings.Repeat("long ", 2000), ": ", " ", "[0x12]", "\n[0x12]", "\n#0 f (a.dart:1:2)", "\n(error: x)", " (x): ", "\nException: a.XError: 1", "\t", "Error", "more", "\n--- End of inner exception stack trace ---",
	"(in promise): TypeError: x", "\nthread 'main' panicked at x.rs:1:2:", "\nterminate called after throwing an instance of 'x'", "\npid: 1, tid: 2, name: x  >>> y <<<\n",
}

// mutate changes a text where it has digits, or anywhere.
func mutate(rng *rand.Rand, text string) string {
	for range 1 + rng.IntN(2) {
		at := rng.IntN(len(text) + 1)
		kind := rng.IntN(5)
		if rng.IntN(4) > 0 { // before the frames, or at a cause
			at, kind = rng.IntN(min(len(text), 60)+1), kind%3
			if i := strings.LastIndex(text, "Caused by: "); i >= 0 && rng.IntN(2) == 0 {
				at = i + rng.IntN(11)
			}
		}
		switch kind {
		case 0: // a number
			if i := strings.IndexAny(text[at:], "0123456789"); i >= 0 {
				at += i
				text = text[:at] + fmt.Sprint(rng.IntN(1<<rng.IntN(40))) + strings.TrimLeft(text[at:], "0123456789")
			}
		case 1: // the end of a line, where messages are
			if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
				at += i
			}
			text = text[:at] + odd[rng.IntN(len(odd))] + text[at:]
		case 2: // a message
			if i := strings.Index(text[at:], ": "); i >= 0 {
				at += i + 2
			}
			text = text[:at] + odd[rng.IntN(len(odd))] + text[at:]
		case 3:
			text = text[:at] + odd[rng.IntN(len(odd))] + text[at:]
		default: // something is gone
			end := min(len(text), at+1+rng.IntN(1<<rng.IntN(8)))
			text = text[:at] + text[end:]
		}
	}
	return text
}

// What templates tell of a text is what reading it tells, whatever the text.
func TestTemplatesTellTheSame(t *testing.T) {
	texts := append(goldenTexts(t), shapes...)
	for _, form := range []gen.CrashForm{gen.CrashText, gen.CrashJSON} {
		crashes := gen.NewCrashes(1, 2, gen.CrashOptions{Form: form, Faults: 20, Bytes: 1})
		for range 20 {
			body := string(crashes.Next(1, time.Unix(1_800_000_000, 0), time.Unix(1_800_000_001, 0)).Body)
			if form == gen.CrashJSON {
				var line struct {
					Trace string `json:"stack_trace"`
				}
				if err := json.Unmarshal([]byte(body), &line); err != nil {
					t.Fatal(err)
				}
				body = line.Trace
			}
			texts = append(texts, body)
		}
	}
	t.Run("generated", func(t *testing.T) { tellTheSame(t, texts, 60, 2000) })
	t.Run("shared", func(t *testing.T) { tellTheSame(t, multiLine(t, testdata.Shared(t, "exceptions")), 12, 50) })
}

func tellTheSame(t *testing.T, texts []string, variants, least int) {
	rng := rand.New(rand.NewPCG(7, 8))
	told, read := 0, 0
	for _, version := range []int{1, 2} {
		w := newTwin(version)
		for i, text := range texts {
			if i%64 == 63 {
				w.memory.memo = memo{}
			}
			if len(text) > 16<<10 && i%4 != 0 {
				continue
			}
			for n := range variants {
				variant := text
				if n > 2 {
					variant = mutate(rng, text)
				}
				read++
				w.read(t, variant, rng.IntN(4) == 0, rng.IntN(4) == 0)
			}
		}
		told += w.told
	}
	t.Logf("%d of %d told by templates", told, read)
	if told < least {
		t.Error("too few to compare anything")
	}
}

// Each kind of trace that has templates is told by one when its messages change.
func TestTemplatesServe(t *testing.T) {
	w := newTwin(2)
	for i, text := range shapes {
		want := i < 11
		before := w.told
		for range 3 {
			w.read(t, text, false, false)
		}
		for _, number := range []string{"4711", "deadbeef-0000-4000-8000-000000000000", "jane@example.com", "a b\"c\\é"} {
			changed := strings.NewReplacer("order 12", "order "+number, "order 123", "order "+number, "x 12", "x "+number, "stock of 12", number, ": 7\n", ": "+number+"\n", ": 12\n", ": "+number+"\n").Replace(text)
			w.read(t, changed, false, false)
			w.read(t, changed, true, true)
		}
		if served := w.told-before > 8; served != want {
			t.Errorf("%q: %d times told by a template", text, w.told-before)
		}
	}
}

// A flood of distinct stacks does not fill memory, and does not drive out the ones
// that come again.
func TestTemplatesAreBounded(t *testing.T) {
	w := newTwin(2)
	regular := func(i int) string { return strings.Replace(plainTrace, "stock of 12", fmt.Sprint("stock of ", i), 1) }
	filler := strings.Repeat("\tat shop.Filler.fill(Filler.java:1)\n", 200)
	for i := range 3000 {
		w.memory.memo.get(2, "")
		x := fmt.Sprintf("a.XException: 1\n\tat a.B.m%d(B.java:1)\n%s", i%1500, filler)
		o, _ := exception.OutlineOf(x)
		ts := &w.memory.memo.templates
		ts.learn(2, &o, o.Key(memoSeed))
		if i%20 == 0 {
			w.read(t, regular(i), false, false)
		}
		size := 0
		for s := range ts.sets {
			for _, at := range ts.sets[s] {
				if at != nil {
					size += at.bytes()
				}
			}
		}
		if i%100 == 0 && (size != ts.size || size > maxTemplates) {
			t.Fatalf("%d bytes are %d", ts.size, size)
		}
	}
	if before := w.told; before < 100 {
		t.Errorf("the regular stack was told %d times", before)
	}
}

// FuzzMemo: a text, and what differs in others of its kind, is told with a memory as
// without.
func FuzzMemo(f *testing.F) {
	for i, s := range shapes {
		for j, o := range odd {
			if (i+j)%5 == 0 {
				f.Add(s, uint16(13*j), uint8(j%4), o, uint8(i+j))
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string, at uint16, n uint8, edit string, how uint8) {
		if len(text) > 8<<10 || len(edit) > 8<<10 {
			t.Skip()
		}
		w := newTwin(1 + int(how)&1)
		says, hides := how&2 != 0, how&4 != 0
		for range 3 {
			w.read(t, text, false, false)
		}
		from := min(int(at), len(text))
		to := min(from+int(n), len(text))
		changed := text[:from] + edit + text[to:]
		w.read(t, changed, says, hides)
		w.read(t, changed, says, false)
		w.read(t, strings.NewReplacer("1", "27", "2", "3", "9", "f").Replace(changed), says, hides)
		w.read(t, text, says, hides)
	})
}
