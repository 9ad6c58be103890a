package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/browsertest"
)

// TestSDKPages has the SDKs of Go, Node, Python and browsers report errors that
// programs really throw, with causes and in asynchronous code, and looks at the
// pages of the issues in a browser. MILLRACE_SCREENSHOTS=DIR keeps what they show.
func TestSDKPages(t *testing.T) {
	if os.Getenv("MILLRACE_CLIENTS") == "" {
		t.Skip("needs real clients: make test-clients")
	}
	in := boot(t, "", "")
	dsn := "http://public@" + strings.TrimPrefix(in.url, "http://") + "/1"
	for _, sdk := range sdkPrograms {
		t.Run(sdk.name, func(t *testing.T) { sdk.run(t, dsn) })
	}
	in.drain(len(sdkPrograms))
	ids := in.issueIDs(int64(len(sdkPrograms)))
	b := browsertest.Start(t)
	dir := os.Getenv("MILLRACE_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for _, v := range []browsertest.View{
		{Width: 1440, Height: 900},
		{Width: 1440, Height: 900, Dark: true},
		{Width: 390, Height: 844, Scale: 2},
		{Width: 390, Height: 844, Scale: 2, Dark: true},
	} {
		name := fmt.Sprintf("%d-%s", v.Width, map[bool]string{true: "dark", false: "light"}[v.Dark])
		var list []string
		for _, sdk := range sdkPrograms {
			list = append(list, sdk.short, sdk.message)
			id := ids[sdk.typ]
			if id == "" {
				t.Fatalf("%s: no issue of type %s among %v", sdk.name, sdk.typ, ids)
			}
			shown(t, b.Open(t, in.url+"/issues/"+id+"?env=all", v), filepath.Join(dir, "sdk-"+sdk.name+"-"+name+".png"), append(sdk.frames, sdk.short, sdk.message, sdk.cause))
		}
		shown(t, b.Open(t, in.url+"/exceptions?env=all", v), filepath.Join(dir, "sdk-list-"+name+".png"), list)
	}
}

// shown checks that a page has texts, fits its window and worked.
func shown(t *testing.T, p *browsertest.Page, picture string, texts []string) {
	t.Helper()
	p.Screenshot(picture, true)
	var text string
	p.Eval("document.body.innerText", &text)
	text = strings.Join(strings.Fields(text), " ")
	for _, want := range texts {
		if !strings.Contains(text, want) {
			t.Errorf("%s: the page lacks %q:\n%.3000s", filepath.Base(picture), want, text)
		}
	}
	var wide bool
	if p.Eval("document.documentElement.scrollWidth > innerWidth", &wide); wide {
		t.Errorf("%s: the page is wider than the window", filepath.Base(picture))
	}
	p.NoErrors()
}

// sdkProgram throws one error, which its SDK reports.
type sdkProgram struct {
	name, typ, short, message, cause string
	frames                           []string // functions of the application that the page shows
	run                              func(t *testing.T, dsn string)
}

var sdkPrograms = []sdkProgram{
	{
		name: "go", typ: "*main.OutOfStock", short: "OutOfStock", message: "no stock for order 17", cause: "connection refused by warehouse",
		frames: []string{"reserve", "checkout"}, run: runSDKGo,
	},
	{
		name: "node", typ: "PaymentDeclined", short: "PaymentDeclined", message: "card declined for order 18", cause: "Cannot read properties of undefined (reading 'balance')",
		frames: []string{"capture", "checkout"}, run: runSDKNode,
	},
	{
		name: "python", typ: "QuoteFailed", short: "QuoteFailed", message: "no quote for order 19", cause: "KeyError",
		frames: []string{"quote", "checkout"}, run: runSDKPython,
	},
	{
		name: "browser", typ: "CartBroken", short: "CartBroken", message: "cart of order 20 is broken", cause: "Cannot read properties of null (reading 'items')",
		frames: []string{"render", "refresh"}, run: runSDKBrowser,
	},
}

// clientCache is where make client-tools installs clients.
func clientCache(t *testing.T) string {
	t.Helper()
	root := os.Getenv("MILLRACE_CACHE")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(home, ".cache", "millrace-test")
	}
	return filepath.Join(root, "clients")
}

// runs runs a program to its end.
func runs(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

// source writes a program into a new folder, with the DSN for DSN.
func source(t *testing.T, name, dsn, text string) (dir, file string) {
	t.Helper()
	dir = t.TempDir()
	file = filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "DSN", dsn)), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// runSDKGo builds by the go.mod of the tests with clients.
func runSDKGo(t *testing.T, dsn string) {
	dir, file := source(t, "main.go", dsn, `package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/getsentry/sentry-go"
)

type OutOfStock struct {
	order int
	err   error
}

func (e *OutOfStock) Error() string { return fmt.Sprintf("no stock for order %d", e.order) }
func (e *OutOfStock) Unwrap() error { return e.err }

//go:noinline
func reserve(order int) error {
	err := &OutOfStock{order, errors.New("connection refused by warehouse")}
	sentry.CaptureException(err)
	return err
}

//go:noinline
func checkout(order int, done chan<- error) { done <- reserve(order) }

func main() {
	if err := sentry.Init(sentry.ClientOptions{Dsn: "DSN", Environment: "prod", Release: "shop@2.0.0"}); err != nil {
		panic(err)
	}
	done := make(chan error)
	go checkout(17, done)
	<-done
	if !sentry.Flush(10 * time.Second) {
		panic("not sent")
	}
}
`)
	runs(t, filepath.Join("..", "..", "internal", "clienttest"), "go", "build", "-o", filepath.Join(dir, "shop"), file)
	runs(t, dir, filepath.Join(dir, "shop"))
}

// nodeModules makes the installed packages known in a folder.
func nodeModules(t *testing.T, dir string) {
	t.Helper()
	if err := os.Symlink(filepath.Join(clientCache(t), "js", "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
}

func runSDKNode(t *testing.T, dsn string) {
	dir, file := source(t, "shop.mjs", dsn, `import * as Sentry from '@sentry/node';

Sentry.init({ dsn: 'DSN', environment: 'prod', release: 'shop@2.0.0' });

class PaymentDeclined extends Error {
  name = 'PaymentDeclined';
}

async function capture(order) {
  await new Promise((resolve) => setTimeout(resolve, 5));
  try {
    return undefined.balance;
  } catch (e) {
    throw new PaymentDeclined('card declined for order ' + order, { cause: e });
  }
}

async function checkout(order) {
  await capture(order);
}

try {
  await checkout(18);
} catch (e) {
  Sentry.captureException(e);
}
if (!(await Sentry.flush(10000))) process.exit(1);
process.exit(0);
`)
	nodeModules(t, dir)
	runs(t, dir, "node", file)
}

func runSDKPython(t *testing.T, dsn string) {
	dir, file := source(t, "shop.py", dsn, `import asyncio
import sentry_sdk

sentry_sdk.init(dsn="DSN", environment="prod", release="shop@2.0.0")

class QuoteFailed(Exception):
    pass

async def quote(order):
    await asyncio.sleep(0.005)
    try:
        return {}["carrier"]
    except KeyError as e:
        raise QuoteFailed("no quote for order %d" % order) from e

async def checkout(order):
    return await quote(order)

try:
    asyncio.run(checkout(19))
except QuoteFailed as e:
    sentry_sdk.capture_exception(e)
sentry_sdk.flush(10)
`)
	runs(t, dir, filepath.Join(clientCache(t), "python", "bin", "python"), file)
}

// runSDKBrowser opens a page of another origin, in which nobody catches the error.
func runSDKBrowser(t *testing.T, dsn string) {
	dir, file := source(t, "shop.js", dsn, `import * as Sentry from '@sentry/browser';

Sentry.init({ dsn: 'DSN', environment: 'prod', release: 'shop@2.0.0' });

class CartBroken extends Error {
  name = 'CartBroken';
}

function render(cart, order) {
  try {
    return cart.items;
  } catch (e) {
    throw new CartBroken('cart of order ' + order + ' is broken', { cause: e });
  }
}

function refresh() {
  render(null, 20);
}

Sentry.getClient().on('afterSendEvent', (event, response) => { document.title = 'sent ' + response.statusCode; });
setTimeout(refresh, 10);
`)
	nodeModules(t, dir)
	bundle := filepath.Join(dir, "bundle.js")
	runs(t, dir, filepath.Join(dir, "node_modules", ".bin", "esbuild"), file, "--bundle", "--format=esm", "--target=es2022", "--outfile="+bundle)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bundle.js" {
			http.ServeFile(w, r, bundle)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script type="module" src="/bundle.js"></script>`)
	}))
	defer page.Close()
	p := browsertest.Open(t, page.URL, browsertest.View{})
	p.Wait("document.title.startsWith('sent')")
	var title string
	if p.Eval("document.title", &title); title != "sent 200" {
		t.Errorf("the SDK was answered: %s", title)
	}
}
