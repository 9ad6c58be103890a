//go:build linux

package meta

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
	"github.com/millrace/millrace/internal/pgtest"
)

func openPostgres(t *testing.T, url string) *Postgres {
	t.Helper()
	p, err := OpenPostgres(t.Context(), url)
	if err != nil {
		t.Fatalf("%v (%s)", err, millrace.ErrorHint(err))
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// TestPostgres runs what does its server no harm on one server.
func TestPostgres(t *testing.T) {
	s := pgtest.Start(t)
	t.Run("meta", func(t *testing.T) {
		metatest.Run(t, func(t *testing.T) millrace.Meta { return openPostgres(t, s.Database()) })
	})
	t.Run("commits", func(t *testing.T) {
		metatest.RunCommits(t, func(t *testing.T) millrace.Commits { return openPostgres(t, s.Database()) })
	})
}
