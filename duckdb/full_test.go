//go:build linux

package duckdb

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/millrace/millrace"
)

// TestFullDisk fills a small file system, frees space and writes on.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=48m"); err != nil {
		t.Skipf("a file system of 48 MB cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db := openAt(t, filepath.Join(dir, "small.duckdb"))
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 16<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	stored, failures := int64(0), 0
	for i := int64(0); i < 60 && failures < 3; i++ {
		err := db.WriteEvents(t.Context(), accessRows(10000, i*100, uint64(i)), &millrace.Commit{
			Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: i + 1}},
		})
		switch {
		case err == nil:
			stored++
		case millrace.ErrorCode(err) != millrace.ErrUnavailable || millrace.ErrorHint(err) == "":
			t.Fatalf("a full disk gave %v", err)
		default:
			failures++
		}
	}
	if failures == 0 {
		t.Fatal("the disk never filled up")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	err := db.WriteEvents(t.Context(), accessRows(10000, 9000, 99), &millrace.Commit{
		Sink: millrace.SinkEvents, Positions: []millrace.Position{{Offset: 100}},
	})
	if err != nil {
		t.Fatalf("with space again: %v", err)
	}
	if n := query(t, db, `SELECT count(*) // 10000, (SELECT max("offset") FROM positions) FROM events`).Rows[0]; n[0] != stored+1 || n[1] != int64(100) {
		t.Errorf("%v batches and offset, want %d and 100", n, stored+1)
	}
}

// TestReadOnlyDirectory mounts the directory read-only, which stops root too.
func TestReadOnlyDirectory(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("a read-only file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"x.duckdb", "sub/x.duckdb"} {
		db, err := Open(t.Context(), DefaultOptions(), filepath.Join(dir, name), nil, discard)
		if err == nil {
			_ = db.Close()
		}
		if millrace.ErrorCode(err) != millrace.ErrUnavailable || millrace.ErrorHint(err) == "" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
