// Package chlib finds ClickHouse as a library (chDB's libchdb.so) in the cache
// of test downloads, or fetches it there from the npm registry.
package chlib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// What is downloaded: a version of an npm package, and the one file of it.
const (
	Package = "@chdb/lib-linux-x64-gnu"
	Version = "26.7.3-stable.1"
	file    = "libchdb.so"
	sum     = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5" // SHA-256
	size    = 566330096                                                          // bytes
)

// ErrUnsupported means that the library does not exist for this platform.
var ErrUnsupported = errors.New("the ClickHouse library exists for Linux on amd64 with glibc only")

// cacheDir is where tests keep what they download: $MILLRACE_CACHE, else
// millrace-test in the user's cache directory.
func cacheDir() (string, error) {
	if dir := os.Getenv("MILLRACE_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache directory (set MILLRACE_CACHE): %w", err)
	}
	return filepath.Join(dir, "millrace-test"), nil
}
