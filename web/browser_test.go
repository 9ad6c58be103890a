package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/browsertest"
)

// shots is where pictures go: to a folder of the test, or to one that is kept.
func shots(t *testing.T) string {
	if dir := os.Getenv("MILLRACE_SCREENSHOTS"); dir != "" {
		return dir
	}
	return t.TempDir()
}

// wide reports whether anything sticks out of the window to the right.
const wide = `document.documentElement.scrollWidth > innerWidth`

func TestPagesInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	f := newFixture(t, setting{now: time.Now().UTC(), lines: 120})
	dir := shots(t)
	for _, page := range []struct {
		path, name string
		charts     int
	}{
		{"/", "overview", 4}, {"/traffic", "traffic", 3}, {"/pipeline", "pipeline", 1}, {"/logs", "logs", 1},
	} {
		for _, v := range []struct {
			name string
			view browsertest.View
		}{
			{"light", browsertest.View{Width: 1280, Height: 900}},
			{"dark", browsertest.View{Width: 1280, Height: 900, Dark: true}},
			{"phone", browsertest.View{Width: 360, Height: 780, Scale: 2}},
		} {
			p := b.Open(t, f.URL+page.path, v.view)
			var drawn int
			p.Eval("document.querySelectorAll('.plot canvas').length", &drawn)
			if drawn != page.charts {
				t.Errorf("%s %s: %d charts drawn, want %d", page.name, v.name, drawn, page.charts)
			}
			var ink bool
			p.Eval(`[...document.querySelectorAll('.plot canvas')].every(c => {
				const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
				const seen = new Set();
				for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add(d[i] + ',' + d[i + 1] + ',' + d[i + 2]);
				return seen.size > 3;
			})`, &ink)
			if !ink {
				t.Errorf("%s %s: a chart is blank", page.name, v.name)
			}
			var sticksOut bool
			if p.Eval(wide, &sticksOut); sticksOut {
				t.Errorf("%s %s: the page is wider than the window", page.name, v.name)
			}
			var raw string
			if p.Eval("document.body.innerText", &raw); strings.Contains(raw, "NaN") || strings.Contains(raw, "undefined") {
				t.Errorf("%s %s: the page shows NaN or undefined", page.name, v.name)
			}
			p.Screenshot(filepath.Join(dir, page.name+"-"+v.name+".png"), true)
			p.NoErrors()
		}
	}
}

func TestEmptyAndBroken(t *testing.T) {
	b := browsertest.Start(t)
	dir := shots(t)
	f := newFixture(t, setting{now: time.Now().UTC()})
	p := b.Open(t, f.URL+"/", browsertest.View{})
	var text string
	p.Eval("document.querySelector('.empty').innerText", &text)
	if !strings.Contains(text, "No data yet") || !strings.Contains(text, "curl '"+f.URL+"/ingest?source=web'") {
		t.Errorf("the empty state says %q", text)
	}
	p.Screenshot(filepath.Join(dir, "empty.png"), true)
	p.NoErrors()

	old := newFixture(t, setting{now: time.Now().UTC(), lines: 5})
	p = b.Open(t, old.URL+"/traffic?from=2020-01-01T00:00:00Z&to=2020-01-01T06:00:00Z", browsertest.View{})
	p.Eval("document.querySelector('.empty').innerText", &text)
	if !strings.Contains(text, "Nothing in this range") {
		t.Errorf("a range without data says %q", text)
	}
	p.Screenshot(filepath.Join(dir, "no-data.png"), true)
	p.Eval("document.querySelector('.empty a').click()", nil)
	p.Wait("document.querySelectorAll('.plot canvas').length === 3")
	p.NoErrors()

	p = b.Open(t, old.URL+"/logs?q=status%3A%5B1+2&from=banana", browsertest.View{})
	p.Eval("document.querySelector('main').innerText", &text)
	if !strings.Contains(text, "position 11") || !strings.Contains(text, "banana") {
		t.Errorf("a bad query says %q", text)
	}
	p.Screenshot(filepath.Join(dir, "bad-query.png"), true)
	p.NoErrors()
}

func TestUsingThePages(t *testing.T) {
	b := browsertest.Start(t)
	dir := shots(t)
	f := newFixture(t, setting{now: time.Now().UTC(), lines: 30})
	p := b.Open(t, f.URL+"/traffic", browsertest.View{})

	// Dragging over a chart narrows the range, in the URL.
	var box struct{ X, Y, W, H float64 }
	at := func(sel string) {
		p.Eval("(() => { const r = document.querySelector('"+sel+"').getBoundingClientRect(); return {X: r.x, Y: r.y, W: r.width, H: r.height} })()", &box)
	}
	at("#plot-views .u-over")
	p.Drag(box.X+box.W*0.4, box.Y+60, box.X+box.W*0.4, box.Y+60.0001)
	p.Go(f.URL + "/traffic")
	at("#plot-views .u-over")
	p.Eval("document.querySelector('#plot-views').focus()", nil)
	p.Key("ArrowLeft")
	p.Key("ArrowLeft")
	p.Wait("!document.querySelector('#plot-views .tip').hidden")
	p.Screenshot(filepath.Join(dir, "tooltip.png"), false)
	p.Drag(box.X+box.W*0.4, box.Y+60, box.X+box.W*0.6, box.Y+60)
	p.Wait("new URLSearchParams(location.search).get('from') && new URLSearchParams(location.search).get('to')")
	p.Wait("document.querySelector('#range summary').innerText.includes('Custom')")

	// A URL in the table becomes a filter, and the filter can be dropped.
	p.Go(f.URL + "/traffic")
	p.Eval("[...document.querySelectorAll('td.first a')].find(a => a.innerText === '/api/cart').click()", nil)
	p.Wait("document.querySelector('.chips')?.innerText.includes('/api/cart')")
	p.Wait("document.querySelectorAll('.plot canvas').length === 2") // no set has url and status
	p.Screenshot(filepath.Join(dir, "filtered.png"), true)
	p.Eval("document.querySelector('.chips a').click()", nil)
	p.Wait("!document.querySelector('.chips') && document.querySelectorAll('.plot canvas').length === 3")

	// The time picker.
	p.Eval("document.querySelector('#range summary').click()", nil)
	p.Screenshot(filepath.Join(dir, "menu.png"), false)
	p.Eval("[...document.querySelectorAll('#range a')].find(a => a.innerText === 'Last 6 hours').click()", nil)
	p.Wait("location.search.includes('from=-6h') && document.querySelector('#range summary').innerText.includes('Last 6 hours')")

	// Enter on a point of a chart opens its rows.
	p.Eval("document.querySelector('#plot-views').focus()", nil)
	p.Key("ArrowRight")
	p.Key("Enter")
	p.Wait("location.pathname === '/logs' && new URLSearchParams(location.search).get('q') === 'kind:access'")

	// The theme can be switched and stays.
	p.Eval("document.querySelector('#theme').click()", nil)
	p.Wait("document.documentElement.dataset.theme === 'dark'")
	p.Go(f.URL + "/")
	p.Wait("document.documentElement.dataset.theme === 'dark' && document.querySelectorAll('.plot canvas').length === 4")

	// Refreshing keeps the charts and updates them.
	p.Eval("document.querySelector('#plot-views').dataset.mark = '1'; window.before = document.querySelector('#plot-views canvas')", nil)
	p.Key("r")
	p.Wait("!document.querySelector('#plot-views').dataset.mark && document.querySelector('#plot-views canvas') === window.before")

	// Rows open from the keyboard and show their fields.
	p.Go(f.URL + "/logs?q=kind%3Aexception")
	p.Eval("document.querySelector('#rows summary').focus()", nil)
	p.Key("Enter")
	p.Wait("document.querySelector('#rows details[open] .attrs').innerText.includes('fingerprint')")
	p.Screenshot(filepath.Join(dir, "row.png"), false)
	p.NoErrors()
}
