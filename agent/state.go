package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace/millrace"
)

// state is how far the import of one file to one place has come. It is one
// JSON file, CLIENT.json, replaced whole.
type state struct {
	Version int    `json:"version"` // stateVersion
	Client  string `json:"client"`

	// Where to. A file sent to two servers or sources is imported twice.
	Server  string `json:"server"`
	Project string `json:"project"`
	Source  string `json:"source"`
	Format  string `json:"format"` // chunks depend on it

	File identity `json:"file"`
	// Size is how much of the file this run reads. It is stored before
	// anything is sent: the last chunk ends there even if the file has grown
	// when it has to be sent again. 0 leaves it to the next run.
	Size   int64 `json:"size"`
	Done   bool  `json:"done"`   // read to Size, all of it acknowledged
	Offset int64 `json:"offset"` // acknowledged, in the plain stream
	Seq    int64 `json:"seq"`    // of the chunk at Offset
	Lines  int64 `json:"lines"`  // before Offset
	// Unended says that what is before Offset does not end with a line end.
	Unended bool `json:"unended"`

	Accepted int64 `json:"accepted"` // events, in all runs
	Rejected int64 `json:"rejected"` // lines, in all runs
}

const stateVersion = 1

// stateDir holds the states, and a lock for each that is in use. Not safe for
// concurrent use; several processes may use one directory.
type stateDir struct {
	dir    string
	loaded map[string]loadedState
}

// loadedState spares reading a file again that has not been replaced: with
// thousands of files imported, each would cost thousands of reads.
type loadedState struct {
	info  os.FileInfo
	state *state
}

// open creates the directory, readable by its owner only, since it tells which
// files exist.
func (d *stateDir) open() error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return &millrace.Error{
			Code: millrace.ErrUnavailable, Op: "open import state", Message: d.dir + " cannot be created", Err: err,
			Hint: "name another directory with --state",
		}
	}
	return nil
}

// DefaultStateDir is where states are kept unless told otherwise.
func DefaultStateDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &millrace.Error{
			Code: millrace.ErrInvalid, Op: "find import state", Err: err,
			Message: "the user has no cache directory; name a directory with --state",
		}
	}
	return filepath.Join(cache, "millrace", "import"), nil
}

// errInUse: another process holds the lock.
var errInUse = millrace.Errorf(millrace.ErrConflict, "another process is importing this file")

// lock takes a lock that ends with the process. wait waits for it, else a held
// one is errInUse.
func (d *stateDir) lock(name string, wait bool) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(d.dir, name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock import state: %w", err)
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, fmt.Errorf("lock import state: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// find returns the state of the file f, of identity id and the given size, for
// the target of want; nil if there is none.
func (d *stateDir) find(want *state, f *os.File, id identity, size int64) (*state, error) {
	all, err := d.all()
	if err != nil {
		return nil, err
	}
	var found *state
	for _, s := range all {
		if s.Server != want.Server || s.Project != want.Project || s.Source != want.Source || size < s.Size {
			continue
		}
		same, err := id.same(s.File, f)
		if err != nil {
			return nil, err
		}
		// Of several, the same inode says more than the same path.
		if same && (found == nil || s.File.Inode == id.Inode) {
			c := *s
			found = &c
		}
	}
	return found, nil
}

// all returns the states, in the order of their names.
func (d *stateDir) all() ([]*state, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("read import states: %w", err)
	}
	var out []*state
	next := map[string]loadedState{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("read import states: %w", err)
		}
		l, ok := d.loaded[e.Name()]
		if !ok || !os.SameFile(l.info, info) || !l.info.ModTime().Equal(info.ModTime()) {
			l.info = info
			if l.state, err = readState(filepath.Join(d.dir, e.Name())); err != nil {
				return nil, err
			}
		}
		next[e.Name()] = l
		out = append(out, l.state)
	}
	d.loaded = next
	return out, nil
}

func readState(name string) (*state, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read import state: %w", err)
	}
	var s state
	if err := json.Unmarshal(b, &s); err != nil || s.Version != stateVersion {
		return nil, &millrace.Error{
			Code: millrace.ErrCorrupt, Op: "read import state", Err: err,
			Message: fmt.Sprintf("%s is no import state of version %d", name, stateVersion),
			Hint:    "remove it to import its file from the start",
		}
	}
	return &s, nil
}

// save replaces the state; after nil it survives power loss.
func (d *stateDir) save(s *state) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("save import state: %w", err)
	}
	name := filepath.Join(d.dir, s.Client+".json")
	if err := writeSynced(name+".tmp", append(b, '\n')); err != nil {
		return fmt.Errorf("save import state: %w", err)
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return fmt.Errorf("save import state: %w", err)
	}
	return syncDir(d.dir)
}

func (d *stateDir) remove(s *state) error {
	if err := os.Remove(filepath.Join(d.dir, s.Client+".json")); err != nil {
		return fmt.Errorf("remove import state: %w", err)
	}
	return syncDir(d.dir)
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync import state: %w", err)
	}
	err = f.Sync()
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync import state: %w", err)
	}
	return nil
}
