package web

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/millrace/millrace/query"
)

// chart is what app.js draws. Times are Unix seconds; a missing value is null.
type chart struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"` // line, bars or stack
	Unit     string   `json:"unit"` // count, percent, seconds or rate
	From     int64    `json:"from"`
	To       int64    `json:"to"`
	Step     int64    `json:"step"`
	Complete int64    `json:"complete"` // data after it may still grow; 0 is unknown
	Times    []int64  `json:"times"`
	Series   []series `json:"series"`
	Logs     string   `json:"logs"` // query of the Logs page for a point; empty: none

	Label string `json:"-"` // for those who cannot see it
}

type series struct {
	Label  string    `json:"label"`
	Color  string    `json:"color"` // a custom property of the style sheet
	Values []float64 `json:"-"`
	JSON   values    `json:"values"`
}

// values marshals NaN as null and numbers short: charts need no 17 digits.
type values []float64

// MarshalJSON implements json.Marshaler.
func (v values) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, f := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(f) || math.IsInf(f, 0) {
			b = append(b, "null"...)
			continue
		}
		n, err := json.Marshal(round6(f))
		if err != nil {
			return nil, fmt.Errorf("marshal chart value: %w", err)
		}
		b = append(b, n...)
	}
	return append(b, ']'), nil
}

// round6 keeps six significant digits.
func round6(f float64) float64 {
	if f == 0 {
		return 0
	}
	p := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(f))))
	if math.IsInf(p, 0) || p == 0 {
		return f
	}
	return math.Round(f*p) / p
}

// grid is the time axis of a view and tells the place of a bucket on it.
type grid struct {
	from, to, step int64
	end            int64 // data can exist before it
	n              int
}

func (v *view) grid() grid {
	g := grid{from: v.Range.From.Unix(), to: v.Range.To.Unix(), step: int64(v.Step / time.Second), end: v.end().Unix()}
	g.n = int((g.to - g.from + g.step - 1) / g.step)
	return g
}

func (g grid) index(t time.Time) (int, bool) {
	i := (t.Unix() - g.from) / g.step
	return int(i), t.Unix() >= g.from && int(i) < g.n
}

// column returns values for every point: missing where there is no row, and
// NaN after the end of time.
func (g grid) column(missing float64) []float64 {
	out := make([]float64, g.n)
	for i := range out {
		out[i] = missing
		if g.from+int64(i)*g.step >= g.end {
			out[i] = math.NaN()
		}
	}
	return out
}

// fill sets the values of column col of a result with buckets and no other
// dimension.
func (g grid) fill(res *query.RollupResult, col string, missing float64) []float64 {
	out := g.column(missing)
	c := columnIndex(res, col)
	for _, row := range res.Rows {
		if i, ok := g.index(row[0].(time.Time)); ok {
			out[i] = query.Float(row[c])
		}
	}
	return out
}

// add adds a value to a point; missing points count as 0.
func (g grid) add(values []float64, t time.Time, v float64) {
	if i, ok := g.index(t); ok && !math.IsNaN(v) {
		if math.IsNaN(values[i]) {
			values[i] = 0
		}
		values[i] += v
	}
}

func columnIndex(res *query.RollupResult, name string) int {
	for i, c := range res.Columns {
		if c == name {
			return i
		}
	}
	panic(fmt.Sprintf("BUG: the answer has no column %q", name))
}

// newChart returns a chart over the view's range.
func (v *view) newChart(id, kind, unit, logs string, complete time.Time, list ...series) *chart {
	g := v.grid()
	c := &chart{ID: id, Kind: kind, Unit: unit, From: g.from, To: g.to, Step: g.step, Logs: logs, Series: list}
	// Nobody needs to see the part of the last step that lies in the future.
	c.To = min(c.To, max(g.end, g.from+g.step))
	if !complete.IsZero() {
		c.Complete = complete.Unix()
	}
	for i := range g.n {
		c.Times = append(c.Times, g.from+int64(i)*g.step)
	}
	for i := range c.Series {
		c.Series[i].JSON = c.Series[i].Values
	}
	return c
}

// Data returns the chart as JSON for a data block of the page.
func (c *chart) Data() (string, error) {
	b, err := json.Marshal(c)
	return string(b), err
}

// empty reports whether there is nothing to draw.
func (c *chart) empty() bool {
	for _, s := range c.Series {
		for _, f := range s.Values {
			if !math.IsNaN(f) && f != 0 {
				return false
			}
		}
	}
	return true
}

// ratio divides point by point; no denominator gives no value.
func ratio(num, den []float64) []float64 {
	out := make([]float64, len(num))
	for i := range num {
		out[i] = math.NaN()
		if den[i] > 0 {
			out[i] = num[i] / den[i]
		}
	}
	return out
}

func sum(values []float64) float64 {
	total := 0.0
	for _, f := range values {
		if !math.IsNaN(f) {
			total += f
		}
	}
	return total
}
