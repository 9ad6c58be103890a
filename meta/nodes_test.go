package meta

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

func TestNodes(t *testing.T) {
	metatest.RunNodes(t, func(t *testing.T) millrace.Nodes {
		m, err := Open(t.Context(), filepath.Join(t.TempDir(), "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		return m
	})
}

// TestNodesAreForgotten: a day after they were last seen.
func TestNodesAreForgotten(t *testing.T) {
	var p processNodes
	at := time.Now()
	p.announce(&millrace.Node{Name: "old"}, at)
	p.announce(&millrace.Node{Name: "new"}, at.Add(time.Hour))
	if got := p.list(at.Add(millrace.NodeAge)); len(got) != 2 || got[1].Age != millrace.NodeAge {
		t.Errorf("%+v", got)
	}
	if got := p.list(at.Add(millrace.NodeAge + 1)); len(got) != 1 || got[0].Name != "new" {
		t.Errorf("%+v", got)
	}
}
