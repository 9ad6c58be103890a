package main

import (
	"os"
	"testing"

	"github.com/millrace/millrace/internal/browsertest"
)

// TestPagesOnDemoData opens the pages of the real server on demo data in
// Chromium: no console error, every chart drawn. With MILLRACE_SCREENSHOT=FILE
// it writes the README's picture.
func TestPagesOnDemoData(t *testing.T) {
	if browsertest.Path() == "" {
		t.Skip("no Chromium installed: apt-get install chromium, or set MILLRACE_CHROMIUM")
	}
	in := boot(t, "", "")
	demo(t, in)
	browser := browsertest.Start(t)
	for _, path := range []string{"/", "/traffic", "/pipeline"} {
		page := browser.Open(t, in.url+path, browsertest.View{Width: 1280, Height: 1010, Scale: 1.5})
		page.Wait("document.querySelectorAll('.uplot canvas').length > 0")
		page.NoErrors()
		if file := os.Getenv("MILLRACE_SCREENSHOT"); file != "" && path == "/" {
			page.Screenshot(file, false)
		}
	}
}
