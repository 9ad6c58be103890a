package transform

// urlStep folds paths into templates.
type urlStep struct {
	from, to, original field
	templates          *Templates
	index              int // of its Folder in the Scratch
}

func (u *urlStep) run(s *Scratch) outcome {
	v := u.from.get(s.e)
	if v.k != text || v.s == "" {
		return unmatched
	}
	template, kept := s.folder(u).Apply(v.s)
	s.folded = append(s.folded, foldedURL{u, v.s})
	if template == v.s && u.from == u.to {
		return matched
	}
	if !kept {
		copied, ok := s.keep(asBytes(template))
		if !ok {
			return s.failed(s.full())
		}
		template = copied
	}
	if u.original.name != "" && u.from == u.to {
		if why := s.stage(u.original, v); why != "" {
			return s.failed(u.original.name + " is " + why)
		}
	}
	if why := s.stage(u.to, textValue(template)); why != "" {
		return s.failed(u.to.name + " is " + why)
	}
	return s.finish()
}

func (s *Scratch) folder(u *urlStep) *Folder {
	f := &s.state.folders[u.index]
	if *f == nil {
		*f = u.templates.NewFolder()
		(*f).confide(len(s.p.masks) == 0)
	}
	return *f
}

// What is told about paths outlives the events, and masks come after the steps
// that fold paths. So nothing is told before they ran, and what they hid never.

// foldedURL is a path that a step folded, until its event is done.
type foldedURL struct {
	step *urlStep
	path string // as the step read it; borrowed as the event's
}

// tellURLs lets out what the event shows of its paths and their templates, now
// that all steps and masks ran on it.
func (s *Scratch) tellURLs() {
	st := s.state
	if len(s.p.masks) == 0 && st.observe == nil {
		return
	}
	for i := range s.folded {
		f := &s.folded[i]
		open := len(s.p.masks) == 0
		if !open {
			folder := st.folders[f.step.index]
			open = f.step.shows(s, f.path)
			if to := f.step.to.get(s.e); to.k == text {
				folder.disclose(to.s, f.path, open)
			}
		}
		if f.step.index > 0 || !open || st.observe == nil {
			continue
		}
		if st.unobserved--; st.unobserved <= 0 {
			st.unobserved = st.gap()
			st.observe(f.path)
		}
	}
}

// gap returns how many paths lie between two that are observed: the stride on
// average, but not always, since requests come in patterns: every page is
// followed by what it is made of. The generator is Marsaglia's xorshift (Journal
// of Statistical Software 8(14), 2003).
func (st *progState) gap() int {
	if st.stride <= 1 {
		return 1
	}
	x := st.random
	x ^= x << 13
	x ^= x >> 17
	x ^= x << 5
	st.random = x
	return 1 + int(x%uint32(2*st.stride-1))
}

// shows reports whether the event has the path in one of the step's fields.
func (u *urlStep) shows(s *Scratch, path string) bool {
	for _, f := range [...]*field{&u.original, &u.to, &u.from} {
		if f.name == "" {
			continue
		}
		if v := f.get(s.e); v.k == text && v.s == path {
			return true
		}
	}
	return false
}

// Templates returns the templates of p's first url_template step and the field
// it reads, nil if it has none: what a Learner is made from.
func (p *Program) Templates() (t *Templates, from string) {
	u := p.urlTemplate()
	if u == nil {
		return nil, ""
	}
	return u.templates, u.from.name
}

// URLCap returns how many templates p's url_template steps have together at
// most, URLOther of each included.
func (p *Program) URLCap() int {
	n := 0
	for i := range p.steps {
		if u, ok := p.steps[i].do.(*urlStep); ok {
			n += u.templates.options.Cap
		}
	}
	return n
}

// urlTemplate returns the first url_template step, nil if there is none.
func (p *Program) urlTemplate() *urlStep {
	for i := range p.steps {
		if u, ok := p.steps[i].do.(*urlStep); ok {
			return u
		}
	}
	return nil
}

// Observe has f called with one of stride paths, on average, that p's first
// url_template step folds on this Scratch, such as Learner.Observe; a nil f ends
// it. Only events that are kept count, and only paths that their masks leave in
// them. Which paths depends on how many there were before. The path lies in the
// event's memory.
func (s *Scratch) Observe(p *Program, stride int, f func(path string)) {
	st := s.stateOf(p)
	if st.observe, st.stride = f, min(stride, 1<<16); st.random == 0 {
		st.random = 2463534242
	}
}

// TakeURLs adds what p's url_template steps folded on this Scratch since the
// last call to total, which should be the same every time: another one misses
// paths that were seen before.
func (s *Scratch) TakeURLs(p *Program, total *URLCounts) {
	for _, f := range s.stateOf(p).folders {
		if f != nil {
			f.Take(total)
		}
	}
}
