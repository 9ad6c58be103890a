package transform

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// What the bytes of a path are, for loops that look at every one.
const (
	urlDigit = 1 << iota
	urlLower
	urlUpper
	urlHex
	urlPlain // stays as it is in a template
	urlAlnum = urlDigit | urlLower | urlUpper
)

var urlClass = func() (c [256]uint8) {
	for b := range 256 {
		switch {
		case b >= '0' && b <= '9':
			c[b] = urlDigit | urlHex | urlPlain
		case b >= 'a' && b <= 'z':
			c[b] = urlLower | urlPlain
		case b >= 'A' && b <= 'Z':
			c[b] = urlUpper | urlPlain
		case b >= utf8.RuneSelf:
			c[b] = urlLower // parts of letters, mostly
		}
		if b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' {
			c[b] |= urlHex
		}
	}
	// RFC 3986's unreserved characters and sub-delimiters, ":" and "@", less ";",
	// at which parameters start.
	for _, b := range []byte("-._~!$&'()*+,=:@") {
		c[b] |= urlPlain
	}
	return c
}()

// urlScratch is the working memory of one application.
type urlScratch struct {
	norm []byte // the segments, one after the other
	segs [maxURLSegments]struct{ from, to int32 }
	n    int
	rest bool // there was more than fits
	out  []byte
}

func (s *urlScratch) segment(i int) []byte { return s.norm[s.segs[i].from:s.segs[i].to] }

// normalize cuts a path into segments, percent-decoded as far as a template can
// show it. Empty segments, "." and parameters (";jsessionid=…") are left out.
func (s *urlScratch) normalize(path string, fold bool) {
	s.norm, s.n, s.rest = s.norm[:0], 0, false
	path = urlPath(path)
	if len(path) > maxURLPath {
		path, s.rest = path[:strings.LastIndexByte(path[:maxURLPath], '/')+1], true
	}
	for i := 0; i < len(path); {
		if path[i] == '/' {
			i++
			continue
		}
		end := i
		for end < len(path) && path[end] != '/' && path[end] != '?' && path[end] != '#' {
			end++
		}
		if s.n == maxURLSegments {
			s.rest = true
			return
		}
		s.add(path[i:end], fold)
		if end < len(path) && path[end] != '/' {
			return
		}
		i = end
	}
}

// urlPath drops what stands before the path of an absolute URL.
func urlPath(path string) string {
	if len(path) == 0 || path[0] == '/' {
		return path
	}
	i := strings.Index(path[:min(len(path), 32)], "://")
	if i <= 0 || strings.ContainsAny(path[:i], "/?#") {
		return path
	}
	path = path[i+3:]
	if i = strings.IndexAny(path, "/?#"); i < 0 {
		return ""
	}
	return path[i:]
}

// add files one segment.
func (s *urlScratch) add(seg string, fold bool) {
	from := len(s.norm)
	plain := 0
	for plain < len(seg) && urlClass[seg[plain]]&urlPlain != 0 {
		plain++
	}
	s.norm = append(s.norm, seg[:plain]...)
	if plain < len(seg) && !s.decode(seg[plain:]) {
		s.norm = append(s.norm[:from], urlBytes...)
	}
	if fold {
		lowerURL(s.norm[from:])
	}
	if n := len(s.norm) - from; n == 0 || n == 1 && s.norm[from] == '.' {
		s.norm = s.norm[:from]
		return
	}
	s.segs[s.n].from, s.segs[s.n].to = int32(from), int32(len(s.norm))
	s.n++
}

// decode appends the rest of a segment. It is false if that is not UTF-8.
func (s *urlScratch) decode(seg string) bool {
	from, high := len(s.norm), false
	for i := 0; i < len(seg); i++ {
		c := seg[i]
		switch {
		case c == ';':
			i = len(seg)
			continue
		case c == '{':
			if p := placeholderAt(seg[i:]); p != "" {
				s.norm = append(s.norm, p...)
				i += len(p) - 1
				continue
			}
		case c == '%':
			if i+2 < len(seg) && urlClass[seg[i+1]]&urlClass[seg[i+2]]&urlHex != 0 {
				c = unhexURL(seg[i+1])<<4 | unhexURL(seg[i+2])
				i += 2
			}
		}
		if high = high || c >= utf8.RuneSelf; urlClass[c]&urlPlain != 0 || c >= utf8.RuneSelf {
			s.norm = append(s.norm, c)
		} else {
			s.norm = appendPercent(s.norm, c)
		}
	}
	return !high || s.printable(from)
}

// printable writes what cannot be shown among the runes from an index on as
// percent-encoded again. It is false if they are not UTF-8.
func (s *urlScratch) printable(from int) bool {
	tail := s.norm[from:]
	if !utf8.Valid(tail) {
		return false
	}
	shown := true
	for _, r := range asString(tail) {
		shown = shown && (r < utf8.RuneSelf || unicode.IsPrint(r))
	}
	if shown {
		return true
	}
	text := string(tail)
	s.norm = s.norm[:from]
	for i, r := range text {
		n := utf8.RuneLen(r)
		if r < utf8.RuneSelf || unicode.IsPrint(r) {
			s.norm = append(s.norm, text[i:i+n]...)
			continue
		}
		for _, b := range []byte(text[i : i+n]) {
			s.norm = appendPercent(s.norm, b)
		}
	}
	return true
}

func appendPercent(dst []byte, c byte) []byte {
	const digits = "0123456789ABCDEF"
	return append(dst, '%', digits[c>>4], digits[c&15])
}

func unhexURL(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// lowerURL folds ASCII letters, but for those of percent-encoded bytes.
func lowerURL(b []byte) {
	for i := 0; i < len(b); i++ {
		if b[i] == '%' {
			i += 2
			continue
		}
		if urlClass[b[i]]&urlUpper != 0 {
			b[i] |= 0x20
		}
	}
}

// placeholderAt returns the placeholder that text starts with, or "".
func placeholderAt[T string | []byte](text T) string {
	for _, p := range urlPlaceholders {
		if len(text) >= len(p) && string(text[:len(p)]) == p {
			return p
		}
	}
	return ""
}

// isURLPlaceholder reports whether a segment is one placeholder and no more.
func isURLPlaceholder(seg []byte) bool {
	return len(seg) > 3 && seg[0] == '{' && len(placeholderAt(seg)) == len(seg) || string(seg) == urlStar
}
