package issue

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/millrace/millrace"
)

// version is a release that follows Semantic Versioning 2.0.0, with what people
// write around it: a name before '@', a leading v, fewer than three numbers.
type version struct {
	name    string
	numbers [3]uint64
	pre     []string // dot separated; none is later than any
	build   string
}

// parseVersion reads a release such as shop@v1.4.2-rc.1+1234.
func parseVersion(release string) (v version, ok bool) {
	rest := release
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		v.name, rest = rest[:i], rest[i+1:]
	}
	rest = strings.TrimPrefix(rest, "v")
	rest, v.build, _ = strings.Cut(rest, "+")
	rest, pre, tagged := strings.Cut(rest, "-")
	if tagged {
		if pre == "" {
			return v, false
		}
		v.pre = strings.Split(pre, ".")
	}
	parts := strings.Split(rest, ".")
	if len(parts) > 3 || len(parts) == 1 && tagged { // 2026-11-22 is a date
		return v, false
	}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || p[0] == '+' {
			return v, false
		}
		v.numbers[i] = n
	}
	return v, true
}

// compareVersions orders by precedence, then by build if both builds are numbers.
func compareVersions(a, b version) int {
	for i := range a.numbers {
		if c := cmp.Compare(a.numbers[i], b.numbers[i]); c != 0 {
			return c
		}
	}
	if len(a.pre) == 0 || len(b.pre) == 0 {
		if c := cmp.Compare(len(b.pre), len(a.pre)); c != 0 {
			return c
		}
	}
	for i := 0; i < len(a.pre) && i < len(b.pre); i++ {
		if c := comparePart(a.pre[i], b.pre[i]); c != 0 {
			return c
		}
	}
	if c := cmp.Compare(len(a.pre), len(b.pre)); c != 0 {
		return c
	}
	x, errX := strconv.ParseUint(a.build, 10, 64)
	y, errY := strconv.ParseUint(b.build, 10, 64)
	if errX != nil || errY != nil {
		return 0
	}
	return cmp.Compare(x, y)
}

// comparePart compares numbers as such; a number is before a word.
func comparePart(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// sameOrLater reports whether release is resolved or one after it: by version if
// both are versions of the same thing, else by when they were first seen. known
// is in that order. A release that nobody saw is before or after none.
func sameOrLater(release, resolved string, known []millrace.IssueRelease) bool {
	if release == resolved {
		return true
	}
	a, okA := parseVersion(release)
	b, okB := parseVersion(resolved)
	if okA && okB && a.name == b.name {
		return compareVersions(a, b) >= 0
	}
	for i := range known {
		switch known[i].Release {
		case resolved:
			return len(release) > 0 && contains(known[i:], release)
		case release:
			return false
		}
	}
	return false
}

func contains(known []millrace.IssueRelease, release string) bool {
	for i := range known {
		if known[i].Release == release {
			return true
		}
	}
	return false
}

// firstSeenAfter reports whether a release was first seen after a time in ns.
func firstSeenAfter(release string, at int64, known []millrace.IssueRelease) bool {
	for i := range known {
		if known[i].Release == release {
			return known[i].FirstSeen > at
		}
	}
	return false
}
