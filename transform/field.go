package transform

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace"
)

// column tells the event's own fields from attributes, by number: a program
// looks a name up once, when it is compiled.
type column uint8

const (
	colAttr column = iota
	colTime
	colProject
	colSource
	colKind
	colService
	colHost
	colEnv
	colRelease
	colLevel
	colTraceID
	colMessage
	colWeight
)

var columns = map[string]column{
	"time": colTime, "project": colProject, "source": colSource, "kind": colKind,
	"service": colService, "host": colHost, "env": colEnv, "release": colRelease,
	"level": colLevel, "trace_id": colTraceID, "message": colMessage, "weight": colWeight,
}

// field is a column or an attribute.
type field struct {
	name string
	col  column
}

// fieldOf returns the field that rules mean by a name. attrs.NAME is the
// attribute where a column has the same name.
func fieldOf(name string) field {
	if attr, ok := strings.CutPrefix(name, "attrs."); ok && attr != "" {
		return field{name: attr}
	}
	return field{name, columns[name]}
}

// dynamicField returns the field for a name that a line states. Such names reach
// the columns that describe where a line comes from, but not those on which the
// event's place and count depend.
func dynamicField(name string) field {
	switch col := columns[name]; col {
	case colService, colHost, colEnv, colRelease, colLevel, colTraceID:
		return field{name, col}
	}
	return field{name: name}
}

// settable says why no rule may set the field, "" if one may.
func (f field) settable() string {
	if f.col == colProject || f.col == colSource {
		return "the project and the source of an event are given by its record; no rule sets them"
	}
	return ""
}

// badName says what is wrong with the name of a field, "" if nothing is.
func badName(name string) string {
	switch {
	case name == "":
		return "must have a name"
	case len(name) > MaxName:
		return "is too long a name; must be at most 100 bytes"
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "must be a name without control characters"
	}
	return ""
}

// column returns where a text column is kept, nil for all others.
func (f field) column(e *millrace.Event) *string {
	switch f.col {
	case colProject:
		return &e.Project
	case colSource:
		return &e.Source
	case colService:
		return &e.Service
	case colHost:
		return &e.Host
	case colEnv:
		return &e.Env
	case colRelease:
		return &e.Release
	case colLevel:
		return &e.Level
	case colTraceID:
		return &e.TraceID
	case colMessage:
		return &e.Message
	}
	return nil
}

// get returns the field of the event, null if it has none or an empty column.
func (f field) get(e *millrace.Event) value {
	switch f.col {
	case colAttr:
		for i := range e.Attrs {
			if e.Attrs[i].Key == f.name {
				return fromValue(&e.Attrs[i].Value)
			}
		}
		return value{}
	case colTime:
		return floatValue(float64(e.Time) / 1e9)
	case colKind:
		return textValue(e.Kind.String())
	case colWeight:
		return intValue(e.Weight)
	case colMessage:
		return textValue(e.Message)
	}
	s := *f.column(e)
	if s == "" {
		return value{}
	}
	return textValue(s)
}

// remove takes the field away; columns become empty. Time, kind and weight stay.
func (f field) remove(e *millrace.Event) bool {
	if f.col != colAttr {
		c := f.column(e)
		if c == nil || *c == "" {
			return false
		}
		*c = ""
		return true
	}
	for i := range e.Attrs {
		if e.Attrs[i].Key == f.name {
			e.Attrs = slices.Delete(e.Attrs, i, i+1)
			return true
		}
	}
	return false
}

// assignment is a field that a step will set if all of it succeeds.
type assignment struct {
	field field
	v     value
}

// stage checks a value for a field and keeps it for commit; what it returns is
// why the field cannot have it, or "".
func (s *Scratch) stage(f field, v value) string {
	switch v.k {
	case null:
		return ""
	case failure:
		return v.s
	}
	switch f.col {
	case colAttr:
		if v.k == text && len(v.s) > MaxText && !s.borrowed(v.s) {
			return "a text of more than 64 KiB"
		}
	case colTime:
		ns, ok := s.timeOf(v)
		if !ok {
			return "not a time"
		}
		v = intValue(ns)
	case colKind:
		k, ok := millrace.ParseKind(v.s)
		if !ok || v.k != text {
			return "not a kind; kinds are log, access, exception, metric, cost"
		}
		v = intValue(int64(k))
	case colWeight:
		n, ok := v.number()
		if !ok || n < 1 || n > maxWeight || n != float64(int64(n)) {
			return "not a weight, a whole number from 1"
		}
		v = intValue(int64(n))
	default:
		t, ok := s.render(v)
		if !ok {
			return s.full()
		}
		if f.col == colLevel {
			t, ok = s.level(t)
			if !ok {
				return "not a level; it is longer than 64 bytes"
			}
		}
		v = textValue(t)
	}
	s.pending = append(s.pending, assignment{f, v})
	return ""
}

// maxWeight is what a float64 holds exactly.
const maxWeight = 1 << 53

// borrowed reports whether a text is a part of the message, which is stored
// whole anyway.
func (s *Scratch) borrowed(t string) bool { return len(t) <= len(s.e.Message) }

// level returns the name that levels of decoders have as well; one that says
// more than the standard name is staged as level_original, as decoders keep it.
func (s *Scratch) level(name string) (string, bool) {
	if len(name) > 64 {
		return "", false
	}
	low := s.lower(name)
	if low.k != text {
		return "", false
	}
	if f := s.p.opts.Level; f != nil {
		if std, lossy, ok := f(name); ok {
			if lossy {
				s.pending = append(s.pending, assignment{field{name: attrLevelOriginal}, low})
			}
			return std, true
		}
	}
	return low.s, true
}

// attrLevelOriginal is where decoders keep a level's name as well.
const attrLevelOriginal = "level_original"

// commit sets what was staged and reports whether that fits the event.
func (s *Scratch) commit() string {
	e := s.e
	if len(e.Attrs)+len(s.pending) > MaxAttrs {
		more := 0
		for _, a := range s.pending {
			if a.field.col == colAttr && a.field.get(e).k == null {
				more++
			}
		}
		if len(e.Attrs)+more > MaxAttrs {
			return "more than 500 attributes"
		}
	}
	if cap(e.Attrs)-len(e.Attrs) < len(s.pending) {
		s.b.Grow(e, len(s.pending))
	}
	for i := range s.pending {
		if a := &s.pending[i]; a.field.col == colTime {
			s.setTime(int64(a.v.n))
		} else {
			a.set(e)
		}
	}
	s.pending = s.pending[:0]
	return ""
}

func (a *assignment) set(e *millrace.Event) {
	switch a.field.col {
	case colAttr:
		e.Set(a.field.name, a.v.out())
	case colKind:
		e.Kind = millrace.Kind(a.v.n)
	case colWeight:
		e.Weight = int64(a.v.n)
	default:
		*a.field.column(e) = a.v.s
	}
}
