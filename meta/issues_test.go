package meta

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

// Names of any length stay apart, and fit an index.
func TestNameOf(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{
		"", "short", strings.Repeat("x", maxName), strings.Repeat("x", maxName+1), strings.Repeat("x", maxName+2), strings.Repeat("x", 10*maxName) + "y",
		strings.Repeat("ä", maxName), "y" + strings.Repeat("ä", maxName), strings.Repeat("\xff", maxName), strings.Repeat("\U0001F600", maxName),
	} {
		name := nameOf(s)
		if other, twice := seen[name]; twice {
			t.Errorf("%.20q and %.20q are both %.20q", s, other, name)
		}
		seen[name] = s
		if len(name) > maxName || !utf8.ValidString(name) || nameOf(name) != name || len(s) <= maxName && utf8.ValidString(s) && name != s {
			t.Errorf("%.20q (%d bytes) became %.20q (%d bytes)", s, len(s), name, len(name))
		}
	}
	if got := nameOf("a\x00b\xff"); got != "a\uFFFDb\uFFFD" {
		t.Errorf("got %q", got)
	}
}

// longNames are of any length where they are part of an index.
func longNames(t *testing.T, m millrace.Issues) {
	ctx, long := t.Context(), strings.Repeat("0123456789 ", 3000)
	v := metatest.Sighting(long+"a", 1)
	v.Project, v.Key, v.Env, v.FirstRelease, v.LastRelease = long, long, long, long+"1", long+"2"
	w := v
	w.Fingerprint, w.Key = long+"b", long+"other"
	seen, missing, err := m.See(ctx, []millrace.Sighting{v, w, v}, time.Unix(1_800_000_000, 0))
	if err != nil || len(missing) > 0 || len(seen) != 2 {
		t.Fatalf("seen %+v, missing %v, %v", seen, missing, err)
	}
	of, err := m.IssuesOf(ctx, long, []string{v.Fingerprint, w.Fingerprint, long})
	if err != nil || len(of) != 2 || of[v.Fingerprint] == of[w.Fingerprint] {
		t.Errorf("issues %v, %v", of, err)
	}
	if r, err := m.IssueReleases(ctx, long); err != nil || len(r) != 2 {
		t.Errorf("releases %v, %v", r, err)
	}
	if s, err := m.Sights(ctx, long, of[v.Fingerprint]); err != nil || len(s) != 1 {
		t.Errorf("sights %v, %v", s, err)
	}
	if err := m.SetIssueSettings(ctx, &millrace.IssueSettings{Project: long}); err != nil {
		t.Error(err)
	}
}

func TestLongNames(t *testing.T) {
	m := open(t, t.TempDir()+"/meta.db")
	defer func() { _ = m.Close() }()
	longNames(t, m)
}
