package agent

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace"
)

// headSize is how much of a file's beginning identifies it. The first lines of
// two logs differ by their times; 4 KiB hold a few of them.
const headSize = 4 << 10

// identity tells whether a file is the one seen before. A file is the same if
// it begins with the same bytes and has the same path (it may have been copied
// back) or the same inode (it may have been renamed by rotation).
type identity struct {
	Path     string `json:"path"` // absolute
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	HeadSize int64  `json:"head_size"`
	HeadHash string `json:"head_hash"` // hex SHA-256 of the first HeadSize bytes
}

// identify describes an open file of the given size.
func identify(path string, f *os.File, st os.FileInfo) (identity, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return identity{}, err
	}
	id := identity{Path: abs, HeadSize: min(st.Size(), headSize)}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		id.Device, id.Inode = uint64(sys.Dev), sys.Ino //nolint:unconvert // Dev is an int32 on some systems
	}
	id.HeadHash, err = hashHead(f, id.HeadSize)
	return id, err
}

func hashHead(f io.ReaderAt, n int64) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, n)); err != nil {
		return "", fmt.Errorf("read the beginning: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// same reports whether the file that now has identity id is the one described
// by old, when it was perhaps shorter.
func (id identity) same(old identity, f io.ReaderAt) (bool, error) {
	if id.HeadSize < old.HeadSize {
		return false, nil // truncated
	}
	if id.Path != old.Path && (id.Inode != old.Inode || id.Device != old.Device) {
		return false, nil
	}
	if old.HeadSize == 0 {
		return id.Path == old.Path, nil
	}
	hash, err := hashHead(f, old.HeadSize)
	return hash == old.HeadHash, err
}

// plain returns the decompressed stream of r, which is gzip, zstd or neither
// by its first bytes.
func plain(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1F, 0x8B}):
		return gzip.NewReader(br)
	case bytes.HasPrefix(magic, []byte{0x28, 0xB5, 0x2F, 0xFD}):
		// The window is what zstd --long=27 needs; files are the user's own.
		dec, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, err
		}
		return dec.IOReadCloser(), nil
	}
	return br, nil
}

// counter counts what was read, for progress.
type counter struct {
	r io.Reader
	n func(int)
}

// Read implements io.Reader.
func (c counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n(n)
	return n, err
}

// Expand returns the files that args name, each once: patterns are expanded,
// "-" stays. ErrNotFound: a file or a pattern without match.
func Expand(args []string) ([]string, error) {
	var out []string
	seen := map[string]bool{}
	for _, arg := range args {
		matches := []string{arg}
		if _, err := os.Lstat(arg); arg != "-" && err != nil {
			if matches, err = filepath.Glob(arg); err != nil {
				return nil, millrace.Errorf(millrace.ErrInvalid, "pattern %q: %v", arg, err)
			}
			if len(matches) == 0 {
				return nil, millrace.Errorf(millrace.ErrNotFound, "%s: no such file", arg)
			}
		}
		for _, m := range matches {
			if !seen[filepath.Clean(m)] {
				seen[filepath.Clean(m)] = true
				out = append(out, m)
			}
		}
	}
	return out, nil
}
