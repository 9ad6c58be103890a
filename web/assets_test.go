package web

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

// TestVendored compares third-party files with the checksums noted for them.
func TestVendored(t *testing.T) {
	list, err := staticFiles.ReadFile("static/VENDORED.txt")
	must(t, err)
	found := regexp.MustCompile(`(?m)^([0-9a-f]{64})  (\S+)$`).FindAllStringSubmatch(string(list), -1)
	if len(found) != 3 {
		t.Fatalf("%d files noted, want 3", len(found))
	}
	for _, m := range found {
		b, err := staticFiles.ReadFile("static/" + m[2])
		must(t, err)
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != m[1] {
			t.Errorf("%s differs from the file that was vendored", m[2])
		}
	}
}

func TestAssets(t *testing.T) {
	f := newFixture(t, setting{now: fixedNow})
	_, page := f.do(t, "GET", "/", "", "Accept", "text/html")
	links := regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 7 {
		t.Fatalf("%d assets on the page", len(links))
	}
	for _, l := range links {
		res, body := f.do(t, "GET", l[1], "")
		if res.StatusCode != 200 || len(body) == 0 || !strings.Contains(res.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", l[1], res.StatusCode, res.Header)
		}
		if !regexp.MustCompile(`\.[0-9a-f]{12}\.\w+$`).MatchString(l[1]) {
			t.Errorf("%s has no hash in its name", l[1])
		}
	}
	if res, _ := f.do(t, "GET", "/static/app.css", ""); res.StatusCode != 404 {
		t.Errorf("an asset without its hash: %d", res.StatusCode)
	}
	if strings.Contains(page, "style=") || regexp.MustCompile(`<script>|\son\w+=`).MatchString(page) {
		t.Error("the page has inline styles or scripts, which its policy forbids")
	}
}
