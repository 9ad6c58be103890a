package millrace

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Every package that can be configured has a struct named Options. Its fields
// carry the tags yaml (name), default, doc and example, from which package
// config sets defaults and generates the reference, and a method
//
//	Validate(path string, v *Violations)
//
// that reports every violation with its bound. Fields are plain types, Bytes,
// Duration, or structs of these.

// Bytes is a size; in text "512KiB", "64MiB", "2GiB" or a plain number.
type Bytes int64

var byteUnits = []struct {
	suffix string
	size   int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(s, u.suffix); ok {
			s, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f < 0 || f*float64(unit) > 1<<62 {
		return fmt.Errorf("%q is not a size such as 64MiB", text)
	}
	*b = Bytes(f * float64(unit))
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String returns the size in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if int64(b) >= u.size && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Duration is a time.Duration that also accepts days, as in "90d" or "1d12h".
type Duration time.Duration

const day = 24 * time.Hour

// maxDays is the longest duration in whole days, a century, far below where a
// time.Duration overflows.
const maxDays = 36_525

// ParseDuration parses what Duration accepts.
func ParseDuration(s string) (time.Duration, error) {
	orig, days := s, time.Duration(0)
	if i := strings.IndexByte(s, 'd'); i > 0 {
		n, err := strconv.ParseInt(s[:i], 10, 32)
		if err != nil || n < -maxDays || n > maxDays {
			return 0, fmt.Errorf("%q is not a duration such as 90d or 1h30m", orig)
		}
		days, s = time.Duration(n)*day, s[i+1:]
		if s == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 90d or 1h30m", orig)
	}
	return days + d, nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(strings.TrimSpace(string(text)))
	*d = Duration(v)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String uses days for whole days.
func (d Duration) String() string {
	v := time.Duration(d)
	if v >= day && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	return v.String()
}

// Std returns d as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// Violations collects what is wrong with a configuration, all of it.
type Violations struct{ list []*Violation }

// Violation is one setting that is wrong.
type Violation struct {
	Path    string // of the setting, such as pipeline.flush_rows
	Message string // what it is, and what is allowed
	// Where it stands in the text, from 1; 0 is unknown.
	Line, Column int
}

// Error implements error as "line 3, column 5: path: message".
func (v *Violation) Error() string {
	text := v.Message
	if v.Path != "" {
		text = v.Path + ": " + text
	}
	if v.Line > 0 {
		return fmt.Sprintf("line %d, column %d: %s", v.Line, v.Column, text)
	}
	return text
}

// Add reports that the setting at path has a bad value; bound says what is allowed.
func (v *Violations) Add(path string, value any, bound string) {
	v.Append(&Violation{Path: path, Message: fmt.Sprintf("%v: must be %s", value, bound)})
}

// Append adds a violation in its own words, unless it was added just before.
func (v *Violations) Append(one *Violation) {
	if n := len(v.list); n > 0 && *v.list[n-1] == *one {
		return
	}
	v.list = append(v.list, one)
}

// List returns the violations, for those who know where the settings stand to
// fill in Line and Column.
func (v *Violations) List() []*Violation { return v.list }

// Range reports value unless lo <= value <= hi.
func Range[T ~int | ~int32 | ~int64 | ~float64](v *Violations, path string, value, lo, hi T) {
	if value < lo || value > hi {
		v.Add(path, value, fmt.Sprintf("between %v and %v", lo, hi))
	}
}

// Err returns all violations as one error, or nil.
func (v *Violations) Err() error {
	if len(v.list) == 0 {
		return nil
	}
	all := make([]error, len(v.list))
	for i := range v.list {
		all[i] = v.list[i]
	}
	return &Error{Code: ErrInvalid, Message: errors.Join(all...).Error()}
}
