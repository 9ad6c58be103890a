package query

import (
	"slices"
	"time"

	"github.com/millrace/millrace"
)

const daySeconds = int64(millrace.Day)

// maxSteps bounds the steps that are written out one by one: those of a time
// zone, and those compared with an earlier period.
const maxSteps = MaxRows

// timeline is a range of time cut into steps. Times are Unix seconds.
type timeline struct {
	from, to int64
	step     int64 // nominal width; 0 is one step over the range
	runs     []millrace.StepRun
	starts   []int64 // of all steps, and where the last ends; nil unless written out
	loc      *time.Location
	only     []millrace.Span // that are asked for; nil is all of the range
	width    float64         // of the range in seconds, where its ends lie within minutes; else 0
}

// newTimeline cuts a range. In UTC steps are multiples of the step since 1970;
// in another zone days begin at local midnight, several days are counted from
// 1970-01-01 there, and what is shorter than a day is counted from midnight.
func newTimeline(from, to int64, step time.Duration, loc *time.Location, writeOut bool) (*timeline, error) {
	t := &timeline{from: from, to: to, step: int64(step / time.Second), loc: loc}
	switch {
	case t.step == 0:
		t.runs = []millrace.StepRun{{From: from}}
		return t, nil
	case loc == time.UTC && !writeOut:
		t.runs = []millrace.StepRun{{From: millrace.Granularity(t.step).Floor(from), Width: t.step}}
		return t, nil
	case loc != time.UTC && t.step%daySeconds != 0 && daySeconds%t.step != 0:
		return nil, millrace.Errorf(millrace.ErrInvalid, "step %s: in a time zone it must divide a day or be whole days", millrace.Duration(step))
	case (to-from)/t.step > maxSteps:
		return nil, millrace.Errorf(millrace.ErrInvalid, "step %s: gives %d steps, at most %d", millrace.Duration(step), (to-from)/t.step, maxSteps)
	}
	if loc == time.UTC {
		for s := millrace.Granularity(t.step).Floor(from); ; s += t.step {
			t.starts = append(t.starts, s)
			if s >= to {
				break
			}
		}
	} else if t.localStarts(); slices.ContainsFunc(t.starts, func(s int64) bool { return s%60 != 0 }) {
		return nil, millrace.Errorf(millrace.ErrInvalid, "tz %s: its days did not begin at whole minutes of UTC then", loc)
	}
	t.runs = compress(t.starts)
	return t, nil
}

// localStarts writes out the steps of a time zone.
func (t *timeline) localStarts() {
	days := max(1, t.step/daySeconds)
	for d := millrace.Granularity(days).Floor(localDay(t.from, t.loc)); ; d += days {
		start, next := dayStart(d, t.loc), dayStart(d+days, t.loc)
		width := next - start
		if t.step < daySeconds {
			width = t.step
		}
		for s := start; s < next; s += width {
			if min(s+width, next) > t.from && s < t.to {
				t.starts = append(t.starts, s)
			}
		}
		if next >= t.to {
			t.starts = append(t.starts, min(next, t.starts[len(t.starts)-1]+width))
			return
		}
	}
}

// localDay returns the day of a time in a zone, counted from 1970-01-01.
func localDay(sec int64, loc *time.Location) int64 {
	y, m, d := time.Unix(sec, 0).In(loc).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / daySeconds
}

// dayStart returns the first instant of a day in a zone. Midnight may be left
// out or come twice there; noon does not.
func dayStart(day int64, loc *time.Location) int64 {
	midnight := day * daySeconds // as if the zone were UTC
	y, m, d := time.Unix(midnight, 0).UTC().Date()
	noon := time.Date(y, m, d, 12, 0, 0, 0, loc)
	changed, _ := noon.ZoneBounds()
	_, offset := noon.Zone()
	start := midnight - int64(offset)
	if changed.IsZero() || localDay(changed.Unix()-1, loc) < day && start >= changed.Unix() {
		return start
	}
	_, before := changed.Add(-time.Second).Zone()
	if earlier := midnight - int64(before); earlier < changed.Unix() {
		if start >= changed.Unix() { // the clock went back to midnight
			return min(start, earlier)
		}
		return earlier
	}
	return max(start, changed.Unix())
}

// compress describes steps by runs of equal width. The last entry ends the last step.
func compress(starts []int64) []millrace.StepRun {
	var runs []millrace.StepRun
	for i, s := range starts[:len(starts)-1] {
		width := starts[i+1] - s
		if len(runs) == 0 || runs[len(runs)-1].Width != width {
			runs = append(runs, millrace.StepRun{From: s, Width: width})
		}
	}
	return runs
}

// earlier returns the timeline of an earlier period, step by step the same days
// and times. back is how much earlier: whole days are days of the zone, which
// may have 23 or 25 hours. Without steps only the range moves.
func (t *timeline) earlier(back time.Duration) *timeline {
	shift := func(sec int64) int64 {
		if back%(24*time.Hour) != 0 || t.loc == time.UTC {
			return sec - int64(back/time.Second)
		}
		day := localDay(sec, t.loc)
		then := day - int64(back/(24*time.Hour))
		return min(dayStart(then, t.loc)+sec-dayStart(day, t.loc), dayStart(then+1, t.loc))
	}
	out := &timeline{from: shift(t.from), to: shift(t.to), step: t.step, loc: t.loc, width: t.width}
	if t.step == 0 {
		out.runs = []millrace.StepRun{{From: out.from}}
		return out
	}
	for _, s := range t.starts {
		out.starts = append(out.starts, shift(s))
	}
	// A step that its day lacks has no width, and no cells.
	distinct := slices.Compact(slices.Sorted(slices.Values(out.starts)))
	out.runs = compress(distinct)
	return out
}

// stepOf returns the start of the step that holds sec.
func (t *timeline) stepOf(sec int64) int64 { return millrace.StepStart(t.runs, sec) }

// aligned maps the starts of an earlier timeline's steps to those of t.
func (t *timeline) aligned(earlier *timeline) map[int64]int64 {
	if t.step == 0 {
		return map[int64]int64{earlier.from: t.from}
	}
	out := make(map[int64]int64, len(t.starts))
	for i, s := range earlier.starts[:len(earlier.starts)-1] {
		if s < earlier.starts[i+1] {
			out[s] = t.starts[i]
		}
	}
	return out
}

// seconds returns the width of the step that begins at start.
func (t *timeline) seconds(start int64) float64 {
	if t.step == 0 && t.width > 0 {
		return t.width
	}
	if t.step == 0 {
		return float64(t.to - t.from)
	}
	i := len(t.runs) - 1
	for i > 0 && t.runs[i].From > start {
		i--
	}
	return float64(t.runs[i].Width)
}

// whole returns the spans of the range that whole buckets of a granularity make
// up, none of which lies in two steps. ok is false if they are too many.
func (t *timeline) whole(g millrace.Granularity) (spans []millrace.Span, ok bool) {
	add := func(from, to int64) {
		from, to = ceil(g, max(from, t.from)), g.Floor(min(to, t.to))
		if n := len(spans); n > 0 && from <= spans[n-1].To && from < to {
			spans[n-1].To = max(to, spans[n-1].To)
		} else if from < to {
			spans = append(spans, millrace.Span{From: from, To: to})
		}
	}
	for i, r := range t.runs {
		end := t.to
		if i+1 < len(t.runs) {
			end = min(end, t.runs[i+1].From)
		}
		switch {
		case r.Width == 0, r.Width%int64(g) == 0 && g.Floor(r.From) == r.From:
			add(r.From, end)
		case r.Width >= int64(g):
			for s := r.From; s < end; s += r.Width {
				if add(s, min(end, s+r.Width)); len(spans) > maxSpans {
					return nil, false
				}
			}
		}
	}
	if t.only != nil {
		spans = intersect(spans, t.only)
	}
	return spans, true
}

// spans returns what is asked for.
func (t *timeline) spans() []millrace.Span {
	if t.only != nil {
		return t.only
	}
	return []millrace.Span{{From: t.from, To: t.to}}
}

// maxSpans bounds the pieces of a plan: years of days of a zone that is half an
// hour off, and far below what makes a statement slow.
const maxSpans = 2_000

// ceil returns the start of the first bucket at or after sec.
func ceil(g millrace.Granularity, sec int64) int64 { return g.Floor(sec + int64(g) - 1) }
