package main

import (
	"fmt"
	"log/slog"

	"github.com/millrace/millrace/config"
)

// serveCmd runs the server until it is told to stop.
type serveCmd struct {
	Config string   `help:"Configuration file (YAML)." type:"existingfile" placeholder:"FILE"`
	Data   string   `help:"Directory for all data." placeholder:"DIR"`
	HTTP   string   `name:"http" help:"Address for pages, API and ingest." placeholder:"ADDR"`
	Broker []string `help:"Addresses of a Kafka to use instead of the embedded broker." placeholder:"HOST:PORT"`
	Log    string   `help:"Least level of the server's own log." enum:"debug,info,warn,error" default:"info"`
}

// Run implements the command.
func (c *serveCmd) Run(e *env) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log)); err != nil {
		return fmt.Errorf("BUG: log level: %w", err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
	s, err := startServer(e.ctx, cfg, log, e.now)
	if err != nil {
		return err
	}
	e.main.server = s
	if s.token != "" {
		fmt.Fprintf(e.stdout, "admin token, shown only now: %s\n", s.token)
	}
	fmt.Fprintf(e.stdout, "millrace %s listens on %s\n", version(), s.url)
	if e.main.Ready != nil {
		e.main.Ready(s.url)
	}
	select {
	case <-e.ctx.Done():
	case err = <-s.failed:
	}
	e.main.server = nil
	if cerr := s.close(); err == nil {
		err = cerr
	}
	return err
}

// load reads the file and lets flags override it.
func (c *serveCmd) load() (*config.Config, error) {
	cfg, err := config.Parse(nil)
	if c.Config != "" {
		cfg, err = config.Load(c.Config)
	}
	if err != nil {
		return nil, err
	}
	if c.Data != "" {
		cfg.Data = c.Data
	}
	if c.HTTP != "" {
		cfg.HTTP = c.HTTP
	}
	if len(c.Broker) > 0 {
		cfg.Queue.Broker = c.Broker
	}
	return cfg, cfg.Validate()
}
