package transform

// dateAt returns the length of the date or time that seg starts with, or 0:
//
//	2024-01-31, 2024_01_31, 2024.01.31, 31-01-2024, 01-31-2024, 06-05-95
//	followed by T, - or _ and a time, or not: 23:59:59.123Z, 23-59-59, 235959+0200
//	20240131 and 20240131T235959Z
//
// Figures are checked, so that 51-40-99 is none.
func dateAt(seg []byte) int {
	n := dayAt(seg)
	if n == 0 {
		return 0
	}
	if n+1 < len(seg) && (seg[n] == 'T' || seg[n] == 't' || seg[n] == '-' || seg[n] == '_') {
		if m := clockAt(seg[n+1:]); m > 0 && urlBoundary(seg, n+1+m) {
			return n + 1 + m
		}
	}
	if !urlBoundary(seg, n) {
		return 0
	}
	return n
}

// dayAt returns the length of a day, behind which anything may follow.
func dayAt(seg []byte) int {
	switch digitRun(seg) {
	case 8:
		if validYMD(seg[:4], seg[4:6], seg[6:8]) {
			return 8
		}
	case 4:
		if len(seg) >= 10 && isSeparator(seg[4]) && seg[7] == seg[4] && digitRun(seg[5:]) == 2 && digitRun(seg[8:]) == 2 &&
			validYMD(seg[:4], seg[5:7], seg[8:10]) {
			return 10
		}
	case 2:
		if len(seg) < 8 || !isSeparator(seg[2]) || seg[5] != seg[2] || digitRun(seg[3:]) != 2 || !validDM(urlNumber(seg[:2]), urlNumber(seg[3:5])) {
			return 0
		}
		switch digitRun(seg[6:]) {
		case 4:
			if validYear(urlNumber(seg[6:10])) {
				return 10
			}
		case 2:
			if seg[2] == '-' { // 06.05.95 is rather a version
				return 8
			}
		}
	}
	return 0
}

func isSeparator(c byte) bool { return c == '-' || c == '_' || c == '.' }

func validYear(y int) bool { return y >= 1900 && y < 2100 }

func validYMD(y, m, d []byte) bool {
	month, day := urlNumber(m), urlNumber(d)
	return validYear(urlNumber(y)) && month >= 1 && month <= 12 && day >= 1 && day <= 31
}

// validDM reports whether two numbers are a day and a month, in either order.
func validDM(a, b int) bool {
	return a >= 1 && b >= 1 && (a <= 31 && b <= 12 || a <= 12 && b <= 31)
}

// clockAt returns the length of a time with its zone.
func clockAt(seg []byte) int {
	var n int
	switch run := digitRun(seg); {
	case run == 6 || run == 4 || run == 9: // 235959, 2359, 235959123
		if urlNumber(seg[:2]) > 23 || urlNumber(seg[2:4]) > 59 {
			return 0
		}
		n = run
	case run == 2 && len(seg) >= 5 && (seg[2] == ':' || seg[2] == '-') && digitRun(seg[3:]) == 2:
		if urlNumber(seg[:2]) > 23 || urlNumber(seg[3:5]) > 59 {
			return 0
		}
		n = 5
		if len(seg) >= 8 && seg[5] == seg[2] && digitRun(seg[6:]) == 2 {
			n = 8
		}
	default:
		return 0
	}
	if n+1 < len(seg) && (seg[n] == '.' || seg[n] == ',') { // a fraction, not an extension
		if m := digitRun(seg[n+1:]); m > 0 && (urlBoundary(seg, n+1+m) || isZone(seg[n+1+m])) {
			n += 1 + m
		}
	}
	if n < len(seg) && isZone(seg[n]) {
		switch {
		case seg[n] == 'Z' || seg[n] == 'z':
			return n + 1
		case n+6 <= len(seg) && digitRun(seg[n+1:]) == 2 && seg[n+3] == ':' && digitRun(seg[n+4:]) == 2:
			return n + 6
		case n+5 <= len(seg) && digitRun(seg[n+1:]) == 4:
			return n + 5
		}
	}
	return n
}

func isZone(c byte) bool { return c == 'Z' || c == 'z' || c == '+' || c == '-' }

// dateSegments returns how many segments from i on are one date: a year with a
// month and perhaps a day behind it, as blogs have them. 0 if there is none.
func (s *urlScratch) dateSegments(i int) int {
	seg := s.segment(i)
	if len(seg) != 4 || i+1 >= s.n || !isDigits(seg) || !validYear(urlNumber(seg)) || !isMonth(s.segment(i+1)) {
		return 0
	}
	if i+2 < s.n {
		if d := s.segment(i + 2); len(d) <= 2 && isDigits(d) && urlNumber(d) >= 1 && urlNumber(d) <= 31 {
			return 3
		}
	}
	return 2
}

var monthsOfURL = [...]string{
	"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
}

// isMonth reports whether a segment is 1 to 12 or the English name of a month,
// also shortened to three letters.
func isMonth(seg []byte) bool {
	if len(seg) <= 2 {
		return isDigits(seg) && urlNumber(seg) >= 1 && urlNumber(seg) <= 12
	}
	for _, m := range monthsOfURL {
		if equalFoldURL(seg, m) || equalFoldURL(seg, m[:3]) {
			return true
		}
	}
	return false
}
