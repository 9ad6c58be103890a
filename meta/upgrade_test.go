package meta

import (
	"database/sql"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// insertKeyBefore is how the version before keys had limits wrote a key.
const insertKeyBefore = "INSERT INTO keys (id, name, project, scopes, hash, created, revoked) VALUES ($1, $2, $3, $4, $5, $6, $7)"

// A file of the version before keys had limits is brought up to date.
func TestUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	db, err := sql.Open("sqlite", dsn(path, ""))
	if err != nil {
		t.Fatal(err)
	}
	sub, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, sub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	want := metatest.Key(1, millrace.ScopeIngest)
	if _, err := db.ExecContext(t.Context(), insertKeyBefore, want.ID, want.Name, want.Project, "ingest", want.Hash, want.Created.UnixNano(), 0); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	m := open(t, path)
	defer func() { _ = m.Close() }()
	if got, err := m.KeyByHash(t.Context(), want.Hash); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	// Nor had it issues.
	if seen, _, err := m.See(t.Context(), []millrace.Sighting{metatest.Sighting("a", 1)}, want.Created); err != nil || len(seen) != 1 {
		t.Errorf("seen %+v, %v", seen, err)
	}
}
