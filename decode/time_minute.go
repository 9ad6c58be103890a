package decode

// minute remembers a minute as RFC 3339 writes it in UTC, for nearly every line
// is of the same minute as the one before: 2006-01-02T15:04: and its start. It
// spares them the calendar. The zero minute matches nothing.
type minute struct {
	text  [17]byte
	start int64 // ns
}

// parse parses a whole text of the minute: two digits of seconds, a fraction
// perhaps, and Z. parseTime gives the same.
func (m *minute) parse(b []byte) (ns int64, ok bool) {
	n := len(b)
	if n < len("2006-01-02T15:04:05Z") || n > len("2006-01-02T15:04:05.999999999Z") || b[n-1] != 'Z' ||
		string(b[:17]) != string(m.text[:]) {
		return 0, false
	}
	sec := two(b, 17)
	if sec < 0 || sec > 59 {
		return 0, false
	}
	ns = m.start + int64(sec)*1e9
	if n == 20 {
		return ns, true
	}
	frac, digits := fraction(b[20 : n-1])
	return ns + frac, b[19] == '.' && digits > 0 && digits == n-21
}

// learn remembers the minute of a text that parseTime has read as a whole.
func (m *minute) learn(b []byte, ns int64) {
	n := len(b)
	if n < 20 || b[n-1] != 'Z' || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return
	}
	// Not a leap second, which counts to the next minute; nor the ends of time.
	if sec := two(b, 17); sec < 0 || sec > 59 || ns < -9e18 || ns > 9e18 {
		return
	}
	const length = 60e9
	m.start = ns - (ns%length+length)%length
	copy(m.text[:], b)
}
