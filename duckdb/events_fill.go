package duckdb

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/millrace/millrace"
)

// checkColumns refuses rows whose columns have different lengths.
func checkColumns(rows *millrace.EventRows) error {
	lens := []int{
		len(rows.Partition), len(rows.Offset), len(rows.Ordinal), len(rows.Arrived), len(rows.Kind), len(rows.Weight),
		len(rows.Method), len(rows.Status), len(rows.BodyBytes), len(rows.RT), len(rows.RTBackend), len(rows.ClientIP),
		rows.URL.Len(), rows.UserAgent.Len(), len(rows.InAttrs),
	}
	for _, s := range textColumns(rows) {
		lens = append(lens, s.Len())
	}
	for i, n := range lens {
		if n != rows.Len() {
			return millrace.Errorf(millrace.ErrInvalid, "event rows: column %d has %d values for %d rows", i, n, rows.Len())
		}
	}
	for i, k := range rows.Kind { // DuckDB does not check the numbers of an ENUM
		if k > millrace.KindCost || int(rows.Method[i]) >= len(millrace.Methods) {
			return millrace.Errorf(millrace.ErrInvalid, "event rows: row %d has kind %d and method %d", i, k, rows.Method[i])
		}
	}
	return nil
}

// dayRows are rows on their way into a day table: their texts are valid.
type dayRows struct {
	*millrace.EventRows
	origin                                                  [4]*millrace.Strings // without originSep
	service, host, message, attrs, url, agent, trace, level *millrace.Strings
}

func newDayRows(rows *millrace.EventRows) *dayRows {
	r := &dayRows{
		EventRows: rows, service: validStrings(&rows.Service), host: validStrings(&rows.Host), message: longMessage.pack(validStrings(&rows.Message)),
		attrs: longAttrs.pack(validStrings(&rows.Attrs)), url: validStrings(&rows.URL), agent: validStrings(&rows.UserAgent),
		trace: validStrings(&rows.TraceID), level: withoutSep(validStrings(&rows.Level)),
	}
	for i, s := range []*millrace.Strings{&rows.Project, &rows.Source, &rows.Env, &rows.Release} {
		r.origin[i] = withoutSep(validStrings(s))
	}
	return r
}

// withoutSep returns s, or a copy with U+FFFD for originSep.
func withoutSep(s *millrace.Strings) *millrace.Strings {
	if !bytes.Contains(s.Data, []byte(originSep)) {
		return s
	}
	out := &millrace.Strings{}
	for i := range s.Len() {
		out.Append(string(bytes.ReplaceAll(s.At(i), []byte(originSep), []byte("\uFFFD"))))
	}
	return out
}

// fill fills a chunk with k rows from index from on.
func (r *dayRows) fill(t *columns, from, k int) {
	to := from + k
	t.timesNS(colTime, r.Time[from:to])
	kinds := unsafe.Slice((*millrace.Kind)(t.data(colKind)), chunkRows)
	copy(kinds, r.Kind[from:to])
	r.levelsAndOrigins(t, from, k)
	for _, c := range []struct {
		col int
		s   *millrace.Strings
	}{
		{colService, r.service}, {colHost, r.host}, {colMessage, r.message}, {colURL, r.url}, {colUserAgent, r.agent}, {colAttrs, r.attrs},
	} {
		t.arena(c.col, c.s.Data, c.s.End, from, k)
	}
	t.traces(r.trace, from, k)
	t.int64s(colWeight, r.Weight[from:to])
	t.uint8s(colMethod, r.Method[from:to])
	t.int32s(colStatus, r.Status[from:to])
	t.int64s(colBytes, r.BodyBytes[from:to])
	copy(unsafe.Slice((*millrace.Decimal)(t.data(colRT)), chunkRows), r.RT[from:to])
	copy(unsafe.Slice((*millrace.Decimal)(t.data(colRTBackend)), chunkRows), r.RTBackend[from:to])
	copy(unsafe.Slice((*uint32)(t.data(colClientIP)), chunkRows), r.ClientIP[from:to])
	r.nulls(t, from, k)
	t.timesNS(colArrived, r.Arrived[from:to])
	t.int32s(colPartition, r.Partition[from:to])
	t.int64s(colOffset, r.Offset[from:to])
	t.int32s(colOrdinal, r.Ordinal[from:to])
}

// nulls marks what is to be looked for in attrs.
func (r *dayRows) nulls(t *columns, from, k int) {
	in := r.InAttrs[from : from+k]
	var seen millrace.AttrSet
	for _, s := range in {
		seen |= s
	}
	for _, c := range [...]struct {
		col int
		bit millrace.AttrSet
	}{
		{colMethod, millrace.InMethod},
		{colURL, millrace.InURL},
		{colStatus, millrace.InStatus},
		{colBytes, millrace.InBytes},
		{colRT, millrace.InRT},
		{colRTBackend, millrace.InRTBackend},
		{colClientIP, millrace.InClientIP},
		{colUserAgent, millrace.InUserAgent},
	} {
		if seen&c.bit == 0 {
			continue
		}
		mask := t.mask(c.col)
		for i, s := range in {
			if s&c.bit != 0 {
				mask.null(i)
			}
		}
	}
}

// levelsAndOrigins fills the columns level and origin.
func (r *dayRows) levelsAndOrigins(t *columns, from, k int) {
	size := k * len(r.origin) * len(originSep)
	for _, s := range append(r.origin[:], r.level) {
		size += int(s.End[from+k-1])
		if from > 0 {
			size -= int(s.End[from-1])
		}
	}
	buf := t.grow(colOrigin, size)
	numbers := unsafe.Slice((*uint8)(t.data(colLevel)), chunkRows)
	base := t.data(colOrigin)
	var mask validity
	for i := range k {
		start := len(buf)
		for j, s := range r.origin {
			if j > 0 {
				buf = append(buf, originSep...)
			}
			buf = append(buf, s.At(from+i)...)
		}
		level := r.level.At(from + i)
		if n := levelNumber(level); n >= 0 {
			numbers[i] = uint8(n)
		} else {
			if mask.words == nil {
				mask = t.mask(colLevel)
			}
			mask.null(i)
			buf = append(append(buf, originSep...), level...)
		}
		putString(unsafe.Add(base, i*16), buf[start:])
	}
}

// levelNumber returns the index in levels, -1 if there is none.
func levelNumber(level []byte) int {
	switch string(level) {
	case "":
		return 0
	case "trace":
		return 1
	case "debug":
		return 2
	case "info":
		return 3
	case "warn":
		return 4
	case "error":
		return 5
	case "fatal":
		return 6
	}
	return -1
}

// traces fills both trace columns.
func (t *columns) traces(s *millrace.Strings, from, k int) {
	t.pin(s.Data)
	ids := unsafe.Slice((*[2]uint64)(t.data(colTraceUUID)), chunkRows)
	texts := unsafe.Slice((*[2]uint64)(t.data(colTraceText)), chunkRows)
	var mask validity
	for i := range k {
		v := s.At(from + i)
		if hi, lo, ok := parseTrace(v); ok {
			ids[i] = [2]uint64{lo, hi ^ 1<<63} // a UUID is a HUGEINT that sorts as its text does
			texts[i] = [2]uint64{}
			continue
		}
		if mask.words == nil {
			mask = t.mask(colTraceUUID)
		}
		mask.null(i)
		putString(unsafe.Pointer(&texts[i]), v)
	}
}

// parseTrace parses 32 lower-case hex digits, the form that survives the way
// through a UUID unchanged. Every event of a service mesh has one.
func parseTrace(s []byte) (hi, lo uint64, ok bool) {
	if len(s) != 32 {
		return 0, 0, false
	}
	a, bad1 := hexDigits(binary.BigEndian.Uint64(s))
	b, bad2 := hexDigits(binary.BigEndian.Uint64(s[8:]))
	c, bad3 := hexDigits(binary.BigEndian.Uint64(s[16:]))
	d, bad4 := hexDigits(binary.BigEndian.Uint64(s[24:]))
	return a<<32 | b, c<<32 | d, bad1|bad2|bad3|bad4 == 0
}

// hexDigits returns the value of eight lower-case hex digits, the first in the
// highest byte; bad is 0 if they are. All eight at once: half of a random id's
// digits would mislead the branches of a loop.
func hexDigits(x uint64) (value, bad uint64) {
	const each = 0x0101010101010101
	letter := x >> 6 & each
	n := x&(0x0F*each) + 9*letter
	// Written again, they must be what was read.
	ten := (n + 6*each) >> 4 & each
	bad = n&(0xF0*each) | ((n + '0'*each + ('a'-'0'-10)*ten) ^ x)
	n = (n | n>>4) & 0x00FF00FF00FF00FF
	n = (n | n>>8) & 0x0000FFFF0000FFFF
	return (n | n>>16) & 0xFFFFFFFF, bad
}
