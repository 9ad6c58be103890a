package query

import (
	"context"
	"time"

	"github.com/millrace/millrace"
)

// Options bounds what one question may cost.
type Options struct {
	SQLTimeout millrace.Duration `yaml:"sql_timeout" default:"30s" doc:"longest one SQL statement may run; longer is answered 504" example:"1m"`
	SQLRows    int               `yaml:"sql_rows" default:"10000" doc:"most rows one SQL statement may return; more is answered 413, so that an answer fits in memory and on a screen" example:"50000"`
	Timeout    millrace.Duration `yaml:"timeout" default:"30s" doc:"longest one rollup or log query may run" example:"1m"`
	KeepMinute millrace.Duration `yaml:"keep_minute" default:"8d" doc:"how long minute cells are kept, as the store is told; ranges older than this are answered from hours where minutes are gone" example:"14d"`
	KeepHour   millrace.Duration `yaml:"keep_hour" default:"90d" doc:"how long hour cells are kept, as the store is told; ranges older than this are answered from days where hours are gone" example:"180d"`
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options {
	return Options{
		SQLTimeout: millrace.Duration(30 * time.Second), SQLRows: 10_000,
		Timeout:    millrace.Duration(30 * time.Second),
		KeepMinute: millrace.Duration(8 * 24 * time.Hour), KeepHour: millrace.Duration(90 * 24 * time.Hour),
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
	dur("keep_minute", o.KeepMinute, time.Hour, 10*365*24*time.Hour)
	dur("keep_hour", o.KeepHour, time.Hour, 10*365*24*time.Hour)
	millrace.Range(v, path+".sql_rows", o.SQLRows, 1, 1_000_000)
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
	schemas map[string]*millrace.RollupSchema
	names   []string // of rollups, in the order given
}

// New returns a Service. Deps.Store and Deps.Now are required.
func New(d Deps, o Options) *Service {
	s := &Service{deps: d, opts: o, schemas: make(map[string]*millrace.RollupSchema, len(d.Schemas))}
	for i := range d.Schemas {
		s.schemas[d.Schemas[i].Name] = &d.Schemas[i]
		s.names = append(s.names, d.Schemas[i].Name)
	}
	return s
}

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
	if sc, ok := s.schemas[name]; ok {
		return sc, nil
	}
	return nil, millrace.Errorf(millrace.ErrNotFound, "no rollup %q; there are %s", name, nameList(s.names))
}

// Schemas returns all rollups in the order of the configuration.
func (s *Service) Schemas() []millrace.RollupSchema { return s.deps.Schemas }

// Stats returns the store's sizes and states.
func (s *Service) Stats(ctx context.Context) (*millrace.StoreStats, error) {
	return s.deps.Store.Stats(ctx)
}

// bound limits ctx to the time one question may take.
func (s *Service) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.Timeout.Std())
}
