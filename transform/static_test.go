package transform

import (
	"errors"
	"strings"
	"testing"
)

func TestStatic(t *testing.T) {
	s, err := NewStatic(StaticOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f := func(path, contentType string, want bool) {
		t.Helper()
		if got := s.Matches(path, contentType); got != want {
			t.Errorf("%q of type %q: %v, want %v", path, contentType, got, want)
		}
	}
	f("/style.css", "", true)
	f("/images/NASA-logosmall.GIF", "-", true)
	f("/app.3f9a2b1c.js?v=1.2", "", true)
	f("/font.woff2;x=1#a", "", true)
	f("/a.css/b", "", false)
	f("/a/b", "", false)
	f("/report.pdf", "", false)
	f("/feed.xml", "", false)
	f("/data.json", "", false)
	f("/.css", "", true)
	f("/a.", "", false)
	f("", "", false)
	f("/x."+strings.Repeat("c", 5000), "", false)
	f("/api/avatar", "image/png", true) // the type decides, if it is known
	f("/x.css", "text/html; charset=utf-8", false)
	f("/x", "Text/CSS; charset=utf-8", true)
	f("/x", "image", false)
	f("/x", "image/svg+xml", true)
	f("/x", strings.Repeat("a", 500)+"/b", false)
	if n := testing.AllocsPerRun(100, func() { s.Matches("/a/B.JPEG?x", ""); s.Matches("/a", "Image/PNG;q") }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestStaticOptions(t *testing.T) {
	s, err := NewStatic(StaticOptions{Extensions: []string{"PDF"}, ContentTypes: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Matches("/a.pdf", "") || s.Matches("/a.css", "") || s.Matches("/a.pdf", "text/css") {
		t.Error("own lists do not replace the defaults")
	}
	_, err = NewStatic(StaticOptions{Extensions: []string{".css", "", "a b"}, ContentTypes: []string{"css", "*/*", "text/*ml", "text/html; a"}})
	var e *Error
	if !errors.As(err, &e) || len(e.Violations) != 7 {
		t.Fatalf("%v: want seven violations", err)
	}
	if want := `extensions[0]: ".css" must be an extension without its dot, such as css`; e.Violations[0].String() != want {
		t.Errorf("violation %q, want %q", e.Violations[0], want)
	}
	if _, err := NewStatic(StaticOptions{Extensions: make([]string, 1001)}); err == nil {
		t.Error("a list of 1001 entries is accepted")
	}
}

func FuzzStatic(f *testing.F) {
	f.Add("/a.css?b", "text/css; charset=utf-8")
	s, err := NewStatic(StaticOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, contentType string) {
		if strings.Trim(contentType, "-") == "" && s.Matches(path, contentType) && !strings.Contains(path, ".") {
			t.Fatalf("%q has no extension", path)
		}
	})
}

func BenchmarkStatic(b *testing.B) {
	s, err := NewStatic(StaticOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for range b.N {
		s.Matches("/shuttle/missions/sts-71/images/KSC-95EC-0918.jpg", "")
	}
}
