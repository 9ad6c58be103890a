package decode

// The scanners behind parseTime. Each fills t and returns the number of bytes
// taken, or 0 if its layout does not match.

// scanDigitFirst handles layouts that start with a digit by the length of the
// first run of digits.
func scanDigitFirst(b []byte, arrived int64, t *civil) int {
	// The most common layout by far, so no counting for it.
	if len(b) >= 16 && b[4] == '-' && b[7] == '-' {
		return scanYearFirst(b, t)
	}
	run := 1
	for run < len(b) && run < 20 && isDigit(b[run]) {
		run++
	}
	if run == len(b) && run != 8 && run < 10 {
		return 0
	}
	switch run {
	case 4:
		return scanYearFirst(b, t)
	case 1, 2:
		return scanDayFirst(b, run, arrived, t)
	case 6:
		return scanShortCompact(b, t)
	case 8, 14:
		return scanCompact(b, run, t)
	case 10, 13, 16, 19:
		return scanEpoch(b, run, t)
	}
	return 0
}

// scanYearFirst handles 2006-01-02 with a time of day, and alone as a whole.
func scanYearFirst(b []byte, t *civil) int {
	if len(b) < 10 || (b[4] != '-' && b[4] != '/' && b[4] != '.') || b[7] != b[4] {
		return 0
	}
	hi, lo, month, day := two(b, 0), two(b, 2), two(b, 5), two(b, 8)
	if hi|lo|month|day < 0 {
		return 0
	}
	t.year, t.month, t.day = hi*100+lo, month, day
	if len(b) == 10 {
		return 10
	}
	switch b[10] {
	case 'T', ' ', 't', '_', '-':
	default:
		return 0
	}
	i := scanClock(b, 11, t)
	if i == 0 {
		return 0
	}
	return scanZone(b, i, t)
}

// scanCompact handles 20060102T150405, 20060102 15:04:05 and 20060102150405.
func scanCompact(b []byte, run int, t *civil) int {
	t.year, t.month, t.day = two(b, 0)*100+two(b, 2), two(b, 4), two(b, 6)
	if run == 14 {
		t.hour, t.min, t.sec = two(b, 8), two(b, 10), two(b, 12)
		if _, ok := t.unix(); !ok {
			return 0
		}
		return scanZone(b, scanFraction(b, 14, t), t)
	}
	if run == len(b) { // a date alone
		return run
	}
	if c := b[8]; c != 'T' && c != '-' && c != ' ' && c != '_' {
		return 0
	}
	i := scanClock(b, 9, t)
	if i == 0 {
		i = scanCompactClock(b, 9, t)
	}
	if i == 0 {
		return 0
	}
	return scanZone(b, i, t)
}

// scanCompactClock handles 150405 with a fraction.
func scanCompactClock(b []byte, i int, t *civil) int {
	if len(b) < i+6 {
		return 0
	}
	t.hour, t.min, t.sec = two(b, i), two(b, i+2), two(b, i+4)
	if t.hour|t.min|t.sec < 0 {
		return 0
	}
	return scanFraction(b, i+6, t)
}

// scanShortCompact handles 060102 150405 and 060102 15:04:05.
func scanShortCompact(b []byte, t *civil) int {
	if b[6] != ' ' {
		return 0
	}
	t.year, t.month, t.day = century(two(b, 0)), two(b, 2), two(b, 4)
	i := 7
	if i < len(b) && b[i] == ' ' { // MySQL pads the hour
		i++
	}
	if n := scanClock(b, i, t); n > 0 {
		return n
	}
	n := scanCompactClock(b, i, t)
	if n == 0 || (n < len(b) && isDigit(b[n])) {
		return 0
	}
	return n
}

// scanEpoch handles Unix times; what follows must end the number.
func scanEpoch(b []byte, run int, t *civil) int {
	var whole uint64
	for _, c := range b[:run] {
		if whole > 1e18 {
			return 0
		}
		whole = whole*10 + uint64(c-'0')
	}
	var frac int64
	n := run
	if run == 10 && n+1 < len(b) && (b[n] == '.' || b[n] == ',') && isDigit(b[n+1]) {
		var k int
		frac, k = fraction(b[n+1:])
		n += 1 + k
	}
	if n < len(b) {
		switch b[n] {
		case ' ', '\t', ':', ',', ';', '|', ']', ')', '}', '"', '\r', '\n':
		default:
			return 0
		}
	}
	t.epoch = true
	t.nsec, t.fits = epochScaled(whole, frac, false)
	return n
}

// scanDayFirst handles the layouts that start with one or two digits.
func scanDayFirst(b []byte, run int, arrived int64, t *civil) int {
	if len(b) < run+4 {
		return 0
	}
	sep := b[run]
	if sep != '/' && sep != '-' && sep != ' ' && sep != '.' {
		return 0
	}
	if !isDigit(b[run+1]) {
		return scanDayMonthName(b, run, t)
	}
	if run != 2 || !isDigit(b[4]) || sep == ' ' {
		return scanLooseDate(b, run, t)
	}
	first, second := two(b, 0), two(b, 3)
	if b[5] == ' ' && sep == '-' { // Android has no year
		t.month, t.day = first, second
		i := scanClock(b, 6, t)
		if i == 0 || !t.inferYear(arrived) {
			return 0
		}
		return i
	}
	if len(b) < 14 || b[5] != sep {
		return 0
	}
	if isDigit(b[8]) && isDigit(b[9]) {
		return scanLooseDate(b, run, t)
	}
	third := two(b, 6)
	if sep != '/' || third < 0 || b[8] != ' ' {
		return 0
	}
	t.year, t.month, t.day = century(first), second, third // Spark: 17/06/09
	return scanClock(b, 9, t)
}

// scanLooseDate handles 1/2/2006 3:04:05 PM and 02.01.2006 15:04:05.
func scanLooseDate(b []byte, run int, t *civil) int {
	sep := b[run]
	if sep == ' ' {
		return 0
	}
	first, _ := number(b, 0, 2)
	second, i := number(b, run+1, 2)
	if i == 0 || i+5 >= len(b) || b[i] != sep {
		return 0
	}
	year, end := number(b, i+1, 4)
	if end != i+5 {
		return 0
	}
	t.year = year
	if sep == '.' || first > 12 {
		t.day, t.month = first, second
	} else {
		t.month, t.day = first, second
	}
	if b[end] == ',' {
		end++
	}
	if end >= len(b) || (b[end] != ' ' && b[end] != 'T') {
		return 0
	}
	return scanMeridiem(b, scanClock(b, end+1, t), t)
}

// scanDayMonthName handles 02/Jan/2006:15:04:05 -0700 and its relatives.
func scanDayMonthName(b []byte, run int, t *civil) int {
	sep := b[run]
	if len(b) < run+14 || b[run+4] != sep {
		return 0
	}
	t.day, _ = number(b, 0, 2)
	t.month = monthAt(b, run+1)
	hi, lo := two(b, run+5), two(b, run+7)
	if t.month == 0 || hi|lo < 0 {
		return 0
	}
	t.year = hi*100 + lo
	i := run + 9
	if c := b[i]; c != ':' && c != ' ' && c != 'T' {
		return 0
	}
	i = scanClock(b, i+1, t)
	if i == 0 {
		return 0
	}
	return scanZone(b, i, t)
}

// scanLetterFirst handles layouts that start with a month, a weekday or klog's
// severity.
func scanLetterFirst(b []byte, arrived int64, t *civil) int {
	if isDigit(b[1]) {
		return scanKlog(b, arrived, t)
	}
	if t.month = monthAt(b, 0); t.month != 0 {
		return scanMonthFirst(b, 3, arrived, t)
	}
	if !weekdayAt(b) || len(b) < 18 {
		return 0
	}
	if b[3] == ',' && b[4] == ' ' && isDigit(b[5]) {
		run := 1
		if isDigit(b[6]) {
			run = 2
		}
		if n := scanDayMonthName(b[5:], run, t); n > 0 {
			return 5 + n
		}
		return 0
	}
	if b[3] != ' ' {
		return 0
	}
	if t.month = monthAt(b, 4); t.month == 0 {
		return 0
	}
	return scanCtime(b, t)
}

// scanKlog handles I0102 15:04:05.000000.
func scanKlog(b []byte, arrived int64, t *civil) int {
	switch b[0] {
	case 'I', 'W', 'E', 'F', 'D', 'C':
	default:
		return 0
	}
	if b[5] != ' ' || len(b) < 14 {
		return 0
	}
	t.month, t.day = two(b, 1), two(b, 3)
	if t.month|t.day < 0 {
		return 0
	}
	i := scanClock(b, 6, t)
	if i < 16 || !t.inferYear(arrived) { // the fraction tells it from other text
		return 0
	}
	return i
}

// scanMonthFirst handles what follows a month's name that ends at i.
func scanMonthFirst(b []byte, i int, arrived int64, t *civil) int {
	day, i := dayAt(b, i)
	if i == 0 || i+6 >= len(b) {
		return 0
	}
	t.day = day
	if b[i] == ',' { // java.util.logging: Jan 2, 2006 3:04:05 PM
		i++
	}
	if b[i] != ' ' {
		return 0
	}
	if year, end := number(b, i+1, 4); end == i+5 && end < len(b) && b[end] == ' ' {
		t.year = year
		return scanMeridiem(b, scanClock(b, end+1, t), t)
	}
	end := scanClock(b, i+1, t)
	if end == 0 || !t.inferYear(arrived) {
		return 0
	}
	return end
}

// scanCtime handles Mon Jan _2 15:04:05[.000] [zone] 2006.
func scanCtime(b []byte, t *civil) int {
	day, i := dayAt(b, 7)
	if i == 0 || i >= len(b) || b[i] != ' ' {
		return 0
	}
	t.day = day
	if i = scanClock(b, i+1, t); i == 0 {
		return 0
	}
	i = scanZone(b, i, t)
	year, end := 0, 0
	if i < len(b) && b[i] == ' ' {
		year, end = number(b, i+1, 4)
	}
	if end != i+5 {
		return 0
	}
	t.year = year
	return end
}

// dayAt parses the day of the month after one or two spaces at i.
func dayAt(b []byte, i int) (day, end int) {
	if i >= len(b) || b[i] != ' ' {
		return 0, 0
	}
	i++
	if i < len(b) && b[i] == ' ' {
		i++
	}
	return number(b, i, 2)
}

// scanClock parses 15:04[:05[.999]] at i and returns where it ends, or 0. The
// hour may have one digit.
func scanClock(b []byte, i int, t *civil) int {
	if len(b) < i+4 {
		return 0
	}
	if b[i+1] == ':' && isDigit(b[i]) {
		t.hour = int(b[i] - '0')
		i++
	} else {
		if t.hour = two(b, i); t.hour < 0 {
			return 0
		}
		i += 2
	}
	if len(b) < i+3 || b[i] != ':' {
		return 0
	}
	if t.min = two(b, i+1); t.min < 0 {
		return 0
	}
	i += 3
	if len(b) < i+3 || b[i] != ':' {
		if i < len(b) && isDigit(b[i]) {
			return 0
		}
		return i
	}
	sec := two(b, i+1)
	if sec < 0 {
		return i
	}
	t.sec = sec
	return scanFraction(b, i+3, t)
}

// scanFraction parses .999, ,999 or :999 (then three digits) at i if it is there.
func scanFraction(b []byte, i int, t *civil) int {
	if len(b) < i+2 || !isDigit(b[i+1]) {
		return i
	}
	switch b[i] {
	case '.', ',':
		ns, n := fraction(b[i+1:])
		t.nsec = ns
		return i + 1 + n
	case ':':
		if ns, n := fraction(b[i+1:]); n == 3 {
			t.nsec = ns
			return i + 4
		}
	}
	return i
}

// two parses two digits at i, which must be within b; -1 if they are none.
func two(b []byte, i int) int {
	hi, lo := b[i]-'0', b[i+1]-'0'
	if hi > 9 || lo > 9 {
		return -1
	}
	return int(hi)*10 + int(lo)
}

// number parses one to most digits at i; end is 0 if there is none.
func number(b []byte, i, most int) (v, end int) {
	start := i
	for i < len(b) && i < start+most && isDigit(b[i]) {
		v = v*10 + int(b[i]-'0')
		i++
	}
	if i == start {
		return 0, 0
	}
	return v, i
}

// century completes a two-digit year as POSIX does: 69 to 99 are the 1900s.
func century(yy int) int {
	if yy >= 69 {
		return 1900 + yy
	}
	return 2000 + yy
}
