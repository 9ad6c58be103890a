package clickhouse

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestFoldPattern compares with what Filter.Match says, for every character that
// has a case.
func TestFoldPattern(t *testing.T) {
	for _, cr := range unicode.CaseRanges {
		for r := rune(cr.Lo); r <= rune(cr.Hi); r++ {
			lower := strings.ToLower(string(r))
			re, err := regexp.Compile(foldPattern(lower))
			if err != nil {
				t.Fatalf("%q: %v", r, err)
			}
			for _, other := range []rune{r, unicode.ToUpper(r), unicode.ToTitle(r), unicode.SimpleFold(r), 'k', 'i', 'K', 'I', '\u212A', '\u0130'} {
				if got, want := re.MatchString("x"+string(other)), strings.Contains(strings.ToLower("x"+string(other)), lower); got != want {
					t.Errorf("%q in %q: %v, want %v", lower, other, got, want)
				}
			}
		}
	}
	for _, s := range []string{"a.b*c[d]^-\\", "50%", "k]i", "ǆ"} {
		if !regexp.MustCompile(foldPattern(strings.ToLower(s))).MatchString("-" + strings.ToUpper(s) + "-") {
			t.Errorf("%q does not match itself", s)
		}
	}
}

func TestLikePattern(t *testing.T) {
	for in, want := range map[string]string{"a*b": "a%b", "50%_*": `50\%\_%`, `\*`: `\\%`} {
		if got := likePattern(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func FuzzScanSQL(f *testing.F) {
	for _, s := range []string{
		"SELECT 1", "WITH x AS (SELECT 'a''b\\'') SELECT * FROM x;", "with recursive `a` as (select 1) select \"a\" -- c", "(SELECT 1) /* */ UNION ALL (SELECT 2)",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := scanSQL(s)
		if err != nil {
			return
		}
		if text.after < 0 || text.after > len(text.statement) || strings.HasSuffix(text.statement, ";") && !strings.Contains(text.statement, "'") {
			t.Fatalf("%q: %+v", s, text)
		}
		if got := text.compose([]string{"`e` AS (\nSELECT 1\n)"}); !strings.Contains(got, "SELECT 1") || len(got) < len(text.statement) {
			t.Fatalf("%q becomes %q", s, got)
		}
	})
}

func FuzzTree(f *testing.F) {
	f.Add("SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  Literal 'a (alias b)'")
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		root := parseTree(lines)
		if root == nil {
			return
		}
		n := 0
		var count func(*node)
		count = func(x *node) {
			n++
			for _, c := range x.children {
				count(c)
			}
		}
		if count(root); n != len(lines) {
			t.Fatalf("%d nodes of %d lines", n, len(lines))
		}
	})
}

func TestCompose(t *testing.T) {
	with := []string{"`events` AS (\nE\n)"}
	for in, want := range map[string]string{
		"SELECT 1 ;": "WITH `events` AS (\nE\n)\nSELECT 1",
		" -- c\n with x as (select 1) select * from x":   "-- c\n with `events` AS (\nE\n),\n x as (select 1) select * from x",
		"WITH RECURSIVE x AS (SELECT 1) SELECT * FROM x": "WITH RECURSIVE `events` AS (\nE\n),\n x AS (SELECT 1) SELECT * FROM x",
		"(SELECT 1) -- end":                              "WITH `events` AS (\nE\n)\nSELECT * FROM (\n(SELECT 1) -- end\n)",
	} {
		text, err := scanSQL(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := text.compose(with); got != want {
			t.Errorf("%q:\n%q, want\n%q", in, got, want)
		}
	}
}
