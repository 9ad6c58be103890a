package millrace_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const modulePath = "github.com/millrace/millrace"

// mayImport says which packages of this module a package may import besides
// internal helpers: the arrows of the architecture. Adapters never import each
// other; cmd wires them. Tests may import what they like, except the root
// package's, which every other package builds on.
var mayImport = map[string][]string{
	".":          {},
	"decode":     {"."},
	"transform":  {"."},
	"sketch":     {},
	"rollup":     {".", "sketch"},
	"exception":  {"."},
	"queue":      {"."},
	"auth":       {"."},
	"ingest":     {".", "decode", "auth"},
	"pipeline":   {".", "decode", "transform", "rollup", "exception", "queue"},
	"duckdb":     {".", "sketch"},
	"clickhouse": {".", "sketch"},
	"memory":     {".", "sketch"}, // the oracle of the tests is a Store like the others
	"meta":       {"."},
	"query":      {".", "rollup", "sketch"}, // quantiles and estimates are read from cells
	"issue":      {".", "exception", "query"},
	"web":        {".", "auth", "query", "decode", "transform", "exception", "issue"},
	"client":     {},
	"agent":      {".", "decode", "client"},
	"config": {
		".", "decode", "transform", "sketch", "rollup", "exception", "queue", "auth", "ingest",
		"pipeline", "duckdb", "clickhouse", "meta", "query", "issue", "web", "client", "agent",
	},
	"cmd/millrace": {
		".", "decode", "transform", "sketch", "rollup", "exception", "queue", "auth", "ingest",
		"pipeline", "duckdb", "clickhouse", "memory", "meta", "query", "issue", "web", "client", "agent", "config",
	},
}

// ownedModules may be imported by one package each: everyone else goes through
// that package's interface, so that the technology can be exchanged. Tests may
// look behind it.
var ownedModules = map[string][]string{
	"github.com/twmb/franz-go":            {"queue", "internal/kafkatest"}, // whose brokers have no other use
	"github.com/duckdb/duckdb-go":         {"duckdb"},                      // with its bindings
	"github.com/ClickHouse/clickhouse-go": {"clickhouse"},
	"github.com/ebitengine/purego":        {"internal/chtest/chserver"}, // which calls ClickHouse as a library
	"modernc.org/sqlite":                  {"meta"},
	"github.com/jackc/pgx":                {"meta"},
	"github.com/pressly/goose":            {"meta"},
	"github.com/alecthomas/kong":          {"cmd/millrace"},
	"github.com/goccy/go-yaml":            {"config", "transform", "issue"}, // what people write
	"github.com/expr-lang/expr":           {"rollup", "transform"},          // conditions
}

// standardOnly must build with the standard library alone: whoever imports them
// gets no dependencies.
var standardOnly = []string{".", "sketch", "client"}

// goFile is one source file of the module.
type goFile struct {
	path    string // slash-separated, from the root
	pkg     string // directory, "." for the root
	test    bool
	imports []string
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	var out []goFile
	fset := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "tools" || base == "bin" || base == "data") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		g := goFile{path: name, pkg: path.Dir(name), test: strings.HasSuffix(base, "_test.go")}
		for _, imp := range f.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", name, imp.Path.Value, err)
			}
			g.imports = append(g.imports, p)
		}
		out = append(out, g)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// local returns the directory of an import of this module.
func local(imp string) (dir string, ok bool) {
	if imp == modulePath {
		return ".", true
	}
	return strings.CutPrefix(imp, modulePath+"/")
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for _, f := range goFiles(t) {
		helper := strings.HasPrefix(f.pkg, "internal/")
		allowed, known := mayImport[f.pkg]
		if !known && !helper {
			t.Errorf("%s: package %s is not in the table of deps_test.go; add it there and to DESIGN.md", f.path, f.pkg)
			continue
		}
		if f.test || helper {
			continue
		}
		for _, imp := range f.imports {
			dir, ok := local(imp)
			if !ok {
				continue
			}
			if strings.HasPrefix(dir, "internal/") {
				if f.pkg == "." {
					t.Errorf("%s imports %s: the root package imports the standard library only", f.path, dir)
				}
				continue
			}
			if !slices.Contains(allowed, dir) {
				t.Errorf("%s imports %s; package %s may import %v", f.path, dir, f.pkg, allowed)
			}
		}
	}
}

func TestThirdPartyModulesHaveOneOwner(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.test {
			continue
		}
		for _, imp := range f.imports {
			if _, ok := local(imp); ok || !strings.Contains(strings.Split(imp, "/")[0], ".") {
				continue
			}
			if slices.Contains(standardOnly, f.pkg) {
				t.Errorf("%s imports %s; package %s is for the standard library only", f.path, imp, f.pkg)
			}
			for module, owners := range ownedModules {
				if strings.HasPrefix(imp, module) && !slices.Contains(owners, f.pkg) {
					t.Errorf("%s imports %s, which only %v may: use its interface", f.path, imp, owners)
				}
			}
		}
	}
}
