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
	Example  string `json:"example"`
}

// URLCounts adds up the counters of several Folders of one source. It holds as
// many templates as its cap, then counts into URLOther, so that the sum of
// Events is exact always. It is not safe for concurrent use.
type URLCounts struct {
	limit  int
	byTpl  map[string]*urlCount
	hidden int64
}

// NewURLCounts returns counters for up to limit templates, URLOther included.
func NewURLCounts(limit int) *URLCounts {
	return &URLCounts{limit: max(limit, 2), byTpl: map[string]*urlCount{}}
}

// SetLimit changes how many templates it holds from now on; those that it holds
// stay.
func (u *URLCounts) SetLimit(limit int) { u.limit = max(limit, 2) }

// Len returns how many templates it holds.
func (u *URLCounts) Len() int { return len(u.byTpl) }

// Hidden returns how many events are in no template because masks hide it.
func (u *URLCounts) Hidden() int64 { return u.hidden }

func (u *URLCounts) add(from *urlCount) {
	template := from.template
	c := u.byTpl[template]
	if c == nil && template != URLOther && u.full() {
		template = URLOther
		c = u.byTpl[template]
	}
	if c == nil {
		c = &urlCount{template: template}
		u.byTpl[template] = c
	}
	c.events += from.events
	c.paths.merge(&from.paths)
	if c.example == "" {
		c.example = from.example
	}
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
		u.add(c)
	}
	u.hidden += o.hidden
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
		out[i] = URLCount{c.template, c.events, min(c.paths.estimate(), c.events), c.example}
	}
	return out
}
