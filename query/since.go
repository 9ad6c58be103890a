package query

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
)

// CompleteFrom returns since when cells answer a question by these dimensions and
// metrics: zero if they always did, or never do. It says nothing of what retention
// dropped. ErrNotFound: no such rollup. ErrInvalid: no such metric.
func (s *Service) CompleteFrom(ctx context.Context, rollup string, fields, metrics []string) (time.Time, error) {
	sc, err := s.Schema(rollup)
	if err != nil {
		return time.Time{}, err
	}
	cols, err := newColumns(sc, metrics)
	if err != nil {
		return time.Time{}, err
	}
	minute := millrace.Minute.Floor(s.Now().Unix()) // which does not matter; equal ones are remembered
	have, err := s.coverage(ctx, rollup, minute, minute+int64(millrace.Minute))
	if err != nil {
		return time.Time{}, err
	}
	since, least := cols.since(have.Metrics), int64(-1)
	for i := range have.Sets {
		set := &have.Sets[i]
		names := make([]string, len(set.Dims))
		for j, d := range set.Dims {
			names[j] = have.Dimensions[d]
		}
		if !containsAll(names, fields) {
			continue
		}
		for at := range set.Granularities {
			if from := max(rollupdef.SetFrom(set, at), since); least < 0 || from < least {
				least = from
			}
		}
	}
	if least <= 0 {
		return time.Time{}, nil
	}
	return time.Unix(least, 0).UTC(), nil
}
