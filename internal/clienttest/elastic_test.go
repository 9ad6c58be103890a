package clienttest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// elasticEvents is how many events each client sends; the server is killed when
// a third of them has been handed over.
const elasticEvents = 3000

// feeder writes events to a client's input and closes it.
type feeder func(w io.WriteCloser, line func(i int) string) error

// feed writes events to a client, kills the server in the middle and starts it
// again a moment later.
func (s *Server) feed(w io.WriteCloser, line func(i int) string) error {
	restarted := make(chan struct{})
	for i := range elasticEvents {
		if i == elasticEvents/3 {
			s.Kill()
			go func() {
				defer close(restarted)
				time.Sleep(300 * time.Millisecond)
				s.Restart()
			}()
		}
		if _, err := io.WriteString(w, line(i)+"\n"); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
		if i%20 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	<-restarted
	return w.Close()
}

// eventLine is what the snippets are fed with. named tells whether it has an id.
func eventLine(named bool) func(int) string {
	return func(i int) string {
		id := ""
		if named {
			id = fmt.Sprintf(`"id":"event-%d",`, i)
		}
		return fmt.Sprintf(`{%s"@timestamp":"2026-03-05T11:59:58.%03dZ","message":"order %d placed","log":{"level":"WARN"},`+
			`"service":{"name":"checkout","version":"1.2.3"},"host":{"name":"web-07"},"trace":{"id":"4bf92f3577b34da6"},"order":%d}`, id, i%1000, i, i)
	}
}

// checkEvents looks at the fields of what is stored.
func (s *Server) checkEvents(source string) {
	s.t.Helper()
	s.Wait(elasticEvents, fmt.Sprintf(`SELECT count(DISTINCT message) FROM events WHERE source = '%s' AND level = 'warn' AND service = 'checkout' AND release = '1.2.3'
		AND host = 'web-07' AND trace_id = '4bf92f3577b34da6' AND time >= TIMESTAMP '2026-03-05 11:59:58' AND time < TIMESTAMP '2026-03-05 11:59:59'
		AND message = 'order ' || (attrs->>'order') || ' placed'`, source))
}

// runClient runs a program whose input is fed, and fails unless it ends well.
func (s *Server) runClient(cmd *exec.Cmd, line func(int) string, feed feeder) {
	s.t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer ended.Stop()
	if err := feed(in, line); err != nil {
		s.t.Errorf("%v\n%s", err, &out)
	}
	if err := cmd.Wait(); err != nil {
		s.t.Fatalf("%v\n%s", err, &out)
	}
	if strings.Contains(out.String(), "exception") {
		s.t.Errorf("%s", &out)
	}
}

// checkDoubled holds what a kill may double: nothing of what has a name, and
// otherwise at most what was under way.
func (s *Server) checkDoubled(source string, named bool, most int) {
	s.t.Helper()
	n := 0
	if _, err := fmt.Sscan(s.SQL(`SELECT count(*) FROM events WHERE source = '` + source + `'`)[0][0], &n); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("named %v: %d events sent, %d stored", named, elasticEvents, n)
	if named && n != elasticEvents || n < elasticEvents || n > elasticEvents+most {
		s.t.Errorf("%d events are stored of %d", n, elasticEvents)
	}
}

func TestElasticGo(t *testing.T) {
	goTool := Require(t, "go")[0]
	binary := filepath.Join(t.TempDir(), "indexer")
	s := Start(t, "")
	file := filepath.Join(t.TempDir(), "main.go")
	code := Snippet(t, "elasticsearch-go.md", "go", 0, "http://127.0.0.1:8080", s.URL, "MILLRACE_KEY", s.Key())
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(goTool, "build", "-o", binary, file).CombinedOutput(); err != nil { // in this module, which has the client
		t.Fatalf("%v\n%s", err, out)
	}
	s.runClient(exec.Command(binary), eventLine(true), s.feed)
	s.checkEvents("shop")
	s.checkDoubled("shop", true, 0)
}

func TestElasticJS(t *testing.T) {
	for _, named := range []bool{true, false} {
		s := Start(t, "")
		s.runClient(s.bulkHelper(s.Key()), eventLine(named), s.feed)
		s.checkEvents("shop")
		s.checkDoubled("shop", named, 5*100_000/200) // concurrency times flushBytes
	}
	// Above the limits of the key items come back by themselves.
	s := Start(t, "")
	s.runClient(s.bulkHelper(s.Key(`"event_rate":1000`, `"event_burst":1000`)), eventLine(false), feedAll)
	s.checkEvents("shop")
	s.checkDoubled("shop", false, 0)
	s.checkThrottled()
}

// bulkHelper is the program of the page.
func (s *Server) bulkHelper(key string) *exec.Cmd {
	t := s.t
	t.Helper()
	node, dir := Require(t, "node")[0], t.TempDir()
	if err := os.Symlink(filepath.Join(JS(t), "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	code := Snippet(t, "elasticsearch-js.md", "js", 0, "http://127.0.0.1:8080", s.URL, "MILLRACE_KEY", key)
	if err := os.WriteFile(filepath.Join(dir, "main.mjs"), []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "main.mjs")
	cmd.Dir = dir
	return cmd
}

func TestElasticRsyslog(t *testing.T) {
	t.Run("killed", func(t *testing.T) {
		s := Start(t, "")
		s.rsyslog(s.Key(), s.feed)
		time.Sleep(time.Second) // what would be doubled comes now
		s.checkDoubled("shop", true, 0)
	})
	// Above the limits of the key items come back by themselves.
	t.Run("limited", func(t *testing.T) {
		s := Start(t, "")
		s.rsyslog(s.Key(`"event_rate":1500`, `"event_burst":300`), feedAll)
		s.checkDoubled("shop", true, 0)
		s.checkThrottled()
	})
}

// checkThrottled makes sure that a client was above its limits.
func (s *Server) checkThrottled() {
	s.t.Helper()
	n := 0
	resp, err := http.Get(s.URL + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), `millrace_ingest_requests_total{outcome="throttled"} `); ok {
			_, _ = fmt.Sscan(rest, &n)
		}
	}
	s.t.Logf("%d requests were above the limits", n)
	if n == 0 {
		s.t.Error("nothing was above the limits")
	}
}

// feedAll writes events as fast as they are taken.
func feedAll(w io.WriteCloser, line func(i int) string) error {
	for i := range elasticEvents {
		if _, err := io.WriteString(w, line(i)+"\n"); err != nil {
			return err
		}
	}
	return w.Close()
}

// rsyslog runs rsyslogd with the configuration of its page, and feeds it.
func (s *Server) rsyslog(key string, feed feeder) {
	t := s.t
	t.Helper()
	program := Require(t, "rsyslogd")[0]
	dir := t.TempDir()
	host, port, _ := strings.Cut(s.Addr, ":")
	config := fmt.Sprintf("global(workDirectory=%q)\n", dir) + Snippet(t, "rsyslog-elasticsearch.md", "rsyslog", 0,
		`"/var/log/shop.log"`, fmt.Sprintf("%q", filepath.Join(dir, "shop.log")), `server="127.0.0.1"`, fmt.Sprintf("server=%q", host),
		`serverport="8080"`, fmt.Sprintf("serverport=%q", port), "MILLRACE_KEY", key)
	file := filepath.Join(dir, "rsyslog.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "shop.log"))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(program, "-n", "-f", file, "-i", filepath.Join(dir, "pid"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := feed(log, func(i int) string { return fmt.Sprintf(`order %d "placed"`, i) }); err != nil {
		t.Fatal(err)
	}
	s.Wait(elasticEvents, `SELECT count(*) FROM events WHERE source = 'shop' AND service = 'shop' AND level = 'info' AND message LIKE 'order % "placed"'`)
	s.Wait(elasticEvents, `SELECT count(DISTINCT message) FROM events WHERE source = 'shop'`)
	if strings.Contains(out.String(), "error during parsing") {
		t.Errorf("rsyslog: %s", &out)
	}
}
