package duckdb

import (
	"time"

	"github.com/millrace/millrace"
)

// Options configures the store. Sizes are bytes.
type Options struct {
	Memory     millrace.Bytes `yaml:"memory" default:"512MiB" doc:"Memory for DuckDB's buffers, queries and open write. Below 128MiB a flush of a whole row group does not fit beside a query." example:"1GiB"`
	Threads    int            `yaml:"threads" default:"1" doc:"Threads of one query or checkpoint; several queries run at the same time anyway. With more than one, every flush spins on a second core while the first compresses (1.8 microseconds of CPU a row, a third of the whole), so raise it on machines with cores to spare." example:"4"`
	TempSize   millrace.Bytes `yaml:"temp_size" default:"2GiB" doc:"Disk that queries too large for memory may use in the data directory, so that none can fill the disk." example:"8GiB"`
	Checkpoint millrace.Bytes `yaml:"checkpoint" default:"192MiB" doc:"Size of the write-ahead log that forces a checkpoint. Larger values make writers stall less often and recovery after a crash slower (about 2.7 s at 370 MB)." example:"256MiB"`
	Retention  Retention      `yaml:"retention" doc:"How long data is kept, counted from its arrival."`
}

// Retention says how long each kind of data is kept.
type Retention struct {
	Events      millrace.Duration `yaml:"events" default:"90d" doc:"Raw rows. Whole days of arrival are dropped." example:"30d"`
	MinuteCells millrace.Duration `yaml:"minute_cells" default:"8d" doc:"Rollup cells of minutes. A week and a day, so that a week can be compared with the one before at full detail." example:"15d"`
	HourCells   millrace.Duration `yaml:"hour_cells" default:"90d" doc:"Rollup cells of hours." example:"180d"`
	DayCells    millrace.Duration `yaml:"day_cells" default:"730d" doc:"Rollup cells of days; two years allow a comparison with the year before." example:"1095d"`
	Ledger      millrace.Duration `yaml:"ledger" default:"730d" doc:"Accounts per minute of arrival." example:"365d"`
}

// DefaultOptions returns the defaults of the tags.
func DefaultOptions() Options {
	days := func(n int) millrace.Duration { return millrace.Duration(time.Duration(n) * 24 * time.Hour) }
	return Options{
		Memory: 512 << 20, Threads: 1, TempSize: 2 << 30, Checkpoint: 192 << 20,
		Retention: Retention{
			Events: days(90), MinuteCells: days(8), HourCells: days(90), DayCells: days(730), Ledger: days(730),
		},
	}
}

// Validate reports every setting that is out of bounds.
func (o *Options) Validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".memory", o.Memory, 128<<20, 1<<40)
	millrace.Range(v, path+".threads", o.Threads, 1, 256)
	millrace.Range(v, path+".temp_size", o.TempSize, 64<<20, 1<<44)
	millrace.Range(v, path+".checkpoint", o.Checkpoint, 16<<20, 1<<30)
	const day, century = millrace.Duration(24 * time.Hour), millrace.Duration(100 * 366 * 24 * time.Hour)
	r := &o.Retention
	millrace.Range(v, path+".retention.events", r.Events, day, century)
	millrace.Range(v, path+".retention.minute_cells", r.MinuteCells, 2*day, century)
	millrace.Range(v, path+".retention.hour_cells", r.HourCells, r.MinuteCells, century)
	millrace.Range(v, path+".retention.day_cells", r.DayCells, r.HourCells, century)
	millrace.Range(v, path+".retention.ledger", r.Ledger, day, century)
}
