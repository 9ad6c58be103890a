package query

import (
	"context"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/internal/rollupdef"
	"github.com/millrace/millrace/sketch"
)

// fold merges the rows whose values of the first dimension get one name, and leaves
// out those that get none.
func (q *question) fold(in *millrace.CellBatch) (*millrace.CellBatch, error) {
	if q.req.Fold == nil {
		return in, nil
	}
	type place struct {
		bucket int64
		dims   string
	}
	index := make(map[place]int)
	var groups [][]int
	out := &millrace.CellBatch{Rollup: in.Rollup, Dims: make([][]string, len(in.Dims))}
	for i := range in.Bucket {
		name, ok := q.req.Fold(in.Dims[0][i])
		if !ok {
			continue
		}
		row := resultRow{dims: []string{name}}
		at := place{in.Bucket[i], name}
		for d := 1; d < len(in.Dims); d++ {
			row.dims = append(row.dims, in.Dims[d][i])
		}
		if len(row.dims) > 1 {
			at.dims = row.key(0)
		}
		g, ok := index[at]
		if !ok {
			g = len(groups)
			index[at], groups = g, append(groups, nil)
			out.Bucket = append(out.Bucket, in.Bucket[i])
			for d := range out.Dims {
				out.Dims[d] = append(out.Dims[d], row.dims[d])
			}
		}
		groups[g] = append(groups[g], i)
	}
	for i := range in.States {
		merged, err := mergeStates(&in.States[i], groups)
		if err != nil {
			return nil, err
		}
		out.States = append(out.States, merged)
	}
	return out, nil
}

// mergeStates merges one column's states, group by group.
func mergeStates(in *millrace.StateColumn, groups [][]int) (out millrace.StateColumn, err error) {
	out.Kind = in.Kind
	for _, rows := range groups {
		switch in.Kind {
		case millrace.StateSum:
			sum := int64(0)
			for _, i := range rows {
				sum += in.Ints[i]
			}
			out.Ints = append(out.Ints, sum)
		case millrace.StateMin, millrace.StateMax:
			v := in.Floats[rows[0]]
			for _, i := range rows[1:] {
				if in.Kind == millrace.StateMin {
					v = min(v, in.Floats[i])
				} else {
					v = max(v, in.Floats[i])
				}
			}
			out.Floats = append(out.Floats, v)
		default:
			blob := in.Blobs[rows[0]]
			if len(rows) > 1 {
				if blob, err = mergeBlobs(in, rows); err != nil {
					return out, err
				}
			}
			out.Blobs = append(out.Blobs, blob)
		}
	}
	return out, nil
}

func mergeBlobs(in *millrace.StateColumn, rows []int) ([]byte, error) {
	blobs := make([][]byte, len(rows))
	for k, i := range rows {
		blobs[k] = in.Blobs[i]
	}
	if in.Kind == millrace.StateHLL {
		return sketch.MergeHLL(blobs)
	}
	return sketch.MergeHist(blobs)
}

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
	now := s.Now().Unix()
	have, err := s.deps.Store.Coverage(ctx, rollup, now, now+int64(millrace.Minute))
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
