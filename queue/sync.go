package queue

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// syncer makes what the embedded broker has acknowledged durable. Each
// partition has a goroutine that syncs its segment files; calls that come in
// during a sync share the next one.
type syncer struct {
	parts []*partSync
	wg    sync.WaitGroup
}

// partSync syncs one partition. mu guards next and closed; the rest belongs to
// the goroutine.
type partSync struct {
	dir          string
	segmentBytes int64

	mu     sync.Mutex
	next   *round // what waits for the next sync; nil if nothing
	closed bool
	kick   chan struct{} // holds one token if next is set

	base   int64    // of file
	file   *os.File // the newest segment known; all before it are synced
	failed error    // of the first failed sync: nothing is known after that
}

type round struct {
	done chan struct{}
	err  error
}

var errSyncClosed = errors.New("the queue is closed")

// newSyncer starts one for partitions directories dirs. What they hold now
// counts as synced.
func newSyncer(dirs []string, segmentBytes int64) (*syncer, error) {
	s := &syncer{}
	for _, dir := range dirs {
		p := &partSync{dir: dir, segmentBytes: segmentBytes, kick: make(chan struct{}, 1), base: -1}
		bases, err := listBases(dir)
		if err != nil {
			return nil, err
		}
		if len(bases) > 0 {
			p.base = bases[len(bases)-1] - 1 // so that the newest is the first to be opened
		}
		s.parts = append(s.parts, p)
	}
	for _, p := range s.parts {
		s.wg.Go(p.run)
	}
	return s, nil
}

// start asks for a sync of a partition; all that the broker had acknowledged
// before is durable when the round is done without error.
func (s *syncer) start(partition int32) *round {
	p := s.parts[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		r := &round{done: make(chan struct{}), err: errSyncClosed}
		close(r.done)
		return r
	}
	if p.next == nil {
		p.next = &round{done: make(chan struct{})}
		p.kick <- struct{}{} // has room: the goroutine took the token before it cleared next
	}
	return p.next
}

func (r *round) wait() error {
	<-r.done
	return r.err
}

// close syncs what waits and ends the goroutines.
func (s *syncer) close() {
	for _, p := range s.parts {
		p.mu.Lock()
		if !p.closed {
			p.closed = true
			close(p.kick)
		}
		p.mu.Unlock()
	}
	s.wg.Wait()
}

func (p *partSync) run() {
	for range p.kick {
		p.mu.Lock()
		r := p.next
		p.next = nil
		p.mu.Unlock()
		if p.failed == nil {
			p.failed = p.sync()
		}
		r.err = p.failed
		close(r.done)
	}
	if p.file != nil {
		_ = p.file.Close() // synced; nothing to lose
	}
}

// sync walks from the newest segment known to the newest there is and syncs
// each. A segment has a successor only if it reached segmentBytes, so the
// directory need not be listed otherwise.
func (p *partSync) sync() error {
	for {
		if p.file != nil {
			st, err := p.file.Stat()
			if err != nil {
				return err
			}
			if err := p.file.Sync(); err != nil {
				return err
			}
			if !deleted(st) && st.Size() < p.segmentBytes {
				return nil
			}
			if deleted(st) {
				p.base = -1 // by retention, or the topic is a new one
			}
		}
		more, err := p.advance()
		if err != nil || !more {
			return err
		}
	}
}

// advance opens the oldest segment after base.
func (p *partSync) advance() (bool, error) {
	bases, err := listBases(p.dir)
	if err != nil {
		return false, err
	}
	for _, base := range bases {
		if base <= p.base {
			continue
		}
		f, err := os.OpenFile(filepath.Join(p.dir, segmentName(base)), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted meanwhile by retention
		}
		if err != nil {
			return false, err
		}
		if p.file != nil {
			_ = p.file.Close() // synced above
		}
		p.file, p.base = f, base
		return true, syncDir(p.dir)
	}
	return false, nil
}

// deleted reports whether no name leads to the file any more.
func deleted(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && sys.Nlink == 0
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
