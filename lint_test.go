package millrace_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Sizes that keep the code readable. What does not fit has more than one job.
const (
	maxFileLines     = 600
	maxFunctionLines = 120
	longFunction     = 40 // most functions are shorter
	maxLongShare     = 0.06
	maxReadmeLines   = 150
)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	fset := token.NewFileSet()
	functions, long := 0, 0
	for _, f := range goFiles(t) {
		src, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(src, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d: split it by job", f.path, n, maxFileLines)
		}
		if f.test {
			continue
		}
		parsed, err := parser.ParseFile(fset, f.path, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line + 1
			functions++
			if n > longFunction {
				long++
			}
			if n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, at most %d", f.path, fn.Name.Name, n, maxFunctionLines)
			}
		}
	}
	share := float64(long) / float64(max(functions, 1))
	t.Logf("%d functions, %d (%.1f%%) of more than %d lines", functions, long, 100*share, longFunction)
	if share > maxLongShare {
		t.Errorf("%.1f%% of the functions have more than %d lines, at most %.0f%%", 100*share, longFunction, 100*maxLongShare)
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	fset := token.NewFileSet()
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		parsed, err := parser.ParseFile(fset, f.path, nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		text := parsed.Doc.Text()
		documented[f.pkg] = documented[f.pkg] || strings.HasPrefix(text, "Package ") || strings.HasPrefix(text, "Command ")
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment that says what it is for", pkg)
		}
	}
}

// forbidden is what does not belong into the code, with what to do instead.
var forbidden = []struct {
	re      *regexp.Regexp
	instead string
	tests   bool // applies to tests as well
}{
	{regexp.MustCompile(`"/(work|home|root|Users)/`), "a path of one machine: use t.TempDir or internal/testdata", true},
	{regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "finish it, or file an issue", true},
	// How long something took is measured with the real clock: started := time.Now().
	{regexp.MustCompile(`\btime\.Now\(\)`), "time comes in through a parameter", false},
	{regexp.MustCompile(`\brand\.(Int|Intn|IntN|Float64|Uint64|Perm|Shuffle)\(`), "randomness comes in through a parameter", false},
	{regexp.MustCompile(`\bslog\.(Info|Warn|Error|Debug)\(`), "the logger comes in through a parameter", false},
}

// stopwatch is the one use of the real clock that is fine anywhere.
var stopwatch = regexp.MustCompile(`\bstart(ed)?\b[^=]*:?= time\.Now\(\)`)

func TestForbidden(t *testing.T) {
	for _, f := range goFiles(t) {
		src, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		helper := f.test || strings.HasSuffix(f.pkg, "test") // storetest and its like
		for n, line := range strings.Split(string(src), "\n") {
			code, _, _ := strings.Cut(line, " // ") // a comment may name it to explain
			for _, rule := range forbidden {
				if helper && !rule.tests || stopwatch.MatchString(code) || strings.HasPrefix(strings.TrimSpace(code), "//") && rule.re.String()[0] != '\\' {
					continue
				}
				if rule.re.MatchString(code) {
					t.Errorf("%s:%d: %s: %s", f.path, n+1, rule.instead, strings.TrimSpace(line))
				}
			}
		}
	}
}

func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n > maxReadmeLines {
		t.Errorf("README.md has %d lines, at most %d", n, maxReadmeLines)
	}
	// A link to a file that moved is worse than none.
	for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
		if _, err := os.Stat(filepath.FromSlash(m[1])); err != nil {
			t.Errorf("README.md links to %s, which is not there", m[1])
		}
	}
}
