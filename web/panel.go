package web

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"sync"
)

// panel is one box of a page. One of Chart, Table and Facts is set, unless Error or Note says why there is nothing.
type panel struct {
	Title string
	About string // one sentence: what the numbers are
	Wide  string // columns of 12 on a wide screen: "4", "6", "8", "12"
	More  string // link to the details
	Chart *chart
	Table *table
	Facts []fact
	Error string // it failed
	Note  string // it is empty, and why
}

// table is rows of cells under headers.
type table struct {
	Head []header
	Rows []row
}

type header struct {
	Label   string
	About   string
	Numeric bool
}

type row struct {
	Cells []cell
	Share float64 // of the largest row: a bar behind the first cell, 0 to 1
	Bad   bool
}

type cell struct {
	Text  string
	Sub   string // a second, smaller line
	Title string // whole value, where Text is short
	Link  string
	HTML  template.HTML // instead of Text
	Dim   bool
	Bad   bool
	Code  bool
}

// BarWidth is the width of the share bar in percent, as an SVG attribute.
func (r row) BarWidth() string { return fmt.Sprintf("%.1f%%", 100*math.Min(1, math.Max(0, r.Share))) }

func text(s string) cell { return cell{Text: s} }

// figure is a headline number, compared to the period before.
type figure struct {
	Label string
	Value string
	Title string // exact value
	Delta string // "▲ 12%"; empty: nothing to compare with
	Mood  string // good, bad or flat
	Was   string // value of the period before
	Spark template.HTML
	HTML  template.HTML // instead of Value
	Link  string
}

// fact is a labelled value with a mark: good, warn, bad, flat or none.
type fact struct {
	Label string
	Text  string
	HTML  template.HTML // instead of Text
	Mood  string
}

// compare fills in the difference to the period before. lowGood says that less
// is better.
func (f figure) compare(cur, prev float64, format func(float64) string, lowGood bool) figure {
	if math.IsNaN(cur) || math.IsNaN(prev) {
		return f
	}
	if prev == 0 {
		f.Was = format(prev) + " before"
		return f
	}
	f.Was = format(prev)
	change := cur/prev - 1
	switch {
	case math.Abs(change) < 0.005:
		f.Delta, f.Mood = "0%", "flat"
		return f
	case change > 9.995:
		f.Delta = "▲ ×" + formatShort(cur/prev)
	case change > 0:
		f.Delta = "▲ " + wholePercent(change)
	default:
		f.Delta = "▼ " + wholePercent(-change)
	}
	f.Mood = "good"
	if (change > 0) == lowGood {
		f.Mood = "bad"
	}
	return f
}

func wholePercent(f float64) string {
	if f < 0.0995 {
		return fmt.Sprintf("%.1f%%", f*100)
	}
	return fmt.Sprintf("%.0f%%", f*100)
}

// spark draws values as a line without axes; nothing if there are too few.
func spark(values []float64, color string) template.HTML {
	const w, h = 100.0, 24.0
	top, points := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) {
			top = math.Max(top, v)
			points++
		}
	}
	if points < 2 || top == 0 {
		return ""
	}
	var path strings.Builder
	pen := "M"
	for i, v := range values {
		if math.IsNaN(v) {
			pen = "M"
			continue
		}
		x := w * float64(i) / math.Max(1, float64(len(values)-1))
		fmt.Fprintf(&path, "%s%.1f %.1f", pen, x, h-1-(h-2)*v/top)
		pen = "L"
	}
	return template.HTML(fmt.Sprintf( //nolint:gosec // numbers and a constant only
		`<svg class="spark %s" viewBox="0 0 %g %g" preserveAspectRatio="none" aria-hidden="true" focusable="false"><path d="%s"/></svg>`,
		color, w, h, path.String()))
}

// parallel runs the questions of a page at once: on two cores a few waiting
// queries hide each other's latency, more would only take memory.
func parallel(jobs ...func()) {
	limit := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for _, job := range jobs {
		limit <- struct{}{}
		wg.Go(func() {
			defer func() { <-limit }()
			job()
		})
	}
	wg.Wait()
}
