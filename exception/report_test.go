package exception_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/exception"
)

// TestReportJSON: what is stored reads back equal, and is bounded.
func TestReportJSON(t *testing.T) {
	no := false
	r := millrace.Report{
		Language: "java", Mechanism: "UncaughtExceptionHandler", Handled: &no,
		Exception: &millrace.Exception{
			Type: "a.B", Message: "m \"q\"\x00", Thread: "main",
			Frames: []millrace.Frame{{Module: "a.B", Function: "c", File: "B.java", Line: 3, InApp: true}, {Build: "00ff", Offset: 7, Address: 9}},
			Cause: &millrace.Exception{Type: "a.C", Common: 1, Related: []*millrace.Exception{
				{Type: "a.D", Cause: &millrace.Exception{Type: "a.E"}}, {Type: "a.F"},
			}},
			Members: []*millrace.Exception{{Type: "m1"}, {Type: "m2"}},
		},
		Threads: []millrace.Thread{{ID: "1", Name: "main", State: "Blocked", Crashed: true}, {ID: "2", Frames: []millrace.Frame{{Function: "x"}}}},
	}
	for name, want := range map[string]millrace.Report{"full": r, "empty": {}, "no frames": {Exception: &millrace.Exception{}}} {
		data := exception.AppendReport(nil, &want)
		if !json.Valid(data) {
			t.Fatalf("%s: not JSON: %s", name, data)
		}
		got, err := exception.ParseReport(data)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%s\ngot  %+v\nwant %+v", name, err, data, got, want)
		}
	}
	for _, bad := range []string{`{"v":2}`, `{}`, `{`} {
		if _, err := exception.ParseReport([]byte(bad)); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
	deep := &millrace.Exception{Type: "x"}
	for range 1000 {
		deep = &millrace.Exception{Type: "x", Message: strings.Repeat("m", 100_000), Cause: deep, Members: []*millrace.Exception{{Type: "y"}, {Type: "z"}}}
	}
	big := millrace.Report{Exception: deep, Threads: make([]millrace.Thread, 1000)}
	big.Threads[999].Crashed = true
	data := exception.AppendReport(nil, &big)
	got, err := exception.ParseReport(data)
	if err != nil || len(data) > 1<<20 || len(got.Threads) != 64 || !got.Threads[0].Crashed {
		t.Errorf("%d bytes, %d threads: %v", len(data), len(got.Threads), err)
	}
}

// TestFullStack restores what "... 2 more" leaves out.
func TestFullStack(t *testing.T) {
	e, ok := exception.Parse("a.OuterException: x\n\tat a.A.a(A.java:1)\n\tat a.B.b(B.java:2)\n\tat a.C.c(C.java:3)\nCaused by: a.InnerException: y\n\tat a.D.d(D.java:4)\n\t... 2 more\n")
	if !ok || e.Cause == nil {
		t.Fatal("no cause")
	}
	var got []string
	for _, f := range exception.FullStack(e.Cause, e.Frames) {
		got = append(got, f.Function)
	}
	if strings.Join(got, " ") != "d b c" {
		t.Errorf("the full stack is %v", got)
	}
	if len(exception.FullStack(&millrace.Exception{Common: 9}, e.Frames)) != 0 {
		t.Error("more frames in common than there are")
	}
}

func TestRules(t *testing.T) {
	r, _ := exception.Read("com.shop.OrderException: order 7 failed\n\tat com.shop.Cart.pay(Cart.java:1)\n\tat org.lib.Http.call(Http.java:2)\nCaused by: java.net.ConnectException: refused\n\tat java.net.Socket.connect(Socket.java:3)\n")
	origin := exception.Origin{Service: "checkout", Env: "prod", Release: "1.2"}
	f := func(want bool, fingerprint string, matchers ...exception.Matcher) string {
		t.Helper()
		rule := exception.Rule{Name: "r", Match: matchers, Fingerprint: fingerprint}
		if err := exception.CheckRule(&rule); err != nil {
			t.Fatal(err)
		}
		got, i := exception.ApplyRules([]exception.Rule{rule}, &r, origin, "2:d")
		if (i == 0) != want || (got == "2:d") == want {
			t.Errorf("%+v: rule %d, %s", matchers, i, got)
		}
		return got
	}
	m := func(field, pattern string) exception.Matcher {
		return exception.Matcher{Field: field, Pattern: pattern}
	}
	not := func(field, pattern string) exception.Matcher {
		return exception.Matcher{Field: field, Pattern: pattern, Not: true}
	}
	f(true, "x", m("type", "*.ConnectException"))
	f(true, "x", m("message", "order ? failed"), m("service", "check*"), m("env", "prod"), m("release", "1.*"))
	f(false, "x", m("message", "order ?? failed"))
	f(false, "x", not("type", "*.ConnectException"))
	f(true, "x", not("type", "*.Timeout"), not("service", "cart"))
	f(true, "x", m("module", "com.shop.*"), m("function", "pay"), m("file", "*.java"))
	f(false, "x", m("module", "com.shop.*"), m("function", "call")) // not of one frame
	a := f(true, "{{ function }} {{type}} {{service}}", m("module", "com.shop.*"))
	if b := exception.CustomFingerprint([]string{"pay com.shop.OrderException checkout"}, ""); a != b {
		t.Errorf("%s, want %s", a, b)
	}
	if exception.CustomFingerprint([]string{"{{ default }}"}, "2:d") != "2:d" || exception.CustomFingerprint(nil, "2:d") != "2:d" ||
		exception.CustomFingerprint([]string{"{{ default }}", "a"}, "2:d") == exception.CustomFingerprint([]string{"{{ default }}", "a"}, "2:e") {
		t.Error("the default is wrong")
	}
	for _, bad := range []exception.Rule{
		{Fingerprint: "x"},
		{Match: []exception.Matcher{m("type", "*")}},
		{Match: []exception.Matcher{m("typo", "*")}, Fingerprint: "x"},
		{Match: []exception.Matcher{m("type", strings.Repeat("*", 2000))}, Fingerprint: "x"},
		{Match: []exception.Matcher{m("type", "*")}, Fingerprint: "{{typo}}"},
		{Match: []exception.Matcher{m("type", "*")}, Fingerprint: "{{type"},
	} {
		if exception.CheckRule(&bad) == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

// TestFingerprint2 pins what version 2 adds to version 1, and what it tells.
func TestFingerprint2(t *testing.T) {
	fp := func(language string, e *millrace.Exception) string {
		return exception.FingerprintOf(2, &millrace.Report{Language: language, Exception: e})
	}
	app := func(module, function string) millrace.Frame {
		return millrace.Frame{Module: module, Function: function, InApp: true}
	}
	js := func(function, file string) millrace.Frame {
		return millrace.Frame{Function: function, File: file, InApp: true}
	}
	e := func(typ string, frames ...millrace.Frame) *millrace.Exception {
		return &millrace.Exception{Type: typ, Frames: frames}
	}
	cause := func(e, c *millrace.Exception) *millrace.Exception { e.Cause = c; return e }
	same := func(language, want string, es ...*millrace.Exception) {
		t.Helper()
		for i, e := range es {
			if got := fp(language, e); got != want {
				t.Errorf("%s %d is %s, want %s", language, i, got, want)
			}
		}
	}
	same("java", "2:2d2b450d961ab39b",
		e("E", app("a.B", "c")),
		e("E", app("a.B$$Lambda$1/0x7", "run"), app("a.B", "c"), app("a.B$$FastClassBySpringCGLIB$$1", "invoke"), app("$Proxy7", "c")),
		cause(e("E", app("a.B", "c")), e("E", app("a.B", "c")))) // wraps its own kind
	same("javascript", "2:efb32216fb001571",
		e("E", js("Object.run", "https://a/x.js"), js("", "https://a/x.js")),
		e("E", js("run", "/tmp/x.js?1"), js("test/<", "/tmp/x.js"), js("map", "[native code]")),
		e("E", js("Foo.prototype.run", "x.js"), js("Anonymous function", "x.js")))
	group := func(members ...*millrace.Exception) *millrace.Exception {
		return &millrace.Exception{Type: "G", Frames: []millrace.Frame{app("a", "b")}, Members: members}
	}
	x, y := e("X", app("a", "x")), e("Y", app("a", "y"))
	same("python", fp("python", group(x, y)), group(y, x), group(x, y, x, y))
	shared := []millrace.Frame{app("m", "main"), {Module: "sys", Function: "start", Line: 4}}
	same("java", fp("java", cause(e("O", append([]millrace.Frame{app("a", "o")}, shared...)...), e("I", app("a", "i")))),
		cause(e("O", append([]millrace.Frame{app("a", "o")}, shared...)...), e("I", append([]millrace.Frame{app("a", "i")}, shared...)...)))
	for i, d := range [][2]*millrace.Exception{
		{e("E", app("a", "b")), e("F", app("a", "b"))},
		{e("E", app("a", "b")), e("E", app("a", "c"))},
		{group(x), group(y)},
		{e("E", app("a", "b")), cause(e("E", app("a", "b")), e("F"))},
		{{Type: "E", Message: "connection refused"}, {Type: "E", Message: "connection reset"}},
	} {
		if fp("java", d[0]) == fp("java", d[1]) {
			t.Errorf("%d: equal fingerprints", i)
		}
	}
	if fp("native", e("E", millrace.Frame{Build: "ab", Offset: 1, InApp: true})) == fp("native", e("E", millrace.Frame{Build: "ab", Offset: 2, InApp: true})) {
		t.Error("addresses within an image do not count")
	}
	r := millrace.Report{Exception: e("E", app("a", "b"))}
	if exception.FingerprintOf(1, &r) != exception.Fingerprint(r.Exception) || exception.FingerprintOf(3, &r) != "" || exception.FingerprintOf(2, nil) != "" {
		t.Error("versions are wrong")
	}
}

func TestExplain(t *testing.T) {
	r, _ := exception.Read("a.OuterException: order 7\n\tat a.B$$Lambda$3/0x1.run(Unknown Source)\n\tat a.B.lambda$go$3(B.java:1)\n\tat a.B.lambda$go$3(B.java:2)\n\tat java.lang.Thread.run(Thread.java:9)\n")
	var got []string
	x := exception.Explain(2, &r)
	for _, p := range x.Parts {
		got = append(got, fmt.Sprintf("%s %q %q %s", p.Kind, p.Raw, p.Used, strings.Join(p.Stripped, ", ")))
	}
	want := `type "a.OuterException" "a.OuterException" 
frame "a.B$$Lambda$3/0x1 | run" "" proxy, lambda or accessor
frame "a.B | lambda$go$3" "a.B | lambda$go$" numbers that generators count with
frame "a.B | lambda$go$3" "" recursion: counted already
frame "java.lang.Thread | run" "" not in the application`
	if strings.Join(got, "\n") != want || x.Basis != "application frames" || x.Fingerprint != exception.FingerprintOf(2, &r) {
		t.Errorf("%s %s:\n%s", x.Basis, x.Fingerprint, strings.Join(got, "\n"))
	}
	for version, basis := range map[int]string{1: "application frames", 2: "application frames"} {
		if x := exception.Explain(version, &r); x.Basis != basis || x.Fingerprint != exception.FingerprintOf(version, &r) {
			t.Errorf("version %d: %+v", version, x)
		}
	}
}
