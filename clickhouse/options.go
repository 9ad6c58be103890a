package clickhouse

import (
	"time"

	"github.com/millrace/millrace"
)

// Options configures the store. Sizes are bytes.
type Options struct {
	Address     string            `yaml:"address" secret:"true" default:"" doc:"Where ClickHouse is: clickhouse://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE. The port is 9000, with TLS 9440, for HTTP 8123 or 8443. Parameters: cluster=NAME makes replicated and distributed tables on that cluster; protocol=http speaks HTTP; secure=true uses TLS." example:"clickhouse://millrace:secret@ch-1:9000,ch-2:9000/millrace?cluster=main"`
	TLS         TLS               `yaml:"tls" doc:"Certificates, if the address has secure=true."`
	Timeout     millrace.Duration `yaml:"timeout" default:"30s" doc:"How long one statement may take, insertions included; deletions in the background may take longer." example:"1m"`
	Connect     millrace.Duration `yaml:"connect_timeout" default:"5s" doc:"How long a new connection may take." example:"10s"`
	Retry       millrace.Duration `yaml:"retry" default:"10s" doc:"How long a read is tried again while no server answers. Insertions are never repeated as they are: they are abandoned and begin anew." example:"30s"`
	Connections int               `yaml:"connections" default:"16" doc:"Connections of this process at most; each query and each insertion holds one." example:"32"`
	SQLMemory   millrace.Bytes    `yaml:"sql_memory" default:"2GiB" doc:"Memory that one statement of POST /api/v1/sql may use on each server." example:"8GiB"`
	SQLRead     millrace.Bytes    `yaml:"sql_read" default:"200GiB" doc:"Bytes, uncompressed, that one statement of POST /api/v1/sql may read." example:"1TiB"`
	Storage     Storage           `yaml:"storage" doc:"Where raw rows lie as they grow older. Volumes are those of a storage policy of the servers."`
	Retention   Retention         `yaml:"retention" doc:"How long data is kept, counted from its arrival."`
}

// TLS names certificates in PEM files.
type TLS struct {
	CA         string `yaml:"ca" default:"" doc:"Authorities to trust instead of the system's." example:"/etc/millrace/ca.pem"`
	Cert       string `yaml:"cert" default:"" doc:"Certificate to show to the server." example:"/etc/millrace/client.pem"`
	Key        string `yaml:"key" default:"" doc:"Its private key." example:"/etc/millrace/client.key"`
	ServerName string `yaml:"server_name" default:"" doc:"Name that the server's certificate must have, if it is not the host's." example:"clickhouse.internal"`
}

// Storage says to which volumes raw rows move.
type Storage struct {
	Policy     string            `yaml:"policy" default:"" doc:"Storage policy of the tables; empty is the server's default." example:"tiered"`
	WarmVolume string            `yaml:"warm_volume" default:"" doc:"Volume for rows older than warm_after." example:"warm"`
	WarmAfter  millrace.Duration `yaml:"warm_after" default:"1d" doc:"Age, from arrival, at which rows move to the warm volume." example:"3d"`
	ColdVolume string            `yaml:"cold_volume" default:"" doc:"Volume for rows older than cold_after, such as S3." example:"s3"`
	ColdAfter  millrace.Duration `yaml:"cold_after" default:"14d" doc:"Age, from arrival, at which rows move to the cold volume." example:"30d"`
}

// Retention says how long each kind of data is kept.
type Retention struct {
	Events      millrace.Duration `yaml:"events" default:"90d" doc:"Raw rows. Whole days of arrival are dropped." example:"30d"`
	MinuteCells millrace.Duration `yaml:"minute_cells" default:"8d" doc:"Rollup cells of minutes. A week and a day, so that a week can be compared with the one before at full detail." example:"15d"`
	HourCells   millrace.Duration `yaml:"hour_cells" default:"90d" doc:"Rollup cells of hours." example:"180d"`
	DayCells    millrace.Duration `yaml:"day_cells" default:"730d" doc:"Rollup cells of days; two years allow a comparison with the year before." example:"1095d"`
	Ledger      millrace.Duration `yaml:"ledger" default:"730d" doc:"Accounts per minute of arrival." example:"365d"`
}

const day = 24 * time.Hour

// DefaultOptions returns the defaults of the tags.
func DefaultOptions() Options {
	days := func(n int) millrace.Duration { return millrace.Duration(time.Duration(n) * day) }
	return Options{
		Timeout: millrace.Duration(30 * time.Second), Connect: millrace.Duration(5 * time.Second),
		Retry: millrace.Duration(10 * time.Second), Connections: 16,
		SQLMemory: 2 << 30, SQLRead: 200 << 30,
		Storage: Storage{WarmAfter: days(1), ColdAfter: days(14)},
		Retention: Retention{
			Events: days(90), MinuteCells: days(8), HourCells: days(90), DayCells: days(730), Ledger: days(730),
		},
	}
}

// Validate reports every setting that is out of bounds. An empty address is no
// violation: then another store is used.
func (o *Options) Validate(path string, v *millrace.Violations) {
	if o.Address != "" {
		if _, err := parseAddress(o.Address); err != nil {
			v.Append(&millrace.Violation{Path: path + ".address", Message: millrace.ErrorMessage(err)})
		}
	}
	const second, hour = millrace.Duration(time.Second), millrace.Duration(time.Hour)
	millrace.Range(v, path+".timeout", o.Timeout, second, hour)
	millrace.Range(v, path+".connect_timeout", o.Connect, second/10, hour)
	millrace.Range(v, path+".retry", o.Retry, 0, hour)
	millrace.Range(v, path+".connections", o.Connections, 4, 1000)
	millrace.Range(v, path+".sql_memory", o.SQLMemory, 64<<20, 1<<40)
	millrace.Range(v, path+".sql_read", o.SQLRead, 1<<30, 1<<50)
	if (o.TLS.Cert == "") != (o.TLS.Key == "") {
		v.Append(&millrace.Violation{Path: path + ".tls", Message: "cert and key must be given together"})
	}
	o.Storage.validate(path+".storage", v)
	o.Retention.validate(path+".retention", v)
}

func (s *Storage) validate(path string, v *millrace.Violations) {
	const oneDay, century = millrace.Duration(day), millrace.Duration(100 * 366 * day)
	if s.Policy == "" && s.WarmVolume+s.ColdVolume != "" {
		v.Add(path+".policy", `""`, "the storage policy that has the volumes")
	}
	for name, value := range map[string]string{"policy": s.Policy, "warm_volume": s.WarmVolume, "cold_volume": s.ColdVolume} {
		if value != "" && !plainName.MatchString(value) {
			v.Add(path+"."+name, value, "a name of letters, digits, _ and -")
		}
	}
	millrace.Range(v, path+".warm_after", s.WarmAfter, oneDay, century)
	millrace.Range(v, path+".cold_after", s.ColdAfter, s.WarmAfter, century)
}

func (r *Retention) validate(path string, v *millrace.Violations) {
	const oneDay, century = millrace.Duration(day), millrace.Duration(100 * 366 * day)
	millrace.Range(v, path+".events", r.Events, oneDay, century)
	millrace.Range(v, path+".minute_cells", r.MinuteCells, 2*oneDay, century)
	millrace.Range(v, path+".hour_cells", r.HourCells, r.MinuteCells, century)
	millrace.Range(v, path+".day_cells", r.DayCells, r.HourCells, century)
	millrace.Range(v, path+".ledger", r.Ledger, oneDay, century)
}
