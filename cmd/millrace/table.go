package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxCell is the widest a cell is printed, in characters: a message of a
// megabyte would push everything else out of sight. --json has it whole.
const maxCell = 120

// printTable prints aligned columns, numbers to the right, and a last line
// that says how many rows there are. numeric may be shorter than columns.
func printTable(w io.Writer, columns []string, rows [][]string, numeric []bool) error {
	width := make([]int, len(columns))
	for i, c := range columns {
		width[i] = utf8.RuneCountInString(c)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = clip(printable(row[i]))
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	out := bufio.NewWriter(w)
	line := func(cells []string) {
		text := ""
		for i, c := range cells {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			switch {
			case i < len(numeric) && numeric[i]:
				c = pad + c
			case i < len(cells)-1:
				c += pad
			}
			if i > 0 {
				text += "  "
			}
			text += c
		}
		_, _ = out.WriteString(strings.TrimRight(text, " ") + "\n") // Flush reports errors
	}
	line(columns)
	rule := make([]string, len(columns))
	for i := range rule {
		rule[i] = strings.Repeat("-", width[i])
	}
	line(rule)
	for _, row := range rows {
		line(row)
	}
	unit := "rows"
	if len(rows) == 1 {
		unit = "row"
	}
	_, _ = fmt.Fprintf(out, "(%d %s)\n", len(rows), unit)
	return out.Flush()
}

func clip(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxCell {
			return s[:i] + "…"
		}
	}
	return s
}

// cellText writes a value of an answer for a table.
func cellText(v any) string {
	switch x := v.(type) {
	case nil:
		return "-"
	case string:
		return x
	case json.Number:
		return shortNumber(x.String())
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// shortNumber rounds estimates such as 0.07722908849764838 to six decimals;
// what is exact is rarely longer.
func shortNumber(s string) string {
	_, decimals, _ := strings.Cut(s, ".")
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || len(decimals) <= 9 || strings.ContainsAny(s, "eE") || math.Abs(f) < 0.001 {
		return s
	}
	return strconv.FormatFloat(f, 'f', 6, 64)
}

// numericColumns tells which columns hold nothing but numbers and nulls.
func numericColumns(rows [][]any, columns int) []bool {
	out := make([]bool, columns)
	for i := range out {
		numbers := 0
		for _, row := range rows {
			switch row[i].(type) {
			case json.Number:
				numbers++
			case nil:
			default:
				numbers = -len(rows) - 1
			}
		}
		out[i] = numbers > 0
	}
	return out
}
