package main

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/millrace/millrace/config"
)

// serveCmd runs the server until it is told to stop.
type serveCmd struct {
	Config  string   `help:"Configuration file (YAML)." type:"existingfile" placeholder:"FILE"`
	Data    string   `help:"Directory for all data." placeholder:"DIR"`
	HTTP    string   `name:"http" help:"Address for pages, API and ingest." placeholder:"ADDR"`
	Watch   bool     `help:"Reload the configuration file when it changes, besides at SIGHUP and POST /api/v1/config/reload."`
	Broker  []string `help:"Addresses of a Kafka to use instead of the embedded broker." placeholder:"HOST:PORT"`
	Consume []string `help:"Topics of that Kafka that others fill; their messages count exactly once." placeholder:"TOPIC=FORMAT"`
	Store   string   `help:"Address of a ClickHouse to use instead of the embedded database." placeholder:"clickhouse://…"`
	Meta    string   `help:"Address of a PostgreSQL for keys, rules and positions instead of a file." placeholder:"postgres://…"`
	Role    []string `help:"What this node does: ingest, worker, query; all unless told." placeholder:"ROLE"`
	Node    string   `help:"Name of this node among others." placeholder:"NAME"`
	Listen  []string `help:"Further ports: otlp_grpc, otlp_http, memcached, syslog_udp, syslog_tcp, syslog_tls." placeholder:"NAME=ADDR"`
	Log     string   `help:"Least level of the server's own log." enum:"debug,info,warn,error" default:"info"`
}

// Run implements the command.
func (c *serveCmd) Run(e *env) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log)); err != nil {
		return fmt.Errorf("BUG: log level: %w", err)
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
	s, err := startServer(e.ctx, c.load, log, e.now)
	if err != nil {
		return err
	}
	e.main.server = s
	if s.token != "" {
		fmt.Fprintf(e.stdout, "admin token, shown only now: %s\n", s.token)
	}
	fmt.Fprintf(e.stdout, "millrace %s listens on %s\n", version(), s.url)
	for _, p := range s.listening() {
		fmt.Fprintf(e.stdout, "%s (%s) listens on %s\n", p.Protocol, p.Network, p.Address)
	}
	if e.main.Ready != nil {
		e.main.Ready(s.url)
	}
	err = c.wait(e, s)
	e.main.server = nil
	if cerr := s.close(); err == nil {
		err = cerr
	}
	return err
}

// wait reads the configuration again at every SIGHUP, and whenever the file
// changes if that is asked for, until the server is to stop.
func (c *serveCmd) wait(e *env, s *server) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var changed <-chan struct{}
	if c.Watch && c.Config != "" {
		changed = watchFile(e.ctx, c.Config, watchInterval)
	}
	for {
		select {
		case <-e.ctx.Done():
			return nil
		case err := <-s.failed:
			return err
		case <-hup:
		case <-changed:
		}
		_ = s.reload(e.ctx) // it is logged, and shown in the status
	}
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
	if len(c.Consume) > 0 {
		cfg.Queue.Consume = c.Consume
	}
	if c.Store != "" {
		cfg.ClickHouse.Address = c.Store
	}
	if c.Meta != "" {
		cfg.Meta.Address = c.Meta
	}
	if len(c.Role) > 0 {
		cfg.Node.Roles = c.Role
	}
	if c.Node != "" {
		cfg.Node.Name = c.Node
	}
	for _, text := range c.Listen {
		if err := cfg.AddListen(text); err != nil {
			return nil, err
		}
	}
	return cfg, cfg.Validate()
}
