package meta

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

func open(t *testing.T, path string) *SQLite {
	t.Helper()
	m, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestContract(t *testing.T) {
	metatest.Run(t, func(t *testing.T) millrace.Meta {
		// A name that means something in a URI must not.
		return open(t, filepath.Join(t.TempDir(), "a b?c#d%41.db"))
	})
}

func TestCommitsContract(t *testing.T) {
	metatest.RunCommits(t, func(t *testing.T) millrace.Commits {
		m := open(t, filepath.Join(t.TempDir(), "meta.db"))
		t.Cleanup(func() { _ = m.Close() })
		return m
	})
}

func TestIssuesContract(t *testing.T) {
	metatest.RunIssues(t, func(t *testing.T) millrace.Issues {
		m := open(t, filepath.Join(t.TempDir(), "meta.db"))
		t.Cleanup(func() { _ = m.Close() })
		return m
	})
}

func TestReopenKeepsKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	k := metatest.Key(1, millrace.ScopeAdmin)
	m := open(t, path)
	if err := m.CreateKey(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = open(t, path)
	defer func() { _ = m.Close() }()
	if _, err := m.KeyByHash(t.Context(), k.Hash); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", st.Mode(), err)
	}
}

// The CLI opens the file beside a running server: both see each other's writes.
func TestTwoOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	a, b := open(t, path), open(t, path)
	defer func() { _, _ = a.Close(), b.Close() }()
	for i, m := range []*SQLite{a, b} {
		if err := m.CreateKey(t.Context(), metatest.Key(i, millrace.ScopeIngest)); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range []*SQLite{a, b} {
		if keys, err := m.Keys(t.Context()); err != nil || len(keys) != 2 {
			t.Errorf("%d keys, %v; want 2", len(keys), err)
		}
	}
}

func TestOpenFailures(t *testing.T) {
	f := func(name string, prepare func(path string) error, want millrace.Code) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "meta.db")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		m, err := Open(t.Context(), path)
		if err == nil {
			_ = m.Close()
		}
		if got := millrace.ErrorCode(err); got != want {
			t.Errorf("%s: error %v has code %q, want %q", name, err, got, want)
		}
	}
	f("no database", func(path string) error {
		return os.WriteFile(path, []byte("this is not a database, but it is long enough to be looked at as if it were one"), 0o600)
	}, millrace.ErrCorrupt)
	f("a directory", func(path string) error { return os.Mkdir(path, 0o700) }, millrace.ErrUnavailable)
	f("written by a newer version", func(path string) error {
		m, err := Open(context.Background(), path)
		if err != nil {
			return err
		}
		_, err = m.write.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")
		_ = m.Close()
		return err
	}, millrace.ErrConflict)
}
