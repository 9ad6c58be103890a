package decode

import "strconv"

// Timestamps of logs.
//
// One prefix parser knows them all; it looks at the first byte and the length
// of the first run of digits, so that a line costs a few comparisons and no
// trial of layouts. Accepted at the start of the text:
//
//	2006-01-02T15:04:05.999Z      RFC 3339 and ISO 8601; 'T', ' ' or '_' between,
//	2006/01/02 15:04:05,999       '-', '/' or '.' in the date, '.' or ',' before
//	20060102T150405Z              the fraction; with ':' if it has three digits
//	20060102 15:04:05             also 20060102-15:04:05:999 and 20060102150405
//	060102 150405                 two-digit years (HDFS, MySQL), 06/01/02 15:04:05
//	02/Jan/2006:15:04:05 -0700    Common Log Format; '/', '-' or ' ' in the date
//	01/02/2006 15:04:05 [PM]      month first, unless that is above 12
//	02.01.2006 15:04:05           day first
//	Jan _2 15:04:05[.000]         RFC 3164; the year is inferred
//	01-02 15:04:05.000            Android; the year is inferred
//	Jan _2 2006 15:04:05          Cisco; Jan 2, 2006 3:04:05 PM (java.util.logging)
//	Mon Jan _2 15:04:05[.000] [zone] 2006   ctime, Apache error log, Date.toString
//	Mon, 02 Jan 2006 15:04:05 GMT RFC 1123
//	I0102 15:04:05.000000         klog; the year is inferred
//	1136214245[.999]              epoch; 10, 13, 16 or 19 digits are s, ms, µs, ns
//	2006-01-02                    only if nothing follows
//
// Zones: Z, ±hh, ±hhmm, ±hh:mm, and the names in zoneNames. No zone means UTC.
// Without a year it is the latest one that puts the time no more than a day
// after the arrival, so that a line of December 31 read in January is last
// year's. A time of day alone is not a timestamp.
//
// Deviation: the second 60 is accepted in any minute and counts as the first
// second of the next.

// ParseTime parses the timestamp at the start of b and returns it in Unix
// nanoseconds with its length n in bytes. arrived (ns) gives the year where the
// layout has none. ok is false and n zero if b starts with no timestamp; ok is
// false and n positive if it does but outside of the years 1678 to 2262 that
// nanoseconds can express. It does not allocate.
func ParseTime(b []byte, arrived int64) (ns int64, n int, ok bool) {
	return parseTime(b, arrived)
}

func parseTime(b []byte, arrived int64) (ns int64, n int, ok bool) {
	var t civil
	switch {
	case len(b) < 8:
		return 0, 0, false
	case isDigit(b[0]):
		n = scanDigitFirst(b, arrived, &t)
	default:
		n = scanLetterFirst(b, arrived, &t)
	}
	if n <= 0 {
		return 0, 0, false
	}
	if t.epoch {
		return t.nsec, n, t.fits
	}
	sec, valid := t.unix()
	if !valid {
		return 0, 0, false
	}
	ns, ok = nanos(sec, t.nsec)
	return ns, n, ok
}

// civil is a date and time as written.
type civil struct {
	year, month, day int
	hour, min, sec   int
	offset           int   // seconds east of UTC
	nsec             int64 // or the whole time, if epoch is set
	epoch, fits      bool
}

// Bounds of int64 nanoseconds in seconds, one second of slack each.
const (
	minSec = -9223372036
	maxSec = 9223372035
)

func nanos(sec, nsec int64) (int64, bool) {
	if sec < minSec || sec > maxSec {
		return 0, false
	}
	return sec*1e9 + nsec, true
}

var monthDays = [13]int8{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// unix returns Unix seconds, and false if a field is out of its range.
func (t *civil) unix() (int64, bool) {
	if t.year < 1 || t.month < 1 || t.month > 12 || t.day < 1 || t.day > int(monthDays[t.month]) ||
		uint(t.hour) > 23 || uint(t.min) > 59 || uint(t.sec) > 60 {
		return 0, false
	}
	if t.month == 2 && t.day == 29 && !leap(t.year) {
		return 0, false
	}
	day := daysFromCivil(t.year, t.month, t.day)
	return day*86400 + int64(t.hour*3600+t.min*60+t.sec-t.offset), true
}

func leap(y int) bool { return y%4 == 0 && (y%100 != 0 || y%400 == 0) }

// daysFromCivil returns the days since 1970-01-01 of the proleptic Gregorian
// calendar for years from 1. Source: Howard Hinnant, "chrono-Compatible
// Low-Level Date Algorithms" (days_from_civil). It is arithmetic only, hence
// needs no cache of days.
func daysFromCivil(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era)*146097 + int64(doe) - 719468
}

// inferYear sets the latest year that puts t at most a day after arrival.
func (t *civil) inferYear(arrived int64) bool {
	limit := arrived/1e9 + 86400
	year := yearOf(limit)
	for range 9 { // February 29 may need eight years
		t.year = year
		if sec, ok := t.unix(); ok && sec <= limit {
			return true
		}
		year--
	}
	return false
}

// yearOf returns the year of Unix seconds (years from 1 only).
func yearOf(sec int64) int {
	day := sec / 86400
	if sec%86400 < 0 {
		day--
	}
	y := 1970 + int(day/366)
	for y < 9999 && daysFromCivil(y+1, 1, 1) <= day {
		y++
	}
	for y > 1 && daysFromCivil(y, 1, 1) > day {
		y--
	}
	return y
}

// epochNumber returns the time that a JSON number stands for, its unit taken
// from the magnitude of the integer part: below 1e11 seconds, 1e14
// milliseconds, 1e17 microseconds, else nanoseconds. Fractions are exact.
// ok is false if it is no number or does not fit.
func epochNumber(lit []byte) (ns int64, ok bool) {
	neg, i := false, 0
	if len(lit) > 0 && lit[0] == '-' {
		neg, i = true, 1
	}
	var whole uint64
	start := i
	for ; i < len(lit) && isDigit(lit[i]); i++ {
		if whole > 1e18 {
			return 0, false
		}
		whole = whole*10 + uint64(lit[i]-'0')
	}
	if i == start {
		return 0, false
	}
	var frac int64
	switch {
	case i == len(lit):
	case lit[i] == '.':
		var n int
		frac, n = fraction(lit[i+1:])
		if i+1+n != len(lit) {
			return epochFloat(lit)
		}
	default:
		return epochFloat(lit)
	}
	return epochScaled(whole, frac, neg)
}

// epochScaled combines an integer part and a fraction in billionths.
func epochScaled(whole uint64, frac int64, neg bool) (int64, bool) {
	unit := int64(1)
	switch {
	case whole < 1e11:
		unit = 1e9
	case whole < 1e14:
		unit = 1e6
	case whole < 1e17:
		unit = 1e3
	}
	if whole > uint64((1<<63-1)/unit)-1 {
		return 0, false
	}
	ns := int64(whole)*unit + frac/(1e9/unit)
	if neg {
		ns = -ns
	}
	return ns, true
}

// epochFloat handles exponents, which writers of timestamps hardly use.
func epochFloat(lit []byte) (int64, bool) {
	f, err := strconv.ParseFloat(borrow(lit), 64)
	if err != nil {
		return 0, false
	}
	neg := f < 0
	if neg {
		f = -f
	}
	if f >= 1<<63 {
		return 0, false
	}
	whole := uint64(f)
	return epochScaled(whole, int64((f-float64(whole))*1e9), neg)
}

// fraction parses decimal digits as billionths, ignoring those beyond the
// ninth, and returns how many bytes they take.
func fraction(b []byte) (ns int64, n int) {
	for n < len(b) && isDigit(b[n]) {
		if n < 9 {
			ns = ns*10 + int64(b[n]-'0')
		}
		n++
	}
	for i := n; i < 9; i++ {
		ns *= 10
	}
	return ns, n
}

func isDigit(c byte) bool { return c-'0' <= 9 }
