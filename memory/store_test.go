package memory_test

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/storetest"
	"github.com/millrace/millrace/memory"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		Open:     func(*testing.T, string) millrace.Store { return memory.New() },
		Volatile: true,
	})
}

// TestEqual shows that the random streams are deterministic.
func TestEqual(t *testing.T) {
	for seed := range uint64(2) {
		storetest.Equal(t, seed, memory.New(), memory.New())
	}
}

func TestSQLIsNotAvailable(t *testing.T) {
	_, err := memory.New().SQL(t.Context(), "select 1", millrace.SQLLimits{})
	if millrace.ErrorCode(err) != millrace.ErrInvalid {
		t.Fatalf("error %v, want invalid", err)
	}
}
