//go:build linux && amd64

package chlib

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// attempts and pause say how long a registry may be out of order; the pause
// grows with every attempt.
const (
	attempts = 5
	pause    = 3 * time.Second
)

// Path returns the path of the library. If it is not in the cache it is
// downloaded by npm, 180 MB, and checked; a copy that was changed since is
// downloaded again. Processes that ask at the same time wait for one download.
// log is told of downloads and failed attempts.
func Path(ctx context.Context, log io.Writer) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "chdb-"+Version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache of test downloads: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, file)
	if verified(path) {
		return path, nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", fmt.Errorf("the ClickHouse library comes by npm, which is not installed "+
			"(apt-get install npm): fetch %s@%s", Package, Version)
	}
	for n := 1; ; n++ {
		fmt.Fprintf(log, "fetching %s@%s, 180 MB, into %s\n", Package, Version, dir)
		if err = download(ctx, dir, path); err == nil {
			return path, nil
		}
		if n == attempts || ctx.Err() != nil {
			return "", fmt.Errorf("fetch %s@%s, attempt %d: %w", Package, Version, n, err)
		}
		fmt.Fprintf(log, "attempt %d failed: %v\n", n, err)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(n) * pause):
		}
	}
}

// download lets npm fetch the package and unpacks the library to path.
func download(ctx context.Context, dir, path string) error {
	tmp, err := os.MkdirTemp(dir, "download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a leftover is harmless
	cmd := exec.CommandContext(ctx, "npm", "pack", "--silent", Package+"@"+Version)
	cmd.Dir = tmp
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm pack: %w: %s", err, out)
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("npm pack left %d archives", len(archives))
	}
	unpacked := filepath.Join(tmp, file)
	if err := unpack(archives[0], unpacked); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(archives[0]), err)
	}
	if err := os.Rename(unpacked, path); err != nil {
		return err
	}
	return mark(path)
}

// unpack writes the library out of the archive, and fails if it is another than
// is expected.
func unpack(archive, to string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%s is not in it", file)
		}
		if err != nil {
			return err
		}
		if h.Name == "package/"+file {
			return save(to, io.LimitReader(r, size+1))
		}
	}
}

func save(to string, r io.Reader) error {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), r)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return check(h)
}

func check(h hash.Hash) error {
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s has the SHA-256 %s, expected %s", file, got, sum)
	}
	return nil
}

// mark notes that the library was checked, since hashing it takes longer than a
// test. The note holds for this size and time of change.
func mark(path string) error {
	note, err := noteOf(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path+".checked", []byte(note), 0o644)
}

func noteOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d\n", sum, info.Size(), info.ModTime().UnixNano()), nil
}

// verified reports whether the library is there and is the one that is expected.
func verified(path string) bool {
	note, err := noteOf(path)
	if err != nil {
		return false
	}
	if known, err := os.ReadFile(path + ".checked"); err == nil && string(known) == note {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil || check(h) != nil {
		return false
	}
	return mark(path) == nil
}

// lock waits until no other process downloads.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache of test downloads: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { f.Close() }, nil
}
