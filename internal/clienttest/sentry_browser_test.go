package clienttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The page is of another origin than the server, so that the browser asks for
// every header it may send and read. It throws the errors, the SDK catches them
// where nobody else does, and it tells its own server what it did.
func TestSentryBrowser(t *testing.T) {
	chromium := Require(t, "chromium")[0]
	s := Start(t, allSamples)
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(JS(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	program := writeFile(t, dir, "shop.js", Snippet(t, "sentry-browser.md", "js", 0, sentryDSN, dsn(s))+`
let told = 0;
const tell = (word, id) => { told++; fetch('/tell', { method: 'POST', body: word + ' ' + id }); };
`+strings.Replace(sentryJS, "Sentry.captureException(e);", "setTimeout(() => { throw e; });", 1)+`
const stop = async () => (await fetch('/stop')).ok;
const args = new URLSearchParams(location.search);
await shop(Number(args.get('count')), Number(args.get('gap')));
tell('done', told);
`)
	bundle := filepath.Join(dir, "bundle.js")
	esbuild := filepath.Join(dir, "node_modules", ".bin", "esbuild")
	if out, err := exec.Command(esbuild, program, "--bundle", "--format=esm", "--target=es2022", "--outfile="+bundle).CombinedOutput(); err != nil {
		t.Fatalf("esbuild: %v\n%s", err, out)
	}
	code, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	var stop atomic.Pointer[string]
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tell":
			line, _ := io.ReadAll(r.Body)
			lines <- string(line)
		case "/stop":
			if _, err := os.Stat(*stop.Load()); err != nil {
				http.NotFound(w, r)
			}
		case "/bundle.js":
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(code)
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, `<!doctype html><title>Shop</title><script type="module" src="/bundle.js"></script>`)
		default:
			http.NotFound(w, r)
		}
	}))
	defer page.Close()
	testSentry(t, s, sentryCase{
		run: func(t *testing.T, p *sentryProgram, n, gap int) {
			stop.Store(&p.stop)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
				"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
				"--remote-debugging-pipe", "--user-data-dir="+filepath.Join(dir, fmt.Sprint("profile", n)),
				fmt.Sprintf("%s/?count=%d&gap=%d", page.URL, n, gap))
			defer background(t, cmd)()
			for told, want := 0, -1; told != want; { // they come in any order
				select {
				case line := <-lines:
					if _, err := fmt.Sscanf(line, "done %d", &want); err != nil {
						told++
						p.line(line)
					}
				case <-ctx.Done():
					t.Fatalf("the page did not finish: %d sent, %d answered with 200", len(p.sent), len(p.acked))
				}
			}
		},
		typ: "OutOfStock", cause: "TypeError", function: "reserve", file: "bundle.js",
	})
}

// background starts a program with pipes as descriptors 3 and 4, which keep a
// browser from ending, and returns what ends it.
func background(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	in, toChild, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromChild, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{in, out}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = in.Close(), out.Close()
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		_, _ = toChild.Close(), fromChild.Close()
	}
}
