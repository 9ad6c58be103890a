package transform

import (
	"path/filepath"
	"testing"

	"github.com/millrace/millrace/internal/testdata"
)

// benchPaths are shapes of an API, most of them seen again and again.
var benchPaths = []string{
	"/", "/favicon.ico", "/api/v1/orders/1017/items/3", "/images/NASA-logosmall.gif",
	"/shuttle/missions/sts-71/images/KSC-95EC-0918.jpg", "/static/app.3f9a2b1c.js",
	"/users/14FF37C0-C83C-4CB5-9091-269A9337D362/avatar", "/blog/2024/05/03/how-to-fold-urls.html",
	"/%D0%BA%D0%BB%D0%B0%D1%81%D1%81/a%20b", "/search;jsessionid=0A1B2C3D/results",
}

var benchURLOptions = URLOptions{
	Patterns: []string{"/api/v1/orders/{order}/items/{item}", "/static/**", "/files/{name}.pdf"},
	Learned:  []string{"/blog/{*}", "/tags/{*}"},
}

func TestURLAllocations(t *testing.T) {
	f := mustTemplates(t, benchURLOptions).NewFolder()
	apply := func() {
		for _, p := range benchPaths {
			f.Apply(p)
		}
	}
	apply()
	if n := testing.AllocsPerRun(100, apply); n > 0 {
		t.Errorf("%v allocations for paths in the cache, want none", n)
	}
	classify := func() {
		for _, p := range benchPaths {
			f.t.apply(p, &f.scratch)
		}
	}
	if n := testing.AllocsPerRun(100, classify); n > 0 {
		t.Errorf("%v allocations for paths not in the cache, want none", n)
	}
}

// BenchmarkURL measures a path: in the cache, and computed.
func BenchmarkURL(b *testing.B) {
	f := mustTemplates(b, benchURLOptions).NewFolder()
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			f.Apply(benchPaths[i%len(benchPaths)])
		}
	})
	b.Run("computed", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			f.t.apply(benchPaths[i%len(benchPaths)], &f.scratch)
		}
	})
	b.Run("nasa", func(b *testing.B) {
		var paths []string
		accessPaths(b, filepath.Join(testdata.Shared(b, "access-logs"), accessLogs["nasa"][0]), func(p string) { paths = append(paths, p) })
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			f.Apply(paths[i%len(paths)])
		}
	})
	b.Run("hostile", func(b *testing.B) {
		paths := make([]string, 1<<16)
		for i := range paths {
			paths[i] = string(hostilePath(uint64(i), nil))
		}
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			f.Apply(paths[i%len(paths)])
		}
	})
	b.Run("observe", func(b *testing.B) {
		l := NewLearner(f.t, LearnOptions{})
		b.ReportAllocs()
		for i := range b.N {
			l.Observe(benchPaths[i%len(benchPaths)])
		}
	})
}
