package exception

import (
	"encoding/json"
	"os"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// What 1 KB of text may cost: a client that sends many small traces must not be
// able to occupy the server with them.
const (
	costInput = 1 << 10
	costAlloc = 10 << 20 // bytes
	costTime  = 100 * time.Millisecond
)

// boundCost fails if f allocates or takes more than it may in each of a few
// tries: other processes take time, and other tests allocate.
func boundCost(t *testing.T, f func()) {
	t.Helper()
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var alloc uint64
	var took time.Duration
	for range 5 {
		metrics.Read(sample)
		before := sample[0].Value.Uint64()
		started := time.Now()
		f()
		took = time.Since(started)
		metrics.Read(sample)
		if alloc = sample[0].Value.Uint64() - before; took <= costTime && alloc <= costAlloc {
			return
		}
	}
	t.Errorf("1 KB costs %v and %d bytes, at most %v and %d", took, alloc, costTime, costAlloc)
}

// checkReport holds for whatever a parser makes of whatever text.
func checkReport(t *testing.T, r *millrace.Report, valid bool) {
	t.Helper()
	nodes := 0
	var walk func(e *millrace.Exception)
	walk = func(e *millrace.Exception) {
		for ; e != nil; e = e.Cause {
			if nodes++; nodes > 4*(maxCauses+maxRelated+1) || len(e.Frames) > maxFrames+1 || e.Common > maxFrames || e.Common < 0 {
				t.Fatalf("%d exceptions, %d frames, %d in common", nodes, len(e.Frames), e.Common)
			}
			for _, x := range e.Related {
				walk(x)
			}
			for _, x := range e.Members {
				walk(x)
			}
		}
	}
	walk(r.Exception)
	if len(r.Threads) > maxThreads {
		t.Fatalf("%d threads", len(r.Threads))
	}
	for v := 1; v <= LatestVersion; v++ {
		x := Explain(v, r)
		if fp := FingerprintOf(v, r); fp != x.Fingerprint || r.Exception != nil && len(fp) != 18 {
			t.Fatalf("version %d: %s, explained as %s", v, fp, x.Fingerprint)
		}
	}
	stored := AppendReport(nil, r)
	if !valid {
		return
	}
	if !json.Valid(stored) {
		t.Fatalf("not JSON: %s", stored)
	}
	again, err := ParseReport(stored)
	if err != nil {
		t.Fatal(err)
	}
	if twice := AppendReport(nil, &again); string(twice) != string(stored) {
		t.Fatalf("stored as\n%s\nread and stored as\n%s", stored, twice)
	}
}

// fuzzParser fuzzes one parser with all known traces as seeds: what is another's
// language is as good an attack as any.
func fuzzParser(f *testing.F, parse func(r *millrace.Report, text string)) {
	for _, file := range []string{"testdata/traces.txt", "testdata/crashes.txt"} {
		script, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for c := range strings.SplitSeq(string(script), "\n== ") {
			_, c, _ = strings.Cut(c, "\n")
			c, _, _ = strings.Cut(c, "\n----\n")
			f.Add(c)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r millrace.Report
		run := func() {
			r = millrace.Report{}
			parse(&r, text)
		}
		if len(text) <= costInput {
			boundCost(t, run)
		} else {
			run()
		}
		checkReport(t, &r, utf8.ValidString(text))
	})
}

// of adapts the parsers that return an exception alone.
func of(parse func(string) *millrace.Exception) func(*millrace.Report, string) {
	return func(r *millrace.Report, text string) { r.Exception = parse(text) }
}

func FuzzJava(f *testing.F) {
	fuzzParser(f, of(func(s string) *millrace.Exception { return parseJava(s, javaFrame) }))
}

func FuzzV8(f *testing.F) {
	fuzzParser(f, of(func(s string) *millrace.Exception { return parseJava(s, v8Frame) }))
}

func FuzzAt(f *testing.F) {
	fuzzParser(f, func(r *millrace.Report, s string) { r.Exception, r.Language = parseAt(s) })
}
func FuzzDotnet(f *testing.F)    { fuzzParser(f, of(parseDotnet)) }
func FuzzPython(f *testing.F)    { fuzzParser(f, of(parsePython)) }
func FuzzGo(f *testing.F)        { fuzzParser(f, parseGo) }
func FuzzZap(f *testing.F)       { fuzzParser(f, of(parseZap)) }
func FuzzGecko(f *testing.F)     { fuzzParser(f, of(parseGecko)) }
func FuzzPHP(f *testing.F)       { fuzzParser(f, of(parsePHP)) }
func FuzzRuby(f *testing.F)      { fuzzParser(f, of(parseRuby)) }
func FuzzDart(f *testing.F)      { fuzzParser(f, of(parseDart)) }
func FuzzNative(f *testing.F)    { fuzzParser(f, of(parseNative)) }
func FuzzRust(f *testing.F)      { fuzzParser(f, of(parseRust)) }
func FuzzApple(f *testing.F)     { fuzzParser(f, readApple) }
func FuzzUmeng(f *testing.F)     { fuzzParser(f, readUmeng) }
func FuzzTombstone(f *testing.F) { fuzzParser(f, readTombstone) }
func FuzzANR(f *testing.F)       { fuzzParser(f, readANR) }

// FuzzCrash covers all of ReadCrash: JSON and protocol buffers beside the texts.
func FuzzCrash(f *testing.F) {
	fuzzParser(f, func(r *millrace.Report, text string) { *r, _ = ReadCrash([]byte(text)) })
}
