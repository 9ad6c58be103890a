package query

import (
	"slices"

	"github.com/millrace/millrace"
)

// intersect returns what two lists of spans, ascending and apart, share.
func intersect(a, b []millrace.Span) []millrace.Span {
	var out []millrace.Span
	for i, j := 0, 0; i < len(a) && j < len(b); {
		from, to := max(a[i].From, b[j].From), min(a[i].To, b[j].To)
		if from < to {
			out = append(out, millrace.Span{From: from, To: to})
		}
		if a[i].To < b[j].To {
			i++
		} else {
			j++
		}
	}
	return out
}

// subtract returns what of a is not in b.
func subtract(a, b []millrace.Span) []millrace.Span {
	var out []millrace.Span
	for _, s := range a {
		i, _ := slices.BinarySearchFunc(b, s.From, func(x millrace.Span, from int64) int {
			if x.To <= from {
				return -1
			}
			return 1
		})
		for ; i < len(b) && b[i].From < s.To; i++ {
			if s.From < b[i].From {
				out = append(out, millrace.Span{From: s.From, To: b[i].From})
			}
			s.From = max(s.From, b[i].To)
		}
		if s.From < s.To {
			out = append(out, s)
		}
	}
	return out
}
