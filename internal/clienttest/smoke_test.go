package clienttest

import (
	"net/http"
	"strings"
	"testing"
)

// The harness itself: what was answered with 200 is there after a kill.
func TestKillAndRestart(t *testing.T) {
	s := Start(t, "")
	resp, err := http.Post(s.URL+"/ingest?source=smoke", "text/plain", strings.NewReader("one\ntwo\n"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	s.Kill()
	s.Restart()
	s.Wait(2, "SELECT count(*) FROM events WHERE source = 'smoke'")
}
