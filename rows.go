package millrace

// EventRows is the columnar form in which events reach a Store. It owns its
// memory: Append copies what it keeps. Not safe for concurrent use.
type EventRows struct {
	Partition []int32
	Offset    []int64
	Ordinal   []int32
	Arrived   []int64 // ns
	Time      []int64 // ns
	Kind      []Kind
	Weight    []int64

	Project, Source, Service, Host, Env Strings
	Release, Level, TraceID, Message    Strings
	AttrColumns
	Attrs Strings // the attributes that are not in a column, one JSON object each
}

// Strings is a column of strings in one arena.
type Strings struct {
	Data []byte
	End  []uint32 // End[i] is where string i ends in Data
}

// Len returns the number of strings.
func (s *Strings) Len() int { return len(s.End) }

// At returns string i; it aliases Data.
func (s *Strings) At(i int) []byte {
	var from uint32
	if i > 0 {
		from = s.End[i-1]
	}
	return s.Data[from:s.End[i]]
}

// Append copies v to the end of the column.
func (s *Strings) Append(v string) {
	s.Data = append(s.Data, v...)
	s.End = append(s.End, uint32(len(s.Data)))
}

// Reset empties the column and keeps its memory.
func (s *Strings) Reset() { s.Data, s.End = s.Data[:0], s.End[:0] }

// Len returns the number of rows.
func (r *EventRows) Len() int { return len(r.Time) }

// Bytes returns the size of the variable part, the measure for flush limits.
// A column's Data must stay below 4 GiB; callers flush long before.
func (r *EventRows) Bytes() int {
	return len(r.Message.Data) + len(r.Attrs.Data) + len(r.URL.Data) + len(r.UserAgent.Data)
}

// Append adds one event of a record.
func (r *EventRows) Append(rec *Record, e *Event) {
	r.Partition = append(r.Partition, rec.Partition)
	r.Offset = append(r.Offset, rec.Offset)
	r.Ordinal = append(r.Ordinal, e.Ordinal)
	r.Arrived = append(r.Arrived, rec.Arrived)
	r.Time = append(r.Time, e.Time)
	r.Kind = append(r.Kind, e.Kind)
	r.Weight = append(r.Weight, e.Weight)
	r.Project.Append(e.Project)
	r.Source.Append(e.Source)
	r.Service.Append(e.Service)
	r.Host.Append(e.Host)
	r.Env.Append(e.Env)
	r.Release.Append(e.Release)
	r.Level.Append(e.Level)
	r.TraceID.Append(e.TraceID)
	r.Message.Append(e.Message)
	r.Attrs.Data = r.AttrColumns.append(r.Attrs.Data, e.Attrs)
	r.Attrs.End = append(r.Attrs.End, uint32(len(r.Attrs.Data)))
}

// Remove takes rows out; at holds their indexes, ascending. It moves what follows the
// first of them.
func (r *EventRows) Remove(at []int32) {
	if len(at) == 0 {
		return
	}
	r.Partition, r.Offset, r.Ordinal = without(r.Partition, at), without(r.Offset, at), without(r.Ordinal, at)
	r.Arrived, r.Time, r.Kind, r.Weight = without(r.Arrived, at), without(r.Time, at), without(r.Kind, at), without(r.Weight, at)
	r.AttrColumns.remove(at)
	for _, c := range r.strings() {
		c.remove(at)
	}
}

// without moves the elements of c that are not at the given indexes together.
func without[T any](c []T, at []int32) []T {
	n := int(at[0])
	for i, from := range at {
		end := len(c)
		if i+1 < len(at) {
			end = int(at[i+1])
		}
		n += copy(c[n:], c[from+1:end])
	}
	return c[:n]
}

// remove takes strings out, as EventRows.Remove does.
func (s *Strings) remove(at []int32) {
	n, size, next := int(at[0]), uint32(0), 0
	if n > 0 {
		size = s.End[n-1]
	}
	start := size
	for i := n; i < len(s.End); i++ {
		from, end := start, s.End[i]
		start = end
		if next < len(at) && int(at[next]) == i {
			next++
			continue
		}
		size += uint32(copy(s.Data[size:], s.Data[from:end]))
		s.End[n] = size
		n++
	}
	s.Data, s.End = s.Data[:size], s.End[:n]
}

// Reset empties the rows and keeps their memory.
func (r *EventRows) Reset() {
	r.Partition, r.Offset, r.Ordinal = r.Partition[:0], r.Offset[:0], r.Ordinal[:0]
	r.Arrived, r.Time, r.Kind, r.Weight = r.Arrived[:0], r.Time[:0], r.Kind[:0], r.Weight[:0]
	r.AttrColumns.reset()
	for _, c := range r.strings() {
		c.Reset()
	}
}

func (r *EventRows) strings() []*Strings {
	return []*Strings{
		&r.Project, &r.Source, &r.Service, &r.Host, &r.Env,
		&r.Release, &r.Level, &r.TraceID, &r.Message, &r.Attrs,
	}
}
