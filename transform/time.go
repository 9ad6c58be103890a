package transform

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// maxAhead is how far a time may lie after the arrival, as for decoders.
const maxAhead = int64(10 * time.Minute)

// namedLayouts are the layouts that have names. Those of numbers are units.
var namedLayouts = map[string]string{
	"rfc3339": time.RFC3339Nano,
	"rfc1123": time.RFC1123,
	"clf":     "02/Jan/2006:15:04:05 -0700",
	"syslog":  "Jan _2 15:04:05",
	"ctime":   "Mon Jan _2 15:04:05 2006",
	"auto":    "", "unix": "", "unix_ms": "", "unix_us": "", "unix_ns": "",
}

// timer sets the event's time from a field.
type timer struct {
	from    field
	layouts []layout
	keep    bool
}

type layout struct {
	layout string // of package time; "" for the others
	unit   int64  // of a number, in ns
	zone   *time.Location
	noYear bool
}

func (c *compiler) time(path string, t *Time) action {
	out := &timer{from: c.field(path+".from", t.From), keep: t.Keep}
	if out.from.col == colTime {
		c.bad(path+".from", nil, "must be another field than the time itself")
	}
	zone, err := location(t.Zone)
	if err != nil {
		c.bad(path+".zone", fmt.Sprintf("%q", t.Zone), "must be UTC, an offset such as +02:00, or a name such as Europe/Berlin that this machine knows")
	}
	names := t.Layouts
	if len(names) == 0 {
		names = []string{"auto"}
	}
	for i, name := range names {
		at := fmt.Sprintf("%s.layouts[%d]", path, i)
		l, why := newLayout(name, zone)
		if why != "" {
			c.bad(at, fmt.Sprintf("%q", name), "%s", why)
		}
		if name == "auto" && t.Zone != "" {
			c.bad(at, nil, "the layout auto reads times without a zone as UTC; state the layouts to have another zone")
		}
		out.layouts = append(out.layouts, l)
	}
	return out
}

func location(name string) (*time.Location, error) {
	if name == "" || name == "UTC" || name == "Z" {
		return time.UTC, nil
	}
	if name[0] == '+' || name[0] == '-' {
		t, err := time.Parse("-07:00", name)
		if err != nil {
			return nil, err
		}
		_, offset := t.Zone()
		return time.FixedZone(name, offset), nil
	}
	if name == "Local" {
		return nil, fmt.Errorf("the machine's zone is not the same everywhere")
	}
	return time.LoadLocation(name)
}

func newLayout(name string, zone *time.Location) (layout, string) {
	units := map[string]int64{"unix": 1e9, "unix_ms": 1e6, "unix_us": 1e3, "unix_ns": 1}
	if unit, ok := units[name]; ok {
		return layout{unit: unit}, ""
	}
	text, named := namedLayouts[name]
	if !named {
		text = name
	}
	if text == "" {
		return layout{}, ""
	}
	// What a layout makes of a time, it must read as the same minute and day.
	probe := time.Date(2019, time.November, 23, 17, 46, 38, 0, time.UTC)
	written := probe.Format(text)
	back, err := time.Parse(text, written)
	if err != nil || written == text || back.Day() != 23 || back.Month() != time.November || back.Minute() != 46 {
		return layout{}, "must be a layout of Go's package time that has month, day, hour and minute, such as 2006-01-02 15:04:05, or one of auto, rfc3339, rfc1123, clf, syslog, ctime, unix, unix_ms, unix_us, unix_ns"
	}
	if h := back.Hour(); h != 17 {
		return layout{}, "has an hour from 1 to 12 (03) without PM"
	}
	return layout{layout: text, zone: zone, noYear: back.Year() == 0}, ""
}

func (t *timer) run(s *Scratch) outcome {
	v := t.from.get(s.e)
	if v.k == null {
		return unmatched
	}
	for i := range t.layouts {
		ns, ok := t.layouts[i].parse(s, v)
		if !ok {
			continue
		}
		s.pending = append(s.pending, assignment{field{col: colTime, name: "time"}, intValue(ns)})
		if why := s.commit(); why != "" {
			return s.failed(why)
		}
		if !t.keep {
			t.from.dropTime(s)
		}
		return matched
	}
	return s.failed(t.from.name + " is no time in any of the layouts")
}

// dropTime removes the field the time was read from, unless it is the event's own.
func (f field) dropTime(s *Scratch) {
	if f.col == colAttr {
		f.remove(s.e)
	}
}

func (l *layout) parse(s *Scratch, v value) (int64, bool) {
	if l.unit != 0 {
		if i, ok := parseInt(v.s); ok && v.k == text {
			v = intValue(i)
		}
		f, ok := v.number()
		if !ok {
			return 0, false
		}
		if v.k == integer {
			i := int64(v.n)
			return i * l.unit, i < math.MaxInt64/l.unit && i > math.MinInt64/l.unit
		}
		f *= float64(l.unit)
		return int64(f), math.Abs(f) < 1<<63
	}
	if l.layout == "" {
		return s.timeOf(v)
	}
	t, ok := s.render(v)
	if !ok {
		return 0, false
	}
	at, err := time.ParseInLocation(l.layout, strings.TrimSpace(t), l.zone)
	if err != nil {
		return 0, false
	}
	if l.noYear {
		at = withYear(at, s.b.Record.Arrived)
	}
	if y := at.Year(); y < 1678 || y > 2261 {
		return 0, false
	}
	return at.UnixNano(), true
}

// withYear gives t the latest year that puts it at most a day after the arrival.
func withYear(t time.Time, arrived int64) time.Time {
	limit := time.Unix(0, arrived).Add(24 * time.Hour)
	for y := limit.In(t.Location()).Year(); ; y-- {
		at := time.Date(y, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
		if !at.After(limit) && at.Month() == t.Month() { // February 29 waits for its year
			return at
		}
	}
}

// timeOf reads a time without layout: text by Options.ParseTime, a number as
// seconds, milliseconds, microseconds or nanoseconds by its size.
func (s *Scratch) timeOf(v value) (int64, bool) {
	switch v.k {
	case text:
		t := strings.TrimSpace(v.s)
		if parse := s.p.opts.ParseTime; parse != nil {
			ns, n, ok := parse(asBytes(t), s.b.Record.Arrived)
			return ns, ok && n == len(t)
		}
		if at, err := time.Parse(time.RFC3339Nano, t); err == nil && at.Year() >= 1678 && at.Year() < 2262 {
			return at.UnixNano(), true
		}
		i, ok := parseInt(t)
		if !ok {
			return 0, false
		}
		return epoch(float64(i), i)
	case integer:
		return epoch(float64(int64(v.n)), int64(v.n))
	case float:
		f := math.Float64frombits(v.n)
		return epoch(f, int64(f))
	}
	return 0, false
}

func epoch(f float64, i int64) (int64, bool) {
	unit := int64(1)
	switch abs := math.Abs(f); {
	case abs < 1e11:
		unit = 1e9
	case abs < 1e14:
		unit = 1e6
	case abs < 1e17:
		unit = 1e3
	case abs >= 1<<63:
		return 0, false
	}
	if f == math.Trunc(f) {
		i *= unit
		return i, i/unit == int64(f) || unit == 1
	}
	f *= float64(unit)
	return int64(f), math.Abs(f) < 1<<63
}

// setTime sets the time; one too far ahead becomes the arrival, as decoders do.
func (s *Scratch) setTime(ns int64) {
	e, now := s.e, s.b.Record.Arrived
	if ns <= now || ns-now <= maxAhead {
		e.Time, e.HasTime = ns, true
		return
	}
	e.Time, e.HasTime = now, false
	if dst, ok := s.alloc(len(time.RFC3339Nano)); ok {
		original := time.Unix(0, ns).UTC().AppendFormat(dst, time.RFC3339Nano)
		s.b.Grow(e, 1)
		e.Set(millrace.AttrTimeOriginal, millrace.StringValue(asString(original)))
	}
}
