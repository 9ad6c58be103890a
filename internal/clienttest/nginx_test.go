package clienttest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// nginx writes its log by syslog and to a file while ab loads it; the file is
// imported while the server is killed and started again.
func TestNginx(t *testing.T) {
	paths := Require(t, "nginx", "ab", "sh")
	udp := FreeAddr(t)
	s := Start(t, "", "--listen", "syslog_udp="+udp)
	dir, at := t.TempDir(), FreeAddr(t)
	file := filepath.Join(dir, "access.log")
	logs := Snippet(t, "nginx.md", "nginx", 0, "127.0.0.1:514", udp) + Snippet(t, "nginx.md", "nginx", 1, "/var/log/nginx/access.log", file)
	conf := write(t, "nginx.conf", fmt.Sprintf(`daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 256; }
http {
  client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
  server { listen %[2]s; location = /ok { return 200 "hello"; } location / { return 404; } %[3]s }
}
`, dir, at, logs))
	daemon(t, nil, paths[0], "-e", filepath.Join(dir, "start.log"), "-c", conf)
	wait := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			resp, err := http.Get("http://" + at + "/started")
			if err == nil {
				_ = resp.Body.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	wait()
	const requests = 10000
	load := func() {
		t.Helper()
		if out, err := exec.Command(paths[1], "-q", "-n", strconv.Itoa(requests/2), "-c", "8", "http://"+at+"/ok?q=1").CombinedOutput(); err != nil {
			t.Fatalf("ab: %v: %s", err, out)
		}
	}
	load()
	const access = "FROM events WHERE kind = 'access' AND (attrs->>'url') = '/ok' AND (attrs->>'method') = 'GET' AND (attrs->>'status') = '200' AND (attrs->>'client_ip') = '127.0.0.1' AND (attrs->>'bytes') = '5' AND (attrs->>'query') = 'q=1'"
	// By syslog all that the socket had room for: on a quiet machine all there is.
	s.Wait(requests/2, "SELECT (SELECT count(*) "+access+" AND source = 'syslog' AND service = 'nginx') + coalesce((SELECT sum(events) FROM ledger WHERE reason LIKE 'listener_%' AND sink = 'events'), 0)::BIGINT")
	s.Wait(1, "SELECT CAST(count(*) > "+fmt.Sprint(requests/4)+" AS INTEGER) "+access+" AND source = 'syslog'")

	load()
	script := Snippet(t, "nginx.md", "sh", 0, "http://127.0.0.1:8080", s.URL, "/var/log/nginx/access.log", file, "millrace import", os.Getenv("MILLRACE_BINARY")+" import")
	var out bytes.Buffer
	done := make(chan error, 1)
	run := func() {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		cmd.Stdout, cmd.Stderr = &out, &out
		go func() { done <- cmd.Run() }()
	}
	s.Kill()
	run() // it waits for the server
	time.Sleep(300 * time.Millisecond)
	s.Restart()
	if err := <-done; err != nil {
		t.Fatalf("import: %v: %s", err, out.String())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(string(text), "\n")
	s.Wait(requests, "SELECT count(*) "+access+" AND source = 'nginx'")
	s.Wait(lines, "SELECT count(*) FROM events WHERE source = 'nginx' AND kind = 'access'")
}
