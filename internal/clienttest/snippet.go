package clienttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Snippet returns the n-th block of code in a language of a page of
// docs/clients, with the addresses and the key of its examples replaced by pairs
// of old and new text. A text that is not there is a mistake, of the test or the page.
func Snippet(t *testing.T, page, language string, n int, replace ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "clients", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "\n```"+language+"\n")
	if n+1 >= len(blocks) {
		t.Fatalf("%s has no block %d of %s", page, n, language)
	}
	code, _, ok := strings.Cut(blocks[n+1], "\n```")
	if !ok {
		t.Fatalf("%s: block %d of %s does not end", page, n, language)
	}
	for i := 0; i+1 < len(replace); i += 2 {
		if !strings.Contains(code, replace[i]) {
			t.Fatalf("%s: block %d of %s has no %q", page, n, language, replace[i])
		}
		code = strings.ReplaceAll(code, replace[i], replace[i+1])
	}
	return code + "\n"
}

// Key creates a key that may bring events and returns it. limits are fields of a
// JSON object, such as "event_rate":100.
func (s *Server) Key(limits ...string) string {
	s.t.Helper()
	fields := append([]string{`"name":"client"`, `"project":"default"`, `"scope":"ingest"`}, limits...)
	resp, err := client.Post(s.URL+"/api/v1/keys", "application/json", strings.NewReader("{"+strings.Join(fields, ",")+"}"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var key struct{ Key string }
	if err := json.NewDecoder(resp.Body).Decode(&key); err != nil || key.Key == "" {
		s.t.Fatalf("no key: %s, %v", resp.Status, err)
	}
	return key.Key
}
