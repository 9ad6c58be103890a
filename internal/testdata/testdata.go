// Package testdata finds the shared test data, which is not part of the
// repository: real logs and crashes under their own licences.
package testdata

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Shared returns the path of a file or folder of the shared test data. The root
// is $MILLRACE_TESTDATA, or ../shared/data beside the repository. The test is
// skipped with a message if it is absent.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("MILLRACE_TESTDATA")
	if root == "" {
		_, file, _, _ := runtime.Caller(0)
		root = filepath.Join(filepath.Dir(file), "..", "..", "..", "shared", "data")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("shared test data absent: %v (set MILLRACE_TESTDATA to the folder that holds access-logs, app-logs, …)", err)
	}
	return path
}
