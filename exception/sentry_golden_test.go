package exception_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/exception"
	"github.com/millrace/millrace/internal/testdata"
)

func TestDebugPairs(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(testdata.Shared(t, "exceptions/sentry-events"), os.Getenv("PAT")))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		r, ok := exception.FromSentry(data)
		fmt.Println("#####", filepath.Base(f), ok)
		if !ok {
			continue
		}
		s := describe(r.Exception)
		l := strings.Split(s, "\n")
		fmt.Println(strings.Join(l[:min(len(l), 16)], "\n"))
	}
}
