package transform

import (
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Folder applies Templates for one goroutine, fast and with counters. It keeps
// the templates of recent paths: a hit costs a hash and a comparison. Its memory
// is bounded: 4,096 paths of up to 192 bytes each and the counters of as many
// templates as the cap allows, 1.5 KiB each at most.
type Folder struct {
	t       *Templates
	scratch urlScratch
	cache   []urlCached // a power of two; a path is in the slot of its hash or the one beside
	misses  int         // since the cache has its size

	ids    map[string]int // of the templates counted, below the cap
	counts []urlCount     // by id; 0 is URLOther
	dirty  []int          // ids that have events since Take
	total  *URLCounts     // of the last Take
	open   bool           // nothing hides templates
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
	example  string // a path
	open     bool   // an event shows the template
}

const (
	minURLCache   = 64
	maxURLCache   = 4096
	maxCachedPath = 192

	// maxURLExample bounds the path shown with a template, in bytes.
	maxURLExample = 160
)

// NewFolder returns what one goroutine applies t with.
func (t *Templates) NewFolder() *Folder {
	f := &Folder{t: t}
	f.reset()
	f.confide(true)
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
	f.counts = append(f.counts[:0:0], urlCount{template: URLOther, open: true})
	f.dirty = f.dirty[:0]
}

// confide says whether templates may be told of as they are found, or only once
// they were disclosed.
func (f *Folder) confide(open bool) { f.open = open }

// disclose notes that an event shows a template, and whether it shows the path.
func (f *Folder) disclose(template, path string, showsPath bool) {
	id, ok := f.ids[template]
	if !ok {
		return
	}
	c := &f.counts[id]
	c.open = true
	if showsPath && c.example == "" {
		c.example = urlExample(path)
	}
}

// urlExample returns a copy of a path, cut if it is long.
func urlExample(path string) string {
	return strings.ToValidUTF8(strings.Clone(path[:min(len(path), maxURLExample)]), "?")
}

// Apply returns the template of a path and counts it. It does not depend on
// what was applied before. If kept, the template lives as long as anybody refers
// to it; else it lies in f's memory until the next call: copy it.
func (f *Folder) Apply(path string) (template string, kept bool) {
	hash := xxhash.Sum64String(path)
	at := hash & uint64(len(f.cache)-1)
	for _, i := range [2]uint64{at, at ^ 1} {
		if e := &f.cache[i]; e.hash == hash && e.id >= 0 && string(e.path) == path {
			return f.count(e.id).template, true
		}
	}
	template = f.t.apply(path, &f.scratch)
	id, ok := f.idOf(template)
	c := f.count(id)
	c.paths.add(hash)
	if f.open && c.example == "" {
		c.example = urlExample(path)
	}
	if !ok {
		return template, false
	}
	if len(path) <= maxCachedPath {
		f.remember(at, hash, path, id)
	}
	return c.template, true
}

// count counts an event.
func (f *Folder) count(id int) *urlCount {
	c := &f.counts[id]
	if c.events == 0 {
		f.dirty = append(f.dirty, id)
	}
	c.events++
	return c
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

// Take adds the counters to total and sets them to zero; it costs time in
// proportion to the templates that had events. The cache stays, and what is in
// it is not counted as a path again, so total should be the same at every call:
// another one starts the cache anew, and misses paths of this call.
func (f *Folder) Take(total *URLCounts) {
	for _, id := range f.dirty {
		c := &f.counts[id]
		if f.open || c.open {
			total.add(c)
		} else {
			total.hidden += c.events
		}
		c.events = 0
		c.paths.reset()
	}
	f.dirty = f.dirty[:0]
	if f.total != nil && f.total != total {
		f.reset()
	}
	f.total = total
}
