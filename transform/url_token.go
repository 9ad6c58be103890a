package transform

import "bytes"

// minRandomWord is how long a word without digits must be to be taken for a
// random one if hardly any of its letters is a vowel.
const minRandomWord = 12

// bundleHash is the length of the hashes that bundlers of web pages put into
// names: index-BX3kz9Qa.js.
const bundleHash = 8

// urlRun says what a run of letters and digits consists of.
type urlRun struct {
	digits, lower, upper int
	vowels               int
	lastDigits           int // digits at the end
	turns                int // from letter to digit or back
	irregular            int // turns, and from lower to upper case
	hex                  bool
	ascii                bool
}

func urlRunOf(run []byte) (r urlRun) {
	r.hex, r.ascii = true, true
	var prev uint8
	for _, c := range run {
		k := urlClass[c]
		r.hex = r.hex && k&urlHex != 0
		r.ascii = r.ascii && c < 0x80
		switch {
		case k&urlDigit != 0:
			r.digits++
			r.lastDigits++
			if prev&(urlLower|urlUpper) != 0 {
				r.turns++
				r.irregular++
			}
		default:
			r.lastDigits = 0
			if prev&urlDigit != 0 {
				r.turns++
				r.irregular++
			}
			if k&urlUpper != 0 {
				r.upper++
				if prev&urlLower != 0 {
					r.irregular++
				}
			} else {
				r.lower++
			}
			if isVowel(c | 0x20) {
				r.vowels++
			}
		}
		prev = k
	}
	return r
}

func isVowel(c byte) bool {
	return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u' || c == 'y'
}

// placeholder returns what stands for the whole run, or "" for a literal or one
// of which a part stays.
func (r *urlRun) placeholder(run []byte) string {
	n, letters := len(run), r.lower+r.upper
	switch {
	case !r.ascii:
		return ""
	case letters == 0:
		return numberName(run)
	case r.hex && (n >= 8 && r.digits > 0 || n == 32 || n == 40 || n == 64 || n == 128):
		return urlHash
	case n == bundleHash && r.irregular >= 3 && r.lower > 0 && r.upper > 0:
		return urlHash
	case r.random(n):
		return urlToken
	case r.turns == 1 && r.lastDigits == r.digits: // word42
		return ""
	case r.turns == 1 && r.digits >= 3: // 263small
		return urlID
	case r.turns >= 2 && r.digits >= 3:
		if n >= 10 {
			return urlToken
		}
		return urlID
	case r.turns >= 2 && r.digits == 2 && n >= 7 && r.vowels*4 < letters: // d93rfgxd
		return urlToken
	}
	return ""
}

// random reports whether the run looks drawn by chance.
func (r *urlRun) random(n int) bool {
	if r.digits == 0 && n >= minRandomWord && r.vowels*8 < n {
		return true
	}
	return n >= 10 && r.lower > 0 && r.upper > 0 && (r.digits > 0 || n >= 16) && r.irregular*3 >= n
}

// randomStem recognises base64url with its delimiters, and random text of
// letters of both cases.
func randomStem(stem []byte) bool {
	if len(stem) < 20 {
		return false
	}
	var all uint8
	irregular := 0
	var prev uint8
	for _, c := range stem {
		k := urlClass[c]
		if c >= 0x80 || k&urlAlnum == 0 && c != '-' && c != '_' && c != '=' && c != '.' && c != '~' {
			return false
		}
		if k&urlDigit != 0 && prev&(urlLower|urlUpper) != 0 || prev&urlDigit != 0 && k&(urlLower|urlUpper) != 0 ||
			k&urlUpper != 0 && prev&urlLower != 0 {
			irregular++
		}
		all |= k
		prev = k
	}
	return all&urlAlnum == urlAlnum && irregular*4 >= len(stem)
}

// numberName returns what stands for digits: dates as 20240131 and
// 20240131T235959 without its T are known by their value.
func numberName(digits []byte) string {
	if (len(digits) == 8 || len(digits) == 14) && validYMD(digits[:4], digits[4:6], digits[6:8]) {
		return urlDate
	}
	return urlID
}

// wellKnown reports whether a word with a number is a name, not an identifier.
func wellKnown(run []byte) bool {
	var buf [10]byte
	if len(run) > len(buf) {
		return false
	}
	for i, c := range run {
		buf[i] = c
		if urlClass[c]&urlUpper != 0 {
			buf[i] |= 0x20
		}
	}
	switch string(buf[:len(run)]) {
	case "sha224", "sha256", "sha384", "sha512", "h263", "h264", "h265", "rs256", "es256", "hs256", "iso8601", "iso8859":
		return true
	}
	return false
}

// shapeAt recognises what spans delimiters: UUIDs, dates, versions, addresses.
// It returns the placeholder and the length, which is 0 if there is none.
func shapeAt(seg []byte) (string, int) {
	if len(seg) >= 36 && isUUID(seg) && urlBoundary(seg, 36) {
		return urlUUID, 36
	}
	if urlClass[seg[0]]&urlDigit == 0 {
		return "", 0
	}
	if n := dateAt(seg); n > 0 {
		return urlDate, n
	}
	return dottedAt(seg)
}

// isAPIVersion recognises v1, v2.1 and v2.0.1, which are names of interfaces.
func isAPIVersion(seg []byte) bool {
	if len(seg) < 2 || len(seg) > 8 || seg[0]|0x20 != 'v' || urlClass[seg[len(seg)-1]]&urlDigit == 0 {
		return false
	}
	for i, c := range seg[1:] {
		if urlClass[c]&urlDigit == 0 && (c != '.' || seg[i] == '.' || i == 0) {
			return false
		}
	}
	return true
}

// urlBoundary reports whether a token may end at i.
func urlBoundary(seg []byte, i int) bool {
	return i == len(seg) || urlClass[seg[i]]&urlAlnum == 0
}

func isUUID(seg []byte) bool {
	for i, c := range seg[:36] {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if c != '-' {
				return false
			}
		} else if urlClass[c]&urlHex == 0 {
			return false
		}
	}
	return true
}

// dottedAt recognises 1.2.3 and 192.0.2.1: numbers with dots between them,
// which an extension may follow.
func dottedAt(seg []byte) (string, int) {
	parts, octets, i := 0, true, 0
	for {
		n := digitRun(seg[i:])
		if n == 0 || !urlBoundary(seg, i+n) {
			break
		}
		parts++
		octets = octets && n <= 3 && urlNumber(seg[i:i+n]) <= 255
		i += n
		if i+1 >= len(seg) || seg[i] != '.' || urlClass[seg[i+1]]&urlDigit == 0 || !urlBoundary(seg, i+1+digitRun(seg[i+1:])) {
			break
		}
		i++
	}
	switch {
	case parts == 4 && octets:
		return urlIP, i
	case parts >= 2:
		return urlVersion, i
	}
	return "", 0
}

// digitRun returns how many digits seg starts with.
func digitRun(seg []byte) int {
	n := 0
	for n < len(seg) && urlClass[seg[n]]&urlDigit != 0 {
		n++
	}
	return n
}

func isDigits(seg []byte) bool { return len(seg) > 0 && digitRun(seg) == len(seg) }

// urlNumber returns the value of a few digits, or a large one.
func urlNumber(digits []byte) int {
	if len(digits) > 9 {
		return 1 << 30
	}
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

// equalFoldURL compares ASCII letters without case.
func equalFoldURL(b []byte, s string) bool { return len(b) == len(s) && bytes.EqualFold(b, []byte(s)) }
