package pipeline

import (
	"context"
	"fmt"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/transform"
)

// program returns what the version that a record carries compiles to. If it
// cannot be had (meta does not answer, or was lost) the pipeline waits and says
// so: without its rules the record would become other events than it did or
// would in the other sink, and what the rules mask or drop would be stored. The
// error is ctx's.
func (p *Pipeline) program(ctx context.Context, rec *millrace.Record) (*transform.Program, error) {
	if rec.Rules == 0 {
		return nil, nil
	}
	for fails := 0; ; {
		prog, err := p.lookup(ctx, rec.Rules)
		if err == nil {
			if fails > 0 {
				p.stats.fault("rules", nil)
			}
			return prog, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		err = fmt.Errorf("records of source %s wait for version %d of its rules: %w", rec.Source, rec.Rules, err)
		p.stats.fault("rules", err)
		p.deps.Log.Error("rules", "partition", rec.Partition, "offset", rec.Offset, "err", err, "failures", fails)
		fails++
		if !sleep(ctx, backoff(fails)) {
			return nil, ctx.Err()
		}
	}
}

func (p *Pipeline) lookup(ctx context.Context, version int64) (*transform.Program, error) {
	if p.deps.Rules == nil {
		return nil, millrace.Errorf(millrace.ErrUnavailable, "this process has no rules")
	}
	return p.deps.Rules.Program(ctx, version)
}
