package transform

import (
	"bufio"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

var rewriteURLs = flag.Bool("rewrite-urls", false, "rewrite the golden files of URL templates")

func mustTemplates(t testing.TB, o URLOptions) *Templates {
	t.Helper()
	tpl, err := NewTemplates(o)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}

// TestURLDocumentation checks the examples of docs/url-templates.md: every line
// of its tables that holds "`path` | `template`".
func TestURLDocumentation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "docs", "url-templates.md"))
	if err != nil {
		t.Fatal(err)
	}
	patterns := regexp.MustCompile("(?s)```yaml\\s+patterns:\n(.*?)```").FindSubmatch(text)
	if patterns == nil {
		t.Fatal("the document has no example of patterns")
	}
	var o URLOptions
	for _, line := range strings.Split(strings.TrimSpace(string(patterns[1])), "\n") {
		p, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), " ")
		o.Patterns = append(o.Patterns, p)
	}
	explicit, plain := mustTemplates(t, o), mustTemplates(t, URLOptions{})
	example := regexp.MustCompile("^\\| `([^`]*)` \\| `([^`]*)` \\|")
	checked, withPatterns := 0, 0
	for _, line := range strings.Split(string(text), "\n") {
		m := example.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		tpl := plain
		if slices.Contains(o.Patterns, m[2]) {
			tpl = explicit
			withPatterns++
		}
		if got := tpl.Template(m[1]); got != m[2] {
			t.Errorf("%s becomes %s, documented is %s", m[1], got, m[2])
		}
		checked++
	}
	if checked < 30 || withPatterns < 5 {
		t.Errorf("only %d examples found, %d of explicit patterns", checked, withPatterns)
	}
}

func TestURLTemplate(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{})
	f := func(path, want string) {
		t.Helper()
		if got := tpl.Template(path); got != want {
			t.Errorf("%q becomes %q, want %q", path, got, want)
		}
	}
	// Words stay, also those with digits that are names.
	for _, same := range []string{
		"/", "/index.html", "/api/v1/users", "/v2.1/x", "/sha256/h264/ipv6/s3/ec2/mp3/k8s/i18n",
		"/images/NASA-logosmall.gif", "/getUserById", "/.well-known/openid-configuration", "/wp-login.php",
		"/donaudampfschifffahrtsgesellschaft", "/angstschweiss", "/a+b", "/~user/", "/cd2mp3", "/Ру/日本語",
	} {
		f(same, "/"+strings.Trim(same, "/"))
	}
	f("", "/")
	f("*", "*")
	f("x/y", "/x/y")
	f("//a///b/./c/", "/a/b/c")
	f("/a/../b", "/a/../b")
	f("http://h:80/a/b?c=/d#e", "/a/b")
	f("https://h", "/")
	f("https://h?a=/b/c", "/")
	f("/a?b/c", "/a")
	f("/a#b/c", "/a")
	f("/a;jsessionid=0123ABCD.node1/b;v=1;w=2/;x", "/a/b")
	f("/%2e%2e/%252e/%%32%65/a%zz%", "/../%252e/%252e/a%25zz%25")
	f("/a%2Fb%3Bc%3f%20%7b%00", "/a%2Fb%3Bc%3F%20%7B%00")
	f("/%D0%A0%D1%83%E2%80%AE", "/Ру%E2%80%AE") // a right-to-left override is not shown
	f("/a/%FF%FE/b\xff", "/a/{bytes}/{bytes}")
	f("/{id}/{foo}/}/{*}/a{hash}b", "/{id}/%7Bfoo%7D/%7D/{*}/a{hash}b")
	f("/"+strings.Repeat("word-", 30), "/{text}")
	f(strings.Repeat("/a", 20), strings.Repeat("/a", 16)+"/{rest}")
	f("/"+strings.Repeat("x", 5000), "/{rest}")
	f("/files/2001:db8::1/1.2.3.4.5/999.1.1.1", "/files/{ip}/{version}/{version}")
	f("/51-40-99/31-12-2024/2024-13-01", "/{id}/{date}/{id}")
	f("/1-2-3-4/1_2-3", "/{id}/{id}")
	f("/2024/13/2024/Feb/30/2024", "/{id}/{id}/{date}/{id}")
	f("/user@/@x/a@b/a@b.c1", "/user@/@x/a@b/a@b.c1")
}

func TestURLIgnoreCase(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{IgnoreCase: true, Patterns: []string{"/API/{Name}/Details"}, Learned: []string{"/tag/{*}"}})
	for path, want := range map[string]string{
		"/Images/A.GIF": "/images/a.gif", "/a%2FB": "/a%2Fb", "/api/X/DETAILS": "/api/{Name}/details", "/TAG/Foo": "/tag/{*}",
	} {
		if got := tpl.Template(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

func TestURLPatterns(t *testing.T) {
	o := URLOptions{Patterns: []string{
		"/api/orders/{order}", "/api/orders/new", "/api/orders/{order}/items/{item}", "/api/*/health",
		"/static/**", "/files/{name}.pdf", "/files/report-{n}.pdf", "/files/*", "/a/b/c", "/a/{x}/d", "/a/**", "/ü/x",
	}}
	tpl := mustTemplates(t, o)
	f := func(path, want string) {
		t.Helper()
		if got := tpl.Template(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
	f("/api/orders/7", "/api/orders/{order}")
	f("/api/orders/new/", "/api/orders/new")
	f("/api//orders/x%20y;v=1/items/z", "/api/orders/{order}/items/{item}")
	f("/api/orders/health", "/api/orders/{order}") // the literal orders goes before *
	f("/api/users/health", "/api/*/health")
	f("/api/users/8", "/api/users/{id}")
	f("/static", "/static/**")
	f("/static/a/b/c.js", "/static/**")
	f("/static"+strings.Repeat("/x", 100), "/static/**")
	f("/files/x.pdf", "/files/{name}.pdf")
	f("/files/report-9.pdf", "/files/report-{n}.pdf")
	f("/files/.pdf", "/files/*")
	f("/a/b/d", "/a/{x}/d") // back from /a/b
	f("/a/b/e", "/a/**")
	f("/%C3%BC/x", "/ü/x")
	f("/api/orders/"+strings.Repeat("9", 5000), "/api/orders/{rest}") // cut, so only ** may fit
}

func TestURLPatternViolations(t *testing.T) {
	f := func(o URLOptions, want ...string) {
		t.Helper()
		_, err := NewTemplates(o)
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%+v: %v is no *Error", o, err)
		}
		var got []string
		for _, v := range e.Violations {
			got = append(got, v.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("violations\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	f(URLOptions{Patterns: []string{"a", "/a//b", "/**/a", "/a?b", "/{1}", "/{a", "/a}", "/{a}{b}", "/" + strings.Repeat("a/", 17)}},
		`patterns[0]: "a" must start with /`,
		`patterns[1]: "/a//b": a segment is empty`,
		`patterns[2]: "/**/a": ** must be the last segment`,
		`patterns[3]: "/a?b" must be a path: without query string, fragment or parameters`,
		`patterns[4]: "/{1}": {1} is not a name: letters, digits and _, up to 32`,
		`patterns[5]: "/{a": "{a" has no closing brace`,
		`patterns[6]: "/a}": "a}" has no opening brace`,
		`patterns[7]: "/{a}{b}": "{a}{b}" has two wildcards; a segment may have one`,
		`patterns[8]: "/`+strings.Repeat("a/", 17)+`" has 17 segments; must be at most 16`,
	)
	f(URLOptions{Patterns: []string{"/a/{x}", "/a/*/", "/b/x*", "/b/*y", "/a/{x}/c"}},
		`patterns[1]: "/a/*/" fits the same paths as patterns[0], "/a/{x}"`,
		`patterns[3]: "*y" and "x*" in another pattern may fit the same segment and neither is more specific`,
	)
	f(URLOptions{Cap: 1}, `cap: 1 is not possible; must be 2 to 20000`)
	f(URLOptions{Cap: 3, Patterns: []string{"/a"}, Known: []string{"/b", "/c"}},
		`known: 2 known templates, 1 patterns and {other} exceed the cap of 3`)
	f(URLOptions{Learned: []string{"a/{*}", "/b//{*}", "/c/17/{*}"}},
		`learned[0]: "a/{*}" must start with /`,
		`learned[1]: "/b//{*}" is not a template; it would be "/b/{*}"`,
		`learned[2]: "/c/17/{*}" is not a template; it would be "/c/{id}/{*}"`)
}

func TestURLLearned(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Learned: []string{"/tags/{*}", "/tags/news", "/tags/{*}/page/{*}", "/u/{id}/{*}"}})
	for path, want := range map[string]string{
		"/tags/foo": "/tags/{*}", "/tags/news": "/tags/news", "/tags/news/page/x": "/tags/news/page/x",
		"/tags/foo/page/x": "/tags/{*}/page/{*}", "/tags/17": "/tags/{id}", "/tags/a-17": "/tags/{*}",
		"/u/8/x/y": "/u/{id}/{*}/y", "/tags": "/tags", "/other/foo": "/other/foo", "/tags/{*}": "/tags/{*}",
	} {
		if got := tpl.Template(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

func TestURLKnownCloses(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Patterns: []string{"/p/{x}"}, Known: []string{"/a", "/b/{id}"}})
	for path, want := range map[string]string{
		"/a": "/a", "/b/1": "/b/{id}", "/c": URLOther, "/p/1": "/p/{x}", URLOther: URLOther, "/b/c": URLOther,
	} {
		if got := tpl.Template(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
}

// accessPaths calls yield with the path of every request of a log in Common Log
// Format.
func accessPaths(t testing.TB, file string, yield func(path string)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		_, request, ok := strings.Cut(scan.Text(), `"`)
		if !ok {
			continue
		}
		request, _, _ = strings.Cut(request, `"`)
		if fields := strings.Fields(request); len(fields) >= 2 {
			path, _, _ := strings.Cut(fields[1], "?")
			yield(path)
		}
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
}

var accessLogs = map[string][]string{
	"nasa":          {"nasa-http/nasa_jul95_lines_1-40000.log.gz"},
	"elastic":       {"elastic-apache/apache_logs.log"},
	"logparser":     {"nielsbasjes-logparser/hackers-access.log"},
	"filebeat":      {"filebeat-modules/nginx/*/*.log", "filebeat-modules/apache/access/*.log"},
	"crowdsec":      {"crowdsec-hub/*.log"},
	"ingress_nginx": {"filebeat-modules/nginx/ingress_controller/*.log"},
}

// TestURLGolden compares the templates of real logs, as they are at first and
// with the rules a Learner proposes, with files that a person read.
func TestURLGolden(t *testing.T) {
	for name, files := range accessLogs {
		t.Run(name, func(t *testing.T) {
			root := testdata.Shared(t, "access-logs")
			var paths []string
			for _, pattern := range files {
				matches, err := filepath.Glob(filepath.Join(root, pattern))
				if err != nil || len(matches) == 0 {
					t.Fatalf("%s: no files, %v", pattern, err)
				}
				for _, m := range matches {
					accessPaths(t, m, func(p string) { paths = append(paths, p) })
				}
			}
			got := goldenURLs(t, paths)
			golden := filepath.Join("testdata", "url", name+".txt")
			if *rewriteURLs {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("templates differ from %s: look at them, then run with -rewrite-urls", golden)
			}
		})
	}
}

func goldenURLs(t *testing.T, paths []string) string {
	var b strings.Builder
	o := URLOptions{}
	tpl := mustTemplates(t, o)
	learner := NewLearner(tpl, LearnOptions{})
	distinct := map[string]bool{}
	for _, p := range paths {
		learner.Observe(p)
		distinct[p] = true
	}
	proposal := learner.Propose()
	fmt.Fprintf(&b, "# %d events, %d paths, %d templates with what is learned\n", len(paths), len(distinct), proposal.Templates)
	for _, n := range proposal.New {
		fmt.Fprintf(&b, "# learned %s: %d values, %d events\n", n.Pattern, n.Values, n.Events)
	}
	fmt.Fprintln(&b, "# events paths template")
	o.Learned, o.Known = proposal.Learned, proposal.Known
	tpl = mustTemplates(t, o)
	counts := countURLs(tpl, paths)
	total := int64(0)
	for _, c := range counts.List() {
		fmt.Fprintf(&b, "%d %d %s\n", c.Events, c.Paths, c.Template)
		total += c.Events
	}
	if total != int64(len(paths)) {
		t.Errorf("%d events counted, %d applied", total, len(paths))
	}
	if n := len(counts.List()); n > DefaultURLCap {
		t.Errorf("%d templates, more than the cap", n)
	}
	return b.String()
}

func countURLs(tpl *Templates, paths []string) *URLCounts {
	f := tpl.NewFolder()
	for _, p := range paths {
		f.Apply(p)
	}
	counts := NewURLCounts(tpl.Options().Cap)
	f.Take(counts)
	return counts
}

// TestURLFolderIsPure: what a Folder returns does not depend on what it did
// before, on its cache or on the cap of its counters.
func TestURLFolderIsPure(t *testing.T) {
	tpl := mustTemplates(t, URLOptions{Cap: 20, Patterns: []string{"/p/{x}"}, Learned: []string{"/l/{*}"}})
	r := rand.New(rand.NewPCG(1, 2))
	f, total := tpl.NewFolder(), NewURLCounts(20)
	events := 0
	for range 50_000 {
		path := randomPath(r)
		got, kept := f.Apply(path)
		if want := tpl.Template(path); got != want {
			t.Fatalf("%q becomes %q in a folder and %q alone (kept %v)", path, got, want, kept)
		}
		if events++; r.IntN(10_000) == 0 {
			f.Take(total)
		}
	}
	f.Take(total)
	sum := int64(0)
	for _, c := range total.List() {
		sum += c.Events
	}
	if n := len(total.List()); sum != int64(events) || n > 20 {
		t.Errorf("%d templates counted %d events; want up to 20 and %d", n, sum, events)
	}
}

var pathWords = []string{
	"api", "p", "l", "orders", "users", "v1", "index.html", "17", "2024", "05", "Feb", "a1b2c3d4e5", "..", ".", "", "x y", "%20", "%2F",
	"{id}", "{*}", "{x}", "{", "}", "**", "*", "a=b", "RS=1a2b3c4d", "é", "\xff", "%C3%A9", "%zz", ";s=1", "x;y", "-1-2-", "v1.2.3", "1.2.3.4",
	"14FF37C0-C83C-4CB5-9091-269A9337D362", "dQw4w9WgXcQ", "2024-01-31T23:59:59Z", "a@b.de", "?q", "#f", "user1017", "app.3f9a2b1c.js", "{date}", "31-12-24-31-12-24",
}

func randomPath(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(7) {
		b.WriteByte('/')
		for range 1 + r.IntN(2) {
			b.WriteString(pathWords[r.IntN(len(pathWords))])
			if r.IntN(3) == 0 {
				b.WriteString([]string{"-", "_", ".", "~", "9", "zz"}[r.IntN(6)])
			}
		}
	}
	return b.String()
}

// urlRuleSets are the rules under which properties are checked.
func urlRuleSets(t testing.TB) []*Templates {
	return []*Templates{
		mustTemplates(t, URLOptions{}),
		mustTemplates(t, URLOptions{IgnoreCase: true}),
		mustTemplates(t, URLOptions{
			Patterns: []string{"/api/{order}/x", "/p/*", "/api/orders/{id}", "/a-{n}", "/users/**"},
			Learned:  []string{"/l/{*}", "/l/orders", "/{*}/v1/{*}", "/{*}"},
		}),
		mustTemplates(t, URLOptions{Learned: []string{"/l/{*}"}, Known: []string{"/", "/api", "/api/{id}", "/l/{*}"}}),
	}
}

// checkURL checks what must hold for any path under any rules.
func checkURL(t *testing.T, tpl *Templates, path string) {
	once := tpl.Template(path)
	if twice := tpl.Template(once); twice != once {
		t.Fatalf("%q becomes %q, that becomes %q", path, once, twice)
	}
	if limit := (maxURLSegments + 1) * (maxURLSegment + 10); len(once) > max(limit, MaxURLPattern) {
		t.Fatalf("%q becomes a template of %d bytes", path, len(once))
	}
	for _, c := range []byte(once) {
		if c <= ' ' || c == 0x7f || c == '?' || c == '#' || c == ';' {
			t.Fatalf("%q becomes %q, which contains %q", path, once, c)
		}
	}
	if !strings.HasPrefix(once, "/") && once != "*" && once != URLOther {
		t.Fatalf("%q becomes %q, which has no / in front", path, once)
	}
}

func TestURLTemplatesAreIdempotent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	sets := urlRuleSets(t)
	for range 30_000 {
		path := randomPath(r)
		for _, tpl := range sets {
			checkURL(t, tpl, path)
		}
	}
}

func FuzzURLTemplate(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		f.Add(randomPath(r))
	}
	f.Add("http://h/a?b")
	f.Add("/a{date}1/2024/05/{id}")
	f.Add("0@0.0A00@A.0A")
	sets := urlRuleSets(f)
	f.Fuzz(func(t *testing.T, path string) {
		for _, tpl := range sets {
			checkURL(t, tpl, path)
		}
	})
}

func FuzzURLPatterns(f *testing.F) {
	f.Add("/a/{b}/**", "/a/x", "/l/{*}")
	f.Add("/{a}.pdf", "/{*}", "/%7b")
	f.Fuzz(func(t *testing.T, pattern, path, learned string) {
		tpl, err := NewTemplates(URLOptions{Patterns: []string{pattern, "/b/*"}, Learned: []string{learned, "/l/{*}"}})
		if err != nil {
			return
		}
		if tpl.Template(path) == "" {
			t.Fatalf("%q has no template", path)
		}
	})
}
