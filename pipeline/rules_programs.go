package pipeline

import (
	"container/list"
	"sync"

	"github.com/millrace/millrace"
	"github.com/millrace/millrace/decode"
	"github.com/millrace/millrace/transform"
)

// maxPrograms bounds the compiled programs that are kept: a record of another
// version costs compiling it, a millisecond or so. Programs take up to a few
// megabytes each if their patterns are as large as they may be, commonly 100 KB.
const maxPrograms = 128

// programCache keeps the programs used last. Versions never change, so entries
// never become wrong. The zero value is ready; safe for concurrent use.
type programCache struct {
	mu     sync.Mutex
	byID   map[int64]*list.Element
	recent list.List // of *programEntry, most recently used first
}

type programEntry struct {
	version int64
	key     sourceKey // that the version is of
	program *transform.Program
}

func (c *programCache) get(version int64) (p *transform.Program, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[version]
	if e == nil {
		return nil, false
	}
	c.recent.MoveToFront(e)
	return e.Value.(*programEntry).program, true
}

// key returns the name that a version's rules are kept under, if it is here.
func (c *programCache) key(version int64) (key sourceKey, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[version]
	if e == nil {
		return sourceKey{}, false
	}
	return e.Value.(*programEntry).key, true
}

func (c *programCache) put(v *millrace.RuleVersion, p *transform.Program) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[v.Version] != nil {
		return
	}
	if c.byID == nil {
		c.byID = map[int64]*list.Element{}
	}
	c.byID[v.Version] = c.recent.PushFront(&programEntry{v.Version, keyOf(v), p})
	if c.recent.Len() > maxPrograms {
		old := c.recent.Remove(c.recent.Back()).(*programEntry)
		delete(c.byID, old.version)
	}
}

// RulesOptions returns what programs are given from outside of their text.
// hashKey is the secret of this installation; without countries rules that look
// them up are refused.
func RulesOptions(hashKey []byte, countries *transform.CountryFile) transform.Options {
	return transform.Options{ParseTime: decode.ParseTime, Level: decode.Level, HashKey: hashKey, Countries: countries}
}

// CompileRules compiles a version. The error is a *transform.Error with every
// violation.
func CompileRules(v *millrace.RuleVersion, opts transform.Options) (*transform.Program, error) {
	var err error
	if opts.Learned, err = transform.ParseURLLearning(v.Learned); err != nil {
		return nil, err
	}
	return transform.Load([]byte(v.Text), opts)
}
