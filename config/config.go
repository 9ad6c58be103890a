// Package config is the one strict tree of settings: it puts the Options of all
// packages together, fills in the defaults their field tags state, reads a YAML
// file over them, and prints the reference. An unknown key is an error, and
// Validate reports every violation with its bound.
package config

import (
	"fmt"
	"os"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/clickhouse"
	"github.com/millrace/millrace/duckdb"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
	"github.com/millrace/millrace/transform"
)

// Config is everything that can be configured.
type Config struct {
	HTTP       string               `yaml:"http" default:"127.0.0.1:8080" doc:"Address for pages, API and ingest. On loopback nothing needs a key; any other address requires ingest keys and an admin token." example:"0.0.0.0:8080"`
	Data       string               `yaml:"data" default:"data" doc:"Directory for the queue, the database and keys. One server per directory." example:"/var/lib/millrace"`
	Memory     millrace.Bytes       `yaml:"memory" default:"1536MiB" doc:"Memory of the whole process. The store, open cells, the queue's buffer and requests get fixed shares of it unless they are set themselves; the garbage collector aims to stay below the rest." example:"4GiB"`
	DiskHigh   int                  `yaml:"disk_high" default:"85" doc:"Percent of the data directory's disk in use from which ingest answers 429, so that the database never meets a full disk." example:"90"`
	LagHigh    millrace.Duration    `yaml:"lag_high" default:"48h" doc:"Age of the oldest record that no worker has stored from which ingest answers 429; 0 is never. It must be below queue.retention of an external Kafka, which deletes what is older; unless it is set it is two thirds of a shorter retention." example:"24h"`
	Limits     Limits               `yaml:"limits" doc:"What this process may take of its machine."`
	Auth       auth.Options         `yaml:"auth" doc:"Who must show a key."`
	Ingest     ingest.Options       `yaml:"ingest" doc:"Limits of requests that bring events."`
	Listen     ingest.ListenOptions `yaml:"listen" doc:"Ports besides the one of pages and API, on nodes with the role ingest. See docs/protocols."`
	TLS        TLS                  `yaml:"tls" doc:"Encryption of http, listen.otlp_grpc, listen.otlp_http and of syslog over TLS."`
	Queue      queue.Options        `yaml:"queue" doc:"The durable log between ingest and pipeline."`
	Pipeline   pipeline.Options     `yaml:"pipeline" doc:"The worker that decodes, stores and rolls up."`
	Store      duckdb.Options       `yaml:"store" doc:"The embedded database, unless clickhouse.address is set."`
	ClickHouse clickhouse.Options   `yaml:"clickhouse" doc:"A ClickHouse as the database, for many nodes."`
	Meta       Meta                 `yaml:"meta" doc:"Where keys, rules and positions are kept."`
	Node       Nodes                `yaml:"node" doc:"What this process is among others."`
	Query      query.Options        `yaml:"query" doc:"What one question may cost."`
	Issues     issue.Options        `yaml:"issues" doc:"Exceptions that are one fault, and their life."`
	Countries  string               `yaml:"countries" default:"" doc:"MMDB file of the step country of rules: addresses to countries, as MaxMind, DB-IP and others publish them. It is read again at every reload." example:""`
	Sources    Sources              `yaml:"sources" doc:"Rules of sources, by NAME or PROJECT/NAME; a name that ends in * is for all sources that begin so and have no rules of their own. Rules that stand here are read-only in the API; those of other sources are kept there."`
	Rollups    Rollups              `yaml:"rollups" doc:"Rollups by name, beside the defaults traffic, exceptions and timings. A definition under one of these names replaces it, null removes it."`

	file        *tree // where settings stand, nil if this is of no file
	countryFile *transform.CountryFile
}

// Default returns the configuration without any file.
func Default() *Config {
	c := &Config{}
	setDefaults(c)
	c.Rollups, c.Sources = Rollups{}, Sources{}
	return c
}

// Load reads a file over the defaults and validates the result. ErrInvalid
// names every violation and its place.
func Load(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, &millrace.Error{Code: millrace.ErrInvalid, Op: "read config", Message: path, Err: err}
	}
	c, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads YAML over the defaults and validates the result, as Load does.
func Parse(text []byte) (*Config, error) {
	c := Default()
	var v millrace.Violations
	file := parseTree(text, &v)
	c.file = file
	file.decode(c, &v)
	c.Sources.locate(text, file)
	c.share()
	c.validate(&v)
	file.place(&v)
	if err := v.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Validate reports every violation.
func (c *Config) Validate() error {
	var v millrace.Violations
	c.validate(&v)
	return v.Err()
}

func (c *Config) validate(v *millrace.Violations) {
	if c.Data == "" {
		v.Add("data", `""`, "a directory")
	}
	millrace.Range(v, "memory", c.Memory, 512<<20, 1<<42)
	millrace.Range(v, "disk_high", c.DiskHigh, 10, 99)
	c.validateLag(v)
	c.Limits.validate("limits", v)
	c.Auth.Validate("auth", v)
	c.Ingest.Validate("ingest", v)
	c.validateListen(v)
	c.Queue.Validate("queue", v)
	c.Pipeline.Validate("pipeline", v)
	c.Store.Validate("store", v)
	c.ClickHouse.Validate("clickhouse", v)
	c.validateCluster(v)
	c.Query.Validate("query", v)
	c.Issues.Validate("issues", v)
	c.openCountries(v)
	c.Sources.validate(v, c.countryFile)
	c.compile(v)
}

// openCountries opens the file once, for rules to be compiled with.
func (c *Config) openCountries(v *millrace.Violations) {
	if c.Countries == "" || c.countryFile != nil {
		return
	}
	var err error
	if c.countryFile, err = transform.OpenCountryFile(c.Countries); err != nil {
		v.Append(&millrace.Violation{Path: "countries", Message: err.Error()})
	}
}

// CountryFile returns the opened file of Countries, nil if there is none.
func (c *Config) CountryFile() *transform.CountryFile { return c.countryFile }

// share gives each part its share of Memory: the defaults are made for the
// default memory, so those that were left alone grow and shrink with it.
func (c *Config) share() {
	d := Default()
	scale := func(have *millrace.Bytes, standard millrace.Bytes) {
		if *have == standard {
			*have = millrace.Bytes(float64(standard) * float64(c.Memory) / float64(d.Memory))
		}
	}
	scale(&c.Store.Memory, d.Store.Memory)
	scale(&c.Pipeline.RollupMemory, d.Pipeline.RollupMemory)
	scale(&c.Ingest.Memory, d.Ingest.Memory)
	if c.Shared() {
		c.shareUnembedded(d)
	}
	c.shareLag()
}

// shareUnembedded gives the memory that the embedded database does not take to what
// waits to be stored. A server merges what it gets again and again, the more often
// the smaller it comes: so it comes in larger pieces, while a row group is all that
// the embedded one asks for.
func (c *Config) shareUnembedded(d *Config) {
	p, free := &c.Pipeline, float64(c.Store.Memory)
	if p.FlushRows == d.Pipeline.FlushRows {
		p.FlushRows *= 4
	}
	if p.FlushBytes == d.Pipeline.FlushBytes { // two buffers, and a third is being sent
		p.FlushBytes += millrace.Bytes(free / 8)
	}
	if p.RollupMemory == millrace.Bytes(float64(d.Pipeline.RollupMemory)*float64(c.Memory)/float64(d.Memory)) {
		p.RollupMemory += millrace.Bytes(free / 4)
	}
}

// Compile returns the rollups: the defaults and the configured ones, by name.
// The configuration must be valid.
func (c *Config) Compile() []*rollup.Rollup {
	var v millrace.Violations
	return c.compile(&v)
}
