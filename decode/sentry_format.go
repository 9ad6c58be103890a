package decode

import (
	"strconv"
	"strings"
)

// Bounds of formatting: a text of at most maxSentryText with parameters of at
// most that, maxPlaceholders of them. A message beyond is left as it is.
const (
	maxSentryText   = 64 << 10
	maxPlaceholders = 100
	maxPlaceholder  = 64 // bytes of the name of one
)

// sentryFormat puts parameters into a message, as SDKs of before "formatted" left
// it to the server: %s, %d, %(name)s, {}, {0} and {name}. A placeholder without
// parameter stays. The parameters are in the list or object at b[at:].
func (d *Decoder) sentryFormat(message string, b []byte, at int) string {
	if end := skipValue(b, at, 1); end-at > maxSentryText || len(message) > maxSentryText {
		return message
	}
	var out []byte
	next, found := 0, 0
	for i := 0; i < len(message); {
		name, width := placeholder(message[i:])
		if width == 0 || found == maxPlaceholders {
			out = append(out, message[i])
			i++
			continue
		}
		found++
		if value, ok := d.sentryParam(b, at, name, &next); ok {
			out = append(out, value...)
		} else {
			out = append(out, message[i:i+width]...)
		}
		if i += width; len(out) > maxSentryText {
			return message
		}
	}
	return string(out)
}

// placeholder returns the width of the placeholder that s begins with, 0 for
// none, and the name or number in it.
func placeholder(s string) (name string, width int) {
	const verbs = "sdrfiuv"
	switch s = s[:min(len(s), maxPlaceholder)]; {
	case len(s) < 2:
	case s[0] == '%' && s[1] == '(':
		if end := strings.IndexByte(s, ')'); end > 2 && end+1 < len(s) && strings.IndexByte(verbs, s[end+1]) >= 0 {
			return s[2:end], end + 2
		}
	case s[0] == '%' && strings.IndexByte(verbs, s[1]) >= 0:
		return "", 2
	case s[0] == '{':
		end := strings.IndexByte(s, '}')
		if end == 1 || end > 1 && (keyLike(unborrow(s[1:end])) || skipDigits(unborrow(s[1:end]), 0) == end-1) {
			return s[1:end], end + 1
		}
	}
	return "", 0
}

// sentryParam returns the parameter of that name or number; "" is the next one.
func (d *Decoder) sentryParam(b []byte, at int, name string, next *int) (text string, ok bool) {
	take := func(at int) (end int) {
		ok = true
		if b[at] == '"' {
			text, end = d.textAt(b, at)
			return end
		}
		if end = skipValue(b, at, 1); end > 0 {
			text = borrow(b[at:end])
		}
		return end
	}
	if b[at] == '{' {
		eachMember(b, at, func(key []byte, at int) int {
			if string(key) == name {
				return take(at)
			}
			return skipValue(b, at, 1)
		})
		return text, ok
	}
	want := *next
	if name == "" {
		*next++
	} else if n, err := strconv.Atoi(name); err == nil {
		want = n
	} else {
		return "", false
	}
	n := 0
	eachElement(b, at, func(at int) int {
		if n++; n-1 == want {
			return take(at)
		}
		return skipValue(b, at, 1)
	})
	return text, ok
}
