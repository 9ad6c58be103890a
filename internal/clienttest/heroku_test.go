package clienttest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// logplexRequest reads the request of the page, as Logplex sends it.
func logplexRequest(t *testing.T) (http.Header, string) {
	t.Helper()
	head, body, ok := strings.Cut(Snippet(t, "heroku.md", "http", 0), "\n\n")
	if !ok {
		t.Fatal("heroku.md: the request has no body")
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\nHost: x\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r.Header, body
}

// send posts until it is answered, as clients do that try again, and returns the
// last status.
func (s *Server) send(path string, header http.Header, body string) int {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		r.Header = header.Clone()
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			return resp.StatusCode
		}
		if time.Now().After(deadline) {
			s.t.Fatal(err)
		}
	}
}

// Frames of a log drain: each message once, although every frame is sent twice and
// the server is killed between the two, or before it answers the first.
func TestHeroku(t *testing.T) {
	s := Start(t, "")
	header, body := logplexRequest(t)
	path := "/logplex?source=shop&key=" + s.Key()
	const frames = 20
	for i := range 2 * frames {
		header.Set("Logplex-Frame-Id", fmt.Sprint("frame", i%frames))
		if i == frames/2 || i == frames {
			s.Kill()
			s.Restart()
		}
		if status := s.send(path, header, body); status != http.StatusNoContent {
			t.Fatalf("frame %d: %d\n%s", i, status, s.Log())
		}
	}
	s.Wait(3*frames, "SELECT count(*) FROM events WHERE source = 'shop'")
	s.Wait(frames, `SELECT count(*) FROM events WHERE service = 'shop' AND kind = 'access' AND host = 'shop.herokuapp.com' AND CAST((attrs->>'rt') AS DOUBLE) = 0.019
		AND (attrs->>'url') = '/cart' AND (attrs->>'query') = 'id=1' AND (attrs->>'status') = '200' AND (attrs->>'client_ip') = '204.204.204.204' AND (attrs->>'dyno') = 'web.1'`)
	s.Wait(frames, "SELECT count(*) FROM events WHERE message = 'order 17 accepted' AND host = 'web.1' AND level = 'info' AND (attrs->>'app') = 'app'")
	s.Wait(frames, "SELECT count(*) FROM events WHERE message = 'State changed from starting to up' AND (attrs->>'drain_token') LIKE 'd.%'")
	s.Wait(0, "SELECT count(*) FROM ledger WHERE reason = 'msg_count_mismatch'")
}

// Events that their client names are stored once, though the server died after it
// had them and before it said so.
func TestNamesAfterKill(t *testing.T) {
	header, frame := logplexRequest(t)
	json := http.Header{"Content-Type": {"application/json"}}
	for name, c := range map[string]struct {
		path, body string
		header     http.Header
		events     int
	}{
		"logplex": {"/logplex?source=x", frame, header, 3},
		"bulk":    {"/_bulk", `{"create":{"_index":"x","_id":"1"}}` + "\n" + `{"message":"one"}` + "\n" + `{"create":{"_index":"x","_id":"2"}}` + "\n" + `{"message":"two"}` + "\n", json, 2},
		"counted": {"/api/v1/exceptions?source=x", `{"exType":"E","count":5}`, http.Header{"X-Millrace-Client": {"agent-0001"}, "X-Millrace-Seq": {"0"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			Require(t)
			t.Setenv("MILLRACE_FAILPOINTS", "queue.append.after=kill")
			s := Start(t, "")
			if err := os.Unsetenv("MILLRACE_FAILPOINTS"); err != nil {
				t.Fatal(err)
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+c.path, bytes.NewReader([]byte(c.body)))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = c.header.Clone()
			if resp, err := http.DefaultClient.Do(r); err == nil {
				t.Fatalf("answered %s; it should have died", resp.Status)
			}
			s.killAndRestart()
			for range 2 {
				if status := s.send(c.path, c.header, c.body); status/100 != 2 {
					t.Fatalf("answered %d", status)
				}
			}
			s.Wait(c.events, "SELECT count(*) FROM events WHERE source = 'x'")
			s.killAndRestart()
			if status := s.send(c.path, c.header, c.body); status/100 != 2 {
				t.Fatalf("answered %d", status)
			}
			time.Sleep(1500 * time.Millisecond) // what would be stored is visible by now
			s.Wait(c.events, "SELECT count(*) FROM events WHERE source = 'x'")
		})
	}
}
