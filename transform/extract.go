package transform

import "slices"

// extractor runs an extract step: it reads a text by its patterns and sets what
// they find, all of it or, if one of the values fails, nothing.
type extractor struct {
	from    field
	all     bool
	readers []textReader
	types   []typedField
	absent  []string
}

type typedField struct {
	name string
	typ  valueType
}

// textReader stages what it finds in a text.
type textReader interface {
	read(s *Scratch, x *extractor, t string) outcome
}

func (x *extractor) run(s *Scratch) outcome {
	v := x.from.get(s.e)
	if v.k == null {
		return unmatched
	}
	t, ok := s.render(v)
	if !ok {
		return s.failed(s.full())
	}
	hit := false
	for _, r := range x.readers {
		mark := len(s.pending)
		switch r.read(s, x, t) {
		case failed:
			return failed
		case matched:
			hit = true
		default:
			s.pending = s.pending[:mark]
			continue
		}
		if !x.all {
			break
		}
	}
	if !hit {
		return unmatched
	}
	if len(s.pending) > MaxCaptures {
		return s.failed("more than 100 fields")
	}
	if why := s.commit(); why != "" {
		return s.failed(why)
	}
	return matched
}

// stage types a value and stages it; empty and absent texts set nothing.
func (x *extractor) stage(s *Scratch, f field, typ valueType, v value) outcome {
	if v.k == text && (v.s == "" || len(x.absent) > 0 && slices.Contains(x.absent, v.s)) {
		return matched
	}
	if typ == 0 {
		typ = x.typeOf(f.name)
	}
	if typ != 0 {
		v = typ.convert(s, v)
	}
	if why := s.stage(f, v); why != "" {
		return s.failed(f.name + " is " + why)
	}
	return matched
}

func (x *extractor) typeOf(name string) valueType {
	for i := range x.types {
		if x.types[i].name == name {
			return x.types[i].typ
		}
	}
	return 0
}
