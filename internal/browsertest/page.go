package browsertest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// View is how a page is shown.
type View struct {
	Width, Height int // CSS pixels; 0 is 1280 by 900
	Dark          bool
	Scale         float64 // device pixels per CSS pixel; 0 is 1
}

// Page is one tab. Its methods fail the test on errors of the browser.
type Page struct {
	t       testing.TB
	b       *Browser
	session string
	errors  []string // guarded by b.mu
}

// Open opens a URL in a new browser and waits for it to be loaded. It is
// short for Start and Browser.Open.
func Open(t testing.TB, url string, v View) *Page {
	t.Helper()
	return Start(t).Open(t, url, v)
}

// Open opens a URL in a new tab and waits for it to be loaded.
func (b *Browser) Open(t testing.TB, url string, v View) *Page {
	t.Helper()
	var target struct{ TargetID string }
	check(t, "open tab", b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target))
	var attached struct{ SessionID string }
	check(t, "attach", b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached))
	p := &Page{t: t, b: b, session: attached.SessionID}
	b.mu.Lock()
	b.page[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.Show(v)
	p.Go(url)
	return p
}

func (p *Page) call(method string, params map[string]any, into any) {
	p.t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	check(p.t, "page", p.b.call(p.session, method, params, into))
}

// Show changes size and colours.
func (p *Page) Show(v View) {
	p.t.Helper()
	if v.Width == 0 {
		v.Width, v.Height = 1280, 900
	}
	if v.Scale == 0 {
		v.Scale = 1
	}
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": v.Width, "height": v.Height, "deviceScaleFactor": v.Scale, "mobile": v.Width < 700,
	}, nil)
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	p.call("Emulation.setEmulatedMedia", map[string]any{
		"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}},
	}, nil)
}

// Go loads a URL and waits until its scripts have run.
func (p *Page) Go(url string) {
	p.t.Helper()
	var res struct{ ErrorText string }
	p.call("Page.navigate", map[string]any{"url": url}, &res)
	if res.ErrorText != "" {
		p.t.Fatalf("browser: open %s: %s", url, res.ErrorText)
	}
	p.Wait("document.readyState === 'complete' && location.href !== 'about:blank' && performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
}

// event collects what a page complains about. Called with b.mu held.
func (p *Page) event(m message) {
	switch m.Method {
	case "Runtime.exceptionThrown":
		var e struct {
			ExceptionDetails struct {
				Text, URL  string
				LineNumber int
				Exception  struct{ Description string }
			}
		}
		if json.Unmarshal(m.Params, &e) == nil {
			d := e.ExceptionDetails
			p.errors = append(p.errors, fmt.Sprintf("exception: %s %s (%s:%d)", d.Text, d.Exception.Description, d.URL, d.LineNumber+1))
		}
	case "Runtime.consoleAPICalled":
		var e struct {
			Type string
			Args []struct {
				Value       any
				Description string
			}
		}
		if json.Unmarshal(m.Params, &e) == nil && (e.Type == "error" || e.Type == "warning" || e.Type == "assert") {
			var parts []string
			for _, a := range e.Args {
				parts = append(parts, strings.TrimSpace(fmt.Sprint(a.Description, " ", a.Value)))
			}
			p.errors = append(p.errors, "console."+e.Type+": "+strings.Join(parts, " "))
		}
	case "Log.entryAdded":
		var e struct {
			Entry struct{ Level, Text, URL, Source string }
		}
		if json.Unmarshal(m.Params, &e) == nil && (e.Entry.Level == "error" || e.Entry.Level == "warning") {
			p.errors = append(p.errors, fmt.Sprintf("%s %s: %s (%s)", e.Entry.Source, e.Entry.Level, e.Entry.Text, e.Entry.URL))
		}
	}
}

// Errors returns what the page has complained about so far: exceptions,
// console errors and warnings, refused or failed requests.
func (p *Page) Errors() []string {
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	return append([]string(nil), p.errors...)
}

// NoErrors fails the test if the page has complained about anything.
func (p *Page) NoErrors() {
	p.t.Helper()
	for _, e := range p.Errors() {
		p.t.Errorf("browser: %s", e)
	}
}

// Eval evaluates an expression, waiting for a promise, and decodes its value
// into into, unless that is nil.
func (p *Page) Eval(expression string, into any) {
	p.t.Helper()
	check(p.t, "evaluate "+expression, p.eval(expression, into))
}

func (p *Page) eval(expression string, into any) error {
	var res struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	err := p.b.call(p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "returnByValue": true, "awaitPromise": true,
	}, &res)
	if err != nil {
		return err
	}
	if res.ExceptionDetails != nil {
		return fmt.Errorf("%s", res.ExceptionDetails.Exception.Description)
	}
	if into == nil || res.Result.Value == nil {
		return nil
	}
	return json.Unmarshal(res.Result.Value, into)
}

// Wait waits until an expression is true, at most 30 seconds.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		var ok bool
		err := p.eval("Boolean("+expression+")", &ok) // fails while a page is being replaced
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("browser: never became true: %s (%v); page says %v", expression, err, p.Errors())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Key presses a key: a character, or a name such as Enter, Tab or ArrowLeft.
func (p *Page) Key(name string) {
	p.t.Helper()
	codes := map[string]int{"Enter": 13, "Tab": 9, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
	params := map[string]any{"type": "rawKeyDown", "key": name, "windowsVirtualKeyCode": codes[name]}
	if len(name) == 1 {
		params["type"], params["text"] = "keyDown", name
	} else if name == "Enter" {
		params["type"], params["text"] = "keyDown", "\r"
	}
	p.call("Input.dispatchKeyEvent", params, nil)
	p.call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": name, "windowsVirtualKeyCode": codes[name]}, nil)
}

// Drag presses the mouse at one point, moves to another and lets go; with equal
// points it is a click. Points are CSS pixels in the window.
func (p *Page) Drag(x0, y0, x1, y1 float64) {
	p.t.Helper()
	mouse := func(kind string, x, y float64, buttons int) {
		p.call("Input.dispatchMouseEvent", map[string]any{
			"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1,
		}, nil)
	}
	mouse("mouseMoved", x0, y0, 0)
	mouse("mousePressed", x0, y0, 1)
	if x0 != x1 || y0 != y1 {
		mouse("mouseMoved", (x0+x1)/2, (y0+y1)/2, 1)
		mouse("mouseMoved", x1, y1, 1)
	}
	mouse("mouseReleased", x1, y1, 0)
}

// Screenshot writes the whole page, or what is visible of it, as PNG.
func (p *Page) Screenshot(path string, whole bool) {
	p.t.Helper()
	var res struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &res)
	png, err := base64.StdEncoding.DecodeString(res.Data)
	check(p.t, "decode screenshot", err)
	check(p.t, "make folder", os.MkdirAll(filepath.Dir(path), 0o755))
	check(p.t, "write screenshot", os.WriteFile(path, png, 0o644)) //nolint:gosec // a picture for people
}
