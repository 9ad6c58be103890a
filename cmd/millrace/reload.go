package main

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/config"
	"github.com/millrace/millrace/pipeline"
	"github.com/millrace/millrace/rollup"
)

// reloads remembers what became of attempts to read the configuration again.
type reloads struct {
	one sync.Mutex // one at a time

	mu   sync.Mutex
	last time.Time // of the last attempt; zero if there was none
	err  error     // why it was refused
}

// reloadTimeout bounds how long a reload waits for the sinks to commit what they
// hold, which takes as long as their slowest transaction.
const reloadTimeout = time.Minute

// reload reads the configuration again and adopts it whole, or not at all if
// anything in it is wrong or needs a restart. Nothing under way is disturbed.
func (s *server) reload(ctx context.Context) error {
	s.reloads.one.Lock()
	defer s.reloads.one.Unlock()
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	err := s.adopt(ctx)
	s.reloads.mu.Lock()
	s.reloads.last, s.reloads.err = s.now(), err
	s.reloads.mu.Unlock()
	if err != nil {
		s.log.Error("the configuration stays as it is", "err", err, "hint", millrace.ErrorHint(err))
		return err
	}
	s.log.Info("configuration reloaded")
	return nil
}

// adopt does what can be refused first.
func (s *server) adopt(ctx context.Context) error {
	next, err := s.load()
	if err != nil {
		return err
	}
	old := s.live.Load()
	if err := old.CheckReload(next); err != nil {
		return err
	}
	rollups := next.Compile()
	changed := old.Pipeline != next.Pipeline || !reflect.DeepEqual(old.Rollups, next.Rollups)
	if changed {
		if err := s.redefine(ctx, next.Pipeline, rollups); err != nil {
			return err
		}
	}
	if err := s.rules.Seed(ctx, next.Sources.Seeds()); err != nil {
		if changed {
			err = errors.Join(err, s.redefine(ctx, old.Pipeline, old.Compile()))
		}
		return err
	}
	if f := s.cfg.CountryFile(); f != nil {
		f.Replace(next.CountryFile()) // it is a violation if it cannot be read
	}
	s.ingest.SetOptions(next.Ingest)
	s.disk.high.Store(int64(next.DiskHigh))
	s.lag.high.Store(int64(next.LagHigh))
	s.query.SetSchemas(schemasOf(rollups))
	s.live.Store(next)
	return nil
}

// redefine gives the pipeline other options and rollups, or where others work
// tells the store what they are.
func (s *server) redefine(ctx context.Context, opts pipeline.Options, rollups []*rollup.Rollup) error {
	if s.cfg.Node.Has(config.RoleWorker) {
		return s.pipeline.Reconfigure(ctx, opts, rollups)
	}
	return s.store.DefineRollups(ctx, schemasOf(rollups))
}

// lastReload returns when the configuration was last read again, zero if never,
// and why it was refused.
func (s *server) lastReload() (at time.Time, err error) {
	s.reloads.mu.Lock()
	defer s.reloads.mu.Unlock()
	return s.reloads.last, s.reloads.err
}

// hashKeyName is the secret that masks hash with.
const hashKeyName = "hash_key"

// openRules reads the rules and makes those of the file current, before anything
// can be appended.
func (s *server) openRules(ctx context.Context) error {
	fresh := make([]byte, 32)
	if _, err := rand.Read(fresh); err != nil {
		return err
	}
	key, err := s.meta.Secret(ctx, hashKeyName, fresh)
	if err != nil {
		return err
	}
	if s.rules, err = pipeline.OpenRules(ctx, s.meta, pipeline.RulesOptions(key, s.cfg.CountryFile()), s.now); err != nil {
		return err
	}
	return s.rules.Seed(ctx, s.cfg.Sources.Seeds())
}

func schemasOf(rollups []*rollup.Rollup) []millrace.RollupSchema {
	out := make([]millrace.RollupSchema, len(rollups))
	for i, r := range rollups {
		out[i] = r.RollupSchema
	}
	return out
}

// watchInterval is how often a watched file is looked at. A change counts when
// the file was the same at two looks, so that half a file is not read.
const watchInterval = 2 * time.Second

// watchFile sends whenever the file at path has changed, until ctx ends. It
// follows symbolic links, which is how orchestrators replace files.
func watchFile(ctx context.Context, path string, every time.Duration) <-chan struct{} {
	type state struct {
		size int64
		time time.Time
	}
	look := func() (s state) {
		if info, err := os.Stat(path); err == nil {
			s = state{info.Size(), info.ModTime()}
		}
		return s
	}
	out := make(chan struct{})
	known := look()
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for before := known; ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := look()
			settled := now == before
			if before = now; !settled || now == known || now == (state{}) {
				continue
			}
			known = now
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
