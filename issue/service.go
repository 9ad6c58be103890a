package issue

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/query"
)

// Rollup is the name of the rollup that counts exceptions.
const Rollup = "exceptions"

// The values of Env in requests that stand for more than one environment.
const (
	EnvProduction = "production" // also "": those of Options.Production, and events that name none
	EnvAll        = "all"
)

// Author is who does what nobody did.
const Author = "millrace"

// Options configures issues.
type Options struct {
	Production []string          `yaml:"production" default:"production,prod,live" doc:"Names of the environments that count as production, as do events that name none. Pages show them unless another is chosen, and only they bring resolved issues back or end an ignore, unless an issue was never seen in one." example:"production,eu,us"`
	Interval   millrace.Duration `yaml:"interval" default:"5s" doc:"How often to look whether an ignored issue reached its time, its number of occurrences or of users." example:"30s"`
	NewPerHour int               `yaml:"new_per_hour" default:"10000" doc:"Most new fingerprints that a node takes up per project and hour. What is beyond is counted, but belongs to no issue until it is seen in a later hour: a client that invents a fingerprint per event cannot fill the disk." example:"5000"`
}

// DefaultOptions returns the documented defaults.
func DefaultOptions() Options {
	return Options{
		Production: []string{"production", "prod", "live"},
		Interval:   millrace.Duration(5 * time.Second), NewPerHour: 10_000,
	}
}

// Validate reports every setting that is out of bounds.
func (o *Options) Validate(path string, v *millrace.Violations) {
	if len(o.Production) > 100 {
		v.Add(path+".production", len(o.Production), "at most 100 names")
	}
	for _, name := range o.Production {
		if name == "" || name == EnvAll || len(name) > 200 {
			v.Add(path+".production", `"`+name+`"`, `names of 1 to 200 bytes other than "all"`)
		}
	}
	if d := o.Interval.Std(); d < 100*time.Millisecond || d > time.Hour {
		v.Add(path+".interval", o.Interval, "between 100ms and 1h")
	}
	millrace.Range(v, path+".new_per_hour", o.NewPerHour, 1, 10_000_000)
}

// Numbers answers questions to rollups and rows; a *query.Service does.
type Numbers interface {
	Periods(ctx context.Context, req query.PeriodsRequest) (*query.PeriodsResult, error)
	CompleteFrom(ctx context.Context, rollup string, fields, metrics []string) (time.Time, error)
	Logs(ctx context.Context, req query.LogsRequest) (*query.LogsResult, error)
}

// Deps is what a Service stands on.
type Deps struct {
	Store millrace.Issues
	// Query may be nil in a process that answers no questions: then the keeper
	// ends ignores by time alone, and numbers are ErrUnavailable.
	Query   Numbers
	Locks   millrace.Locks // nil: this process is the only one
	Now     func() time.Time
	Log     *slog.Logger
	Options Options
}

// Service is the issues of all projects. It is safe for concurrent use.
// It implements millrace.Sightings.
type Service struct {
	deps    Deps
	fresh   allowance
	members members
}

// New returns a Service. Deps.Store, Now and Log are required.
func New(d Deps) *Service {
	return &Service{deps: d, fresh: allowance{most: d.Options.NewPerHour, log: d.Log, taken: map[string]int{}}}
}

// Production reports whether an environment counts as production.
func (s *Service) Production(env string) bool {
	return env == "" || slices.Contains(s.deps.Options.Production, env)
}
