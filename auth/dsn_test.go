package auth

import (
	"hash/fnv"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace"
)

// Numbers are in the DSNs of deployed applications: they never change.
func TestProjectNumber(t *testing.T) {
	for name, want := range map[string]uint32{"": 18652613, "default": 322657246, "shop": 675799209, "Shop": 678702281} {
		if got := ProjectNumber(name); got != want {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
		h := fnv.New32a()
		_, _ = h.Write([]byte(name))
		if h.Sum32()&(1<<31-1) != want {
			t.Errorf("%q: hash/fnv says %d", name, h.Sum32()&(1<<31-1))
		}
	}
}

// The pattern is that of the JavaScript SDK (packages/core/src/utils/dsn.ts), the
// strictest.
func TestDSN(t *testing.T) {
	pattern := regexp.MustCompile(`^(?:(\w+):)//(?:(\w+)(?::(\w+)?)?@)((?:\[[:.%\w]+\]|[\w.-]+))(?::(\d+))?/(.+)`)
	secret, _, err := NewKey("k", "shop", millrace.ScopeIngest, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	for base, want := range map[string]string{
		"https://logs.example.com":        "https://" + secret + "@logs.example.com/675799209",
		"http://127.0.0.1:8080/":          "http://" + secret + "@127.0.0.1:8080/675799209",
		"https://example.com/millrace/":   "https://" + secret + "@example.com/millrace/675799209",
		"https://[::1]:8080/a?x=1#ignore": "https://" + secret + "@[::1]:8080/a/675799209",
	} {
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		got := DSN(u, secret, "shop")
		if got != want {
			t.Errorf("%s: %s, want %s", base, got, want)
		}
		if m := pattern.FindStringSubmatch(got); m == nil || m[2] != secret || m[4] != u.Hostname() && m[4] != "["+u.Hostname()+"]" {
			t.Errorf("%s: an SDK reads %q", got, m)
		}
	}
}
