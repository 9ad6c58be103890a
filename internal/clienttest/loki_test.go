package clienttest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lokiScript runs a program that logs half of its lines, says "half", waits for a
// line, logs the others and says "done". The server is killed and started again
// while it waits.
func lokiScript(t *testing.T, s *Server, between func(), program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(word string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != word {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			t.Fatalf("%s said %q, want %q\n%s\n%s", filepath.Base(program), lines.Text(), word, log.String(), s.Log())
		}
	}
	expect("half")
	between()
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	expect("done")
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
}

func (s *Server) killAndRestart() {
	s.Kill()
	s.Restart()
}

// lokiFields fails unless all n lines are there once, with their fields.
func lokiFields(t *testing.T, s *Server, source string, n int, where string) {
	t.Helper()
	s.Wait(n, "SELECT count(*) FROM events WHERE source = '"+source+"'")
	s.Wait(n, "SELECT count(DISTINCT CAST((attrs->>'n') AS INTEGER)) FROM events WHERE source = '"+source+"' AND "+where)
}

const winstonTest = `
import { createInterface } from 'node:readline';
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const levels = ['debug', 'info', 'warn', 'error'];
async function log(from, to) {
  for (let n = from; n < to; n++) logger.log(levels[n % 4], 'order accepted', { n, user: 'u' + n, amount: n + 0.5, seen: true });
  await new Promise(resolve => setTimeout(resolve, 200)); // winston's streams
  await transport.batcher.sendBatchToLoki(); // as its timer does every five seconds
}
const total = Number(process.argv[2]);
await log(0, total / 2);
console.log('half');
await input.next();
await log(total / 2, total);
console.log('done');
process.exit(0);
`

// winston-loki sends JSON: N lines in, N events out, over a kill.
func TestLokiWinston(t *testing.T) {
	node := Require(t, "node")[0]
	s := Start(t, "")
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(JS(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	code := Snippet(t, "loki-winston.md", "js", 0, "https://millrace.example.com", s.URL, "mr_ingest_KEY", s.Key())
	program := writeFile(t, dir, "shop.mjs", code+winstonTest)
	const n = 400
	lokiScript(t, s, s.killAndRestart, node, program, fmt.Sprint(n))
	lokiFields(t, s, "loki", n, `message = 'order accepted' AND service = 'checkout' AND env = 'prod' AND (attrs->>'app') = 'checkout'
		AND (attrs->>'user') = 'u' || (attrs->>'n') AND CAST((attrs->>'amount') AS DOUBLE) = CAST((attrs->>'n') AS INTEGER) + 0.5 AND (attrs->>'seen') = 'true'
		AND level = (CASE CAST((attrs->>'n') AS INTEGER) % 4 WHEN 0 THEN 'debug' WHEN 1 THEN 'info' WHEN 2 THEN 'warn' ELSE 'error' END)`)
}

// A batch that was not answered comes again as a whole: the server died after it
// had the batch, and this client tries again, so that each line of it is there
// twice, which the protocol cannot prevent, and none is lost.
func TestLokiLostAnswer(t *testing.T) {
	node := Require(t, "node")[0]
	t.Setenv("MILLRACE_FAILPOINTS", "queue.append.after=kill")
	s := Start(t, "")
	if err := os.Unsetenv("MILLRACE_FAILPOINTS"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(JS(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	code := Snippet(t, "loki-winston.md", "js", 0, "https://millrace.example.com", s.URL, "mr_ingest_KEY", s.Key())
	program := writeFile(t, dir, "shop.mjs", code+strings.Replace(winstonTest, "await transport.batcher.sendBatchToLoki();",
		"await transport.batcher.sendBatchToLoki().catch(() => {});", 1))
	const n = 20
	lokiScript(t, s, s.killAndRestart, node, program, fmt.Sprint(n))
	s.Wait(n+n/2, "SELECT count(*) FROM events WHERE source = 'loki'")
	s.Wait(n, "SELECT count(DISTINCT (attrs->>'n')) FROM events WHERE source = 'loki'")
}

const pythonLokiTest = `
import sys
levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR]
def log(start, end):
    for n in range(start, end):
        logger.log(levels[n % 4], "msg=accepted n=%d user=u%d", n, n, extra={"tags": {"region": "eu"}})
total = int(sys.argv[1])
log(0, total // 2)
print("half", flush=True)
sys.stdin.readline()
log(total // 2, total)
print("done", flush=True)
`

// python-logging-loki sends each record at once, in both forms of the API.
func TestLokiPython(t *testing.T) {
	Require(t)
	python := Python(t)
	s := Start(t, "")
	key := s.Key()
	const n = 200
	for version, source := range map[string]string{"0": "old", "1": "new"} {
		path := map[string]string{"0": "/api/prom/push", "1": "/loki/api/v1/push"}[version]
		code := Snippet(t, "loki-python.md", "python", 0, "https://millrace.example.com/loki/api/v1/push", s.URL+path+"?source="+source,
			"mr_ingest_KEY", key, `version="1"`, `version="`+version+`"`)
		program := writeFile(t, t.TempDir(), "shop.py", code+pythonLokiTest)
		lokiScript(t, s, s.killAndRestart, python, program, fmt.Sprint(n))
		lokiFields(t, s, source, n, `service = 'checkout' AND env = 'prod' AND (attrs->>'logger') = 'shop.cart' AND (attrs->>'region') = 'eu'
			AND (attrs->>'user') = 'u' || (attrs->>'n') AND message = 'accepted'
			AND level = (CASE CAST((attrs->>'n') AS INTEGER) % 4 WHEN 0 THEN 'debug' WHEN 1 THEN 'info' WHEN 2 THEN 'warn' ELSE 'error' END)`)
	}
}
