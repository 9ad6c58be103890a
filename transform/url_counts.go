package transform

import (
	"slices"
	"strings"
)

// URLCount says how much a template folded.
type URLCount struct {
	Template string `json:"template"`
	Events   int64  `json:"events"` // exact
	Paths    int64  `json:"paths"`  // distinct ones; exact up to 64, then within 3.3% (standard error)
}

// URLCounts adds up the counters of several Folders of one source. It holds as
// many templates as its cap, then counts into URLOther, so that the sum of
// Events is exact always. It is not safe for concurrent use.
type URLCounts struct {
	limit int
	byTpl map[string]*urlCount
}

// NewURLCounts returns counters for up to limit templates, URLOther included.
func NewURLCounts(limit int) *URLCounts {
	return &URLCounts{limit: max(limit, 2), byTpl: map[string]*urlCount{}}
}

func (u *URLCounts) add(template string, events int64, paths *distinct) {
	c := u.byTpl[template]
	if c == nil && template != URLOther && u.full() {
		template = URLOther
		c = u.byTpl[template]
	}
	if c == nil {
		c = &urlCount{template: template}
		u.byTpl[template] = c
	}
	c.events += events
	c.paths.merge(paths)
}

// full reports whether only the place of URLOther is left.
func (u *URLCounts) full() bool {
	n := len(u.byTpl)
	if u.byTpl[URLOther] != nil {
		n--
	}
	return n >= u.limit-1
}

// Merge adds another's counters, which stay as they are.
func (u *URLCounts) Merge(o *URLCounts) {
	for _, c := range o.sorted() {
		u.add(c.template, c.events, &c.paths)
	}
}

func (u *URLCounts) sorted() []*urlCount {
	all := make([]*urlCount, 0, len(u.byTpl))
	for _, c := range u.byTpl {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *urlCount) int {
		if a.events != b.events {
			if a.events > b.events {
				return -1
			}
			return 1
		}
		return strings.Compare(a.template, b.template)
	})
	return all
}

// List returns the counters, those of most events first.
func (u *URLCounts) List() []URLCount {
	all := u.sorted()
	out := make([]URLCount, len(all))
	for i, c := range all {
		out[i] = URLCount{c.template, c.events, c.paths.estimate()}
	}
	return out
}
