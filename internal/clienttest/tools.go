package clienttest

import (
	"os"
	"path/filepath"
	"testing"
)

// Cache is where make client-tools puts what clients are made of:
// $MILLRACE_CACHE/clients, by default ~/.cache/millrace-test/clients.
func Cache(t *testing.T) string {
	t.Helper()
	root := os.Getenv("MILLRACE_CACHE")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Fatal(err)
		}
		root = filepath.Join(home, ".cache", "millrace-test")
	}
	return filepath.Join(root, "clients")
}

// JS returns a folder with the packages of js/package-lock.json installed.
func JS(t *testing.T) string {
	t.Helper()
	return present(t, filepath.Join(Cache(t), "js"), "node_modules")
}

// Python returns the interpreter that has the packages of
// python/requirements.txt.
func Python(t *testing.T) string {
	t.Helper()
	dir := present(t, filepath.Join(Cache(t), "python"), "bin/python")
	return filepath.Join(dir, "bin", "python")
}

func present(t *testing.T, dir, file string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
		t.Fatalf("%v: make client-tools installs it", err)
	}
	return dir
}
