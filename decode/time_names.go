package decode

// monthAt returns the month whose English abbreviation starts at i, in any
// case, or 0.
func monthAt(b []byte, i int) int {
	if len(b) < i+3 {
		return 0
	}
	switch pack3(b[i], b[i+1], b[i+2]) {
	case 'j'<<16 | 'a'<<8 | 'n':
		return 1
	case 'f'<<16 | 'e'<<8 | 'b':
		return 2
	case 'm'<<16 | 'a'<<8 | 'r':
		return 3
	case 'a'<<16 | 'p'<<8 | 'r':
		return 4
	case 'm'<<16 | 'a'<<8 | 'y':
		return 5
	case 'j'<<16 | 'u'<<8 | 'n':
		return 6
	case 'j'<<16 | 'u'<<8 | 'l':
		return 7
	case 'a'<<16 | 'u'<<8 | 'g':
		return 8
	case 's'<<16 | 'e'<<8 | 'p':
		return 9
	case 'o'<<16 | 'c'<<8 | 't':
		return 10
	case 'n'<<16 | 'o'<<8 | 'v':
		return 11
	case 'd'<<16 | 'e'<<8 | 'c':
		return 12
	}
	return 0
}

// weekdayAt reports whether b starts with the abbreviation of a weekday.
func weekdayAt(b []byte) bool {
	switch pack3(b[0], b[1], b[2]) {
	case 'm'<<16 | 'o'<<8 | 'n', 't'<<16 | 'u'<<8 | 'e', 'w'<<16 | 'e'<<8 | 'd',
		't'<<16 | 'h'<<8 | 'u', 'f'<<16 | 'r'<<8 | 'i', 's'<<16 | 'a'<<8 | 't',
		's'<<16 | 'u'<<8 | 'n':
		return true
	}
	return false
}

// pack3 packs three letters in lower case into one comparable number.
func pack3(a, b, c byte) uint32 {
	return uint32(a|0x20)<<16 | uint32(b|0x20)<<8 | uint32(c|0x20)
}

// zoneNames are the abbreviations understood, hours east of UTC. Those that
// several zones share have the meaning of RFC 2822 (CST is Chicago), else none.
var zoneNames = []struct {
	name  string
	hours int
}{
	{"UTC", 0},
	{"GMT", 0},
	{"WET", 0},
	{"WEST", 1},
	{"CET", 1},
	{"CEST", 2},
	{"EET", 2},
	{"EEST", 3},
	{"MSK", 3},
	{"JST", 9},
	{"KST", 9},
	{"EST", -5},
	{"EDT", -4},
	{"CST", -6},
	{"CDT", -5},
	{"MST", -7},
	{"MDT", -6},
	{"PST", -8},
	{"PDT", -7},
}

// scanZone parses the zone at i, if there is one, and returns where it ends.
func scanZone(b []byte, i int, t *civil) int {
	if i >= len(b) {
		return i
	}
	switch c := b[i]; {
	case c == 'Z' || c == 'z':
		if i+1 == len(b) || !isAlnum(b[i+1]) {
			return i + 1
		}
	case c == '+' || c == '-':
		if end := scanOffset(b, i, true, t); end > 0 {
			return end
		}
	case c >= 'A' && c <= 'Z':
		if end := scanZoneName(b, i, t); end > 0 {
			return end
		}
	case c == ' ' && i+3 < len(b):
		if d := b[i+1]; d == '+' || d == '-' {
			if end := scanOffset(b, i+1, false, t); end > 0 {
				return skipZoneName(b, end)
			}
		} else if d >= 'A' && d <= 'Z' {
			if end := scanZoneName(b, i+1, t); end > 0 {
				return end
			}
		}
	}
	return i
}

// scanOffset parses ±hhmm, ±hh:mm, and ±hh if short is set, at i.
func scanOffset(b []byte, i int, short bool, t *civil) int {
	if len(b) < i+3 {
		return 0
	}
	hours, minutes := two(b, i+1), 0
	if hours < 0 || hours > 18 {
		return 0
	}
	end := i + 3
	switch {
	case len(b) >= i+5 && isDigit(b[i+3]):
		minutes, end = two(b, i+3), i+5
	case len(b) >= i+6 && b[i+3] == ':':
		minutes, end = two(b, i+4), i+6
	case !short:
		return 0
	}
	if minutes < 0 || minutes > 59 || (end < len(b) && isAlnum(b[end])) {
		return 0
	}
	t.offset = hours*3600 + minutes*60
	if b[i] == '-' {
		t.offset = -t.offset
	}
	return end
}

// scanZoneName parses a name of zoneNames at i; a letter must not follow.
func scanZoneName(b []byte, i int, t *civil) int {
	end := i
	for end < len(b) && end < i+5 && isAlnum(b[end]) {
		end++
	}
	if end-i < 3 || end-i > 4 {
		return 0
	}
	for _, z := range zoneNames {
		if z.name == string(b[i:end]) {
			t.offset = z.hours * 3600
			return end
		}
	}
	return 0
}

// skipZoneName skips the name that Go's Time.String prints after the offset.
func skipZoneName(b []byte, i int) int {
	var ignored civil
	if i < len(b) && b[i] == ' ' {
		if end := scanZoneName(b, i+1, &ignored); end > 0 {
			return end
		}
	}
	return i
}

// scanMeridiem applies AM or PM after the clock that ends at i, if it is there.
func scanMeridiem(b []byte, i int, t *civil) int {
	if i == 0 || len(b) < i+3 || (b[i] != ' ' && b[i] != 0xA0) || b[i+2]|0x20 != 'm' {
		return i
	}
	if t.hour < 1 || t.hour > 12 {
		return i
	}
	switch b[i+1] | 0x20 {
	case 'a':
		t.hour %= 12
	case 'p':
		t.hour = t.hour%12 + 12
	default:
		return i
	}
	return i + 3
}

func isAlnum(c byte) bool {
	return isDigit(c) || (c|0x20 >= 'a' && c|0x20 <= 'z')
}
