package exception_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

// TestFingerprint pins version 1: what changes between builds, processes and
// inputs must not change the fingerprint, what tells bugs apart must.
func TestFingerprint(t *testing.T) {
	app := func(module, function string) millrace.Frame {
		return millrace.Frame{Module: module, Function: function, File: "x", Line: 1, InApp: true}
	}
	lib := func(module, function string) millrace.Frame {
		return millrace.Frame{Module: module, Function: function}
	}
	file := func(file, function string) millrace.Frame {
		return millrace.Frame{File: file, Function: function, InApp: true}
	}
	e := func(typ string, frames ...millrace.Frame) *millrace.Exception {
		return &millrace.Exception{Type: typ, Message: "m", Frames: frames}
	}
	message := func(m string) *millrace.Exception { return &millrace.Exception{Type: "E", Message: m} }
	cause := func(e, c *millrace.Exception) *millrace.Exception { e.Cause = c; return e }

	same := func(name, want string, es ...*millrace.Exception) {
		t.Helper()
		for i, e := range es {
			if got := exception.Fingerprint(e); got != want {
				t.Errorf("%s: %d is %s, want %s", name, i, got, want)
			}
		}
	}
	h := fnv.New64a() // the construction, spelled out once with the standard library
	h.Write([]byte("type\x00E\x00frame\x00a.B\x00c\x00type\x00F\x00"))
	same("by hand", fmt.Sprintf("1:%016x", h.Sum64()), cause(e("E", app("a.B", "c")), e("F")))

	same("nothing", "1:3cd98fccfcee6ab4", &millrace.Exception{})
	same("lines and addresses", "1:2d2b450d961ab39b",
		e("E", app("a.B", "c")),
		e("E", millrace.Frame{Module: "a.B", Function: "c", File: "y", Line: 9, Column: 3, Address: 7, InApp: true}))
	same("libraries around", "1:2d2b450d961ab39b",
		e("E", app("a.B", "c")), e("E", lib("java.lang", "x"), app("a.B", "c"), lib("java.lang", "y")))
	same("libraries only", "1:f5b32a0e3b239887", e("E", lib("java.lang", "x")))
	same("recursion", "1:802dd39342234511",
		e("E", app("a.B", "c"), app("a.B", "d")),
		e("E", app("a.B", "c"), app("a.B", "c"), app("a.B", "d"), app("a.B", "c"), app("a.B", "d")))
	same("java's generated names", "1:ca6b24b7de81e910",
		e("E", app("a.B$$Lambda$14/0x00000008", "run"), app("a.B", "lambda$x$0"), app("a.B$1", "y"), app("a.S$$EnhancerBySpringCGLIB$$1f", "z")),
		e("E", app("a.B$$Lambda$99/0x00000042", "run"), app("a.B", "lambda$x$12"), app("a.B$23", "y"), app("a.S$$EnhancerBySpringCGLIB$$ab3", "z")))
	same("go's closures and type arguments", "1:d4e70eee7be093c3",
		e("panic", app("main", "run.func1.2"), app("main", "(*Set[go.shape.int]).Add")),
		e("panic", app("main", "run.func3.1"), app("main", "(*Set[go.shape.string]).Add")))
	same(".NET's generated names", "1:2f20989f7c25cde0",
		e("E", app("A.B.<Run>d__4", "MoveNext"), app("A.<>c__DisplayClass3_0", "<M>b__1")),
		e("E", app("A.B.<Run>d__17", "MoveNext"), app("A.<>c__DisplayClass11_2", "<M>b__0")))
	same("ruby's blocks", "1:72466198f319dbc1", e("E", file("a.rb", "block (2 levels) in run")), e("E", file("/x/a.rb", "block (3 levels) in run")))
	same("bundles with a hash", "1:80db64e9d39073b3",
		e("E", file("https://cdn/static/main.3f2a1c9b.js?v=1", "f")), e("E", file("/app/main.00ff12ab.js", "f")))
	same("escaped backslashes", "1:f3fe4db46c89f978", e("E", app(`A\\B`, "f")), e("E", app(`A\B`, "f")))
	same("numbers in messages", "1:223a062b8f30501f",
		message("user 17 not found in 'alice' after 12ms at 0x7ffe id 6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
		message("user 4 not found in 'bob'  after 3ms at 0x11 id 7ba7b810-9dad-11d1-80b4-00c04fd430c8\nsecond line"))
	same("an apostrophe", "1:55e3793385d071a4", message("can't open"))
	same("causes", "1:5b45d45e60ba8a08", cause(e("E", app("a", "b")), e("F")))

	differ := [][2]*millrace.Exception{
		{e("E", app("a", "b")), e("F", app("a", "b"))},
		{e("E", app("a", "b")), e("E", app("a", "c"))},
		{e("E", app("a", "bc")), e("E", app("ab", "c"))},
		{e("E", app("a", "b"), app("a", "c")), e("E", app("a", "c"), app("a", "b"))},
		{e("E", app("a", "b")), cause(e("E", app("a", "b")), e("F"))},
		{e("E", app("a", "step1")), e("E", app("a", "step2"))},
		{message("connection refused"), message("connection reset")},
		{message("can't open file"), message("can't read file")},
	}
	for i, d := range differ {
		if exception.Fingerprint(d[0]) == exception.Fingerprint(d[1]) {
			t.Errorf("%d: equal fingerprints", i)
		}
	}
}

func TestStoredFrames(t *testing.T) {
	f := func(frames []millrace.Frame, want string) {
		t.Helper()
		r := millrace.Report{Exception: &millrace.Exception{Frames: frames}}
		if got := string(exception.AppendReport([]byte("x"), &r)); got != `x{"v":1,"exception":{"common":0`+want+`}}` {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	f(nil, "")
	f([]millrace.Frame{{}}, `,"frames":[{"in_app":false}]`)
	f([]millrace.Frame{{Module: "m", Function: "f\"\x01", File: "\xff", Line: 1, Column: 2, Address: 3, InApp: true}, {Line: -1}},
		`,"frames":[{"module":"m","function":"f\"\u0001","file":"`+"\uFFFD"+`","line":1,"column":2,"address":3,"in_app":true},{"in_app":false}]`)

	long := make([]millrace.Frame, 1000)
	for i := range long {
		long[i] = millrace.Frame{Line: i + 1, File: strings.Repeat("é", 5000)}
	}
	r, err := exception.ParseReport(exception.AppendReport(nil, &millrace.Report{Exception: &millrace.Exception{Frames: long}}))
	if err != nil {
		t.Fatal(err)
	}
	got := r.Exception.Frames
	if len(got) != 200 || got[149].Line != 150 || got[150].Line != 951 || got[199].Line != 1000 {
		t.Errorf("%d frames, %d, %d", len(got), got[149].Line, got[150].Line)
	}
	if n := len(got[0].File); n != 1024 || !utf8.ValidString(got[0].File) {
		t.Errorf("a string of %d bytes", n)
	}
}

// TestLargeInput: a hostile megabyte takes bounded memory and linear time.
func TestLargeInput(t *testing.T) {
	f := func(name, text string) {
		t.Helper()
		e, ok := exception.Parse(text)
		if !ok {
			t.Fatalf("%s: no exception", name)
		}
		depth := 0
		for c := e; c != nil; c = c.Cause {
			depth++
			if len(c.Frames) > 5000 {
				t.Errorf("%s: %d frames", name, len(c.Frames))
			}
		}
		if depth > 65 {
			t.Errorf("%s: %d causes", name, depth)
		}
		exception.Fingerprint(e)
	}
	f("frames", "java.lang.Error\n"+strings.Repeat("\tat a.B.c(B.java:1)\n", 50_000))
	f("causes", "java.lang.Error\n\tat a.B.c(B.java:1)\n"+strings.Repeat("Caused by: java.lang.Error: x\n", 30_000))
	f("python", strings.Repeat("Traceback (most recent call last):\n  File \"a\", line 1, in b\nE\n\nDuring handling of the above exception, another exception occurred:\n\n", 8_000))
	f(".NET", "System.Exception: a"+strings.Repeat(" ---> System.Exception: b", 30_000)+"\n   at A.B.C() in x:line 1\n"+strings.Repeat("   --- End of inner exception stack trace ---\n", 10_000))
	f("php", "Uncaught E: x in a:1\nStack trace:\n"+strings.Repeat("#0 /a(1): f()\n\nNext E: y in a:2\nStack trace:\n", 20_000))
}

func sample(t testing.TB) string {
	var b strings.Builder
	b.WriteString("2016-12-19 16:00:00,123 ERROR Error while fetching (kafka.server.ReplicaFetcherThread)\njava.io.IOException: Connection to 0 was disconnected\n")
	for i := range 24 {
		fmt.Fprintf(&b, "\tat org.apache.kafka.clients.NetworkClient$Handler%d.poll(NetworkClient.java:%d)\n", i, 100+i)
	}
	b.WriteString("Caused by: java.net.SocketException: reset\n\tat com.example.Main.main(Main.java:7)\n\t... 12 more")
	return b.String()
}

func TestHasTraceAllocs(t *testing.T) {
	text := sample(t)
	plain := strings.Repeat("  some indented configuration = value\n", 50)
	if !exception.HasTrace(text) || exception.HasTrace(plain) {
		t.Error("HasTrace is wrong")
	}
	if n := testing.AllocsPerRun(100, func() { exception.HasTrace(text); exception.HasTrace(plain) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkParse(b *testing.B) {
	text := sample(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		exception.Parse(text)
	}
}

func BenchmarkHasTrace(b *testing.B) {
	for name, text := range map[string]string{"trace": sample(b), "plain": strings.Repeat("  some indented configuration = value\n", 50)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				exception.HasTrace(text)
			}
		})
	}
}

func BenchmarkFingerprint(b *testing.B) {
	e, _ := exception.Parse(sample(b))
	b.ReportAllocs()
	for b.Loop() {
		exception.Fingerprint(e)
	}
}

// FuzzParse: strings of frames are parts of the text but for the addresses of
// Safari's extensions, which are put together; what Parse finds HasTrace has
// announced; the same text gives the same fingerprint; the frames are JSON.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/traces.txt", "testdata/raw-traces.txt"} {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range strings.SplitSeq(string(script), "\n== ") {
			f.Add(c)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, ok := exception.Parse(text)
		if !ok {
			if e != nil {
				t.Fatal("an exception without ok")
			}
			return
		}
		if !exception.HasTrace(text) {
			t.Fatalf("HasTrace is false for %q", text)
		}
		if again, _ := exception.Parse(text); exception.Fingerprint(e) != exception.Fingerprint(again) {
			t.Fatal("not deterministic")
		}
		for c := e; c != nil; c = c.Cause {
			for _, fr := range c.Frames {
				for _, s := range []string{fr.Module, fr.Function, fr.File} {
					if !strings.Contains(text, s) && !strings.Contains(s, "-extension:") {
						t.Fatalf("%q is not in the text", s)
					}
				}
			}
		}
		if stored := exception.AppendReport(nil, &millrace.Report{Exception: e}); utf8.ValidString(text) && !json.Valid(stored) {
			t.Fatalf("not JSON: %s", stored)
		}
	})
}

// TestRawTracesCutOff feeds prefixes of the samples: traces are cut off wherever
// a limit of a shipper falls.
func TestRawTracesCutOff(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(testdata.Shared(t, "exceptions/raw-traces"), "*", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n := 0; n < len(data); n += 11 {
			if e, ok := exception.Parse(string(data[:n])); ok && !exception.HasTrace(string(data[:n])) {
				t.Errorf("%s: %d bytes: %s without HasTrace", file, n, e.Type)
			}
		}
	}
}
