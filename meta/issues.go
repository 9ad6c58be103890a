package meta

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

const issueColumns = `i.id, i.project, i.type, i.title, i.culprit, i.level, i.service, i.language, i.state, i.resolution, i.ignored, i.regressed, i.owner,
	i.first_seen, i.last_seen, i.first_release, i.last_release, i.fingerprints, i.merged_into, i.created, i.version`

func scanIssue(scan func(...any) error) (*millrace.Issue, error) {
	i := &millrace.Issue{}
	var resolution, ignored string
	err := scan(&i.ID, &i.Project, &i.Type, &i.Title, &i.Culprit, &i.Level, &i.Service, &i.Language, &i.State, &resolution, &ignored, &i.Regressed, &i.Owner,
		&i.FirstSeen, &i.LastSeen, &i.FirstRelease, &i.LastRelease, &i.Fingerprints, &i.MergedInto, &i.Created, &i.Version)
	if err != nil {
		return nil, err
	}
	return i, errors.Join(fromText(resolution, &i.Resolution), fromText(ignored, &i.Ignore))
}

// toText is JSON, and empty for what is.
func toText[T comparable](v T) (string, error) {
	var zero T
	if v == zero {
		return "", nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}

func fromText[T any](text string, into *T) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// maxName bounds, in bytes, what is part of an index: PostgreSQL's take 2,700.
const maxName = 500

// nameOf makes of any text one that both databases keep and index, equal for
// equal ones: of a long one its beginning and a digest.
func nameOf(s string) string {
	s = plain(s)
	if len(s) <= maxName {
		return s
	}
	digest := sha256.Sum256([]byte(s))
	cut := maxName - 2*16 - 1
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "~" + hex.EncodeToString(digest[:16])
}

// searchText is what a search looks into and for; between the parts is what nobody types.
func searchText(parts ...string) string {
	return strings.ToLower(plain(strings.Join(parts, "\x1f")))
}

// Issue implements millrace.Issues.
func (r *records) Issue(ctx context.Context, project, id string) (i *millrace.Issue, err error) {
	err = r.repeat(ctx, "read issue", func(ctx context.Context) error {
		row := r.read.QueryRowContext(ctx, "SELECT "+issueColumns+" FROM issues i WHERE i.project = $1 AND i.id = $2", nameOf(project), nameOf(id))
		var err error
		i, err = scanIssue(row.Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return noIssue(id)
		}
		return err
	})
	return i, err
}

func noIssue(id string) error {
	return millrace.Errorf(millrace.ErrNotFound, "no issue with id %q", id)
}
