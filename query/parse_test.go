package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace"
)

// show writes a filter as an expression, so that tests can compare it by eye.
func show(f *millrace.Filter) string {
	if f == nil {
		return "all"
	}
	sub := make([]string, len(f.Sub))
	for i, s := range f.Sub {
		sub[i] = show(s)
	}
	switch f.Op {
	case millrace.FilterAnd:
		return "(" + strings.Join(sub, " & ") + ")"
	case millrace.FilterOr:
		return "(" + strings.Join(sub, " | ") + ")"
	case millrace.FilterNot:
		return "!" + sub[0]
	case millrace.FilterText:
		return fmt.Sprintf("text %q", f.Value)
	}
	op := map[millrace.FilterOp]string{
		millrace.FilterEq: "=", millrace.FilterNe: "!=", millrace.FilterLt: "<", millrace.FilterLe: "<=",
		millrace.FilterGt: ">", millrace.FilterGe: ">=", millrace.FilterGlob: "~", millrace.FilterRegexp: "=~",
	}[f.Op]
	return fmt.Sprintf("%s%s%q", f.Field, op, f.Value)
}

func TestParse(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		got, err := Parse(src)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			return
		}
		if show(got) != want {
			t.Errorf("%s\n got %s\nwant %s", src, show(got), want)
		}
	}
	f("", "all")
	f("  \t", "all")
	f("timeout", `text "timeout"`)
	f(`"timed out"`, `text "timed out"`)
	f(`"say \"hi\" \\"`, `text "say \"hi\" \\"`)
	f("time*", `text "time"`)
	f("*time*", `text "time"`)
	f("tim*out", `message~"*tim*out*"`)
	f(`tim\*out`, `text "tim*out"`)
	f("/time.*out/", `message=~"time.*out"`)
	f(`(/a b\/c\d(x|y)/ OR z)`, `(message=~"a b/c\\d(x|y)" | text "z")`)
	f(`url~/^\/api\/v[12]/ -host~/db/`, `(url=~"^/api/v[12]" & !host=~"db")`)
	f("/var/log/x", `text "/var/log/x"`)
	f("/var/log/", `text "/var/log/"`)
	f("// a~b ~x", `(text "//" & text "a~b" & text "~x")`)
	f("level:error", `level="error"`)
	f("message:timeout", `text "timeout"`)
	f("url:/api/*", `url~"/api/*"`)
	f("url:/api/", `url="/api/"`)
	f("url:/a:b?c=d", `url="/a:b?c=d"`)
	f(`url:/a\*b`, `url="/a*b"`)
	f(`url:"/a*b"`, `url="/a*b"`)
	f(`service:""`, `service=""`)
	f("user:*", `user!=""`)
	f("status>=500", `status>="500"`)
	f("status:>=500", `status>="500"`)
	f("status<500 rt>1.5", `(status<"500" & rt>"1.5")`)
	f("status:[400 TO 499]", `(status>="400" & status<="499")`)
	f("rt:{1 TO 2}", `(rt>"1" & rt<"2")`)
	f("rt:[1 TO *}", `rt>="1"`)
	f("rt:[* TO *]", `rt!=""`)
	f(`name:["a b" TO "c"]`, `(name>="a b" & name<="c")`)
	f("status:(500 OR 503)", `(status="500" | status="503")`)
	f(`service:(api web* "a b")`, `(service="api" | service~"web*" | service="a b")`)
	f("a b", `(text "a" & text "b")`)
	f("a AND b OR c", `((text "a" & text "b") | text "c")`)
	f("a OR b c", `(text "a" | (text "b" & text "c"))`)
	f("(a OR b) c", `((text "a" | text "b") & text "c")`)
	f("a && b || c", `((text "a" & text "b") | text "c")`)
	f("NOT a", `!text "a"`)
	f("!a -b", `(!text "a" & !text "b")`)
	f("NOT (a OR b)", `!(text "a" | text "b")`)
	f("NOT NOT a", `!!text "a"`)
	f("NOTABLE ORDER ANDROID", `(text "NOTABLE" & text "ORDER" & text "ANDROID")`)
	f("12:30:01", `text "12:30:01"`)
	f("a->b", `text "a->b"`)
	f("a=b", `text "a=b"`)
	f("- x", `(text "-" & text "x")`)
	f("--flag", `text "--flag"`)
	f("k8s.pod-name:x", `k8s.pod-name="x"`)
	f("städte:köln", `text "städte:köln"`)
	f("city:köln", `city="köln"`)
	f(`level:error service:checkout "timed out" status>=500 url:/api/* NOT bot:true`,
		`(level="error" & service="checkout" & text "timed out" & status>="500" & url~"/api/*" & !bot="true")`)
}

func TestParseErrors(t *testing.T) {
	f := func(src string, pos int, want string) {
		t.Helper()
		_, err := Parse(src)
		se, ok := errors.AsType[*SyntaxError](err)
		if !ok {
			t.Errorf("%s: got %v, want a syntax error", src, err)
			return
		}
		if se.Pos != pos || !strings.Contains(se.Msg, want) {
			t.Errorf("%s\n got %d: %s\nwant %d: %s", src, se.Pos, se.Msg, pos, want)
		}
		if millrace.ErrorCode(err) != millrace.ErrInvalid {
			t.Errorf("%s: code %s", src, millrace.ErrorCode(err))
		}
		if !strings.Contains(millrace.ErrorMessage(err), fmt.Sprintf("position %d", pos)) {
			t.Errorf("%s: the message lacks the position: %s", src, millrace.ErrorMessage(err))
		}
	}
	f("level:", 7, "must be followed by a value")
	f("a level: b", 9, "must be followed by a value")
	f("a AND", 3, "AND must be followed")
	f("a OR OR b", 3, "OR must be followed")
	f("AND a", 1, `"AND" stands where`)
	f("a (b", 3, "never closed")
	f("a) b", 2, "closes nothing")
	f("()", 1, "empty")
	f(`say "hi`, 5, "never closed")
	f("köln \"hi", 6, "never closed")
	f("NOT", 1, "NOT must be followed")
	f("status>=", 9, "needs one value")
	f("status>5*", 8, "no wildcards")
	f("status:[1 2]", 11, "low TO high")
	f("status:[1 TO 2", 15, "must end with ]")
	f("status:[TO 2]", 12, "low TO high")
	f("status:[]", 8, "low TO high")
	f("status:[1* TO 2]", 9, "a value or *")
	f("status:(", 8, "never closed")
	f("status:()", 8, "empty")
	f("status:(a AND b)", 11, "only values and OR")
	f("status:(a (b))", 11, "only values and OR")
	f("/time[/", 1, "missing closing")
	f("a url~/x(/", 7, "missing closing")
	f("url~/a/b", 5, "between slashes")
	f("url~//", 5, "between slashes")
	f("/"+strings.Repeat("a", millrace.MaxRegexpBytes+1)+"/", 1, "over 1024")
	f(`url:a*\*`, 5, "cannot stand in one value")
	f(`a\`, 2, "backslash")
	f("a\x00", 2, "NUL")
	f("a\xff", 2, "UTF-8")
	f(strings.Repeat("(", 100), MaxQueryDepth+1, "levels")
	f(strings.Repeat("a ", MaxQueryTerms+1), 2*MaxQueryTerms+1, "terms")
	f(strings.Repeat("a", MaxQueryBytes+1), 1, "longer than")
}

func TestTerm(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		got := Term("url", value)
		if got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
	f("/a/b", "url:/a/b")
	f("", `url:""`)
	f("a b", `url:"a b"`)
	f(`a"b\c`, `url:"a\"b\\c"`)
	f("a*", `url:"a*"`)
	f(">5", `url:">5"`)
}

func FuzzTerm(f *testing.F) {
	for _, s := range []string{"", "a", "a b", `"`, `\`, "*", "AND", "(", "[", "/x/", "-1", ">=", "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		value = strings.ToValidUTF8(strings.ReplaceAll(value, "\x00", ""), "")
		if len(value) > MaxQueryBytes/4 {
			return
		}
		got, err := Parse(Term("f", value))
		if err != nil {
			t.Fatalf("%q: %v", Term("f", value), err)
		}
		if got.Op != millrace.FilterEq || got.Field != "f" || got.Value != value {
			t.Fatalf("%q became %s", value, show(got))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`level:error service:checkout "timed out" status>=500 url:/api/* NOT bot:true`,
		"a AND (b OR c)", "x:[1 TO *}", "x:(a OR b)", `\`, `"`, "((((", "-", "!", "x:", "a*b", "tim*", "ü:*", "/a.*b/", `u~/\//`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		got, err := Parse(src)
		if err != nil {
			se, ok := errors.AsType[*SyntaxError](err)
			if !ok || se.Pos < 1 || se.Pos > len(src)+1 {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		// A filter must be usable, whatever it says.
		got.Match(func(string) string { return "some text" })
		got.Fields(map[string]bool{})
	})
}
