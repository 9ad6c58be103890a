package transform

import "github.com/cespare/xxhash/v2"

// Folder applies Templates for one goroutine, fast and with counters. It keeps
// the templates of recent paths: a hit costs a hash and a comparison. Its memory
// is bounded: 4,096 paths of up to 192 bytes each and the counters of as many
// templates as the cap allows, 1.3 KiB each at most.
type Folder struct {
	t       *Templates
	scratch urlScratch
	cache   []urlCached // a power of two; a path is in the slot of its hash or the one beside
	misses  int         // since the cache has its size

	ids    map[string]int // of the templates counted, below the cap
	counts []urlCount     // by id; 0 is URLOther
}

type urlCached struct {
	hash uint64
	path []byte // owned by the slot
	id   int    // -1: the slot is empty
}

type urlCount struct {
	template string
	events   int64
	paths    distinct
}

const (
	minURLCache   = 64
	maxURLCache   = 4096
	maxCachedPath = 192
)

// NewFolder returns what one goroutine applies t with.
func (t *Templates) NewFolder() *Folder {
	f := &Folder{t: t}
	f.reset()
	return f
}

// reset forgets counters and, since it holds their ids, the cache.
func (f *Folder) reset() {
	if f.cache == nil {
		f.cache = make([]urlCached, minURLCache)
	}
	for i := range f.cache {
		f.cache[i].id = -1
	}
	f.misses = 0
	f.ids = map[string]int{}
	f.counts = append(f.counts[:0:0], urlCount{template: URLOther})
}

// Apply returns the template of a path and counts it. It does not depend on
// what was applied before. If kept, the template lives as long as anybody refers
// to it; else it lies in f's memory until the next call: copy it.
func (f *Folder) Apply(path string) (template string, kept bool) {
	hash := xxhash.Sum64String(path)
	at := hash & uint64(len(f.cache)-1)
	for _, i := range [2]uint64{at, at ^ 1} {
		if e := &f.cache[i]; e.hash == hash && e.id >= 0 && string(e.path) == path {
			c := &f.counts[e.id]
			c.events++
			return c.template, true
		}
	}
	template = f.t.apply(path, &f.scratch)
	id, ok := f.idOf(template)
	c := &f.counts[id]
	c.events++
	c.paths.add(hash)
	if !ok {
		return template, false
	}
	if len(path) <= maxCachedPath {
		f.remember(at, hash, path, id)
	}
	return c.template, true
}

// idOf returns the counter of a template. ok is false if there is none left for
// it: then it is counted as URLOther.
func (f *Folder) idOf(template string) (id int, ok bool) {
	if id, ok := f.ids[template]; ok {
		return id, true
	}
	if template == URLOther {
		return 0, true
	}
	if len(f.counts) >= f.t.options.Cap {
		return 0, false
	}
	id = len(f.counts)
	own := string(append([]byte(nil), template...))
	f.ids[own] = id
	f.counts = append(f.counts, urlCount{template: own})
	return id, true
}

// remember puts a path into its slot; what was there moves to the one beside, so
// that two paths of one slot do not drive each other out.
func (f *Folder) remember(at, hash uint64, path string, id int) {
	e, beside := &f.cache[at], &f.cache[at^1]
	*e, *beside = *beside, *e
	e.hash, e.id = hash, id
	e.path = append(e.path[:0], path...)
	f.grow()
}

// grow quadruples the cache if it is too small for the paths that come.
func (f *Folder) grow() {
	if f.misses++; f.misses < 8*len(f.cache) || len(f.cache) == maxURLCache {
		return
	}
	old := f.cache
	f.cache = make([]urlCached, 4*len(old))
	for i := range f.cache {
		f.cache[i].id = -1
	}
	for _, e := range old {
		if e.id >= 0 {
			f.cache[e.hash&uint64(len(f.cache)-1)] = e
		}
	}
	f.misses = 0
}

// Take adds the counters to total and forgets them.
func (f *Folder) Take(total *URLCounts) {
	for i := range f.counts {
		if c := &f.counts[i]; c.events > 0 {
			total.add(c.template, c.events, &c.paths)
		}
	}
	f.reset()
}
