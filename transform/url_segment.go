package transform

import (
	"bytes"
	"net/netip"
)

// appendURLSegment appends a normalised segment with what is variable in it
// replaced. The common case, a word, costs one pass.
func appendURLSegment(dst, seg []byte) []byte {
	var all uint8
	special := false // a character that may make a digit-free segment variable
	for _, c := range seg {
		all |= urlClass[c]
		special = special || c == '{' || c == '@' || c == '='
	}
	if all&urlDigit == 0 && !special && len(seg) < minRandomWord {
		return append(dst, seg...)
	}
	if p := wholeURLSegment(seg, all); p != "" {
		return append(dst, p...)
	}
	for { // key=value: each for itself; "=" at the end is padding of base64
		i := bytes.IndexByte(seg, '=')
		if i < 0 || allEqualSigns(seg[i:]) {
			return appendURLPiece(dst, seg)
		}
		dst = append(appendURLPiece(dst, seg[:i]), '=')
		seg = seg[i+1:]
	}
}

func allEqualSigns(seg []byte) bool {
	for _, c := range seg {
		if c != '=' {
			return false
		}
	}
	return true
}

// appendURLPiece is appendURLSegment for what stands between equal signs.
func appendURLPiece(dst, seg []byte) []byte {
	if isAPIVersion(seg) {
		return append(dst, seg...)
	}
	if stem := seg[:len(seg)-urlExtension(seg)]; randomStem(stem) {
		dst = append(dst, urlToken...)
		seg = seg[len(stem):]
	}
	return appendURLTokens(dst, seg)
}

// wholeURLSegment returns what a segment as a whole is, or "".
func wholeURLSegment(seg []byte, all uint8) string {
	switch {
	case all&(urlLower|urlUpper) == 0 && isDigits(seg):
		return numberName(seg)
	case isEmail(seg):
		return urlEmail
	case bytes.Count(seg, []byte(":")) >= 2 && len(seg) <= 45:
		if _, err := netip.ParseAddr(asString(seg)); err == nil {
			return urlIP
		}
	case len(seg) >= 20 && seg[0] == 'e' && seg[1] == 'y' && seg[2] == 'J' && bytes.IndexByte(seg, '.') > 0:
		return urlToken // a JSON Web Token: base64 of {"
	}
	return ""
}

// urlExtension returns the length of a file name's extension with its dot, or 0.
func urlExtension(seg []byte) int {
	for n := 1; n <= 6 && n < len(seg); n++ {
		c := seg[len(seg)-n]
		if c == '.' {
			if n > 1 && urlClass[seg[len(seg)-n+1]]&(urlLower|urlUpper) != 0 {
				return n
			}
			return 0
		}
		if urlClass[c]&urlAlnum == 0 || c >= 0x80 {
			return 0
		}
	}
	return 0
}

// isEmail recognises local@domain.tld, loosely.
func isEmail(seg []byte) bool {
	at := bytes.IndexByte(seg, '@')
	if at < 1 || bytes.IndexByte(seg[at+1:], '@') >= 0 || bytes.IndexByte(seg[:at], '{') >= 0 {
		return false // a brace is a placeholder's: what was left of something else
	}
	domain := seg[at+1:]
	dot := bytes.LastIndexByte(domain, '.')
	if dot < 1 || len(domain)-dot < 3 {
		return false
	}
	for _, c := range domain {
		if urlClass[c]&urlAlnum == 0 && c != '.' && c != '-' {
			return false
		}
	}
	return urlClass[domain[len(domain)-1]]&(urlLower|urlUpper) != 0
}

// appendURLTokens replaces parts: it goes from delimiter to delimiter and
// leaves literals as they are. Of equal placeholders with one delimiter between
// them only the first is kept, so that 1-2-3 and 1-2 are one template.
func appendURLTokens(dst, seg []byte) []byte {
	base := len(dst)
	for i := 0; i < len(seg); {
		c := seg[i]
		switch {
		case c == '{':
			p := placeholderAt(seg[i:])
			dst = appendPlaceholder(dst, base, p)
			i += len(p)
		case c == '%':
			dst = append(dst, seg[i:i+3]...)
			i += 3
		case urlClass[c]&urlAlnum == 0:
			dst = append(dst, c)
			i++
		default:
			p, n := shapeAt(seg[i:])
			if n > 0 && (i > 0 && seg[i-1] == '}') {
				n = 0 // behind a placeholder: what is left of a longer token
			}
			if n == 0 {
				var all uint8
				if n, all = alnumRun(seg[i:]); all&urlDigit == 0 && n < minRandomWord && n != bundleHash {
					dst = append(dst, seg[i:i+n]...) // a word: most runs are
					i += n
					continue
				}
				if c|0x20 == 'v' && n > 1 && digitRun(seg[i+1:]) == n-1 { // v1.2.3
					if p, m := dottedAt(seg[i+1:]); m > n {
						dst = appendPlaceholder(append(dst, c), base, p)
						i += 1 + m
						continue
					}
				}
				dst = appendRun(dst, base, seg[i:i+n])
			} else {
				dst = appendPlaceholder(dst, base, p)
			}
			i += n
		}
	}
	return dst
}

// appendPlaceholder appends p unless it repeats what stands before a delimiter.
func appendPlaceholder(dst []byte, base int, p string) []byte {
	n := len(dst)
	if n-base >= len(p) && string(dst[n-len(p):]) == p {
		return dst
	}
	if n-base > len(p) && string(dst[n-1-len(p):n-1]) == p && urlClass[dst[n-1]]&urlAlnum == 0 && dst[n-1] != '=' {
		return dst[:n-1]
	}
	return append(dst, p...)
}

// alnumRun returns how many letters and digits seg starts with and of which
// classes they are.
func alnumRun(seg []byte) (n int, all uint8) {
	for n < len(seg) && urlClass[seg[n]]&urlAlnum != 0 {
		all |= urlClass[seg[n]]
		n++
	}
	return n, all
}

// appendRun appends a run of letters and digits, or what stands for it.
func appendRun(dst []byte, base int, run []byte) []byte {
	r := urlRunOf(run)
	if p := r.placeholder(run); p != "" {
		return appendPlaceholder(dst, base, p)
	}
	// user1017 keeps its word; v2, ipv6 and sha256 keep their number too.
	if r.digits >= 3 && r.turns == 1 && r.lastDigits == r.digits && !wellKnown(run) {
		dst = appendRun(dst, base, run[:len(run)-r.digits])
		return appendPlaceholder(dst, base, urlID)
	}
	return append(dst, run...)
}
