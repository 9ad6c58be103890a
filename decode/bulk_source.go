package decode

import "strings"

// sourceOfIndex returns the source whose events go to an index of Elasticsearch
// of this name: what the name has in common with those of other days. It is a
// valid name of a source.
//
//	filebeat-8.15.0-2026.11.22-000001         filebeat-8.15.0
//	.ds-logs-nginx.access-default-2026.11.22-000007   logs-nginx.access-default
//	<logstash-{now/d}>                        logstash
//	shop_2026_11                              shop
//
// A name of nothing but a date keeps it.
func sourceOfIndex(index string) string {
	name := index
	if rest, ok := strings.CutPrefix(name, "<"); ok && strings.HasSuffix(rest, ">") {
		name = withoutDateMath(rest[:len(rest)-1])
	}
	for _, prefix := range []string{"partial-", "restored-"} { // searchable snapshots
		if strings.HasPrefix(name, prefix+".ds-") {
			name = name[len(prefix):]
		}
	}
	for _, prefix := range []string{".ds-", ".fs-"} { // a data stream's indices, and those of its failures
		name = strings.TrimPrefix(name, prefix)
	}
	name = withoutRollover(name)
	name = withoutDate(name)
	if name = strings.Trim(name, "-_."); name == "" {
		name = strings.Trim(index, "<>")
	}
	return validSource(name)
}

// withoutDateMath removes what is in braces: {now/d}, {now/d{yyyy.MM.dd|+12:00}}.
func withoutDateMath(s string) string {
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '{':
			depth++
		case c == '}':
			depth = max(0, depth-1)
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// withoutRollover removes the number that a rollover gives an index: -000001.
func withoutRollover(s string) string {
	const digits = 6
	i := len(s) - digits - 1
	if i > 0 && s[i] == '-' && digitText(s[i+1:]) {
		return s[:i]
	}
	return s
}

// withoutDate removes a date at the end, with the separator before it: year, and
// perhaps month or week, day and hour, with or without separators.
func withoutDate(s string) string {
	// From the end, as many parts as there can be: 2026.11.22.13.
	cut := -1
	for i, parts := len(s), 0; i > 0 && parts < 4; parts++ {
		j := strings.LastIndexAny(s[:i], "-_.")
		if j < 0 {
			break
		}
		part := s[j+1 : i]
		switch {
		case isYear(part) && parts <= 3 || compactDate(part) && parts <= 1:
			cut = j
		case !isDatePart(part):
			return cutAt(s, cut)
		}
		if cut >= 0 {
			break
		}
		i = j
	}
	return cutAt(s, cut)
}

func cutAt(s string, i int) string {
	if i <= 0 {
		return s
	}
	return s[:i]
}

// isDatePart reports whether s is a month, a day, an hour, or a week (w47).
func isDatePart(s string) bool {
	if len(s) == 3 && s[0]|0x20 == 'w' {
		s = s[1:]
	}
	return len(s) == 2 && digitText(s)
}

func isYear(s string) bool {
	return len(s) == 4 && digitText(s) && s >= "2010" && s < "2100"
}

// compactDate reports whether s is 202611, 20261122 or 2026112213.
func compactDate(s string) bool {
	return (len(s) == 6 || len(s) == 8 || len(s) == 10) && digitText(s) && isYear(s[:4]) && s[4:6] >= "01" && s[4:6] <= "12"
}

func digitText(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// validSource makes s a valid name of a source: other bytes become '-', and it
// has 128 bytes at most.
func validSource(s string) string {
	b := []byte(s[:min(len(s), 128)])
	for i, c := range b {
		if !isAlnum(c) && c != '.' && c != '_' && c != '-' {
			b[i] = '-'
		}
	}
	if len(b) == 0 {
		return "-"
	}
	return string(b)
}
