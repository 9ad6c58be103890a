package pipeline

import (
	"context"

	"github.com/millrace/millrace/transform"
)

// Lint returns what the rules of a version may do but probably should not; none
// for a version without text. Costs are measured on a usual line: Try measures
// them on given ones. Errors as Program.
func (b *RuleBook) Lint(ctx context.Context, version int64) ([]transform.Warning, error) {
	p, err := b.Program(ctx, version)
	if err != nil || p == nil {
		return nil, err
	}
	return p.Lint(nil, b.now), nil
}
