package pipeline

import (
	"time"

	"github.com/millrace/millrace"
)

// Options configures the worker.
type Options struct {
	FlushRows         int               `yaml:"flush_rows" default:"122880" doc:"Raw rows per transaction. The default is one DuckDB row group, which goes straight to the file; other sizes are rewritten at the checkpoint. With ClickHouse the default is 491520: it merges what it gets, again and again, the more often the smaller it comes." example:"122880"`
	FlushBytes        millrace.Bytes    `yaml:"flush_bytes" default:"96MiB" doc:"Raw bytes per transaction, which bounds the memory of rows not yet stored. With ClickHouse the default grows by an eighth of store.memory, which it leaves free." example:"96MiB"`
	FlushInterval     millrace.Duration `yaml:"flush_interval" default:"1s" doc:"Longest time a raw row waits for its transaction; with the transaction itself it is visible within 2 s. A row that comes late waits half as long as it is late already, at most twice rollup_interval." example:"1s"`
	RollupInterval    millrace.Duration `yaml:"rollup_interval" default:"4s" doc:"Time between two flush barriers of the rollups; with the transaction itself an event is counted within 5 s. Doubled while all that is read is older than twice this, when fewer, larger deltas cost less." example:"5s"`
	RollupMemory      millrace.Bytes    `yaml:"rollup_memory" default:"192MiB" doc:"Memory of dictionaries and open cells at which the rollups flush early; cells that are being stored take as much again at most. Early flushes make more, smaller deltas. With ClickHouse the default grows by a quarter of store.memory." example:"192MiB"`
	RollupWorkers     int               `yaml:"rollup_workers" default:"0" doc:"Goroutines that update cells; 0 is one per processor. Fewer leave processors to queries while the pipeline catches up." example:"1"`
	DimensionValues   int               `yaml:"dimension_values" default:"100000" doc:"Distinct values kept per dimension; further ones are counted under \"(other)\". Totals stay exact. Each value takes about 100 bytes and its length." example:"100000"`
	ValueAge          millrace.Duration `yaml:"value_age" default:"24h" doc:"A value of a dimension that was not seen for so long makes room for another. A day keeps what comes once a day, and lets a flood of values pass." example:"7d"`
	SetCells          int               `yaml:"set_cells" default:"1000000" doc:"Distinct combinations of values kept per set of dimensions and hour of arrival; further ones are counted under \"(other)\". Totals stay exact. A million is more than anybody looks at, and keeps a careless set from filling memory and disk." example:"1000000"`
	AllowedLateness   millrace.Duration `yaml:"allowed_lateness" default:"30s" doc:"How much later than newer events an event may arrive before its window counts as complete. Later ones are still merged." example:"30s"`
	Maintenance       millrace.Duration `yaml:"maintenance_interval" default:"10s" doc:"How often the store is asked what is due: compaction, hours and days, retention. Compaction works minute by minute, so more often finds little." example:"10s"`
	LearnInterval     millrace.Duration `yaml:"learn_interval" default:"10m" doc:"How often URL templates that were learned from new paths may become a new version of a source's rules; 0 is never. A flood of distinct paths is answered after a sixtieth of it." example:"1h"`
	Exceptions        ExceptionOptions  `yaml:"exceptions" doc:"What is kept of exceptions beside their counts, which are exact in any case."`
	TruncateAddresses bool              `yaml:"truncate_addresses" default:"false" doc:"Store of the addresses of clients only their networks, /24 of IPv4 and /48 of IPv6: in client_ip and fields of such names, in the host of events that name none, and wherever else in an event such an address stands. Rules see them whole; uniq(client_ip) counts networks. The queue keeps requests as they came until its retention." example:"true"`
	StageDeadline     millrace.Duration `yaml:"stage_deadline" default:"10s" doc:"Time a stage may spend on one record of at most 1 MiB, which takes milliseconds; a record that takes longer is set aside." example:"10s"`
	StoreDeadline     millrace.Duration `yaml:"store_deadline" default:"2m" doc:"Time one transaction of the store may take before it counts as failed." example:"2m"`
}

// DefaultOptions returns the defaults of the field tags.
func DefaultOptions() Options {
	return Options{
		FlushRows: 122_880, FlushBytes: 96 << 20, FlushInterval: millrace.Duration(time.Second),
		RollupInterval: millrace.Duration(4 * time.Second), RollupMemory: 192 << 20,
		DimensionValues: 100_000, ValueAge: millrace.Duration(24 * time.Hour), SetCells: 1_000_000,
		AllowedLateness: millrace.Duration(30 * time.Second), Maintenance: millrace.Duration(10 * time.Second),
		LearnInterval: millrace.Duration(10 * time.Minute), Exceptions: DefaultExceptionOptions(),
		StageDeadline: millrace.Duration(10 * time.Second), StoreDeadline: millrace.Duration(2 * time.Minute),
	}
}

// Validate reports every setting out of bounds.
func (o *Options) Validate(path string, v *millrace.Violations) {
	millrace.Range(v, path+".flush_rows", o.FlushRows, 1, 1<<20)
	millrace.Range(v, path+".flush_bytes", o.FlushBytes, 1<<20, 1<<30)
	millrace.Range(v, path+".flush_interval", o.FlushInterval, millrace.Duration(10*time.Millisecond), millrace.Duration(time.Minute))
	millrace.Range(v, path+".rollup_interval", o.RollupInterval, millrace.Duration(10*time.Millisecond), millrace.Duration(time.Minute))
	millrace.Range(v, path+".rollup_memory", o.RollupMemory, 1<<20, 64<<30)
	millrace.Range(v, path+".dimension_values", o.DimensionValues, 1, 10_000_000)
	millrace.Range(v, path+".rollup_workers", o.RollupWorkers, 0, 256)
	millrace.Range(v, path+".value_age", o.ValueAge, millrace.Duration(time.Minute), millrace.Duration(10*365*24*time.Hour))
	millrace.Range(v, path+".set_cells", o.SetCells, 1, 1_000_000_000)
	millrace.Range(v, path+".allowed_lateness", o.AllowedLateness, 0, millrace.Duration(24*time.Hour))
	millrace.Range(v, path+".maintenance_interval", o.Maintenance, millrace.Duration(10*time.Millisecond), millrace.Duration(time.Hour))
	if o.LearnInterval != 0 {
		millrace.Range(v, path+".learn_interval", o.LearnInterval, millrace.Duration(10*time.Millisecond), millrace.Duration(7*24*time.Hour))
	}
	o.Exceptions.validate(path+".exceptions", v)
	millrace.Range(v, path+".stage_deadline", o.StageDeadline, millrace.Duration(100*time.Millisecond), millrace.Duration(time.Hour))
	millrace.Range(v, path+".store_deadline", o.StoreDeadline, millrace.Duration(time.Second), millrace.Duration(time.Hour))
}
