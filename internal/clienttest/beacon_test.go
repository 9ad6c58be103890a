package clienttest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// The page is of another site than the server (localhost and 127.0.0.1), which
// takes it for its key. It sends what the page of docs says, and all other ways
// there are, some of which need a preflight.
func TestBrowserBeacons(t *testing.T) {
	chromium := Require(t, "chromium")[0]
	s := Start(t, "")
	key := s.Key()
	const address = "https://millrace.example.com"
	script := Snippet(t, "browser-beacon.md", "js", 0, address, s.URL, "mr_ingest_KEY", key)
	image := Snippet(t, "browser-beacon.md", "html", 0, address, s.URL, "mr_ingest_KEY", key)
	done := make(chan struct{})
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/done":
			close(done)
		case "/":
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprintf(w, `<!doctype html><body>%s<script>
%s
const url = way => millrace.replace('source=shop', 'source=ways') + '&service=' + way;
(async () => {
  for (let n = 0; n < 120; n++) track({ n, event: 'click', ok: true });
  flush();
  navigator.sendBeacon(url('text'), '{"n":1}\n{"n":2}\n');
  navigator.sendBeacon(url('json'), new Blob(['[{"n":1},{"n":2}]'], { type: 'application/json' }));
  const form = new URLSearchParams({ data: '[{"n":1},{"n":2}]' });
  navigator.sendBeacon(url('form') + '&field=data', form);
  await fetch(url('keepalive'), { method: 'POST', body: '[{"n":1},{"n":2}]', keepalive: true });
  const answer = await fetch(url('header').replace(/key=[^&]*/, ''), { method: 'POST', body: '[{"n":1},{"n":2}]',
    headers: { 'Content-Type': 'application/json', 'X-Millrace-Key': '%s', 'X-Millrace-Client': 'page-0001', 'X-Millrace-Seq': '0' } });
  const told = await answer.json();
  await new Promise(resolve => setTimeout(resolve, 500)); // nobody tells when a beacon has left
  await fetch('/done?accepted=' + told.accepted);
})();
</script>`, image, script, key)
		default:
			http.NotFound(w, r)
		}
	}))
	defer page.Close()
	ctx, cancel := context.WithCancel(t.Context())
	browser := exec.CommandContext(ctx, chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir()+"/profile",
		"--remote-debugging-port=0", strings.Replace(page.URL, "127.0.0.1", "localhost", 1))
	if err := browser.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = browser.Wait() }()
	select {
	case <-done:
	case <-time.After(45 * time.Second):
		t.Fatalf("the page did not finish\n%s", s.Log())
	}
	s.Wait(120, "SELECT count(*) FROM events WHERE source = 'shop' AND message = 'click' AND (attrs->>'ok') = 'true' AND (attrs->>'path') = '/'")
	s.Wait(120, "SELECT count(DISTINCT (attrs->>'n')) FROM events WHERE source = 'shop' AND message = 'click'")
	s.Wait(1, "SELECT count(*) FROM events WHERE source = 'shop' AND message = 'view' AND (attrs->>'page') = 'home'")
	for _, way := range []string{"text", "json", "form", "keepalive", "header"} {
		s.Wait(2, "SELECT count(*) FROM events WHERE source = 'ways' AND service = '"+way+"'")
	}
}

// An app posts what it collected until it is answered; the server is killed in
// between, and each request counts once.
func TestPostsOfApps(t *testing.T) {
	curl := Require(t, "curl")[0]
	s := Start(t, "")
	const n = 20
	for i := range n {
		script := Snippet(t, "browser-beacon.md", "sh", 0, "https://millrace.example.com", s.URL, "mr_ingest_KEY", s.Key(),
			"curl ", curl+" --silent -H 'Transfer-Encoding: chunked' ", "Seq: 0", fmt.Sprint("Seq: ", i))
		if i == n/2 {
			s.Kill()
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput(); err == nil {
				t.Fatalf("answered by nobody: %s", out)
			}
			s.Restart()
		}
		for range 2 { // as if the answer had been lost
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput(); err != nil || !strings.Contains(string(out), `"accepted":2`) {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	s.Wait(2*n, "SELECT count(*) FROM events WHERE source = 'app' AND release = '4.2.0'")
	s.Wait(n, "SELECT count(*) FROM events WHERE source = 'app' AND level = 'fatal' AND (attrs->>'name') = 'crash'")
}
