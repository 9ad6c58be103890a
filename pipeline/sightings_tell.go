package pipeline

import (
	"context"

	"github.com/millrace/millrace"
)

// faultSightings is the place of faults that concern what is told of exceptions.
const faultSightings = "sightings"

// tell tells of exceptions until that is durable. A fault that may pass is retried for
// as long as it lasts, as one of the Store is: the rows wait for it, so that no row is
// of a fingerprint that nobody knows. Sightings that can never be taken are left out.
func (p *Pipeline) tell(ctx context.Context, list []millrace.Sighting) error {
	if len(list) == 0 || p.deps.Sightings == nil {
		return nil
	}
	for fails := 0; ; {
		tctx, cancel := context.WithTimeout(ctx, p.opts.StoreDeadline.Std())
		began := p.deps.Now()
		err := p.deps.Sightings.See(tctx, list)
		cancel()
		now := p.deps.Now()
		p.stats.told(len(list), now, now.Sub(began), err)
		if err == nil {
			return nil
		}
		if millrace.ErrorCode(err) == millrace.ErrInvalid {
			return p.tellHalves(ctx, list, err)
		}
		if p.stats.stopping.Load() {
			return err
		}
		fails++
		p.deps.Log.Error("tell of exceptions", "err", err, "hint", millrace.ErrorHint(err), "failures", fails)
		if !sleep(ctx, backoff(fails)) {
			return ctx.Err()
		}
	}
}

// tellHalves tells all but those sightings that were refused for good with cause. They
// are counted and logged; the events themselves are stored and counted like others.
func (p *Pipeline) tellHalves(ctx context.Context, list []millrace.Sighting, cause error) error {
	if len(list) == 1 {
		s := &list[0]
		p.stats.untold(1)
		p.deps.Log.Error("an exception that cannot be told of", "project", s.Project, "fingerprint", s.Fingerprint, "err", cause)
		return nil
	}
	if err := p.tell(ctx, list[:len(list)/2]); err != nil {
		return err
	}
	return p.tell(ctx, list[len(list)/2:])
}
