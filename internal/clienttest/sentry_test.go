package clienttest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sentryDSN is the one of the clients' pages.
const sentryDSN = "https://mr_ingest_KEY@millrace.example.com/322657246"

// dsn returns a DSN of the server with a key of its own.
func dsn(s *Server) string {
	return "http://" + s.Key() + "@" + s.Addr + "/322657246"
}

// allSamples keeps every exception with its details, so that each can be found.
const allSamples = "pipeline: {exceptions: {samples: 1000}}\n"

// sentryProgram is a program that throws errors and captures them with an SDK. It
// gets how many at most, the milliseconds between them, and the name of a file
// that appears when it is to end, as arguments. It prints "sent ID" for each that
// it handed to the SDK and "acked ID" for each that the server answered with 200.
type sentryProgram struct {
	s           *Server
	stop        string // the file
	sent, acked []string
	watch       func()
}

func (p *sentryProgram) run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		p.line(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.String())
	}
}

func (p *sentryProgram) line(text string) {
	word, id, _ := strings.Cut(text, " ")
	id = strings.ReplaceAll(id, "-", "")
	switch word {
	case "sent":
		p.sent = append(p.sent, id)
	case "acked":
		p.acked = append(p.acked, id)
	}
	if p.watch != nil {
		p.watch()
	}
}

// restart kills the server after before events were answered, starts it again a
// little later while the program goes on, and ends the program after as many more.
func (p *sentryProgram) restart(t *testing.T, before int) {
	const running, ending = 0, 1
	state, base := -1, 0
	back := make(chan struct{})
	p.watch = func() {
		switch {
		case state < running && len(p.acked) >= before:
			state = running
			go func() {
				defer close(back)
				p.s.Kill()
				time.Sleep(200 * time.Millisecond)
				p.s.Restart()
			}()
		case state == running:
			select {
			case <-back:
				state, base = ending, len(p.acked)
			default:
			}
		case state == ending && len(p.acked) >= base+before:
			p.watch = nil
			writeFile(t, filepath.Dir(p.stop), filepath.Base(p.stop), "")
		}
	}
}

// sentryCase is what is different about one SDK.
type sentryCase struct {
	command  []string
	dir      string                                           // where it runs
	run      func(t *testing.T, p *sentryProgram, n, gap int) // instead of command
	typ      string                                           // of the errors
	cause    string
	function string // where they are thrown
	file     string // its end
}

// testSentry: all that is sent is stored with type, message, frames, release and
// environment, and counted; across a kill everything that was acknowledged is
// there, nothing twice, and what is sent after the restart arrives.
func testSentry(t *testing.T, s *Server, c sentryCase) {
	t.Helper()
	if c.run == nil {
		c.run = func(t *testing.T, p *sentryProgram, n, gap int) {
			cmd := exec.Command(c.command[0], append(c.command[1:], fmt.Sprint(n), fmt.Sprint(gap), p.stop)...)
			cmd.Dir = c.dir
			p.run(t, cmd)
		}
	}
	const n = 20
	p := sentryProgram{s: s}
	c.run(t, &p, n, 0)
	if len(p.sent) != n || len(p.acked) != n {
		t.Fatalf("%d sent, %d answered with 200, want %d\n%s", len(p.sent), len(p.acked), n, s.Log())
	}
	s.Wait(n, "SELECT count(*) FROM exceptions")
	for i, row := range s.SQL("SELECT type, message, level, env, release, service, attrs->>'cause', f->>'function', f->>'file', f->>'in_app' FROM (SELECT *, attrs->'$.exception_report.exception.frames[0]' AS f FROM exceptions) ORDER BY message") {
		want := []string{c.typ, fmt.Sprintf("%s: no stock for order %03d", c.typ, i), "error", "prod", "shop@1.4.2", "shop", c.cause, c.function}
		if !slices.Equal(row[:8], want) || !strings.HasSuffix(row[8], c.file) || row[9] != "true" {
			t.Fatalf("row %d\n%q, want\n%q in …%s", i, row, want, c.file)
		}
	}
	s.Wait(n, "SELECT coalesce(sum(count), 0)::BIGINT FROM rollup_exceptions WHERE granularity = '1m' AND dimension_set = 'fingerprint'")
	if rows := s.SQL("SELECT count(DISTINCT fingerprint) FROM exceptions WHERE fingerprint <> ''"); rows[0][0] != "1" {
		t.Errorf("%s fingerprints of one error", rows[0][0])
	}

	const before = 15
	again := sentryProgram{s: s, stop: filepath.Join(t.TempDir(), "stop")}
	again.restart(t, before)
	c.run(t, &again, 5000, 30)
	if again.watch != nil {
		t.Fatalf("%d sent, %d answered with 200: nothing more after the restart", len(again.sent), len(again.acked))
	}
	last := again.acked[len(again.acked)-1]
	s.Wait(1, "SELECT count(*) FROM exceptions WHERE replace(attrs->>'event_id', '-', '') = '"+last+"'")
	stored := map[string]int{}
	for _, row := range s.SQL("SELECT replace(attrs->>'event_id', '-', ''), count(*) FROM exceptions GROUP BY 1") {
		if stored[row[0]]++; row[1] != "1" {
			t.Errorf("event %s is there %s times", row[0], row[1])
		}
	}
	for _, id := range slices.Concat(p.acked, again.acked) {
		if stored[id] == 0 {
			t.Errorf("event %s was answered with 200 and is not there", id)
		}
	}
	for id := range stored {
		if !slices.Contains(p.sent, id) && !slices.Contains(again.sent, id) {
			t.Errorf("event %s was never sent", id)
		}
	}
	t.Logf("across a kill: %d sent, %d answered with 200, %d stored", len(again.sent), len(again.acked), len(stored)-n)
}

// writeFile writes a program into a folder of the test.
func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSentryPython(t *testing.T) {
	s := Start(t, allSamples)
	program := writeFile(t, t.TempDir(), "shop.py", `
import sys, time, json, os
from sentry_sdk.transport import HttpTransport

def tell(word, id):
    sys.stdout.write("%s %s\n" % (word, id)) # at once: two threads write
    sys.stdout.flush()

def acknowledged(f):
    def request(self, *args, **kwargs):
        response = f(self, *args, **kwargs)
        id = response.status == 200 and json.loads(response.data).get("id")
        if id: # else it was no event
            tell("acked", id)
        return response
    return request

HttpTransport._request = acknowledged(HttpTransport._request)
`+Snippet(t, "sentry-python.md", "python", 0, sentryDSN, dsn(s))+`
class OutOfStock(Exception):
    pass

def reserve(n):
    try:
        return {}["sku-1"]
    except KeyError as e:
        raise OutOfStock("no stock for order %03d" % n) from e

for n in range(int(sys.argv[1])):
    if os.path.exists(sys.argv[3]):
        break
    try:
        reserve(n)
    except OutOfStock as e:
        tell("sent", sentry_sdk.capture_exception(e))
    time.sleep(int(sys.argv[2]) / 1000)
sentry_sdk.flush(10)
`)
	python := Python(t)
	testSentry(t, s, sentryCase{
		command: []string{python, program}, dir: filepath.Dir(program), // what is below is the application's
		typ: "OutOfStock", cause: "KeyError", function: "reserve", file: "shop.py",
	})
}

// sentryJS is the rest of the programs for Node and for browsers, which define
// tell, and stop.
const sentryJS = `
class OutOfStock extends Error {
  name = 'OutOfStock';
}

function reserve(n) {
  try {
    null['sku-' + n]; // else the SDK takes the second for a duplicate of the first
  } catch (e) {
    throw new OutOfStock('no stock for order ' + String(n).padStart(3, '0'), { cause: e });
  }
}

async function shop(count, gap) {
  const client = Sentry.getClient();
  client.on('beforeSendEvent', (event) => tell('sent', event.event_id));
  client.on('afterSendEvent', (event, response) => {
    if (response.statusCode === 200) tell('acked', event.event_id);
  });
  for (let n = 0; n < count && !(await stop()); n++) {
    try {
      reserve(n);
    } catch (e) {
      Sentry.captureException(e);
    }
    await new Promise((resolve) => setTimeout(resolve, gap));
  }
  await Sentry.flush(10000);
}
`

func TestSentryNode(t *testing.T) {
	node := Require(t, "node")[0]
	s := Start(t, allSamples)
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(JS(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	program := writeFile(t, dir, "shop.mjs", "import { existsSync } from 'node:fs';\n"+Snippet(t, "sentry-node.md", "js", 0, sentryDSN, dsn(s))+`
const tell = (word, id) => console.log(word, id);
const stop = async () => existsSync(process.argv[4]);
`+sentryJS+`
await shop(Number(process.argv[2]), Number(process.argv[3]));
process.exit(0);
`)
	testSentry(t, s, sentryCase{
		command: []string{node, program},
		typ:     "OutOfStock", cause: "TypeError", function: "reserve", file: "shop.mjs",
	})
}

// The program in Go is built outside of this module's folder, by its go.mod.
func TestSentryGo(t *testing.T) {
	gotool := Require(t, "go")[0]
	s := Start(t, allSamples)
	dir := t.TempDir()
	program := writeFile(t, dir, "main.go", `package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/getsentry/sentry-go"
)

type acknowledged struct{}

func (acknowledged) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	body, err := io.ReadAll(resp.Body)
	var answer struct{ ID string }
	if err == nil && json.Unmarshal(body, &answer) == nil {
		fmt.Println("acked", answer.ID)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

type NotFound struct{ sku string }

func (e *NotFound) Error() string { return "unknown " + e.sku }

type OutOfStock struct {
	order int
	err   error
}

func (e *OutOfStock) Error() string { return fmt.Sprintf("no stock for order %03d", e.order) }
func (e *OutOfStock) Unwrap() error { return e.err }

//go:noinline
func reserve(n int) {
	id := sentry.CaptureException(&OutOfStock{n, &NotFound{"sku-1"}})
	fmt.Println("sent", *id)
}

func main() {
`+Snippet(t, "sentry-go.md", "go", 0, sentryDSN, dsn(s), "	Environment:", "	HTTPTransport: acknowledged{},\n	Environment:")+`
	count, _ := strconv.Atoi(os.Args[1])
	gap, _ := strconv.Atoi(os.Args[2])
	for n := range count {
		if _, err := os.Stat(os.Args[3]); err == nil {
			break
		}
		reserve(n)
		time.Sleep(time.Duration(gap) * time.Millisecond)
	}
}
`)
	binary := filepath.Join(dir, "shop")
	if out, err := exec.Command(gotool, "build", "-o", binary, program).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	testSentry(t, s, sentryCase{
		command: []string{binary},
		typ:     "*main.OutOfStock", cause: "*main.NotFound", function: "reserve", file: "main.go",
	})
}
