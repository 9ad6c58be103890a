//go:build linux && amd64

package chlib

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// archive writes a package that holds one file.
func archive(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "package.tgz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []interface{ Close() error }{w, z, f} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestUnpackRefuses(t *testing.T) {
	whole := archive(t, "package/"+file, strings.Repeat("x", 10_000))
	short := filepath.Join(t.TempDir(), "short.tgz")
	data, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(short, data[:len(data)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	for archive, want := range map[string]string{
		whole:                             "has the SHA-256",
		archive(t, "package/README", "x"): "is not in it",
		short:                             "unexpected EOF",
		"/nonexistent":                    "no such file",
	} {
		if err := unpack(archive, filepath.Join(t.TempDir(), file)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, expected %q", archive, err, want)
		}
	}
}

// A damaged copy is not used; without npm the error says what to install.
func TestNoNPM(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("MILLRACE_CACHE", cache)
	t.Setenv("PATH", t.TempDir())
	dir := filepath.Join(cache, "chdb-"+Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	_, err := Path(context.Background(), &log)
	if err == nil || !strings.Contains(err.Error(), "npm, which is not installed") {
		t.Errorf("%v", err)
	}
}

// A registry that fails is asked again, until the caller gives up.
func TestRetry(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("MILLRACE_CACHE", t.TempDir())
	t.Setenv("PATH", bin)
	if err := os.WriteFile(filepath.Join(bin, "npm"), []byte("#!/bin/sh\necho out of order\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := &stopper{cancel: cancel}
	_, err := Path(ctx, log)
	if err == nil || !strings.Contains(err.Error(), "attempt 2") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(log.String(), "attempt 1 failed: npm pack: exit status 1: out of order") {
		t.Errorf("log: %s", log.String())
	}
}

// stopper ends a context when the first attempt has failed.
type stopper struct {
	strings.Builder
	cancel func()
}

func (s *stopper) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "failed") {
		s.cancel()
	}
	return s.Builder.Write(p)
}
