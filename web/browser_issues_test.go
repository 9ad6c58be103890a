package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/browsertest"
)

// issueViews are the sizes and colours in which pages are looked at.
var issueViews = []struct {
	name string
	view browsertest.View
}{
	{"light", browsertest.View{Width: 1440, Height: 900}},
	{"dark", browsertest.View{Width: 1440, Height: 900, Dark: true}},
	{"phone-light", browsertest.View{Width: 390, Height: 844, Scale: 2}},
	{"phone-dark", browsertest.View{Width: 390, Height: 844, Scale: 2, Dark: true}},
}

func TestIssuePagesInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	f := newFixture(t, setting{now: time.Now().UTC(), lines: 10, issues: (*fakeIssues).loadFaults})
	dir := shots(t)
	for _, page := range []struct {
		path, name string
		charts     int
	}{
		{"/exceptions", "exceptions", 0},
		{"/exceptions?state=all&order=last_seen&vs=week", "exceptions-all", 0},
		{"/issues/" + f.fake.rows[0].ID, "issue", 1},
		{"/issues/" + f.fake.rows[17].ID, "issue-long", 1},
		{"/exceptions/types", "types", 1},
		{"/exceptions/types?as=lines&q=ValueError", "types-one", 1},
	} {
		for i, v := range issueViews {
			if i == 1 || i == 2 && len(page.name) > len("exceptions") { // dark, and details on a phone, only for people
				if os.Getenv("MILLRACE_SCREENSHOTS") == "" {
					continue
				}
			}
			p := b.Open(t, f.URL+page.path, v.view)
			var drawn int
			p.Eval("document.querySelectorAll('.plot canvas').length", &drawn)
			if drawn != page.charts {
				t.Errorf("%s %s: %d charts drawn, want %d", page.name, v.name, drawn, page.charts)
			}
			var sticksOut bool
			if p.Eval(wide, &sticksOut); sticksOut {
				t.Errorf("%s %s: the page is wider than the window", page.name, v.name)
			}
			var raw string
			if p.Eval("document.body.innerText", &raw); strings.Contains(raw, "NaN") || strings.Contains(raw, "undefined") && page.name != "exceptions" && !strings.Contains(raw, "of undefined") {
				t.Errorf("%s %s: the page shows NaN or undefined", page.name, v.name)
			}
			p.Screenshot(filepath.Join(dir, page.name+"-"+v.name+".png"), true)
			p.NoErrors()
		}
	}
}

// TestActingInBrowser selects by keyboard, acts by a menu, and takes it back.
func TestActingInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	f := newFixture(t, setting{now: time.Now().UTC(), lines: 1, issues: (*fakeIssues).loadFaults})
	p := b.Open(t, f.URL+"/exceptions", browsertest.View{Width: 1440, Height: 900})
	p.Eval("document.body.focus()", nil)
	p.Key("j")
	p.Key("x")
	p.Key("j")
	p.Key("x")
	p.Wait("document.querySelector('.selected').textContent === '2 selected'")
	p.Eval("[...document.querySelectorAll('summary')].find(s => s.textContent.includes('Ignore')).click()", nil)
	p.Screenshot(filepath.Join(shots(t), "selected.png"), false)
	p.Eval("document.querySelector('input[name=occurrences]').focus()", nil)
	for _, key := range []string{"5", "0", "Enter"} {
		p.Key(key)
	}
	p.Wait("document.querySelector('.flash')?.innerText.includes('2 issues ignored until 50 more came')")
	p.Eval("document.querySelector('.flash button').click()", nil)
	p.Wait("document.querySelector('.flash')?.innerText.includes('2 changes taken back')")
	p.Eval("document.querySelector('#all').click()", nil)
	p.Wait("document.querySelectorAll('.issues input:checked').length === document.querySelectorAll('.issues tbody tr').length")
	// A filter applies by itself, and the page stays one page.
	p.Eval("window.stayed = 1; const s = document.querySelector('select[name=order]'); s.value = 'last_seen'; s.dispatchEvent(new Event('change', {bubbles: true}))", nil)
	p.Wait("new URLSearchParams(location.search).get('order') === 'last_seen' && window.stayed")
	p.Key("j")
	p.Key("o")
	p.Wait("location.pathname.startsWith('/issues/') && document.querySelectorAll('.plot canvas').length === 1 && window.stayed")
	p.Key("j")
	p.Wait("document.querySelector('.position').innerText.startsWith('2 of') && location.search.includes('at=')")
	p.NoErrors()
}
