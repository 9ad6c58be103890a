package transform

// action is what a step does to the current event. A step that returns anything
// but matched or dropped has left the event as it was.
type action interface {
	run(s *Scratch) outcome
}

// dropper drops the events for which its condition holds.
type dropper struct {
	cond   condFn
	reason string
}

func (d *dropper) run(s *Scratch) outcome {
	switch d.cond(s) {
	case yes:
		s.reason = d.reason
		return dropped
	case bad:
		return failed
	}
	return unmatched
}

// setter sets fields to expressions, which all see the event as it was before.
type setter struct {
	fields []field
	exprs  []evalFn
}

func (t *setter) run(s *Scratch) outcome {
	for i, f := range t.exprs {
		if why := s.stage(t.fields[i], f(s)); why != "" {
			return s.failed(t.fields[i].name + ": " + why)
		}
	}
	return s.finish()
}

// finish commits what was staged; nothing staged is unmatched.
func (s *Scratch) finish() outcome {
	if len(s.pending) == 0 {
		return unmatched
	}
	if why := s.commit(); why != "" {
		return s.failed(why)
	}
	return matched
}

// converter changes the types of fields that are there.
type converter struct {
	fields []field
	types  []valueType
}

func (c *converter) run(s *Scratch) outcome {
	for i, f := range c.fields {
		v := c.types[i].convert(s, f.get(s.e))
		if why := s.stage(f, v); why != "" {
			return s.failed(f.name + " is " + why)
		}
	}
	return s.finish()
}

// remover takes fields away.
type remover struct{ fields []field }

func (r *remover) run(s *Scratch) outcome {
	out := unmatched
	for _, f := range r.fields {
		if f.remove(s.e) {
			out = matched
		}
	}
	return out
}

// renamer moves values to other names; a field that has the new name is replaced.
type renamer struct{ from, to []field }

func (r *renamer) run(s *Scratch) outcome {
	for i, f := range r.from {
		if why := s.stage(r.to[i], f.get(s.e)); why != "" {
			return s.failed(r.to[i].name + ": " + why)
		}
	}
	if len(s.pending) == 0 {
		return unmatched
	}
	staged := s.pending
	if out := s.finish(); out != matched {
		return out
	}
	for _, f := range r.from {
		if !assigns(staged, f) {
			f.remove(s.e)
		}
	}
	return matched
}

// assigns reports whether a field gets a new value, as in a swap.
func assigns(pending []assignment, f field) bool {
	for i := range pending {
		if pending[i].field == f {
			return true
		}
	}
	return false
}

// classifier sets the values of the first case that holds.
type classifier struct{ cases []compiledCase }

type compiledCase struct {
	when   condFn // nil holds always
	fields []field
	values []value
}

func (c *classifier) run(s *Scratch) outcome {
	for i := range c.cases {
		k := &c.cases[i]
		if k.when != nil {
			switch k.when(s) {
			case no:
				continue
			case bad:
				return failed
			}
		}
		for j, f := range k.fields {
			if why := s.stage(f, k.values[j]); why != "" {
				return s.failed(f.name + ": " + why)
			}
		}
		return s.finish()
	}
	return unmatched
}
