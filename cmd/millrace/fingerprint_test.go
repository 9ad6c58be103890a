package main

import (
	database "database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// TestFingerprintVersion: a fresh data directory has the newest version, one that
// was there before versions were kept goes on with the first, and either stays.
func TestFingerprintVersion(t *testing.T) {
	const trace = `{"level":"error","message":"x","stack_trace":"java.lang.IllegalStateException: no\n\tat shop.A.b(A.java:1)\n\tat shop.C.d(C.java:2)"}` + "\n"
	versions := func(in *instance, n int) map[string]string {
		t.Helper()
		in.post("source=app", trace)
		in.drain(n)
		return in.sqlMap("SELECT substr(fingerprint, 1, 2), count(*) FROM exceptions GROUP BY ALL")
	}
	dir := t.TempDir()
	in := boot(t, dir, "")
	if got := versions(in, 1); len(got) != 1 || got["2:"] != "1" {
		t.Errorf("fresh: %v", got)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	in = boot(t, dir, "")
	if got := versions(in, 2); len(got) != 1 || got["2:"] != "2" {
		t.Errorf("after a restart: %v", got)
	}
	if err := in.stop(); err != nil {
		t.Fatal(err)
	}
	forget := func(statement string) {
		t.Helper()
		db, err := database.Open("sqlite", filepath.Join(dir, "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), statement, fingerprintSecret); err != nil {
			t.Fatal(err)
		}
	}
	forget("DELETE FROM secrets WHERE name = ?")
	for i, want := range []string{"1", "2"} {
		in = boot(t, dir, "")
		if got := versions(in, 3+i); len(got) != 2 || got["1:"] != want || got["2:"] != "2" {
			t.Errorf("from before: %v", got)
		}
		if err := in.stop(); err != nil {
			t.Fatal(err)
		}
	}
	forget("UPDATE secrets SET secret = x'39' WHERE name = ?")
	m := &Main{Stdin: strings.NewReader(""), Stdout: in.logs, Stderr: in.logs, Now: time.Now}
	if err := m.ParseFlags(serveArgs(t, dir, "", nil)); err != nil {
		t.Fatal(err)
	}
	if err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), `version "9" of the fingerprint`) {
		t.Errorf("a version of the future: %v", err)
	}
}
