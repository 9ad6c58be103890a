package duckdb

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/storetest"
	"github.com/millrace/millrace/memory"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{Open: func(t *testing.T, dir string) millrace.Store {
		return openForSuite(t, filepath.Join(dir, "millrace.duckdb"))
	}})
}

func TestEqualsMemory(t *testing.T) {
	storetest.Equal(t, 1, memory.New(), openTest(t))
}

func openForSuite(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(t.Context(), DefaultOptions(), path, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return db
}
