package issuetest

import (
	"testing"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/metatest"
)

func TestMemory(t *testing.T) {
	metatest.RunIssues(t, func(*testing.T) millrace.Issues { return New() })
}
