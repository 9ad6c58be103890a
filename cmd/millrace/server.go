package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/auth"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/ingest"
	"github.com/millrace/millrace/issue"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/query"
	"github.com/millrace/millrace/queue"
	"github.com/millrace/millrace/rollup"
	"github.com/millrace/millrace/web"
)

// server is everything that serve runs, wired together.
type server struct {
	cfg  *config.Config                 // as of the start
	live atomic.Pointer[config.Config]  // as of the last reload
	load func() (*config.Config, error) // reads the configuration again
	log  *slog.Logger
	now  func() time.Time

	queue    *queue.Queue
	feeds    []feed // topics that others fill
	store    millrace.Store
	meta     state
	rules    *pipeline.RuleBook
	pipeline *pipeline.Pipeline
	issues   *issue.Service
	query    *query.Service
	reloads  reloads
	ingest   *ingest.Handler
	limits   *auth.Limits
	backfill *pipeline.Backfills
	disk     *diskGuard
	lag      *lagGuard
	full     *storeDiskGuard // nil with the embedded database
	memory   *memoryGuard
	node     *node
	probes   *probes
	status   *statusReporter
	tally    *time.Ticker

	http  *http.Server
	conns *connLimit
	certs *certificates // nil: nothing is encrypted
	ports ports
	url   string
	token string // of the admin, if this start created it

	stop   context.CancelFunc // ends the background work
	work   sync.WaitGroup
	failed chan error // the HTTP server ended by itself
}

// startServer reads the configuration, opens the data directory, recovers the
// pipeline and listens. On error nothing is left running.
func startServer(ctx context.Context, load func() (*config.Config, error), log *slog.Logger, now func() time.Time) (*server, error) {
	cfg, err := load()
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, load: load, log: log, now: now, failed: make(chan error, 1), stop: func() {}}
	s.live.Store(cfg)
	err = s.open(ctx)
	if err == nil {
		err = s.listen(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open opens the adapters in the order of their locks: the queue's directory
// lock first, so that a second server on the directory touches nothing.
func (s *server) open(ctx context.Context) error {
	debug.SetMemoryLimit(heapLimit(s.cfg))
	limitProcessors(s.cfg.Limits)
	var err error
	s.conns = newConnLimit(s.cfg.Limits)
	if s.certs, err = openCertificates(s.cfg.TLS, s.log); err != nil {
		return err
	}
	if s.memory, err = newMemoryGuard(s.cfg); err != nil {
		return err
	}
	if err := os.MkdirAll(s.cfg.Data, 0o750); err != nil {
		return &millrace.Error{Code: millrace.ErrUnavailable, Op: "create data directory", Err: err, Hint: "choose a directory that can be written with --data"}
	}
	s.disk = &diskGuard{dir: s.cfg.Data, waiting: func() int64 { return s.queue.Waiting() }}
	s.disk.high.Store(int64(s.cfg.DiskHigh))
	if err := s.disk.look(); err != nil {
		return err
	}
	if s.queue, err = queue.Open(ctx, s.cfg.Queue, filepath.Join(s.cfg.Data, "queue"), s.log, s.now); err != nil {
		return err
	}
	if err := s.openState(ctx); err != nil {
		return err
	}
	if err := s.openStore(ctx); err != nil {
		return err
	}
	if err := s.openRules(ctx); err != nil {
		return err
	}
	return s.startPipeline(ctx)
}

// startPipeline recovers before anything can be appended.
func (s *server) startPipeline(ctx context.Context) error {
	rollups := s.cfg.Compile()
	schemas := schemasOf(rollups)
	if err := s.store.DefineRollups(ctx, schemas); err != nil {
		return err
	}
	version, err := s.fingerprintVersion(ctx)
	if err != nil {
		return err
	}
	s.openIssues(schemas)
	s.pipeline = pipeline.New(s.cfg.Pipeline, pipeline.Deps{
		Queue: s.queue, Store: s.store, Rollups: rollups, Rules: s.rules, Now: s.now, Log: s.log,
		Fingerprint: version, Sightings: s.issues, Join: s.join(), Alone: s.alone,
	})
	if !s.cfg.Shared() { // else workers do so for the partitions that they get
		if err := s.pipeline.Recover(ctx); err != nil {
			return err
		}
	}
	s.node, s.probes = newNode(s), newProbes(s)
	s.lag = &lagGuard{offsetsAt: s.queue.OffsetsAt, bounds: s.queue.Bounds, positions: s.store.Positions, now: s.now}
	s.lag.high.Store(int64(s.cfg.LagHigh))
	s.status = newStatusReporter(s, schemas)
	s.backfill = pipeline.NewBackfills(s.store, func() (pipeline.Options, []*rollup.Rollup) { c := s.live.Load(); return c.Pipeline, c.Compile() })
	return nil
}

// listen builds the HTTP side and starts all background work.
func (s *server) listen(ctx context.Context) error {
	handler, err := s.handler(ctx)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", s.cfg.HTTP)
	if err != nil {
		return &millrace.Error{Code: millrace.ErrUnavailable, Op: "listen on " + s.cfg.HTTP, Err: err, Hint: "is another server running? choose another address with --http"}
	}
	s.url = "http://" + ln.Addr().String()
	ln = s.conns.listener(ln, "http")
	if s.certs != nil {
		s.url = "https://" + ln.Addr().String()
		ln = tls.NewListener(ln, s.certs.config("h2", "http/1.1"))
	}
	if err := s.openPorts(ctx); err != nil {
		return errors.Join(err, ln.Close())
	}
	s.http = s.httpServer(handler)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.runNode(work)
	s.work.Go(func() { s.runPipeline(work) })
	s.runIssues(work)
	s.work.Go(func() { s.status.run(work) })
	s.runFeeds(work)
	s.runLimits(work)
	s.runPorts(work)
	s.followCertificates(work)
	go func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	}()
	return nil
}

func (s *server) handler(ctx context.Context) (http.Handler, error) {
	loopback := auth.Loopback(s.cfg.HTTP)
	guard := auth.NewGuard(s.cfg.Auth, loopback, s.meta, s.now)
	if !guard.Open() {
		token, created, err := auth.EnsureAdmin(ctx, s.meta, s.now())
		if err != nil {
			return nil, err
		}
		if created {
			s.token = token
		}
	}
	if err := s.openLimits(ctx); err != nil {
		return nil, err
	}
	s.tally = time.NewTicker(tallyInterval)
	s.ingest = ingest.New(s.cfg.Ingest, ingest.Deps{
		Append: s.queue.Append, Pressure: s.pressure, Door: s.door, Rules: s.rules.Current,
		Authorize: guard.Authorize, AuthorizeKey: guard.AuthorizeKey, Limits: s.limits,
		Now: s.now, Tick: s.tally.C, Log: s.log, Metrics: s.status.registry,
	})
	if err := s.openFeeds(); err != nil {
		return nil, err
	}
	seeds, err := s.seeds(ctx)
	if err != nil {
		return nil, err
	}
	s.ingest.SeedClients(seeds)
	if err := s.seedIDs(ctx); err != nil {
		return nil, err
	}
	pages, err := web.New(web.Deps{
		Query: s.query, Guard: guard, Now: s.now, Ingest: s.endpoints(), Front: s.ingest.Elastic, Keys: auth.KeysHandler(guard, s.limits),
		Metrics: s.status.registry, Backfills: s.backfill, Rules: ruleService{s.rules}, Issues: s.issues, Reload: s.reload, Cluster: s.node, Ready: s.ready, Version: version(), Log: s.log,
	})
	if err != nil {
		return nil, err
	}
	return s.byRole(pages), nil
}

// endpoints returns what brings events, by pattern.
func (s *server) endpoints() map[string]http.Handler {
	out := map[string]http.Handler{}
	for _, r := range s.ingest.Routes() {
		out[r.Pattern] = r.Handler
	}
	return out
}

// seeds returns the newest sequence per client that any sink has committed.
func (s *server) seeds(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	for _, sink := range []millrace.Sink{millrace.SinkEvents, millrace.SinkRollup} {
		st, err := s.store.Load(ctx, sink)
		if err != nil {
			return nil, err
		}
		newest, err := pipeline.NewestSequences(st)
		if err != nil {
			return nil, err
		}
		for client, seq := range newest {
			out[client] = max(out[client], seq)
		}
	}
	return out, nil
}

// door tells requests to go elsewhere while this node drains, and to wait while
// there is pressure.
func (s *server) door() error {
	if err := s.node.refusal(); err != nil {
		return err
	}
	return s.pressure()
}

// pressure tells ingest to wait while the disk, the memory or the queue is full,
// or the workers are too far behind.
func (s *server) pressure() error {
	if err := s.disk.pressure(); err != nil {
		return err
	}
	if err := s.memory.pressure(); err != nil {
		return err
	}
	if err := s.lag.pressure(); err != nil {
		return err
	}
	if err := s.full.pressure(); err != nil {
		return err
	}
	return s.queue.Pressure()
}

// tallyInterval is how often what was refused at the door goes to the ledger.
const tallyInterval = 2 * time.Second

// drainTimeout bounds how long requests under way may take at a shutdown.
const drainTimeout = 10 * time.Second

// drain stops taking requests and messages, and waits for those under way.
func (s *server) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var ports, requests error
	var both sync.WaitGroup
	both.Go(func() { ports = s.closePorts(ctx) })
	if s.http != nil {
		if err := s.http.Shutdown(ctx); err != nil {
			requests = errors.Join(fmt.Errorf("drain requests: %w", err), s.http.Close())
		}
	}
	both.Wait()
	return errors.Join(ports, requests)
}

// close stops in the order of the stream: no more requests, then the sinks
// commit what they hold, then the adapters close.
func (s *server) close() error {
	var errs []error
	errs = append(errs, s.drain())
	if s.ingest != nil {
		s.tally.Stop()
		errs = append(errs, s.ingest.Close(context.Background()))
	}
	if s.backfill != nil {
		s.backfill.Close()
	}
	if s.pipeline != nil {
		s.pipeline.Stop()
	}
	s.stop()
	s.work.Wait()
	if s.queue != nil {
		errs = append(errs, s.queue.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.Close())
	}
	return errors.Join(errs...)
}
