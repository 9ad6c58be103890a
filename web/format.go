package web

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace"
)

// none is what pages show for "no value".
const none = "–"

// userMessage is what a page may say of an error.
func userMessage(err error) string { return millrace.ErrorMessage(err) }

// formatCount writes whole numbers with thousands separators (thin spaces do
// not copy well, commas do).
func formatCount(n int64) string {
	s := strconv.FormatInt(n, 10)
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	if neg {
		return "-" + b.String()
	}
	return b.String()
}

// formatShort writes a number in at most five characters: 9,999 12.3k 1.23M.
func formatShort(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return none
	}
	a := math.Abs(f)
	switch {
	case a < 10 && f != math.Trunc(f):
		return trimZeros(strconv.FormatFloat(f, 'f', 2, 64))
	case a < 99.95 && f != math.Trunc(f):
		return trimZeros(strconv.FormatFloat(f, 'f', 1, 64))
	case a < 9_999.5:
		return formatCount(int64(math.Round(f)))
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e3, "k"}, {1e6, "M"}, {1e9, "G"}, {1e12, "T"}} {
		if v := a / u.size; v < 999.5 || u.name == "T" {
			return strconv.FormatFloat(math.Copysign(v, f), 'f', digits(v), 64) + u.name
		}
	}
	return none
}

func digits(v float64) int {
	switch {
	case v < 9.995:
		return 2
	case v < 99.95:
		return 1
	}
	return 0
}

func trimZeros(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// formatPercent writes a share of 1.
func formatPercent(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return none
	}
	p := f * 100
	switch {
	case p == 0:
		return "0%"
	case math.Abs(p) < 0.01:
		return "<0.01%"
	case math.Abs(p) < 10:
		return strconv.FormatFloat(p, 'f', 2, 64) + "%"
	}
	return strconv.FormatFloat(p, 'f', 1, 64) + "%"
}

// formatSeconds writes a duration given in seconds.
func formatSeconds(f float64) string {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return none
	}
	a := math.Abs(f)
	switch {
	case a == 0:
		return "0 ms"
	case a < 0.001:
		return strconv.FormatFloat(f*1e6, 'f', 0, 64) + " µs"
	case a < 0.9995:
		return strconv.FormatFloat(f*1e3, 'f', digits(a*1e3), 64) + " ms"
	case a < 99.95:
		return strconv.FormatFloat(f, 'f', digits(a), 64) + " s"
	}
	return formatAge(time.Duration(f * float64(time.Second)))
}

// formatAge writes a duration in its two largest units.
func formatAge(d time.Duration) string {
	if d < 0 {
		d = 0
	}
	switch {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', digits(d.Seconds()*10), 64) + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d m %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d m", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// formatBytes writes a size in binary units.
func formatBytes(n int64) string {
	f := float64(n)
	if math.Abs(f) < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		f /= 1024
		if math.Abs(f) < 999.5 || unit == "TiB" {
			return strconv.FormatFloat(f, 'f', digits(math.Abs(f)), 64) + " " + unit
		}
	}
	return none
}

// stamp is a <time> that app.js rewrites to the browser's zone. form is
// "full", "time" or "ago".
func stamp(t time.Time, form string) template.HTML {
	if t.IsZero() {
		return none
	}
	t = t.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s">%s</time>`, //nolint:gosec // numbers and constants only
		t.Format("2006-01-02T15:04:05.000Z"), form, t.Format("2006-01-02 15:04:05Z")))
}
