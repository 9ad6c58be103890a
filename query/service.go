package query

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
)

// Options bounds what one question may cost.
type Options struct {
	SQLTimeout millrace.Duration `yaml:"sql_timeout" default:"30s" doc:"longest one SQL statement may run; longer is answered 504" example:"1m"`
	SQLRows    int               `yaml:"sql_rows" default:"10000" doc:"most rows one SQL statement may return; more is answered 413, so that an answer fits in memory and on a screen" example:"50000"`
	Timeout    millrace.Duration `yaml:"timeout" default:"30s" doc:"longest one rollup or log query may run" example:"1m"`
	RawRows    int64             `yaml:"raw_rows" default:"5000000" doc:"most raw rows one rollup query may read where no cells answer it; more is answered 413. A million takes about a second." example:"20000000"`
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options {
	return Options{
		SQLTimeout: millrace.Duration(30 * time.Second), SQLRows: 10_000,
		Timeout: millrace.Duration(30 * time.Second), RawRows: 5_000_000,
	}
}

// Validate reports every setting that is out of bounds.
func (o *Options) Validate(path string, v *millrace.Violations) {
	dur := func(name string, d millrace.Duration, lo, hi time.Duration) {
		if d.Std() < lo || d.Std() > hi {
			v.Add(path+"."+name, d, "between "+millrace.Duration(lo).String()+" and "+millrace.Duration(hi).String())
		}
	}
	dur("sql_timeout", o.SQLTimeout, time.Millisecond, time.Hour)
	dur("timeout", o.Timeout, time.Millisecond, time.Hour)
	millrace.Range(v, path+".sql_rows", o.SQLRows, 1, 1_000_000)
	millrace.Range(v, path+".raw_rows", o.RawRows, 1, 1_000_000_000)
}

// Deps is what a Service stands on.
type Deps struct {
	Store   millrace.Store
	Schemas []millrace.RollupSchema
	Now     func() time.Time
	// Watermark returns the time up to which cells are complete, zero if
	// nothing is known yet. Nil is "never known".
	Watermark func() time.Time
	// Status describes the running pipeline; nil for a process without one.
	Status func() PipelineStatus
}

// Service answers questions. It is safe for concurrent use.
type Service struct {
	deps    Deps
	opts    Options
	schemas atomic.Pointer[[]millrace.RollupSchema]
	answers answers
}

// New returns a Service. Deps.Store and Deps.Now are required.
func New(d Deps, o Options) *Service {
	s := &Service{deps: d, opts: o}
	s.SetSchemas(d.Schemas)
	return s
}

// SetSchemas replaces the rollups that can be asked, when the configuration is
// loaded again. The Store must know them already. The list is kept.
func (s *Service) SetSchemas(schemas []millrace.RollupSchema) { s.schemas.Store(&schemas) }

// Now returns the service's idea of the current time.
func (s *Service) Now() time.Time { return s.deps.Now() }

// CompleteUntil returns the watermark: windows that end at or before it are
// complete. It is zero while nothing is known.
func (s *Service) CompleteUntil() time.Time {
	if s.deps.Watermark == nil {
		return time.Time{}
	}
	return s.deps.Watermark()
}

// Schema returns the rollup of that name, or ErrNotFound naming those that exist.
func (s *Service) Schema(name string) (*millrace.RollupSchema, error) {
	all := s.Schemas()
	var names []string
	for i := range all {
		if all[i].Name == name {
			return &all[i], nil
		}
		names = append(names, all[i].Name)
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "no rollup %q; there are %s", name, nameList(names))
}

// Schemas returns all rollups in the order of the configuration.
func (s *Service) Schemas() []millrace.RollupSchema { return *s.schemas.Load() }

// Stats returns the store's sizes and states.
func (s *Service) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	return s.deps.Store.Stats(ctx)
}

// bound limits ctx to the time one question may take.
func (s *Service) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.Timeout.Std())
}
